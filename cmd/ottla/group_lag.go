package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// lag is what was written and not read yet: in records by their offsets, and since when its oldest record waits. -1 is unknown.
type lag struct {
	Records int64
	Seconds float64
}

var unknownLag = lag{-1, -1}

// MarshalJSON writes what is unknown as null.
func (l lag) MarshalJSON() ([]byte, error) {
	shown := struct {
		Records *int64   `json:"records"`
		Seconds *float64 `json:"seconds"`
	}{}
	if l.Records >= 0 {
		shown.Records = &l.Records
	}
	if l.Seconds >= 0 {
		shown.Seconds = &l.Seconds
	}
	return json.Marshal(shown)
}

func (l lag) seconds() string {
	if l.Seconds < 0 {
		return "-"
	}
	return fmt.Sprintf("%.1f", l.Seconds)
}

func (l lag) String() string {
	if l.Records < 0 {
		return "unknown"
	}
	text := counted(int(l.Records), "record")
	if l.Seconds >= 0 {
		text += fmt.Sprintf(", %.1f s", l.Seconds)
	}
	return text
}

// plus joins the lags of two partitions: all records, and the longest wait.
func (l lag) plus(other lag) lag {
	if l.Records >= 0 && other.Records >= 0 {
		return lag{l.Records + other.Records, max(l.Seconds, other.Seconds)}
	}
	return lag{max(l.Records, other.Records), max(l.Seconds, other.Seconds)}
}

// measure fills in positions and lags of groups.
func (f *clientFlags) measure(ctx context.Context, admin *kadm.Client, groups []groupView) error {
	topics := map[string]bool{}
	committed := make([]kadm.OffsetResponses, len(groups))
	for i := range groups {
		offsets, err := admin.FetchOffsets(ctx, groups[i].Group)
		if err != nil {
			return f.groupError("read the offsets of", groups[i].Group, err)
		}
		committed[i] = offsets
		for topic := range offsets {
			topics[topic] = true
		}
		for _, m := range groups[i].Members {
			for topic := range m.Partitions {
				topics[topic] = true
			}
		}
	}
	var starts, ends kadm.ListedOffsets
	if len(topics) > 0 {
		names := slices.Sorted(maps.Keys(topics))
		var err error
		if starts, err = admin.ListStartOffsets(ctx, names...); err == nil {
			ends, err = admin.ListEndOffsets(ctx, names...)
		}
		if err != nil {
			return f.explain("find where topics start and end", err)
		}
	}
	behind := oldestUnread{}
	for i := range groups {
		groups[i].positions(committed[i], starts, ends)
		behind.want(groups[i].Partitions)
	}
	if err := f.lookUp(ctx, behind); err != nil {
		return err
	}
	now := time.Now()
	for i := range groups {
		groups[i].sum(behind, now)
	}
	return nil
}

// sum fills in lags in seconds, and those of members and the group.
func (g *groupView) sum(behind oldestUnread, now time.Time) {
	total := lag{}
	members := map[string]lag{}
	for i := range g.Partitions {
		p := &g.Partitions[i]
		p.Lag.Seconds = behind.seconds(p, now)
		total = total.plus(p.Lag)
		members[p.Member] = members[p.Member].plus(p.Lag)
	}
	g.Lag = total
	for i := range g.Members {
		g.Members[i].Lag = members[g.Members[i].Member]
	}
}

// place is an offset of a partition.
type place struct {
	topic     string
	partition int32
	offset    int64
}

// oldestUnread is when the first record at or after an offset was written, by the offsets that groups have committed.
type oldestUnread map[place]*unread

type unread struct {
	asked   bool
	written time.Time // zero is not known
}

func (p *groupPosition) next() place { return place{p.Topic, p.Partition, max(p.Committed, p.Start)} }

func (u oldestUnread) want(positions []groupPosition) {
	for i := range positions {
		if p := &positions[i]; p.Lag.Records > 0 {
			u[p.next()] = new(unread)
		}
	}
}

func (u oldestUnread) seconds(p *groupPosition, now time.Time) float64 {
	if p.Lag.Records == 0 {
		return 0
	}
	first := u[p.next()]
	if first == nil || first.written.IsZero() || first.written.UnixMilli() < 0 {
		return -1
	}
	return max(0, now.Sub(first.written).Seconds())
}

// ask takes one offset of each partition that was not asked for yet.
func (u oldestUnread) ask() map[string]map[int32]kgo.Offset {
	from := map[string]map[int32]kgo.Offset{}
	for at, first := range u {
		if _, taken := from[at.topic][at.partition]; taken || first.asked {
			continue
		}
		if from[at.topic] == nil {
			from[at.topic] = map[int32]kgo.Offset{}
		}
		from[at.topic][at.partition] = kgo.NewOffset().At(at.offset)
		first.asked = true
	}
	return from
}

// lagWait bounds how long the records at the committed offsets are waited for: behind the last record that compaction left, nothing comes.
const lagWait = 2 * time.Second

// lookUp reads the first unread records of all partitions; those of several groups in one partition one after the other.
func (f *clientFlags) lookUp(ctx context.Context, u oldestUnread) error {
	for {
		from := u.ask()
		if len(from) == 0 {
			return nil
		}
		if err := f.readFirst(ctx, from, u); err != nil {
			return err
		}
	}
}

func (f *clientFlags) readFirst(ctx context.Context, from map[string]map[int32]kgo.Offset, u oldestUnread) error {
	client, err := f.open(kgo.ConsumePartitions(from), kgo.FetchMaxWait(500*time.Millisecond), kgo.FetchMaxPartitionBytes(16<<10), kgo.KeepControlRecords())
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, lagWait)
	defer cancel()
	open := 0
	for _, partitions := range from {
		open += len(partitions)
	}
	for open > 0 && ctx.Err() == nil {
		client.PollFetches(ctx).EachPartition(func(p kgo.FetchTopicPartition) {
			first := u[place{p.Topic, p.Partition, from[p.Topic][p.Partition].EpochOffset().Offset}]
			if len(p.Records) > 0 && first.written.IsZero() {
				first.written = p.Records[0].Timestamp
				open--
				client.PauseFetchPartitions(map[string][]int32{p.Topic: {p.Partition}}) // so that the others come first
			}
		})
	}
	return nil
}
