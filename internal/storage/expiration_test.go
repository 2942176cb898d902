package storage_test

import (
	"testing"

	"github.com/ottla-io/ottla/internal/run"
	"github.com/ottla-io/ottla/internal/storage"
	"github.com/ottla-io/ottla/internal/vfs"
)

// TestProducerExpirationChanges: a shorter producer.id.expiration.ms counts for producers that are remembered already, at the next look at them.
func TestProducerExpirationChanges(t *testing.T) {
	s, err := storage.Open(storage.Config{FS: vfs.NewMem(1), Env: run.OS(), Dirs: []string{"data"}, NodeID: 1, RetentionCheckMs: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	l := openLog(t, s, storage.DefaultLogConfig())
	batch, next := idempotent(t, 10)
	next()
	if _, err := l.Append(batch, 1, 0); err != nil {
		t.Fatal(err)
	}
	if n := len(l.Producers()); n != 1 {
		t.Fatalf("%d producers after an append", n)
	}
	s.SetProducerExpiration(1)
	waitFor(t, "the producer to be forgotten", func() bool { return len(l.Producers()) == 0 })
}
