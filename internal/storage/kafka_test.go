package storage_test

import (
	"bytes"
	"os"
	"testing"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/record"
	"github.com/ottla-io/ottla/internal/storage"
	"github.com/ottla-io/ottla/internal/vfs"
)

const kafkaDir = "../../testdata/kafka-4.3.1"

// copyKafka copies a directory that Kafka 4.3.1 wrote to where it may be changed.
func copyKafka(t *testing.T) string {
	t.Helper()
	dir := t.TempDir() + "/data"
	if err := os.CopyFS(dir, os.DirFS(kafkaDir)); err != nil {
		t.Fatal(err)
	}
	return dir
}

// What Kafka wrote opens, reads whole and goes on: after an unclean stop (the directory has no mark of a clean one), with a recovery from Kafka's
// own recovery points, and after our own clean stop.
func TestKafkaDirectory(t *testing.T) {
	dir := copyKafka(t)
	s := openStore(t, vfs.OS(), dir)
	if s.ClusterID() != "vt-il7rmROW5QiXQgZR9lQ" {
		t.Errorf("cluster id %s", s.ClusterID())
	}
	found := s.Found()
	if len(found) != 4 {
		t.Errorf("found %v", found)
	}
	for round := range 2 {
		for _, f := range found {
			l, err := s.OpenLog(f.Topic, f.ID, storage.LogConfig{Compact: f.Topic.Topic != "t"})
			if err != nil {
				t.Fatal(err)
			}
			raw, err := os.ReadFile(kafkaDir + "/" + f.Topic.String() + "/00000000000000000000.log")
			if err != nil {
				t.Fatal(err)
			}
			got, err := readAll(l, 0, l.LogEnd(), 30_000)
			if err != nil || !bytes.HasPrefix(got, raw) || round == 0 && len(got) != len(raw) {
				t.Fatalf("%s: read %d bytes of %d: %v", f.Topic, len(got), len(raw), err)
			}
			last := ids.Offset(0)
			for rest := got; len(rest) > 0; {
				b, tail, err := record.Next(rest)
				if err != nil || b.CRC() != b.ComputeCRC() {
					t.Fatalf("%s: batch after %d: %v", f.Topic, last, err)
				}
				last, rest = b.NextOffset(), tail
			}
			if last != l.LogEnd() || f.Topic.Topic == "t" && round == 0 && last != 3020 {
				t.Errorf("%s ends at %d, last batch at %d", f.Topic, l.LogEnd(), last)
			}
			if _, err := l.Append(makeBatch(t, 2, 10, 1_800_000_000_000), 100+ids.LeaderEpoch(round), 0); err != nil {
				t.Error(err)
			}
			if _, ok, err := l.MaxTimestamp(l.LogEnd()); !ok || err != nil {
				t.Errorf("%s: no largest timestamp: %v", f.Topic, err)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = openStore(t, vfs.OS(), dir)
	}
	s.Close()
}

// kill -9 before Kafka's first checkpoint leaves empty checkpoint files and indexes at their preallocated size, full of zeros.
func TestKafkaDirectoryAfterAKill(t *testing.T) {
	dir := copyKafka(t)
	for _, name := range []string{"recovery-point-offset-checkpoint", "log-start-offset-checkpoint", "replication-offset-checkpoint"} {
		if err := os.WriteFile(dir+"/"+name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	tp := ids.TopicPartition{Topic: "t"}
	segment := dir + "/" + tp.String() + "/00000000000000000000"
	for _, suffix := range []string{".index", ".timeindex"} {
		if err := os.Truncate(segment+suffix, 10<<20/12*12); err != nil {
			t.Fatal(err)
		}
	}
	raw, err := os.ReadFile(segment + ".log")
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		s := openStore(t, vfs.OS(), dir)
		for _, f := range s.Found() {
			l, err := s.OpenLog(f.Topic, f.ID, storage.LogConfig{Compact: f.Topic != tp})
			if err != nil {
				t.Fatal(err)
			}
			if f.Topic != tp {
				continue
			}
			if got, err := readAll(l, 0, l.LogEnd(), 30_000); err != nil || !bytes.Equal(got, raw) {
				t.Errorf("read %d bytes of %d: %v", len(got), len(raw), err)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		for _, suffix := range []string{".index", ".timeindex"} {
			if e, err := os.Stat(segment + suffix); err != nil || e.Size() == 0 || e.Size() > 10_000 {
				t.Errorf("%s has %d bytes: %v", suffix, e.Size(), err)
			}
		}
	}
}
