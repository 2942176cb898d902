package storage

import (
	"errors"
	"fmt"
	"sync"

	"github.com/ottla-io/ottla/internal/logfiles"
	"github.com/ottla-io/ottla/internal/vfs"
)

// A full disk must stay able to take what makes room: the record that deletes a topic, a log start that moves up, names that are forgotten. Two things keep
// space for that. Appends of ordinary logs are refused once the file system has less than ReserveBytes left; that holds as long as nobody else
// fills it. And the file ottla.reserve holds ReserveFileBytes, which are given back once such a write has met a full disk, and taken again when there is room.

// reserve is one directory's reserve file.
type reserve struct {
	mu   sync.Mutex // held while writing it
	held int64
}

// restoreReserve fills the reserve file if it is short and there is room for it above ReserveBytes.
func (d *directory) restoreReserve() {
	want := d.store.cfg.ReserveFileBytes
	r := &d.reserve
	r.mu.Lock()
	defer r.mu.Unlock()
	if want <= 0 || r.held >= want || d.err() != nil {
		return
	}
	if _, usable, err := d.store.cfg.FS.Space(d.path); err != nil || usable < d.store.cfg.ReserveBytes+want {
		return // measure tells
	}
	path := d.path + "/" + logfiles.Reserve
	err := d.fill(path, want)
	if err == nil {
		r.held = want
		return
	}
	if rerr := d.store.cfg.FS.Remove(path); rerr != nil {
		err = errors.Join(err, rerr)
	}
	d.store.problem("keep a reserve of space in "+path, err)
}

// fill writes random bytes: zeros might be stored as nothing.
func (d *directory) fill(path string, size int64) error {
	f, err := vfs.OpenOrCreate(d.store.cfg.FS, path)
	if err != nil {
		return err
	}
	chunk := scanBuffers.get()
	defer scanBuffers.put(chunk)
	for at := int64(0); at < size && err == nil; {
		p := (*chunk)[:min(int64(len(*chunk)), size-at)]
		d.store.env().Random(p)
		_, err = f.WriteAt(p, at)
		at += int64(len(p))
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}

// releaseReserve gives the reserve file's space back; false if there is none.
func (d *directory) releaseReserve() bool {
	r := &d.reserve
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.held == 0 {
		return false
	}
	f, err := d.store.cfg.FS.Open(d.path + "/" + logfiles.Reserve)
	if err == nil {
		err = f.Truncate(0)
		if err == nil {
			err = f.Sync() // some file systems hand freed space out only after that
		}
		if cerr := f.Close(); err == nil {
			err = cerr
		}
	}
	if err != nil {
		d.store.problem("give the reserve of space in "+d.path+" back", err)
		return false
	}
	held := r.held
	r.held = 0
	d.store.problem(fmt.Sprintf("the disk of %s is full: the %d bytes of %s are given back, so that topics and records can be deleted", d.path, held, logfiles.Reserve), vfs.ErrNoSpace)
	return true
}

// sparing runs fn, and once more if the disk was full and the reserve file gave it room. For what makes room, and must not fail for lack of it.
func (d *directory) sparing(fn func() error) error {
	err := fn()
	if errors.Is(err, vfs.ErrNoSpace) && d.releaseReserve() {
		err = fn()
	}
	return err
}

// noteAppended looks at the space left before flush rounds do, where much is appended between two: the reserve would be gone by then.
func (d *directory) noteAppended(bytes int) {
	limit := d.store.cfg.ReserveBytes / 4
	if n := d.unmeasured.Add(int64(bytes)); limit > 0 && n >= limit && d.unmeasured.CompareAndSwap(n, 0) {
		d.measure()
	}
}
