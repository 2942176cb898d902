package storage

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/logfiles"
	"github.com/ottla-io/ottla/internal/vfs"
)

// setMove writes a row, durably, or takes it away.
func (d *directory) setMove(tp ids.TopicPartition, row logfiles.MoveRow) error {
	return d.writing(func() error {
		if d.moves == nil {
			d.moves = make(map[ids.TopicPartition]logfiles.MoveRow)
		}
		had, was := d.moves[tp]
		if delete(d.moves, tp); row.Copy != "" {
			d.moves[tp] = row
		}
		err := d.writeMoves()
		if err != nil {
			if delete(d.moves, tp); was {
				d.moves[tp] = had
			}
		}
		return err
	})
}

// writeMoves replaces the file; the caller holds mu. Without rows there is none.
func (d *directory) writeMoves() error {
	fsys := d.store.cfg.FS
	if len(d.moves) == 0 {
		if err := fsys.Remove(d.path + "/" + logfiles.Moves); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return fsys.SyncDir(d.path)
	}
	return vfs.Replace(fsys, d.path, logfiles.Moves, logfiles.EncodeMoves(d.moves))
}

// readMoves reads the rows that a crash or a stop left.
func (d *directory) readMoves() error {
	data, err := vfs.ReadWhole(d.store.cfg.FS, d.path+"/"+logfiles.Moves, checkpointLimit)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot be read (%w)", err)
	}
	moves, err := logfiles.ParseMoves(data)
	var bad *logfiles.BadMoveError
	switch {
	case errors.As(err, &bad):
		return &RefusedError{d.path, logfiles.Moves + " has a row that names no move: " + bad.Row, bad.Err}
	case err != nil:
		return &RefusedError{d.path, fmt.Sprintf("%s is damaged (%v); restore it from a backup, or remove it, with the directories that end in %s, and of a partition that is there twice the one here", logfiles.Moves, err, logfiles.FutureDirSuffix), err}
	}
	d.moves = moves
	return nil
}

// movesFrom tells that the log of that name is moving here from another directory, or was when the last process ended.
func (d *directory) movesFrom(tp ids.TopicPartition, from *directory) bool {
	row, ok := d.moves[tp]
	return ok && row.From == from.id
}

// endMoves settles what the last process left of its moves, once all directories were looked into: a copy that is not whole goes, and so does one beside
// its original. One whose original is gone is the log; one whose original may lie where we cannot look is not served.
func (s *Store) endMoves() error {
	for _, d := range s.dirs {
		if d.err() != nil || len(d.moves) == 0 {
			continue
		}
		for tp, row := range d.moves {
			if err := s.cfg.FS.RemoveAll(d.path + "/" + row.Copy); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("remove what a move left: %w", err)
			}
			f := s.foundIn(d, tp)
			if f == nil {
				continue
			}
			for _, from := range s.dirs {
				if from.id != row.From || from == d {
					continue
				}
				if original := s.foundIn(from, tp); from.err() != nil {
					f.broken = from.err()
				} else if original != nil {
					away := d.path + "/" + logfiles.DiscardedName(tp, s.randomUUID(), logfiles.DeleteDirSuffix)
					if err := s.cfg.FS.Rename(d.path+"/"+tp.String(), away); err != nil {
						return fmt.Errorf("set aside the copy of %s: %w", tp, err)
					}
					s.forgetIn(d, tp)
					s.work.discard(0, away)
				}
			}
		}
		if err := s.cfg.FS.SyncDir(d.path); err != nil {
			return fmt.Errorf("sync directory %s: %w", d.path, err)
		}
	}
	return nil
}

// dropMoves removes the rows that endMoves settled, but for those whose original could not be looked for.
func (d *directory) dropMoves() error {
	if len(d.moves) == 0 {
		return nil
	}
	return d.writing(func() error {
		for tp := range d.moves {
			if f := d.store.foundIn(d, tp); f == nil || f.broken == nil {
				delete(d.moves, tp)
			}
		}
		return d.writeMoves()
	})
}
