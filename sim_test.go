package ottla

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/record"
	"github.com/ottla-io/ottla/internal/run"
	"github.com/ottla-io/ottla/internal/transport"
	"github.com/ottla-io/ottla/internal/vfs"
	"github.com/ottla-io/ottla/internal/wire"
)

const (
	simTopic      = "orders"
	simPartitions = 2
	simProducers  = 3
	simBatches    = 16 // that each producer gets acknowledged
	simRounds     = 4  // starts of the broker; the last one is undisturbed
	simAddress    = "broker:9092"
)

// simSettings let sessions end within a round.
var simSettings = map[string]string{"auto.create.topics.enable": "false", "offsets.topic.num.partitions": "3",
	"group.min.session.timeout.ms": "50", "group.initial.rebalance.delay.ms": "5",
	"group.consumer.min.session.timeout.ms": "150", "group.consumer.session.timeout.ms": "150",
	"group.consumer.min.heartbeat.interval.ms": "20", "group.consumer.heartbeat.interval.ms": "20", "group.consumer.assignment.interval.ms": "0"}

// TestWholeBrokerInASimulation runs a whole broker, storage to sockets, with its clients, in virtual time on a disk in memory: its
// power is cut at random operations of the disk, also while it starts, and it starts again on what the cut leaves. The
// numbers are those of the design's invariants.
//
//	1  what was acknowledged, or handed to a consumer, is there after each cut, at the offset it had
//	2  the watermark never goes back
//	3  each start leads in a new leader epoch; epochs never fall along the log
//	4  replies come in order, one a request, none for acks=0 (wireClient and the admin client)
//	9  a batch sent twice gets its original offset, across cuts too; gaps and old epochs get Kafka's codes
func TestWholeBrokerInASimulation(t *testing.T) {
	seeds := 150
	if testing.Short() {
		seeds = 10
	}
	var cuts, starts int
	for seed := range uint64(seeds) {
		w := simulate(t, seed)
		cuts, starts = cuts+w.cuts, starts+w.starts
		if seed%10 == 0 {
			again := simulate(t, seed)
			if w.sim.Trace() != again.sim.Trace() || w.events != again.events {
				t.Errorf("seed %d took two ways: trace %x and %x, events %x and %x", seed, w.sim.Trace(), again.sim.Trace(), w.events, again.events)
			}
		}
		if t.Failed() {
			return
		}
	}
	t.Logf("%d power cuts, %d starts", cuts, starts)
	if cuts < seeds {
		t.Errorf("only %d power cuts in %d seeds", cuts, seeds)
	}
}

// world is one simulation: a broker, its disk, its clients and what they were promised.
type world struct {
	t      *testing.T
	seed   uint64
	sim    *run.Sim
	random *rand.Rand
	net    *transport.Sim
	disk   *vfs.Mem
	host   *transport.SimHost

	process *run.Process
	broker  *Broker
	down    bool
	changed run.Signal // the broker started, could not, or went down; or a client is through
	cuts    int
	starts  int
	working int // clients that are not through
	endless int // clients that go on until the end of the simulation
	cast    func()
	audit   func() // after the last, undisturbed round

	ending bool

	events uint64 // hash of what the clients saw

	// The promises.
	records [simPartitions]map[int64]promise
	high    [simPartitions]int64
	topics  map[string]bool
	// leading is the leader epoch of each partition, and start in which incarnation it was seen.
	leading [simPartitions]struct{ epoch, start int32 }
}

type promise struct {
	value string
	epoch ids.LeaderEpoch // -1 where only an acknowledgement was seen
}

func simulate(t *testing.T, seed uint64) *world {
	w := newWorld(t, seed)
	w.cast, w.audit, w.endless = w.producersAndConsumer, w.auditLog, 1
	w.sim.Run(w.main)
	return w
}

