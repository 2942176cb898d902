package records

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/ottla-io/ottla/cmd/ottla/internal/cli"
	"github.com/ottla-io/ottla/internal/bench"
)

// benchRun is one measurement.
type benchRun struct {
	flags   *benchFlags
	admin   *kadm.Client
	topic   string
	fill    bool // the topic is our own, and new
	id      uint64
	began   time.Time
	tallies []*benchTally
	stop    context.CancelCauseFunc
}

// benchHeaderBytes begin the value of an end-to-end record: the run's id, and when it was to leave, in nanoseconds since the run began.
const benchHeaderBytes = 16

// benchTally is what one client counts. Producers are told of acks on goroutines of the client's.
type benchTally struct {
	mu      sync.Mutex
	latency bench.Histogram
	records int64
	bytes   int64
	failed  int64
	late    int64
	handed  int64
	last    time.Time
}

func (t *benchTally) note(now time.Time, latency time.Duration, bytes int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.latency.Add(latency)
	t.records++
	t.bytes += int64(bytes)
	t.last = now
}

func (r *benchRun) tally() *benchTally {
	t := &benchTally{}
	r.tallies = append(r.tallies, t)
	return t
}

// measure runs the benchmark and sums it up. A cancelled context ends it early, with what was measured until then.
func (r *benchRun) measure(ctx context.Context) (*benchResult, error) {
	f := r.flags
	partitions, err := r.partitions(ctx)
	if err != nil {
		return nil, f.Explain("find topic "+r.topic, err)
	}
	r.id = rand.Uint64()
	result := &benchResult{Bench: f.kind, Topic: r.topic, Partitions: partitions}
	if f.kind != "consume" {
		result.Producers, result.RecordBytes, result.Acks, result.Compression, result.Rate = f.producers, f.sizeBytes, f.acks, f.codec, f.rate
	}
	result.Consumers = f.consumers
	running, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	r.stop = stop
	switch f.kind {
	case "produce":
		result.LatencyOf = "from the time at which a record was to leave, to its ack"
		err = r.produce(running, result)
	case "consume":
		result.LatencyOf = "wait of a poll for its records"
		err = r.consume(running, result)
	default:
		result.LatencyOf = "from the time at which a record was to leave, to a consumer"
		err = r.endToEnd(running, result)
	}
	if err != nil {
		return nil, err
	}
	return result, nil
}

// partitions counts those of the topic. A topic of our own has just been made: Kafka's broker may not know it, or its leaders, at once.
func (r *benchRun) partitions(ctx context.Context) (int, error) {
	for deadline := time.Now().Add(r.flags.Timeout); ; {
		details, err := r.admin.ListTopicsWithInternal(ctx, r.topic)
		if err != nil {
			return 0, err
		}
		topic := details[r.topic]
		err = topic.Err
		for _, partition := range topic.Partitions {
			if err == nil {
				err = partition.Err
			}
		}
		if err == nil || !r.fill || time.Now().After(deadline) || !cli.Sleep(ctx, 50*time.Millisecond) {
			return len(topic.Partitions), err
		}
	}
}

// timed runs fn as the measured part, and fills in throughput, latency and what the client used.
func (r *benchRun) timed(result *benchResult, fn func() error) error {
	cpu := benchCPU()
	busy, idle := machineTicks()
	r.began = time.Now()
	if err := fn(); err != nil {
		return err
	}
	elapsed := time.Since(r.began)
	used := benchCPU() - cpu
	busyNow, idleNow := machineTicks()
	client := bench.Client{CPUSeconds: used.Seconds(), Cores: used.Seconds() / elapsed.Seconds(), MayUse: runtime.GOMAXPROCS(0), Machine: -1,
		Workers: max(result.Producers, result.Consumers), Paced: r.flags.rate > 0}
	if total := busyNow + idleNow - busy - idle; total > 0 {
		client.Machine = float64(busyNow-busy) / float64(total)
	}
	var latency bench.Histogram
	var handed, late int64
	last := r.began
	bytes := int64(0)
	for _, t := range r.tallies {
		latency.Merge(&t.latency)
		result.Records += t.records
		result.Failed += t.failed
		bytes += t.bytes
		handed += t.handed
		late += t.late
		if t.last.After(last) {
			last = t.last
		}
	}
	if handed > 0 {
		client.LateShare = float64(late) / float64(handed)
	}
	client.Judge()
	result.Client, result.Latency = client, latency.Latency()
	if result.Seconds = last.Sub(r.began).Seconds(); result.Seconds > 0 {
		result.RecordsPerSecond, result.BytesPerSecond = float64(result.Records)/result.Seconds, float64(bytes)/result.Seconds
	}
	return nil
}

