package main

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// The consuming half of the load: Fetch v11 frames over bare sockets. A consumer walks the batch headers of what it gets and counts records; offsets go on
// by what the headers say of counts, so that the limit program, which patches no offsets, can be read too.

// fetcher is one consumer of the first partitions of a topic.
type fetcher struct {
	conn    net.Conn
	in      *bufio.Reader
	frame   []byte
	offsets []int // where each partition's offset lies in frame
	next    []int64
	buf     []byte
	said    uint32
}

// newFetcher asks for at least one byte, for up to maxWait, and for up to maxBytes of each partition.
func newFetcher(addr, topic string, partitions int, maxBytes int32, maxWait time.Duration) (*fetcher, error) {
	conn, err := dial(addr)
	if err != nil {
		return nil, err
	}
	f := &fetcher{conn: conn, in: bufio.NewReaderSize(conn, 64<<10), next: make([]int64, partitions)}
	b := []byte{0, 0, 0, 0}
	b = binary.BigEndian.AppendUint16(b, 1) // Fetch
	b = binary.BigEndian.AppendUint16(b, 11)
	b = binary.BigEndian.AppendUint32(b, 0)
	b = binary.BigEndian.AppendUint16(b, uint16(len(clientID)))
	b = append(b, clientID...)
	b = binary.BigEndian.AppendUint32(b, 1<<32-1) // no replica
	b = binary.BigEndian.AppendUint32(b, uint32(maxWait.Milliseconds()))
	b = binary.BigEndian.AppendUint32(b, 1)
	b = binary.BigEndian.AppendUint32(b, 50<<20)
	b = append(b, 0)                              // read uncommitted
	b = binary.BigEndian.AppendUint32(b, 0)       // no session …
	b = binary.BigEndian.AppendUint32(b, 1<<32-1) // … and none wanted
	b = binary.BigEndian.AppendUint32(b, 1)
	b = binary.BigEndian.AppendUint16(b, uint16(len(topic)))
	b = append(b, topic...)
	b = binary.BigEndian.AppendUint32(b, uint32(partitions))
	for p := range partitions {
		b = binary.BigEndian.AppendUint32(b, uint32(p))
		b = binary.BigEndian.AppendUint32(b, 1<<32-1) // no leader epoch
		f.offsets = append(f.offsets, len(b))
		b = binary.BigEndian.AppendUint64(b, 0)
		b = binary.BigEndian.AppendUint64(b, 1<<64-1)
		b = binary.BigEndian.AppendUint32(b, uint32(maxBytes))
	}
	b = binary.BigEndian.AppendUint32(b, 0) // forgotten
	b = binary.BigEndian.AppendUint16(b, 0) // rack
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	f.frame = b
	return f, nil
}

func (f *fetcher) close() { _ = f.conn.Close() }

// fetch sends one request and reads its answer: the bytes and the records of all partitions.
func (f *fetcher) fetch() (bytes, records int64, err error) {
	binary.BigEndian.PutUint32(f.frame[8:], f.said)
	for p, at := range f.offsets {
		binary.BigEndian.PutUint64(f.frame[at:], uint64(f.next[p]))
	}
	if _, err := f.conn.Write(f.frame); err != nil {
		return 0, 0, err
	}
	head, err := f.read(4)
	if err != nil {
		return 0, 0, err
	}
	left := int(binary.BigEndian.Uint32(head))
	take := func(n int) ([]byte, error) {
		if left -= n; left < 0 {
			return nil, errors.New("fetch: the answer is shorter than its parts")
		}
		return f.read(n)
	}
	// correlation, throttle, error, session, one topic and its name
	if head, err = take(4 + 4 + 2 + 4 + 4); err != nil {
		return 0, 0, err
	}
	if got := binary.BigEndian.Uint32(head); got != f.said {
		return 0, 0, fmt.Errorf("fetch: answer %d where %d was due", got, f.said)
	}
	f.said++
	if code := binary.BigEndian.Uint16(head[8:]); code != 0 {
		return 0, 0, fmt.Errorf("fetch: error %d", code)
	}
	if topics := binary.BigEndian.Uint32(head[14:]); topics == 0 {
		return 0, 0, nil
	}
	if head, err = take(2); err != nil {
		return 0, 0, err
	}
	if head, err = take(int(binary.BigEndian.Uint16(head)) + 4); err != nil {
		return 0, 0, err
	}
	for range binary.BigEndian.Uint32(head[len(head)-4:]) {
		// partition, error, watermark, stable offset, log start, no aborted transactions, replica, size
		if head, err = take(4 + 2 + 8 + 8 + 8 + 4 + 4 + 4); err != nil {
			return 0, 0, err
		}
		partition := int(binary.BigEndian.Uint32(head))
		size := int(int32(binary.BigEndian.Uint32(head[38:])))
		if code := binary.BigEndian.Uint16(head[4:]); code != 0 || partition >= len(f.next) || size < 0 {
			return 0, 0, fmt.Errorf("fetch: partition %d: error %d, %d bytes", partition, code, size)
		}
		data, err := take(size)
		if err != nil {
			return 0, 0, err
		}
		whole, n := countRecords(data)
		f.next[partition] += n
		bytes, records = bytes+int64(whole), records+n
	}
	return bytes, records, nil
}