func newWorld(t *testing.T, seed uint64) *world {
	w := &world{t: t, seed: seed, sim: run.NewSim(seed), random: rand.New(rand.NewPCG(seed, 7)), disk: vfs.NewMem(seed), topics: map[string]bool{}}
	for p := range w.records {
		w.records[p] = map[int64]promise{}
	}
	w.net = transport.NewSim(w.sim)
	w.host = w.net.Host("broker")
	w.net.SetDelay(func(string, string) time.Duration { return time.Duration(w.random.IntN(2000)) * time.Microsecond })
	w.changed = w.sim.NewSignal()
	return w
}

func (w *world) failf(format string, args ...any) {
	w.t.Helper()
	w.t.Errorf("seed %d at %v: "+format, append([]any{w.seed, w.sim.Monotonic()}, args...)...)
	w.ending = true
}

// saw adds to the hash of events.
func (w *world) saw(format string, args ...any) {
	h := fnv.New64a()
	fmt.Fprintf(h, "%x %v ", w.events, w.sim.Monotonic())
	fmt.Fprintf(h, format, args...)
	w.events = h.Sum64()
}

// producersAndConsumer are the clients of TestWholeBrokerInASimulation.
func (w *world) producersAndConsumer() {
	w.client("admin", (*simClient).administer)
	for i := range simProducers {
		w.client(fmt.Sprintf("producer %d", i), (*simClient).produce)
	}
	w.client("consumer", (*simClient).consume)
}

func (w *world) main() {
	w.cast()
	for round := 0; round < simRounds && !w.ending; round++ {
		last := round == simRounds-1
		if !last {
			w.cutAfter(1 + w.random.IntN(150))
		}
		w.start()
		for !w.down && !w.ending && (w.working > w.endless || !last) {
			if !w.changed.WaitFor(time.Duration(1+w.random.IntN(300))*time.Millisecond) && !last {
				break // cut now, wherever everybody is
			}
		}
		switch {
		case w.ending || last:
		case w.down:
		case w.random.IntN(4) == 0:
			w.stop()
		default:
			w.cut()
		}
		w.disk.OnOp(nil)
	}
	if !w.ending {
		w.audit()
	}
	if w.ending {
		return // it failed: Run ends what still runs
	}
	w.ending = true
	for w.working > 0 {
		w.changed.Wait()
	}
	if w.broker != nil {
		w.stop()
	}
}

// cutAfter cuts the power after n more operations of the disk.
func (w *world) cutAfter(n int) {
	at := w.disk.Ops() + n
	w.disk.OnOp(func(op int, what string) {
		if op == at && !w.down {
			w.saw("cut after %s", what)
			w.cut()
		}
	})
}

// cut is a power cut of the broker's machine: what its disk holds for certain, and some of the rest, is there for the next start.
func (w *world) cut() {
	left := w.disk.Crash()
	w.disk.OnOp(nil)
	w.disk = left
	w.host.Down()
	w.process.Kill()
	w.down, w.broker = true, nil
	w.cuts++
	w.changed.Set()
}

func (w *world) start() {
	w.host.Down() // what cut the power ran on to its next wait, and may have bound the port
	w.down = false
	w.starts++
	w.process = w.sim.NewProcess(fmt.Sprintf("broker, start %d", w.starts))
	process, up := w.process, false
	var failed error
	process.Go("start", func() {
		broker, err := startWith(Config{
			DataDir: "data", Listen: "0.0.0.0:9092", NodeID: 1,
			Settings: simSettings,
		}, doors{env: process, disk: &slowDisk{FS: w.disk, env: process, random: w.random}, network: w.host})
		if process.Dead() {
			return
		}
		w.broker, failed, up = broker, err, true
		w.changed.Set()
	})
	for !up && !w.down {
		w.changed.Wait()
	}
	if failed != nil {
		w.failf("start %d: %v", w.starts, failed)
	}
}

func (w *world) stop() {
	broker, done := w.broker, w.sim.NewSignal()
	w.process.Go("stop", func() {
		if err := broker.Close(context.Background()); err != nil {
			w.failf("stop: %v", err)
		}
		w.broker, w.down = nil, true
		done.Set()
	})
	w.disk.OnOp(nil)
	done.Wait()
}