// benchValues is a text to cut values from, long enough that a batch does not compress by repeating itself.
func benchValues(sizeBytes int) []byte {
	random := rand.New(rand.NewPCG(1, 2))
	text := make([]byte, 0, max(4<<20, 2*sizeBytes)+64)
	for len(text) < cap(text)-64 {
		text = fmt.Appendf(text, `{"id":%d,"city":"%c%c%c","delay":%d},`, random.Uint32(), 'A'+random.IntN(26), 'A'+random.IntN(26), 'A'+random.IntN(26), random.IntN(200))
	}
	return text
}

// producing opens the producers and brings each into contact with every partition, so that no connection is made while it is measured.
func (r *benchRun) producing(ctx context.Context, partitions int) ([]*kgo.Client, func(), error) {
	options, err := r.flags.options()
	if err != nil {
		return nil, nil, err
	}
	var clients []*kgo.Client
	closeAll := func() {
		for _, client := range clients {
			client.Close()
		}
	}
	for range r.flags.producers {
		client, err := r.flags.Open(options...)
		if err != nil {
			closeAll()
			return nil, nil, err
		}
		clients = append(clients, client)
		first := make([]*kgo.Record, partitions)
		for p := range first {
			first[p] = &kgo.Record{Topic: r.topic, Partition: int32(p), Value: []byte("ottla bench: first contact")}
		}
		if err := client.ProduceSync(ctx, first...).FirstErr(); err != nil {
			closeAll()
			return nil, nil, r.flags.Explain("produce to "+r.topic, err)
		}
	}
	return clients, closeAll, nil
}

func (r *benchRun) produce(ctx context.Context, result *benchResult) error {
	clients, closeAll, err := r.producing(ctx, result.Partitions)
	if err != nil {
		return err
	}
	defer closeAll()
	return r.timed(result, func() error { return r.send(ctx, clients, r.flags.count, true) })
}

// send produces with all clients until a bound is reached. counts: their acks are what is measured.
func (r *benchRun) send(ctx context.Context, clients []*kgo.Client, count int64, counts bool) error {
	text := benchValues(r.flags.sizeBytes)
	var group sync.WaitGroup
	for i, client := range clients {
		tally := &benchTally{}
		if counts {
			tally = r.tally()
		}
		group.Go(func() {
			r.sendWith(ctx, client, sender{first: int64(i), step: int64(len(clients)), count: count, text: text, tally: tally})
		})
	}
	group.Wait()
	return r.cause(ctx)
}

// cause is the error that a client met; the end of the context that the user or a bound brought is none.
func (r *benchRun) cause(ctx context.Context) error {
	if err := context.Cause(ctx); err != nil && !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
		return r.flags.Explain(r.flags.kind+" "+r.topic, err)
	}
	return nil
}

// sender is one producer: it sends the records first, first+step, … of all below count, or until time is up.
type sender struct {
	first, step, count int64
	text               []byte
	tally              *benchTally
}

