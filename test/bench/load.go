package main

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ottla-io/ottla/test/broker"
	"golang.org/x/sys/unix"
)

// load is what a generator did: requests acknowledged, payload, the time it took, and the latency of each request where it was asked for.
type load struct {
	requests  int64
	payload   int64
	wall      time.Duration
	latencies []time.Duration
}

// pipelined sends the requests in turn over one connection with at most inFlight unanswered, until the payload or the time is spent.
func pipelined(addr string, requests []*request, inFlight int, payload int64, limit time.Duration) (load, error) {
	conn, err := dial(addr)
	if err != nil {
		return load{}, err
	}
	defer func() { _ = conn.Close() }()
	var (
		sent   = make(chan *request, inFlight)
		slots  = make(chan struct{}, inFlight)
		failed = make(chan error, 1)
		done   load
	)
	start := time.Now()
	go func() {
		in, buf := bufio.NewReaderSize(conn, 64<<10), []byte(nil)
		correlation := uint32(0)
		for r := range sent {
			var err error
			if buf, err = readResponse(in, buf); err == nil {
				err = r.checkResponse(buf, correlation)
			}
			if err != nil {
				failed <- err
				return
			}
			correlation++
			done.requests++
			done.payload += r.payload
			<-slots
		}
		failed <- nil
	}()
	var total int64
	// Small requests are written together, as a client with many of them in flight does.
	out := bufio.NewWriterSize(conn, 64<<10)
	for i := 0; ; i++ {
		if (payload > 0 && total >= payload) || (limit > 0 && time.Since(start) >= limit) {
			break
		}
		select {
		case slots <- struct{}{}:
		default:
			if err := out.Flush(); err != nil {
				return load{}, err
			}
			select {
			case slots <- struct{}{}:
			case err := <-failed:
				return load{}, err
			}
		}
		r := requests[i%len(requests)]
		binary.BigEndian.PutUint32(r.frame[8:], uint32(i))
		if _, err := out.Write(r.frame); err != nil {
			return load{}, err
		}
		sent <- r
		total += r.payload
	}
	if err := out.Flush(); err != nil {
		return load{}, err
	}
	close(sent)
	err = <-failed
	done.wall = time.Since(start)
	return done, err
}

// abreast runs n of the same load at once, and adds them up.
func abreast(n int, run func() (load, error)) (load, error) {
	var (
		wg    sync.WaitGroup
		mu    sync.Mutex
		first error
		all   load
	)
	start := time.Now()
	for range n {
		wg.Add(1)
		go func() {
			defer wg.Done()
			part, err := run()
			mu.Lock()
			defer mu.Unlock()
			if first == nil {
				first = err
			}
			all.requests += part.requests
			all.payload += part.payload
		}()
	}
	wg.Wait()
	all.wall = time.Since(start)
	return all, first
}

// roundTrips runs connections producers, each with one request in flight, for the given time. With perSecond > 0 each producer sends at its
// share of that rate and latency counts from the intended time; otherwise back to back.
func roundTrips(addr string, of func(producer int) *request, connections, perSecond int, limit time.Duration) (load, error) {
	var (
		wg    sync.WaitGroup
		mu    sync.Mutex
		first error
		all   load
		stop  atomic.Bool
		gate  = newGate(connections)
	)
	for producer := range connections {
		wg.Add(1)
		go func() {
			defer wg.Done()
			part, err := roundTripsOf(addr, of(producer), gate, &stop, perSecond/connections, limit)
			mu.Lock()
			defer mu.Unlock()
			if err != nil && first == nil {
				first = err
				stop.Store(true)
			}
			all.requests += part.requests
			all.payload += part.payload
			all.wall = max(all.wall, part.wall)
			all.latencies = append(all.latencies, part.latencies...)
		}()
	}
	wg.Wait()
	return all, first
}

// gate lets all producers begin together, once each is connected.
type gate struct{ wg sync.WaitGroup }

func newGate(n int) *gate {
	g := &gate{}
	g.wg.Add(n)
	return g
}

func (g *gate) pass() { g.wg.Done(); g.wg.Wait() }

func roundTripsOf(addr string, r *request, g *gate, stop *atomic.Bool, perSecond int, limit time.Duration) (load, error) {
	conn, err := dial(addr)
	if err != nil {
		g.wg.Done()
		return load{}, err
	}
	defer func() { _ = conn.Close() }()
	var (
		done load
		buf  []byte
		in   = bufio.NewReaderSize(conn, 4<<10)
	)
	done.latencies = make([]time.Duration, 0, 1<<16)
	g.pass()
	start := time.Now()
	for i := uint32(0); !stop.Load(); i++ {
		begin := time.Now()
		if perSecond > 0 {
			begin = start.Add(time.Duration(i) * time.Second / time.Duration(perSecond))
			waitUntil(begin)
		}
		if begin.Sub(start) >= limit {
			break
		}
		binary.BigEndian.PutUint32(r.frame[8:], i)
		if _, err := conn.Write(r.frame); err != nil {
			return done, err
		}
		if buf, err = readResponse(in, buf); err != nil {
			return done, err
		}
		if err := r.checkResponse(buf, i); err != nil {
			return done, err
		}
		done.latencies = append(done.latencies, time.Since(begin))
		done.requests++
		done.payload += r.payload
	}
	done.wall = time.Since(start)
	return done, nil
}

// waitUntil sleeps in the kernel to just before t and spins the rest. Go's own timers are no use here: an idle runtime waits in whole milliseconds.
func waitUntil(t time.Time) {
	if d := time.Until(t) - 200*time.Microsecond; d > 0 {
		ts := unix.NsecToTimespec(d.Nanoseconds())
		_ = unix.Nanosleep(&ts, nil)
	}
	for time.Now().Before(t) {
		runtime.Gosched()
	}
}

// rdkafkaPerformance lets librdkafka's own load generator write that much payload; its time is the whole process's.
func rdkafkaPerformance(addr, topic, acks string, size, batch int, payload int64) (load, error) {
	if acks == "all" {
		acks = "-1"
	}
	n := payload / int64(size)
	start := time.Now()
	out, err := exec.Command(filepath.Join(broker.Cache(), "rdkafka_performance"), "-P", "-t", topic, "-s", fmt.Sprint(size), "-c", fmt.Sprint(n), "-a", acks, "-b", addr, "-q",
		"-X", fmt.Sprintf("batch.size=%d", batch), "-X", "linger.ms=5", "-X", "max.in.flight=5", "-X", "batch.num.messages=1000000").CombinedOutput()
	if err != nil {
		return load{}, fmt.Errorf("rdkafka_performance: %w\n%s", err, out)
	}
	return load{requests: n, payload: n * int64(size), wall: time.Since(start)}, nil
}
