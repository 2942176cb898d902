// Package vfs is the only door to the disk.
//
// OS() is the real file system. NewMem gives one in memory that can crash: only what was synced is certain
// to survive, and unsynced writes (per 512-byte sector), truncations, renames and directory entries survive
// at random, from a seed. NewFault wraps any FS and injects EIO, ENOSPC, short writes, failed syncs and bit flips
// by rule. Everything that stores bytes takes an FS.
//
// Paths use forward slashes. It must never know what the bytes mean. storage, metadata snapshots, quorum
// and inspect call it. What survives a crash is what each method's comment says.
package vfs

import (
	"errors"
	"io"
)

// FS is one file system, or the part of it below a directory.
type FS interface {
	// Create makes a new file, open for reading and writing. It fails with fs.ErrExist where one is.
	// The directory entry survives a crash only after SyncDir of the parent.
	Create(path string) (File, error)
	// Open opens an existing file for reading and writing; fs.ErrNotExist if absent.
	Open(path string) (File, error)
	// OpenReadOnly opens an existing file for reading.
	OpenReadOnly(path string) (File, error)
	// Rename replaces newPath atomically; durable after SyncDir of both parents.
	Rename(oldPath, newPath string) error
	// Remove removes a file or an empty directory; durable after SyncDir of the parent. Open files stay readable.
	Remove(path string) error
	// RemoveAll removes a tree; a missing path is no error.
	RemoveAll(path string) error
	// MkdirAll makes a directory and its parents; each durable after SyncDir of its parent.
	MkdirAll(path string) error
	// List returns the entries of a directory, sorted by name.
	List(dir string) ([]Entry, error)
	// Stat describes one file or directory; fs.ErrNotExist if absent.
	Stat(path string) (Entry, error)
	// SyncDir makes the directory's entries durable.
	SyncDir(dir string) error
	// SyncFS makes everything on the file system that holds dir durable (Linux syncfs), or returns errors.ErrUnsupported.
	SyncFS(dir string) error
	// Dedicated tells whether the file system that holds dir holds nothing else, so that SyncFS costs no more than what lies in dir.
	Dedicated(dir string) bool
	// Lock takes an exclusive advisory lock on the file, creating it; ErrLocked if another process or FS user holds it.
	// The lock dies with the process.
	Lock(path string) (io.Closer, error)
	// Space tells how many bytes the file system that holds dir has in all, and how many this process may still use.
	Space(dir string) (total, usable int64, err error)
}

// Entry is a name in a directory.
type Entry struct {
	Name  string // base name
	IsDir bool
	Size  int64 // bytes; 0 for a directory
}

// File is an open file. All methods but Close may be called concurrently.
type File interface {
	io.ReaderAt
	io.WriterAt
	// Truncate sets the size; durable after Sync.
	Truncate(size int64) error
	// Sync makes content and size durable (fdatasync). After an error the file's state is unknown: never retry.
	Sync() error
	// Size is the current length in bytes.
	Size() (int64, error)
	io.Closer
}

// Descriptor is implemented by files that the kernel can send from (sendfile). ok is false where there is none.
type Descriptor interface {
	Descriptor() (fd uintptr, ok bool)
}

// ErrLocked means that somebody else holds the lock.
var ErrLocked = errors.New("locked by another process")

// ErrNoSpace means that the disk is full (ENOSPC, EDQUOT). Every FS wraps its own error with it.
var ErrNoSpace = errors.New("no space left on device")

// ErrTooManyFiles means that the process, or the machine, has no file descriptor left (EMFILE, ENFILE), which says nothing about the disk.
var ErrTooManyFiles = errors.New("too many open files")
