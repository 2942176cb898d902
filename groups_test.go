package ottla

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/ottla-io/ottla/internal/admin"
	"github.com/ottla-io/ottla/internal/api"
	"github.com/ottla-io/ottla/internal/machine"
	"github.com/ottla-io/ottla/internal/machine/group"
	"github.com/ottla-io/ottla/internal/record"
	"github.com/ottla-io/ottla/internal/replication"
	"github.com/ottla-io/ottla/internal/run"
	"github.com/ottla-io/ottla/internal/transport"
	"github.com/ottla-io/ottla/internal/vfs"
	"github.com/ottla-io/ottla/internal/wire"
)

// TestGroupPartition holds the hash against Java's.
func TestGroupPartition(t *testing.T) {
	for name, hash := range map[string]int{
		"": 0, "a": 97, "hello": 99162322, "Ottla Kafka": 335432534, "consumer-group": 1738392088, "žluťoučký kůň 🐎": 1970102610,
		"polygenelubricants": 0, // Integer.MIN_VALUE, whose absolute value is 0 to Kafka
	} {
		if got := groupPartition(name, 1<<31-1); got != hash {
			t.Errorf("%q hashes to %d, in Java to %d", name, got, hash)
		}
	}
}

// groupsBench is a broker whose coordinators a test asks without a client.
type groupsBench struct {
	testing.TB
	disk vfs.FS
	env  run.Env
	*Broker
}

func newGroupsBench(t testing.TB, disk vfs.FS, settings map[string]string) *groupsBench {
	t.Helper()
	b := &groupsBench{TB: t, disk: disk, env: run.OS()}
	b.start(settings)
	t.Cleanup(func() { b.stop() })
	return b
}

func (b *groupsBench) start(settings map[string]string) {
	b.Helper()
	broker, err := startWith(Config{DataDir: "data", NodeID: 1, Settings: settings}, doors{env: b.env, disk: b.disk, network: transport.OS()})
	if err != nil {
		b.Fatal(err)
	}
	b.Broker = broker
}

func (b *groupsBench) stop() {
	b.Helper()
	if err := b.Broker.Close(context.Background()); err != nil {
		b.Fatal(err)
	}
}

// eventually asks until the code is NONE.
func (b *groupsBench) eventually(ask func() wire.ErrorCode) {
	b.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for {
		code := ask()
		if code == wire.ErrorNone {
			return
		}
		if !code.Retriable() || time.Now().After(deadline) {
			b.Fatal(code)
		}
		b.env.NewSignal().WaitFor(time.Millisecond)
	}
}

// coordinator finds who coordinates a group, as a client does, and waits until its groups are loaded.
func (b *groupsBench) coordinator(name string) (runtime api.GroupCoordinator) {
	b.Helper()
	b.eventually(func() wire.ErrorCode {
		node, code := b.cluster.groups.Coordinator(name)
		if code == wire.ErrorNone && node != 1 {
			b.Fatalf("broker %d coordinates group %s", node, name)
		}
		return code
	})
	b.eventually(func() (code wire.ErrorCode) {
		runtime, code = b.cluster.groups.For(name)
		return code
	})
	return runtime
}

// do runs one command at the coordinator of a group.
func (b *groupsBench) do(name string, decide func(*group.Machine, machine.Moment) []machine.Record) {
	b.Helper()
	done := make(chan error, 1)
	b.coordinator(name).Submit(decide, func(err error) { done <- err })
	if err := <-done; err != nil {
		b.Fatal(err)
	}
}

func (b *groupsBench) create(topic string, partitions int32) {
	b.Helper()
	created := make(chan wire.ErrorCode, 1)
	b.controller.CreateTopics(createOne(topic, partitions), nil, func(resp *wire.CreateTopicsResponse) { created <- resp.Topics[0].ErrorCode })
	if code := <-created; code != wire.ErrorNone {
		b.Fatalf("create %s: %v", topic, code)
	}
}

