package storage_test

import (
	"errors"
	"testing"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/run"
	"github.com/ottla-io/ottla/internal/storage"
	"github.com/ottla-io/ottla/internal/vfs"
)

// A log that is damaged below its recovery point is refused with the place of the damage, stays as it is, and is refused at the next start too, whatever
// happens to the others, which serve.
func TestCorruptLogIsRefusedAndOthersServe(t *testing.T) {
	mem := vfs.NewMem(1)
	s := openStore(t, mem, "data")
	other := ids.TopicPartition{Topic: "other"}
	for _, tp := range []ids.TopicPartition{tp0, other} {
		l, err := s.OpenLog(tp, topicID, storage.LogConfig{})
		if err != nil {
			t.Fatal(err)
		}
		for range 5 {
			mustAppend(t, l, makeBatch(t, 2, 20, 1), 0)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := mem.Remove("data/.kafka_cleanshutdown"); err != nil {
		t.Fatal(err)
	}
	file := "data/t-0/00000000000000000000.log"
	flip(t, mem, file, 8*300)
	before, err := mem.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		events := 0
		s, err := storage.Open(storage.Config{FS: mem, Env: run.OS(), Dirs: []string{"data"}, NodeID: 1,
			Events: storage.Events{Corrupt: func(*storage.CorruptError) { events++ }}})
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			_, err = s.OpenLog(tp0, topicID, storage.LogConfig{})
			var c *storage.CorruptError
			if !errors.As(err, &c) || c.File != file || c.Position != 238 || c.Offset != 4 || c.Log != tp0 {
				t.Fatalf("open: %v (%+v)", err, c)
			}
		}
		if events != 1 {
			t.Errorf("%d events", events)
		}
		l, err := s.OpenLog(other, topicID, storage.LogConfig{})
		if err != nil {
			t.Fatal(err)
		}
		mustAppend(t, l, makeBatch(t, 1, 1, 1), 1)
		if got, err := readAll(l, 0, l.LogEnd(), 1000); err != nil || len(got) == 0 {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := mem.Stat("data/.kafka_cleanshutdown"); err == nil {
			t.Fatal("a directory with a corrupt log was marked clean")
		}
	}
	if after, err := mem.Stat(file); err != nil || after != before {
		t.Errorf("the file changed from %+v to %+v: %v", before, after, err)
	}
}

// ottla.durability=replicated: nothing is synced for an append, except new files; flush.messages does it when asked.
func TestReplicatedDurability(t *testing.T) {
	sim := run.NewSim(1)
	sim.Run(func() {
		s, err := storage.Open(storage.Config{FS: vfs.NewMem(1), Env: sim, Dirs: []string{"data"}, NodeID: 1})
		if err != nil {
			t.Fatal(err)
		}
		l := openLog(t, s, storage.LogConfig{Durability: storage.Replicated})
		wait := func() { sim.NewSignal().WaitFor(1e9) }
		b := makeBatch(t, 1, 10, 1)
		mustAppend(t, l, b, 0)
		wait()
		if l.DurableEnd() != 1 {
			t.Errorf("durable end %d after the first append: its directory must be synced soon", l.DurableEnd())
		}
		for range 9 {
			mustAppend(t, l, b, 0)
		}
		wait()
		if l.DurableEnd() != 1 || l.LogEnd() != 10 {
			t.Errorf("durable end %d of %d", l.DurableEnd(), l.LogEnd())
		}
		l.SetConfig(storage.LogConfig{Durability: storage.Replicated, FlushMessages: 5})
		mustAppend(t, l, b, 0)
		wait()
		if l.DurableEnd() != 11 {
			t.Errorf("durable end %d with flush.messages=5", l.DurableEnd())
		}
		l.SetConfig(storage.LogConfig{Durability: storage.Replicated, FlushMs: 200})
		mustAppend(t, l, b, 0)
		if sim.NewSignal().WaitFor(1e8); l.DurableEnd() != 11 {
			t.Errorf("durable end %d 100 ms after an append with flush.ms=200", l.DurableEnd())
		}
		if wait(); l.DurableEnd() != 12 {
			t.Errorf("durable end %d with flush.ms=200", l.DurableEnd())
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}