func (f *fetcher) read(n int) ([]byte, error) {
	if cap(f.buf) < n {
		f.buf = make([]byte, n+n/4)
	}
	p := f.buf[:n]
	_, err := io.ReadFull(f.in, p)
	return p, err
}

// countRecords walks the headers of whole batches.
func countRecords(data []byte) (whole int, records int64) {
	for len(data)-whole >= 61 {
		size := 12 + int(binary.BigEndian.Uint32(data[whole+8:]))
		if size > len(data)-whole {
			break
		}
		records += int64(binary.BigEndian.Uint32(data[whole+23:])) + 1
		whole += size
	}
	return whole, records
}

// endToEnd produces records one by one at a fixed pace and consumes them beside it; latency is from the intended time of sending to arrival.
func endToEnd(addr string, r *request, topic string, perSecond int, limit time.Duration) (load, error) {
	f, err := newFetcher(addr, topic, 1, 1<<20, 500*time.Millisecond)
	if err != nil {
		return load{}, err
	}
	defer f.close()
	total := int(limit.Seconds() * float64(perSecond))
	start := time.Now().Add(50 * time.Millisecond)
	intended := func(i int) time.Time { return start.Add(time.Duration(i) * time.Second / time.Duration(perSecond)) }
	produced := make(chan error, 1)
	go func() { produced <- paced(addr, []*request{r}, total, intended) }()
	done := load{latencies: make([]time.Duration, 0, total)}
	for len(done.latencies) < total {
		_, n, err := f.fetch()
		if err != nil {
			return load{}, err
		}
		now := time.Now()
		for range n {
			done.latencies = append(done.latencies, now.Sub(intended(len(done.latencies))))
		}
		if now.Sub(start) > limit+20*time.Second {
			return load{}, fmt.Errorf("end to end: %d of %d records arrived", len(done.latencies), total)
		}
	}
	done.wall = time.Since(start)
	done.requests, done.payload = int64(total), int64(total)*r.payload
	return done, <-produced
}

// paced sends n requests, those given in turn, each at its time or as soon after it as the connection takes it, and checks the answers.
func paced(addr string, requests []*request, n int, intended func(int) time.Time) error {
	conn, err := dial(addr)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	checked := make(chan error, 1)
	go func() {
		in, buf := bufio.NewReaderSize(conn, 64<<10), []byte(nil)
		for i := range n {
			var err error
			if buf, err = readResponse(in, buf); err == nil {
				err = requests[i%len(requests)].checkResponse(buf, uint32(i))
			}
			if err != nil {
				checked <- err
				_ = conn.Close() // ends the sender too
				return
			}
		}
		checked <- nil
	}()
	for i := range n {
		waitUntil(intended(i))
		frame := requests[i%len(requests)].frame
		binary.BigEndian.PutUint32(frame[8:], uint32(i))
		if _, err := conn.Write(frame); err != nil {
			return errors.Join(err, <-checked)
		}
	}
	return <-checked
}

