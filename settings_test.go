package ottla_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/ottla-io/ottla"
)

// logText is a log that several goroutines write.
type logText struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logText) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logText) take() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	text := l.text.String()
	l.text.Reset()
	return text
}

// admits tells whether a new connection gets an answer to ApiVersions v0, rather than its end.
func admits(t *testing.T, broker *ottla.Broker) bool {
	t.Helper()
	conn, err := net.Dial("tcp", broker.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := conn.Write([]byte{0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 1, 0xff, 0xff}); err != nil {
		return false
	}
	_, err = io.ReadFull(conn, make([]byte, 8))
	if timeout, ok := err.(net.Error); ok && timeout.Timeout() {
		t.Fatal("a connection was neither answered nor ended")
	}
	return err == nil
}

func setBroker(t *testing.T, admin *kadm.Client, op kadm.IncrementalOp, key, value string, ids ...int32) error {
	t.Helper()
	answers, err := admin.AlterBrokerConfigs(patient(t), []kadm.AlterConfig{{Op: op, Name: key, Value: &value}}, ids...)
	if err != nil {
		t.Fatal(err)
	}
	return answers[0].Err
}

// TestConnectionLimitsChange: max.connections and its kin count for the next connection, and after a restart; those that are open stay.
func TestConnectionLimitsChange(t *testing.T) {
	dir := t.TempDir()
	start := func() (*ottla.Broker, *kadm.Client) {
		broker, err := ottla.Start(ottla.Config{DataDir: dir, NodeID: 1, Settings: map[string]string{"max.connections.per.ip": "1000"}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { broker.Close(context.Background()) })
		return broker, kadm.NewClient(newClient(t, broker))
	}
	broker, admin := start()
	if _, err := admin.BrokerMetadata(patient(t)); err != nil {
		t.Fatal(err)
	}
	steps := []struct {
		op         kadm.IncrementalOp
		key, value string
		ids        []int32
		admits     bool
	}{
		{kadm.SetConfig, "max.connections", "1", nil, false},
		{kadm.SetConfig, "max.connections", "1000", []int32{1}, true},
		{kadm.DeleteConfig, "max.connections", "", []int32{1}, false},
		{kadm.DeleteConfig, "max.connections", "", nil, true},
		{kadm.SetConfig, "max.connections.per.ip", "1", []int32{1}, false},
		{kadm.SetConfig, "max.connections.per.ip.overrides", "127.0.0.1:1000,::1:3", []int32{1}, true},
		{kadm.SetConfig, "max.connections.per.ip", "0", []int32{1}, true},
		{kadm.SetConfig, "max.connections.per.ip.overrides", "127.0.0.1:1", []int32{1}, false},
		{kadm.SetConfig, "max.connections.per.ip.overrides", "10.0.0.1:1,127.0.0.1:500", []int32{1}, true},
	}
	for _, step := range steps {
		if err := setBroker(t, admin, step.op, step.key, step.value, step.ids...); err != nil {
			t.Fatalf("%s=%s: %v", step.key, step.value, err)
		}
		if got := admits(t, broker); got != step.admits {
			t.Errorf("%s=%s on %v: admits %v", step.key, step.value, step.ids, got)
		}
	}
	if err := setBroker(t, admin, kadm.DeleteConfig, "max.connections.per.ip.overrides", "", 1); err == nil {
		t.Error("everybody was locked out")
	}
	if err := setBroker(t, admin, kadm.SetConfig, "max.connections", "0", 1); err == nil {
		t.Error("everybody was locked out")
	}
	if err := setBroker(t, admin, kadm.SetConfig, "max.connections.per.ip.overrides", "127.0.0.1:0", 1); err != nil {
		t.Fatal(err)
	}
	if err := broker.Close(patient(t)); err != nil {
		t.Fatal(err)
	}
	if broker, _ = start(); admits(t, broker) {
		t.Error("a restart forgot the limit of an address")
	}
}

// TestReload: what may change in a running broker does, and counts in DescribeConfigs as static; the rest is named, and waits.
func TestReload(t *testing.T) {
	var log logText
	config := ottla.Config{DataDir: t.TempDir(), NodeID: 1, Listen: "127.0.0.1:0", Logger: slog.New(slog.NewTextHandler(&log, nil)),
		Settings: map[string]string{"message.max.bytes": "5000", "num.partitions": "2", "log.retention.ms": "70000"}}
	broker, err := ottla.Start(config)
	if err != nil {
		t.Fatal(err)
	}
	defer broker.Close(context.Background())
	admin := kadm.NewClient(newClient(t, broker))
	if err := setBroker(t, admin, kadm.SetConfig, "log.retention.ms", "80000", 1); err != nil {
		t.Fatal(err)
	}
	log.take()
	config.Settings = map[string]string{"message.max.bytes": "6000", "num.partitions": "3", "log.retention.ms": "90000", "group.consumer.assignment.interval.ms": "7", "max.connections.per.ip": "1"}
	config.Listen = "127.0.0.1:1"
	if err := broker.Reload(config); err != nil {
		t.Fatal(err)
	}
	said := log.take()
	for _, want := range []string{
		`msg="a setting changed" setting=message.max.bytes value=6000` + "\n",
		`msg="a setting changed" setting=log.retention.ms value=90000 overruledBy=80000` + "\n",
		`msg="a setting changed" setting=group.consumer.assignment.interval.ms value=7` + "\n",
		`msg="a changed setting counts from the next start on" setting=num.partitions running=2 configured=3` + "\n",
		`msg="a changed setting counts from the next start on" setting=listeners running=PLAINTEXT://127.0.0.1:0 configured=PLAINTEXT://127.0.0.1:1` + "\n",
	} {
		if !strings.Contains(said, want) {
			t.Errorf("the log lacks %q:\n%s", want, said)
		}
	}
	if strings.Count(said, "\n") != 6 {
		t.Errorf("not one line for each change:\n%s", said)
	}
	if admits(t, broker) {
		t.Error("the new max.connections.per.ip does not count")
	}
	wantSetting(t, admin, "message.max.bytes", "6000", "STATIC_BROKER_CONFIG")
	wantSetting(t, admin, "num.partitions", "2", "STATIC_BROKER_CONFIG")
	wantSetting(t, admin, "log.retention.ms", "80000", "DYNAMIC_BROKER_CONFIG")
	if err := setBroker(t, admin, kadm.DeleteConfig, "log.retention.ms", "", 1); err != nil {
		t.Fatal(err)
	}
	wantSetting(t, admin, "log.retention.ms", "90000", "STATIC_BROKER_CONFIG")

	config.Settings = map[string]string{"message.max.bytes": "x", "max.connections.per.ip": "9"}
	if err := broker.Reload(config); err == nil || !strings.Contains(err.Error(), "Not a number of type INT") {
		t.Errorf("a bad value: %v", err)
	}
	wantSetting(t, admin, "max.connections.per.ip", "1", "STATIC_BROKER_CONFIG")
	config.Settings, config.Listen = map[string]string{"num.partitions": "2"}, "127.0.0.1:0"
	if err := broker.Reload(config); err != nil {
		t.Fatal(err)
	}
	wantSetting(t, admin, "message.max.bytes", "1048588", "DEFAULT_CONFIG")
	if !admits(t, broker) {
		t.Error("a setting that was taken out still counts")
	}
	log.take()
	if err := broker.Reload(config); err != nil {
		t.Fatal(err)
	}
	if said := log.take(); strings.Count(said, "\n") != 1 || !strings.Contains(said, "none changed") {
		t.Errorf("nothing changed, and the log says:\n%s", said)
	}
}

func wantSetting(t *testing.T, admin *kadm.Client, key, value, source string) {
	t.Helper()
	described, err := admin.DescribeBrokerConfigs(patient(t), 1)
	if err != nil {
		t.Fatal(err)
	}
	for _, config := range described[0].Configs {
		if config.Key == key {
			if config.MaybeValue() != value || config.Source.String() != source {
				t.Errorf("%s is %s from %s, want %s from %s", key, config.MaybeValue(), config.Source, value, source)
			}
			return
		}
	}
	t.Errorf("%s is not described", key)
}
