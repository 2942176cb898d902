package top

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

type view int

const (
	viewTopics view = iota
	viewGroups
	viewBrokers
	viewPartitions // of the topic that was chosen
	viewPositions  // of the group that was chosen
)

// sorting is by which column of a view, and which way round.
type sorting struct {
	column     int
	descending bool
}

// startSorting is what operators look for first: the busiest topics, the groups that lag most.
var startSorting = map[view]sorting{
	viewTopics: {2, true}, viewGroups: {4, true}, viewBrokers: {0, false}, viewPartitions: {0, false}, viewPositions: {4, true},
}

// Screen is what the user has chosen to see, and how large the terminal is. It is for one goroutine.
type Screen struct {
	Address  string // where the cluster is asked, for the first line
	Internal bool   // internal topics are shown, too

	columns, rows int
	view          view
	chosen        string // the topic or group whose partitions are shown
	sorted        map[view]sorting
	selected      map[view]int
	first         int // row of the table that is at the top
	filter        string
	typing        bool // keys go into the filter
	paused        bool
	help          bool
	table         table // as it was drawn
	room          int   // rows of the table that fitted
}

// NewScreen is a screen of a size that begins with the topics.
func NewScreen(address string, columns, rows int) *Screen {
	s := &Screen{Address: address, sorted: map[view]sorting{}, selected: map[view]int{}}
	for v, by := range startSorting {
		s.sorted[v] = by
	}
	s.Resize(columns, rows)
	return s
}

// Resize tells the size of the terminal; what is not known is 0.
func (s *Screen) Resize(columns, rows int) {
	if columns <= 0 || rows <= 0 {
		columns, rows = 80, 24
	}
	s.columns, s.rows = columns, rows
}

// Paused says that the screen is to stay as it is.
func (s *Screen) Paused() bool { return s.paused }

// Looked are the topics and groups whose figures are on the screen: they are asked for first, and each time.
func (s *Screen) Looked() (topics, groups []string) {
	switch s.view {
	case viewPartitions:
		return []string{s.chosen}, nil
	case viewPositions:
		return nil, []string{s.chosen}
	}
	end := min(s.first+s.room, len(s.table.keys))
	visible := s.table.keys[min(s.first, end):end]
	switch s.view {
	case viewTopics:
		return slices.Clone(visible), nil
	case viewGroups:
		return nil, slices.Clone(visible)
	}
	return nil, nil
}

// Keys that are no character.
const (
	KeyUp       = "up"
	KeyDown     = "down"
	KeyPageUp   = "page up"
	KeyPageDown = "page down"
	KeyHome     = "home"
	KeyEnd      = "end"
	KeyEnter    = "enter"
	KeyEscape   = "escape"
	KeyDelete   = "delete" // to the left
	KeyTab      = "tab"
	KeyStop     = "stop" // Ctrl-C
)

// Press takes a key: a character, or one of the above. It says whether the user wants to leave.
func (s *Screen) Press(key string) (leave bool) {
	if key == KeyStop {
		return true
	}
	if s.typing {
		s.typeFilter(key)
		return false
	}
	if s.help {
		s.help = false
		return key == "q"
	}
	switch key {
	case "q":
		return true
	case "1", "2", "3":
		s.show(view(key[0] - '1'))
	case KeyTab:
		s.show((min(s.view, viewBrokers) + 1) % (viewBrokers + 1))
	case KeyEnter:
		s.open()
	case KeyEscape, KeyDelete:
		s.back()
	case "s", "S":
		s.sortBy(key == "s")
	case "r":
		by := s.sorted[s.view]
		by.descending = !by.descending
		s.sorted[s.view] = by
	case "p", " ":
		s.paused = !s.paused
	case "i":
		s.Internal = !s.Internal
	case "/":
		s.typing, s.filter = true, ""
	case "?", "h":
		s.help = true
	default:
		s.move(key)
	}
	return false
}

func (s *Screen) typeFilter(key string) {
	switch key {
	case KeyEnter:
		s.typing = false
	case KeyEscape:
		s.typing, s.filter = false, ""
	case KeyDelete:
		if runes := []rune(s.filter); len(runes) > 0 {
			s.filter = string(runes[:len(runes)-1])
		}
	default:
		if len([]rune(key)) == 1 && len(s.filter) < 100 {
			s.filter += key
		}
	}
	s.selected[s.view] = 0
}

