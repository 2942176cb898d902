package machine

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ottla-io/ottla/internal/record"
)

// TestRecordsOfTransactions: a machine sees what belongs to a transaction and how it ended, and no other control record.
func TestRecordsOfTransactions(t *testing.T) {
	plain := record.NewBuilder(record.None, record.DefaultLevel)
	plain.Append(5, []byte("k"), nil)
	inside := record.NewBuilder(record.None, record.DefaultLevel)
	inside.Producer(7, 1, 0)
	inside.Transactional()
	inside.Append(5, []byte("k"), []byte("v"))
	build := func(b *record.Builder) record.Batch {
		batch, err := b.Build()
		if err != nil {
			t.Fatal(err)
		}
		return batch
	}
	marker := func(how record.ControlType) record.Batch {
		return record.EndTransactionMarker(7, 1, record.EndTransaction{Type: how}, 5)
	}
	for _, c := range []struct {
		name  string
		batch record.Batch
		want  []Record
	}{
		{"plain", build(plain), []Record{{Key: []byte("k"), TimestampMs: 5}}},
		{"inside", build(inside), []Record{{Key: []byte("k"), Value: []byte("v"), TimestampMs: 5, Transaction: Transaction{7, TransactionOpen}}}},
		{"commit", marker(record.ControlCommit), []Record{{TimestampMs: 5, Transaction: Transaction{7, TransactionCommitted}}}},
		{"abort", marker(record.ControlAbort), []Record{{TimestampMs: 5, Transaction: Transaction{7, TransactionAborted}}}},
		{"leader change", record.ControlBatch(record.ControlLeaderChange, 0, 0, 5, []byte{0, 0}), []Record{}},
	} {
		got, err := recordsOf(c.batch, 0)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}
