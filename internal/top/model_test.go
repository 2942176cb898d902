package top

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
)

var start = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)

func at(seconds float64) time.Time { return start.Add(time.Duration(seconds * float64(time.Second))) }

// twoTopics is a cluster of two brokers, of which orders-1 lacks its leader and flights-0 a replica.
func twoTopics() *Cluster {
	return &Cluster{ID: "C", Controller: 2, Brokers: []Member{{ID: 2, Address: "b:9092", Rack: "east"}, {ID: 1, Address: "a:9092"}}, Topics: []Topic{
		{Name: "orders", Partitions: []Replicas{{0, 1, []int32{1}, []int32{1}}, {1, -1, []int32{2}, nil}}},
		{Name: "flights", Partitions: []Replicas{{0, 2, []int32{1, 2}, []int32{2}}}},
		{Name: "__consumer_offsets", Internal: true, Partitions: []Replicas{{0, 1, []int32{1}, []int32{1}}}},
	}}
}

func ends(orders0, orders1, flights0 int64) map[Partition]int64 {
	return map[Partition]int64{{"orders", 0}: orders0, {"orders", 1}: orders1, {"flights", 0}: flights0}
}

func (s *Snapshot) topicRow(name string) TopicRow {
	for _, row := range s.Topics {
		if row.Topic == name {
			return row
		}
	}
	return TopicRow{}
}

func TestTopics(t *testing.T) {
	m := New()
	m.Observe(&Observation{At: at(0), Cluster: twoTopics(), Ends: ends(100, 0, 7), Sizes: map[Partition]int64{{"orders", 0}: 1000}})
	s := m.Snapshot(at(0))
	if row := s.topicRow("orders"); row.RecordsIn != unknown || row.BytesIn != unknown || row.SizeBytes != 1000 || row.Leaderless != 1 || row.Under != 1 || row.Partitions != 2 {
		t.Errorf("%+v", row)
	}
	m.Observe(&Observation{At: at(2), Ends: ends(300, 10, 7), Sizes: map[Partition]int64{{"orders", 0}: 5000}})
	s = m.Snapshot(at(2))
	if row := s.topicRow("orders"); row.RecordsIn != 105 || row.BytesIn != 2000 || row.BytesOut != unknown {
		t.Errorf("%+v", row)
	}
	if row := s.topicRow("flights"); row.RecordsIn != 0 || row.Under != 1 || row.Leaderless != 0 {
		t.Errorf("%+v", row)
	}
	// A topic that was deleted and made again begins anew; one that is gone is forgotten.
	cluster := twoTopics()
	cluster.Topics = cluster.Topics[:1]
	m.Observe(&Observation{At: at(3), Cluster: cluster, Ends: map[Partition]int64{{"orders", 0}: 5, {"orders", 1}: 5}})
	s = m.Snapshot(at(3))
	if row := s.topicRow("orders"); row.RecordsIn != unknown || len(s.Topics) != 1 || len(m.ends) != 2 {
		t.Errorf("%+v, %d topics, %d ends", row, len(s.Topics), len(m.ends))
	}
	// The same moment twice does not divide by zero.
	m.Observe(&Observation{At: at(4), Ends: ends(10, 5, 0)})
	m.Observe(&Observation{At: at(4), Ends: ends(15, 5, 0)})
	s = m.Snapshot(at(4))
	if row := s.topicRow("orders"); row.RecordsIn != 5 {
		t.Errorf("%+v", row)
	}
}

func TestBrokers(t *testing.T) {
	m := New()
	m.Observe(&Observation{At: at(0), Cluster: twoTopics(), Metrics: &Metrics{Node: 2, Version: "1", Requests: 100, BytesIn: 1000, Connections: 3}})
	m.Observe(&Observation{At: at(10), Metrics: &Metrics{Node: 2, Version: "1", Requests: 600, BytesIn: 3000, CPUSeconds: 5, Connections: 4}})
	s := m.Snapshot(at(10))
	if a := s.Brokers[0]; a.ID != 1 || a.Leaders != 2 || a.Replicas != 3 || a.Controller || a.Requests != unknown || a.Connections != unknown {
		t.Errorf("%+v", a)
	}
	if b := s.Brokers[1]; b.ID != 2 || !b.Controller || b.Leaders != 1 || b.Requests != 50 || b.BytesIn != 200 || b.CPU != .5 || b.Connections != 4 || b.Rack != "east" {
		t.Errorf("%+v", b)
	}
	// Its counters begin at zero when it was restarted.
	m.Observe(&Observation{At: at(11), Metrics: &Metrics{Node: 2, Version: "1", Requests: 7, Connections: 1}})
	s = m.Snapshot(at(11))
	if b := s.Brokers[1]; b.Requests != unknown || b.Connections != 1 {
		t.Errorf("%+v", b)
	}
}

