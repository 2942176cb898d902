package replication

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/partition"
	"github.com/ottla-io/ottla/internal/record"
	"github.com/ottla-io/ottla/internal/run"
	"github.com/ottla-io/ottla/internal/storage"
	"github.com/ottla-io/ottla/internal/vfs"
	"github.com/ottla-io/ottla/internal/wire"
)

const self ids.BrokerID = 1

var (
	topicT   = ids.TopicID{1}
	targetT0 = Target{Topic: "t", Partition: 0}
)

// bench is one broker's data plane on a memory disk.
type bench struct {
	*Manager
	store *storage.Store
	env   run.Env
	fault *vfs.Fault
}

func newBench(t testing.TB, settings TopicSettings) *bench {
	t.Helper()
	b := &bench{env: run.OS(), fault: vfs.NewFault(vfs.NewMem(1))}
	store, err := storage.Open(storage.Config{FS: b.fault, Env: b.env, Dirs: []string{"data"}, NodeID: self})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	b.store = store
	b.Manager = New(Config{Self: self, Env: b.env, Store: store})
	b.lead(t, 0, 1, 1, &settings)
	return b
}

func (b *bench) lead(t testing.TB, partitionNumber int32, leader ids.BrokerID, epoch ids.LeaderEpoch, settings *TopicSettings) {
	t.Helper()
	state := partition.State{Leader: leader, LeaderEpoch: epoch, PartitionEpoch: int32(epoch), Replicas: []ids.BrokerID{leader}, ISR: []ids.BrokerID{leader}}
	if err := b.Assign(Replica{Name: ids.TopicPartition{Topic: "t", Partition: partitionNumber}, Topic: topicT, State: state}, settings); err != nil {
		t.Fatal(err)
	}
}

func fsync() TopicSettings {
	return TopicSettings{Log: storage.DefaultLogConfig(), MaxMessageBytes: 1 << 20, MinInSyncReplicas: 1, TimestampBeforeMaxMs: 1<<63 - 1, TimestampAfterMaxMs: 3600_000}
}

func replicated() TopicSettings {
	s := fsync()
	s.Log.Durability = storage.Replicated
	return s
}

func batchOf(values ...string) []byte {
	b := record.NewBuilder(record.None, record.DefaultLevel)
	for _, v := range values {
		b.Append(time.Now().UnixMilli(), nil, []byte(v))
	}
	batch, err := b.Build()
	if err != nil {
		panic(err) // uncompressed
	}
	return batch
}

// told is a WaiterOwner that hands its waiters on.
type told chan *Waiter

func (c told) Fired(w *Waiter) { c <- w }

func (c told) wait(t *testing.T) *Waiter {
	t.Helper()
	select {
	case w := <-c:
		return w
	case <-time.After(10 * time.Second):
		t.Fatal("the waiter was not told")
		return nil
	}
}

func (b *bench) produce(acks int16, records []byte, w *Waiter) (Produced, bool) {
	var res Produced
	waiting := b.Produce(&ProduceQuery{Target: targetT0, Records: records, Acks: acks, ZstdAllowed: true}, &res, w)
	b.Flush()
	return res, waiting
}

func (b *bench) fetch(from ids.Offset) Fetched {
	var res Fetched
	b.Fetch(&FetchQuery{Target: targetT0, CurrentLeaderEpoch: ids.NoLeaderEpoch, LastFetchedEpoch: ids.NoLeaderEpoch, Offset: from, MaxBytes: 1 << 20, WholeFirst: true}, &res)
	return res
}

