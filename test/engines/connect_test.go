package engines

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ottla-io/ottla/test/broker"
)

const connectLog = "-Dlog4j2.configurationFile=file:"

// javaFlags are what an engine's JVM wants beyond memory.
var javaFlags = map[string][]string{
	"connect": {connectLog + filepath.Join(broker.ModuleDir(), "kafka/log4j2.properties")},
	"flume":   {"-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"},
}

// feed appends flights to the file that a source reads, in steps, each when the one before it is nearly in the topic.
func (b *bench) feed(file string, from, to int, alive ...*process) {
	b.t.Helper()
	const step = 1000
	for ; from < to; from += step {
		end := min(from+step, to)
		b.extend(file, from, end)
		b.until(fmt.Sprintf("the topic has flights up to %d", end-step/2), func() bool { return b.size("flights") >= end-step/2 }, alive...)
	}
}

// extend appends flights to a file.
func (b *bench) extend(file string, from, to int) {
	b.t.Helper()
	out, err := os.OpenFile(file, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		b.t.Fatal(err)
	}
	defer out.Close()
	if _, err := out.WriteString(strings.Join(b.flights[from:to], "\n") + "\n"); err != nil {
		b.t.Fatal(err)
	}
}

// TestConnectStandalone: a file becomes a topic, and the topic a file. The broker is killed when half of it is done; later the worker is stopped, and a
// new one goes on from its file of offsets.
func TestConnectStandalone(t *testing.T) {
	b := newBench(t)
	b.create("flights", 1)
	from, to := filepath.Join(b.dir, "flights.jsonl"), filepath.Join(b.dir, "flights.copy")
	args := []string{
		b.config("connect/standalone.properties", "=connect.offsets", "="+filepath.Join(b.dir, "connect.offsets"), "127.0.0.1:8083", freeAddress(t)),
		b.config("connect/source.properties", "/var/lib/flights.jsonl", from), b.config("connect/sink.properties", "/var/lib/flights.copy", to),
	}
	worker := b.java("worker", "connect", "org.apache.kafka.connect.cli.ConnectStandalone", args...)
	b.feed(from, 0, 8000, worker)
	b.broker.Kill()
	b.extend(from, 8000, 12_000) // the source goes on reading
	if err := b.broker.Restart(); err != nil {
		t.Fatal(err)
	}
	b.until("all that was written meanwhile is in the topic", func() bool { return b.size("flights") >= 12_000 }, worker)
	b.until("the sink has it", func() bool { return len(lines(to)) >= 12_000 }, worker)
	worker.stop()
	worker = b.java("worker", "connect", "org.apache.kafka.connect.cli.ConnectStandalone", args...)
	b.feed(from, 12_000, len(b.flights), worker)
	b.until("all is in the topic", func() bool { return b.size("flights") >= len(b.flights) }, worker)
	var missing, copies int
	b.until("the sink has all", func() bool { missing, copies = b.all("the sink's file", lines(to)); return missing == 0 }, worker)
	worker.stop()
	if have := b.values("flights"); !slices.Equal(have, b.flights) {
		missing, copies := b.all("the topic", have)
		t.Fatalf("the topic has %d records, %d flights are missing and %d are there again, wanted the file's lines in order", len(have), missing, copies)
	}
	b.record("Kafka Connect, standalone", jarVersion(t, "connect", "connect-runtime"), fmt.Sprintf(
		"file to topic to file; broker killed, worker restarted: the topic is the file, line by line; the sink wrote %d lines again", copies))
}

