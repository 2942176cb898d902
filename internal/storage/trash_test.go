package storage_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/run"
	"github.com/ottla-io/ottla/internal/storage"
	"github.com/ottla-io/ottla/internal/vfs"
)

// listed are the names in a directory that contain some text.
func listed(t *testing.T, fs vfs.FS, dir, part string) (names []string) {
	t.Helper()
	entries, err := fs.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if strings.Contains(e.Name, part) {
			names = append(names, e.Name)
		}
	}
	return names
}

// TestTrash: what went into the trash comes out as it was, its log start too, under whatever name, after a restart, and although another topic has its name.
func TestTrash(t *testing.T) {
	for _, restart := range []bool{false, true} {
		mem := vfs.NewMem(1)
		s := openStore(t, mem, "data")
		l := openLog(t, s, storage.LogConfig{})
		w := waitOn(run.OS(), l)
		for i := range 5 {
			mustAppend(t, l, makeBatch(t, 2, 100, int64(i)), 3)
		}
		if err := w.flush(l); err != nil {
			t.Fatal(err)
		}
		d := []storage.RecordDeletion{{Log: l, Before: 3}} // inside a batch
		if s.DeleteRecords(d); d[0].Err != nil {
			t.Fatal(d[0].Err)
		}
		want, err := readAll(l, 3, 10, 1<<20)
		if err != nil || len(want) == 0 {
			t.Fatal(len(want), err)
		}
		if err := s.TrashLogs(storage.LogName{Topic: tp0, ID: topicID}, storage.LogName{Topic: ids.TopicPartition{Topic: "t", Partition: 1}, ID: topicID}); err != nil {
			t.Fatal(err)
		}
		if trash := s.Trash(); len(trash) != 1 || trash[0].ID != topicID || trash[0].SizeBytes < 1000 {
			t.Errorf("trash: %+v", trash)
		}
		if names := listed(t, mem, "data", "-stray"); len(names) != 1 || names[0] != "t-0.01020300000000000000000000000000-stray" {
			t.Errorf("in the trash: %v", names)
		}
		if restart {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			s = openStore(t, mem, "data")
		}
		other, err := s.OpenLog(tp0, ids.TopicID{9}, storage.LogConfig{})
		if err != nil || other.LogEnd() != 0 {
			t.Fatalf("another topic of the name: %v", err)
		}
		mustAppend(t, other, makeBatch(t, 1, 10, 1), 0)
		elsewhere := ids.TopicPartition{Topic: "elsewhere", Partition: 0}
		l, err = s.OpenLog(elsewhere, topicID, storage.LogConfig{})
		if err != nil || l.LogStart() != 3 || l.LogEnd() != 10 || l.DurableEnd() != 10 || l.LatestEpoch() != 3 {
			t.Fatalf("restored from %d to %d: %v", l.LogStart(), l.LogEnd(), err)
		}
		if got, err := readAll(l, 3, 10, 1<<20); err != nil || !bytes.Equal(got, want) {
			t.Errorf("read %d bytes, want %d: %v", len(got), len(want), err)
		}
		if left := append(listed(t, mem, "data", "-stray"), listed(t, mem, "data/elsewhere-0", "ottla")...); len(left) != 0 || len(s.Trash()) != 0 {
			t.Errorf("left: %v, %v", left, s.Trash())
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = openStore(t, mem, "data")
		if l, err = s.OpenLog(elsewhere, topicID, storage.LogConfig{}); err != nil || l.LogStart() != 3 || l.LogEnd() != 10 {
			t.Errorf("after one more restart from %d to %d: %v", l.LogStart(), l.LogEnd(), err)
		}
		s.Close()
	}
}

// TestPurge: what is purged is removed, and nothing else; a stray is no trash, whatever it is called.
func TestPurge(t *testing.T) {
	mem := vfs.NewMem(1)
	sim := run.NewSim(1)
	sim.Run(func() {
		s, err := storage.Open(crashConfig(mem, sim))
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range []byte{1, 2} {
			l, err := s.OpenLog(tp0, ids.TopicID{n}, storage.LogConfig{})
			if err != nil {
				t.Fatal(err)
			}
			mustAppend(t, l, makeBatch(t, 1, 10, 1), 0)
			if err := s.TrashLogs(storage.LogName{Topic: tp0, ID: ids.TopicID{n}}); err != nil {
				t.Fatal(err)
			}
		}
		if err := mem.MkdirAll("data/t-0.0123456789abcdef0123456789abcdef-stray"); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if s, err = storage.Open(crashConfig(mem, sim)); err != nil {
			t.Fatal(err)
		}
		s.RetainTrash(func(id ids.TopicID) bool { return id == ids.TopicID{1} || id == ids.TopicID{2} })
		if trash := s.Trash(); len(trash) != 2 {
			t.Errorf("trash: %+v", trash)
		}
		if err := s.PurgeTrash(ids.TopicID{1}, ids.TopicID{7}); err != nil {
			t.Fatal(err)
		}
		sim.NewSignal().WaitFor(time.Second)
		if left := listed(t, mem, "data", "t-0"); len(left) != 2 || len(s.Trash()) != 1 {
			t.Errorf("left: %v", left)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

// TestTrashGivesWay: when the disk runs short of space, the owner is asked for one topic after another until there is enough, and no further.
func TestTrashGivesWay(t *testing.T) {
	mem := vfs.NewMem(1)
	mem.SetCapacity(4 << 20)
	sim := run.NewSim(1)
	sim.Run(func() {
		var s *storage.Store
		var asked []ids.TopicID
		cfg := crashConfig(mem, sim)
		cfg.ReserveBytes, cfg.TrashFreeBytes, cfg.RetentionCheckMs = 100<<10, 1<<40, 1000
		cfg.Events.TrashInTheWay = func(dir ids.DirectoryID) {
			next := ids.TopicID{byte(1 + len(asked))}
			asked = append(asked, next)
			sim.Go("purge", func() {
				if err := s.PurgeTrash(next); err != nil {
					t.Error(err)
				}
			})
		}
		var err error
		if s, err = storage.Open(cfg); err != nil {
			t.Fatal(err)
		}
		write := func(id byte, batches int) error {
			l, err := s.OpenLog(tp0, ids.TopicID{id}, storage.LogConfig{})
			if err != nil {
				t.Fatal(err)
			}
			w := waitOn(sim, l)
			for range batches {
				if _, err := l.Append(makeBatch(t, 1, 100<<10, 1), 0, 1); err != nil {
					return err
				}
				if err := w.flush(l); err != nil {
					return err
				}
			}
			return nil
		}
		for n := range byte(5) { // half a megabyte each
			if err := write(n+1, 5); err != nil {
				t.Fatal(err)
			}
			if err := s.TrashLogs(storage.LogName{Topic: tp0, ID: ids.TopicID{n + 1}}); err != nil {
				t.Fatal(err)
			}
		}
		if len(asked) != 0 {
			t.Errorf("asked for %v with 1.5 MB free", asked)
		}
		for range 12 { // a tenth of 4 MB is to stay free
			if err := write(9, 1); err != nil {
				t.Fatal(err)
			}
			sim.NewSignal().WaitFor(2 * time.Second)
		}
		if n := len(asked); n < 1 || n > 2 || len(s.Trash()) != 5-n {
			t.Errorf("asked for %v, %d are left", asked, len(s.Trash()))
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	})
}