// TestBytesOfTopics: the only broker counts them better than files grow; one of several counts only its share.
func TestBytesOfTopics(t *testing.T) {
	for brokers, want := range map[int][3]Rate{1: {5, 2, 0}, 2: {100, unknown, unknown}} {
		m, cluster := New(), twoTopics()
		cluster.Brokers = cluster.Brokers[:brokers]
		m.Observe(&Observation{At: at(0), Cluster: cluster, Sizes: map[Partition]int64{{"flights", 0}: 0}, Metrics: &Metrics{AllTopics: true, TopicBytesIn: map[string]float64{"flights": 50}}})
		m.Observe(&Observation{At: at(10), Sizes: map[Partition]int64{{"flights", 0}: 1000}, Metrics: &Metrics{AllTopics: true,
			TopicBytesIn: map[string]float64{"flights": 100}, TopicBytesOut: map[string]float64{"flights": 20}}})
		s := m.Snapshot(at(10))
		if flights, orders := s.topicRow("flights"), s.topicRow("orders"); flights.BytesIn != want[0] || flights.BytesOut != want[1] || orders.BytesOut != want[2] {
			t.Errorf("%d brokers: %+v, %+v", brokers, flights, orders)
		}
	}
}

func TestGroups(t *testing.T) {
	m := New()
	orders := Partition{"orders", 0}
	see := func(seconds float64, end, committed int64) {
		m.Observe(&Observation{At: at(seconds), Ends: ends(end, 0, 0), Offsets: map[string]map[Partition]int64{"g": {orders: committed}}})
	}
	row := func() GroupRow { return m.Snapshot(at(99)).Groups[0] }
	m.Observe(&Observation{At: at(0), Cluster: twoTopics(), Groups: []Group{{"g", "classic", "Stable"}, {"gone", "classic", "Empty"}}, Members: map[string]int{"g": 2}})
	see(0, 100, 40)
	if r := row(); r.Lag != 60 || r.Seconds != unknown || r.Members != 2 || r.Topics != 1 || r.Read != unknown {
		t.Errorf("%+v", r)
	}
	places := m.Behind([]string{"g", "gone", "never"}, 10)
	if len(places) != 1 || places[0] != (Place{orders, 40}) {
		t.Fatalf("%+v", places)
	}
	if few := m.Behind([]string{"g"}, 0); len(few) != 0 {
		t.Errorf("%+v", few)
	}
	m.Observe(&Observation{At: at(0), Written: map[Place]time.Time{{orders, 40}: at(-30)}})
	if r := row(); r.Seconds != 30 {
		t.Errorf("%+v", r)
	}
	see(10, 100, 70) // half of what was there: records are taken to have come evenly
	if r := row(); r.Lag != 30 || r.Seconds != 20 || r.Read != 3 {
		t.Errorf("%+v", r)
	}
	see(11, 100, 100)
	if r := row(); r.Lag != 0 || r.Seconds != 0 {
		t.Errorf("%+v", r)
	}
	see(12, 100, 10) // it was reset: when that record was written is not known
	if r := row(); r.Lag != 90 || r.Seconds != unknown || r.Read != unknown {
		t.Errorf("%+v", r)
	}
	// What retention has deleted is no lag; a commit may be ahead of an end that was asked for before it.
	m.Observe(&Observation{At: at(13), Starts: map[Partition]int64{orders: 95}})
	if r := row(); r.Lag != 5 {
		t.Errorf("%+v", r)
	}
	see(14, 100, 103)
	if r := row(); r.Lag != 0 {
		t.Errorf("%+v", r)
	}
	m.Observe(&Observation{At: at(15), Groups: []Group{{"g", "classic", "Empty"}}, Offsets: map[string]map[Partition]int64{"g": {}, "new": {orders: 1}}})
	if r := row(); len(m.Snapshot(at(15)).Groups) != 1 || r.State != "Empty" || r.Partitions != 0 || r.Lag != unknown {
		t.Errorf("%+v", r)
	}
}

