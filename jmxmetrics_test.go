package ottla_test

import (
	"context"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/ottla-io/ottla"
)

// kafkaPanels are selectors that Strimzi's Kafka, KRaft and Kafka Exporter dashboards plot, as far as what they show exists here.
const kafkaPanels = `
kafka_server_brokertopicmetrics_bytesin_total{topic="t"}
kafka_server_brokertopicmetrics_bytesout_total{topic="t"}
kafka_server_brokertopicmetrics_messagesin_total{topic="t"}
kafka_server_brokertopicmetrics_totalproducerequests_total{topic="t"}
kafka_server_brokertopicmetrics_totalfetchrequests_total{topic="t"}
kafka_server_brokertopicmetrics_failedproducerequests_total{topic="t"}
kafka_server_brokertopicmetrics_failedfetchrequests_total{topic="t"}
kafka_server_brokertopicmetrics_bytesrejected_total
kafka_server_brokertopicmetrics_messagesin_total
kafka_server_replicamanager_leadercount
kafka_server_replicamanager_partitioncount
kafka_server_replicamanager_underreplicatedpartitions
kafka_server_replicamanager_underminisrpartitioncount
kafka_server_replicamanager_atminisrpartitioncount
kafka_server_replicamanager_offlinereplicacount
kafka_server_replicamanager_isrshrinks_total
kafka_cluster_partition_atminisr{partition="0",topic="t"}
kafka_cluster_partition_underminisr{partition="0",topic="t"}
kafka_controller_kafkacontroller_activecontrollercount
kafka_controller_kafkacontroller_offlinepartitionscount
kafka_log_log_size{partition="0",topic="t"}
kafka_log_logmanager_offlinelogdirectorycount
kafka_server_socket_server_metrics_connection_count{listener="PLAINTEXT"}
kafka_network_requestmetrics_requests_total{request="Produce"}
kafka_network_requestmetrics_totaltimems{quantile="0.99",request="Produce"}
kafka_network_requestmetrics_totaltimems{quantile="0.999",request="FetchConsumer"}
kafka_network_requestmetrics_totaltimems_count{request="Produce"}
kafka_network_requestmetrics_remotetimems{quantile="0.50",request="Produce"}
kafka_network_requestmetrics_requestqueuetimems{quantile="0.95",request="Produce"}
kafka_network_requestmetrics_localtimems{quantile="0.95",request="Produce"}
kafka_network_requestmetrics_responsequeuetimems{quantile="0.95",request="Produce"}
kafka_network_requestmetrics_responsesendtimems{quantile="0.95",request="Produce"}
kafka_network_requestmetrics_errors_total{error="GROUP_ID_NOT_FOUND",request="DeleteGroups"}
kafka_server_delayedoperationpurgatory_purgatorysize{delayedOperation="Produce"}
kafka_server_raftmetrics_current_leader
kafka_server_raftmetrics_current_epoch
kafka_server_raftmetrics_high_watermark
kafka_server_raftmetrics_log_end_offset
kafka_log_logflushstats_logflushrateandtimems_count
kafka_brokers
process_open_fds
kafka_topic_partitions{topic="t"}
kafka_topic_partition_current_offset{partition="0",topic="t"}
kafka_topic_partition_oldest_offset{partition="0",topic="t"}
kafka_topic_partition_in_sync_replica{partition="0",topic="t"}
kafka_topic_partition_under_replicated_partition{partition="0",topic="t"}
kafka_consumergroup_current_offset{consumergroup="g",partition="0",topic="t"}
kafka_consumergroup_lag{consumergroup="g",partition="0",topic="t"}
kafka_consumergroup_lag_sum{consumergroup="g",topic="t"}
kafka_consumergroup_members{consumergroup="g"}
`