// simClient is one client program; it outlives the broker.
type simClient struct {
	*world
	name   string
	host   transport.Network
	random *rand.Rand
	conn   *wireClient
}

func (w *world) client(name string, program func(*simClient)) *simClient {
	c := &simClient{world: w, name: name, host: w.net.Host(name), random: rand.New(rand.NewPCG(w.seed, uint64(len(name))<<8|uint64(name[len(name)-1])))}
	w.working++
	w.sim.Go(name, func() {
		program(c)
		if c.conn != nil {
			c.conn.close()
		}
		w.working--
		w.changed.Set()
	})
	return c
}

// connected dials until it succeeds; false at the end of the simulation.
func (c *simClient) connected() bool {
	for c.conn == nil {
		if c.ending {
			return false
		}
		conn, err := dialWire(c.host, simAddress)
		if err != nil {
			c.sim.NewSignal().WaitFor(time.Duration(5+c.random.IntN(20)) * time.Millisecond)
			continue
		}
		c.conn = conn
	}
	return true
}

// lost ends the connection after an error, which the network may have caused, but not a broker that mixes up replies.
func (c *simClient) lost(err error) {
	if errors.Is(err, errOrder) {
		c.failf("%s: %v", c.name, err)
	}
	c.conn.close()
	c.conn = nil
}

// do asks until it is answered; false at the end of the simulation.
func (c *simClient) do(key, version int16, req, resp wire.Message) bool {
	for c.connected() {
		err := c.conn.do(key, version, req, resp)
		if err == nil {
			return true
		}
		c.lost(err)
	}
	return false
}

// administer creates topics and sees that none of them vanishes; between, it produces without acknowledgement.
func (c *simClient) administer() {
	c.create(simTopic, simPartitions, "internal.segment.bytes", "1024")
	for i := 0; !c.ending && i < 8; i++ {
		if c.random.IntN(2) == 0 {
			c.create(fmt.Sprintf("topic-%d", i), 1)
		}
		c.unacknowledged()
		var req wire.MetadataRequest
		req.Default()
		req.Topics = nil // all
		promised := len(c.topics)
		var resp wire.MetadataResponse
		if !c.do(wire.MetadataKey, 12, &req, &resp) {
			return
		}
		found := 0
		for i := range resp.Topics {
			if c.topics[resp.Topics[i].Name.Value] && resp.Topics[i].ErrorCode == wire.ErrorNone {
				found++
			}
		}
		c.saw("%d topics", found)
		if found < promised {
			c.failf("%d of %d topics that were created are there", found, promised)
		}
		c.sim.NewSignal().WaitFor(time.Duration(c.random.IntN(60)) * time.Millisecond)
	}
}

func (c *simClient) create(name string, partitions int32, configs ...string) {
	var resp wire.CreateTopicsResponse
	if !c.do(wire.CreateTopicsKey, 7, createOne(name, partitions, configs...), &resp) {
		return
	}
	// A retry finds what the first attempt made.
	if code := resp.Topics[0].ErrorCode; code != wire.ErrorNone && code != wire.ErrorTopicAlreadyExists {
		c.failf("create %s: %s", name, code.Name())
	}
	c.saw("created %s", name)
	c.topics[name] = true
}

// unacknowledged sends acks=0, which gets no reply: the next one must answer the next request.
func (c *simClient) unacknowledged() {
	if !c.connected() {
		return
	}
	var name string
	for n := range 8 {
		if c.topics[fmt.Sprintf("topic-%d", n)] {
			name = fmt.Sprintf("topic-%d", n)
		}
	}
	if name == "" {
		return
	}
	b := record.NewBuilder(record.None, record.DefaultLevel)
	b.Append(c.sim.Now().UnixMilli(), nil, []byte("fire and forget"))
	batch, _ := b.Build()
	if err := c.conn.send(wire.ProduceKey, 9, produceOne(name, 0, 0, 1000, batch), true); err != nil {
		c.lost(err)
	}
}

