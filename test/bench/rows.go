package main

import (
	"fmt"
	"slices"
	"strings"
)

// row is one workload in one durability mode.
type row struct {
	name, what, mode string
	partitions       int
	perGB            bool // judged by CPU per GB, otherwise by CPU per request
	latency          bool
	brokersOnly      bool // its client speaks more of the protocol than the limit program does
	run              func(addr, topic string) (load, error)
}

// bulkRequests are batches of 1 KiB records that just fit into Kafka's default message.max.bytes, one a partition.
func bulkRequests(topic string, acks int16) []*request {
	batch, records := newBatch(0, 1024, 1<<20)
	requests := make([]*request, 6)
	for p := range requests {
		requests[p] = newRequest(topic, int32(p), acks, batch, records, 1024)
	}
	return requests
}

// smallRequests is one record of 1 KiB for partition 0.
func smallRequests(topic string, acks int16) []*request {
	batch, _ := newBatch(1, 1024, 0)
	return []*request{newRequest(topic, 0, acks, batch, 1, 1024)}
}

func rows(o options) []row {
	bulk := func(mode string, acks int16) row {
		return row{name: "B1", what: fmt.Sprintf("bulk: 1 MiB batches of 1 KiB records, 5 in flight, 6 partitions, acks=%d", acks), mode: mode, partitions: 6, perGB: true,
			run: func(addr, topic string) (load, error) {
				return pipelined(addr, bulkRequests(topic, acks), 5, o.payload, 0)
			}}
	}
	trips := func(name, what, mode string, connections, perSecond int, latency bool) row {
		return row{name: name, what: what, mode: mode, partitions: 1, latency: latency, run: func(addr, topic string) (load, error) {
			return roundTrips(addr, func(int) *request { return smallRequests(topic, -1)[0] }, connections, perSecond, o.each)
		}}
	}
	deep := func(mode string) row {
		return row{name: "B3b", what: "one 1 KiB record a request, 1 connection × 64 in flight, acks=all", mode: mode, partitions: 1,
			run: func(addr, topic string) (load, error) {
				return pipelined(addr, smallRequests(topic, -1), 64, 0, o.each)
			}}
	}
	all := []row{
		bulk("replicated", 1), bulk("fsync", -1),
		trips("B3a", "one 1 KiB record a request, 1 connection × 1 in flight, acks=all", "replicated", 1, 0, true),
		deep("replicated"), deep("fsync"),
		trips("B3c", "one 1 KiB record a request, 100 connections × 1 in flight, acks=all", "replicated", 100, 0, true),
		trips("B4", "latency from the intended time, 1,000 a second, 1 in flight, acks=all", "replicated", 1, 1000, true),
		trips("B4", "latency from the intended time, 200 a second, 1 in flight, acks=all", "fsync", 1, 200, true),
		trips("B9", "durable: 1 producer, 1 in flight, acks=all", "fsync", 1, 0, true),
		trips("B9", "durable: 16 producers, 1 in flight each, acks=all", "fsync", 16, 0, true),
		trips("B9", "durable: 128 producers, 1 in flight each, acks=all", "fsync", 128, 0, true),
	}
	librdkafka := func(mode, acks string) row {
		return row{name: "B1c", what: "the same by librdkafka's rdkafka_performance, acks=" + acks, mode: mode, partitions: 6, perGB: true, brokersOnly: true,
			run: func(addr, topic string) (load, error) { return rdkafkaPerformance(addr, topic, acks, o.payload) }}
	}
	if !o.short {
		all = append(all, librdkafka("replicated", "1"), librdkafka("fsync", "all"), bulk("replicated", -1), bulk("fsync", 1),
			trips("B3c", "one 1 KiB record a request, 100 connections × 1 in flight, acks=all", "fsync", 100, 0, true),
			trips("B4", "latency from the intended time, 5,000 a second, 1 in flight, acks=all", "replicated", 1, 5000, true),
			trips("B9", "not durable: 16 producers, 1 in flight each, acks=all", "replicated", 16, 0, true),
			trips("B9", "not durable: 128 producers, 1 in flight each, acks=all", "replicated", 128, 0, true))
	}
	return all
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
	before, err := usageOf(s.pid())
	if err != nil {
		return sample{}, err
	}
	done, err := r.run(addr, topic)
	if err != nil {
		return sample{}, err
	}
	after, err := usageOf(s.pid())
	if err != nil {
		return sample{}, err
	}
	slices.Sort(done.latencies)
	after.cpu -= before.cpu
	after.minFaults -= before.minFaults
	after.readCalls -= before.readCalls
	after.writeCalls -= before.writeCalls
	return sample{done, after}, nil
}