// TestKafkaNames: the panels of Kafka's dashboards have what they plot, with true values.
func TestKafkaNames(t *testing.T) {
	for _, setting := range []string{"false", "true"} {
		broker, err := ottla.Start(ottla.Config{InMemory: true, NodeID: 3, Admin: "127.0.0.1:0", Settings: map[string]string{"ottla.metrics.jmx.names": setting}})
		if err != nil {
			t.Fatal(err)
		}
		defer broker.Close(context.Background())
		client := newClient(t, broker, kgo.ConsumeTopics("t"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
		const records = 40
		produce(t, client, "t", 0, records)
		client.PollFetches(patient(t))
		var offsets kadm.Offsets
		offsets.AddOffset("t", 0, 25, -1)
		admin := kadm.NewClient(client)
		if _, err := admin.CommitOffsets(patient(t), "g", offsets); err != nil {
			t.Fatal(err)
		}
		if _, err := admin.DeleteGroup(patient(t), "nobody"); err == nil {
			t.Fatal("a group that is not there was deleted")
		}
		jmx, all := scrapeSamples(t, broker, "/metrics?names=jmx"), scrapeSamples(t, broker, "/metrics")
		ours := scrapeSamples(t, broker, "/metrics?names=ottla")
		for _, selector := range strings.Split(strings.TrimSpace(kafkaPanels), "\n") {
			if _, ok := jmx[selector]; !ok {
				t.Errorf("no %s", selector)
			}
			if _, ok := all[selector]; !strings.HasPrefix(selector, "process_") && ok != (setting == "true") {
				t.Errorf("with ottla.metrics.jmx.names=%s, %s in /metrics is %v", setting, selector, ok)
			}
		}
		for selector := range ours {
			if !strings.HasPrefix(selector, "ottla_") && !strings.HasPrefix(selector, "process_") {
				t.Errorf("names=ottla tells of %s", selector)
			}
		}
		for selector, want := range map[string]float64{
			`kafka_server_brokertopicmetrics_messagesin_total{topic="t"}`:                                  records,
			`kafka_server_brokertopicmetrics_messagesin_total`:                                             records,
			`kafka_server_brokertopicmetrics_failedproducerequests_total{topic="t"}`:                       0,
			`kafka_server_brokertopicmetrics_bytesin_total`:                                                ours["ottla_produced_bytes_total"],
			`kafka_server_replicamanager_partitioncount`:                                                   ours["ottla_partitions"],
			`kafka_server_replicamanager_leadercount`:                                                      ours["ottla_partitions"],
			`kafka_server_replicamanager_underreplicatedpartitions`:                                        0,
			`kafka_cluster_partition_atminisr{partition="0",topic="t"}`:                                    1,
			`kafka_topic_partition_current_offset{partition="0",topic="t"}`:                                records,
			`kafka_topic_partition_leader{partition="0",topic="t"}`:                                        3,
			`kafka_log_log_logendoffset{partition="0",topic="t"}`:                                          records,
			`kafka_log_log_numlogsegments{partition="0",topic="t"}`:                                        1,
			`kafka_consumergroup_lag{consumergroup="g",partition="0",topic="t"}`:                           records - 25,
			`kafka_consumergroup_current_offset_sum{consumergroup="g",topic="t"}`:                          25,
			`kafka_network_requestmetrics_errors_total{error="GROUP_ID_NOT_FOUND",request="DeleteGroups"}`: 1,
			`kafka_controller_kafkacontroller_globaltopiccount`:                                            ours["ottla_topics"],
			`kafka_server_raftmetrics_current_leader`:                                                      3,
		} {
			if got, ok := jmx[selector]; !ok || got != want {
				t.Errorf("%s is %v (%v), want %v", selector, got, ok, want)
			}
		}
		if half, most := jmx[`kafka_network_requestmetrics_totaltimems{quantile="0.50",request="Produce"}`], jmx[`kafka_network_requestmetrics_totaltimems{quantile="0.999",request="Produce"}`]; half <= 0 || half > most {
			t.Errorf("half of the produces took at most %v ms, and nearly all at most %v", half, most)
		}
		response, err := http.Get("http://" + broker.AdminAddr() + "/metrics?names=zookeeper")
		if err != nil {
			t.Fatal(err)
		}
		if text := readBody(t, response); response.StatusCode != http.StatusBadRequest || !strings.Contains(text, "jmx or ottla") {
			t.Errorf("unknown names: %d %q", response.StatusCode, text)
		}
		client.Close() // its long poll would hold up the broker
	}
}

// scrapeSamples is what a path of the admin server tells, by name and labels.
func scrapeSamples(t *testing.T, broker *ottla.Broker, path string) map[string]float64 {
	t.Helper()
	response, err := http.Get("http://" + broker.AdminAddr() + path)
	if err != nil {
		t.Fatal(err)
	}
	samples := map[string]float64{}
	for _, m := range regexp.MustCompile(`(?m)^(\w+(?:\{.*\})?) (\S+)$`).FindAllStringSubmatch(readBody(t, response), -1) {
		value, err := strconv.ParseFloat(m[2], 64)
		if err != nil {
			t.Fatalf("%s: %v", m[0], err)
		}
		samples[m[1]] = value
	}
	return samples
}

// TestWaitingConsumersCountOnce: what consumers that wait for it are sent counts as fetched once.
func TestWaitingConsumersCountOnce(t *testing.T) {
	broker, err := ottla.Start(ottla.Config{InMemory: true, Admin: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	defer broker.Close(context.Background())
	producer := newClient(t, broker)
	produce(t, producer, "t", 0, 1)
	// It waits for several records, so that each of them makes its fetch look.
	consumer := newClient(t, broker, kgo.ConsumeTopics("t"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMinBytes(300), kgo.FetchMaxWait(time.Second))
	defer consumer.Close()
	for read, sent := 0, 1; read < 40; {
		fetches := consumer.PollFetches(patient(t))
		if read += fetches.NumRecords(); fetches.Err() != nil {
			t.Fatal(fetches.Err())
		}
		for ; sent < 40 && sent < read+10; sent++ {
			produce(t, producer, "t", sent, 1)
		}
	}
	if samples := scrapeSamples(t, broker, "/metrics"); samples["ottla_fetched_bytes_total"] != samples["ottla_produced_bytes_total"] {
		t.Errorf("%v bytes were produced and %v fetched", samples["ottla_produced_bytes_total"], samples["ottla_fetched_bytes_total"])
	}
}
