package server

import (
	"bytes"
	"fmt"
	"io"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/ottla-io/ottla/internal/api"
	"github.com/ottla-io/ottla/internal/run"
	"github.com/ottla-io/ottla/internal/transport"
	"github.com/ottla-io/ottla/internal/wire"
)

// The handlers of these tests allocate nothing, nor do the clients, so that what is measured is the server's.

// memoryRegion is a region of the endless pattern, one for all requests.
type memoryRegion struct{ size int }

func (m *memoryRegion) Size() int                    { return m.size }
func (m *memoryRegion) Source() (io.ReaderAt, int64) { return zeros{}, 0 }
func (m *memoryRegion) Release()                     {}

type zeros struct{}

func (zeros) ReadAt(p []byte, _ int64) (int, error) {
	clear(p)
	return len(p), nil
}

// quietPending parks without allocation: woken by the handler itself, so that Finish runs at the end of the batch.
type quietPending struct{}

func (quietPending) Finish(r *api.Request) api.Outcome {
	r.Reply.Buf = append(r.Reply.Buf, "done"...)
	return api.Replied
}
func (quietPending) Cancel() {}

func spliceAt(at int, region wire.Region) wire.Splice { return wire.Splice{At: at, Region: region} }

func quietRig(t testing.TB) *rig {
	r := newRig(t, Limits{})
	r.fakes.table[parkKey].Handle = func(q *api.Request) api.Outcome {
		q.Pending = quietPending{}
		q.Wake()
		return api.Parked
	}
	return r
}

// exchange sends a pack of requests and reads what must come back, without allocating.
func exchange(t testing.TB, c transport.Conn, pack, reply []byte) {
	if _, err := c.Write(pack); err != nil {
		t.Fatal(err)
	}
	for got := 0; got < len(reply); {
		n, err := c.Read(reply[got:])
		if err != nil {
			t.Fatal(err)
		}
		got += n
	}
}

func TestWarmRequestsAllocateNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("sync.Pool forgets at random under the race detector")
	}
	for _, test := range []struct {
		name  string
		pack  []byte
		reply int
		count float64
	}{
		{"echo", request(echoKey, 1, make([]byte, 100)), 108, 1},
		{"echo pipelined", bytes.Repeat(request(echoKey, 1, make([]byte, 100)), 50), 50 * 108, 50},
		{"parked", request(parkKey, 1, []byte{0}), 12, 1},
		{"parked pipelined", bytes.Repeat(request(parkKey, 1, []byte{0}), 50), 50 * 12, 50},
		{"large frame", request(echoKey, 1, make([]byte, 100<<10)), 8 + 100<<10, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := quietRig(t)
			defer r.stop()
			c := r.dial()
			defer c.Close()
			reply := make([]byte, test.reply)
			exchange(t, c, test.pack, reply)
			allocations := testing.AllocsPerRun(200, func() { exchange(t, c, test.pack, reply) })
			t.Logf("%.3f allocations a request", allocations/test.count)
			if allocations/test.count > 0.1 {
				t.Errorf("%.2f allocations a request, want none", allocations/test.count)
			}
		})
	}
}

// TestWakeByOthersAllocatesNothing: a parked request that another goroutine wakes leaves by a writer goroutine.
func TestWakeByOthersAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("sync.Pool forgets at random under the race detector")
	}
	r := newRig(t, Limits{})
	defer r.stop()
	parked := make(chan *api.Request, 1)
	r.fakes.table[parkKey].Handle = func(q *api.Request) api.Outcome {
		q.Pending = quietPending{}
		parked <- q
		return api.Parked
	}
	c := r.dial()
	defer c.Close()
	wakers := run.NewGroup(r.env)
	wakers.Go("waker", func() {
		for q := range parked {
			q.Wake()
		}
	})
	defer wakers.Close()
	defer close(parked)
	pack, reply := request(parkKey, 1, nil), make([]byte, 12)
	allocations := testing.AllocsPerRun(500, func() { exchange(t, c, pack, reply) })
	t.Logf("%.2f allocations a request", allocations)
	if allocations > 0.1 {
		t.Errorf("%.1f allocations a request, want none", allocations)
	}
}

