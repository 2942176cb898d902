package vfs

import "testing"

const mountinfo = `27 1 254:0 / / rw,relatime - ext4 /dev/vda rw
42 27 7:0 / /mnt/a rw,relatime shared:1 - ext4 /dev/loop0 rw
43 42 8:1 / /mnt/a/b rw - xfs /dev/sda1 rw
44 27 254:0 /srv/data /mnt/bind rw,relatime master:1 propagate_from:2 - ext4 /dev/vda rw
45 27 8:2 / /mnt/with\040blank\134 rw - btrfs /dev/sdb rw
46 27 0:40 / /mnt/over rw - overlay overlay rw
47 46 8:3 / /mnt/over rw - xfs /dev/sdc rw
a line that is none
`

func TestMountOf(t *testing.T) {
	for path, want := range map[string]mount{
		"/":                        {"254:0", "/", "/", "ext4"},
		"/mnt/ab":                  {"254:0", "/", "/", "ext4"},
		"/mnt/a":                   {"7:0", "/", "/mnt/a", "ext4"},
		"/mnt/a/x/y":               {"7:0", "/", "/mnt/a", "ext4"},
		"/mnt/a/b/c":               {"8:1", "/", "/mnt/a/b", "xfs"},
		"/mnt/bind":                {"254:0", "/srv/data", "/mnt/bind", "ext4"},
		`/mnt/with blank\/ottla`:   {"8:2", "/", `/mnt/with blank\`, "btrfs"},
		"/mnt/over/hidden/by/that": {"8:3", "/", "/mnt/over", "xfs"},
	} {
		if got, ok := mountOf(mountinfo, path); !ok || got != want {
			t.Errorf("%s: %+v, %v", path, got, ok)
		}
	}
	if _, ok := mountOf("", "/"); ok {
		t.Error("a mount without a line")
	}
}

// TestOrdinaryDirectoryIsNotDedicated: a directory of the machine's disk, where others have files, too.
func TestOrdinaryDirectoryIsNotDedicated(t *testing.T) {
	fsys, dir := OS(), t.TempDir()
	must(t, fsys.MkdirAll(dir+"/other"))
	must(t, fsys.MkdirAll(dir+"/data"))
	if fsys.Dedicated(dir+"/data") || fsys.Dedicated("/") || fsys.Dedicated("/proc/self") || fsys.Dedicated(dir+"/missing") {
		t.Error("taken for a file system of its own")
	}
	if !isAlone(dir+"/data", "x") || isAlone(dir, "data") {
		t.Error("isAlone")
	}
}
