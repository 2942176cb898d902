package api

import (
	"bytes"
	"io"
	"slices"
	"sync"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/machine/controller"
	"github.com/ottla-io/ottla/internal/metadata"
	"github.com/ottla-io/ottla/internal/record"
	"github.com/ottla-io/ottla/internal/replication"
	"github.com/ottla-io/ottla/internal/wire"
)

// fakePartitions is a data plane in memory. It keeps count of what it gave out.
type fakePartitions struct {
	mu      sync.Mutex
	logs    map[ids.TopicPartition]*fakeLog
	names   map[ids.TopicID]string
	regions int // given out and not released
	fetches int // calls of Fetch
	queries []replication.FetchQuery
	// produce answers Produce.
	produce func(q *replication.ProduceQuery, res *replication.Produced, w *replication.Waiter) bool
	// onWatch, if set, runs within Watch before it looks: what happens between a look and the registration.
	onWatch func(target *replication.Target)
	// afterWatch, if set, runs once within Watch after it registered.
	afterWatch func()
	// beforeFired, if set, runs once between a waiter's removal and its Fired: when Unwatch comes too late.
	beforeFired func()
	// onFetch, if set, runs once within Fetch.
	onFetch func()
	flushes int // calls of Flush
	// deletions are the queries of DeleteRecords; slowly, if set, gets its answers instead of the caller.
	deletions []replication.DeletionQuery
	slowly    func(done func())
}

func (p *fakePartitions) Flush() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.flushes++
}

// fakeLog is one partition. Batches are dense from offset 0; bases[i] is the base offset of batches[i].
type fakeLog struct {
	batches               [][]byte
	bases                 []ids.Offset
	start, watermark, end ids.Offset
	stable                ids.Offset // -1 means the watermark
	code                  wire.ErrorCode
	waiters               []fakeWait
	diverging             ids.Offset // -1 means no
	leader                ids.BrokerID
	aborted               []replication.AbortedTransaction
	offsets               []replication.OffsetQuery
	found                 replication.FoundOffset
	flushing              bool
}

type fakeWait struct {
	w    *replication.Waiter
	need ids.Offset // fires when the watermark reaches it
}

func (p *fakePartitions) create(name string, topic ids.TopicID, partitions int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.names[topic] = name
	for i := range partitions {
		p.logs[ids.TopicPartition{Topic: name, Partition: int32(i)}] = &fakeLog{stable: -1, diverging: -1, leader: ids.NoBroker}
	}
}

func (p *fakePartitions) find(target *replication.Target) (*fakeLog, wire.ErrorCode) {
	name := target.Topic
	if !target.TopicID.IsZero() {
		known, ok := p.names[target.TopicID]
		if !ok {
			return nil, wire.ErrorUnknownTopicID
		}
		name = known
	}
	l, ok := p.logs[ids.TopicPartition{Topic: name, Partition: target.Partition}]
	if !ok {
		return nil, wire.ErrorUnknownTopicOrPartition
	}
	return l, l.code
}

func (p *fakePartitions) log(topic string, partition int32) *fakeLog {
	return p.logs[ids.TopicPartition{Topic: topic, Partition: partition}]
}

// append adds a batch and moves the watermark over it.
func (p *fakePartitions) append(topic string, partition int32, batch record.Batch) {
	p.mu.Lock()
	l := p.log(topic, partition)
	b := record.Batch(bytes.Clone(batch))
	b.SetBaseOffset(l.end)
	l.batches, l.bases = append(l.batches, b), append(l.bases, l.end)
	l.end = b.NextOffset()
	end := l.end
	p.mu.Unlock()
	p.advance(topic, partition, end)
}

// advance moves the watermark and fires those who waited for it.
func (p *fakePartitions) advance(topic string, partition int32, watermark ids.Offset) {
	p.mu.Lock()
	l := p.log(topic, partition)
	l.watermark = watermark
	p.mu.Unlock()
	p.fire(l, wire.ErrorNone)
}

// fail makes the partition answer with code from now on; 0 heals it.
func (p *fakePartitions) fail(topic string, partition int32, code wire.ErrorCode) {
	p.mu.Lock()
	l := p.log(topic, partition)
	l.code = code
	p.mu.Unlock()
	p.fire(l, code)
}

func (p *fakePartitions) fire(l *fakeLog, code wire.ErrorCode) {
	var due []*replication.Waiter
	p.mu.Lock()
	l.waiters = slices.DeleteFunc(l.waiters, func(wait fakeWait) bool {
		if code == wire.ErrorNone && l.watermark < wait.need {
			return false
		}
		wait.w.Error, wait.w.HighWatermark = code, l.watermark
		due = append(due, wait.w)
		return true
	})
	p.mu.Unlock()
	for _, w := range due {
		p.once(&p.beforeFired)
		w.Owner.Fired(w)
	}
}

// once runs a hook and forgets it.
func (p *fakePartitions) once(hook *func()) {
	p.mu.Lock()
	f := *hook
	*hook = nil
	p.mu.Unlock()
	if f != nil {
		f()
	}
}

