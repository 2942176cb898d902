package vfs

import (
	"bytes"
	"errors"
	"math/bits"
	"slices"
	"syscall"
	"testing"
)

func TestFaultFailsEveryOperation(t *testing.T) {
	mem := NewMem(1)
	f := NewFault(mem)
	must(t, f.MkdirAll("d"))
	file, err := f.Create("d/f")
	must(t, err)
	if _, err := file.WriteAt([]byte("data"), 0); err != nil {
		t.Fatal(err)
	}
	operations := map[Op]func() error{
		OpCreate:   func() error { _, err := f.Create("d/new"); return err },
		OpOpen:     func() error { _, err := f.OpenReadOnly("d/f"); return err },
		OpRename:   func() error { return f.Rename("d/f", "d/g") },
		OpRemove:   func() error { return f.RemoveAll("d") },
		OpMkdir:    func() error { return f.MkdirAll("e") },
		OpList:     func() error { _, err := f.List("d"); return err },
		OpStat:     func() error { _, err := f.Stat("d/f"); return err },
		OpSyncDir:  func() error { return f.SyncDir("d") },
		OpSyncFS:   func() error { return f.SyncFS("d") },
		OpLock:     func() error { _, err := f.Lock("lock"); return err },
		OpSpace:    func() error { _, _, err := f.Space("d"); return err },
		OpRead:     func() error { _, err := file.ReadAt(make([]byte, 4), 0); return err },
		OpWrite:    func() error { _, err := file.WriteAt([]byte("x"), 0); return err },
		OpTruncate: func() error { return file.Truncate(0) },
		OpSync:     func() error { return file.Sync() },
	}
	before, steps := dump(t, mem, "/"), mem.Ops()
	for op, run := range operations {
		for action, want := range map[Action]error{FailIO: syscall.EIO, FailNoSpace: ErrNoSpace} {
			rule := f.Add(Rule{Op: op, Action: action})
			if err := run(); !errors.Is(err, want) {
				t.Errorf("%s: %v, want %v", op, err, want)
			}
			if rule.Hits() != 1 || rule.Matched() != 1 {
				t.Errorf("%s: %d hits, %d matches", op, rule.Hits(), rule.Matched())
			}
			rule.Remove()
		}
	}
	if after := dump(t, mem, "/"); after != before || mem.Ops() != steps {
		t.Errorf("failed operations reached the disk: %s", after)
	}
}

func TestFaultRuleConditions(t *testing.T) {
	f := NewFault(NewMem(1), Rule{Op: OpCreate, Glob: "*.log", Skip: 1, Limit: 2})
	must(t, f.MkdirAll("d"))
	var failed []string
	for _, name := range []string{"d/a.log", "d/b.log", "d/b.index", "d/c.log", "d/d.log"} {
		if _, err := f.Create(name); err != nil {
			failed = append(failed, name)
		}
	}
	if want := []string{"d/b.log", "d/c.log"}; !slices.Equal(failed, want) {
		t.Errorf("failed %q, want %q", failed, want)
	}
	rare := f.Add(Rule{Op: OpStat, Glob: "d/a.log", Probability: 0.25, Seed: 3})
	for range 1000 {
		_, _ = f.Stat("d/a.log")
		_, _ = f.Stat("d/d.log")
	}
	if rare.Matched() != 1000 || rare.Hits() < 180 || rare.Hits() > 320 {
		t.Errorf("%d of %d hits, want about a quarter of 1000", rare.Hits(), rare.Matched())
	}
	var hooked []Op
	f.Add(Rule{Op: OpMkdir, Action: Pass, Hook: func(op Op, _ string) { hooked = append(hooked, op) }})
	must(t, f.MkdirAll("e"))
	if !slices.Equal(hooked, []Op{OpMkdir}) {
		t.Errorf("hook saw %q", hooked)
	}
}

func TestFaultShortWriteAndBitFlip(t *testing.T) {
	f := NewFault(NewMem(1))
	file, err := f.Create("f")
	must(t, err)
	short := f.Add(Rule{Op: OpWrite, Action: ShortWrite})
	if n, err := file.WriteAt([]byte("abcde"), 0); n != 2 || !errors.Is(err, syscall.EIO) {
		t.Errorf("short write: %d, %v", n, err)
	}
	if size, _ := file.Size(); size != 2 {
		t.Errorf("size %d after a short write", size)
	}
	short.Remove()
	clean := bytes.Repeat([]byte("abc"), 100)
	if _, err := file.WriteAt(clean, 0); err != nil {
		t.Fatal(err)
	}
	flip := f.Add(Rule{Op: OpRead, Action: FlipBit, Limit: 1})
	for _, want := range []int{1, 0} {
		got := make([]byte, len(clean))
		if _, err := file.ReadAt(got, 0); err != nil {
			t.Fatal(err)
		}
		flipped := 0
		for i := range got {
			flipped += bits.OnesCount8(got[i] ^ clean[i])
		}
		if flipped != want {
			t.Errorf("%d bits flipped, want %d", flipped, want)
		}
	}
	if flip.Hits() != 1 {
		t.Errorf("%d hits", flip.Hits())
	}
}

// TestFailedSyncLiesAfterwards: what a failed fsync covered never becomes durable, though the next one says so.
func TestFailedSyncLiesAfterwards(t *testing.T) {
	mem := NewMem(1)
	f := NewFault(mem)
	file, err := f.Create("f")
	must(t, err)
	must(t, f.SyncDir("/"))
	if _, err := file.WriteAt([]byte("a"), 0); err != nil {
		t.Fatal(err)
	}
	f.Add(Rule{Op: OpSync, Action: FailIO, Limit: 1})
	if err := file.Sync(); !errors.Is(err, syscall.EIO) {
		t.Fatalf("sync: %v", err)
	}
	if err := file.Sync(); err != nil {
		t.Fatalf("sync after a failed one: %v", err)
	}
	if seen := outcomes(t, mem, describeFile(t, "f")); seen["file "] == 0 {
		t.Errorf("no crash lost what the failed sync covered: %v", seen)
	}
}