func (s *Screen) show(v view) {
	if s.view != v {
		s.view, s.first, s.filter = v, 0, ""
	}
}

// open shows the partitions of the selected topic or group.
func (s *Screen) open() {
	at := s.selected[s.view]
	if at >= len(s.table.keys) {
		return
	}
	key := s.table.keys[at]
	switch s.view {
	case viewTopics:
		s.show(viewPartitions)
	case viewGroups:
		s.show(viewPositions)
	default:
		return
	}
	s.chosen, s.selected[s.view] = key, 0
}

// back undoes the last of: a filter, a choice.
func (s *Screen) back() {
	switch {
	case s.filter != "":
		s.filter = ""
	case s.view == viewPartitions:
		s.show(viewTopics)
	case s.view == viewPositions:
		s.show(viewGroups)
	}
}

func (s *Screen) sortBy(next bool) {
	by := s.sorted[s.view]
	n := max(1, len(s.table.heading))
	if next {
		by.column = (by.column + 1) % n
	} else {
		by.column = (by.column + n - 1) % n
	}
	by.descending = by.column < len(s.table.left) && !s.table.left[by.column] // numbers: the greatest first
	s.sorted[s.view] = by
}

func (s *Screen) move(key string) {
	at := s.selected[s.view]
	switch key {
	case KeyUp, "k":
		at--
	case KeyDown, "j":
		at++
	case KeyPageUp:
		at -= s.room
	case KeyPageDown:
		at += s.room
	case KeyHome, "g":
		at = 0
	case KeyEnd, "G":
		at = len(s.table.keys) - 1
	default:
		return
	}
	s.selected[s.view] = max(0, min(at, len(s.table.keys)-1))
}

// Line is one line of the screen.
type Line struct {
	Text   string
	Strong bool // the title and the heading
	Marked bool // the selected row
	Alarm  bool // something is wrong
}

// Draw is the whole screen: as many lines as it has rows, none longer than its columns.
func (s *Screen) Draw(m *Model, now time.Time) []Line {
	lines := []Line{{Text: s.title(m, now), Strong: true}, s.totals(m)}
	if s.help {
		for _, text := range helpText {
			lines = append(lines, Line{Text: text})
		}
		return s.finish(lines)
	}
	s.table = s.tableOf(m, now)
	s.room = max(0, s.rows-len(lines)-3) // a blank line, the heading, the keys
	at := max(0, min(s.selected[s.view], len(s.table.rows)-1))
	s.selected[s.view] = at
	s.first = max(min(s.first, at), at-s.room+1, 0)
	if overhang := s.first + s.room - len(s.table.rows); overhang > 0 {
		s.first = max(0, s.first-overhang)
	}
	mark := "▲"
	if s.sorted[s.view].descending {
		mark = "▼"
	}
	heading, rows := s.table.lines(s.first, s.room, s.columns, mark)
	lines = append(lines, Line{}, Line{Text: heading, Strong: true})
	for i, row := range rows {
		lines = append(lines, Line{Text: row, Marked: s.first+i == at})
	}
	if len(rows) == 0 {
		lines = append(lines, Line{Text: s.nothing(m)})
	}
	return s.finish(lines)
}

// finish cuts and fills the lines to the size of the screen, and puts the keys below.
func (s *Screen) finish(lines []Line) []Line {
	if len(lines) > s.rows-1 {
		lines = lines[:max(0, s.rows-1)]
	}
	for len(lines) < s.rows-1 {
		lines = append(lines, Line{})
	}
	lines = append(lines, Line{Text: s.keys(), Strong: true})
	for i := range lines {
		lines[i].Text = fit(lines[i].Text, s.columns, false)
	}
	return lines
}

func (s *Screen) title(m *Model, now time.Time) string {
	title := "ottla top  " + shown(s.Address) + "  " + clock(now)
	if m.cluster.ID != "" {
		title += "  cluster " + shown(m.cluster.ID)
	}
	if s.paused {
		title += "  paused: p goes on"
	}
	return title
}

