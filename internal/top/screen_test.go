package top

import (
	"strings"
	"testing"
	"unicode"
)

// busy is a model with something in each view.
func busy() *Model {
	m := New()
	orders := Partition{"orders", 0}
	m.Observe(&Observation{At: at(0), Cluster: twoTopics(), Ends: ends(0, 0, 0), Groups: []Group{{"billing", "classic", "Stable"}, {"audit", "consumer", "Empty"}}, Members: map[string]int{"billing": 2},
		Offsets: map[string]map[Partition]int64{"billing": {orders: 0}}})
	m.Observe(&Observation{At: at(1), Ends: ends(1000, 0, 50), Offsets: map[string]map[Partition]int64{"billing": {orders: 400}}})
	return m
}

// text draws the screen, and holds what must be true of every screen.
func text(t *testing.T, s *Screen, m *Model) string {
	t.Helper()
	lines := s.Draw(m, at(1))
	if len(lines) != s.rows {
		t.Fatalf("%d lines on a screen of %d rows", len(lines), s.rows)
	}
	var all []string
	for _, line := range lines {
		if n := width(line.Text); n > s.columns {
			t.Fatalf("a line of %d columns on a screen of %d: %q", n, s.columns, line.Text)
		}
		for _, r := range line.Text {
			if unicode.IsControl(r) {
				t.Fatalf("%q controls the terminal", line.Text)
			}
		}
		all = append(all, strings.TrimRight(line.Text, " "))
	}
	return strings.Join(all, "\n")
}

func press(s *Screen, keys ...string) {
	for _, key := range keys {
		s.Press(key)
	}
}

func TestScreen(t *testing.T) {
	m, s := busy(), NewScreen("localhost:9092", 90, 10)
	want := `ottla top  localhost:9092  12:00:01  cluster C
2 brokers, 3 topics, 4 partitions, 2 groups; 1050 records/s written

TOPIC    PARTITIONS  RECORDS/S▼  IN B/S  OUT B/S  SIZE  OFFLINE  UNDER
orders            2        1000       -        -     -        1      1
flights           1          50       -        -     -        0      1



topics  q quit  ? help  1 topics  2 groups  3 brokers  enter open  s sort  r reverse  / f…`
	if got := text(t, s, m); got != want {
		t.Fatalf("got\n%s\nwant\n%s", got, want)
	}
	if lines := s.Draw(m, at(1)); !lines[4].Marked || lines[5].Marked {
		t.Error("the first row is not the selected one")
	}
	steps := []struct{ keys, want string }{
		{"i", "__consumer_offsets"},
		{"i j enter", "partitions of flights"},
		{"escape 2", "billing  Stable        2       1   600       -     400       1000"},
		{"enter", "orders          0        400  1000   600       -     400       1000"},
		{"delete", "audit    Empty"},
		{"3", "2  b:9092"},
		{"tab", "TOPIC"},
		{"r", "flights           1          50       -        -     -        0      1\norders"},
		{"r S", "PARTITIONS▼"},
		{"s s s s s s s s", "PARTITIONS▼"},
		{"S", "TOPIC▲"},
		{"/ O R", "filter: OR_"},
		{"enter", "topics  filter OR"},
		{"/ x x x", "none has xxx in its name"},
		{"delete delete delete enter", "flights"},
		{"/ x escape", "flights"},
		{"?", "sort by the next"},
		{"x", "TOPIC"},
		{"p", "paused: p goes on"},
		{"p 2 home / a u", "audit"},
	}
	for _, step := range steps {
		press(s, strings.Fields(step.keys)...)
		if got := text(t, s, m); !strings.Contains(got, step.want) {
			t.Fatalf("after %s: no %q in\n%s", step.keys, step.want, got)
		}
	}
	press(s, KeyEscape)
	for _, key := range []string{"q", KeyStop} {
		if !s.Press(key) {
			t.Errorf("%s does not leave", key)
		}
	}
}

