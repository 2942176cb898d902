package storage

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/ottla-io/ottla/internal/ids"
)

// movesFile is ours, in the directory that logs move to: one row a move that is under way (see move.go), as in Kafka's checkpoints.
//
//	0                                    version
//	COUNT
//	TOPIC PARTITION SOURCE COPY          COUNT times: the id of the directory that the log comes from, and the name of the copy
const movesFile = "ottla.moves"

// moveRow is one move; the zero one is none.
type moveRow struct {
	from ids.DirectoryID
	copy string
}

// setMove writes a row, durably, or takes it away.
func (d *directory) setMove(tp ids.TopicPartition, row moveRow) error {
	return d.writing(func() error {
		if d.moves == nil {
			d.moves = make(map[ids.TopicPartition]moveRow)
		}
		had, was := d.moves[tp]
		if delete(d.moves, tp); row.copy != "" {
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
		if err := fsys.Remove(d.path + "/" + movesFile); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return fsys.SyncDir(d.path)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "0\n%d\n", len(d.moves))
	for tp, row := range d.moves {
		fmt.Fprintf(&b, "%s %d %s %s\n", tp.Topic, tp.Partition, row.from, row.copy)
	}
	return writeFileAtomically(fsys, d.path, movesFile, []byte(b.String()))
}

// readMoves reads the rows that a crash or a stop left.
func (d *directory) readMoves() error {
	data, err := readWholeFile(d.store.cfg.FS, d.path+"/"+movesFile, checkpointLimit)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot be read (%w)", err)
	}
	rows, err := checkpointRows(string(data), 4)
	if err != nil {
		return &RefusedError{d.path, fmt.Sprintf("%s is damaged (%v); restore it from a backup, or remove it, with the directories that end in %s, and of a partition that is there twice the one here", movesFile, err, futureDirSuffix), err}
	}
	d.moves = make(map[ids.TopicPartition]moveRow)
	for i := 0; i < len(rows); i += 4 {
		tp, ok := parsePartitionDir(rows[i] + "-" + rows[i+1])
		from, err := ids.ParseUUID(rows[i+2])
		if !ok || err != nil || strings.Contains(rows[i+3], "/") || !strings.HasSuffix(rows[i+3], futureDirSuffix) {
			return &RefusedError{d.path, movesFile + " has a row that names no move: " + strings.Join(rows[i:i+4], " "), err}
		}
		d.moves[tp] = moveRow{ids.DirectoryID(from), rows[i+3]}
	}
	return nil
}

// movesFrom tells that the log of that name is moving here from another directory, or was when the last process ended.
func (d *directory) movesFrom(tp ids.TopicPartition, from *directory) bool {
	row, ok := d.moves[tp]
	return ok && row.from == from.id
}

// endMoves settles what the last process left of its moves, once all directories were looked into: a copy that is not whole goes, and so does one beside
// its original. One whose original is gone is the log; one whose original may lie where we cannot look is not served.
func (s *Store) endMoves() error {
	for _, d := range s.dirs {
		if d.err() != nil || len(d.moves) == 0 {
			continue
		}
		for tp, row := range d.moves {
			if err := s.cfg.FS.RemoveAll(d.path + "/" + row.copy); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("remove what a move left: %w", err)
			}
			f := s.foundIn(d, tp)
			if f == nil {
				continue
			}
			for _, from := range s.dirs {
				if from.id != row.from || from == d {
					continue
				}
				if original := s.foundIn(from, tp); from.err() != nil {
					f.broken = from.err()
				} else if original != nil {
					away := d.path + "/" + discardedName(tp, s.randomUUID(), deleteDirSuffix)
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
