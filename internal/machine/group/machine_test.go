package group

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/machine"
	"github.com/ottla-io/ottla/internal/metadata"
	"github.com/ottla-io/ottla/internal/wire"
)

// answer is a Reply that tells the test.
type answer[R any] struct {
	isSet bool
	tell  func(R)
}

func (a *answer[R]) Set(value R) {
	if a.isSet {
		panic("a reply was set twice")
	}
	a.isSet = true
	a.tell(value)
}

// live is a machine with a log and a clock, run as the runtime runs it.
type live struct {
	t     testing.TB
	m     *Machine
	image *metadata.Image
	log   []machine.Record
	at    machine.Moment
	set   Settings
	ids   int

	topics  int // created so far
	trace   []string
	waiting int // replies that are not set
}

const startMs = 1_700_000_000_000

func newLive(t testing.TB) *live {
	l := &live{t: t, image: metadata.Empty(), set: DefaultSettings(), at: machine.Moment{NowMs: startMs}}
	l.m = l.empty()
	l.m.Loaded(l.at)
	return l
}

func (l *live) empty() *Machine {
	return New(Config{
		Random:   func(p []byte) { l.ids++; clear(p); p[14], p[15] = byte(l.ids>>8), byte(l.ids) },
		Settings: func() Settings { return l.set },
		Image:    func() *metadata.Image { return l.image },
		Events:   Events{Rebalanced: l.rebalanced},
	})
}

// commit appends and applies what a command decided on.
func (l *live) commit(records []machine.Record) {
	l.t.Helper()
	for i := range records {
		records[i].Offset, records[i].TimestampMs = l.at.Next, l.at.NowMs
		l.at.Next++
	}
	if err := l.m.Apply(records, l.at.Next, 0); err != nil {
		l.t.Fatal(err)
	}
	for i := range records {
		kept := records[i] // the machine uses the memory again
		kept.Key, kept.Value = bytes.Clone(kept.Key), bytes.Clone(kept.Value)
		l.log = append(l.log, kept)
		l.say("record %s", l.shown(&records[i]))
	}
}

func (l *live) offsetCommit(client Client, req *wire.OffsetCommitRequest) ([]machine.Record, *wire.OffsetCommitResponse) {
	resp := new(wire.OffsetCommitResponse)
	return l.m.OffsetCommit(l.at, client, req, resp), resp
}

// pass lets time go by, with all timers on the way.
func (l *live) pass(d time.Duration) {
	end := l.at.Monotonic + d
	for {
		due, ok := l.m.Due()
		if !ok || due > end {
			break
		}
		l.to(max(due, l.at.Monotonic))
		l.commit(l.m.Tick(l.at))
	}
	l.to(end)
}

func (l *live) to(monotonic time.Duration) {
	l.at.NowMs += (monotonic - l.at.Monotonic).Milliseconds()
	l.at.Monotonic = monotonic
}

// create adds a topic.
func (l *live) create(name string, partitions int) {
	l.topics++
	id := topicID(l.topics)
	records := []wire.MetadataRecord{&wire.TopicRecord{Name: name, TopicId: wire.UUID(id)}}
	for i := range partitions {
		records = append(records, &wire.PartitionRecord{PartitionId: int32(i), TopicId: wire.UUID(id), Replicas: []int32{1}, Isr: []int32{1}, Leader: 1})
	}
	l.changeImage(records)
}

func (l *live) changeImage(records []wire.MetadataRecord) {
	image, err := l.image.Apply(records, l.image.End()+ids.Offset(len(records)), 0)
	if err != nil {
		l.t.Fatal(err)
	}
	l.image = image
}

// topicID is the id of the nth topic that a test creates.
func topicID(n int) ids.TopicID { return ids.TopicID{0: 1, 14: byte(n >> 8), 15: byte(n)} }

// durable is the durable half of a machine, as text.
func durable(m *Machine) string {
	var b strings.Builder
	for _, g := range m.sorted() {
		if g.stored == nil && g.consumer == nil && len(g.offsets) == 0 && len(g.unstable) == 0 {
			continue // volatile only
		}
		fmt.Fprintf(&b, "%s %x\n%s", g.id, g.stored, dumpConsumers(g.consumer))
		for _, topic := range g.topics() {
			for _, partition := range g.partitions(topic) {
				fmt.Fprintf(&b, "\t%s-%d %+v\n", topic, partition, g.offsets[topic][partition])
			}
		}
		fmt.Fprintf(&b, "\t%v\n", g.unstable) // fmt sorts maps
	}
	return b.String()
}

// compact keeps the last record of each key; tombstones go, as after delete.retention.ms. As in Kafka, what was aborted goes,
// and from the first open transaction on all stays.
func compact(log []machine.Record) (kept []machine.Record) {
	ended := make([]machine.TransactionState, len(log))
	stable := len(log)
	open := make(map[ids.ProducerID]machine.TransactionState)
	for i := len(log) - 1; i >= 0; i-- {
		switch t := log[i].Transaction; {
		case t.State == machine.TransactionOpen:
			if ended[i] = open[t.Producer]; ended[i] == machine.NoTransaction {
				stable = i
			}
		case t.State != machine.NoTransaction:
			open[t.Producer] = t.State
		}
	}
	last := make(map[string]int)
	for i := range stable {
		if log[i].Key != nil && ended[i] != machine.TransactionAborted {
			last[string(log[i].Key)] = i
		}
	}
	for i := range log {
		at, keyed := last[string(log[i].Key)]
		if i >= stable || log[i].Key == nil || keyed && at == i && log[i].Value != nil {
			kept = append(kept, log[i])
		}
	}
	return kept
}

// replay is a machine of these records.
func (l *live) replay(log []machine.Record) *Machine {
	l.t.Helper()
	m := l.empty()
	for i := range log {
		if err := m.Apply(log[i:i+1], log[i].Offset+1, 0); err != nil {
			l.t.Fatal(err)
		}
	}
	return m
}

// check holds invariant 8, and that a settled group is what its record says.
func (l *live) check() error {
	want := durable(l.m)
	if got := durable(l.replay(l.log)); got != want {
		return fmt.Errorf("live:\n%sreplayed:\n%s", want, got)
	}
	if got := durable(l.replay(compact(l.log))); got != want {
		return fmt.Errorf("live:\n%scompacted and replayed:\n%s", want, got)
	}
	for _, g := range l.m.sorted() {
		if c := g.classic; c != nil && g.stored != nil && (c.state == stable || c.state == empty) {
			if record := c.record(); !bytes.Equal(record.Value, g.stored) {
				return fmt.Errorf("group %s is %x, its record says %x", g.id, record.Value, g.stored)
			}
		}
	}
	return nil
}
