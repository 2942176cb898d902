package storage

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/logfiles"
)

// cutFailedSync cuts every log to what was durable when an fsync failed in the last life of the directory. What lies above was never acknowledged, and whether the
// disk has what the page cache shows cannot be known. It may be interrupted and repeated.
func (d *directory) cutFailedSync() error {
	fsys := d.store.cfg.FS
	path := d.path + "/" + logfiles.FailedSync
	entry, err := fsys.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	bounds, rerr := readOffsetCheckpoint(fsys, path)
	if err = errors.Join(err, rerr); err == nil && entry.Size == 0 {
		err = errors.New("it is empty")
	}
	if err != nil {
		return &RefusedError{d.path, fmt.Sprintf("%s, which says what was durable before a failed sync, is damaged (%v)", logfiles.FailedSync, err), err}
	}
	for _, tp := range bounds.Sorted() {
		bound := bounds[tp]
		if d.store.foundIn(d, tp) == nil {
			continue
		}
		if err := d.cutTo(tp, bound); err != nil {
			return fmt.Errorf("cut %s to offset %d after a failed sync: %w", tp, bound, err)
		}
	}
	if err := fsys.Remove(path); err != nil {
		return err
	}
	d.clean = false
	return fsys.SyncDir(d.path)
}

func (d *directory) cutTo(tp ids.TopicPartition, bound ids.Offset) error {
	r := &recovery{log: d.store.newLog(d, tp, ids.TopicID{}, LogConfig{})}
	return r.cutTo(bound)
}

// cutTo removes the batches that reach bound or beyond, durably.
func (r *recovery) cutTo(bound ids.Offset) error {
	defer func() { r.snapshots, r.leftovers = nil, nil }() // who goes on lists them again
	fsys := r.log.store.cfg.FS
	segments, err := r.list()
	if err != nil {
		return err
	}
	keep := segmentAt(segments, bound)
	for n := len(segments) - 1; n > keep && n > 0; n-- {
		if err := r.remove(segments[n]); err != nil {
			return err
		}
	}
	if len(segments) == 0 {
		return nil
	}
	last := segments[max(keep, 0)]
	h, err := last.open(readWrite)
	if err != nil {
		return err
	}
	defer h.release()
	p, ok, err := last.find(h, 0, bound)
	if errors.Is(err, errTorn) || err == nil && !ok {
		return fsys.SyncDir(r.log.path) // it ends before the bound: recovery judges that
	}
	if err != nil {
		return err
	}
	if err := h.file.Truncate(p.position); err != nil {
		return err
	}
	if err := h.file.Sync(); err != nil {
		return err
	}
	return fsys.SyncDir(r.log.path)
}
