package clients

import (
	"context"
	"testing"
	"time"

	"github.com/ottla-io/ottla/test/broker"
)

// TestKafkaConfigs: kafka-configs changes settings of brokers, topics and groups; it shows what it set, and where each value comes from, before and after a
// SIGKILL. The throttles that kafka-reassign-partitions sets are taken too.
func TestKafkaConfigs(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	b, err := broker.Start(broker.Config{Dir: t.TempDir(), Settings: map[string]string{"max.connections": "1000"}})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Kill()
	createTopic(t, ctx, b.Addr(), "configured", 1)
	configs := func(args ...string) []string {
		return append([]string{"configs", "--bootstrap-server", b.Addr()}, args...)
	}
	for _, change := range []struct{ kind, name, settings string }{
		{"brokers", "", "max.connections=700,num.io.threads=12,log.retention.ms=360000000"},
		{"brokers", "1", "max.connections=800,max.connections.per.ip.overrides=[127.0.0.1:300,::1:200],leader.replication.throttled.rate=10000"},
		{"topics", "configured", "cleanup.policy=[compact,delete],retention.ms=7200000"},
		{"groups", "readers", "consumer.session.timeout.ms=50000"},
	} {
		entity := []string{"--entity-name", change.name}
		if change.name == "" {
			entity = []string{"--entity-default"}
		}
		out := tool(t, "", append(configs("--alter", "--entity-type", change.kind, "--add-config", change.settings), entity...)...)
		want(t, "alter "+change.kind, out, "Completed updating (default )?config")
	}
	check := func(when string) {
		t.Helper()
		want(t, when+", all brokers", tool(t, "", configs("--describe", "--entity-type", "brokers", "--entity-default")...),
			`max.connections=700 sensitive=false synonyms=\{DYNAMIC_DEFAULT_BROKER_CONFIG:max.connections=700\}`, `num.io.threads=12 `)
		want(t, when+", the broker", tool(t, "", configs("--describe", "--all", "--entity-type", "brokers", "--entity-name", "1")...),
			`max.connections=800 sensitive=false synonyms=\{DYNAMIC_BROKER_CONFIG:max.connections=800, DYNAMIC_DEFAULT_BROKER_CONFIG:max.connections=700, STATIC_BROKER_CONFIG:max.connections=1000, DEFAULT_CONFIG:max.connections=2147483647\}`,
			`max.connections.per.ip.overrides=127.0.0.1:300,::1:200 `, `leader.replication.throttled.rate=10000 `, `num.partitions=1 .*DEFAULT_CONFIG:num.partitions=1`, `listeners=PLAINTEXT://\S+:\d+ .*STATIC`, `log.dirs=\S+ .*STATIC`)
		want(t, when+", the topic", tool(t, "", configs("--describe", "--entity-type", "topics", "--entity-name", "configured")...),
			`cleanup.policy=compact,delete `, `retention.ms=7200000 sensitive=false synonyms=\{DYNAMIC_TOPIC_CONFIG:retention.ms=7200000, DYNAMIC_DEFAULT_BROKER_CONFIG:log.retention.ms=360000000, DEFAULT_CONFIG:log.retention.hours=168\}`)
		want(t, when+", the group", tool(t, "", configs("--describe", "--entity-type", "groups", "--entity-name", "readers")...),
			`consumer.session.timeout.ms=50000 `)
	}
	check("at first")
	b.Kill()
	if err := b.Restart(); err != nil {
		t.Fatal(err)
	}
	check("after a SIGKILL")
	for setting, sentence := range map[string]string{
		"num.partitions=3":              `Cannot update these configs dynamically: \[num.partitions\]`,
		"num.io.threads=0":              "Invalid value 0 for configuration num.io.threads: Value must be at least 1",
		"sasl.enabled.mechanisms=PLAIN": "there is no authentication yet",
	} {
		out, err := tryTool(t, "", configs("--alter", "--entity-type", "brokers", "--entity-name", "1", "--add-config", setting)...)
		if err == nil {
			t.Errorf("%s was taken", setting)
		}
		want(t, setting, out, sentence)
	}
	tool(t, "", configs("--alter", "--entity-type", "brokers", "--entity-name", "1", "--delete-config", "max.connections,leader.replication.throttled.rate")...)
	want(t, "one default less", tool(t, "", configs("--describe", "--all", "--entity-type", "brokers", "--entity-name", "1")...), `max.connections=700 .*\{DYNAMIC_DEFAULT_BROKER_CONFIG`)
}