func measure(r row, systems []system, rounds int) error {
	samples := make([][]sample, len(systems))
	for range rounds {
		for i, s := range systems {
			if r.brokersOnly && s.name() == "limit" {
				continue
			}
			one, err := once(r, s)
			if err != nil {
				return fmt.Errorf("%s: %w%s", s.name(), err, s.said())
			}
			samples[i] = append(samples[i], one)
		}
	}
	for _, s := range systems {
		s.close() // its data directory too, before the next row
	}
	limit := slices.IndexFunc(systems, func(s system) bool { return s.name() == "limit" })
	fmt.Printf("\n%s %s [%s]\n", r.name, r.what, r.mode)
	for i, s := range systems {
		if len(samples[i]) == 0 {
			continue
		}
		fmt.Printf("  %-6s %s\n", s.name(), describe(r, samples[i], samples[limit], i == limit))
	}
	return nil
}

func describe(r row, own, limit []sample, isLimit bool) string {
	over := func(samples []sample, f func(sample) float64) []float64 {
		values := make([]float64, len(samples))
		for i, s := range samples {
			values[i] = f(s)
		}
		return values
	}
	var b strings.Builder
	cost := over(own, func(s sample) float64 { return s.cost(r.perGB) })
	if r.perGB {
		fmt.Fprintf(&b, "%s CPU-s/GB, %s MB/s", spread(cost, "%.2f"), spread(over(own, func(s sample) float64 { return float64(s.payload) / 1e6 / s.wall.Seconds() }), "%.0f"))
	} else {
		fmt.Fprintf(&b, "%s µs CPU/req, %s req/s", spread(cost, "%.1f"), spread(over(own, func(s sample) float64 { return float64(s.requests) / s.wall.Seconds() }), "%.0f"))
	}
	if r.latency {
		for _, p := range []struct {
			name string
			at   float64
		}{{"p50", 0.5}, {"p99", 0.99}, {"p99.9", 0.999}} {
			fmt.Fprintf(&b, ", %s %s", p.name, spread(over(own, func(s sample) float64 { return s.percentile(p.at) }), "%.0f"))
		}
		b.WriteString(" µs")
	}
	if !isLimit && len(limit) > 0 {
		ratios, rates := make([]float64, len(own)), make([]float64, len(own))
		for i := range own {
			ratios[i] = own[i].cost(r.perGB) / limit[i].cost(r.perGB)
			rates[i] = float64(own[i].payload) / own[i].wall.Seconds() / (float64(limit[i].payload) / limit[i].wall.Seconds())
		}
		fmt.Fprintf(&b, "; CPU %s × limit, rate %s × limit", spread(ratios, "%.2f"), spread(rates, "%.2f"))
	}
	last := own[len(own)-1]
	fmt.Fprintf(&b, "; per req %.2f reads %.2f writes %.3f faults; RSS %.0f MB", float64(last.used.readCalls)/float64(last.requests), float64(last.used.writeCalls)/float64(last.requests),
		float64(last.used.minFaults)/float64(last.requests), last.used.rssMB)
	return b.String()
}

// spread is the median with minimum and maximum.
func spread(values []float64, format string) string {
	sorted := slices.Sorted(slices.Values(values))
	f := func(v float64) string { return fmt.Sprintf(format, v) }
	if len(sorted) == 1 {
		return f(sorted[0])
	}
	return fmt.Sprintf("%s (%s–%s)", f(sorted[len(sorted)/2]), f(sorted[0]), f(sorted[len(sorted)-1]))
}