// sentBatch is a batch of one producer; base is -1 until it was acknowledged.
type sentBatch struct {
	records int32
	first   int32 // sequence
	base    int64
}

// simProducer is an idempotent producer with several requests in flight, to one partition.
type simProducer struct {
	*simClient
	partition int32
	id        ids.ProducerID
	epoch     ids.ProducerEpoch
	batches   []sentBatch
	acked     int // batches[:acked] are acknowledged
}

const simInFlight = 3

func (c *simClient) produce() {
	p := &simProducer{simClient: c, partition: int32(c.random.IntN(simPartitions))}
	for !c.topics[simTopic] {
		if c.ending {
			return
		}
		c.sim.NewSignal().WaitFor(10 * time.Millisecond)
	}
	var req wire.InitProducerIdRequest
	req.Default()
	req.TransactionalId = wire.NullString{}
	var resp wire.InitProducerIdResponse
	if !c.do(wire.InitProducerIdKey, 4, &req, &resp) {
		return
	}
	if resp.ErrorCode != wire.ErrorNone {
		c.failf("InitProducerId: %s", resp.ErrorCode.Name())
	}
	p.id, p.epoch = ids.ProducerID(resp.ProducerId), ids.ProducerEpoch(resp.ProducerEpoch)
	c.saw("producer %d", p.id)
	for p.acked < simBatches && !p.ending && p.connected() {
		if err := p.work(); err != nil {
			p.lost(err)
		}
	}
	p.probe()
}

// work serves one connection: again what may have been lost, and some of what was not, then new batches.
func (p *simProducer) work() error {
	// The broker remembers five batches: those in flight and two before.
	next := max(0, p.acked-p.random.IntN(simInFlight))
	var inFlight []int
	for p.acked < simBatches {
		if p.ending {
			return nil
		}
		for len(inFlight) < simInFlight && next < simBatches && next < p.acked+simInFlight {
			if next == len(p.batches) {
				p.batches = append(p.batches, sentBatch{records: int32(1 + p.random.IntN(4)), first: p.nextSequence(), base: -1})
			}
			if err := p.send(next); err != nil {
				return err
			}
			inFlight = append(inFlight, next)
			next++
		}
		if err := p.settle(inFlight[0]); err != nil {
			return err
		}
		inFlight = inFlight[1:]
		if len(inFlight) == 0 && p.random.IntN(3) == 0 {
			next = max(0, p.acked-1) // once more, though it was acknowledged
		}
	}
	return nil
}

func (p *simProducer) nextSequence() int32 {
	if len(p.batches) == 0 {
		return 0
	}
	last := p.batches[len(p.batches)-1]
	return last.first + last.records
}

func (p *simProducer) value(sequence int32) string { return fmt.Sprintf("%s/%d", p.name, sequence) }

func (p *simProducer) batch(epoch ids.ProducerEpoch, first, records int32) record.Batch {
	b := record.NewBuilder([]record.Codec{record.None, record.LZ4}[p.random.IntN(2)], record.DefaultLevel)
	b.Producer(p.id, epoch, first)
	for i := range records {
		b.Append(p.sim.Now().UnixMilli(), []byte(p.name), []byte(p.value(first+i)))
	}
	batch, err := b.Build()
	if err != nil {
		panic(err)
	}
	return batch
}

func (p *simProducer) send(n int) error {
	b := p.batches[n]
	timeoutMs := int32(10_000)
	if p.random.IntN(10) == 0 {
		timeoutMs = 1 // often less than a flush takes: the data stays all the same
	}
	return p.conn.send(wire.ProduceKey, 9, produceOne(simTopic, p.partition, -1, timeoutMs, p.batch(p.epoch, b.first, b.records)), false)
}