// TestAcksAllWaitsForTheDisk is invariant 1: the waiter of an acks=-1 produce fires only when the batch is durable.
func TestAcksAllWaitsForTheDisk(t *testing.T) {
	b := newBench(t, fsync())
	fired := make(told, 1)
	w := Waiter{Owner: fired}
	res, waiting := b.produce(-1, batchOf("a", "b"), &w)
	if res.Error != wire.ErrorNone || res.BaseOffset != 0 {
		t.Fatalf("produce: %+v", res)
	}
	if waiting {
		if got := fired.wait(t); got != &w || w.Error != wire.ErrorNone || w.HighWatermark < 2 {
			t.Fatalf("fired with %v, watermark %d; want none, ≥ 2", w.Error, w.HighWatermark)
		}
	}
	log, _ := b.store.OpenLog(ids.TopicPartition{Topic: "t"}, topicT, storage.DefaultLogConfig())
	if log.DurableEnd() < 2 {
		t.Fatalf("acknowledged, and durable only up to %d", log.DurableEnd())
	}
	if res := b.fetch(0); res.Error != wire.ErrorNone || res.Region == nil || res.HighWatermark != 2 {
		t.Fatalf("fetch: %+v", res)
	} else {
		res.Region.Release()
	}
}

// TestFailedSyncSucceedsNoWaiter is invariant 5 as seen from here.
func TestFailedSyncSucceedsNoWaiter(t *testing.T) {
	b := newBench(t, fsync())
	b.fault.Add(vfs.Rule{Op: vfs.OpSync, Glob: "*.log", Action: vfs.FailIO})
	fired := make(told, 1)
	w := Waiter{Owner: fired}
	res, waiting := b.produce(-1, batchOf("a"), &w)
	if res.Error == wire.ErrorNone && waiting {
		fired.wait(t)
		if w.Error != wire.ErrorKafkaStorageError {
			t.Fatalf("fired with %v after a failed sync, want KAFKA_STORAGE_ERROR", w.Error)
		}
	} else if res.Error == wire.ErrorNone {
		t.Fatal("acknowledged at once although the sync fails")
	}
	if res, _ := b.produce(1, batchOf("b"), nil); res.Error != wire.ErrorKafkaStorageError {
		t.Fatalf("produce after the directory went offline: %v, want KAFKA_STORAGE_ERROR", res.Error)
	}
	if res := b.fetch(0); res.Error != wire.ErrorKafkaStorageError {
		t.Fatalf("the tail of a failed sync is served: %+v", res)
	}
}

func TestReplicatedIsVisibleAtOnce(t *testing.T) {
	b := newBench(t, replicated())
	if _, waiting := b.produce(-1, batchOf("a"), nil); waiting {
		t.Fatal("acks=all waits although one replica in the page cache is all that is asked for")
	}
	res := b.fetch(0)
	if res.Region == nil || res.HighWatermark != 1 {
		t.Fatalf("fetch: %+v", res)
	}
	res.Region.Release()
}

func TestWatchFiresOnTheWatermarkOnly(t *testing.T) {
	b := newBench(t, fsync())
	fired := make(told, 1)
	w := Waiter{Owner: fired}
	if !b.Watch(&targetT0, Seen{0, 0}, &w) {
		t.Fatal("an empty partition that was seen empty: nothing to wait for")
	}
	// acks=1: nobody waits for the sync but the long poll.
	if res, _ := b.produce(1, batchOf("a"), nil); res.Error != wire.ErrorNone {
		t.Fatalf("produce: %+v", res)
	}
	fired.wait(t)
	if w.HighWatermark != 1 {
		t.Fatalf("watermark %d, want 1", w.HighWatermark)
	}
	if b.Unwatch(&w) {
		t.Fatal("a fired waiter was taken back")
	}
	if b.Watch(&targetT0, Seen{0, 0}, &w) {
		t.Fatal("the watermark has moved, and the waiter was registered all the same")
	}
	if !b.Watch(&targetT0, Seen{1, 0}, &w) || !b.Unwatch(&w) {
		t.Fatal("a waiting waiter could not be taken back")
	}
}

