import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.List;
import java.util.Properties;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.common.errors.WakeupException;
import org.apache.kafka.common.serialization.StringDeserializer;

/** A member of a group: Member PROTOCOL BOOTSTRAP GROUP TOPIC. See ../groups_test.go for what it says. */
public final class Member {
  public static void main(String[] args) throws Exception {
    PrintStream out = new PrintStream(new FileOutputStream(FileDescriptor.out), false, StandardCharsets.UTF_8);
    System.setOut(System.err);
    Properties p = new Properties();
    p.put("group.protocol", args[0]);
    p.put("bootstrap.servers", args[1]);
    p.put("group.id", args[2]);
    p.put("key.deserializer", StringDeserializer.class.getName());
    p.put("value.deserializer", StringDeserializer.class.getName());
    p.put("auto.offset.reset", "earliest");
    p.put("auto.commit.interval.ms", "500");
    p.put("fetch.max.wait.ms", "100");
    p.put("reconnect.backoff.max.ms", "500");
    p.put("retry.backoff.max.ms", "500");
    if (args[0].equals("classic")) {
      p.put("session.timeout.ms", "6000");
      p.put("heartbeat.interval.ms", "500");
    }
    KafkaConsumer<String, String> c = new KafkaConsumer<>(p);
    Thread main = Thread.currentThread();
    Runtime.getRuntime().addShutdownHook(new Thread(() -> {
      c.wakeup();
      try { main.join(5000); } catch (InterruptedException e) { }
    }));
    c.subscribe(List.of(args[3]));
    try {
      while (true) {
        for (ConsumerRecord<String, String> r : c.poll(Duration.ofMillis(200))) out.println(r.partition() + " " + r.offset() + " " + r.value());
        out.flush();
      }
    } catch (WakeupException e) {
      c.close();
    }
  }
}
