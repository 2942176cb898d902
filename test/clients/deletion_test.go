package clients

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ottla-io/ottla/test/broker"
)

// TestDeletion: Kafka's tools delete records and lower a topic's retention; kcat, franz-go and the tools see where the log begins, before and after a SIGKILL.
func TestDeletion(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	b, err := broker.Start(broker.Config{Dir: t.TempDir(), Settings: map[string]string{"log.retention.check.interval.ms": "300", "log.segment.delete.delay.ms": "500"}})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Kill()
	const count = 500
	createTopic(t, ctx, b.Addr(), "shorter", 3)
	readers := []Client{NewFranz(b.Addr()), newKcat(b.Addr())}
	r := &run{client: readers[0], ledger: NewLedger(), cfg: RunConfig{Topic: "shorter", Partitions: 3, Count: count, Rate: 5000, Pad: 1000, Codec: "none", Idempotent: true}}
	if err := readers[0].Run(ctx, r.cfg, r.ledger.Ack); err != nil {
		t.Fatal(err)
	}
	deletion := func(offsets ...string) (string, error) {
		var parts []string
		for p, offset := range offsets {
			parts = append(parts, fmt.Sprintf(`{"topic":"shorter","partition":%d,"offset":%s}`, p, offset))
		}
		file := filepath.Join(t.TempDir(), "offsets.json")
		if err := os.WriteFile(file, []byte(`{"version":1,"partitions":[`+strings.Join(parts, ",")+`]}`), 0o644); err != nil {
			t.Fatal(err)
		}
		return tryTool(t, "", "delete-records", "--bootstrap-server", b.Addr(), "--offset-json-file", file)
	}
	out, err := deletion("123", "-1")
	if err != nil {
		t.Fatal(err, out)
	}
	want(t, "delete-records", out, `partition: shorter-0\s+low_watermark: 123`, fmt.Sprintf(`partition: shorter-1\s+low_watermark: %d`, count))
	out, _ = deletion("99999")
	want(t, "delete-records past the end", out, `partition: shorter-0\s+error: .*(OffsetOutOfRange|not within the range)`)

	begins := func(when string, starts ...int64) {
		t.Helper()
		for _, client := range readers {
			for p, start := range starts {
				found, err := client.Offsets(ctx, "shorter", int32(p), []int64{-2, -1})
				if err != nil || found[0] != start || found[1] != count {
					t.Errorf("%s: %s finds partition %d from %v, want %d to %d: %v", when, client.Name(), p, found, start, count, err)
				}
			}
		}
		for _, client := range readers {
			n := int(count - starts[0])
			if n == 0 {
				continue
			}
			records, err := client.Consume(ctx, "shorter", 0, From{Kind: "earliest"}, n, func(int64) {})
			if err != nil || len(records) != n || records[0].Offset != starts[0] {
				t.Errorf("%s: %s reads %d records, want %d from offset %d on: %v", when, client.Name(), len(records), n, starts[0], err)
			}
		}
	}
	begins("after the deletion", 123, count, 0)
	b.Kill()
	if err := b.Restart(); err != nil {
		t.Fatal(err)
	}
	begins("after a SIGKILL", 123, count, 0)
	rejectComplaints(t, tool(t, "", "dump-log", "--deep-iteration", "--files", segments(t, b, "shorter", 0, "log")))

	out = tool(t, "", "configs", "--bootstrap-server", b.Addr(), "--alter", "--entity-type", "topics", "--entity-name", "shorter", "--add-config", "retention.ms=100")
	want(t, "configs", out, "Completed updating config")
	for {
		found, err := readers[0].Offsets(ctx, "shorter", 2, []int64{-2})
		if err != nil {
			t.Fatal(err)
		}
		if found[0] == count {
			break
		}
		if ctx.Err() != nil {
			t.Fatalf("retention.ms=100 leaves records from %d on", found[0])
		}
		time.Sleep(100 * time.Millisecond)
	}
	begins("after retention", count, count, count)
	for bytes := dirBytes(t, b.PartitionDir("shorter", 2)); bytes > 100_000; bytes = dirBytes(t, b.PartitionDir("shorter", 2)) {
		if ctx.Err() != nil {
			t.Fatalf("%d bytes are left of what retention deleted", bytes)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

func dirBytes(t *testing.T, dir string) (sum int64) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if info, err := e.Info(); err == nil {
			sum += info.Size()
		}
	}
	return sum
}