// totals is the line of sums; where the cluster does not answer, that.
func (s *Screen) totals(m *Model) Line {
	switch {
	case m.err != "" && m.lastGood.IsZero():
		return Line{Text: "no answer since " + clock(m.since) + ": " + shown(m.err), Alarm: true}
	case m.err != "":
		return Line{Text: "no answer since " + clock(m.since) + "; figures are of " + clock(m.lastGood) + ": " + shown(m.err), Alarm: true}
	case m.lastGood.IsZero():
		return Line{Text: "asking…"}
	}
	partitions, in := 0, unknown
	for name := range m.topics {
		row := m.topic(name)
		partitions += row.Partitions
		in = in.plus(row.RecordsIn)
	}
	text := fmt.Sprintf("%s, %s, %s, %s; %s records/s written", counted(len(m.cluster.Brokers), "broker"), counted(len(m.topics), "topic"), counted(partitions, "partition"),
		counted(len(m.groups), "group"), number(in))
	if m.rated {
		text += fmt.Sprintf("; %s B/s in, %s B/s out at broker %d", number(Rate(m.rates.BytesIn)), number(Rate(m.rates.BytesOut)), m.metrics.Node)
	}
	if m.missing != "" {
		return Line{Text: text + "; without " + shown(m.missing), Alarm: true}
	}
	return Line{Text: text}
}

func (s *Screen) tableOf(m *Model, now time.Time) table {
	by := s.sorted[s.view]
	switch s.view {
	case viewGroups:
		return layout(groupColumns, m.Snapshot(now).Groups, func(r *GroupRow) string { return r.Group }, by, s.filter)
	case viewBrokers:
		return layout(brokerColumns, m.brokers(), func(r *BrokerRow) string { return r.Address }, by, s.filter)
	case viewPartitions:
		return layout(partitionColumns, m.Partitions(s.chosen), func(r *PartitionRow) string { return fmt.Sprint(r.Partition) }, by, s.filter)
	case viewPositions:
		return layout(positionColumns, m.Positions(s.chosen), func(r *PositionRow) string { return fmt.Sprintf("%s %d", r.Topic, r.Partition) }, by, s.filter)
	}
	topics := m.Snapshot(now).Topics
	if !s.Internal {
		topics = slices.DeleteFunc(topics, func(t TopicRow) bool { return t.Internal })
	}
	return layout(topicColumns, topics, func(r *TopicRow) string { return r.Topic }, by, s.filter)
}

// nothing says why a table is empty.
func (s *Screen) nothing(m *Model) string {
	switch {
	case m.lastGood.IsZero():
		return ""
	case s.filter != "":
		return "none has " + shown(s.filter) + " in its name"
	}
	return map[view]string{viewTopics: "no topics", viewGroups: "no groups", viewBrokers: "no brokers", viewPartitions: "topic " + shown(s.chosen) + " is gone",
		viewPositions: "group " + shown(s.chosen) + " has committed nothing"}[s.view]
}

func (s *Screen) keys() string {
	if s.help {
		return "any key goes on"
	}
	if s.typing {
		return "filter: " + shown(s.filter) + "_  (enter keeps it, escape drops it)"
	}
	what := map[view]string{viewTopics: "topics", viewGroups: "groups", viewBrokers: "brokers", viewPartitions: "partitions of " + shown(s.chosen), viewPositions: "partitions of group " + shown(s.chosen)}[s.view]
	parts := []string{what}
	if s.filter != "" {
		parts = append(parts, "filter "+shown(s.filter))
	}
	parts = append(parts, "q quit", "? help", "1 topics", "2 groups", "3 brokers", "enter open", "s sort", "r reverse", "/ filter")
	return strings.Join(parts, "  ")
}

var helpText = []string{
	"",
	"1 2 3, tab      topics, groups, brokers",
	"up down, j k    select; page up, page down, home, end, too",
	"enter           the partitions of the selected topic or group; escape goes back",
	"s S             sort by the next or previous column",
	"r               sort the other way round",
	"/               show only names that contain what is typed next",
	"i               show or hide internal topics",
	"p               hold the screen",
	"q               quit",
	"",
	"Rates are per second, between the last two answers. BEHIND is how long the oldest",
	"unread record has waited. IN B/S of topics is how their files grow, unless an admin",
	"port counts it; OUT B/S, and more of a broker, is known by that alone. What is not",
	"known is -.",
}
