import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.*;
import java.util.concurrent.*;
import java.util.concurrent.atomic.AtomicInteger;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/** The Java client behind the line protocol of clients/driver.go: one JSON command a line in, one or more JSON answers a line out. */
public final class Driver {
  static final ObjectMapper json = new ObjectMapper();
  static final PrintStream out = new PrintStream(new java.io.FileOutputStream(java.io.FileDescriptor.out), false, StandardCharsets.UTF_8);

  static synchronized void say(JsonNode node) {
    out.println(node.toString());
    out.flush();
  }

  static byte[] bytes(JsonNode n) {
    return n == null || n.isNull() ? null : Base64.getDecoder().decode(n.asText());
  }

  static String text(byte[] b) {
    return b == null ? null : Base64.getEncoder().encodeToString(b);
  }

  public static void main(String[] args) throws Exception {
    System.setOut(System.err);
    BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    for (String line; (line = in.readLine()) != null; ) {
      JsonNode command = json.readTree(line);
      ObjectNode done = json.createObjectNode();
      done.put("done", true);
      try {
        switch (command.get("op").asText()) {
          case "produce": produce(command, done); break;
          case "run": run(command); break;
          case "consume": consume(command); break;
          case "offsets": offsets(command, done); break;
          case "create": create(command); break;
          case "delete": delete(command); break;
          case "list": list(command, done); break;
          case "describe": describe(command, done); break;
          default: throw new IllegalArgumentException("unknown op");
        }
      } catch (Throwable e) {
        Throwable cause = e instanceof ExecutionException ? e.getCause() : e;
        done.put("error", cause.getClass().getSimpleName() + ": " + cause.getMessage());
      }
      say(done);
    }
  }

  static Properties common(JsonNode c) {
    Properties p = new Properties();
    p.put("bootstrap.servers", c.get("bootstrap").asText());
    return p;
  }

  static KafkaProducer<byte[], byte[]> producer(JsonNode c) {
    Properties p = common(c);
    p.put("key.serializer", ByteArraySerializer.class.getName());
    p.put("value.serializer", ByteArraySerializer.class.getName());
    p.put("compression.type", c.get("codec").asText());
    p.put("enable.idempotence", c.get("idempotent").asText());
    p.put("acks", c.path("acks").asText("all"));
    p.put("linger.ms", "20");
    p.put("delivery.timeout.ms", "90000");
    p.put("request.timeout.ms", "30000");
    p.put("retry.backoff.max.ms", "200");
    p.put("reconnect.backoff.max.ms", "200");
    return new KafkaProducer<>(p);
  }

  static void produce(JsonNode c, ObjectNode done) throws Exception {
    ArrayNode acks = done.putArray("acks");
    try (KafkaProducer<byte[], byte[]> producer = producer(c)) {
      List<Future<RecordMetadata>> sent = new ArrayList<>();
      for (JsonNode r : c.get("records")) {
        List<Header> headers = new ArrayList<>();
        for (JsonNode h : r.path("h")) headers.add(new RecordHeader(h.get("k").asText(), bytes(h.get("v"))));
        sent.add(producer.send(new ProducerRecord<>(c.get("topic").asText(), r.get("p").asInt(), r.get("t").asLong(), bytes(r.get("k")), bytes(r.get("v")), headers)));
      }
      producer.flush();
      for (Future<RecordMetadata> f : sent) acks.add(f.get().offset());
    }
  }

  /** Produces count records a partition, values "partition-sequence-padding", and says each acknowledgement as it comes. */
  static void run(JsonNode c) throws Exception {
    int partitions = c.get("partitions").asInt(), count = c.get("count").asInt(), rate = c.get("rate").asInt();
    String pad = "x".repeat(c.get("pad").asInt());
    AtomicInteger left = new AtomicInteger(partitions * count);
    CountDownLatch end = new CountDownLatch(partitions * count);
    try (KafkaProducer<byte[], byte[]> producer = producer(c)) {
      long start = System.nanoTime();
      for (int i = 0; i < count; i++) {
        for (int p = 0; p < partitions; p++) {
          int partition = p, sequence = i;
          producer.send(new ProducerRecord<>(c.get("topic").asText(), p, null, (p + "-" + i + "-" + pad).getBytes(StandardCharsets.UTF_8)), (m, e) -> {
            ObjectNode a = json.createObjectNode();
            a.put("p", partition).put("s", sequence);
            if (e != null) a.put("e", e.toString()); else a.put("o", m.offset());
            say(a);
            end.countDown();
          });
        }
        long wait = start + (long) (i + 1) * partitions * 1_000_000_000L / rate - System.nanoTime();
        if (wait > 0) Thread.sleep(wait / 1_000_000, (int) (wait % 1_000_000));
      }
      producer.flush();
      end.await(120, TimeUnit.SECONDS);
    }
  }