func TestWaitersLearnWhyTheyWaitInVain(t *testing.T) {
	for _, c := range []struct {
		name string
		end  func(*testing.T, *bench)
		want wire.ErrorCode
	}{
		{"another leader", func(t *testing.T, b *bench) { b.lead(t, 0, 2, 2, nil) }, wire.ErrorNotLeaderOrFollower},
		{"topic deleted", func(t *testing.T, b *bench) {
			if err := b.Remove(topicT); err != nil {
				t.Fatal(err)
			}
		}, wire.ErrorUnknownTopicOrPartition},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t, fsync())
			fired := make(told, 1)
			w := Waiter{Owner: fired}
			if !b.Watch(&targetT0, Seen{0, 0}, &w) {
				t.Fatal("not registered")
			}
			c.end(t, b)
			if fired.wait(t); w.Error != c.want {
				t.Fatalf("fired with %v, want %v", w.Error, c.want)
			}
			if res, _ := b.produce(1, batchOf("late"), nil); res.Error != c.want {
				t.Fatalf("produce afterwards: %v, want %v", res.Error, c.want)
			}
		})
	}
}

func TestTargetsByNameAndID(t *testing.T) {
	b := newBench(t, replicated())
	for _, c := range []struct {
		target Target
		want   wire.ErrorCode
	}{
		{Target{Topic: "t"}, wire.ErrorNone},
		{Target{TopicID: topicT}, wire.ErrorNone},
		{Target{Topic: "t", TopicID: topicT}, wire.ErrorNone},
		{Target{Topic: "u", TopicID: topicT}, wire.ErrorInconsistentTopicID},
		{Target{TopicID: ids.TopicID{9}}, wire.ErrorUnknownTopicID},
		{Target{Topic: "u"}, wire.ErrorUnknownTopicOrPartition},
		{Target{Topic: "t", Partition: 1}, wire.ErrorUnknownTopicOrPartition},
		{Target{Topic: "t", Partition: -1}, wire.ErrorUnknownTopicOrPartition},
	} {
		var res FoundOffset
		b.ListOffset(&OffsetQuery{Target: c.target, CurrentLeaderEpoch: ids.NoLeaderEpoch, TimestampMs: EarliestTimestamp}, &res, nil)
		if res.Error != c.want {
			t.Errorf("%+v: %v, want %v", c.target, res.Error, c.want)
		}
	}
}

func TestEpochFencing(t *testing.T) {
	b := newBench(t, replicated())
	b.lead(t, 0, self, 7, nil)
	for _, c := range []struct {
		current ids.LeaderEpoch
		want    wire.ErrorCode
	}{{ids.NoLeaderEpoch, wire.ErrorNone}, {7, wire.ErrorNone}, {6, wire.ErrorFencedLeaderEpoch}, {8, wire.ErrorUnknownLeaderEpoch}} {
		var res Fetched
		b.Fetch(&FetchQuery{Target: targetT0, CurrentLeaderEpoch: c.current, LastFetchedEpoch: ids.NoLeaderEpoch, MaxBytes: 1}, &res)
		if res.Error != c.want {
			t.Errorf("current epoch %d: %v, want %v", c.current, res.Error, c.want)
		}
	}
}

func TestDivergingEpoch(t *testing.T) {
	b := newBench(t, replicated())
	b.produce(1, batchOf("a", "b"), nil) // epoch 1: 0, 1
	b.lead(t, 0, self, 5, nil)
	b.produce(1, batchOf("c"), nil) // epoch 5: 2
	var res Fetched
	query := FetchQuery{Target: targetT0, CurrentLeaderEpoch: ids.NoLeaderEpoch, LastFetchedEpoch: 3, Offset: 3, MaxBytes: 100}
	b.Fetch(&query, &res)
	if res.Error != wire.ErrorNone || res.DivergingEpoch != 1 || res.DivergingEnd != 2 || res.Region != nil {
		t.Fatalf("epoch 3 at offset 3: %+v, want diverging epoch 1, which ends at 2, and no records", res)
	}
	query.LastFetchedEpoch = 5
	b.Fetch(&query, &res)
	if res.DivergingEpoch != ids.NoLeaderEpoch {
		t.Fatalf("epoch 5 at offset 3 is what the log says: %+v", res)
	}
}

