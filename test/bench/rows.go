package main

import (
	"fmt"
	"slices"
	"time"
)

// row is one workload in one durability mode.
type row struct {
	name, what, mode string
	partitions       int
	unit             string // what CPU is divided by: "GB", or "req", "record", "message"
	latency          bool
	brokersOnly      bool // its client speaks more of the protocol than the limit program does
	ottlaOnly        bool // so much that Kafka would need more than there is here
	// curve names the growth curve of which the row is the point at x.
	curve string
	x     int
	// prepare runs before the measurement, if set.
	prepare func(addr, topic string) error
	run     func(addr, topic string) (load, error)
}

func (r row) perGB() bool { return r.unit == "GB" }

// bulkRequests are batches of 1 KiB records that just fit into Kafka's default message.max.bytes, one a partition.
func bulkRequests(topic string, acks int16) []*request {
	batch, records := newBatch(0, 1024, 1<<20)
	requests := make([]*request, 6)
	for p := range requests {
		requests[p] = newRequest(topic, int32(p), acks, batch, records, 1024)
	}
	return requests
}

// smallRequests are one record of 1 KiB each, one a partition.
func smallRequests(topic string, acks int16, partitions int) []*request {
	batch, _ := newBatch(1, 1024, 0)
	requests := make([]*request, partitions)
	for p := range requests {
		requests[p] = newRequest(topic, int32(p), acks, batch, 1, 1024)
	}
	return requests
}

// batches are requests with batches of at most maxBytes, of records of a size, one for each partition; raw or compressed.
func batches(topic string, acks int16, partitions, size, maxBytes int, codec string) []*request {
	batch, records := newBatch(0, size, maxBytes)
	if codec != "" {
		var err error
		if batch, err = compressed(batch, codec); err != nil {
			panic(err) // of our own batch, by a codec that we name
		}
	}
	requests := make([]*request, partitions)
	for p := range requests {
		requests[p] = newRequest(topic, int32(p), acks, batch, records, size)
	}
	return requests
}

func rows(o options) []row {
	all := slices.Concat(produceRows(o), consumeRows(o), groupRows(o))
	if o.growth {
		all = append(all, growthRows(o)...)
	}
	return all
}

// flood writes requests with five in flight until the payload is spent.
func (o options) flood(name, what, mode string, requests func(topic string) []*request, partitions int, payload int64) row {
	return row{name: name, what: what, mode: mode, partitions: partitions, unit: "GB", run: func(addr, topic string) (load, error) {
		return pipelined(addr, requests(topic), 5, payload, 0)
	}}
}

func (o options) trips(name, what, mode string, connections, perSecond int) row {
	return o.tripsOver(1, name, what, mode, connections, perSecond)
}

// tripsOver spreads the producers of trips over partitions.
func (o options) tripsOver(partitions int, name, what, mode string, connections, perSecond int) row {
	return row{name: name, what: what, mode: mode, partitions: partitions, unit: "req", latency: true, run: func(addr, topic string) (load, error) {
		return roundTrips(addr, func(producer int) *request { return smallRequests(topic, -1, partitions)[producer%partitions] }, connections, perSecond, o.each)
	}}
}

// acksOf is the acknowledgement that a row asks for in a mode: in fsync mode the durable one.
func acksOf(mode string) int16 {
	if mode == "fsync" {
		return -1
	}
	return 1
}

