package ottla

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"testing"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/machine"
	"github.com/ottla-io/ottla/internal/vfs"
)

// TestSnapshotsAreWholeOrAbsent crashes after every operation on the disk while snapshots are written: whatever List names
// afterwards is byte for byte what was written, and the newest one that Create had finished is among them.
func TestSnapshotsAreWholeOrAbsent(t *testing.T) {
	content := func(end ids.Offset) []byte { return bytes.Repeat([]byte{byte(end)}, 5000+int(end)) }
	for crashAt := 1; ; crashAt++ {
		disk := vfs.NewMem(uint64(crashAt))
		if err := disk.MkdirAll("d"); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(disk.SyncDir("."), disk.SyncDir("d")); err != nil {
			t.Fatal(err)
		}
		var crashed *vfs.Mem
		begun := disk.Ops()
		disk.OnOp(func(n int, _ string) {
			if n == begun+crashAt {
				crashed = disk.Crash()
			}
		})
		store := snapshotStore{fs: disk, dir: "d"}
		var finished ids.Offset
		for _, end := range []ids.Offset{10, 20, 30, 40} {
			id := machine.SnapshotID{End: end, Epoch: 1}
			if err := store.Create(id, func(w io.Writer) error { _, err := w.Write(content(end)); return err }); err != nil {
				t.Fatal(err)
			}
			if crashed == nil {
				finished = end
			}
		}
		if crashed == nil {
			return // every operation was tried
		}
		checkSnapshots(t, crashAt, snapshotStore{fs: crashed, dir: "d"}, content, finished)
	}
}

func checkSnapshots(t *testing.T, crashAt int, store snapshotStore, content func(ids.Offset) []byte, finished ids.Offset) {
	t.Helper()
	found, err := store.List()
	if err != nil {
		t.Fatalf("crash after operation %d: %v", crashAt, err)
	}
	for _, id := range found {
		file, err := store.Open(id)
		if err != nil {
			t.Fatalf("crash after operation %d: %v", crashAt, err)
		}
		got, err := io.ReadAll(file)
		if err := errors.Join(err, file.Close()); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, content(id.End)) {
			t.Fatalf("crash after operation %d: %s has %d bytes of %d, or other ones", crashAt, id.FileName(), len(got), len(content(id.End)))
		}
	}
	if finished > 0 && !slices.ContainsFunc(found, func(id machine.SnapshotID) bool { return id.End >= finished }) {
		t.Fatalf("crash after operation %d: snapshot %d was finished and is gone: %v", crashAt, finished, found)
	}
	// What the crash left unfinished is removed by the next Create.
	if err := store.Create(machine.SnapshotID{End: 50, Epoch: 2}, func(w io.Writer) error { return nil }); err != nil {
		t.Fatalf("crash after operation %d, next snapshot: %v", crashAt, err)
	}
	entries, err := store.fs.List("d")
	if err != nil || len(entries) > snapshotsKept {
		t.Fatalf("crash after operation %d: %v, %v", crashAt, entries, err)
	}
}
