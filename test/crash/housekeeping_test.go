package crash

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/ottla-io/ottla/test/broker"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// While logs roll, are compacted, shortened from the front and deleted, the power goes again and again. The settings make all of that happen many times
// a second.

const (
	compacted = "house.compacted"
	shortened = "house.shortened"
	recreated = "house.recreated"
	keys      = 150 // of each partition of the compacted topic
)

var houseTopics = map[string]map[string]string{
	compacted: {"cleanup.policy": "compact", "internal.segment.bytes": "20000", "min.cleanable.dirty.ratio": "0.01", "delete.retention.ms": "50"},
	shortened: {"cleanup.policy": "delete", "internal.segment.bytes": "20000", "retention.bytes": "150000", "file.delete.delay.ms": "30"},
}

// kept is one record of the compacted topic as its writer knows it.
type kept struct {
	sequence  int
	offset    int64
	tombstone bool
}

// house is what the clients were told.
type house struct {
	client *kgo.Client
	admin  *kadm.Client
	more   context.Context

	mu sync.Mutex
	// latest is the newest acknowledged record of each key, by partition.
	latest [partitions]map[string]kept
	// offsets of acknowledged records of the shortened topic, by partition and sequence.
	offsets [partitions]map[int]int64
	low     [partitions]int64 // that DeleteRecords was acknowledged with
	// Of the topic that is deleted and made again: generations count its lives. created and deleted are the newest that were acknowledged.
	created, deleted int
	trying           int // the newest life whose creation was asked for
	failures         []error
	acknowledged     int
}

func (h *house) fail(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.failures = append(h.failures, err)
}

func retrying() []kgo.Opt {
	return []kgo.Opt{kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.MaxBufferedRecords(2000), kgo.MetadataMinAge(20 * time.Millisecond), kgo.UnknownTopicRetries(-1),
		kgo.RetryBackoffFn(func(int) time.Duration { return 20 * time.Millisecond }), kgo.DialTimeout(time.Second), kgo.RetryTimeout(30 * time.Second)}
}

// write fills both topics at a steady pace until there is to be no more, and then waits for the answers.
func (h *house) write(ctx context.Context) error {
	start := time.Now()
	pad := make([]byte, 150)
	for i := 0; h.more.Err() == nil; i++ {
		for p := range partitions {
			key := strconv.Itoa(rand.IntN(keys))
			k := kept{sequence: i, tombstone: rand.IntN(8) == 0}
			record := &kgo.Record{Topic: compacted, Partition: int32(p), Key: []byte(key), Headers: []kgo.RecordHeader{{Key: "sequence", Value: fmt.Append(nil, i)}}}
			if !k.tombstone {
				record.Value = fmt.Appendf(nil, "%d-%d-%x", p, i, pad)
			}
			h.client.Produce(ctx, record, func(r *kgo.Record, err error) {
				h.mu.Lock()
				defer h.mu.Unlock()
				if err != nil {
					h.failures = append(h.failures, fmt.Errorf("produce to %s: %w", compacted, err))
					return
				}
				h.acknowledged++
				if k.offset = r.Offset; k.sequence >= h.latest[p][key].sequence {
					h.latest[p][key] = k
				}
			})
			h.client.Produce(ctx, &kgo.Record{Topic: shortened, Partition: int32(p), Value: fmt.Appendf(nil, "%d-%d-%x", p, i, pad)}, func(r *kgo.Record, err error) {
				h.mu.Lock()
				defer h.mu.Unlock()
				if err != nil {
					h.failures = append(h.failures, fmt.Errorf("produce to %s: %w", shortened, err))
					return
				}
				h.acknowledged++
				h.offsets[p][i] = r.Offset
			})
		}
		if wait := time.Until(start.Add(time.Duration(i+1) * 2 * time.Millisecond)); wait > 0 {
			time.Sleep(wait)
		} else if wait < -time.Second {
			start = time.Now().Add(-time.Duration(i+1) * 2 * time.Millisecond)
		}
	}
	return h.client.Flush(ctx)
}

