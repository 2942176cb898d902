package vfs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
)

func write(t testing.TB, fsys FS, path, content string, offset int64) {
	t.Helper()
	file, err := fsys.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		file, err = fsys.Create(path)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := file.WriteAt([]byte(content), offset); err != nil {
		t.Fatal(err)
	}
}

func syncPath(t testing.TB, fsys FS, path string) {
	t.Helper()
	file, err := fsys.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if err := file.Sync(); err != nil {
		t.Fatal(err)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// content reads a file; ok is false where none is.
func content(t testing.TB, fsys FS, path string) (text string, ok bool) {
	t.Helper()
	file, err := fsys.OpenReadOnly(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", false
	}
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	size, err := file.Size()
	if err != nil {
		t.Fatal(err)
	}
	data := make([]byte, size)
	if n, err := file.ReadAt(data, 0); int64(n) != size || err != nil {
		t.Fatalf("read %s: %d of %d bytes: %v", path, n, size, err)
	}
	return string(data), true
}

// outcomes crashes the disk many times and counts what each crash leaves.
func outcomes(t *testing.T, m *Mem, describe func(*Mem) string) map[string]int {
	t.Helper()
	seen := make(map[string]int)
	for range 400 {
		seen[describe(m.Crash())]++
	}
	return seen
}

func wantOutcomes(t *testing.T, seen map[string]int, want ...string) {
	t.Helper()
	for _, w := range want {
		if seen[w] == 0 {
			t.Errorf("no crash left %q; seen %v", w, seen)
		}
		delete(seen, w)
	}
	if len(seen) > 0 {
		t.Errorf("crashes left what they must not: %v", seen)
	}
}

func describeFile(t *testing.T, name string) func(*Mem) string {
	return func(m *Mem) string {
		text, ok := content(t, m, name)
		if !ok {
			return "absent"
		}
		return "file " + text
	}
}

func TestCrashMayLoseUnsyncedEntry(t *testing.T) {
	m := NewMem(1)
	write(t, m, "f", "data", 0)
	syncPath(t, m, "f")
	wantOutcomes(t, outcomes(t, m, describeFile(t, "f")), "absent", "file data")
	must(t, m.SyncDir("/"))
	wantOutcomes(t, outcomes(t, m, describeFile(t, "f")), "file data")
}

func TestCrashOfUnsyncedContent(t *testing.T) {
	m := NewMem(2)
	write(t, m, "f", "", 0)
	must(t, m.SyncDir("/"))
	write(t, m, "f", "ab", 0)
	// The size may survive without the sector, and one in between.
	wantOutcomes(t, outcomes(t, m, describeFile(t, "f")), "file ", "file a", "file ab", "file \x00", "file \x00\x00")
	syncPath(t, m, "f")
	wantOutcomes(t, outcomes(t, m, describeFile(t, "f")), "file ab")
	write(t, m, "f", "X", 1)
	wantOutcomes(t, outcomes(t, m, describeFile(t, "f")), "file ab", "file aX")
}

func TestCrashTearsAtSectors(t *testing.T) {
	m := NewMem(3)
	write(t, m, "f", strings.Repeat("a", 1536), 0)
	must(t, m.SyncFS("/"))
	write(t, m, "f", strings.Repeat("b", 1024), 256)
	seen := outcomes(t, m, func(left *Mem) string {
		text, _ := content(t, left, "f")
		var kinds strings.Builder
		for i := 0; i < len(text); i++ {
			if i == 0 || text[i] != text[i-1] {
				fmt.Fprintf(&kinds, "%d%c ", i, text[i])
			}
		}
		return kinds.String()
	})
	wantOutcomes(t, seen,
		"0a ", "0a 256b 512a ", "0a 512b 1024a ", "0a 1024b 1280a ",
		"0a 256b 1024a ", "0a 256b 512a 1024b 1280a ", "0a 512b 1280a ", "0a 256b 1280a ")
}

func TestCrashOfTruncate(t *testing.T) {
	m := NewMem(4)
	write(t, m, "f", "abcd", 0)
	must(t, m.SyncFS("/"))
	file, err := m.Open("f")
	must(t, err)
	defer file.Close()
	must(t, file.Truncate(1))
	seen := outcomes(t, m, describeFile(t, "f"))
	// One sector: its end is cleared or not; the size is old, new or in between.
	for _, want := range []string{"file abcd", "file a"} {
		if seen[want] == 0 {
			t.Errorf("no crash left %q; seen %v", want, seen)
		}
	}
	for text := range seen {
		if !strings.HasPrefix(text, "file a") {
			t.Errorf("a crash lost the synced byte: %q", text)
		}
	}
	must(t, file.Sync())
	wantOutcomes(t, outcomes(t, m, describeFile(t, "f")), "file a")
}

func TestCrashOfRenameOverExisting(t *testing.T) {
	m := NewMem(5)
	write(t, m, "f", "old", 0)
	must(t, m.SyncFS("/"))
	write(t, m, "f.tmp", "new", 0)
	syncPath(t, m, "f.tmp")
	must(t, m.Rename("f.tmp", "f"))
	both := func(left *Mem) string { return describeFile(t, "f")(left) + ", tmp " + describeFile(t, "f.tmp")(left) }
	wantOutcomes(t, outcomes(t, m, both),
		"file old, tmp absent", "file old, tmp file new", "file new, tmp absent")
	must(t, m.SyncDir("."))
	wantOutcomes(t, outcomes(t, m, both), "file new, tmp absent")
}

func TestCrashOfRemove(t *testing.T) {
	m := NewMem(6)
	write(t, m, "f", "data", 0)
	must(t, m.SyncFS("/"))
	must(t, m.Remove("f"))
	wantOutcomes(t, outcomes(t, m, describeFile(t, "f")), "absent", "file data")
	must(t, m.SyncDir("/"))
	wantOutcomes(t, outcomes(t, m, describeFile(t, "f")), "absent")
}

func TestCrashOfNestedDirectories(t *testing.T) {
	m := NewMem(7)
	must(t, m.MkdirAll("a/b"))
	write(t, m, "a/b/f", "x", 0)
	syncPath(t, m, "a/b/f")
	must(t, m.SyncDir("a/b"))
	must(t, m.SyncDir("a"))
	wantOutcomes(t, outcomes(t, m, describeFile(t, "a/b/f")), "absent", "file x")
	must(t, m.SyncDir("/"))
	wantOutcomes(t, outcomes(t, m, describeFile(t, "a/b/f")), "file x")
	// A directory that moves away takes all along or stays, and what is created in it before that is tossed by itself.
	write(t, m, "a/b/g", "y", 0)
	must(t, m.Rename("a/b", "a/c"))
	seen := outcomes(t, m, func(left *Mem) string {
		return describeFile(t, "a/b/f")(left) + " " + describeFile(t, "a/c/f")(left)
	})
	wantOutcomes(t, seen, "file x absent", "absent file x")
}

func TestCrashOfRenameAcrossDirectories(t *testing.T) {
	m := NewMem(8)
	must(t, m.MkdirAll("a"))
	must(t, m.MkdirAll("b"))
	write(t, m, "a/f", "x", 0)
	must(t, m.SyncFS("/"))
	must(t, m.Rename("a/f", "b/f"))
	where := func(left *Mem) string { return describeFile(t, "a/f")(left) + " " + describeFile(t, "b/f")(left) }
	wantOutcomes(t, outcomes(t, m, where), "file x absent", "absent file x")
	must(t, m.SyncDir("b"))
	must(t, m.SyncDir("b"))
	wantOutcomes(t, outcomes(t, m, where), "file x absent", "absent file x")
	must(t, m.SyncDir("a"))
	wantOutcomes(t, outcomes(t, m, where), "absent file x")
}

// TestCrashRepeats: the same seed, operations and number of crash leave the same disk; another seed another one.
func TestCrashRepeats(t *testing.T) {
	run := func(seed uint64) string {
		m := NewMem(seed)
		random := rand.New(rand.NewPCG(9, 9))
		for range 200 {
			randomOp(t, m, random)
		}
		var all strings.Builder
		for range 5 {
			all.WriteString(dump(t, m.Crash(), "/"))
		}
		return all.String()
	}
	first, again := run(1), run(1)
	if first != again {
		t.Error("the same seed left different disks")
	}
	if first == run(2) {
		t.Error("two seeds left the same disks")
	}
}

// dump describes a whole tree.
func dump(t testing.TB, m *Mem, dir string) string {
	t.Helper()
	entries, err := m.List(dir)
	must(t, err)
	var text strings.Builder
	for _, entry := range entries {
		name := path.Join(dir, entry.Name)
		if entry.IsDir {
			fmt.Fprintf(&text, "%s/\n%s", name, dump(t, m, name))
			continue
		}
		data, _ := content(t, m, name)
		fmt.Fprintf(&text, "%s %q\n", name, data)
	}
	return text.String()
}

var (
	randomDirs  = []string{"d0", "d1", "d0/e"}
	randomFiles = []string{"d0/f", "d0/g", "d1/f", "d1/g", "d0/e/f"}
)

// randomOp does one thing to the disk, right or wrong; errors are part of the game.
func randomOp(t testing.TB, fsys FS, random *rand.Rand) {
	pick := func(names []string) string { return names[random.IntN(len(names))] }
	switch random.IntN(10) {
	case 0:
		_ = fsys.MkdirAll(pick(randomDirs))
	case 1:
		_ = fsys.Rename(pick(randomFiles), pick(randomFiles))
	case 2:
		_ = fsys.Remove(pick(randomFiles))
	case 3:
		_ = fsys.SyncDir(pick(append(randomDirs, "/")))
	case 4:
		if random.IntN(8) == 0 {
			_ = fsys.RemoveAll(pick(randomDirs))
		}
		if random.IntN(8) == 0 {
			_ = fsys.SyncFS("/")
		}
	default:
		name := pick(randomFiles)
		file, err := fsys.Open(name)
		if errors.Is(err, fs.ErrNotExist) {
			file, err = fsys.Create(name)
		}
		if err != nil {
			return
		}
		defer file.Close()
		switch random.IntN(4) {
		case 0:
			must(t, file.Truncate(random.Int64N(12_000)))
		case 1:
			must(t, file.Sync())
		default:
			data := bytes.Repeat([]byte{byte('a' + random.IntN(26))}, random.IntN(5000))
			if _, err := file.WriteAt(data, random.Int64N(9000)); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestMemBehavesAsTheDiskDoes runs the same random operations on a Mem and on the real file system.
func TestMemBehavesAsTheDiskDoes(t *testing.T) {
	for seed := range uint64(10) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			m, disk := NewMem(seed), rooted{OS(), t.TempDir()}
			for i := range 150 {
				randomOp(t, m, rand.New(rand.NewPCG(seed, uint64(i))))
				randomOp(t, disk, rand.New(rand.NewPCG(seed, uint64(i))))
				if got, want := treeOf(t, m, "."), treeOf(t, disk, "."); got != want {
					t.Fatalf("step %d: Mem has\n%s\nthe disk has\n%s", i, got, want)
				}
			}
		})
	}
}

// rooted is an FS below a directory of another.
type rooted struct {
	FS
	root string
}

func (r rooted) at(name string) string                   { return r.root + "/" + name }
func (r rooted) Create(name string) (File, error)        { return r.FS.Create(r.at(name)) }
func (r rooted) Open(name string) (File, error)          { return r.FS.Open(r.at(name)) }
func (r rooted) OpenReadOnly(name string) (File, error)  { return r.FS.OpenReadOnly(r.at(name)) }
func (r rooted) Rename(from, to string) error            { return r.FS.Rename(r.at(from), r.at(to)) }
func (r rooted) Remove(name string) error                { return r.FS.Remove(r.at(name)) }
func (r rooted) RemoveAll(name string) error             { return r.FS.RemoveAll(r.at(name)) }
func (r rooted) MkdirAll(name string) error              { return r.FS.MkdirAll(r.at(name)) }
func (r rooted) List(name string) ([]Entry, error)       { return r.FS.List(r.at(name)) }
func (r rooted) Stat(name string) (Entry, error)         { return r.FS.Stat(r.at(name)) }
func (r rooted) SyncDir(name string) error               { return r.FS.SyncDir(r.at(name)) }
func (r rooted) SyncFS(string) error                     { return nil } // the machine's whole disk is not ours to sync
func (r rooted) Dedicated(string) bool                   { return false }
func (r rooted) Lock(name string) (io.Closer, error)     { return r.FS.Lock(r.at(name)) }
func (r rooted) Space(name string) (int64, int64, error) { return r.FS.Space(r.at(name)) }

func treeOf(t testing.TB, fsys FS, dir string) string {
	t.Helper()
	entries, err := fsys.List(dir)
	must(t, err)
	var text strings.Builder
	for _, entry := range entries {
		name := path.Join(dir, entry.Name)
		if entry.IsDir {
			fmt.Fprintf(&text, "%s/\n%s", name, treeOf(t, fsys, name))
			continue
		}
		data, _ := content(t, fsys, name)
		if int64(len(data)) != entry.Size {
			t.Fatalf("%s: List says %d bytes, Size %d", name, entry.Size, len(data))
		}
		fmt.Fprintf(&text, "%s %q\n", name, data)
	}
	return text.String()
}

// TestCrashKeepsWhatWasSynced cuts the power after every operation of random scripts. Each file that was created, synced and
// whose directories were synced, and that nothing has touched since, must be there, byte for byte; of what was
// written since, each sector must be a version that was there at or after the sync.
func TestCrashKeepsWhatWasSynced(t *testing.T) {
	for seed := range uint64(20) {
		m := NewMem(seed)
		random := rand.New(rand.NewPCG(seed, 77))
		for _, dir := range randomDirs {
			must(t, m.MkdirAll(dir))
		}
		must(t, m.SyncFS("/"))
		history := map[string][]string{} // versions of a file's content since its last sync
		for range 120 {
			name := randomFiles[random.IntN(len(randomFiles))]
			if len(history[name]) == 0 {
				write(t, m, name, "", 0)
				must(t, m.SyncDir(path.Dir(name)))
				history[name] = []string{""}
			}
			file, err := m.Open(name)
			must(t, err)
			switch random.IntN(5) {
			case 0:
				must(t, file.Sync())
				history[name] = history[name][len(history[name])-1:]
			case 1:
				must(t, file.Truncate(random.Int64N(9000)))
			default:
				data := make([]byte, random.IntN(3000))
				for i := range data {
					data[i] = byte(random.Uint32())
				}
				if _, err := file.WriteAt(data, random.Int64N(6000)); err != nil {
					t.Fatal(err)
				}
			}
			must(t, file.Close())
			text, _ := content(t, m, name)
			history[name] = append(history[name], text)
			left := m.Crash()
			for name, versions := range history {
				checkSurvivor(t, seed, left, name, versions)
			}
		}
	}
}

func checkSurvivor(t *testing.T, seed uint64, left *Mem, name string, versions []string) {
	t.Helper()
	got, ok := content(t, left, name)
	if !ok && len(versions) > 0 {
		t.Fatalf("seed %d: %s is gone", seed, name)
	}
	low, high := len(versions[0]), len(versions[0])
	for _, v := range versions {
		low, high = min(low, len(v)), max(high, len(v))
	}
	if len(got) < low || len(got) > high {
		t.Fatalf("seed %d: %s has %d bytes, want %d to %d", seed, name, len(got), low, high)
	}
	for at := 0; at < len(got); at += memSectorBytes {
		sector := got[at:min(at+memSectorBytes, len(got))]
		if !slices.ContainsFunc(versions, func(v string) bool { return sectorOf(v, at, len(sector)) == sector }) {
			t.Fatalf("seed %d: sector %d of %s is none of its %d versions", seed, at/memSectorBytes, name, len(versions))
		}
	}
}

// sectorOf is what a version has at an offset, zeros past its end.
func sectorOf(version string, at, n int) string {
	var text string
	if at < len(version) {
		text = version[at:min(at+n, len(version))]
	}
	return text + strings.Repeat("\x00", n-len(text))
}

// TestCrashLeavesTheOriginalAlone: what happens to a crash's disk or to the Mem afterwards does not show in the other.
func TestCrashLeavesTheOriginalAlone(t *testing.T) {
	m := NewMem(11)
	write(t, m, "f", strings.Repeat("a", 10_000), 0)
	must(t, m.SyncFS("/"))
	left := m.Crash()
	write(t, left, "f", "LEFT", 5000)
	write(t, m, "f", "ORIG", 5000)
	for _, c := range []struct {
		disk *Mem
		want string
	}{{m, "ORIG"}, {left, "LEFT"}} {
		text, _ := content(t, c.disk, "f")
		if text[5000:5004] != c.want || len(text) != 10_000 {
			t.Errorf("got %q in %d bytes, want %q", text[5000:5004], len(text), c.want)
		}
	}
	// The disk that the crash left can crash in its turn, and keeps what it had.
	again, _ := content(t, left.Crash(), "f")
	if got := again[5000:5004]; got != "LEFT" && got != "aaaa" {
		t.Errorf("second crash left %q", got)
	}
}

// TestCrashSharesNoDirtyPage: a page that is not synced yet and survives belongs to both disks, until one of them writes to it.
func TestCrashSharesNoDirtyPage(t *testing.T) {
	m := NewMem(17)
	write(t, m, "f", "", 0)
	must(t, m.SyncFS("/"))
	write(t, m, "f", strings.Repeat("before..", 1024), 0) // whole pages: a page that is cut is copied in any case
	var left []*Mem
	var found []string
	for range 50 {
		disk := m.Crash()
		text, _ := content(t, disk, "f")
		left, found = append(left, disk), append(found, text)
	}
	write(t, m, "f", "after!", 0)
	for i, disk := range left {
		if text, _ := content(t, disk, "f"); text != found[i] {
			t.Errorf("the crash left %.8q, and after a write to the original %.8q", found[i], text)
		}
	}
}

// TestCrashLeavesZerosPastTheEnd: what lay past a size that survived must not come back when the file grows again.
func TestCrashLeavesZerosPastTheEnd(t *testing.T) {
	m := NewMem(18)
	write(t, m, "f", "", 0)
	must(t, m.SyncFS("/"))
	write(t, m, "f", strings.Repeat("x", 3000), 0)
	for range 100 {
		left := m.Crash()
		before, _ := content(t, left, "f")
		file, err := left.Open("f")
		must(t, err)
		must(t, file.Truncate(3000))
		must(t, file.Close())
		if after, _ := content(t, left, "f"); after != before+strings.Repeat("\x00", 3000-len(before)) {
			t.Fatalf("%d bytes survived, and more came back", len(before))
		}
	}
}

// TestCrashBetweenCutAndRewrite: a file that was cut and written again to its old size may be caught at any size on the way.
func TestCrashBetweenCutAndRewrite(t *testing.T) {
	m := NewMem(19)
	write(t, m, "f", "abcd", 0)
	must(t, m.SyncFS("/"))
	file, err := m.Open("f")
	must(t, err)
	defer file.Close()
	must(t, file.Truncate(0))
	write(t, m, "f", "wxyz", 0)
	seen := outcomes(t, m, describeFile(t, "f"))
	for _, want := range []string{"file abcd", "file wxyz", "file ", "file w"} {
		if seen[want] == 0 {
			t.Errorf("no crash left %q; seen %v", want, seen)
		}
	}
}

func TestRemovedFileStaysReadable(t *testing.T) {
	m := NewMem(12)
	write(t, m, "f", "data", 0)
	file, err := m.OpenReadOnly("f")
	must(t, err)
	must(t, m.Remove("f"))
	got := make([]byte, 4)
	if _, err := file.ReadAt(got, 0); err != nil || string(got) != "data" {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := file.WriteAt(got, 0); err == nil {
		t.Error("a read-only file was written")
	}
	must(t, file.Close())
	if _, err := file.ReadAt(got, 0); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("read after close: %v", err)
	}
}

func TestMemCapacity(t *testing.T) {
	m := NewMem(13)
	m.SetCapacity(3 * memPageBytes)
	file, err := m.Create("f")
	must(t, err)
	n, err := file.WriteAt(make([]byte, 4*memPageBytes), 100)
	if n != 3*memPageBytes-100 || !errors.Is(err, ErrNoSpace) {
		t.Fatalf("wrote %d, %v", n, err)
	}
	if size, _ := file.Size(); size != 3*memPageBytes {
		t.Errorf("size %d after a short write", size)
	}
	if _, err := file.WriteAt([]byte("x"), 0); err != nil {
		t.Errorf("overwriting on a full disk: %v", err)
	}
	must(t, file.Sync())
	if _, usable, _ := m.Crash().Space("/"); usable != 0 && usable != 3*memPageBytes {
		t.Errorf("a crash left %d usable bytes", usable)
	}
	other, err := m.Create("g")
	must(t, err)
	must(t, other.Close())
	must(t, m.Rename("g", "f")) // takes the name of the full file away
	if _, usable, _ := m.Space("/"); usable != 0 {
		t.Errorf("%d bytes free while the removed file is open", usable)
	}
	must(t, file.Close())
	if total, usable, _ := m.Space("/"); total != 3*memPageBytes || usable != total {
		t.Errorf("%d of %d free after the last close", usable, total)
	}
}

func TestMemLock(t *testing.T) { testLock(t, NewMem(14), NewMem(14), "lock") }

func TestOSLock(t *testing.T) {
	testLock(t, OS(), OS(), t.TempDir()+"/lock")
}

func testLock(t *testing.T, fsys, other FS, name string) {
	lock, err := fsys.Lock(name)
	must(t, err)
	if _, err := fsys.Lock(name); !errors.Is(err, ErrLocked) {
		t.Errorf("second lock: %v", err)
	}
	if _, isMem := other.(*Mem); !isMem {
		if _, err := other.Lock(name); !errors.Is(err, ErrLocked) {
			t.Errorf("lock by another user: %v", err)
		}
	}
	must(t, lock.Close())
	lock, err = fsys.Lock(name)
	must(t, err)
	must(t, lock.Close())
}

func TestOnOpCountsEveryChange(t *testing.T) {
	m := NewMem(15)
	var got []string
	m.OnOp(func(n int, op string) {
		if n != len(got)+1 || n != m.Ops() {
			t.Errorf("operation %d has number %d, Ops says %d", len(got)+1, n, m.Ops())
		}
		m.Crash() // no lock is held
		got = append(got, op)
	})
	must(t, m.MkdirAll("a/b"))
	write(t, m, "a/b/f", "x", 0)
	syncPath(t, m, "a/b/f")
	must(t, m.SyncDir("a/b"))
	must(t, m.Rename("a/b/f", "a/b/g"))
	must(t, m.SyncFS("a"))
	must(t, m.RemoveAll("a"))
	want := []string{"mkdir a/b", "mkdir a/b", "create a/b/f", "write a/b/f", "sync a/b/f", "syncdir a/b", "rename a/b/f a/b/g", "syncfs a",
		"remove a/b/g", "remove a/b", "remove a"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestMemConcurrently(t *testing.T) {
	m := NewMem(16)
	var all sync.WaitGroup
	for worker := range 4 {
		all.Add(1)
		go func() {
			defer all.Done()
			name := fmt.Sprint("f", worker%2)
			for i := range 300 {
				file, err := m.Create(name)
				if errors.Is(err, fs.ErrExist) {
					file, err = m.Open(name)
				}
				if err != nil {
					t.Error(err)
					return
				}
				_, _ = file.WriteAt([]byte("data"), int64(i*1000))
				_, _ = file.ReadAt(make([]byte, 5000), 0)
				_ = file.Sync()
				_ = file.Truncate(int64(i * 500))
				_ = m.SyncFS("/")
				if i%20 == 0 {
					m.Crash()
				}
				file.Close()
			}
		}()
	}
	all.Wait()
}

func BenchmarkMemAppend(b *testing.B) {
	m := NewMem(1)
	file, _ := m.Create("f")
	data := make([]byte, 512)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		_, _ = file.WriteAt(data, int64(i%100_000)*512)
	}
}

func BenchmarkMemAppendSync(b *testing.B) {
	m := NewMem(1)
	file, _ := m.Create("f")
	data := make([]byte, 512)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		_, _ = file.WriteAt(data, int64(i%100_000)*512)
		_ = file.Sync()
	}
}

// BenchmarkCrash cuts a disk of 20 files, two of them changed.
func BenchmarkCrash(b *testing.B) {
	m := NewMem(1)
	_ = m.MkdirAll("t-0")
	for i := range 20 {
		file, _ := m.Create(fmt.Sprint("t-0/", i))
		_, _ = file.WriteAt(make([]byte, 20_000), 0)
	}
	_ = m.SyncFS("/")
	for i := range 2 {
		file, _ := m.Open(fmt.Sprint("t-0/", i))
		_, _ = file.WriteAt(make([]byte, 8000), 15_000)
	}
	b.ReportAllocs()
	for b.Loop() {
		m.Crash()
	}
}
