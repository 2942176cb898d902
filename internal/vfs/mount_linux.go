package vfs

import (
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// mount is what /proc/self/mountinfo says about one file system.
type mount struct {
	device string // MAJOR:MINOR
	root   string // the directory of the file system that is mounted: "/" but for bind mounts
	at     string
	kind   string
}

// mountOf is the file system that holds an absolute path without symbolic links.
func mountOf(mounts, path string) (best mount, ok bool) {
	for line := range strings.Lines(mounts) {
		m, valid := parseMount(line)
		if !valid || m.at != "/" && m.at != path && !strings.HasPrefix(path, m.at+"/") {
			continue
		}
		if !ok || len(m.at) >= len(best.at) { // of two at one place, the later one hides the other
			best, ok = m, true
		}
	}
	return best, ok
}

// parseMount reads a line of mountinfo: ids, device, root, place, options, optional fields up to a hyphen, kind. See proc_pid_mountinfo(5).
func parseMount(line string) (m mount, ok bool) {
	before, after, ok := strings.Cut(line, " - ")
	fields := strings.Fields(before)
	kind, _, _ := strings.Cut(after, " ")
	if !ok || len(fields) < 6 || kind == "" {
		return m, false
	}
	return mount{fields[2], unescape(fields[3]), unescape(fields[4]), kind}, true
}

// unescape undoes the octal escapes of blanks and backslashes.
func unescape(field string) string {
	var b strings.Builder
	for i := 0; i < len(field); i++ {
		if field[i] == '\\' && i+3 < len(field) {
			if c, err := strconv.ParseUint(field[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(c))
				i += 3
				continue
			}
		}
		b.WriteByte(field[i])
	}
	return b.String()
}

// findMount is the file system that holds dir, and dir as it is known there.
func findMount(dir string) (m mount, path string, ok bool) {
	path, err := filepath.Abs(dir)
	if err == nil {
		path, err = filepath.EvalSymlinks(path)
	}
	if err != nil {
		return m, "", false
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return m, "", false
	}
	m, ok = mountOf(string(mounts), path)
	return m, path, ok
}

// isDedicated tells that dir is the root of a file system, or the only thing in it. A bind mount of a directory, as containers have them, shows only a part
// of a file system; network file systems and those in memory, whose syncs mean something else, are left alone.
func isDedicated(dir string) bool {
	m, path, ok := findMount(dir)
	if !ok || m.root != "/" || m.at == "/" {
		return false
	}
	switch m.kind {
	case "ext4", "xfs", "btrfs":
	default:
		return false
	}
	for ; path != m.at; path = filepath.Dir(path) {
		if !isAlone(filepath.Dir(path), filepath.Base(path)) {
			return false
		}
	}
	return true
}

// isAlone tells that a directory has one entry, beside what mkfs makes.
func isAlone(parent, name string) bool {
	d, err := os.Open(parent)
	if err != nil {
		return false
	}
	defer d.Close()
	names, err := d.Readdirnames(3)
	if err != nil && err != io.EOF {
		return false
	}
	for _, n := range names {
		if n != name && n != "lost+found" {
			return false
		}
	}
	return true
}

// needsFlush tells that syncfs may leave something in the drive's cache. The kernel's sync_filesystem lets the file system flush the drive, and then writes what is
// left in the buffers of the block device. A file system with a log, as xfs, btrfs and ext4 with a journal, has nothing left there that matters; one
// without may have inodes. An fsync of a directory afterwards flushes in any case.
func needsFlush(dir string) bool {
	m, _, ok := findMount(dir)
	switch {
	case !ok:
		return true
	case m.kind == "xfs" || m.kind == "btrfs":
		return false
	case m.kind != "ext4":
		return true
	}
	device, err := os.Readlink("/sys/dev/block/" + m.device)
	if err != nil {
		return true
	}
	journal, err := os.ReadFile("/sys/fs/ext4/" + filepath.Base(device) + "/journal_task")
	_, notNumber := strconv.Atoi(strings.TrimSpace(string(journal)))
	return err != nil || notNumber != nil
}