// fanOut produces at a fixed rate and consumes it several times over; the payload is what was delivered.
func fanOut(addr, topic string, requests []*request, consumers, bytesPerSecond int, limit time.Duration) (load, error) {
	each := requests[0]
	n := int(limit.Seconds() * float64(bytesPerSecond) / float64(each.payload))
	start := time.Now().Add(50 * time.Millisecond)
	intended := func(i int) time.Time {
		return start.Add(time.Duration(float64(i) * float64(each.payload) / float64(bytesPerSecond) * float64(time.Second)))
	}
	failed := make(chan error, consumers+1)
	go func() { failed <- paced(addr, requests[:1], n, intended) }()
	for range consumers {
		go func() { failed <- consumeAll(addr, topic, 1, 1<<20, int64(n*each.records)) }()
	}
	var first error
	for range consumers + 1 {
		if err := <-failed; err != nil && first == nil {
			first = err
		}
	}
	return load{requests: int64(n * consumers), payload: int64(n*consumers) * each.payload, wall: time.Since(start)}, first
}

func consumeAll(addr, topic string, partitions int, maxBytes int32, records int64) error {
	f, err := newFetcher(addr, topic, partitions, maxBytes, 500*time.Millisecond)
	if err != nil {
		return err
	}
	defer f.close()
	empty := 0
	for records > 0 {
		_, n, err := f.fetch()
		if err != nil {
			return err
		}
		if records -= n; n == 0 {
			if empty++; empty > 40 {
				return fmt.Errorf("consume: nothing more comes, and %d records are missing", records)
			}
		} else {
			empty = 0
		}
	}
	return nil
}

// fill writes that much payload, which is not part of a measurement.
func fill(addr string, requests []*request, payload int64) error {
	_, err := pipelined(addr, requests, 5, payload, 0)
	return err
}

// filled is how many records fill has written.
func filled(requests []*request, payload int64) (records, bytes int64) {
	for i := 0; bytes < payload; i++ {
		r := requests[i%len(requests)]
		records, bytes = records+int64(r.records), bytes+r.payload
	}
	return records, bytes
}

// catchUp consumes what fill wrote, from the start.
func catchUp(addr, topic string, requests []*request, payload int64, maxBytes int32) (load, error) {
	records, bytes := filled(requests, payload)
	start := time.Now()
	err := consumeAll(addr, topic, len(requests), maxBytes, records)
	return load{requests: records, payload: bytes, wall: time.Since(start)}, err
}

// coldCatchUp is catchUp of what lies on the disk only, while a producer writes at a steady pace; the latencies are that producer's.
func coldCatchUp(addr, topic string, requests []*request, payload int64, beside *request, perSecond int) (load, error) {
	unix.Sync()
	if err := os.WriteFile("/proc/sys/vm/drop_caches", []byte("1"), 0o200); err != nil {
		return load{}, fmt.Errorf("drop the page cache: %w", err)
	}
	var (
		wg       sync.WaitGroup
		scan     load
		scanErr  error
		produced load
	)
	wg.Add(1)
	stop := make(chan struct{})
	go func() {
		defer wg.Done()
		defer close(stop)
		scan, scanErr = catchUp(addr, topic, requests, payload, 1<<20)
	}()
	produced, err := roundTripsUntil(addr, beside, perSecond, stop)
	wg.Wait()
	scan.latencies = produced.latencies
	return scan, errors.Join(scanErr, err)
}

// roundTripsUntil is one paced producer with one request in flight.
func roundTripsUntil(addr string, r *request, perSecond int, stop <-chan struct{}) (load, error) {
	conn, err := dial(addr)
	if err != nil {
		return load{}, err
	}
	defer func() { _ = conn.Close() }()
	var done load
	in, buf := bufio.NewReaderSize(conn, 4<<10), []byte(nil)
	start := time.Now()
	for i := 0; ; i++ {
		select {
		case <-stop:
			done.wall = time.Since(start)
			return done, nil
		default:
		}
		begin := start.Add(time.Duration(i) * time.Second / time.Duration(perSecond))
		waitUntil(begin)
		binary.BigEndian.PutUint32(r.frame[8:], uint32(i))
		if _, err := conn.Write(r.frame); err != nil {
			return done, err
		}
		if buf, err = readResponse(in, buf); err == nil {
			err = r.checkResponse(buf, uint32(i))
		}
		if err != nil {
			return done, err
		}
		done.latencies = append(done.latencies, time.Since(begin))
		done.requests++
	}
}