// commitOf is a commit by nobody's member of offset in partitions 0 … n-1.
func commitOf(group, topic string, n int32, offset int64) *wire.OffsetCommitRequest {
	req := new(wire.OffsetCommitRequest)
	req.Default()
	req.GroupId, req.GenerationIdOrMemberEpoch = group, -1
	at := wire.OffsetCommitRequestTopic{Name: topic}
	for p := range n {
		at.Partitions = append(at.Partitions, wire.OffsetCommitRequestPartition{PartitionIndex: p, CommittedOffset: offset, CommittedLeaderEpoch: -1})
	}
	req.Topics = []wire.OffsetCommitRequestTopic{at}
	return req
}

func (b *groupsBench) commit(name, topic string, n int32, offset int64) {
	b.Helper()
	var resp wire.OffsetCommitResponse
	b.do(name, func(m *group.Machine, at machine.Moment) []machine.Record {
		return m.OffsetCommit(at, group.Client{Version: 8}, commitOf(name, topic, n, offset), &resp)
	})
	for _, p := range resp.Topics[0].Partitions {
		if p.ErrorCode != wire.ErrorNone {
			b.Fatalf("commit: %v", p.ErrorCode)
		}
	}
}

// committed is what group has committed in partition 0 of the topic; -1 if nothing.
func (b *groupsBench) committed(name, topic string) int64 {
	b.Helper()
	var resp wire.OffsetFetchResponseGroup
	b.do(name, func(m *group.Machine, _ machine.Moment) []machine.Record {
		resp = m.OffsetFetch(group.Client{Version: 8}, &wire.OffsetFetchRequestGroup{GroupId: name,
			Topics: []wire.OffsetFetchRequestTopics{{Name: topic, PartitionIndexes: []int32{0}}}}, false)
		return nil
	})
	return resp.Topics[0].Partitions[0].CommittedOffset
}

// running counts the coordinators that run.
func (b *groupsBench) running() int {
	runtimes, _ := b.cluster.groups.All()
	return len(runtimes)
}

// TestGroupsAcrossAPowerCut: the first question makes the topic; only partitions with groups have a coordinator; what was committed is there
// after a power cut, and goes with its topic, whether that is deleted while the coordinator runs or not.
func TestGroupsAcrossAPowerCut(t *testing.T) {
	disk := vfs.NewMem(1)
	b := newGroupsBench(t, disk, map[string]string{"offsets.topic.num.partitions": "7", "ottla.durability": "replicated"})
	b.create("kept", 2)
	b.create("gone", 1)
	if n := b.running(); n != 0 {
		t.Errorf("%d coordinators run before there is a group", n)
	}
	groups := []string{"g-0", "g-1", "g-2"}
	used := map[int]bool{}
	for i, name := range groups {
		used[groupPartition(name, 7)] = true
		b.commit(name, "kept", 2, int64(10+i))
		b.commit(name, "gone", 1, 5)
	}
	if n := b.running(); n != len(used) {
		t.Errorf("%d coordinators run, for groups in %d partitions", n, len(used))
	}
	topic, _ := b.cluster.Image().Topic(offsetsTopic)
	if len(topic.Partitions) != 7 || len(topic.Partitions[0].Replicas) != 1 || b.cluster.Image().TopicConfig(offsetsTopic)["cleanup.policy"] != "compact" {
		t.Errorf("%s has %d partitions and settings %v", offsetsTopic, len(topic.Partitions), b.cluster.Image().TopicConfig(offsetsTopic))
	}

	left := disk.Crash()
	b.stop()
	b.disk = left
	b.start(map[string]string{"offsets.topic.num.partitions": "3"}) // the topic is there: it keeps its partitions
	for i, name := range groups {
		if got := b.committed(name, "kept"); got != int64(10+i) {
			t.Errorf("after a power cut, %s is at %d, want %d", name, got, 10+i)
		}
	}
	if n := b.running(); n != len(used) {
		t.Errorf("after a power cut, %d coordinators run, for groups in %d partitions", n, len(used))
	}
	b.delete("gone")
	for _, name := range groups {
		if got := b.committed(name, "gone"); got != -1 {
			t.Errorf("%s is at %d in a deleted topic", name, got)
		}
	}
	if code := b.delete(offsetsTopic); code == wire.ErrorNone {
		// As in Kafka, who deletes the topic deletes the groups; the next question makes a new one.
		if got := b.committed("g-0", "kept"); got != -1 {
			t.Errorf("g-0 is at %d in a new %s", got, offsetsTopic)
		}
	}
}

