package ottla

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/machine"
	"github.com/ottla-io/ottla/internal/machine/group"
	"github.com/ottla-io/ottla/internal/replication"
	"github.com/ottla-io/ottla/internal/run"
	"github.com/ottla-io/ottla/internal/server"
	"github.com/ottla-io/ottla/internal/storage"
	"github.com/ottla-io/ottla/internal/wire"
)

// longStep is how long one step of background work may take before the log mentions it.
const longStep = 100 * time.Millisecond

// slowFlush is how long one group commit may take before the log says that the disk is slow.
const slowFlush = time.Second

func storageEvents(logger *slog.Logger, flushes *flushes) storage.Events {
	return storage.Events{
		SegmentRolled: func(tp ids.TopicPartition, base ids.Offset) {
			logger.Debug("segment rolled", "partition", tp, "base", base)
		},
		FlushRound: func(dir string, took time.Duration, logs, files int) {
			flushes.add(took, logs)
			if took >= slowFlush {
				logger.Warn("the disk is slow: one flush took long, and acks=all waited for it", "directory", dir, "took", took, "logs", logs, "files", files)
			}
		},
		Recovered: func(r storage.Recovery) {
			level := slog.LevelInfo
			if r.ValidAfterCut {
				level = slog.LevelWarn
			}
			what := "partition recovered after an unclean stop"
			if r.Restored {
				what = "partition restored from the trash"
			}
			logger.Log(context.Background(), level, what, "partition", r.Log, "scannedBytes", r.ScannedBytes,
				"cutBytes", r.CutBytes, "cutOffset", r.CutOffset, "validAfterCut", r.ValidAfterCut, "logEnd", r.LogEnd, "took", r.Took)
		},
		Corrupt: func(err *storage.CorruptError) {
			logger.Error("a partition's durable bytes are damaged: it is not served and not changed", "error", err)
		},
		DirectoryOffline: func(dir string, err error, marked bool) {
			logger.Error("a data directory failed and is offline until the next start: its partitions answer KAFKA_STORAGE_ERROR, the others go on; nothing that was acknowledged depends on what it could not write",
				"directory", dir, "error", err, "durableBoundsRecorded", marked)
		},
		RetentionDeleted: func(tp ids.TopicPartition, segments int, bytes int64, logStart ids.Offset) {
			logger.Info("retention deleted segments", "partition", tp, "segments", segments, "bytes", bytes, "logStart", logStart)
		},
		RecordsDeleted: func(tp ids.TopicPartition, segments int, bytes int64, logStart ids.Offset) {
			logger.Info("records were deleted", "partition", tp, "segments", segments, "bytes", bytes, "logStart", logStart)
		},
		Compacted: func(c storage.Compaction) {
			logger.Info("a log was compacted", "partition", c.Log, "firstDirty", c.FirstDirty, "end", c.End, "bytesBefore", c.BytesBefore, "bytesAfter", c.BytesAfter,
				"segmentsBefore", c.Segments, "segmentsAfter", c.SegmentsAfter, "records", c.Records, "retained", c.Retained, "keyless", c.Keyless,
				"offsetMapUse", c.MapUse, "took", c.Took)
		},
		Uncleanable: func(tp ids.TopicPartition, err error) {
			logger.Error("a log cannot be compacted, and is not tried again before the next start: it is served as before, and grows", "partition", tp, "error", err)
		},
		Quarantined: func(from, to, why string) {
			logger.Warn("a directory was set aside", "from", from, "to", to, "why", why)
		},
		LowSpace: func(dir string, low bool, usable int64) {
			if low {
				logger.Error("the disk is nearly full: produce is refused; delete topics or lower retention", "directory", dir, "usableBytes", usable)
			} else {
				logger.Info("the disk has room again", "directory", dir, "usableBytes", usable)
			}
		},
		BackgroundStep: func(kind storage.BackgroundKind, took time.Duration, bytes int64) {
			if took >= longStep {
				logger.Debug("a long step of background work", "work", kind.String(), "took", took, "bytes", bytes)
			}
		},
		Problem: func(what string, err error) { logger.Warn(what, "error", err) },
	}
}

// repeatAfter is when the log says again that a partition answers KAFKA_STORAGE_ERROR. Clients retry it many times a second.
const repeatAfter = time.Minute