// TestIdleConnectionIsSmall: an idle connection holds no buffer, and once it rests the server's end of it takes less than 5 KiB. What is
// measured is both ends; the client's is a socket without a goroutine, below 1 KiB.
func TestIdleConnectionIsSmall(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector's memory is not ours")
	}
	const connections, bound = 400, 5<<10 + 512
	r := newRig(t, Limits{RestTime: 20 * time.Millisecond})
	defer r.stop()
	pack, reply := request(echoKey, 1, make([]byte, 1000)), make([]byte, 1008)
	open := make([]transport.Conn, 0, 2*connections)
	defer func() {
		for _, c := range open {
			c.Close()
		}
	}()
	grow := func() {
		for range connections {
			c := r.dial()
			open = append(open, c)
			exchange(t, c, pack, reply)
		}
		r.await("all rest", func() bool { return r.server.Stats().MemoryUsed == 0 && r.resting() == len(open) })
	}
	grow() // pools and tables have their size now
	before := memoryInUse()
	grow()
	each := (memoryInUse() - before) / connections
	t.Logf("%d bytes for both ends of an idle connection", each)
	if each > bound {
		t.Errorf("both ends of an idle connection take %d bytes, want at most %d", each, bound)
	}
	if _, kept := r.server.buffers.account(); kept > 4*readBytes {
		t.Errorf("%d bytes of buffers were needed for one request at a time", kept)
	}
}

func memoryInUse() int64 {
	runtime.GC()
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapInuse + stats.StackInuse)
}

func processCPU(b *testing.B) time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// cpuPer reports the CPU of both ends: the client shares our process and costs about as many system calls.
func cpuPer(b *testing.B, what string, count int, body func()) {
	before := processCPU(b)
	body()
	b.ReportMetric(float64(processCPU(b)-before)/float64(time.Microsecond)/float64(count), "cpu-µs/"+what)
}

func BenchmarkRoundTrip(b *testing.B) {
	for _, inFlight := range []int{1, 64} {
		b.Run(fmt.Sprintf("%d in flight", inFlight), func(b *testing.B) {
			r := quietRig(b)
			defer r.stop()
			c := r.dial()
			defer c.Close()
			pack, reply := bytes.Repeat(request(echoKey, 1, make([]byte, 100)), inFlight), make([]byte, 108*inFlight)
			b.ReportAllocs()
			cpuPer(b, "request", b.N, func() {
				for left := b.N; left > 0; left -= inFlight {
					exchange(b, c, pack, reply)
				}
			})
		})
	}
}

// BenchmarkLargeFrames sends frames of 1 MiB, five in flight, to a handler that answers with four bytes.
func BenchmarkLargeFrames(b *testing.B) {
	const size = 1 << 20
	r := quietRig(b)
	defer r.stop()
	c := r.dial()
	defer c.Close()
	pack := request(parkKey, 1, make([]byte, size))
	replies := run.NewGroup(r.env)
	window := make(chan struct{}, 5)
	b.SetBytes(size)
	b.ReportAllocs()
	cpuPer(b, "MiB", b.N, func() {
		replies.Go("reader", func() {
			reply := make([]byte, 12)
			for range b.N {
				if _, err := io.ReadFull(c, reply); err != nil {
					b.Error(err)
					return
				}
				<-window
			}
		})
		for range b.N {
			window <- struct{}{}
			mustWrite(b, c, pack)
		}
		replies.Close()
	})
}

// BenchmarkRegion is what smallRegionBytes is decided by: below it a region is read and written, above it SendFile has it.
func BenchmarkRegion(b *testing.B) {
	for _, size := range []int{4 << 10, 16 << 10, 64 << 10, 65 << 10, 256 << 10, 1 << 20} {
		b.Run(fmt.Sprintf("%d KiB", size>>10), func(b *testing.B) {
			r := quietRig(b)
			defer r.stop()
			region := &memoryRegion{size}
			r.fakes.table[regionKey].Handle = func(q *api.Request) api.Outcome {
				q.Reply.Splices = append(q.Reply.Splices, spliceAt(len(q.Reply.Buf), region))
				return api.Replied
			}
			c := r.dial()
			defer c.Close()
			pack, reply := request(regionKey, 1, nil), make([]byte, 8+size)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			cpuPer(b, "reply", b.N, func() {
				for range b.N {
					exchange(b, c, pack, reply)
				}
			})
		})
	}
}
