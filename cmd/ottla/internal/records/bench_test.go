package records

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/ottla-io/ottla/cmd/ottla/internal/clitest"
	"github.com/ottla-io/ottla/ottlatest"
)

func benched(t *testing.T, args ...string) (r benchResult) {
	t.Helper()
	out := shell.Must(t, "", append(append([]string{"bench"}, args...), "-o", "json")...)
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatalf("%s: %v", out, err)
	}
	if l := r.Latency; r.Seconds <= 0 || r.RecordsPerSecond <= 0 || l.P50 <= 0 || l.P50 > l.P95 || l.P95 > l.P99 || l.P99 > l.P999 || l.P999 > l.Max || r.Client.CPUSeconds <= 0 {
		t.Errorf("%v: %+v", args, r)
	}
	return r
}

func TestBench(t *testing.T) {
	b := ottlatest.Start(t).Addr()
	for _, c := range []struct {
		args    []string
		records int64
	}{
		{[]string{"produce", "-n", "3001", "-p", "3", "--producers", "2", "-z", "lz4"}, 3001},
		{[]string{"produce", "-n", "100", "--acks", "1", "--size", "16"}, 100},
		{[]string{"produce", "-n", "100", "--rate", "1000"}, 100},
		{[]string{"produce", "--rate", "400", "--duration", "250ms"}, 100},
		{[]string{"e2e", "-n", "501", "--rate", "0", "-p", "3", "--producers", "2", "--consumers", "2"}, 501},
		{[]string{"e2e", "-n", "50", "--rate", "500"}, 50},
	} {
		r := benched(t, append(c.args, "-b", b)...)
		if r.Records != c.records || r.Failed != 0 {
			t.Errorf("%v: %d records, %d failed", c.args, r.Records, r.Failed)
		}
	}
	// A producer's first contact is a record for each partition; consumers read these too.
	if r := benched(t, "consume", "-n", "5000", "-p", "4", "--consumers", "3", "-b", b); r.Records < 5000 || r.Records > 5004 || r.Consumers != 3 {
		t.Errorf("consume: %+v", r)
	}
	if out := shell.Must(t, "", "topic", "list", "-b", b); strings.Contains(out, "ottla-bench") {
		t.Errorf("topics are left behind:\n%s", out)
	}
}

// TestBenchLeavesNothing: its topic is not kept in the trash, and a protected one is deleted all the same.
func TestBenchLeavesNothing(t *testing.T) {
	b, _ := clitest.StartOnDisk(t, nil)
	benched(t, "produce", "-n", "10", "-c", "ottla.topic.deletion.protection=true", "-b", b.Addr())
	for _, list := range []string{shell.Must(t, "", "topic", "list", "-b", b.Addr()), shell.Must(t, "", "topic", "trash", "list", "-b", b.Addr())} {
		if strings.Contains(list, "ottla-bench") {
			t.Errorf("it is left behind:\n%s", list)
		}
	}
}

// TestBenchOfATopic: a topic that was named is used as it is, whatever else is in it, and is kept.
func TestBenchOfATopic(t *testing.T) {
	b := ottlatest.Start(t).Addr()
	shell.Must(t, strings.Repeat("something of somebody else's\n", 7), "produce", "t", "-b", b)
	if r := benched(t, "consume", "--topic", "t", "-b", b); r.Records != 7 || r.Topic != "t" {
		t.Errorf("%+v", r)
	}
	if r := benched(t, "e2e", "--topic", "t", "-n", "20", "--rate", "0", "-b", b); r.Records != 20 {
		t.Errorf("%+v", r)
	}
	if out := shell.Must(t, "", "consume", "t", "-n", "7", "-b", b); !strings.HasPrefix(out, "something") {
		t.Errorf("the topic is not as it was: %q", out)
	}
	text := shell.Must(t, "", "bench", "produce", "--topic", "t", "-n", "100", "-b", b)
	for _, want := range []string{"produce t: 1 partition, 1 producer, 1024 B records, acks all", "records     100 in", "p99.9", "cores"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}

func TestBenchRefuses(t *testing.T) {
	b := ottlatest.Start(t).Addr()
	for want, args := range map[string][]string{
		"without bounds":              {"produce", "--duration", "0"},
		"--size 8":                    {"e2e", "--size", "8"},
		"--producers 0":               {"produce", "--producers", "0"},
		"--consumers 0":               {"consume", "--consumers", "0"},
		"--partitions 0":              {"produce", "-p", "0"},
		"--rate -1":                   {"produce", "--rate", "-1"},
		"not be negative":             {"produce", "-n", "-1"},
		"UNKNOWN_TOPIC_OR_PARTITION":  {"produce", "--topic", "nope"},
		"has no records to read":      {"consume", "--topic", "empty"},
		"compression \"zip\"":         {"produce", "-z", "zip"},
		"MESSAGE_TOO_LARGE":           {"produce", "--size", "2000000", "-n", "3"},
		"INVALID_REPLICATION_FACTOR":  {"produce", "-r", "3"},
		"bench has no command produc": {"produc"},
	} {
		if want == "has no records to read" {
			shell.Must(t, "", "topic", "create", "empty", "-b", b)
		}
		if args[0] != "produc" {
			args = append(args, "-b", b)
		}
		if r := shell.Runs(t, "", append([]string{"bench"}, args...)...); r.Code != 1 || !strings.Contains(r.Stderr, want) {
			t.Errorf("%v: %+v, want %q", args, r, want)
		}
	}
	if out := shell.Must(t, "", "topic", "list", "-b", b); strings.Contains(out, "ottla-bench") {
		t.Errorf("topics are left behind:\n%s", out)
	}
}
