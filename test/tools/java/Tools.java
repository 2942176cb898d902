import java.io.*;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.*;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.utils.Exit;

/**
 * Kafka's command-line tools in one JVM, behind the line protocol of tools_test.go: {"args":["kafka-topics","--list"],"stdin":"…"} in,
 * {"output":"…","exit":0} out. The output is what a terminal would show: standard output and error as they come. A tool ends with its
 * first exit, whatever it prints while it is unwound.
 *
 * kafka-console-consumer is not among them, as it never ends while it is a member; member-joins BOOTSTRAP GROUP TOPIC
 * PROTOCOL and member-leaves GROUP start and end one.
 */
public final class Tools {
  static final String TOOLS = "org.apache.kafka.tools.";
  static final Map<String, String> CLASSES = Map.ofEntries(
      Map.entry("kafka-acls", TOOLS + "AclCommand"),
      Map.entry("kafka-broker-api-versions", TOOLS + "BrokerApiVersionsCommand"),
      Map.entry("kafka-client-metrics", TOOLS + "ClientMetricsCommand"),
      Map.entry("kafka-cluster", TOOLS + "ClusterTool"),
      Map.entry("kafka-configs", "kafka.admin.ConfigCommand"),
      Map.entry("kafka-console-producer", TOOLS + "ConsoleProducer"),
      Map.entry("kafka-consumer-groups", TOOLS + "consumer.group.ConsumerGroupCommand"),
      Map.entry("kafka-delegation-tokens", TOOLS + "DelegationTokenCommand"),
      Map.entry("kafka-delete-records", TOOLS + "DeleteRecordsCommand"),
      Map.entry("kafka-features", TOOLS + "FeatureCommand"),
      Map.entry("kafka-get-offsets", TOOLS + "GetOffsetShell"),
      Map.entry("kafka-groups", TOOLS + "GroupsCommand"),
      Map.entry("kafka-leader-election", TOOLS + "LeaderElectionCommand"),
      Map.entry("kafka-log-dirs", TOOLS + "LogDirsCommand"),
      Map.entry("kafka-metadata-quorum", TOOLS + "MetadataQuorumCommand"),
      Map.entry("kafka-reassign-partitions", TOOLS + "reassign.ReassignPartitionsCommand"),
      Map.entry("kafka-share-groups", TOOLS + "consumer.group.ShareGroupCommand"),
      Map.entry("kafka-streams-groups", TOOLS + "streams.StreamsGroupCommand"),
      Map.entry("kafka-topics", TOOLS + "TopicCommand"),
      Map.entry("kafka-transactions", TOOLS + "TransactionsCommand"));

  static final class Exited extends RuntimeException {
    Exited() { super("exited", null, false, false); }
  }

  static final ObjectMapper json = new ObjectMapper();
  static final ByteArrayOutputStream shown = new ByteArrayOutputStream();
  static final List<Runnable> hooks = new ArrayList<>();
  static boolean exited;
  static int status;

  /** What System.out and System.err, and Scala's Console, which keeps what it finds first, write to. */
  static final class Terminal extends OutputStream {
    @Override public void write(int b) { write(new byte[] {(byte) b}, 0, 1); }
    @Override public void write(byte[] b, int from, int count) {
      synchronized (shown) { if (!exited) shown.write(b, from, count); }
    }
  }

  static void exit(int code) {
    synchronized (shown) {
      if (!exited) { exited = true; status = code; }
    }
    throw new Exited();
  }

  public static void main(String[] args) throws Exception {
    PrintStream answers = System.out;
    PrintStream terminal = new PrintStream(new Terminal(), true, StandardCharsets.UTF_8);
    InputStream commands = System.in;
    System.setOut(terminal);
    System.setErr(terminal);
    Exit.setExitProcedure((code, message) -> exit(code));
    Exit.setHaltProcedure((code, message) -> exit(code));
    Exit.setShutdownHookAdder((name, hook) -> hooks.add(hook));
    BufferedReader in = new BufferedReader(new InputStreamReader(commands, StandardCharsets.UTF_8));
    for (String line; (line = in.readLine()) != null; ) {
      JsonNode command = json.readTree(line);
      List<String> words = new ArrayList<>();
      for (JsonNode word : command.get("args")) words.add(word.asText());
      synchronized (shown) { shown.reset(); exited = false; status = 0; }
      System.setIn(new ByteArrayInputStream(command.path("stdin").asText("").getBytes(StandardCharsets.UTF_8)));
      run(words.get(0), words.subList(1, words.size()).toArray(new String[0]));
      for (Runnable hook : hooks) hook.run(); // the console producer sends what it still has when it is closed by one
      hooks.clear();
      ObjectNode answer = json.createObjectNode();
      synchronized (shown) {
        answer.put("output", shown.toString(StandardCharsets.UTF_8));
        answer.put("exit", status);
        exited = true;
      }
      answers.println(answer);
      answers.flush();
    }
    for (Member m : members.values()) m.leave();
  }

  static void run(String tool, String[] args) {
    try {
      if (tool.equals("member-joins")) { join(args); return; }
      if (tool.equals("member-leaves")) { members.remove(args[0]).leave(); return; }
      String name = CLASSES.get(tool);
      if (name == null) throw new IllegalArgumentException("no tool " + tool);
      Class.forName(name).getMethod("main", String[].class).invoke(null, (Object) args);
    } catch (Throwable e) {
      Throwable cause = e instanceof java.lang.reflect.InvocationTargetException ? e.getCause() : e;
      if (cause instanceof Exited) return;
      System.err.print("Exception in thread \"main\" ");
      cause.printStackTrace();
      synchronized (shown) {
        if (!exited) { exited = true; status = 1; }
      }
    }
  }

  static final Map<String, Member> members = new HashMap<>();

  /** A member of a group, which polls until it is told to leave. */
  static final class Member extends Thread {
    final KafkaConsumer<byte[], byte[]> consumer;
    final CountDownLatch assigned = new CountDownLatch(1);
    volatile boolean leaving;

    Member(String bootstrap, String group, String topic, String protocol) {
      Properties p = new Properties();
      p.put("bootstrap.servers", bootstrap);
      p.put("group.id", group);
      p.put("group.protocol", protocol);
      p.put("client.id", "member-of-" + group);
      p.put("enable.auto.commit", "false");
      p.put("key.deserializer", ByteArrayDeserializer.class.getName());
      p.put("value.deserializer", ByteArrayDeserializer.class.getName());
      consumer = new KafkaConsumer<>(p);
      consumer.subscribe(List.of(topic), new ConsumerRebalanceListener() {
        @Override public void onPartitionsAssigned(Collection<TopicPartition> parts) { if (!parts.isEmpty()) assigned.countDown(); }
        @Override public void onPartitionsRevoked(Collection<TopicPartition> parts) { }
      });
      setDaemon(true);
    }

    @Override public void run() {
      try (consumer) {
        while (!leaving) consumer.poll(Duration.ofMillis(50));
      }
    }

    void leave() throws InterruptedException {
      leaving = true;
      join();
    }
  }

  /** member-joins BOOTSTRAP GROUP TOPIC PROTOCOL */
  static void join(String[] args) throws Exception {
    Member m = new Member(args[0], args[1], args[2], args[3]);
    m.start();
    members.put(args[1], m);
    if (!m.assigned.await(30, TimeUnit.SECONDS)) throw new IllegalStateException("no assignment after 30 s");
  }
}
