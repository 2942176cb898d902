import java.util.Properties;
import org.apache.storm.Config;
import org.apache.storm.LocalCluster;
import org.apache.storm.kafka.bolt.KafkaBolt;
import org.apache.storm.kafka.bolt.mapper.FieldNameBasedTupleToKafkaMapper;
import org.apache.storm.kafka.bolt.selector.DefaultTopicSelector;
import org.apache.storm.kafka.spout.FirstPollOffsetStrategy;
import org.apache.storm.kafka.spout.KafkaSpout;
import org.apache.storm.kafka.spout.KafkaSpoutConfig;
import org.apache.storm.topology.TopologyBuilder;

/** Flights is a topology that copies a topic, at least once: a tuple that the bolt could not write is read again. */
public class Flights {
    public static void main(String[] args) throws Exception {
        String bootstrap = args.length > 0 ? args[0] : "localhost:9092";

        KafkaSpoutConfig<String, String> from = KafkaSpoutConfig.builder(bootstrap, "flights")
            .setProp("group.id", "storm")
            .setFirstPollOffsetStrategy(FirstPollOffsetStrategy.UNCOMMITTED_EARLIEST)
            .setProcessingGuarantee(KafkaSpoutConfig.ProcessingGuarantee.AT_LEAST_ONCE)
            .setOffsetCommitPeriodMs(1000)
            .build();

        Properties producer = new Properties();
        producer.put("bootstrap.servers", bootstrap);
        producer.put("acks", "all");
        producer.put("key.serializer", "org.apache.kafka.common.serialization.StringSerializer");
        producer.put("value.serializer", "org.apache.kafka.common.serialization.StringSerializer");
        KafkaBolt<String, String> to = new KafkaBolt<String, String>()
            .withProducerProperties(producer)
            .withTopicSelector(new DefaultTopicSelector("flights-storm"))
            .withTupleToKafkaMapper(new FieldNameBasedTupleToKafkaMapper<>("key", "value"));

        TopologyBuilder topology = new TopologyBuilder();
        topology.setSpout("from", new KafkaSpout<>(from));
        topology.setBolt("to", to).shuffleGrouping("from");

        Config config = new Config();
        config.setMaxSpoutPending(500);
        LocalCluster cluster = new LocalCluster();
        cluster.submitTopology("flights", config, topology.createTopology());
        Thread.currentThread().join();
    }
}
