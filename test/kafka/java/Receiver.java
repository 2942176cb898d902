import java.util.List;
import java.util.Map;
import org.apache.kafka.common.metrics.KafkaMetric;
import org.apache.kafka.common.metrics.MetricsReporter;
import org.apache.kafka.server.telemetry.ClientTelemetry;
import org.apache.kafka.server.telemetry.ClientTelemetryReceiver;

/** A receiver of client metrics (KIP-714), without which Kafka hides its APIs. It opens what it gets, and keeps nothing. */
public final class Receiver implements MetricsReporter, ClientTelemetry {
  @Override public ClientTelemetryReceiver clientReceiver() {
    return (context, payload) -> payload.data().remaining();
  }

  @Override public void init(List<KafkaMetric> metrics) {}
  @Override public void metricChange(KafkaMetric metric) {}
  @Override public void metricRemoval(KafkaMetric metric) {}
  @Override public void close() {}
  @Override public void configure(Map<String, ?> settings) {}
}