// shorten moves the log start of the shortened topic up, somewhere into its middle.
func (h *house) shorten(ctx context.Context) error {
	for h.more.Err() == nil {
		p := rand.IntN(partitions)
		starts, err := h.admin.ListStartOffsets(ctx, shortened)
		ends, err2 := h.admin.ListEndOffsets(ctx, shortened)
		start, ok := starts.Lookup(shortened, int32(p))
		end, ok2 := ends.Lookup(shortened, int32(p))
		if err != nil || err2 != nil || !ok || !ok2 || start.Err != nil || end.Err != nil || end.Offset <= start.Offset {
			time.Sleep(20 * time.Millisecond)
			continue
		}
		to := start.Offset + rand.Int64N(end.Offset-start.Offset)/2
		deletion := kadm.Offsets{}
		deletion.AddOffset(shortened, int32(p), to, -1)
		answer, err := h.admin.DeleteRecords(ctx, deletion)
		if err == nil {
			if d, ok := answer.Lookup(shortened, int32(p)); ok && d.Err == nil {
				h.mu.Lock()
				h.low[p] = max(h.low[p], d.LowWatermark)
				h.mu.Unlock()
			}
		}
		time.Sleep(15 * time.Millisecond)
	}
	return nil
}

// recreate gives a topic one life after the other: each holds records that name it.
func (h *house) recreate(ctx context.Context) error {
	for life := 1; h.more.Err() == nil; life++ {
		h.mu.Lock()
		h.trying = life
		h.mu.Unlock()
		err := h.insist(ctx, func() error {
			answers, err := h.admin.CreateTopics(ctx, 1, 1, nil, recreated)
			if err != nil {
				return err
			}
			if err := answers[recreated].Err; err != nil && !errors.Is(err, kerr.TopicAlreadyExists) { // by an attempt whose answer was lost
				return err
			}
			return nil
		})
		if err != nil {
			return err
		}
		h.mu.Lock()
		h.created = life
		h.mu.Unlock()
		// A client of its own: another life of a topic has another id, and its own sequence numbers.
		client, err := kgo.NewClient(append(retrying(), kgo.SeedBrokers(h.client.OptValue(kgo.SeedBrokers).([]string)...))...)
		if err != nil {
			return err
		}
		for range 20 {
			client.Produce(ctx, &kgo.Record{Topic: recreated, Value: fmt.Append(nil, life)}, nil)
		}
		if err := client.Flush(ctx); err != nil {
			client.Close()
			return err
		}
		client.Close()
		err = h.insist(ctx, func() error {
			answers, err := h.admin.DeleteTopics(ctx, recreated)
			if err != nil {
				return err
			}
			if err := answers[recreated].Err; err != nil && !errors.Is(err, kerr.UnknownTopicOrPartition) {
				return err
			}
			return nil
		})
		if err != nil {
			return err
		}
		h.mu.Lock()
		h.deleted = life
		h.mu.Unlock()
	}
	return nil
}