  static KafkaConsumer<byte[], byte[]> consumer(JsonNode c) {
    Properties p = common(c);
    p.put("key.deserializer", ByteArrayDeserializer.class.getName());
    p.put("value.deserializer", ByteArrayDeserializer.class.getName());
    p.put("enable.auto.commit", "false");
    p.put("auto.offset.reset", "none");
    return new KafkaConsumer<>(p);
  }

  static void consume(JsonNode c) throws Exception {
    TopicPartition tp = new TopicPartition(c.get("topic").asText(), c.get("partition").asInt());
    try (KafkaConsumer<byte[], byte[]> consumer = consumer(c)) {
      consumer.assign(List.of(tp));
      switch (c.get("from").asText()) {
        case "earliest": consumer.seekToBeginning(List.of(tp)); break;
        case "latest": consumer.seekToEnd(List.of(tp)); break;
        case "offset": consumer.seek(tp, c.get("at").asLong()); break;
        case "timestamp":
          OffsetAndTimestamp o = consumer.offsetsForTimes(Map.of(tp, c.get("at").asLong())).get(tp);
          consumer.seek(tp, o.offset());
          break;
        default: throw new IllegalArgumentException("from");
      }
      long position = consumer.position(tp);
      say(json.createObjectNode().put("ready", true).put("o", position));
      long count = c.get("count").asLong(), deadline = System.nanoTime() + c.get("timeoutMs").asLong() * 1_000_000L;
      while (count > 0) {
        if (System.nanoTime() > deadline) throw new TimeoutException("still wants " + count + " records");
        for (ConsumerRecord<byte[], byte[]> r : consumer.poll(Duration.ofMillis(200))) {
          if (count-- <= 0) break;
          ObjectNode a = json.createObjectNode();
          a.put("o", r.offset()).put("t", r.timestamp()).put("k", text(r.key())).put("v", text(r.value()));
          ArrayNode hs = a.putArray("h");
          for (Header h : r.headers()) hs.addObject().put("k", h.key()).put("v", text(h.value()));
          say(a);
        }
      }
    }
  }

  static void offsets(JsonNode c, ObjectNode done) throws Exception {
    TopicPartition tp = new TopicPartition(c.get("topic").asText(), c.get("partition").asInt());
    try (Admin admin = Admin.create(common(c))) {
      ArrayNode found = done.putArray("offsets");
      for (JsonNode at : c.get("ats")) {
        OffsetSpec spec = at.asLong() == -1 ? OffsetSpec.latest() : at.asLong() == -2 ? OffsetSpec.earliest() : at.asLong() == -3 ? OffsetSpec.maxTimestamp() : OffsetSpec.forTimestamp(at.asLong());
        found.add(admin.listOffsets(Map.of(tp, spec)).partitionResult(tp).get().offset());
      }
    }
  }

  static void create(JsonNode c) throws Exception {
    try (Admin admin = Admin.create(common(c))) {
      Map<String, String> configs = new HashMap<>();
      c.path("configs").fields().forEachRemaining(e -> configs.put(e.getKey(), e.getValue().asText()));
      admin.createTopics(List.of(new NewTopic(c.get("topic").asText(), Optional.of(c.get("partitions").asInt()), Optional.of((short) c.path("replicas").asInt(1))).configs(configs))).all().get();
    }
  }

  static void delete(JsonNode c) throws Exception {
    try (Admin admin = Admin.create(common(c))) {
      admin.deleteTopics(List.of(c.get("topic").asText())).all().get();
    }
  }

  static void list(JsonNode c, ObjectNode done) throws Exception {
    try (Admin admin = Admin.create(common(c))) {
      ArrayNode names = done.putArray("names");
      for (String n : admin.listTopics().names().get()) names.add(n);
    }
  }

  static void describe(JsonNode c, ObjectNode done) throws Exception {
    String topic = c.get("topic").asText();
    try (Admin admin = Admin.create(common(c))) {
      TopicDescription d = admin.describeTopics(List.of(topic)).allTopicNames().get().get(topic);
      done.put("partitions", d.partitions().size());
      done.put("leader", d.partitions().get(0).leader().id());
      done.put("id", d.topicId().toString());
      DescribeClusterResult cluster = admin.describeCluster();
      done.put("nodes", cluster.nodes().get().size()).put("cluster", cluster.clusterId().get());
      ObjectNode configs = done.putObject("configs");
      ConfigResource r = new ConfigResource(ConfigResource.Type.TOPIC, topic);
      for (ConfigEntry e : admin.describeConfigs(List.of(r)).all().get().get(r).entries()) configs.put(e.name(), e.value());
    }
  }
}
