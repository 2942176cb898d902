package engines

import (
	"fmt"
	"testing"
)

// TestFlume: an agent carries a topic over a channel, which is a topic, too, into another topic. The broker is killed in the middle, and later the
// agent, which goes on from what its source and its channel had committed.
func TestFlume(t *testing.T) {
	b := newBench(t)
	for _, topic := range []string{"flights", "flume-channel", "flights-flume"} {
		b.create(topic, 2)
	}
	agent := func() *process {
		return b.java("agent", "flume", "org.apache.flume.node.Application", "--name", "agent", "--no-reload-conf", "--conf-file", b.config("flume/agent.properties"))
	}
	b.publish("flights", b.flights[:7000])
	first := agent()
	b.until("the first flights are copied", func() bool { return b.size("flights-flume") >= 1000 }, first)
	b.crash()
	b.publish("flights", b.flights[7000:14_000])
	b.until("half is copied", func() bool { return b.size("flights-flume") >= 10_000 }, first)
	first.kill()
	b.publish("flights", b.flights[14_000:])
	second := agent()
	missing, copies := b.copied("flights-flume", second)
	second.stop()
	// What it had not committed when it was killed is carried again, not all.
	if missing != 0 || copies >= 10_000 {
		t.Errorf("%d flights are missing and %d are there again", missing, copies)
	}
	b.record("Flume", jarVersion(t, "flume", "flume-ng-node"), fmt.Sprintf(
		"Kafka source, channel and sink; broker killed, agent killed and started again: no flight is missing; %d are there again", copies))
}

// copied waits until a topic has every flight.
func (b *bench) copied(topic string, alive *process) (missing, copies int) {
	b.t.Helper()
	b.until("all is in "+topic, func() bool {
		if b.size(topic) < len(b.flights) {
			return false
		}
		missing, copies = b.all(topic, b.values(topic))
		return missing == 0
	}, alive)
	return missing, copies
}