func (r *benchRun) sendWith(ctx context.Context, client *kgo.Client, s sender) {
	f := r.flags
	began := r.began
	if began.IsZero() { // filling, before anything is measured
		began = time.Now()
	}
	random := rand.New(rand.NewPCG(uint64(s.first), 3))
	for sequence := s.first; s.count == 0 || sequence < s.count; sequence += s.step {
		due := time.Now()
		if f.rate > 0 {
			due = began.Add(time.Duration(float64(sequence) / f.rate * float64(time.Second)))
		}
		if f.duration > 0 && due.Sub(began) >= f.duration && !r.filling() {
			break
		}
		if wait := time.Until(due); wait > 0 && !cli.Sleep(ctx, wait) {
			break
		}
		at := random.IntN(len(s.text) - f.sizeBytes)
		value := s.text[at : at+f.sizeBytes : at+f.sizeBytes]
		if f.kind == "e2e" {
			value = slices.Clone(value)
			binary.BigEndian.PutUint64(value, r.id)
			binary.BigEndian.PutUint64(value[8:], uint64(due.Sub(began)))
		}
		s.tally.handed++
		if time.Since(due) > bench.LateBy {
			s.tally.late++
		}
		client.Produce(context.WithoutCancel(ctx), &kgo.Record{Topic: r.topic, Partition: -1, Value: value}, func(_ *kgo.Record, err error) {
			now := time.Now()
			if err == nil {
				s.tally.note(now, now.Sub(due), f.sizeBytes)
				return
			}
			s.tally.mu.Lock()
			s.tally.failed++
			s.tally.mu.Unlock()
			r.stop(err)
		})
		if ctx.Err() != nil {
			break
		}
	}
	flushing, cancel := context.WithTimeout(context.WithoutCancel(ctx), f.Timeout)
	defer cancel()
	if err := client.Flush(flushing); err != nil {
		r.stop(fmt.Errorf("acks are missing after %v", f.Timeout))
	}
}

// filling says that the records of the run are not measured but made ready to be read.
func (r *benchRun) filling() bool { return r.flags.kind == "consume" }

// consumeFill is how much an own topic holds before it is read, where --count does not say.
const consumeFill = 256 << 20

func (r *benchRun) consume(ctx context.Context, result *benchResult) error {
	f := r.flags
	if r.fill {
		count := f.count
		if count == 0 {
			count = max(1, consumeFill/int64(f.sizeBytes))
		}
		clients, closeAll, err := r.producing(ctx, result.Partitions)
		if err != nil {
			return err
		}
		err = r.send(ctx, clients, count, false)
		closeAll()
		if err != nil {
			return err
		}
	}
	starts, err := r.admin.ListStartOffsets(ctx, r.topic)
	if err != nil {
		return f.Explain("find the start of "+r.topic, err)
	}
	ends, err := r.admin.ListEndOffsets(ctx, r.topic)
	if err != nil {
		return f.Explain("find the end of "+r.topic, err)
	}
	clients, closeAll, left, err := r.reading(starts, ends)
	if err != nil {
		return err
	}
	defer closeAll()
	result.Consumers = len(clients)
	if f.duration > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, f.duration)
		defer cancel()
	}
	var read atomic.Int64
	return r.timed(result, func() error {
		var group sync.WaitGroup
		for i, client := range clients {
			tally := r.tally()
			group.Go(func() { r.readAll(ctx, client, left[i], &read, tally) })
		}
		group.Wait()
		return r.cause(ctx)
	})
}

// reading opens the consumers, each with its share of the partitions from their starts, and says where each of these ends. Empty ones are left out.
func (r *benchRun) reading(starts, ends kadm.ListedOffsets) (clients []*kgo.Client, closeAll func(), left []map[int32]int64, err error) {
	var shares []map[int32]kgo.Offset
	number := 0
	starts.Each(func(start kadm.ListedOffset) {
		end, _ := ends.Lookup(r.topic, start.Partition)
		if start.Err != nil || end.Err != nil || end.Offset <= start.Offset {
			return
		}
		share := number % r.flags.consumers
		if number++; share == len(shares) {
			shares, left = append(shares, map[int32]kgo.Offset{}), append(left, map[int32]int64{})
		}
		shares[share][start.Partition] = kgo.NewOffset().At(start.Offset)
		left[share][start.Partition] = end.Offset
	})
	closeAll = func() {
		for _, client := range clients {
			client.Close()
		}
	}
	for _, share := range shares {
		client, err := r.flags.Open(kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{r.topic: share}), kgo.KeepControlRecords())
		if err != nil {
			closeAll()
			return nil, nil, nil, err
		}
		clients = append(clients, client)
	}
	if len(clients) == 0 {
		return nil, nil, nil, fmt.Errorf("topic %s has no records to read: fill it first, or leave out --topic", r.topic)
	}
	return clients, closeAll, left, nil
}