func TestMinInSyncReplicas(t *testing.T) {
	settings := replicated()
	settings.MinInSyncReplicas = 2
	b := newBench(t, settings)
	if res, _ := b.produce(-1, batchOf("a"), nil); res.Error != wire.ErrorNone {
		t.Fatalf("acks=all of a partition that has one replica: %v", res.Error)
	}
	state := partition.State{Leader: self, LeaderEpoch: 2, PartitionEpoch: 2, Replicas: []ids.BrokerID{self, self + 1}, ISR: []ids.BrokerID{self}}
	if err := b.Assign(Replica{Name: ids.TopicPartition{Topic: "t"}, Topic: topicT, State: state}, &settings); err != nil {
		t.Fatal(err)
	}
	if res, _ := b.produce(-1, batchOf("a"), nil); res.Error != wire.ErrorNotEnoughReplicas || res.LogStart != 0 {
		t.Fatalf("acks=all: %+v, want NOT_ENOUGH_REPLICAS with the log's start", res)
	}
	if res, _ := b.produce(1, batchOf("a"), nil); res.Error != wire.ErrorNone {
		t.Fatalf("acks=1 asks for one replica: %v", res.Error)
	}
}

// TestLeaderEpochWithoutBatch: a leader's epoch is known before its first batch, as Kafka's leaders write it down when they take over.
func TestLeaderEpochWithoutBatch(t *testing.T) {
	settings := replicated()
	b := newBench(t, settings)
	list := func(ms int64) (res FoundOffset) {
		b.ListOffset(&OffsetQuery{Target: targetT0, CurrentLeaderEpoch: ids.NoLeaderEpoch, TimestampMs: ms}, &res, nil)
		return res
	}
	end := func(epoch ids.LeaderEpoch) (res EpochEnd) {
		b.EpochEnd(&EpochQuery{Target: targetT0, CurrentLeaderEpoch: ids.NoLeaderEpoch, LeaderEpoch: epoch}, &res)
		return res
	}
	check := func(what string, want ids.LeaderEpoch, offset ids.Offset, got EpochEnd) {
		t.Helper()
		if got.Error != wire.ErrorNone || got.LeaderEpoch != want || got.EndOffset != offset {
			t.Errorf("%s: %+v, want epoch %d and offset %d", what, got, want, offset)
		}
	}
	if res := list(LatestTimestamp); res.LeaderEpoch != 1 || res.Offset != 0 {
		t.Errorf("latest of an empty log: %+v", res)
	}
	if res := list(EarliestTimestamp); res.LeaderEpoch != 1 || res.Offset != 0 {
		t.Errorf("earliest of an empty log: %+v", res)
	}
	check("the leader's epoch in an empty log", 1, 0, end(1))
	check("an epoch before it", 0, 0, end(0))
	check("an epoch after it", ids.NoLeaderEpoch, noOffset, end(2))

	b.produce(1, batchOf("a", "b"), nil)
	b.lead(t, 0, self, 5, &settings)
	if res := list(LatestTimestamp); res.LeaderEpoch != 5 || res.Offset != 2 {
		t.Errorf("latest after a new leadership: %+v", res)
	}
	if res := list(EarliestTimestamp); res.LeaderEpoch != 1 || res.Offset != 0 {
		t.Errorf("earliest after a new leadership: %+v", res)
	}
	check("epoch 5 without a batch", 5, 2, end(5))
	check("an epoch that nobody wrote in", 1, 2, end(3))
	check("the epoch before", 1, 2, end(1))
	check("an epoch before the first", 0, 0, end(0))
	check("a negative one", -2, 0, end(-2))
	check("none", ids.NoLeaderEpoch, noOffset, end(ids.NoLeaderEpoch))
	var res Fetched
	b.Fetch(&FetchQuery{Target: targetT0, CurrentLeaderEpoch: ids.NoLeaderEpoch, LastFetchedEpoch: 5, Offset: 2, MaxBytes: 1}, &res)
	if res.Error != wire.ErrorNone || res.DivergingEnd >= 0 {
		t.Errorf("a client whose last epoch is the leader's: %+v", res)
	}
}