func (p *fakePartitions) waiting() (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, l := range p.logs {
		n += len(l.waiters)
	}
	return n
}

// await registers w as Produce does.
func (p *fakePartitions) await(topic string, partition int32, need ids.Offset, w *replication.Waiter) {
	p.mu.Lock()
	defer p.mu.Unlock()
	l := p.log(topic, partition)
	l.waiters = append(l.waiters, fakeWait{w, need})
}

func (p *fakePartitions) Produce(q *replication.ProduceQuery, res *replication.Produced, w *replication.Waiter) bool {
	*res = replication.Produced{BaseOffset: -1, LogAppendTimeMs: -1, LogStart: -1, Leader: ids.NoBroker, LeaderEpoch: ids.NoLeaderEpoch}
	p.mu.Lock()
	_, code := p.find(&q.Target)
	p.mu.Unlock()
	if code != wire.ErrorNone {
		res.Error = code
		return false
	}
	return p.produce(q, res, w)
}

// Fetch is Kafka's rule for one partition: whole batches from the one that contains the offset, none past the limit.
func (p *fakePartitions) Fetch(q *replication.FetchQuery, res *replication.Fetched) {
	p.once(&p.onFetch)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fetches++
	p.queries = append(p.queries, *q)
	*res = replication.Fetched{HighWatermark: -1, LastStable: -1, LogStart: -1, DivergingEpoch: -1, DivergingEnd: -1, Aborted: res.Aborted[:0],
		Leader: ids.NoBroker, LeaderEpoch: ids.NoLeaderEpoch}
	l, code := p.find(&q.Target)
	if code != wire.ErrorNone {
		res.Error = code
		if l != nil {
			res.Leader, res.LeaderEpoch = l.leader, 9
		}
		return
	}
	res.HighWatermark, res.LastStable, res.LogStart = l.watermark, l.watermark, l.start
	if l.stable >= 0 {
		res.LastStable = l.stable
	}
	if q.Offset < l.start || q.Offset > l.end {
		res.Error = wire.ErrorOffsetOutOfRange
		return
	}
	if l.diverging >= 0 && q.LastFetchedEpoch >= 0 {
		res.DivergingEpoch, res.DivergingEnd = 1, l.diverging
		return
	}
	limit := l.watermark
	if q.ReadCommitted {
		limit = res.LastStable
		res.Aborted = append(res.Aborted, l.aborted...)
	}
	if region := p.read(l, q, limit); region != nil {
		p.regions++
		res.Region = region
	}
}

func (p *fakePartitions) read(l *fakeLog, q *replication.FetchQuery, limit ids.Offset) replication.Region {
	var data []byte
	for _, b := range l.batches {
		next := record.Batch(b).NextOffset()
		if next <= q.Offset {
			continue
		}
		if next > limit {
			break
		}
		whole := q.WholeFirst && len(data) == 0
		if !whole && len(data)+len(b) > q.MaxBytes {
			break
		}
		data = append(data, b...)
	}
	if len(data) == 0 {
		return nil
	}
	return &fakeRegion{p: p, data: data}
}

func (p *fakePartitions) Watch(target *replication.Target, seen replication.Seen, w *replication.Waiter) bool {
	if p.onWatch != nil {
		p.onWatch(target)
	}
	p.mu.Lock()
	l, code := p.find(target)
	if code != wire.ErrorNone || l.watermark != seen.HighWatermark || l.start != seen.LogStart {
		p.mu.Unlock()
		return false
	}
	l.waiters = append(l.waiters, fakeWait{w, seen.HighWatermark + 1})
	p.mu.Unlock()
	p.once(&p.afterWatch)
	return true
}

func (p *fakePartitions) Unwatch(w *replication.Waiter) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, l := range p.logs {
		for i := range l.waiters {
			if l.waiters[i].w == w {
				l.waiters = slices.Delete(l.waiters, i, i+1)
				return true
			}
		}
	}
	return false
}

func (p *fakePartitions) ListOffset(q *replication.OffsetQuery, res *replication.FoundOffset, w *replication.Waiter) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	*res = replication.FoundOffset{Offset: -1, TimestampMs: -1, LeaderEpoch: -1}
	l, code := p.find(&q.Target)
	if res.Error = code; code != wire.ErrorNone {
		return false
	}
	l.offsets = append(l.offsets, *q)
	if w != nil && l.flushing {
		l.waiters = append(l.waiters, fakeWait{w, l.watermark + 1})
		return true
	}
	*res = l.found
	if q.TimestampMs == replication.LatestTimestamp {
		res.Offset = l.watermark
	}
	return false
}

