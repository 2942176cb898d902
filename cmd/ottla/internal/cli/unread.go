package cli

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Place is an offset of a partition, where there may or may not be a record.
type Place struct {
	Topic     string
	Partition int32
	Offset    int64
}

// unreadWait bounds how long the records at some places are waited for: behind the last record that compaction left, nothing comes.
const unreadWait = 2 * time.Second

// FirstWritten reads the first record at or after each place, and tells when it was written. What nobody tells within two seconds is left out.
func (f *ClientFlags) FirstWritten(ctx context.Context, places []Place) (map[Place]time.Time, error) {
	written := map[Place]time.Time{}
	for left := places; len(left) > 0; {
		// A client reads a partition from one place: of several, the others wait for the next round.
		from := map[string]map[int32]kgo.Offset{}
		asked := map[Place]bool{}
		left = slices.DeleteFunc(slices.Clone(left), func(at Place) bool {
			if _, taken := from[at.Topic][at.Partition]; taken {
				return asked[at]
			}
			if from[at.Topic] == nil {
				from[at.Topic] = map[int32]kgo.Offset{}
			}
			from[at.Topic][at.Partition] = kgo.NewOffset().At(at.Offset)
			asked[at] = true
			return true
		})
		if err := f.readFirst(ctx, from, written); err != nil {
			return nil, err
		}
	}
	maps.DeleteFunc(written, func(_ Place, at time.Time) bool { return at.UnixMilli() < 0 })
	return written, nil
}

// readFirst reads a record of each partition.
func (f *ClientFlags) readFirst(ctx context.Context, from map[string]map[int32]kgo.Offset, written map[Place]time.Time) error {
	client, err := f.Open(kgo.ConsumePartitions(from), kgo.FetchMaxWait(500*time.Millisecond), kgo.FetchMaxPartitionBytes(16<<10), kgo.KeepControlRecords())
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, unreadWait)
	defer cancel()
	open := 0
	for _, partitions := range from {
		open += len(partitions)
	}
	for open > 0 && ctx.Err() == nil {
		client.PollFetches(ctx).EachPartition(func(p kgo.FetchTopicPartition) {
			at := Place{p.Topic, p.Partition, from[p.Topic][p.Partition].EpochOffset().Offset}
			if _, known := written[at]; !known && len(p.Records) > 0 {
				written[at] = p.Records[0].Timestamp
				open--
				client.PauseFetchPartitions(map[string][]int32{p.Topic: {p.Partition}}) // so that the others come first
			}
		})
	}
	return nil
}