// TestConnectDistributed: the same with two workers, of which the one that reads the file is killed, and then the broker.
func TestConnectDistributed(t *testing.T) {
	b := newBench(t)
	b.create("flights", 4)
	from, to := filepath.Join(b.dir, "flights.jsonl"), filepath.Join(b.dir, "flights.copy")
	workers, rest := make([]*process, 2), make([]string, 2)
	for i := range workers {
		rest[i] = freeAddress(t)
		config := b.config("connect/distributed.properties", "127.0.0.1:8083", rest[i])
		own := strings.TrimSuffix(config, ".properties") + fmt.Sprint(i) + ".properties"
		if err := os.Rename(config, own); err != nil {
			t.Fatal(err)
		}
		workers[i] = b.java(fmt.Sprint("worker", i), "connect", "org.apache.kafka.connect.cli.ConnectDistributed", own)
		b.until("the worker serves", func() bool { _, err := get(rest[i] + "/connectors"); return err == nil }, workers[:i+1]...)
	}
	b.hire(rest[1], b.config("connect/source.properties", "/var/lib/flights.jsonl", from))
	b.hire(rest[1], b.config("connect/sink.properties", "/var/lib/flights.copy", to))
	b.feed(from, 0, 6000, workers...)
	b.until("the source's offset is committed", func() bool { return b.size("connect-offsets") > 0 }, workers...)
	reads := b.owner(rest[1], "flights-source", rest)
	workers[reads].kill()
	left := workers[1-reads]
	b.feed(from, 6000, 12_000, left)
	var missing, again, copies int
	b.until("the topic has what was fed", func() bool {
		missing, again = b.all("the topic", b.values("flights"))
		return missing == len(b.flights)-12_000
	}, left)
	// What a worker had not committed when it was killed is read again: seconds of it, not all.
	if again >= 6000 {
		t.Errorf("%d records are in the topic again: the source began at the start of its file, not at the offset in connect-offsets", again)
	}
	b.broker.Kill()
	b.extend(from, 12_000, 16_000)
	if err := b.broker.Restart(); err != nil {
		t.Fatal(err)
	}
	b.feed(from, 16_000, len(b.flights), left)
	b.until("the topic has all", func() bool {
		if b.size("flights") < len(b.flights) {
			return false
		}
		missing, again = b.all("the topic", b.values("flights"))
		return missing == 0
	}, left)
	b.until("the sink has all", func() bool { missing, copies = b.all("the sink's file", lines(to)); return missing == 0 }, left)
	b.compacted("connect-configs", "connect-offsets", "connect-status")
	left.stop()
	b.record("Kafka Connect, distributed", jarVersion(t, "connect", "connect-runtime"), fmt.Sprintf(
		"two workers, the one that reads the file killed, broker killed: no flight is missing; %d records in the topic again, %d lines of the sink", again, copies))
}

// owner is which of the workers, by their REST addresses, runs the only task of a connector; the one at address is asked.
func (b *bench) owner(address, connector string, workers []string) (which int) {
	b.t.Helper()
	b.until(connector+" runs somewhere", func() bool {
		var status struct {
			Tasks []struct {
				State  string `json:"state"`
				Worker string `json:"worker_id"`
			} `json:"tasks"`
		}
		body, err := get(address + "/connectors/" + connector + "/status")
		if err != nil || json.Unmarshal([]byte(body), &status) != nil || len(status.Tasks) != 1 {
			return false
		}
		which = slices.Index(workers, status.Tasks[0].Worker)
		return which >= 0 && status.Tasks[0].State == "RUNNING"
	})
	return which
}

// hire gives a connector to the worker whose REST is at address.
func (b *bench) hire(address, properties string) {
	b.t.Helper()
	config := map[string]string{}
	for _, line := range lines(properties) {
		if key, value, ok := strings.Cut(line, "="); ok {
			config[key] = value
		}
	}
	body, err := json.Marshal(map[string]any{"name": config["name"], "config": config})
	if err != nil {
		b.t.Fatal(err)
	}
	b.until("the connector "+config["name"]+" is taken", func() bool {
		reply, err := http.Post("http://"+address+"/connectors", "application/json", bytes.NewReader(body))
		if err != nil {
			return false
		}
		defer reply.Body.Close()
		said, _ := io.ReadAll(reply.Body)
		if reply.StatusCode == http.StatusConflict { // the workers still share out what there is
			return false
		}
		if reply.StatusCode != http.StatusCreated {
			b.t.Fatalf("connector %s: %s: %s", config["name"], reply.Status, said)
		}
		return true
	})
}

// compacted demands that topics are compacted.
func (b *bench) compacted(topics ...string) {
	b.t.Helper()
	configs, err := b.admin.DescribeTopicConfigs(b.ctx, topics...)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, topic := range configs {
		policy := ""
		for _, c := range topic.Configs {
			if c.Key == "cleanup.policy" {
				policy = c.MaybeValue()
			}
		}
		if topic.Err != nil || policy != "compact" {
			b.t.Errorf("%s: cleanup.policy %q (%v), wanted compact", topic.Name, policy, topic.Err)
		}
	}
}

func get(address string) (string, error) {
	reply, err := http.Get("http://" + address)
	if err != nil {
		return "", err
	}
	defer reply.Body.Close()
	body, err := io.ReadAll(reply.Body)
	if err == nil && reply.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", reply.Status, body)
	}
	return string(body), err
}

// freeAddress is a HOST:PORT that nobody listens at.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