// TestListOffsetSeesWhatWasWrittenBefore: with acks=1 a record may not be durable yet when its writer asks for the end.
func TestListOffsetSeesWhatWasWrittenBefore(t *testing.T) {
	b := newBench(t, fsync())
	b.produce(1, batchOf("a", "b", "c"), nil)
	fired := make(told, 1)
	w := Waiter{Owner: fired}
	query := OffsetQuery{Target: targetT0, CurrentLeaderEpoch: ids.NoLeaderEpoch, TimestampMs: LatestTimestamp}
	var res FoundOffset
	if b.ListOffset(&query, &res, &w) {
		fired.wait(t)
		b.ListOffset(&query, &res, nil)
	}
	if res.Error != wire.ErrorNone || res.Offset != 3 {
		t.Fatalf("latest: %+v, want offset 3", res)
	}
}

// TestWatermarkFollowsTheDisk holds invariant 2 under random appends and fetches: what a fetch sees was durable.
func TestWatermarkFollowsTheDisk(t *testing.T) {
	b := newBench(t, fsync())
	log, err := b.store.OpenLog(ids.TopicPartition{Topic: "t"}, topicT, storage.DefaultLogConfig())
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(7, 7))
	fired := make(told, 1)
	var before ids.Offset
	for i := range 300 {
		w := Waiter{Owner: fired}
		acks := int16(-1 + 2*rng.IntN(2))
		res, waiting := b.produce(acks, batchOf("x"), &w)
		if res.Error != wire.ErrorNone || res.BaseOffset != ids.Offset(i) {
			t.Fatalf("produce %d: %+v", i, res)
		}
		if waiting {
			fired.wait(t)
		}
		got := b.fetch(0)
		durable := log.DurableEnd()
		if got.HighWatermark < before || got.HighWatermark > durable || durable > log.LogEnd() {
			t.Fatalf("step %d: watermark %d (before %d), durable %d, end %d", i, got.HighWatermark, before, durable, log.LogEnd())
		}
		if acks == -1 && got.HighWatermark < ids.Offset(i+1) {
			t.Fatalf("step %d: acknowledged, and the watermark is %d", i, got.HighWatermark)
		}
		before = got.HighWatermark
		if got.Region != nil {
			got.Region.Release()
		}
	}
}

func TestSteadyPathAllocatesNothing(t *testing.T) {
	b := newBench(t, replicated())
	template := batchOf("some value of a record")
	buffer := make([]byte, len(template))
	query := ProduceQuery{Target: targetT0, Acks: -1, ZstdAllowed: true}
	var res Produced
	produce := func() {
		copy(buffer, template)
		query.Records = buffer
		b.Produce(&query, &res, nil)
	}
	for range 100 {
		produce()
	}
	if n := testing.AllocsPerRun(2000, produce); n > 0 {
		t.Errorf("produce allocates %v times", n)
	}
	fetch := FetchQuery{Target: targetT0, CurrentLeaderEpoch: ids.NoLeaderEpoch, LastFetchedEpoch: ids.NoLeaderEpoch, MaxBytes: 4096, WholeFirst: true}
	var fetched Fetched
	read := func() {
		b.Fetch(&fetch, &fetched)
		fetched.Region.Release()
	}
	if n := testing.AllocsPerRun(2000, read); n > 0 && !raceEnabled {
		t.Errorf("fetch allocates %v times", n)
	}
}

// TestOnlyWhatIsSentCounts: a fetch that waits takes regions and gives them back; their bytes count once somebody reads them, and once.
func TestOnlyWhatIsSentCounts(t *testing.T) {
	b := newBench(t, replicated())
	b.produce(1, batchOf("a", "b"), nil)
	res := b.fetch(0)
	res.Region.Release()
	if out := b.Counters().BytesOut; out != 0 {
		t.Fatalf("%d bytes of a region that was given back", out)
	}
	for range 2 { // the pool has given the first to the second
		res = b.fetch(0)
		size := int64(res.Region.Size())
		before := b.Counters().BytesOut
		res.Region.Source()
		res.Region.Source()
		if out := b.Counters().BytesOut - before; out != size {
			t.Fatalf("%d bytes of a region of %d", out, size)
		}
		res.Region.Release()
	}
}
