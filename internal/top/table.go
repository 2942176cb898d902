package top

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// column is one column of a table of T.
type column[T any] struct {
	name  string
	text  func(*T) string
	order func(a, b *T) int // by which rows are sorted
	left  bool              // it begins at the left
	wide  bool              // it takes what of the width is left, one column of a table
}

// table is what a view shows, as text.
type table struct {
	heading []string
	left    []bool   // columns that begin at the left
	stretch int      // the column that takes what of the width is left; -1: none
	keys    []string // by row: what it is about
	rows    [][]string
	sorted  int // the column by which rows are sorted
}

// numeric is a column of numbers.
func numeric[T any](name string, of func(*T) Rate, text func(Rate) string) column[T] {
	return column[T]{name: name, text: func(row *T) string { return text(of(row)) }, order: func(a, b *T) int { return cmp.Compare(of(a), of(b)) }}
}

// worded is a column of text.
func worded[T any](name string, of func(*T) string, wide bool) column[T] {
	return column[T]{name: name, left: true, wide: wide, text: func(row *T) string { return shown(of(row)) }, order: func(a, b *T) int { return strings.Compare(of(a), of(b)) }}
}

// layout makes a table of rows: filtered by their keys, and sorted by a column, equal ones as they came.
func layout[T any](columns []column[T], rows []T, key func(*T) string, by sorting, filter string) table {
	t := table{sorted: min(by.column, len(columns)-1), stretch: -1}
	for i, c := range columns {
		t.heading = append(t.heading, c.name)
		t.left = append(t.left, c.left)
		if c.wide {
			t.stretch = i
		}
	}
	kept := make([]*T, 0, len(rows))
	for i := range rows {
		if filter == "" || strings.Contains(strings.ToLower(key(&rows[i])), strings.ToLower(filter)) {
			kept = append(kept, &rows[i])
		}
	}
	order := columns[t.sorted].order
	slices.SortStableFunc(kept, func(a, b *T) int {
		if by.descending {
			a, b = b, a
		}
		return order(a, b)
	})
	for _, row := range kept {
		cells := make([]string, len(columns))
		for i, c := range columns {
			cells[i] = c.text(row)
		}
		t.rows, t.keys = append(t.rows, cells), append(t.keys, key(row))
	}
	return t
}

// lines draws the heading and the rows from first on, as many as fit. Columns keep their widest cell; the stretching one takes what is left, and
// those at the right fall off when it is narrow.
func (t *table) lines(first, height, columns int, mark string) (heading string, rows []string) {
	shownRows := t.rows[min(first, len(t.rows)):min(first+height, len(t.rows))]
	widths := make([]int, len(t.heading))
	for i, name := range t.heading {
		if widths[i] = width(name); i == t.sorted {
			widths[i] = max(widths[i], width(name)+width(mark))
		}
		for _, row := range shownRows {
			widths[i] = max(widths[i], width(row[i]))
		}
	}
	const gap, narrow = 2, 16
	used := -gap
	visible := 0
	for i, w := range widths {
		if i == t.stretch {
			w = min(w, narrow)
		}
		if visible > 0 && used+gap+w > columns {
			break
		}
		used += gap + w
		visible++
	}
	if t.stretch >= 0 && t.stretch < visible {
		widths[t.stretch] = min(widths[t.stretch], min(widths[t.stretch], narrow)+max(0, columns-used))
	}
	draw := func(cells []string) string {
		parts := make([]string, 0, visible)
		for i := range visible {
			parts = append(parts, fit(cells[i], min(widths[i], columns), !t.left[i]))
		}
		return fit(strings.TrimRight(strings.Join(parts, "  "), " "), columns, false)
	}
	names := slices.Clone(t.heading)
	names[t.sorted] += mark
	for _, row := range shownRows {
		rows = append(rows, draw(row))
	}
	return draw(names), rows
}

var topicColumns = []column[TopicRow]{
	worded("TOPIC", func(r *TopicRow) string { return r.Topic }, true),
	numeric("PARTITIONS", func(r *TopicRow) Rate { return Rate(r.Partitions) }, whole),
	numeric("RECORDS/S", func(r *TopicRow) Rate { return r.RecordsIn }, number),
	numeric("IN B/S", func(r *TopicRow) Rate { return r.BytesIn }, number),
	numeric("OUT B/S", func(r *TopicRow) Rate { return r.BytesOut }, number),
	numeric("SIZE", func(r *TopicRow) Rate { return r.SizeBytes }, number),
	numeric("OFFLINE", func(r *TopicRow) Rate { return Rate(r.Leaderless) }, whole),
	numeric("UNDER", func(r *TopicRow) Rate { return Rate(r.Under) }, whole),
}

