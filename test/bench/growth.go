package main

import "fmt"

// growthRows show how cost grows: the same work over more partitions, and over more connections.
func growthRows(o options) (all []row) {
	payload := o.payload / 2
	add := func(r row, curve string, x int) {
		r.curve, r.x = curve, x
		all = append(all, r)
	}
	upTo1000, upTo100 := []int{1, 10, 100, 1000}, []int{1, 10, 100}
	for _, n := range upTo1000 {
		add(o.flood("G1", fmt.Sprintf("bulk over %d partitions: 64 KiB batches of 1 KiB records, 5 in flight, acks=1", n), "replicated",
			func(topic string) []*request { return batches(topic, 1, n, 1024, 64<<10, "") }, n, payload), "produce: CPU-s per GB by partitions", n)
	}
	for _, n := range upTo1000 {
		add(row{name: "G2", what: fmt.Sprintf("catch-up over %d partitions, at most 1 MiB of each a fetch", n), mode: "replicated", partitions: n, unit: "GB",
			prepare: func(addr, topic string) error { return fill(addr, batches(topic, -1, n, 1024, 64<<10, ""), payload) },
			run: func(addr, topic string) (load, error) {
				return catchUp(addr, topic, batches(topic, -1, n, 1024, 64<<10, ""), payload, 1<<20)
			}}, "consume: CPU-s per GB by partitions", n)
	}
	for _, mode := range []string{"replicated", "fsync"} {
		for _, n := range upTo1000 {
			add(o.trips("G3", fmt.Sprintf("one 1 KiB record a request, %d connections × 1 in flight, acks=all", n), mode, n, 0),
				"produce: CPU-µs per request by connections, "+mode, n)
		}
	}
	for _, mode := range []string{"replicated", "fsync"} {
		for _, n := range upTo1000 {
			add(row{name: "G4", what: fmt.Sprintf("one 1 KiB record a request over %d partitions in turn, 1 connection × 64 in flight, acks=all", n), mode: mode, partitions: n, unit: "req",
				run: func(addr, topic string) (load, error) {
					return pipelined(addr, smallRequests(topic, -1, n), 64, 0, o.each)
				}}, "produce: CPU-µs per request by partitions, "+mode, n)
		}
	}
	for _, n := range upTo100 {
		add(row{name: "G5", what: fmt.Sprintf("bulk over %d connections: 64 KiB batches of 1 KiB records over 6 partitions, 5 in flight each, acks=1", n), mode: "replicated", partitions: 6, unit: "GB",
			run: func(addr, topic string) (load, error) {
				return abreast(n, func() (load, error) {
					return pipelined(addr, batches(topic, 1, 6, 1024, 64<<10, ""), 5, payload/int64(n), 0)
				})
			}}, "produce: CPU-s per GB by connections", n)
	}
	for _, n := range upTo100 {
		share := payload / int64(n)
		add(row{name: "G6", what: fmt.Sprintf("catch-up by %d consumers of the same 6 partitions, at most 1 MiB of each a fetch; per GB delivered", n), mode: "replicated", partitions: 6, unit: "GB",
			prepare: func(addr, topic string) error { return fill(addr, batches(topic, -1, 6, 1024, 64<<10, ""), share) },
			run: func(addr, topic string) (load, error) {
				return abreast(n, func() (load, error) {
					return catchUp(addr, topic, batches(topic, -1, 6, 1024, 64<<10, ""), share, 1<<20)
				})
			}}, "consume: CPU-s per GB by consumers", n)
	}
	return all
}
