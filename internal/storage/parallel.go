package storage

import (
	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/run"
)

// startWorkers bounds the goroutines that open logs at the same time: enough for a disk to have something to choose from.
const startWorkers = 16

// parallel calls fn for 0 to n-1, several at a time.
func parallel(env run.Env, n int, fn func(i int)) {
	run.Parallel(env, "storage parallel", startWorkers, n, fn)
}

// Wanted is a log that will be opened.
type Wanted struct {
	Topic  ids.TopicPartition
	ID     ids.TopicID
	Config LogConfig
	// Directory is where the log lies as far as is on record; zero, and Kafka's other reserved ids: it isn't.
	Directory ids.DirectoryID
	// New tells that the log was never opened before: whatever directory is offline, it doesn't lie there.
	New bool
}

// OpenFound opens those of the logs that were found on disk, several at a time, so that OpenLog has them at hand. What cannot be opened is left to
// OpenLog, which says why.
func (s *Store) OpenFound(logs []Wanted) {
	found := make([]Wanted, 0, len(logs))
	s.mu.Lock()
	for _, w := range logs {
		if s.found[w.Topic] != nil || s.trash[trashKey{w.ID, w.Topic.Partition}] != nil {
			found = append(found, w)
		}
	}
	s.mu.Unlock()
	parallel(s.env(), len(found), func(i int) {
		_, _ = s.OpenPlaced(found[i]) //nolint:errcheck // see above
	})
}