func produceRows(o options) []row {
	bulk := func(mode string, acks int16) row {
		return o.flood("B1", fmt.Sprintf("bulk: 1 MiB batches of 1 KiB records, 5 in flight, 6 partitions, acks=%d", acks), mode,
			func(topic string) []*request { return bulkRequests(topic, acks) }, 6, o.payload)
	}
	small := func(mode string, maxBytes int) row {
		return o.flood("B2", fmt.Sprintf("small: %d KiB batches of 100-byte records, 5 in flight, 6 partitions, acks=%d", maxBytes>>10, acksOf(mode)), mode,
			func(topic string) []*request { return batches(topic, acksOf(mode), 6, 100, maxBytes, "") }, 6, o.payload/4)
	}
	packed := func(mode, codec string) row {
		batch, _ := newBatch(0, 1024, 128<<10) // half of it compresses away: about 64 KiB
		return o.flood("B8", fmt.Sprintf("compressed: %s, %d KiB of 1 KiB records a batch, 5 in flight, 6 partitions, acks=-1; per GB before compression", codec, len(batch)>>10), mode,
			func(topic string) []*request { return batches(topic, -1, 6, 1024, 128<<10, codec) }, 6, o.payload)
	}
	deep := func(mode string) row {
		return row{name: "B3b", what: "one 1 KiB record a request, 1 connection × 64 in flight, acks=all", mode: mode, partitions: 1, unit: "req",
			run: func(addr, topic string) (load, error) {
				return pipelined(addr, smallRequests(topic, -1, 1), 64, 0, o.each)
			}}
	}
	all := []row{
		bulk("replicated", 1), bulk("fsync", -1),
		small("replicated", 8<<10),
		o.trips("B3a", "one 1 KiB record a request, 1 connection × 1 in flight, acks=all", "replicated", 1, 0),
		deep("replicated"), deep("fsync"),
		o.trips("B3c", "one 1 KiB record a request, 100 connections × 1 in flight, acks=all", "replicated", 100, 0),
		o.trips("B4", "latency from the intended time, 1,000 a second, 1 in flight, acks=all", "replicated", 1, 1000),
		o.trips("B4", "latency from the intended time, 200 a second, 1 in flight, acks=all", "fsync", 1, 200),
		packed("replicated", "lz4"),
		o.trips("B9", "durable: 1 producer, 1 in flight, acks=all", "fsync", 1, 0),
		o.trips("B9", "durable: 16 producers, 1 in flight each, acks=all", "fsync", 16, 0),
		o.trips("B9", "durable: 128 producers, 1 in flight each, acks=all", "fsync", 128, 0),
	}
	if o.short {
		return all
	}
	librdkafka := func(name, mode, what string, size, batch int, payload int64) row {
		acks := "1"
		if mode == "fsync" {
			acks = "all"
		}
		return row{name: name, what: what + " by librdkafka's rdkafka_performance, acks=" + acks, mode: mode, partitions: 6, unit: "GB", brokersOnly: true,
			run: func(addr, topic string) (load, error) {
				return rdkafkaPerformance(addr, topic, acks, size, batch, payload)
			}}
	}
	for _, mode := range []string{"replicated", "fsync"} {
		all = append(all, librdkafka("B1c", mode, "bulk: 1 KiB records in batches of 1 MB", 1024, 1_000_000, o.payload),
			librdkafka("B2c", mode, "small: 100-byte records in batches of 8 KiB", 100, 8192, o.payload/4),
			packed(mode, "zstd"), packed(mode, "snappy"))
	}
	return append(all, packed("fsync", "lz4"), small("fsync", 8<<10), small("replicated", 16<<10), bulk("replicated", -1), bulk("fsync", 1),
		o.trips("B3a", "one 1 KiB record a request, 1 connection × 1 in flight, acks=all", "fsync", 1, 0),
		o.trips("B3c", "one 1 KiB record a request, 100 connections × 1 in flight, acks=all", "fsync", 100, 0),
		o.trips("B4", "latency from the intended time, 100 a second, 1 in flight, acks=all", "replicated", 1, 100),
		o.trips("B4", "latency from the intended time, 5,000 a second, 1 in flight, acks=all", "replicated", 1, 5000),
		o.trips("B9", "not durable: 1 producer, 1 in flight, acks=all", "replicated", 1, 0),
		o.trips("B9", "not durable: 16 producers, 1 in flight each, acks=all", "replicated", 16, 0),
		o.trips("B9", "not durable: 128 producers, 1 in flight each, acks=all", "replicated", 128, 0),
		o.tripsOver(100, "B9", "durable: 16 producers over 100 partitions, 1 in flight each, acks=all", "fsync", 16, 0),
		o.tripsOver(100, "B9", "durable: 128 producers over 100 partitions, 1 in flight each, acks=all", "fsync", 128, 0),
		o.steady("replicated", 6), o.steady("replicated", 9_000), o.steady("fsync", 6), o.steady("fsync", 9_000))
}

// steady is B11 in use: the same traffic over few and over many partitions, all of which hold something already. A request may create 9,999 partitions at most.
func (o options) steady(mode string, partitions int) row {
	const perSecond = 10_000_000
	requests := func(topic string) []*request { return batches(topic, acksOf(mode), partitions, 1024, 4<<10, "") }
	return row{name: "B11", what: fmt.Sprintf("10 MB/s in 4 KiB batches of 1 KiB records over %d partitions in turn, acks=%d", partitions, acksOf(mode)), mode: mode,
		partitions: partitions, unit: "GB", ottlaOnly: true,
		prepare: func(addr, topic string) error {
			all := requests(topic)
			return fill(addr, all, int64(len(all))*all[0].payload)
		},
		run: func(addr, topic string) (load, error) {
			all := requests(topic)
			n := int(o.each.Seconds() * perSecond / float64(all[0].payload))
			start := time.Now()
			err := paced(addr, all, n, func(i int) time.Time {
				return start.Add(time.Duration(float64(i) * float64(all[0].payload) / perSecond * float64(time.Second)))
			})
			return load{requests: int64(n), payload: int64(n) * all[0].payload, wall: time.Since(start)}, err
		}}
}