func (b *groupsBench) delete(topic string) wire.ErrorCode {
	b.Helper()
	req := new(wire.DeleteTopicsRequest)
	req.Default()
	req.Topics = []wire.DeleteTopicsRequestDeleteTopicState{{Name: wire.SomeString(topic)}}
	deleted := make(chan wire.ErrorCode, 1)
	b.controller.DeleteTopics(req, nil, func(resp *wire.DeleteTopicsResponse) { deleted <- resp.Responses[0].ErrorCode })
	return <-deleted
}

// TestCompactionKeepsOffsetsSmall: groups that commit again and again do not fill the disk, and what compaction left gives every offset back, also
// after a power cut.
func TestCompactionKeepsOffsetsSmall(t *testing.T) {
	const partitions, rounds = 500, 60
	disk := vfs.NewMem(1)
	settings := map[string]string{"offsets.topic.num.partitions": "1", "offsets.topic.segment.bytes": "1048576", "log.cleaner.backoff.ms": "20",
		"log.segment.delete.delay.ms": "0"}
	b := newGroupsBench(t, disk, settings)
	b.create("t", partitions)
	for n := range rounds {
		b.commit("a", "t", partitions, int64(n))
		b.commit("b", "t", partitions, int64(2*n))
	}
	size := func() (bytes int64) {
		for _, log := range b.cluster.partitions.Directories()[0].Logs {
			if log.Name.Topic == offsetsTopic {
				bytes += log.Bytes
			}
		}
		return bytes
	}
	const segment = 1 << 20
	deadline := time.Now().Add(20 * time.Second)
	for size() > 4*segment { // the active one, what is dirty again, and 1,000 offsets
		if time.Now().After(deadline) {
			t.Fatalf("%s has %d bytes", offsetsTopic, size())
		}
		b.env.NewSignal().WaitFor(10 * time.Millisecond)
	}
	left := disk.Crash()
	b.stop()
	b.disk = left
	b.start(settings)
	for name, want := range map[string]int64{"a": rounds - 1, "b": 2*rounds - 2} {
		if got := b.committed(name, "t"); got != want {
			t.Errorf("%s is at %d, want %d", name, got, want)
		}
	}
	if n := b.cluster.groups.census().stats.Offsets; n != 2*partitions {
		t.Errorf("%d offsets, want %d", n, 2*partitions)
	}
}

// TestGroupMetrics: the lag of a group is what it has not committed, and a scrape looks at a bounded number of offsets.
func TestGroupMetrics(t *testing.T) {
	b := newGroupsBench(t, vfs.NewMem(1), nil)
	b.create("t", 2)
	const age = 90 * time.Second
	for p := range int32(2) {
		b.produceAt("t", p, 3, time.Now().Add(-2*age))
		b.produceAt("t", p, 7, time.Now().Add(-age))
	}
	b.commit("slow", "t", 2, 3)
	b.commit("done", "t", 2, 10)
	b.commit("ahead", "t", 1, 12)    // of records that are gone
	b.commit("very slow", "t", 2, 1) // within the first batch
	b.samples()
	samples := b.samples() // with what the first scrape has found
	for name, least := range map[string]time.Duration{"slow": age, "very slow": 2 * age} {
		if got, ok := samples["ottla_group_lag_seconds "+name+" t"]; !ok || got < least.Seconds() || got > least.Seconds()+60 {
			t.Errorf("group %s is %v s behind (%v), want %v", name, got, ok, least)
		}
	}
	if n := len(b.unread.known); n != 4 {
		t.Errorf("%d timestamps are remembered, want those of two groups in two partitions", n)
	}
	w := make(chan struct{})
	b.cluster.partitions.DeleteRecords([]replication.DeletionQuery{{Target: replication.Target{Topic: "t", Partition: 0}, Before: 3},
		{Target: replication.Target{Topic: "t", Partition: 1}, Before: 3}}, func([]replication.Deleted) { close(w) })
	<-w
	if got := b.samples()["ottla_group_lag_seconds very slow t"]; got < age.Seconds() || got > age.Seconds()+60 {
		t.Errorf("a group is %v s behind records that were deleted, want %v", got, age)
	}
	for name, want := range map[string]float64{
		"ottla_group_lag slow t": 14, "ottla_group_lag done t": 0, "ottla_group_lag_seconds done t": 0, "ottla_group_lag_unknown": 0, "ottla_group_lag ahead t": 0, "ottla_group_members slow": 0,
		"ottla_groups Empty": 4, "ottla_groups Stable": 0, "ottla_group_offsets": 7, "ottla_group_commits_total": 7, "ottla_groups_unreported": 0,
		"ottla_group_coordinators_silent": 0,
	} {
		if got, ok := samples[name]; !ok || got != want {
			t.Errorf("%s is %v (%v), want %v", name, got, ok, want)
		}
	}
}