func TestUnknownIsNull(t *testing.T) {
	m := New()
	m.Observe(&Observation{At: at(0), Cluster: twoTopics(), Groups: []Group{{"g", "classic", "Stable"}}, Ends: ends(1, 2, 3)})
	text, err := json.Marshal(m.Snapshot(at(0)))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"recordsPerSecond":null`, `"members":null`, `"lag":null`, `"cpuCores":null`, `"leaderless":1`} {
		if !strings.Contains(string(text), want) {
			t.Errorf("no %s in %s", want, text)
		}
	}
}

func TestPrint(t *testing.T) {
	m := New()
	m.Observe(&Observation{At: at(0), Cluster: twoTopics(), Ends: ends(0, 0, 0), Groups: []Group{}})
	m.Observe(&Observation{At: at(1), Ends: ends(12345, 0, 50)})
	want := `BROKER  ADDRESS  LEADERS  REPLICAS  RECORDS/S  IN B/S  OUT B/S  REQUESTS/S  CLIENTS  CPU  MEMORY  DISK FREE  RACK
     1  a:9092         2         3          -       -        -           -        -    -       -          -
and 1 more brokers

TOPIC   PARTITIONS  RECORDS/S  IN B/S  OUT B/S  SIZE  OFFLINE  UNDER
orders           2      12.3k       -        -     -        1      1
and 1 more topics

GROUP  STATE  MEMBERS  TOPICS  LAG  BEHIND  READ/S  WRITTEN/S
`
	if got := m.Print(at(1), 1, false); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if got := m.Print(at(1), 10, true); !strings.Contains(got, "__consumer_offsets") {
		t.Errorf("without internal topics:\n%s", got)
	}
}

func TestNumbers(t *testing.T) {
	for _, c := range []struct {
		got, want string
	}{
		{number(-1), "-"}, {number(0), "0"}, {number(.04), "0.0"}, {number(9.94), "9.9"}, {number(9.96), "10"}, {number(9999), "9999"}, {number(12345), "12.3k"},
		{number(999960), "1.0M"}, {number(2.5e9), "2.5G"}, {number(3e15), "3000.0T"},
		{seconds(-1), "-"}, {seconds(0), "0s"}, {seconds(.44), "0.4s"}, {seconds(59), "59s"}, {seconds(61), "1m01s"}, {seconds(3660), "1h01m"}, {seconds(90000), "1d01h"},
		{whole(-1), "-"}, {whole(1e6), "1000000"},
		{fit("flights", 5, false), "flig…"}, {fit("flights", 9, true), "  flights"}, {fit("flights", 0, false), ""}, {fit("日本語", 5, false), "日本…"}, {fit("日本語", 4, false), "日… "},
		{shown("a\x1b[2Jb\u202ec\xffd"), "a?[2Jb?c?d"},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
}

func TestKeys(t *testing.T) {
	for input, want := range map[string]string{
		"q": "q", "\x1b[A\x1b[B": "up,down", "\x1bOA": "up", "\x1b": "escape", "\x1b[5~\x1b[6~": "page up,page down", "\r\n\t": "enter,enter,tab", "\x7f\x08": "delete,delete",
		"\x03": "stop", "é": "é", "\x00\x1a": "", "\x1b[1;5A": "", "\x1b[": "", "\xff\xfeq": "q", "\x1b[Hx\x1b[4~": "home,x,end", "\x1b\x1b": "escape,escape",
	} {
		if got := strings.Join(Keys([]byte(input)), ","); got != want {
			t.Errorf("%q: got %s, want %s", input, got, want)
		}
	}
}

func FuzzKeys(f *testing.F) {
	f.Add([]byte("\x1b[A"))
	f.Fuzz(func(t *testing.T, input []byte) {
		for _, key := range Keys(input) {
			if key == "" {
				t.Error("an empty key")
			}
		}
	})
}

func manyTopics(n int) *Cluster {
	c := &Cluster{ID: "C", Brokers: []Member{{ID: 1, Address: "a:9092"}}}
	for i := range n {
		c.Topics = append(c.Topics, Topic{Name: fmt.Sprintf("topic-%05d", i), Partitions: []Replicas{{0, 1, []int32{1}, []int32{1}}}})
	}
	return c
}
