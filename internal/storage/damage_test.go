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
