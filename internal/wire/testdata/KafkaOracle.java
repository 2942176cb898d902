import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.ByteBuffer;
import java.util.HexFormat;
import org.apache.kafka.common.protocol.ApiMessage;
import org.apache.kafka.common.protocol.ByteBufferAccessor;
import org.apache.kafka.common.protocol.ObjectSerializationCache;

/**
 * Reads lines "MESSAGE VERSION HEX", decodes and re-encodes each with Apache Kafka's own generated classes, and answers
 * "same", "unknown" (a message or version that this Kafka lacks), or what went wrong.
 */
public class KafkaOracle {
    static final String[] PACKAGES = {
        "org.apache.kafka.common.message.", "org.apache.kafka.common.metadata.", "org.apache.kafka.coordinator.group.generated.",
        "org.apache.kafka.coordinator.transaction.generated.", "org.apache.kafka.coordinator.share.generated.",
        "org.apache.kafka.storage.internals.log.generated.", "org.apache.kafka.server.log.generated."};

    public static void main(String[] args) throws Exception {
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
        for (String line; (line = in.readLine()) != null; ) {
            String[] words = line.split(" ", -1);
            System.out.println(answer(words[0], Short.parseShort(words[1]), HexFormat.of().parseHex(words[2])));
        }
    }

    static ApiMessage message(String name) throws Exception {
        for (String p : PACKAGES) {
            for (String suffix : new String[] {"", "Data"}) {
                try {
                    return (ApiMessage) Class.forName(p + name + suffix).getDeclaredConstructor().newInstance();
                } catch (ClassNotFoundException e) {
                    // the next package
                }
            }
        }
        return null;
    }

    static String answer(String name, short version, byte[] bytes) throws Exception {
        ApiMessage m = message(name);
        if (m == null || version < m.lowestSupportedVersion() || version > m.highestSupportedVersion()) {
            return "unknown " + name + " " + version;
        }
        try {
            ByteBuffer buffer = ByteBuffer.wrap(bytes);
            m.read(new ByteBufferAccessor(buffer), version);
            if (buffer.hasRemaining()) {
                return buffer.remaining() + " bytes left: " + m;
            }
            ObjectSerializationCache cache = new ObjectSerializationCache();
            ByteBuffer out = ByteBuffer.allocate(m.size(cache, version));
            m.write(new ByteBufferAccessor(out), cache, version);
            String hex = HexFormat.of().formatHex(out.array(), 0, out.position());
            return hex.equals(HexFormat.of().formatHex(bytes)) ? "same" : "differs: " + hex + " " + m;
        } catch (Exception e) {
            return "throws: " + e;
        }
    }
}