// insist repeats what failed because the broker was away.
func (h *house) insist(ctx context.Context, try func() error) error {
	for {
		err := try()
		if err == nil || h.more.Err() != nil {
			return nil //nolint:nilerr // the test is over
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// snapshot is the promises at one moment.
func (h *house) snapshot() *house {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := &house{created: h.created, deleted: h.deleted, trying: h.trying, low: h.low}
	for p := range partitions {
		now.latest[p], now.offsets[p] = maps.Clone(h.latest[p]), maps.Clone(h.offsets[p])
	}
	return now
}

var errNotListed = errors.New("the topic has no offsets")

// readWhole reads a partition from its start to its end as it was when the reading began.
func readWhole(ctx context.Context, addr, topic string, partition int32) (start int64, records []*kgo.Record, err error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.MetadataMinAge(20*time.Millisecond), kgo.DialTimeout(time.Second),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {partition: kgo.NewOffset().AtStart()}}), kgo.FetchMaxWait(50*time.Millisecond),
		// By itself the client would go on at the new start when the log is shortened under it, which looks like lost records.
		kgo.ConsumeResetOffset(kgo.NoResetOffset()))
	if err != nil {
		return 0, nil, err
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	listed, err := admin.ListStartOffsets(ctx, topic)
	if err != nil {
		return 0, nil, err
	}
	ends, err := admin.ListEndOffsets(ctx, topic)
	if err != nil {
		return 0, nil, err
	}
	first, _ := listed.Lookup(topic, partition)
	end, ok := ends.Lookup(topic, partition)
	if !ok || first.Err != nil || end.Err != nil {
		return 0, nil, errors.Join(fmt.Errorf("%s-%d: %w", topic, partition, errNotListed), first.Err, end.Err)
	}
	next := first.Offset
	for next < end.Offset {
		fetches := client.PollFetches(ctx)
		if err := errors.Join(fetches.Err0(), ctx.Err()); err != nil {
			return 0, nil, err
		}
		var failed error
		fetches.EachError(func(_ string, _ int32, err error) { failed = errors.Join(failed, err) })
		if failed != nil {
			return 0, nil, failed
		}
		before := next
		fetches.EachRecord(func(r *kgo.Record) {
			records = append(records, r)
			next = r.Offset + 1
		})
		if next == before && fetches.Empty() {
			// The end of a compacted log may hold no record: its last batch is kept empty for its producer.
			if at := client.UncommittedOffsets(); at == nil {
				return first.Offset, records, endOf(ctx, client, topic, partition, next, end.Offset)
			}
		}
	}
	return first.Offset, records, nil
}

// endOf makes sure that nothing but empty batches lies between next and end.
func endOf(ctx context.Context, client *kgo.Client, topic string, partition int32, next, end int64) error {
	req := kmsg.NewPtrFetchRequest()
	req.Version, req.MaxWaitMillis, req.MinBytes, req.MaxBytes, req.SessionEpoch = 11, 0, 1, 1<<20, -1
	t := kmsg.NewFetchRequestTopic()
	t.Topic = topic
	p := kmsg.NewFetchRequestTopicPartition()
	p.Partition, p.FetchOffset, p.PartitionMaxBytes = partition, next, 1<<20
	t.Partitions, req.Topics = append(t.Partitions, p), append(req.Topics, t)
	resp, err := req.RequestWith(ctx, client)
	if err != nil {
		return err
	}
	if code := resp.Topics[0].Partitions[0].ErrorCode; code != 0 {
		return kerr.ErrorForCode(code)
	}
	for data := resp.Topics[0].Partitions[0].RecordBatches; len(data) > 61; {
		var batch kmsg.RecordBatch
		size := 12 + int(data[8])<<24 + int(data[9])<<16 + int(data[10])<<8 + int(data[11])
		if size > len(data) {
			break
		}
		if err := batch.ReadFrom(data[:size]); err != nil {
			return err
		}
		if batch.NumRecords > 0 {
			return fmt.Errorf("offsets %d to %d of %s-%d hold records that were not delivered", next, end, topic, partition)
		}
		data = data[size:]
	}
	return nil
}

// checkCompacted: every key has its newest acknowledged record or a newer one, unless that is a tombstone; offsets rise, and records are what was sent.
func (h *house) checkCompacted(p int, records []*kgo.Record) error {
	found := map[string]kept{}
	last := int64(-1)
	for _, r := range records {
		if r.Offset <= last {
			return fmt.Errorf("offset %d comes after %d", r.Offset, last)
		}
		last = r.Offset
		if len(r.Headers) != 1 {
			return fmt.Errorf("offset %d has %d headers", r.Offset, len(r.Headers))
		}
		sequence, err := strconv.Atoi(string(r.Headers[0].Value))
		if err != nil {
			return fmt.Errorf("offset %d: %w", r.Offset, err)
		}
		if r.Value != nil {
			var partition, said int
			if n, err := fmt.Sscanf(string(r.Value), "%d-%d-", &partition, &said); n != 2 || partition != p || said != sequence {
				return fmt.Errorf("offset %d, sequence %d: value %.20q: %v", r.Offset, sequence, r.Value, err)
			}
		}
		if before, ok := found[string(r.Key)]; ok && before.sequence >= sequence {
			return fmt.Errorf("key %s has sequence %d after %d", r.Key, sequence, before.sequence)
		}
		found[string(r.Key)] = kept{sequence, r.Offset, r.Value == nil}
	}
	for _, key := range slices.Sorted(maps.Keys(h.latest[p])) {
		want := h.latest[p][key]
		got, ok := found[key]
		switch {
		case !ok && !want.tombstone:
			return fmt.Errorf("key %s is LOST: sequence %d was acknowledged at offset %d", key, want.sequence, want.offset)
		case ok && got.sequence < want.sequence && !want.tombstone:
			return fmt.Errorf("key %s has sequence %d, and %d was acknowledged at offset %d", key, got.sequence, want.sequence, want.offset)
		case ok && got.sequence < want.sequence && !got.tombstone:
			return fmt.Errorf("key %s is BACK: sequence %d, deleted by sequence %d", key, got.sequence, want.sequence)
		case ok && got.sequence == want.sequence && got.offset != want.offset:
			return fmt.Errorf("key %s, sequence %d is at offset %d, acknowledged at %d", key, got.sequence, got.offset, want.offset)
		}
	}
	return nil
}

// checkShortened: the log begins at or above what was deleted, has no gap, and holds each acknowledged record above its start at its offset, once.
func (h *house) checkShortened(p int, start int64, records []*kgo.Record) error {
	if start < h.low[p] {
		return fmt.Errorf("the log starts at %d, and records below %d were deleted", start, h.low[p])
	}
	at := map[int]int64{}
	for i, r := range records {
		if r.Offset != start+int64(i) {
			return fmt.Errorf("offset %d comes where %d was due", r.Offset, start+int64(i))
		}
		var partition, sequence int
		if n, err := fmt.Sscanf(string(r.Value), "%d-%d-", &partition, &sequence); n != 2 || partition != p {
			return fmt.Errorf("offset %d: value %.20q: %v", r.Offset, r.Value, err)
		}
		if before, ok := at[sequence]; ok {
			return fmt.Errorf("sequence %d is at offset %d and again at %d", sequence, before, r.Offset)
		}
		at[sequence] = r.Offset
	}
	for sequence, offset := range h.offsets[p] {
		if got, ok := at[sequence]; offset >= start && (!ok || got != offset) {
			return fmt.Errorf("sequence %d, acknowledged at offset %d of a log from %d to %d, is at %d (%v)", sequence, offset, start, start+int64(len(records)), got, ok)
		}
	}
	return nil
}

// checkRecreated: a life that was deleted does not come back, neither as a topic nor as records in another life.
func (h *house) checkRecreated(ctx context.Context, addr string, later func() (trying int)) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.MetadataMinAge(20*time.Millisecond), kgo.DialTimeout(time.Second))
	if err != nil {
		return err
	}
	defer client.Close()
	topics, err := kadm.NewClient(client).ListTopics(ctx, recreated)
	if err != nil {
		return err
	}
	if !topics.Has(recreated) {
		return nil
	}
	_, records, err := readWhole(ctx, addr, recreated, 0)
	if errors.Is(err, errNotListed) || errors.Is(err, kerr.UnknownTopicOrPartition) || errors.Is(err, kerr.UnknownTopicID) {
		return nil // deleted meanwhile
	}
	if err != nil {
		return fmt.Errorf("%w", err)
	}
	for _, r := range records {
		life, err := strconv.Atoi(string(r.Value))
		if err != nil || life <= h.deleted || life > later() {
			return fmt.Errorf("offset %d is of life %q; lives up to %d were deleted, and up to %d begun", r.Offset, r.Value, h.deleted, later())
		}
	}
	return nil
}