func consumeRows(o options) []row {
	latency := func(mode string, perSecond int) row {
		return row{name: "B5", what: fmt.Sprintf("end to end: 1 producer, 1 consumer, 1 KiB, %d a second, from the intended time, acks=%d", perSecond, acksOf(mode)), mode: mode,
			partitions: 1, unit: "message", latency: true, run: func(addr, topic string) (load, error) {
				return endToEnd(addr, smallRequests(topic, acksOf(mode), 1)[0], topic, perSecond, o.each)
			}}
	}
	spread := func(mode string, consumers int) row {
		return row{name: "B6", what: fmt.Sprintf("tail: 100 MB/s in 64 KiB batches to %d consumers; per GB delivered", consumers), mode: mode, partitions: 1, unit: "GB",
			run: func(addr, topic string) (load, error) {
				return fanOut(addr, topic, batches(topic, acksOf(mode), 1, 1024, 64<<10, ""), consumers, 100_000_000, o.each)
			}}
	}
	warm := func(mode string, maxBytes int) row {
		return row{name: "B7", what: fmt.Sprintf("catch-up: 6 partitions of 1 KiB records from the page cache, %d KiB of each a fetch", maxBytes>>10), mode: mode, partitions: 6, unit: "GB",
			prepare: func(addr, topic string) error { return fill(addr, batches(topic, -1, 6, 1024, 64<<10, ""), o.payload) },
			run: func(addr, topic string) (load, error) {
				return catchUp(addr, topic, batches(topic, -1, 6, 1024, 64<<10, ""), o.payload, int32(maxBytes))
			}}
	}
	cold := row{name: "B7c", what: "catch-up from the disk beside a producer of 50 MB/s in 64 KiB batches, 1 in flight; latencies are the producer's", mode: "replicated", partitions: 7, unit: "GB", latency: true,
		prepare: func(addr, topic string) error { return fill(addr, batches(topic, -1, 6, 1024, 64<<10, ""), o.payload) },
		run: func(addr, topic string) (load, error) {
			seven := batches(topic, -1, 7, 1024, 64<<10, "")
			return coldCatchUp(addr, topic, seven[:6], o.payload, seven[6], int(50_000_000/seven[6].payload))
		}}
	all := []row{latency("replicated", 1000), spread("replicated", 1), warm("replicated", 1<<20)}
	if o.short {
		return all
	}
	return append(all, latency("replicated", 20_000), latency("fsync", 200), latency("fsync", 1000), spread("replicated", 10), spread("fsync", 1), spread("fsync", 10),
		warm("replicated", 64<<10), warm("fsync", 1<<20), cold)
}

// sample is one system's round.
type sample struct {
	load
	used usage // between begin and end; rss and peak as at the end
}

func (s sample) cost(perGB bool) float64 {
	if perGB {
		return s.used.cpu.Seconds() / (float64(s.payload) / 1e9)
	}
	return float64(s.used.cpu.Microseconds()) / float64(s.requests)
}

func (s sample) percentile(p float64) float64 {
	if len(s.latencies) == 0 {
		return 0
	}
	return float64(s.latencies[min(len(s.latencies)-1, int(p*float64(len(s.latencies))))].Nanoseconds()) / 1000
}

func once(r row, s system) (sample, error) {
	addr, topic, err := s.fresh(r.mode, r.partitions)
	if err != nil {
		return sample{}, err
	}
	if r.prepare != nil {
		if err := r.prepare(addr, topic); err != nil {
			return sample{}, fmt.Errorf("prepare: %w", err)
		}
		if err := settle(s.pid()); err != nil {
			return sample{}, fmt.Errorf("prepare: %w", err)
		}
	}
	before, err := usageOf(s.pid())
	if err != nil {
		return sample{}, err
	}
	before.allocs = s.allocated()
	done, err := r.run(addr, topic)
	if err != nil {
		return sample{}, err
	}
	after, err := usageOf(s.pid())
	if err != nil {
		return sample{}, err
	}
	after.allocs = s.allocated() - before.allocs
	after.switches -= before.switches
	done = sorted(done)
	after.cpu -= before.cpu
	after.minFaults -= before.minFaults
	after.readCalls -= before.readCalls
	after.writeCalls -= before.writeCalls
	return sample{done, after}, nil
}

func measure(r row, systems []system, rounds int) (measured, error) {
	samples := make([][]sample, len(systems))
	for range rounds {
		for i, s := range systems {
			if r.brokersOnly && s.name() == "limit" || r.ottlaOnly && s.name() == "kafka" {
				continue
			}
			one, err := once(r, s)
			if err != nil {
				return measured{}, fmt.Errorf("%s: %w%s", s.name(), err, s.said())
			}
			samples[i] = append(samples[i], one)
		}
	}
	for _, s := range systems {
		if err := s.clear(); err != nil {
			return measured{}, fmt.Errorf("%s: %w", s.name(), err)
		}
	}
	m := measured{Name: r.name, What: r.what, Mode: r.mode, Unit: r.unit, Curve: r.curve, X: r.x}
	for i, s := range systems {
		if len(samples[i]) > 0 {
			m.Systems = append(m.Systems, figuresOf(r, s.name(), samples[i]))
		}
	}
	return m, nil
}

func sorted(l load) load {
	slices.Sort(l.latencies)
	return l
}

// spread is the median with minimum and maximum.
func spread(values []float64, format string) string {
	sorted := slices.Sorted(slices.Values(values))
	if len(sorted) == 0 {
		return "?" // a ratio to nothing: the load was too small to cost a tick of the other's clock
	}
	f := func(v float64) string { return fmt.Sprintf(format, v) }
	if len(sorted) == 1 {
		return f(sorted[0])
	}
	return fmt.Sprintf("%s (%s–%s)", f(sorted[len(sorted)/2]), f(sorted[0]), f(sorted[len(sorted)-1]))
}