// readAll reads until the partitions' ends, the wanted count of all clients together, or the end of the context.
func (r *benchRun) readAll(ctx context.Context, client *kgo.Client, left map[int32]int64, read *atomic.Int64, tally *benchTally) {
	for len(left) > 0 && (r.flags.count == 0 || read.Load() < r.flags.count) {
		asked := time.Now()
		fetches := client.PollFetches(ctx)
		now := time.Now()
		if ctx.Err() != nil {
			return
		}
		if err := fetches.Err(); err != nil {
			r.stop(err)
			return
		}
		tally.latency.Add(now.Sub(asked))
		fetches.EachPartition(func(p kgo.FetchTopicPartition) {
			for _, record := range p.Records {
				tally.records++
				tally.bytes += int64(len(record.Key) + len(record.Value))
			}
			read.Add(int64(len(p.Records)))
			if n := len(p.Records); n > 0 && p.Records[n-1].Offset+1 >= left[p.Partition] {
				delete(left, p.Partition)
			}
		})
		tally.last = now
	}
}

func (r *benchRun) endToEnd(ctx context.Context, result *benchResult) error {
	producers, closeProducers, err := r.producing(ctx, result.Partitions)
	if err != nil {
		return err
	}
	defer closeProducers()
	ends, err := r.admin.ListEndOffsets(ctx, r.topic)
	if err != nil {
		return r.flags.Explain("find the end of "+r.topic, err)
	}
	consumers, closeConsumers, err := r.following(ends)
	if err != nil {
		return err
	}
	defer closeConsumers()
	result.Consumers = len(consumers)
	receiving, enough := context.WithCancel(ctx)
	defer enough()
	var sent, received atomic.Int64
	sent.Store(-1)
	return r.timed(result, func() error {
		var group sync.WaitGroup
		for _, client := range consumers {
			tally := r.tally()
			group.Go(func() {
				r.receive(receiving, client, tally, func(n int64) {
					if received.Add(n) == sent.Load() {
						enough()
					}
				})
			})
		}
		acks := len(r.tallies)
		err := r.send(ctx, producers, r.flags.count, true)
		total := int64(0)
		for _, tally := range r.tallies[acks:] {
			total += tally.records
			tally.records, tally.bytes, tally.latency, tally.last = 0, 0, bench.Histogram{}, time.Time{} // what counts is what arrives
		}
		if sent.Store(total); received.Load() >= total {
			enough()
		}
		timer := time.AfterFunc(r.flags.Timeout, enough)
		defer timer.Stop()
		group.Wait()
		if missing := total - received.Load(); err == nil && missing > 0 && ctx.Err() == nil {
			err = fmt.Errorf("%d of %d acknowledged records did not reach a consumer within %v", missing, total, r.flags.Timeout)
		}
		return err
	})
}

// following opens the consumers of an end-to-end run, each with its share of the partitions from their ends on.
func (r *benchRun) following(ends kadm.ListedOffsets) (clients []*kgo.Client, closeAll func(), err error) {
	shares := make([]map[int32]kgo.Offset, min(r.flags.consumers, len(ends[r.topic])))
	number := 0
	ends.Each(func(end kadm.ListedOffset) {
		share := number % len(shares)
		if number++; shares[share] == nil {
			shares[share] = map[int32]kgo.Offset{}
		}
		shares[share][end.Partition] = kgo.NewOffset().At(end.Offset)
	})
	closeAll = func() {
		for _, client := range clients {
			client.Close()
		}
	}
	for _, share := range shares {
		client, err := r.flags.Open(kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{r.topic: share}))
		if err != nil {
			closeAll()
			return nil, nil, err
		}
		clients = append(clients, client)
	}
	return clients, closeAll, nil
}

// receive measures the records of this run until the context ends, and tells how many a poll brought.
func (r *benchRun) receive(ctx context.Context, client *kgo.Client, tally *benchTally, came func(int64)) {
	for {
		fetches := client.PollFetches(ctx)
		now := time.Now()
		if ctx.Err() != nil && fetches.NumRecords() == 0 {
			return
		}
		if err := fetches.Err(); err != nil && ctx.Err() == nil {
			r.stop(err)
			return
		}
		ours := int64(0)
		fetches.EachRecord(func(record *kgo.Record) {
			if len(record.Value) < benchHeaderBytes || binary.BigEndian.Uint64(record.Value) != r.id {
				return // somebody else's
			}
			due := r.began.Add(time.Duration(binary.BigEndian.Uint64(record.Value[8:])))
			tally.note(now, now.Sub(due), len(record.Value))
			ours++
		})
		came(ours)
	}
}
