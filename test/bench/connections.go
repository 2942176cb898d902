package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/ottla-io/ottla/test/broker"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// B13: what connections cost that do nothing, and what they cost those that do.

// restAfter is when idle connections cost as little as they will: they rest after 5 s, and the runtime gives memory back bit by bit.
const restAfter = 15 * time.Second

// openConnections dials n connections, each of which has asked for ApiVersions and Metadata.
func openConnections(addr string, n int) (conns []net.Conn, err error) {
	versions, metadata := kmsg.NewPtrApiVersionsRequest(), kmsg.NewPtrMetadataRequest()
	versions.Version, versions.ClientSoftwareName, versions.ClientSoftwareVersion = 3, "bench", "1"
	metadata.Version, metadata.Topics = 9, []kmsg.MetadataRequestTopic{}
	format := kmsg.NewRequestFormatter(kmsg.FormatterClientID(clientID))
	frames := [][]byte{format.AppendRequest(nil, versions, 1), format.AppendRequest(nil, metadata, 2)}
	conns = make([]net.Conn, n)
	errs := make([]error, 16)
	var wg sync.WaitGroup
	for worker := range errs {
		wg.Add(1)
		go func() {
			defer wg.Done()
			var buf []byte
			for i := worker; i < n; i += len(errs) {
				conn, err := dial(addr)
				if err == nil {
					conns[i] = conn
					for _, frame := range frames {
						if _, err = conn.Write(frame); err == nil {
							buf, err = readResponse(conn, buf)
						}
						if err != nil {
							break
						}
					}
				}
				if err != nil {
					errs[worker] = fmt.Errorf("connection %d: %w", i, err)
					return
				}
			}
		}()
	}
	wg.Wait()
	return conns, errors.Join(errs...)
}

func closeConnections(conns []net.Conn) {
	for _, c := range conns {
		if c != nil {
			_ = c.Close()
		}
	}
}

// collect makes a broker's heap give back what it can: two collections.
func collect(b *broker.Broker, kind broker.Kind) error {
	for range 2 {
		if kind == broker.Kafka {
			if out, err := exec.Command("jcmd", fmt.Sprint(b.PID()), "GC.run").CombinedOutput(); err != nil {
				return fmt.Errorf("jcmd: %w: %s", err, out)
			}
			continue
		}
		if _, err := getAdmin(b, "/debug/pprof/heap?gc=1"); err != nil {
			return err
		}
	}
	return nil
}

func measureConnections(o options, root string, r *report) error {
	if !o.wants("B13") {
		return nil
	}
	n := 9_000 // the file limit here is 20,000, and accept needs room
	if o.short {
		n = 2_000
	}
	fmt.Printf("\nB13 connections that do nothing\n")
	for _, kind := range o.kinds() {
		if err := idleConnections(o, kind, root, n, r); err != nil {
			return fmt.Errorf("B13: %s: %w", kind, err)
		}
	}
	return nil
}

func idleConnections(o options, kind broker.Kind, root string, n int, r *report) error {
	b, err := broker.Start(broker.Config{Kind: kind, Dir: filepath.Join(root, "connections-"+string(kind)), FullHeap: true, Settings: map[string]string{"ottla.durability": "replicated"}})
	if err != nil {
		return err
	}
	defer b.Kill()
	if err := createTopic(b.Addr(), "busy", 1); err != nil {
		return err
	}
	busy := func() (p99 float64, err error) {
		done, err := roundTrips(b.Addr(), func(int) *request { return smallRequests("busy", -1, 1)[0] }, 1, 1000, time.Second)
		return sample{load: sorted(done)}.percentile(0.99), err
	}
	if _, err := busy(); err != nil { // warm
		return err
	}
	alone, err := busy()
	if err != nil {
		return err
	}
	if err := collect(b, kind); err != nil {
		return err
	}
	before, err := usageOf(b.PID())
	if err != nil {
		return err
	}
	inUseBefore := inUse(b, kind)
	begun := time.Now()
	conns, err := openConnections(b.Addr(), n)
	defer closeConnections(conns)
	if err != nil {
		return err
	}
	opened := time.Since(begun)
	time.Sleep(restAfter)
	if err := collect(b, kind); err != nil {
		return err
	}
	after, err := usageOf(b.PID())
	if err != nil {
		return err
	}
	inUseAfter := inUse(b, kind)
	time.Sleep(2 * time.Second)
	idle, err := usageOf(b.PID())
	if err != nil {
		return err
	}
	among, err := busy()
	if err != nil {
		return err
	}
	r.note("B13, %s: %d connections, idle for %v, take %.1f KiB each in use, %.1f KiB resident, after two collections; opened at %.0f a second; %.1f %% of a core while idle; a busy client's p99 is %.0f µs among them, %.0f µs alone",
		kind, n, restAfter, (inUseAfter-inUseBefore)/1024/float64(n), (after.rssMB-before.rssMB)*1024/float64(n), float64(n)/opened.Seconds(), 100*(idle.cpu-after.cpu).Seconds()/2, among, alone)
	if o.short {
		return nil
	}
	return slowConnections(b, kind, conns, r)
}

