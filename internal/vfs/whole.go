package vfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
)

// This file handles files that are read or written as a whole: checkpoints, properties, snapshots. It works on any FS.

// TempSuffix ends the name that Replace writes under before it renames.
const TempSuffix = ".tmp"

// Replace leaves either the old content or the new under dir/name, also after a crash, and durably the new once it returns.
func Replace(fsys FS, dir, name string, content []byte) error {
	temp := dir + "/" + name + TempSuffix
	if err := WriteWhole(fsys, temp, content, true); err != nil {
		return fmt.Errorf("write %s: %w", temp, err)
	}
	if err := fsys.Rename(temp, dir+"/"+name); err != nil {
		return fmt.Errorf("replace %s/%s: %w", dir, name, err)
	}
	if err := fsys.SyncDir(dir); err != nil {
		return fmt.Errorf("sync directory %s: %w", dir, err)
	}
	return nil
}

// WriteWhole makes path hold content, replacing what was there without any promise across a crash in between. With sync the content is durable once it
// returns; a new file's name is not.
func WriteWhole(fsys FS, path string, content []byte, sync bool) error {
	f, err := OpenOrCreate(fsys, path)
	if err != nil {
		return err
	}
	err = f.Truncate(0)
	if err == nil && len(content) > 0 {
		_, err = f.WriteAt(content, 0)
	}
	if err == nil && sync {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}

// WriteTail makes a file hold content from position on, and nothing behind it. A new file is made where there is none.
func WriteTail(fsys FS, path string, position int64, content []byte, sync bool) error {
	f, err := OpenOrCreate(fsys, path)
	if err != nil {
		return err
	}
	if len(content) > 0 {
		_, err = f.WriteAt(content, position)
	}
	if err == nil {
		err = f.Truncate(position + int64(len(content)))
	}
	if err == nil && sync {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}

// OpenOrCreate opens a file for reading and writing, and makes it where there is none.
func OpenOrCreate(fsys FS, path string) (File, error) {
	f, err := fsys.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		f, err = fsys.Create(path)
	}
	return f, err
}

// MakeDirs makes a directory and those above it that are missing, durably.
func MakeDirs(fsys FS, dir string) error {
	var parents []string
	for at := path.Clean(dir); ; at = path.Dir(at) {
		if _, err := fsys.Stat(at); err == nil || at == path.Dir(at) {
			break
		}
		parents = append(parents, path.Dir(at))
	}
	if err := fsys.MkdirAll(dir); err != nil {
		return err
	}
	for _, parent := range parents {
		if err := fsys.SyncDir(parent); err != nil {
			return err
		}
	}
	return nil
}

// ReadWhole reads a file of at most limit bytes; fs.ErrNotExist if there is none. A larger one is an error before it is read.
func ReadWhole(fsys FS, path string, limit int64) ([]byte, error) {
	f, err := fsys.OpenReadOnly(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	if size > limit {
		return nil, fmt.Errorf("read %s: %d bytes, more than the %d that it may have", path, size, limit)
	}
	data := make([]byte, size)
	if err := ReadFull(f, data, 0); err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return data, nil
}

// ReadFull is io.ReadFull at an offset: fewer bytes than asked for are io.ErrUnexpectedEOF.
func ReadFull(r io.ReaderAt, p []byte, at int64) error {
	n, err := r.ReadAt(p, at)
	if n == len(p) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
