package checkup

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/ottla-io/ottla/internal/doctor"
	"github.com/ottla-io/ottla/internal/vfs"
)

func TestLockHolder(t *testing.T) {
	path := filepath.Join(t.TempDir(), ".lock")
	if pid := lockHolder(path); pid != 0 {
		t.Errorf("%d holds a file that is not there", pid)
	}
	lock, err := vfs.OS().Lock(path)
	if err != nil {
		t.Fatal(err)
	}
	if pid := lockHolder(path); pid != os.Getpid() || !hasOpen(pid, path) || hasOpen(pid, path+"x") {
		t.Errorf("%d holds it, not %d", pid, os.Getpid())
	}
	if err := lock.Close(); err != nil {
		t.Fatal(err)
	}
	if pid := lockHolder(path); pid != 0 {
		t.Errorf("%d holds a lock that was given up", pid)
	}
}

func TestMounts(t *testing.T) {
	var proc, here doctor.Directory
	mountOf("/proc/self", &proc)
	if proc.FileSystem != "proc" || !slices.Contains(proc.Options, "rw") && !slices.Contains(proc.Options, "ro") {
		t.Errorf("%+v", proc)
	}
	mountOf(t.TempDir(), &here)
	if here.FileSystem == "" || here.Device == "" || here.FileSystem == "proc" {
		t.Errorf("%+v", here)
	}
}

func TestMachine(t *testing.T) {
	if m := lookAtMachine(os.Getpid()); !m.Linux || m.PID != os.Getpid() || m.MemoryBytes < 1<<20 || m.OpenFilesMax == 0 || m.CPUs < 1 {
		t.Errorf("%+v", m)
	}
}

// TestLimits: the tightest limit of the control groups counts, and what means "none" is none.
func TestLimits(t *testing.T) {
	stat := filepath.Join(t.TempDir(), "cpu.stat")
	if err := os.WriteFile(stat, []byte("usage_usec 1\nnr_periods 200\nnr_throttled 50\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	m := doctor.Machine{MemoryBytes: 8 << 30}
	limitMemory(&m, "max", 0)
	limitMemory(&m, "9223372036854771712", 1) // version 1 without a limit
	if m.MemoryMax != 0 || m.OOMKills != 0 {
		t.Errorf("%+v", m)
	}
	limitMemory(&m, "1073741824", 2)
	limitMemory(&m, "4294967296", 7)
	if m.MemoryMax != 1<<30 || m.OOMKills != 2 {
		t.Errorf("%+v", m)
	}
	limitCPU(&m, "max", "100000", stat)
	limitCPU(&m, "-1", "100000", stat)
	limitCPU(&m, "", "", stat)
	if m.CPUMax != 0 || m.Throttled != 0 {
		t.Errorf("%+v", m)
	}
	limitCPU(&m, "150000", "100000", stat)
	limitCPU(&m, "400000", "100000", "/nonexistent")
	if m.CPUMax != 1.5 || m.Throttled != .25 {
		t.Errorf("%+v", m)
	}
	var seen []string
	root := t.TempDir()
	if err := os.MkdirAll(filepath.Join(root, "a", "b"), 0o700); err != nil {
		t.Fatal(err)
	}
	upwards(root, "/a/b/gone", func(dir string) { seen = append(seen, dir) })
	if !slices.Equal(seen, []string{filepath.Join(root, "a", "b"), filepath.Join(root, "a"), root}) {
		t.Errorf("%v", seen)
	}
}
