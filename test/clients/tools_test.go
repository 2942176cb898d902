package clients

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ottla-io/ottla/test/broker"
)

// tool runs one of Kafka's own command-line tools and returns what it printed.
func tool(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	out, err := tryTool(t, stdin, args...)
	if err != nil {
		t.Fatalf("kafka %v: %v\n%s", args, err, out)
	}
	return out
}

func tryTool(t *testing.T, stdin string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(broker.ModuleDir(), "kafka/kafka"), args...)
	cmd.Stdin = strings.NewReader(stdin)
	var out, complaints bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaints
	err := cmd.Run()
	return out.String() + complaints.String(), err
}

func want(t *testing.T, what, out string, pieces ...string) {
	t.Helper()
	for _, piece := range pieces {
		if !regexp.MustCompile(piece).MatchString(out) {
			t.Errorf("%s lacks %q:\n%s", what, piece, out)
		}
	}
}

// TestKafkaTools: Kafka's own command-line tools against the broker, as in its quick start.
func TestKafkaTools(t *testing.T) {
	at := []string{"--bootstrap-server", shared.Addr()}
	with := func(name string, args ...string) []string { return append(append([]string{name}, at...), args...) }

	want(t, "topics --create", tool(t, "", with("topics", "--create", "--topic", "tools", "--partitions", "2", "--config", "retention.ms=86400000")...), "Created topic tools")
	out, err := tryTool(t, "", with("topics", "--create", "--topic", "tools")...)
	if err == nil {
		t.Error("topics --create of an existing topic succeeds")
	}
	want(t, "topics --create again", out, "Topic 'tools' already exists", "TopicExistsException")
	want(t, "topics --list", tool(t, "", with("topics", "--list")...), "(?m)^tools$")
	want(t, "topics --describe", tool(t, "", with("topics", "--describe", "--topic", "tools")...), `Topic: tools\s+TopicId: \S{22}\s+PartitionCount: 2\s+ReplicationFactor: 1\s+Configs: .*retention.ms=86400000`,
		`Partition: 1\s+Leader: \d+\s+Replicas: (\d+)\s+Isr: \d+`)

	t.Run("console", func(t *testing.T) {
		for i, codec := range allCodecs {
			var in strings.Builder
			for n := range 20 {
				fmt.Fprintf(&in, "h:%s\tkey%d\tvalue %s %d\n", codec, n, codec, n)
			}
			tool(t, in.String(), with("console-producer", "--topic", "tools", "--compression-codec", codec, "--reader-property", "parse.key=true",
				"--reader-property", "parse.headers=true", "--command-property", "linger.ms=50")...)
			if n := total(t, at); n != int64(20*(i+1)) {
				t.Fatalf("%d records after the run with %s, want %d", n, codec, 20*(i+1))
			}
		}
		var all []string
		for p := range 2 {
			out := tool(t, "", with("console-consumer", "--topic", "tools", "--partition", fmt.Sprint(p), "--offset", "earliest", "--timeout-ms", "3000",
				"--formatter-property", "print.key=true", "--formatter-property", "print.headers=true", "--formatter-property", "print.offset=true")...)
			next := 0
			for line := range strings.Lines(out) {
				if rest, ok := strings.CutPrefix(line, fmt.Sprintf("Offset:%d\t", next)); ok {
					all = append(all, strings.TrimSpace(rest))
					next++
				}
			}
		}
		for _, codec := range allCodecs {
			for n := range 20 {
				if line := fmt.Sprintf("h:%s\tkey%d\tvalue %s %d", codec, n, codec, n); !slices.Contains(all, line) {
					t.Fatalf("console-consumer did not print %q among\n%s", line, strings.Join(all, "\n"))
				}
			}
		}
		if len(all) != 100 {
			t.Errorf("console-consumer printed %d records, want 100", len(all))
		}
		out := tool(t, "", with("console-consumer", "--topic", "tools", "--partition", "0", "--offset", "3", "--max-messages", "1", "--formatter-property", "print.offset=true")...)
		want(t, "console-consumer --offset 3", out, "(?m)^Offset:3\t")
	})

	t.Run("get-offsets", func(t *testing.T) {
		want(t, "get-offsets earliest", tool(t, "", with("get-offsets", "--topic", "tools", "--time", "earliest")...), "(?m)^tools:0:0$", "(?m)^tools:1:0$")
		if out := tool(t, "", with("get-offsets", "--topic", "tools", "--time", fmt.Sprint(time.Now().Add(time.Hour).UnixMilli()))...); strings.Contains(out, "tools:") {
			t.Errorf("get-offsets of the future finds %s", out)
		}
		want(t, "get-offsets since an hour ago", tool(t, "", with("get-offsets", "--topic", "tools", "--time", fmt.Sprint(time.Now().Add(-time.Hour).UnixMilli()))...), "(?m)^tools:0:0$", "(?m)^tools:1:0$")
		want(t, "get-offsets max-timestamp", tool(t, "", with("get-offsets", "--topic", "tools", "--time", "max-timestamp")...), `(?m)^tools:0:\d+$`)
	})

	t.Run("producer-perf", func(t *testing.T) {
		for _, acks := range []string{"1", "all", "0"} {
			want(t, "producer-perf", tool(t, "", "producer-perf", "--topic", "tools", "--num-records", "20000", "--record-size", "200", "--throughput", "-1",
				"--command-property", "bootstrap.servers="+shared.Addr(), "acks="+acks, "linger.ms=5"), "20000 records sent")
		}
		if n := total(t, at); n != 60_100 {
			t.Errorf("%d records after producer-perf, want 60100", n)
		}
	})

	t.Run("dump-log", func(t *testing.T) {
		seen := map[string]bool{}
		records := 0
		for p := range 2 {
			out := tool(t, "", "dump-log", "--deep-iteration", "--print-data-log", "--files", segments(t, shared, "tools", p, "log"))
			want(t, "dump-log", out, "(?m)^baseOffset: 0 .* magic: 2 .* isvalid: true")
			rejectComplaints(t, out)
			for _, m := range regexp.MustCompile(`compresscodec: (\w+)`).FindAllStringSubmatch(out, -1) {
				seen[m[1]] = true
			}
			records += strings.Count(out, "\n| offset: ")
			rejectComplaints(t, tool(t, "", "dump-log", "--files", segments(t, shared, "tools", p, "index")))
			rejectComplaints(t, tool(t, "", "dump-log", "--files", segments(t, shared, "tools", p, "timeindex")))
		}
		if records != 60_100 {
			t.Errorf("dump-log shows %d records, want 60100", records)
		}
		for _, codec := range allCodecs {
			if !seen[codec] {
				t.Errorf("dump-log shows no batch of codec %s", codec)
			}
		}
	})

	tool(t, "", with("topics", "--delete", "--topic", "tools")...)
}

