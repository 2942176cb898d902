package logfiles

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/ottla-io/ottla/internal/ids"
)

// EpochStart says that the batches from Start on were written by the leader of Epoch, up to the next entry's start.
type EpochStart struct {
	Epoch ids.LeaderEpoch
	Start ids.Offset
}

// EncodeEpochs makes leader-epoch-checkpoint. Both fields must be strictly increasing.
//
//	0              version
//	COUNT
//	EPOCH START    COUNT times
func EncodeEpochs(entries []EpochStart) []byte {
	out := append(strconv.AppendInt([]byte("0\n"), int64(len(entries)), 10), '\n')
	for _, e := range entries {
		out = append(strconv.AppendInt(out, int64(e.Epoch), 10), ' ')
		out = append(strconv.AppendInt(out, int64(e.Start), 10), '\n')
	}
	return out
}

// ParseEpochs reads what EncodeEpochs made.
func ParseEpochs(data []byte) ([]EpochStart, error) {
	rows, err := rows(string(data), 2)
	if err != nil {
		return nil, err
	}
	entries := make([]EpochStart, 0, len(rows)/2)
	for i := 0; i < len(rows); i += 2 {
		epoch, err1 := strconv.ParseInt(rows[i], 10, 32)
		start, err2 := strconv.ParseInt(rows[i+1], 10, 64)
		if err1 != nil || err2 != nil {
			return nil, fmt.Errorf("line %q is not an epoch and an offset", rows[i]+" "+rows[i+1])
		}
		e := EpochStart{ids.LeaderEpoch(epoch), ids.Offset(start)}
		if n := len(entries); n > 0 && (e.Epoch <= entries[n-1].Epoch || e.Start <= entries[n-1].Start) {
			return nil, errors.New("epochs are not increasing")
		}
		entries = append(entries, e)
	}
	return entries, nil
}
