package main

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// place is an offset of a partition.
type place struct {
	topic     string
	partition int32
	offset    int64
}

// unreadWait bounds how long the records at some places are waited for: behind the last record that compaction left, nothing comes.
const unreadWait = 2 * time.Second

// firstWritten tells when the first record at or after each place was written. What cannot be told is left out.
func (f *clientFlags) firstWritten(ctx context.Context, places []place) (map[place]time.Time, error) {
	written := map[place]time.Time{}
	for left := places; len(left) > 0; {
		// A client reads a partition from one place: of several, the others wait for the next round.
		from := map[string]map[int32]kgo.Offset{}
		asked := map[place]bool{}
		left = slices.DeleteFunc(slices.Clone(left), func(at place) bool {
			if _, taken := from[at.topic][at.partition]; taken {
				return asked[at]
			}
			if from[at.topic] == nil {
				from[at.topic] = map[int32]kgo.Offset{}
			}
			from[at.topic][at.partition] = kgo.NewOffset().At(at.offset)
			asked[at] = true
			return true
		})
		if err := f.readFirst(ctx, from, written); err != nil {
			return nil, err
		}
	}
	maps.DeleteFunc(written, func(_ place, at time.Time) bool { return at.UnixMilli() < 0 })
	return written, nil
}

// readFirst reads a record of each partition.
func (f *clientFlags) readFirst(ctx context.Context, from map[string]map[int32]kgo.Offset, written map[place]time.Time) error {
	client, err := f.open(kgo.ConsumePartitions(from), kgo.FetchMaxWait(500*time.Millisecond), kgo.FetchMaxPartitionBytes(16<<10), kgo.KeepControlRecords())
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
			at := place{p.Topic, p.Partition, from[p.Topic][p.Partition].EpochOffset().Offset}
			if _, known := written[at]; !known && len(p.Records) > 0 {
				written[at] = p.Records[0].Timestamp
				open--
				client.PauseFetchPartitions(map[string][]int32{p.Topic: {p.Partition}}) // so that the others come first
			}
		})
	}
	return nil
}