// TestPowerCutDuringHousekeeping cuts the power while segments roll, a topic is compacted, another shortened by retention and by DeleteRecords, and a third
// deleted and made again; after each cut all three must be what their clients were promised.
func TestPowerCutDuringHousekeeping(t *testing.T) {
	if broker.Peer() != broker.Ottla {
		t.Skip("its settings are Ottla's")
	}
	cuts := number("OTTLA_HOUSE_CUTS", 52)
	m := newMachine(t, map[string]string{"ottla.durability": "fsync", "log.cleaner.backoff.ms": "20", "log.flush.offset.checkpoint.interval.ms": "30", "log.retention.check.interval.ms": "40"})
	ctx, stop := context.WithTimeout(t.Context(), 8*time.Minute)
	defer stop()
	more, finish := context.WithCancel(ctx)
	defer finish()
	client, err := kgo.NewClient(append(retrying(), kgo.SeedBrokers(m.Addr()))...)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	h := &house{client: client, admin: kadm.NewClient(client), more: more}
	for p := range partitions {
		h.latest[p], h.offsets[p] = map[string]kept{}, map[int]int64{}
	}
	for topic, settings := range houseTopics {
		configs := map[string]*string{}
		for name, value := range settings {
			configs[name] = &value
		}
		if answers, err := h.admin.CreateTopics(ctx, partitions, 1, configs, topic); err != nil || answers[topic].Err != nil {
			t.Fatal(topic, err, answers[topic].Err)
		}
	}
	var clients sync.WaitGroup
	for _, run := range []func(context.Context) error{h.write, h.shorten, h.recreate} {
		clients.Add(1)
		go func() {
			defer clients.Done()
			if err := run(ctx); err != nil {
				h.fail(err)
			}
		}()
	}
	for cut := range cuts {
		h.untilAcked(t, 600+rand.IntN(900), m)
		pid := m.PID()
		m.cut(t, func() {
			if err := pause(pid); err != nil {
				t.Fatal(err)
			}
		})
		if err := h.check(ctx, m.Addr()); err != nil {
			t.Fatalf("after cut %d: %v", cut+1, err)
		}
	}
	finish()
	clients.Wait()
	if err := h.check(ctx, m.Addr()); err != nil {
		t.Errorf("at the end: %v", err)
	}
	for _, err := range h.failures[:min(3, len(h.failures))] {
		t.Errorf("of %d failures: %v", len(h.failures), err)
	}
	h.worked(ctx, t, m)
	t.Logf("%d power cuts, %d records acknowledged, %d lives of a topic, log starts at %v", cuts, h.acknowledged, h.created, h.low)
	verifyFiles(t, m.Broker, []string{compacted, shortened})
}