// storageErrors lets each reason for KAFKA_STORAGE_ERROR through once in a while, and not at all where the log has said more
// already: that a directory is offline, or a partition damaged.
type storageErrors struct {
	env run.Env

	mu   sync.Mutex // guards the rest
	said map[string]time.Duration
}

func (s *storageErrors) news(tp ids.TopicPartition, err error) bool {
	var corrupt *storage.CorruptError
	if errors.As(err, &corrupt) {
		return false
	}
	about := tp.String()
	var offline *storage.OfflineError
	if errors.As(err, &offline) {
		about = offline.Path
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.env.Monotonic()
	if last, ok := s.said[about]; ok && now-last < repeatAfter {
		return false
	}
	s.said[about] = now
	return true
}

func replicationEvents(env run.Env, logger *slog.Logger) replication.Events {
	failures := &storageErrors{env: env, said: make(map[string]time.Duration)}
	return replication.Events{
		StorageError: func(tp ids.TopicPartition, err error) {
			if failures.news(tp, err) {
				logger.Error("a partition answered KAFKA_STORAGE_ERROR", "partition", tp, "error", err)
			}
		},
		Refused: func(tp ids.TopicPartition, code wire.ErrorCode) {
			logger.Debug("a produce was refused", "partition", tp, "code", code.Name())
		},
	}
}

func machineEvents(logger *slog.Logger) machine.Events {
	return machine.Events{
		Loaded: func(from machine.SnapshotID, batches int, end ids.Offset) {
			logger.Debug("metadata loaded", "snapshotEnd", from.End, "batches", batches, "end", end)
		},
		SnapshotBad: func(id machine.SnapshotID, err error) {
			logger.Warn("a metadata snapshot cannot be read; an older one is tried", "snapshot", id.FileName(), "error", err)
		},
		SnapshotStored: func(id machine.SnapshotID) { logger.Debug("metadata snapshot stored", "snapshot", id.FileName()) },
		SnapshotFailed: func(id machine.SnapshotID, err error) {
			logger.Error("a metadata snapshot could not be stored; the log stays whole, and the next one is tried in time", "snapshot", id.FileName(), "error", err)
		},
		Dropped: func(err error) {
			logger.Error("the metadata log failed: changes of topics are refused until it works again", "error", err)
		},
	}
}

func serverEvents(logger *slog.Logger) server.Events {
	return server.Events{
		ConnectionClosed: func(c server.Closed) {
			logger.Warn("connection closed", "reason", c.Reason, "error", c.Err, "client", c.RemoteHost, "listener", c.Listener,
				"connection", c.ID, "software", c.SoftwareName, "softwareVersion", c.SoftwareVersion, "alsoSuppressed", c.Suppressed)
		},
		AcceptFailed: func(listener string, err error) {
			logger.Error("cannot accept connections; trying again", "listener", listener, "error", err)
		},
	}
}

// groupEvents tells each rebalance once, with its reason.
func groupEvents(logger *slog.Logger) group.Events {
	return group.Events{Rebalanced: func(r group.Rebalance) {
		args := []any{"group", r.Group, "generation", r.Generation, "members", r.Members, "reason", r.Reason, "paused", r.Paused.Round(time.Millisecond)}
		for _, of := range []struct {
			did     string
			members []string
		}{{"joined", r.Joined}, {"left", r.Left}, {"timedOut", r.TimedOut}} {
			if len(of.members) > 0 {
				args = append(args, of.did, of.members)
			}
		}
		logger.Info("group rebalanced", args...)
	}}
}

// groupMachineEvents tells about the runtime of one partition of __consumer_offsets.
func groupMachineEvents(env run.Env, logger *slog.Logger, tp ids.TopicPartition) machine.Events {
	began := env.Monotonic()
	return machine.Events{
		Loaded: func(_ machine.SnapshotID, batches int, end ids.Offset) {
			logger.Debug("groups loaded", "partition", tp, "batches", batches, "end", end, "took", env.Monotonic()-began)
		},
		Dropped: func(err error) {
			began = env.Monotonic()
			if errors.Is(err, machine.ErrStaleEpoch) {
				logger.Debug("groups are coordinated elsewhere", "partition", tp, "error", err)
				return
			}
			logger.Error("the log of a group coordinator failed: its members are refused until it works again", "partition", tp, "error", err)
		},
	}
}