// produceAt appends one batch of records, all of one time, and waits until it can be read.
func (b *groupsBench) produceAt(topic string, p int32, records int, at time.Time) {
	b.TB.Helper()
	batch := record.NewBuilder(record.None, record.DefaultLevel)
	for range records {
		batch.Append(at.UnixMilli(), nil, []byte("x"))
	}
	built, err := batch.Build()
	if err != nil {
		b.TB.Fatal(err)
	}
	var res replication.Produced
	w := &replication.Waiter{Owner: make(firedWaiter, 1)}
	waiting := b.cluster.partitions.Produce(&replication.ProduceQuery{Target: replication.Target{Topic: topic, Partition: p}, Records: built, Acks: -1}, &res, w)
	b.cluster.partitions.Flush()
	if waiting {
		<-w.Owner.(firedWaiter)
	}
}

// samples is a scrape, by name and values of labels.
func (b *groupsBench) samples() map[string]float64 {
	samples := map[string]float64{}
	b.metrics(func(s admin.Sample) {
		name := s.Name
		for _, label := range s.Labels {
			name += " " + label.Value
		}
		samples[name] = s.Value
	})
	return samples
}

// BenchmarkScrape scrapes a broker in which groups are behind in 1,000 partitions: anew means that no scrape before has looked at them.
func BenchmarkScrape(b *testing.B) {
	const partitions = 1000
	bench := newGroupsBench(b, vfs.NewMem(1), nil)
	bench.create("t", partitions)
	for p := range int32(partitions) {
		bench.produceAt("t", p, 10, time.Now())
	}
	bench.commit("g", "t", partitions, 3)
	for _, anew := range []bool{true, false} {
		b.Run(fmt.Sprintf("anew %v", anew), func(b *testing.B) {
			for range b.N {
				if anew {
					bench.unread.known = nil
				}
				if samples := bench.samples(); samples["ottla_group_lag_unknown"] > 0 {
					b.Fatalf("%v partitions were not looked at", samples["ottla_group_lag_unknown"])
				}
			}
		})
	}
}

// firedWaiter is a replication.WaiterOwner.
type firedWaiter chan *replication.Waiter

func (f firedWaiter) Fired(w *replication.Waiter) { f <- w }

// BenchmarkLoadGroups loads a million commits of 10,000 offsets, from a disk in memory.
func BenchmarkLoadGroups(b *testing.B) {
	const partitions, commits = 1000, 1_000_000
	bench := newGroupsBench(b, vfs.NewMem(1), nil)
	bench.create("t", partitions)
	var names []string // ten groups in one partition
	for n := 0; len(names) < 10; n++ {
		if name := fmt.Sprintf("g-%d", n); groupPartition(name, 50) == 7 {
			names = append(names, name)
		}
	}
	for n := range commits / partitions {
		bench.commit(names[n%len(names)], "t", partitions, int64(n))
	}
	one := (*bench.cluster.groups.all.Load())[7]
	b.ResetTimer()
	for range b.N {
		bench.cluster.groups.lead(one, one.want, true)
	}
	b.ReportMetric(commits*float64(b.N)/b.Elapsed().Seconds(), "commits/s")
}
