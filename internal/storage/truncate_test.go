package storage_test

import (
	"bytes"
	"errors"
	"sync/atomic"
	"testing"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/run"
	"github.com/ottla-io/ottla/internal/storage"
	"github.com/ottla-io/ottla/internal/vfs"
)

// filled is a log of ten batches, three records each, in several segments, durable.
func filled(t *testing.T, faults *vfs.Fault) (*storage.Store, *storage.Log, []byte) {
	t.Helper()
	s := openStore(t, faults, "data")
	l := openLog(t, s, storage.LogConfig{SegmentBytes: 1500})
	var all []byte
	for i := range 10 {
		b := makeBatch(t, 3, 100, int64(i))
		mustAppend(t, l, b, ids.LeaderEpoch(i/4))
		all = append(all, b...)
	}
	if err := waitOn(run.OS(), l).flush(l); err != nil {
		t.Fatal(err)
	}
	if l.Segments() < 3 {
		t.Fatalf("%d segments", l.Segments())
	}
	return s, l, all
}

// A truncation that finds no space for the recovery point leaves the log as it was, and in use.
func TestTruncationWithoutSpace(t *testing.T) {
	faults := vfs.NewFault(vfs.NewMem(1))
	s, l, all := filled(t, faults)
	defer s.Close()
	full := faults.Add(vfs.Rule{Op: vfs.OpWrite, Glob: "*-checkpoint*", Action: vfs.FailNoSpace})
	for _, truncate := range []func(ids.Offset) error{l.TruncateTo, l.TruncateFullyAndStartAt} {
		if err := truncate(9); !errors.Is(err, vfs.ErrNoSpace) || l.Err() != nil {
			t.Fatalf("truncate: %v, and the log: %v", err, l.Err())
		}
		if got, err := readAll(l, 0, l.LogEnd(), 1000); err != nil || !bytes.Equal(got, all) || l.LogStart() != 0 {
			t.Fatalf("the log has %d bytes from %d on, want %d: %v", len(got), l.LogStart(), len(all), err)
		}
	}
	full.Remove()
	mustAppend(t, l, makeBatch(t, 1, 10, 1), 5)
	if err := l.TruncateTo(9); err != nil || l.LogEnd() != 9 {
		t.Errorf("once there is space: ends at %d, %v", l.LogEnd(), err)
	}
}

// A truncation that the disk fails in the middle of takes the log out of service, and says so; the next start finds whole batches below and above the cut, in order.
func TestTruncationFails(t *testing.T) {
	mem := vfs.NewMem(1)
	faults := vfs.NewFault(mem)
	s, l, all := filled(t, faults)
	var told atomic.Int32
	l.OnDurable(func(ids.Offset) { told.Add(1) })
	faults.Add(vfs.Rule{Op: vfs.OpTruncate, Glob: "*.log", Action: vfs.FailIO, Limit: 1})
	var offline *storage.OfflineError
	if err := l.TruncateTo(10); !errors.As(err, &offline) || !errors.As(l.Err(), &offline) || told.Load() == 0 {
		t.Fatalf("truncate: %v, the log: %v, its owner was told %d times", err, l.Err(), told.Load())
	}
	if _, err := l.Append(makeBatch(t, 1, 10, 1), 9, 0); !errors.As(err, &offline) {
		t.Errorf("append afterwards: %v", err)
	}
	s.Close()
	s = openStore(t, mem, "data")
	defer s.Close()
	l = openLog(t, s, storage.LogConfig{SegmentBytes: 1500})
	got, err := readAll(l, 0, l.LogEnd(), 1000)
	if err != nil || l.LogEnd() < 9 || !bytes.HasPrefix(all, got) {
		t.Errorf("the next start finds %d bytes up to offset %d: %v", len(got), l.LogEnd(), err)
	}
	if err := l.TruncateTo(10); err != nil || l.LogEnd() != 9 || l.LatestEpoch() != 0 {
		t.Errorf("truncate once more: %v, ends at %d in epoch %d", err, l.LogEnd(), l.LatestEpoch())
	}
}

// What a flush round has captured before a truncation says nothing of the log after it.
func TestTruncationDuringAFlush(t *testing.T) {
	faults := vfs.NewFault(vfs.NewMem(1))
	s, l, _ := filled(t, faults)
	defer s.Close()
	var stage atomic.Int32 // 1, 3: the next sync of a segment waits
	waiting, goOn := [2]chan struct{}{make(chan struct{}), make(chan struct{})}, [2]chan struct{}{make(chan struct{}), make(chan struct{})}
	faults.Add(vfs.Rule{Op: vfs.OpSync, Glob: "*.log", Action: vfs.Pass, Hook: func(vfs.Op, string) {
		for i := range int32(2) {
			if stage.CompareAndSwap(2*i+1, 2*i+2) {
				close(waiting[i])
				<-goOn[i]
				return
			}
		}
	}})
	w := waitOn(run.OS(), l)
	stage.Store(1)
	mustAppend(t, l, makeBatch(t, 6, 10, 1), 5) // offsets 30 to 35
	l.Flush(true)
	<-waiting[0]
	if err := l.TruncateTo(30); err != nil {
		t.Fatal(err)
	}
	stage.Store(3)
	mustAppend(t, l, makeBatch(t, 2, 10, 1), 6)
	l.Flush(true)
	close(goOn[0])
	<-waiting[1] // the first round is over
	if durable := l.DurableEnd(); durable != 30 {
		t.Errorf("durable up to %d while nothing above 30 is", durable)
	}
	close(goOn[1])
	if err := w.flush(l); err != nil {
		t.Fatal(err)
	}
	if l.LogEnd() != 32 || l.DurableEnd() != 32 {
		t.Errorf("log ends at %d, durable up to %d, want 32", l.LogEnd(), l.DurableEnd())
	}
}
