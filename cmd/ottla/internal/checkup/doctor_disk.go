package checkup

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ottla-io/ottla/internal/doctor"
)

const (
	syncCount = 50              // fdatasyncs of each kind that are measured
	syncTime  = 2 * time.Second // and for how long at most
	syncBytes = 4096
	entryMax  = 50_000 // files of a data directory that are looked at
)

// lookAtDirectory gathers what there is to know about a data directory without its broker's help. It writes nothing but a small file, which
// it removes.
func lookAtDirectory(path string) doctor.Directory {
	d := doctor.Directory{Path: path, NodeID: -1}
	real, absent, err := nearestDirectory(path)
	d.Absent = absent
	if err != nil {
		d.Err = err.Error()
		return d
	}
	var stat unix.Statfs_t
	if err := unix.Statfs(real, &stat); err != nil {
		d.Err = "ask for its space: " + err.Error()
		return d
	}
	block := uint64(stat.Bsize)
	d.FreeBytes, d.TotalBytes = stat.Bavail*block, stat.Blocks*block
	d.FreeInodes, d.TotalInodes = stat.Ffree, stat.Files
	mountOf(real, &d)
	d.Syncs = measureSyncs(real)
	if !absent {
		readDirectory(real, &d)
	}
	return d
}

// nearestDirectory is the directory, or the first above it that is there.
func nearestDirectory(path string) (real string, absent bool, err error) {
	path, err = filepath.Abs(path)
	if err != nil {
		return "", false, err
	}
	for {
		real, err = filepath.EvalSymlinks(path)
		if err == nil {
			info, err := os.Stat(real)
			if err == nil && !info.IsDir() {
				err = errors.New("it is no directory")
			}
			return real, absent, err
		}
		if parent := filepath.Dir(path); errors.Is(err, fs.ErrNotExist) && parent != path {
			path, absent = parent, true
			continue
		}
		return "", absent, err
	}
}

// measureSyncs writes to a file of its own, and syncs it, some times.
func measureSyncs(dir string) (s doctor.Syncs) {
	file, err := os.CreateTemp(dir, ".ottla-doctor-*")
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, unix.EROFS) {
		return s // whether we may write says nothing of the broker; a read-only mount is a finding of its own
	}
	if err != nil {
		s.Err = "make a file: " + err.Error()
		return s
	}
	defer os.Remove(file.Name())
	defer file.Close()
	page := bytes.Repeat([]byte("ottla"), syncBytes/5+1)[:syncBytes]
	end := int64(0)
	appends, err := timeSyncs(file, syncCount, page, func() int64 { end += syncBytes; return end - syncBytes })
	if err == nil {
		var again []time.Duration
		if again, err = timeSyncs(file, syncCount, page, func() int64 { return 0 }); err == nil {
			s.Again = again[len(again)/2]
		}
	}
	if err != nil {
		s.Err = err.Error()
		return s
	}
	s.Count, s.Median, s.Max = len(appends), appends[len(appends)/2], appends[len(appends)-1]
	return s
}

// timeSyncs writes and syncs, count times or for syncTime, at least once, and tells how long each sync took, in order of length.
func timeSyncs(file *os.File, count int, page []byte, at func() int64) (took []time.Duration, err error) {
	for began := time.Now(); len(took) < count && (len(took) == 0 || time.Since(began) < syncTime); {
		if _, err := file.WriteAt(page, at()); err != nil {
			return nil, fmt.Errorf("write 4 KiB: %w", err)
		}
		before := time.Now()
		if err := syncData(file); err != nil {
			return nil, fmt.Errorf("sync 4 KiB: %w", err)
		}
		took = append(took, time.Since(before))
	}
	slices.Sort(took)
	return took, nil
}

// readDirectory looks at what is in a data directory, down to the files of partitions.
func readDirectory(dir string, d *doctor.Directory) {
	info, err := os.Stat(dir)
	if err != nil {
		d.Err = err.Error()
		return
	}
	d.Mode = uint32(info.Mode().Perm())
	owner := ownerOf(info)
	entries, err := os.ReadDir(dir)
	if err != nil {
		d.Err = err.Error()
		return
	}
	left := entryMax
	look := func(path string, entry fs.DirEntry) {
		if left--; left < 0 {
			return
		}
		if info, err := entry.Info(); err == nil && ownerOf(info) != owner {
			d.ForeignFiles++
			d.ForeignFile = path
		}
	}
	for _, entry := range entries {
		path := filepath.Join(dir, entry.Name())
		look(path, entry)
		switch {
		case entry.Name() == ".kafka_cleanshutdown":
			d.CleanStop = true
		case entry.Name() == "ottla.failed-sync":
			d.FailedSync = true
		case entry.IsDir() && strings.HasSuffix(entry.Name(), "-stray") && !inTrash(path):
			d.Strays = append(d.Strays, entry.Name())
		}
		if !entry.IsDir() || left <= 0 {
			continue
		}
		if files, err := os.ReadDir(path); err == nil { // one that has just been deleted is no matter
			for _, file := range files {
				look(filepath.Join(path, file.Name()), file)
			}
		}
	}
	readProperties(filepath.Join(dir, "meta.properties"), d)
	d.LockedBy = lockHolder(filepath.Join(dir, ".lock"))
}

// inTrash tells a partition of a deleted topic, which can be restored, from one that was set aside: both have names that Kafka leaves alone.
func inTrash(partition string) bool {
	_, err := os.Lstat(filepath.Join(partition, "ottla.trash"))
	return err == nil
}

// ownerOf is the user that a file belongs to; -1: not known.
func ownerOf(info fs.FileInfo) int64 {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		return int64(stat.Uid)
	}
	return -1
}

func readProperties(path string, d *doctor.Directory) {
	file, err := os.Open(path)
	if err != nil {
		return
	}
	defer file.Close()
	d.Used = true
	for lines := bufio.NewScanner(file); lines.Scan(); {
		key, value, _ := strings.Cut(strings.TrimSpace(lines.Text()), "=")
		switch key {
		case "cluster.id":
			d.ClusterID = value
		case "node.id":
			if id, err := strconv.ParseInt(value, 10, 32); err == nil {
				d.NodeID = int32(id)
			}
		}
	}
}