// settle reads the reply to batch n.
func (p *simProducer) settle(n int) error {
	var resp wire.ProduceResponse
	if err := p.conn.receive(&resp); err != nil {
		return err
	}
	answer := &resp.Responses[0].PartitionResponses[0]
	p.saw("%s %d: %s %d", p.name, n, answer.ErrorCode.Name(), answer.BaseOffset)
	b := &p.batches[n]
	switch {
	case answer.ErrorCode == wire.ErrorRequestTimedOut:
		return fmt.Errorf("batch %d timed out: it is sent again", n)
	case answer.ErrorCode != wire.ErrorNone:
		p.failf("%s: batch %d: %s %s", p.name, n, answer.ErrorCode.Name(), answer.ErrorMessage.Value)
	case b.base >= 0 && answer.BaseOffset != b.base:
		p.failf("%s: batch %d was acknowledged at offset %d and, sent again, at %d", p.name, n, b.base, answer.BaseOffset)
	case b.base < 0 && n != p.acked:
		p.failf("%s: batch %d was acknowledged before batch %d", p.name, n, p.acked)
	case b.base < 0:
		b.base = answer.BaseOffset
		p.acked++
		for i := range b.records {
			p.promised(p.partition, b.base+int64(i), promise{p.value(b.first + i), ids.NoLeaderEpoch})
		}
	}
	return nil
}

// promised notes, or checks, what lies at an offset.
func (w *world) promised(partition int32, offset int64, now promise) {
	before, known := w.records[partition][offset]
	switch {
	case known && before.value != now.value:
		w.failf("offset %d of partition %d held %q and now holds %q", offset, partition, before.value, now.value)
	case known && before.epoch >= 0 && now.epoch >= 0 && before.epoch != now.epoch:
		w.failf("offset %d of partition %d was of leader epoch %d and now is of %d", offset, partition, before.epoch, now.epoch)
	case known && now.epoch < 0:
		return
	}
	w.records[partition][offset] = now
}

// probe asks for Kafka's refusals: a gap in the sequence, and, after a bump of the epoch, the old one.
func (p *simProducer) probe() {
	next := p.nextSequence()
	for _, probe := range []struct {
		epoch ids.ProducerEpoch
		first int32
		want  wire.ErrorCode
	}{
		{p.epoch, next + 5, wire.ErrorOutOfOrderSequenceNumber},
		{p.epoch + 1, 0, wire.ErrorNone},
		{p.epoch, next, wire.ErrorInvalidProducerEpoch},
	} {
		var resp wire.ProduceResponse
		batch := p.batch(probe.epoch, probe.first, 1)
		for {
			if !p.do(wire.ProduceKey, 9, produceOne(simTopic, p.partition, -1, 10_000, batch), &resp) {
				return
			}
			if resp.Responses[0].PartitionResponses[0].ErrorCode != wire.ErrorRequestTimedOut {
				break
			}
		}
		if got := resp.Responses[0].PartitionResponses[0].ErrorCode; got != probe.want {
			p.failf("%s: epoch %d, sequence %d after %d batches: %s, want %s", p.name, probe.epoch, probe.first, len(p.batches), got.Name(), probe.want.Name())
		}
	}
}

// consume follows all partitions to the end of the simulation.
func (c *simClient) consume() {
	offsets := make([]int64, simPartitions)
	for !c.ending && c.connected() {
		if !c.topics[simTopic] {
			c.sim.NewSignal().WaitFor(10 * time.Millisecond)
			continue
		}
		if err := c.learnEpochs(); err != nil {
			c.lost(err)
			continue
		}
		known := c.high
		var resp wire.FetchResponse
		if err := c.conn.do(wire.FetchKey, 12, fetchOne(simTopic, offsets, 50), &resp); err != nil {
			c.lost(err)
			continue
		}
		c.check(&resp, offsets, known)
		if c.random.IntN(20) == 0 {
			clear(offsets) // once more from the start
		}
	}
}

