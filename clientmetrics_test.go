package ottla_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ottla-io/ottla"
)

// TestClientMetrics: a client that we did not write pushes what a subscription asks for, and /metrics shows it; also after a restart, which
// keeps the subscription and forgets the client.
func TestClientMetrics(t *testing.T) {
	config := ottla.Config{DataDir: t.TempDir(), NodeID: 1, Admin: "127.0.0.1:0"}
	start := func() *ottla.Broker {
		broker, err := ottla.Start(config)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { broker.Close(context.Background()) })
		return broker
	}
	broker := start()
	req := kmsg.NewPtrIncrementalAlterConfigsRequest()
	resource := kmsg.NewIncrementalAlterConfigsRequestResource()
	resource.ResourceType, resource.ResourceName = kmsg.ConfigResourceTypeClientMetrics, "watched"
	for name, value := range map[string]string{"metrics": "org.apache.kafka.", "interval.ms": "100", "match": "client_id=watch.*"} {
		setting := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
		setting.Name, setting.Value = name, kmsg.StringPtr(value)
		resource.Configs = append(resource.Configs, setting)
	}
	req.Resources = append(req.Resources, resource)
	resp, err := req.RequestWith(patient(t), newClient(t, broker))
	if err != nil || resp.Resources[0].ErrorCode != 0 {
		t.Fatalf("%v %+v", err, resp)
	}
	for _, when := range []string{"at first", "after a restart"} {
		other := newClient(t, broker, kgo.ClientID("other"), kgo.DefaultProduceTopic("metered"))
		produce(t, other, "metered", 0, 1)
		client := newClient(t, broker, kgo.ClientID("watched"), kgo.DefaultProduceTopic("metered"))
		deadline := time.Now().Add(patience)
		for n, text := 0, ""; !strings.Contains(text, `client_id="watched"`); n++ {
			if time.Now().After(deadline) {
				t.Fatalf("%s: no metrics of the client in:\n%s", when, text)
			}
			produce(t, client, "metered", n, 1)
			if text = scrape(t, broker); strings.Contains(text, `client_id="other"`) {
				t.Errorf("%s: metrics of a client that no subscription is for", when)
			}
		}
		if err := broker.Close(context.Background()); err != nil {
			t.Fatal(err)
		}
		broker = start()
		if text := scrape(t, broker); strings.Contains(text, "client_instance_id") || !strings.Contains(text, "ottla_client_metrics_subscriptions 1") {
			t.Errorf("after a restart:\n%s", text)
		}
	}
}

func scrape(t *testing.T, broker *ottla.Broker) string {
	t.Helper()
	resp, err := http.Get("http://" + broker.AdminAddr() + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%d %v\n%s", resp.StatusCode, err, text)
	}
	return string(text)
}
