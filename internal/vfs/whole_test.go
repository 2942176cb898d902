package vfs

import (
	"errors"
	"io"
	"io/fs"
	"testing"
)

// TestReplaceIsAtomic: whichever of its operations fails, a crash leaves the old content or the new; after a success it leaves the new.
func TestReplaceIsAtomic(t *testing.T) {
	for seed := range uint64(20) {
		for failing := range 20 {
			mem := NewMem(seed)
			if err := MakeDirs(mem, "a/b"); err != nil {
				t.Fatal(err)
			}
			if err := Replace(mem, "a/b", "f", []byte("the old content")); err != nil {
				t.Fatal(err)
			}
			err := Replace(NewFault(mem, Rule{Skip: failing}), "a/b", "f", []byte("new"))
			if failing == 0 && err == nil {
				t.Fatal("no rule was hit")
			}
			content, rerr := ReadWhole(mem.Crash(), "a/b/f", 100)
			if rerr != nil {
				t.Fatalf("seed %d, operation %d: %v", seed, failing, rerr)
			}
			if got := string(content); got != "new" && (err == nil || got != "the old content") {
				t.Fatalf("seed %d, operation %d (%v): %q is there after a crash", seed, failing, err, got)
			}
		}
	}
}

func TestWholeFiles(t *testing.T) {
	mem := NewMem(1)
	if _, err := ReadWhole(mem, "f", 10); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("a file that is not there: %v", err)
	}
	for _, step := range []struct {
		write func() error
		want  string
	}{
		{func() error { return WriteWhole(mem, "f", []byte("0123456789"), false) }, "0123456789"},
		{func() error { return WriteTail(mem, "f", 4, []byte("ab"), true) }, "0123ab"},
		{func() error { return WriteTail(mem, "f", 2, nil, false) }, "01"},
		{func() error { return WriteWhole(mem, "f", []byte("x"), true) }, "x"},
		{func() error { return WriteWhole(mem, "f", nil, true) }, ""},
	} {
		if err := step.write(); err != nil {
			t.Fatal(err)
		}
		if got, err := ReadWhole(mem, "f", 10); err != nil || string(got) != step.want {
			t.Fatalf("%q, %v, want %q", got, err, step.want)
		}
	}
	if err := WriteWhole(mem, "f", make([]byte, 11), false); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadWhole(mem, "f", 10); err == nil {
		t.Fatal("a file beyond the limit was read")
	}
	f, err := mem.Open("f")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := ReadFull(f, make([]byte, 8), 4); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Fatalf("a read beyond the end: %v", err)
	}
}
