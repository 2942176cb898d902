package groups

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/ottla-io/ottla/cmd/ottla/internal/cli"
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
	text := cli.Counted(int(l.Records), "record")
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
func (f *groupFlags) measure(ctx context.Context, admin *kadm.Client, groups []groupView) error {
	topics := map[string]bool{}
	committed := make([]kadm.OffsetResponses, len(groups))
	for i := range groups {
		offsets, err := admin.FetchOffsets(ctx, groups[i].Group)
		if err != nil {
			return f.GroupError("read the offsets of", groups[i].Group, err)
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
			return f.Explain("find where topics start and end", err)
		}
	}
	var behind []cli.Place
	for i := range groups {
		groups[i].positions(committed[i], starts, ends)
		for j := range groups[i].Partitions {
			if p := &groups[i].Partitions[j]; p.Lag.Records > 0 {
				behind = append(behind, p.next())
			}
		}
	}
	written, err := f.FirstWritten(ctx, behind)
	if err != nil {
		return err
	}
	now := time.Now()
	for i := range groups {
		groups[i].sum(written, now)
	}
	return nil
}

// sum fills in lags in seconds, and those of members and the group. written is when the first unread records were.
func (g *groupView) sum(written map[cli.Place]time.Time, now time.Time) {
	total := lag{}
	members := map[string]lag{}
	for i := range g.Partitions {
		p := &g.Partitions[i]
		p.Lag.Seconds = p.waits(written, now)
		total = total.plus(p.Lag)
		members[p.Member] = members[p.Member].plus(p.Lag)
	}
	g.Lag = total
	for i := range g.Members {
		g.Members[i].Lag = members[g.Members[i].Member]
	}
}

// next is where the group reads on.
func (p *groupPosition) next() cli.Place {
	return cli.Place{Topic: p.Topic, Partition: p.Partition, Offset: max(p.Committed, p.Start)}
}

// waits is how long the oldest unread record does, in seconds; -1 is unknown.
func (p *groupPosition) waits(written map[cli.Place]time.Time, now time.Time) float64 {
	if p.Lag.Records == 0 {
		return 0
	}
	first, known := written[p.next()]
	if !known {
		return -1
	}
	return max(0, now.Sub(first).Seconds())
}