// total is the sum of the partitions' ends as get-offsets tells it.
func total(t *testing.T, at []string) (sum int64) {
	t.Helper()
	out := tool(t, "", append([]string{"get-offsets", "--topic", "tools"}, at...)...)
	for _, m := range regexp.MustCompile(`(?m)^tools:\d+:(\d+)$`).FindAllStringSubmatch(out, -1) {
		n, _ := strconv.ParseInt(m[1], 10, 64)
		sum += n
	}
	return sum
}

// segments lists the files of a partition with one ending, as dump-log wants them.
func segments(t *testing.T, b *broker.Broker, topic string, partition int, ending string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(b.PartitionDir(topic, partition), "*."+ending))
	if err != nil || len(files) == 0 {
		t.Fatalf("no .%s file in %s", ending, b.PartitionDir(topic, partition))
	}
	return strings.Join(files, ",")
}

// rejectComplaints fails on what dump-log prints of a broken file: it exits 0 all the same.
func rejectComplaints(t *testing.T, out string) {
	t.Helper()
	for _, bad := range []string{"isvalid: false", "Found", "Mismatch", "out of order", "Exception", "corrupt", "Indexed offset", "trailing"} {
		if i := strings.Index(out, bad); i >= 0 {
			t.Errorf("dump-log complains: %s", out[max(0, i-300):min(len(out), i+500)])
		}
	}
}

// TestVerifyWhatKafkaWrote: `ottla log verify` passes on a directory that Kafka wrote with every codec, and fails once a byte of it is turned.
func TestVerifyWhatKafkaWrote(t *testing.T) {
	bin, err := broker.Binary()
	if err != nil {
		t.Fatal(err)
	}
	ctx := testContext(t)
	b, err := broker.Start(broker.Config{Kind: broker.Kafka, Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Kill()
	createTopic(t, ctx, b.Addr(), "foreign", 1)
	for i, codec := range allCodecs {
		if _, err := NewFranz(b.Addr()).Produce(ctx, ProduceConfig{Topic: "foreign", Codec: codec, Idempotent: true}, makeRecords(uint64(i), 200, 0, Traits{})); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Stop(); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{b.PartitionDir("foreign", 0), b.PartitionDir("__cluster_metadata", 0)} {
		if out, err := exec.CommandContext(ctx, bin, "log", "verify", dir).CombinedOutput(); err != nil {
			t.Errorf("ottla log verify %s: %v\n%s", dir, err, out)
		}
	}
	file := filepath.Join(b.PartitionDir("foreign", 0), "00000000000000000000.log")
	turnByte(t, file, 5000)
	if out, err := exec.CommandContext(ctx, bin, "log", "verify", b.PartitionDir("foreign", 0)).CombinedOutput(); err == nil {
		t.Errorf("ottla log verify passes a turned byte:\n%s", out)
	}
}

// turnByte inverts one byte of a file in place.
func turnByte(t *testing.T, file string, at int64) {
	t.Helper()
	f, err := os.OpenFile(file, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	var b [1]byte
	if _, err := f.ReadAt(b[:], at); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 0xff
	if _, err := f.WriteAt(b[:], at); err != nil {
		t.Fatal(err)
	}
}