// DeleteRecords moves log starts, unless slowly holds it back.
func (p *fakePartitions) DeleteRecords(queries []replication.DeletionQuery, done func([]replication.Deleted)) {
	p.mu.Lock()
	p.deletions = append(p.deletions, queries...)
	results := make([]replication.Deleted, len(queries))
	for i := range queries {
		l, code := p.find(&queries[i].Target)
		if code == wire.ErrorNone {
			l.start = queries[i].Before
			results[i].LowWatermark = l.start
		} else {
			results[i] = replication.Deleted{Error: code, LowWatermark: -1}
		}
	}
	slowly := p.slowly
	p.mu.Unlock()
	if slowly != nil {
		slowly(func() { done(results) })
	} else {
		done(results)
	}
}

func (p *fakePartitions) EpochEnd(q *replication.EpochQuery, res *replication.EpochEnd) {
	p.mu.Lock()
	defer p.mu.Unlock()
	*res = replication.EpochEnd{LeaderEpoch: -1, EndOffset: -1}
	l, code := p.find(&q.Target)
	switch {
	case code != wire.ErrorNone:
		res.Error = code
	case q.CurrentLeaderEpoch > 3:
		res.Error = wire.ErrorUnknownLeaderEpoch
	case q.LeaderEpoch == 3:
		res.LeaderEpoch, res.EndOffset = 3, l.end
	}
}

type fakeRegion struct {
	p    *fakePartitions
	data []byte
	gone bool
}

func (r *fakeRegion) Size() int                    { return len(r.data) }
func (r *fakeRegion) Source() (io.ReaderAt, int64) { return bytes.NewReader(r.data), 0 }
func (r *fakeRegion) Release() {
	r.p.mu.Lock()
	defer r.p.mu.Unlock()
	if r.gone {
		panic("region released twice")
	}
	r.gone = true
	r.p.regions--
}

// batchOf makes a batch of n records of which the first has size bytes.
func batchOf(n, size int) record.Batch {
	b := record.NewBuilder(record.None, 0)
	for i := range n {
		value := []byte("v")
		if i == 0 {
			value = make([]byte, size)
		}
		b.Append(1000, nil, value)
	}
	batch, err := b.Build()
	if err != nil {
		panic(err)
	}
	return batch
}

// fakeController keeps commands until they are answered, unless it is told to answer at once.
type fakeController struct {
	rig      *rig
	creates  []fakeCreate
	deletes  []fakeDelete
	extends  []fakeExtend
	alters   []fakeAlter
	features []fakeFeatures
	blocks   []func(ids.ProducerID, int32, wire.ErrorCode)
	quotas   []fakeQuotas
	// answer, if set, answers CreateTopics within the call.
	answer func(*wire.CreateTopicsRequest) *wire.CreateTopicsResponse
}

type fakeExtend struct {
	req  *wire.CreatePartitionsRequest
	done func(*wire.CreatePartitionsResponse)
}

type fakeAlter struct {
	req     *wire.IncrementalAlterConfigsRequest
	replace bool
	done    func(*wire.IncrementalAlterConfigsResponse, *metadata.Image)
}

type fakeFeatures struct {
	req  *wire.UpdateFeaturesRequest
	done func(*wire.UpdateFeaturesResponse)
}

type fakeQuotas struct {
	req  *wire.AlterClientQuotasRequest
	done func(*wire.AlterClientQuotasResponse)
}

type fakeCreate struct {
	req   *wire.CreateTopicsRequest
	done  func(*wire.CreateTopicsResponse)
	allow controller.Allow
}

type fakeDelete struct {
	req  *wire.DeleteTopicsRequest
	done func(*wire.DeleteTopicsResponse)
}

func (c *fakeController) CreateTopics(req *wire.CreateTopicsRequest, allow controller.Allow, done func(*wire.CreateTopicsResponse)) {
	if c.answer != nil {
		done(c.answer(req))
		return
	}
	c.creates = append(c.creates, fakeCreate{req, done, allow})
}

func (c *fakeController) DeleteTopics(req *wire.DeleteTopicsRequest, _ controller.Allow, done func(*wire.DeleteTopicsResponse)) {
	c.deletes = append(c.deletes, fakeDelete{req, done})
}

func (c *fakeController) CreatePartitions(req *wire.CreatePartitionsRequest, _ controller.Allow, done func(*wire.CreatePartitionsResponse)) {
	c.extends = append(c.extends, fakeExtend{req, done})
}

func (c *fakeController) AlterConfigs(req *wire.IncrementalAlterConfigsRequest, replace bool, done func(*wire.IncrementalAlterConfigsResponse, *metadata.Image)) {
	c.alters = append(c.alters, fakeAlter{req, replace, done})
}

func (c *fakeController) UpdateFeatures(req *wire.UpdateFeaturesRequest, done func(*wire.UpdateFeaturesResponse)) {
	c.features = append(c.features, fakeFeatures{req, done})
}

func (c *fakeController) AlterClientQuotas(req *wire.AlterClientQuotasRequest, done func(*wire.AlterClientQuotasResponse)) {
	c.quotas = append(c.quotas, fakeQuotas{req, done})
}

func (c *fakeController) AllocateProducerIDs(done func(ids.ProducerID, int32, wire.ErrorCode)) {
	c.blocks = append(c.blocks, done)
}