// learnEpochs asks who leads: this start's epoch is above those of all earlier starts.
func (c *simClient) learnEpochs() error {
	start := int32(c.starts) // the connection belongs to it, or is broken
	var req wire.MetadataRequest
	req.Default()
	req.Topics = []wire.MetadataRequestTopic{{Name: wire.SomeString(simTopic)}}
	var resp wire.MetadataResponse
	if err := c.conn.do(wire.MetadataKey, 12, &req, &resp); err != nil {
		return err
	}
	for _, p := range resp.Topics[0].Partitions {
		last := &c.leading[p.PartitionIndex]
		if last.start > 0 && (p.LeaderEpoch < last.epoch || (p.LeaderEpoch == last.epoch) != (start == last.start)) {
			c.failf("start %d leads partition %d in epoch %d, start %d did in epoch %d", start, p.PartitionIndex, p.LeaderEpoch, last.start, last.epoch)
		}
		last.epoch, last.start = p.LeaderEpoch, start
	}
	return nil
}

// check compares a fetch with the promises, and moves on. known are the watermarks that somebody had seen before it was sent.
func (c *simClient) check(resp *wire.FetchResponse, offsets []int64, known [simPartitions]int64) {
	for i := range resp.Responses[0].Partitions {
		p := &resp.Responses[0].Partitions[i]
		n := p.PartitionIndex
		if p.ErrorCode != wire.ErrorNone {
			c.failf("%s: partition %d at %d: %s", c.name, n, offsets[n], p.ErrorCode.Name())
			return
		}
		c.saw("%s %d: watermark %d, %d bytes", c.name, n, p.HighWatermark, len(p.Records.Bytes))
		if p.HighWatermark < known[n] {
			c.failf("the watermark of partition %d went back from %d to %d", n, known[n], p.HighWatermark)
		}
		c.high[n] = max(c.high[n], p.HighWatermark)
		offsets[n] = c.read(n, offsets[n], p)
	}
}

// read checks the records of one partition and returns the offset after them.
func (c *simClient) read(n int32, from int64, p *wire.FetchResponsePartitionData) int64 {
	epoch := ids.NoLeaderEpoch
	for rest := p.Records.Bytes; len(rest) > 0; {
		var b record.Batch
		var err error
		if b, rest, err = record.Next(rest); err != nil {
			if errors.Is(err, record.ErrTruncated) {
				return from
			}
			c.failf("partition %d at %d: %v", n, from, err)
			return from
		}
		if b.ComputeCRC() != b.CRC() || b.LeaderEpoch() < epoch || b.LeaderEpoch() < 0 || int64(b.LastOffset()) >= p.HighWatermark {
			c.failf("partition %d: batch at %d to %d of epoch %d after epoch %d, below watermark %d, checksum right: %v",
				n, b.BaseOffset(), b.LastOffset(), b.LeaderEpoch(), epoch, p.HighWatermark, b.ComputeCRC() == b.CRC())
		}
		epoch = b.LeaderEpoch()
		it := b.Records(record.Limits{})
		for it.Next() {
			r := it.Record()
			if int64(r.Offset) < from {
				continue
			}
			if int64(r.Offset) != from {
				c.failf("partition %d: offset %d after %d", n, r.Offset, from-1)
			}
			c.promised(n, int64(r.Offset), promise{string(r.Value), epoch})
			from = int64(r.Offset) + 1
		}
		if err := it.Err(); err != nil {
			c.failf("partition %d: %v", n, err)
		}
		it.Close()
	}
	return from
}