func (h *house) untilAcked(t *testing.T, n int, m *machine) {
	t.Helper()
	count := func() int {
		h.mu.Lock()
		defer h.mu.Unlock()
		return h.acknowledged
	}
	want := count() + n
	for deadline := time.Now().Add(time.Minute); count() < want; time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("no %d acknowledgements within a minute of the restart; failures %v\n%s", n, h.failures, m.Output())
		}
	}
}

// check holds all three topics against what was promised before the cut; the clients go on meanwhile.
func (h *house) check(ctx context.Context, addr string) error {
	promised := h.snapshot()
	for p := range partitions {
		_, records, err := readWhole(ctx, addr, compacted, int32(p))
		if err == nil {
			err = promised.checkCompacted(p, records)
		}
		if err != nil {
			return fmt.Errorf("%s-%d: %w", compacted, p, err)
		}
		start, records, err := readWhole(ctx, addr, shortened, int32(p))
		for range 20 {
			if !errors.Is(err, kerr.OffsetOutOfRange) {
				break
			}
			start, records, err = readWhole(ctx, addr, shortened, int32(p)) // it was shortened while it was read
		}
		if err == nil && len(records) > 0 {
			start = max(start, records[0].Offset)
		}
		if err == nil {
			err = promised.checkShortened(p, start, records)
		}
		if err != nil {
			return fmt.Errorf("%s-%d: %w", shortened, p, err)
		}
	}
	err := promised.checkRecreated(ctx, addr, func() int {
		h.mu.Lock()
		defer h.mu.Unlock()
		return h.trying
	})
	if err != nil {
		return fmt.Errorf("%s: %w", recreated, err)
	}
	return nil
}

// worked makes sure that the housekeeping has happened: otherwise the cuts prove nothing.
func (h *house) worked(ctx context.Context, t *testing.T, m *machine) {
	// Between two cuts on a busy machine there may be time for one log only, and it is the same one each time: one log was compacted while the power
	// went, the others will be now.
	least := 1.0
	for p := range partitions {
		left, err := h.left(ctx, m, p)
		if err != nil {
			t.Error(err)
			return
		}
		least = min(least, left)
	}
	if least > 0.5 {
		t.Errorf("the best compacted of %s has %.0f %% of its records: nothing was compacted while the power went", compacted, 100*least)
	}
	for p := range partitions {
		for end := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
			left, err := h.left(ctx, m, p)
			if err == nil && left <= 0.5 {
				break
			}
			if time.Now().After(end) {
				t.Errorf("%s-%d has %.0f %% of its records after 30 s: it is not being compacted; %v", compacted, p, 100*left, err)
				break
			}
		}
		if h.low[p] == 0 {
			t.Errorf("%s-%d was never shortened", shortened, p)
		}
	}
	if h.deleted < 10 {
		t.Errorf("%s has had %d lives only", recreated, h.deleted)
	}
}

// left is how much of a compacted partition's records there still are.
func (h *house) left(ctx context.Context, m *machine, p int) (float64, error) {
	_, records, err := readWhole(ctx, m.Addr(), compacted, int32(p))
	ends, err2 := h.admin.ListEndOffsets(ctx, compacted)
	if err := errors.Join(err, err2); err != nil {
		return 0, err
	}
	end, _ := ends.Lookup(compacted, int32(p))
	return float64(len(records)) / float64(end.Offset), nil
}