var partitionColumns = []column[PartitionRow]{
	numeric("PARTITION", func(r *PartitionRow) Rate { return Rate(r.Partition) }, whole),
	numeric("LEADER", func(r *PartitionRow) Rate { return Rate(r.Leader) }, whole),
	numeric("REPLICAS", func(r *PartitionRow) Rate { return Rate(r.Replicas) }, whole),
	numeric("IN SYNC", func(r *PartitionRow) Rate { return Rate(r.InSync) }, whole),
	numeric("END", func(r *PartitionRow) Rate { return r.End }, whole),
	numeric("RECORDS/S", func(r *PartitionRow) Rate { return r.RecordsIn }, number),
	numeric("SIZE", func(r *PartitionRow) Rate { return r.SizeBytes }, number),
}

var groupColumns = []column[GroupRow]{
	worded("GROUP", func(r *GroupRow) string { return r.Group }, true),
	worded("STATE", func(r *GroupRow) string { return r.State }, false),
	numeric("MEMBERS", func(r *GroupRow) Rate { return r.Members }, whole),
	numeric("TOPICS", func(r *GroupRow) Rate { return Rate(r.Topics) }, whole),
	numeric("LAG", func(r *GroupRow) Rate { return r.Lag }, whole),
	numeric("BEHIND", func(r *GroupRow) Rate { return r.Seconds }, seconds),
	numeric("READ/S", func(r *GroupRow) Rate { return r.Read }, number),
	numeric("WRITTEN/S", func(r *GroupRow) Rate { return r.Written }, number),
}

var positionColumns = []column[PositionRow]{
	worded("TOPIC", func(r *PositionRow) string { return r.Topic }, true),
	numeric("PARTITION", func(r *PositionRow) Rate { return Rate(r.Partition) }, whole),
	numeric("COMMITTED", func(r *PositionRow) Rate { return r.Committed }, whole),
	numeric("END", func(r *PositionRow) Rate { return r.End }, whole),
	numeric("LAG", func(r *PositionRow) Rate { return r.Lag }, whole),
	numeric("BEHIND", func(r *PositionRow) Rate { return r.Seconds }, seconds),
	numeric("READ/S", func(r *PositionRow) Rate { return r.Read }, number),
	numeric("WRITTEN/S", func(r *PositionRow) Rate { return r.Written }, number),
}

var brokerColumns = []column[BrokerRow]{
	numeric("BROKER", func(r *BrokerRow) Rate { return Rate(r.ID) }, whole),
	worded("ADDRESS", func(r *BrokerRow) string { return r.Address }, true),
	numeric("LEADERS", func(r *BrokerRow) Rate { return Rate(r.Leaders) }, whole),
	numeric("REPLICAS", func(r *BrokerRow) Rate { return Rate(r.Replicas) }, whole),
	numeric("RECORDS/S", func(r *BrokerRow) Rate { return r.RecordsIn }, number),
	numeric("IN B/S", func(r *BrokerRow) Rate { return r.BytesIn }, number),
	numeric("OUT B/S", func(r *BrokerRow) Rate { return r.BytesOut }, number),
	numeric("REQUESTS/S", func(r *BrokerRow) Rate { return r.Requests }, number),
	numeric("CLIENTS", func(r *BrokerRow) Rate { return r.Connections }, whole),
	numeric("CPU", func(r *BrokerRow) Rate { return r.CPU }, cores),
	numeric("MEMORY", func(r *BrokerRow) Rate { return r.ResidentBytes }, number),
	numeric("DISK FREE", func(r *BrokerRow) Rate { return r.DiskUsableBytes }, number),
	worded("RACK", func(r *BrokerRow) string { return r.Rack }, false),
}

func cores(r Rate) string {
	if r < 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f", float64(r))
}

// Print writes all that is known as plain tables, the busiest topics and the groups that lag most first, at most rows of each.
func (m *Model) Print(now time.Time, rows int, internal bool) string {
	var text strings.Builder
	s := m.Snapshot(now)
	if !internal {
		s.Topics = slices.DeleteFunc(s.Topics, func(t TopicRow) bool { return t.Internal })
	}
	write := func(what string, t table) {
		const wide = 1 << 20
		heading, lines := t.lines(0, rows, wide, "")
		fmt.Fprintln(&text, strings.TrimRight(heading, " "))
		for _, line := range lines {
			fmt.Fprintln(&text, strings.TrimRight(line, " "))
		}
		if left := len(t.rows) - len(lines); left > 0 {
			fmt.Fprintf(&text, "and %d more %s\n", left, what)
		}
	}
	write("brokers", layout(brokerColumns, s.Brokers, func(r *BrokerRow) string { return r.Address }, sorting{}, ""))
	fmt.Fprintln(&text)
	write("topics", layout(topicColumns, s.Topics, func(r *TopicRow) string { return r.Topic }, startSorting[viewTopics], ""))
	fmt.Fprintln(&text)
	write("groups", layout(groupColumns, s.Groups, func(r *GroupRow) string { return r.Group }, startSorting[viewGroups], ""))
	return text.String()
}