// auditLog reads everything once more, from another client, and holds the log against all promises.
func (w *world) auditLog() {
	c := &simClient{world: w, name: "auditor", host: w.net.Host("auditor"), random: rand.New(rand.NewPCG(w.seed, 99))}
	w.appendInThisEpoch(c)
	offsets := make([]int64, simPartitions)
	for {
		before, known := slices.Clone(offsets), w.high
		var resp wire.FetchResponse
		if !c.do(wire.FetchKey, 12, fetchOne(simTopic, offsets, 100), &resp) {
			return
		}
		c.check(&resp, offsets, known)
		if w.ending || slices.Equal(before, offsets) {
			break
		}
	}
	defer c.conn.close()
	for n := range w.records {
		if w.ending {
			return
		}
		// Whatever was promised, was read: each offset below the end, and none above.
		for offset, is := range w.records[n] {
			if offset >= offsets[n] || is.epoch < 0 {
				w.failf("partition %d ends at %d: the record %q, acknowledged at offset %d, is lost", n, offsets[n], is.value, offset)
			}
		}
		count := map[string]int{}
		last := map[string]int64{}
		for offset := int64(0); offset < offsets[n]; offset++ {
			value := w.records[n][offset].value
			var producer string
			var sequence int64
			at := len(value) - 1
			for value[at] != '/' {
				at--
			}
			producer = value[:at]
			fmt.Sscan(value[at+1:], &sequence)
			if count[value]++; count[value] > 1 && producer != "auditor" && sequence != 0 {
				w.failf("partition %d, offset %d: %q is there twice", n, offset, value)
			}
			if before, ok := last[producer]; ok && sequence != before+1 && sequence != 0 {
				w.failf("partition %d, offset %d: %q follows number %d", n, offset, value, before)
			}
			last[producer] = sequence
		}
	}
	if w.topics[simTopic] == false {
		w.failf("the topic was never made")
	}
}

// appendInThisEpoch appends one more record to each partition, and promises it with the epoch in which this start leads.
func (w *world) appendInThisEpoch(c *simClient) {
	if !c.connected() {
		return
	}
	if err := c.learnEpochs(); err != nil {
		w.failf("metadata: %v", err)
		return
	}
	for n := range int32(simPartitions) {
		b := record.NewBuilder(record.None, record.DefaultLevel)
		b.Append(w.sim.Now().UnixMilli(), nil, []byte("auditor/0"))
		batch, _ := b.Build()
		var resp wire.ProduceResponse
		if !c.do(wire.ProduceKey, 9, produceOne(simTopic, n, -1, 60_000, batch), &resp) {
			return
		}
		answer := &resp.Responses[0].PartitionResponses[0]
		if answer.ErrorCode != wire.ErrorNone {
			w.failf("produce: %s", answer.ErrorCode.Name())
			return
		}
		w.promised(n, answer.BaseOffset, promise{"auditor/0", ids.LeaderEpoch(w.leading[n].epoch)})
	}
}

// slowDisk takes its time to sync, so that others run meanwhile.
type slowDisk struct {
	vfs.FS
	env    run.Env
	random *rand.Rand
}

func (d *slowDisk) wait() {
	if d.random.IntN(3) > 0 {
		d.env.NewSignal().WaitFor(time.Duration(d.random.IntN(4000)) * time.Microsecond)
	}
}

func (d *slowDisk) open(f vfs.File, err error) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	return &slowFile{f, d}, nil
}

func (d *slowDisk) Create(path string) (vfs.File, error) { return d.open(d.FS.Create(path)) }
func (d *slowDisk) Open(path string) (vfs.File, error)   { return d.open(d.FS.Open(path)) }
func (d *slowDisk) OpenReadOnly(path string) (vfs.File, error) {
	return d.open(d.FS.OpenReadOnly(path))
}

// SyncDir is as quick as any other operation: a roll waits for it with its log's lock, which a simulated goroutine must not hold while others take turns.
func (d *slowDisk) SyncDir(path string) error { return d.FS.SyncDir(path) }

func (d *slowDisk) SyncFS(path string) error            { d.wait(); return d.FS.SyncFS(path) }
func (d *slowDisk) Lock(path string) (io.Closer, error) { return d.FS.Lock(path) }

type slowFile struct {
	vfs.File
	disk *slowDisk
}

func (f *slowFile) Sync() error { f.disk.wait(); return f.File.Sync() }