// slowConnections is what connections cost that are used once a second.
func slowConnections(b *broker.Broker, kind broker.Kind, conns []net.Conn, r *report) error {
	before, err := usageOf(b.PID())
	if err != nil {
		return err
	}
	slow, err := trickle(conns, smallRequests("busy", 1, 1)[0], trickleFor)
	if err != nil {
		return err
	}
	used, err := usageOf(b.PID())
	if err != nil {
		return err
	}
	one := sample{load: sorted(slow)}
	r.note("B13, %s: each of the %d produces one record a second for %v: %.1f µs of CPU a request, p50 %.0f, p99 %.0f µs from the intended time; resident %.0f MB",
		kind, len(conns), trickleFor, float64((used.cpu-before.cpu).Microseconds())/float64(slow.requests), one.percentile(0.5), one.percentile(0.99), used.rssMB)
	return nil
}

// trickleFor is how long connections are measured that are used once a second.
const trickleFor = 10 * time.Second

// trickle sends a request a second on each connection, evenly over the second; latency counts from the intended time.
func trickle(conns []net.Conn, r *request, limit time.Duration) (load, error) {
	const workers = 16
	var (
		wg    sync.WaitGroup
		parts [workers]load
		errs  [workers]error
	)
	start := time.Now().Add(50 * time.Millisecond)
	for worker := range workers {
		wg.Go(func() {
			part, buf, frame := &parts[worker], []byte(nil), slices.Clone(r.frame)
			for second := 0; time.Duration(second)*time.Second < limit; second++ {
				for i := worker; i < len(conns); i += workers {
					at := start.Add(time.Duration(second)*time.Second + time.Second*time.Duration(i)/time.Duration(len(conns)))
					waitUntil(at)
					binary.BigEndian.PutUint32(frame[8:], uint32(second))
					_, err := conns[i].Write(frame)
					if err == nil {
						buf, err = readResponse(conns[i], buf)
					}
					if err == nil {
						err = r.checkResponse(buf, uint32(second))
					}
					if err != nil {
						errs[worker] = err
						return
					}
					part.latencies = append(part.latencies, time.Since(at))
					part.requests++
				}
			}
		})
	}
	wg.Wait()
	all := load{wall: time.Since(start)}
	for i := range parts {
		all.requests += parts[i].requests
		all.latencies = append(all.latencies, parts[i].latencies...)
	}
	return all, errors.Join(errs[:]...)
}

// inUse is what Ottla's runtime holds that it could not give back: heap, stacks, and the runtime's own. 0 is unknown.
func inUse(b *broker.Broker, kind broker.Kind) (bytes float64) {
	if kind != broker.Ottla {
		return 0
	}
	text, err := getAdmin(b, "/metrics")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(text) {
		for _, part := range []string{"heap_inuse", "stack_inuse", "mspan_inuse", "mcache_inuse", "gc_sys", "other_sys"} {
			if value, ok := strings.CutPrefix(line, "go_memstats_"+part+"_bytes "); ok {
				n, _ := strconv.ParseFloat(strings.TrimSpace(value), 64)
				bytes += n
			}
		}
	}
	return bytes
}
