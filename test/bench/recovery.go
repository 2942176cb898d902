package main

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/ottla-io/ottla/test/broker"
)

// measureRecovery is B12c: a gigabyte in 100 partitions, killed while more is written, until the next process takes a batch and gives one out.
func measureRecovery(o options, root string, report *report) error {
	if !o.wants("B12") || !o.ottla {
		return nil
	}
	const partitions = 100
	payload, rounds := int64(1<<30), o.rounds
	if o.short {
		payload, rounds = 256<<20, 1
	}
	fmt.Printf("\nB12c killed with %d MB in %d partitions, under load, batches of 16 KiB\n", payload>>20, partitions)
	for _, mode := range []string{"fsync", "replicated"} {
		var ready, again, readMB []float64
		for range rounds {
			r, err := killUnderLoad(root, mode, partitions, payload)
			if err != nil {
				return fmt.Errorf("B12c (%s): %w", mode, err)
			}
			ready, again, readMB = append(ready, ms(r.ready)), append(again, ms(r.again)), append(readMB, r.readMB)
		}
		report.note("B12c, killed with %d MB in %d partitions, under load [%s]: ready after %s ms, having read %s MB; killed again at rest, after %s ms", payload>>20, partitions, mode, spread(ready, "%.0f"), spread(readMB, "%.0f"), spread(again, "%.0f"))
	}
	return nil
}

type recovered struct {
	ready, again time.Duration
	readMB       float64
}

func killUnderLoad(root, mode string, partitions int, payload int64) (recovered, error) {
	var r recovered
	dir, err := os.MkdirTemp(root, "killed-")
	if err != nil {
		return r, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	b, err := broker.Start(broker.Config{Kind: broker.Ottla, Dir: dir, Settings: map[string]string{"ottla.durability": mode}})
	if err != nil {
		return r, err
	}
	defer b.Kill()
	const topic = "killed"
	if err := createTopic(b.Addr(), topic, partitions); err != nil {
		return r, err
	}
	batch, records := newBatch(0, 1024, 16<<10)
	requests := make([]*request, partitions)
	acks := int16(-1)
	if mode == "replicated" {
		acks = 1 // what was acknowledged is not flushed, and all of it is looked at
	}
	for p := range requests {
		requests[p] = newRequest(topic, int32(p), acks, batch, records, 1024)
	}
	const inFlight = 256
	if _, err := pipelined(b.Addr(), requests, inFlight, payload, 0); err != nil {
		return r, err
	}
	more := make(chan error, 1)
	go func() {
		_, err := pipelined(b.Addr(), requests, inFlight, 0, time.Minute)
		more <- err
	}()
	time.Sleep(500 * time.Millisecond)
	b.Kill()
	if err := <-more; err == nil {
		return r, errors.New("the load did not notice the kill")
	}
	serves := func(addr string) bool { return producesAndFetches(addr, topic) }
	if r.ready, err = b.RestartTimed(serves); err != nil {
		return r, err
	}
	r.readMB = lineValue(b.PID(), "io", "rchar:") / 1e6
	b.Kill()
	r.again, err = b.RestartTimed(serves)
	return r, err
}