// TestEverySize: whatever the terminal's size and the view, the screen fits it.
func TestEverySize(t *testing.T) {
	m := busy()
	for columns := 1; columns < 130; columns += 3 {
		for rows := 1; rows < 40; rows++ {
			s := NewScreen("localhost:9092", columns, rows)
			for _, keys := range []string{"", "2", "enter", "3", "1 j enter", "?", "x / a b c d e f"} {
				press(s, strings.Fields(keys)...)
				text(t, s, m)
			}
		}
	}
	s := NewScreen("x", 0, 0) // not known
	text(t, s, m)
}

func TestManyTopics(t *testing.T) {
	m, s := New(), NewScreen("x", 80, 24)
	m.Observe(&Observation{At: at(0), Cluster: manyTopics(5000), Ends: map[Partition]int64{{"topic-04000", 0}: 1}})
	m.Observe(&Observation{At: at(1), Ends: map[Partition]int64{{"topic-04000", 0}: 9}})
	text(t, s, m)
	if topics, groups := s.Looked(); len(topics) != 19 || topics[0] != "topic-04000" || groups != nil {
		t.Errorf("%v %v", topics, groups)
	}
	press(s, "G")
	if got := text(t, s, m); !strings.Contains(got, "topic-04999") {
		t.Errorf("the end:\n%s", got)
	}
	press(s, KeyPageUp, KeyUp)
	text(t, s, m)
	if topics, _ := s.Looked(); topics[0] != "topic-04979" {
		t.Errorf("a page and a row up: %v", topics)
	}
	press(s, KeyEnter)
	text(t, s, m)
	if topics, _ := s.Looked(); len(topics) != 1 || topics[0] != "topic-04979" {
		t.Errorf("%v", topics)
	}
	// The cluster shrinks below what is shown.
	m.Observe(&Observation{At: at(2), Cluster: manyTopics(3)})
	if got := text(t, s, m); !strings.Contains(got, "topic topic-04979 is gone") {
		t.Errorf("%s", got)
	}
	press(s, KeyEscape)
	if got := text(t, s, m); !strings.Contains(got, "topic-00002") {
		t.Errorf("%s", got)
	}
}

// TestAwayAndBack: a cluster that does not answer is told, and what was known stays.
func TestAwayAndBack(t *testing.T) {
	m, s := New(), NewScreen("x", 120, 10)
	if got := text(t, s, m); !strings.Contains(got, "asking…") {
		t.Errorf("%s", got)
	}
	m.Observe(&Observation{At: at(0), Err: "connection refused"})
	m.Observe(&Observation{At: at(5), Err: "connection refused"})
	if got := text(t, s, m); !strings.Contains(got, "no answer since 12:00:00: connection refused") {
		t.Errorf("%s", got)
	}
	m = busy()
	m.Observe(&Observation{At: at(2), Err: "connection \x1b[2Jrefused"})
	if got := text(t, s, m); !strings.Contains(got, "no answer since 12:00:02; figures are of 12:00:01: connection ?[2Jrefused") || !strings.Contains(got, "orders") {
		t.Errorf("%s", got)
	}
	if lines := s.Draw(m, at(1)); !lines[1].Alarm {
		t.Error("it is no alarm")
	}
	m.Observe(&Observation{At: at(3), Ends: ends(1000, 0, 50)})
	if got := text(t, s, m); !strings.Contains(got, "2 brokers, 3 topics") {
		t.Errorf("%s", got)
	}
	m.Observe(&Observation{At: at(4), Missing: "the admin port: refused"})
	if got := text(t, s, m); !strings.Contains(got, "; without the admin port: refused") {
		t.Errorf("%s", got)
	}
}

// TestHostileNames: what a client may call its group does not reach the terminal.
func TestHostileNames(t *testing.T) {
	m, s := New(), NewScreen("x", 60, 10)
	m.Observe(&Observation{At: at(0), Cluster: twoTopics(), Groups: []Group{{"a\x1b]0;owned\x07\nb", "classic", "Stable"}, {strings.Repeat("長", 300), "classic", "St\x1b[31mable"}}})
	press(s, "2")
	if got := text(t, s, m); !strings.Contains(got, "a?]0;owned??b") {
		t.Errorf("%s", got)
	}
	press(s, "enter")
	text(t, s, m)
}
