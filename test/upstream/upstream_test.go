// Package upstream runs the tests that client libraries ship about themselves against the broker under test: those of franz-go and of librdkafka that are
// about consumer groups, with both group protocols. They are run as they are published; which of them, and why not others, is said here.
package upstream

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ottla-io/ottla/test/broker"
)

// start gives a broker as these tests expect one: topics that are made on demand have four partitions, and groups begin at once.
func start(t *testing.T) *broker.Broker {
	t.Helper()
	settings := map[string]string{"num.partitions": "4", "group.initial.rebalance.delay.ms": "0"}
	if broker.Peer() == broker.Kafka {
		settings["offsets.topic.replication.factor"] = "1"
	}
	b, err := broker.Start(broker.Config{Dir: t.TempDir(), Settings: settings})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		b.Kill()
		if t.Failed() {
			out := b.Output()
			t.Logf("the broker said:\n%s", out[max(0, len(out)-4000):])
		}
	})
	return b
}

// TestFranzGo: a chain of groups with members that come and go reads each record once and in order, with the range, sticky and cooperative-sticky
// assignors, the classic and the KIP-848 protocol, dynamic and static members.
func TestFranzGo(t *testing.T) {
	b := start(t)
	ctx, cancel := context.WithTimeout(t.Context(), 6*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", "test", "-count=1", "-timeout", "5m", "-run", "^TestGroupETL$", "-v", "github.com/twmb/franz-go/pkg/kgo")
	cmd.Dir = broker.ModuleDir()
	cmd.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "KGO_SEEDS="+b.Addr(), "KGO_TEST_RF=1", "KGO_TEST_RECORDS=20000")
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: TestGroupETL") {
		t.Fatalf("franz-go's TestGroupETL: %v\n%s", err, out[max(0, len(out)-6000):])
	}
	if n := strings.Count(string(out), "    --- PASS: TestGroupETL/"); n != 6 {
		t.Errorf("%d of its 6 cases passed", n)
	}
}

// librdkafka's tests by number: those about groups, regular expressions, offsets and pauses. Left out: those with a mock cluster of their own, those that want
// transactions (0061, 0137), those that take over two minutes (0045, 0091, 0113), and those that hang on a race or on times so closely that they fail now and then against Kafka here, too (0089, 0102, 0118).
var librdkafka = []string{"0116-kafkaconsumer_close", "0106-cgrp_sess_timeout", "0026-consume_pause", "0122-buffer_cleaning_after_rebalance",
	"0033-regex_subscribe", "0018-cgrp_term", "0050-subscribe_adds", "0034-offset_reset", "0120-asymmetric_subscription", "0051-assign_adds", "0030-offset_commit", "0132-strategy_ordering",
	"0019-list_groups", "0014-reconsume_191", "0056-balanced_group_mt", "0099-commit_metadata", "0140-commit_metadata", "0029-assign_offset", "0130-store_offsets"}

// outcome is what one of them printed, and how it ended.
type outcome struct {
	text string
	err  error
}

func TestLibrdkafka(t *testing.T) {
	b := start(t)
	slots := make(chan struct{}, 6) // they wait more than they work
	outcomes := map[string]chan outcome{}
	for _, protocol := range []string{"classic", "consumer"} {
		for _, name := range librdkafka {
			done := make(chan outcome, 1)
			outcomes[protocol+name] = done
			go func() {
				slots <- struct{}{}
				defer func() { <-slots }()
				done <- runLibrdkafka(t.Context(), b.Addr(), protocol, name)
			}()
		}
	}
	for _, protocol := range []string{"classic", "consumer"} {
		for _, name := range librdkafka {
			o := <-outcomes[protocol+name]
			t.Run(protocol+"/"+name, func(t *testing.T) {
				// By its own name: the runner's summary says PASSED of itself whatever was skipped.
				own := "Test " + strings.Replace(name, "-", "_", 1)
				passed := strings.Contains(o.text, own+" PASSED")
				switch {
				case o.err == nil && !passed && strings.Contains(o.text, own+" SKIPPED"):
					t.Skip("skips itself")
				case o.err != nil || !passed:
					t.Fatalf("%v\n%s", o.err, o.text[max(0, len(o.text)-5000):])
				}
			})
		}
	}
}

func runLibrdkafka(ctx context.Context, addr, protocol, name string) outcome {
	source := filepath.Join(broker.Cache(), "librdkafka", "source")
	config, err := os.CreateTemp("", "librdkafka-test-*.conf")
	if err != nil {
		return outcome{err: err}
	}
	defer func() { _ = os.Remove(config.Name()) }()
	if _, err := config.WriteString("bootstrap.servers=" + addr + "\n"); err != nil {
		return outcome{err: err}
	}
	if err := config.Close(); err != nil {
		return outcome{err: err}
	}
	number, _, _ := strings.Cut(name, "-")
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "./test-runner", "-E", "-p1")
	cmd.Dir = filepath.Join(source, "tests")
	cmd.Env = append(os.Environ(), "TESTS="+number, "RDKAFKA_TEST_CONF="+config.Name(), "TEST_KAFKA_VERSION=4.0.0", "TEST_CONSUMER_GROUP_PROTOCOL="+protocol,
		fmt.Sprintf("LD_LIBRARY_PATH=%s/src:%s/src-cpp", source, source))
	out, err := cmd.CombinedOutput()
	return outcome{string(out), err}
}
