package ottla

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ottla-io/ottla/internal/record"
	"github.com/ottla-io/ottla/internal/run"
	"github.com/ottla-io/ottla/internal/transport"
	"github.com/ottla-io/ottla/internal/vfs"
	"github.com/ottla-io/ottla/internal/wire"
)

// The tests of this file give a broker a bad disk, and look at it as a client does: over a socket, by Kafka's codes.

// onDisk is a broker on a disk in memory, with faults in between, and what it logged.
type onDisk struct {
	*Broker
	mem     *vfs.Mem
	faults  *vfs.Fault
	log     *lines
	clients []*wireClient
}

// lines collects what is logged, a line each.
type lines struct {
	mu  sync.Mutex
	all []string
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, string(p))
	return len(p), nil
}

// with are the lines that contain text.
func (l *lines) with(text string) (found []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, line := range l.all {
		if strings.Contains(line, text) {
			found = append(found, line)
		}
	}
	return found
}

func diskConfig(log io.Writer) Config {
	return Config{DataDir: "data", NodeID: 1, Admin: "127.0.0.1:0", Logger: slog.New(slog.NewTextHandler(log, nil))}
}

func startOnDisk(t *testing.T, mem *vfs.Mem) *onDisk {
	t.Helper()
	d := &onDisk{mem: mem, faults: vfs.NewFault(mem), log: new(lines)}
	var err error
	d.Broker, err = startWith(diskConfig(d.log), doors{env: run.OS(), disk: d.faults, network: transport.OS()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.stopNow() })
	return d
}

// stopNow closes the clients and the broker.
func (d *onDisk) stopNow() error {
	for _, c := range d.clients {
		c.close()
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	return d.Close(ctx)
}

// session is a wireClient that fails the test where the connection does.
type session struct {
	t *testing.T
	*wireClient
}

func (d *onDisk) connect(t *testing.T) session {
	t.Helper()
	client, err := dialWire(transport.OS(), d.Addr())
	if err != nil {
		t.Fatal(err)
	}
	d.clients = append(d.clients, client)
	return session{t, client}
}

func (s session) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s session) create(topic string, partitions int32) wire.ErrorCode {
	s.t.Helper()
	var resp wire.CreateTopicsResponse
	s.must(s.do(wire.CreateTopicsKey, 7, createOne(topic, partitions), &resp))
	return resp.Topics[0].ErrorCode
}

// commit commits an offset in each of n partitions, and tells the code of the first. It waits while there is no coordinator yet.
func (s session) commit(group, topic string, n int32, offset int64) wire.ErrorCode {
	s.t.Helper()
	find := wire.FindCoordinatorRequest{CoordinatorKeys: []string{group}}
	var found wire.FindCoordinatorResponse
	deadline := time.Now().Add(10 * time.Second)
	for {
		s.must(s.do(wire.FindCoordinatorKey, 4, &find, &found))
		if found.Coordinators[0].ErrorCode == wire.ErrorNone {
			break
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("no coordinator: %s", found.Coordinators[0].ErrorCode.Name())
		}
	}
	for {
		var resp wire.OffsetCommitResponse
		s.must(s.do(wire.OffsetCommitKey, 8, commitOf(group, topic, n, offset), &resp))
		code := resp.Topics[0].Partitions[0].ErrorCode
		loading := code == wire.ErrorCoordinatorLoadInProgress || code == wire.ErrorNotCoordinator // it has just been made
		if !loading || time.Now().After(deadline) {
			return code
		}
	}
}

func (s session) remove(topic string) wire.ErrorCode {
	s.t.Helper()
	req := &wire.DeleteTopicsRequest{TimeoutMs: 30_000, TopicNames: []string{topic}}
	var resp wire.DeleteTopicsResponse
	s.must(s.do(wire.DeleteTopicsKey, 5, req, &resp))
	return resp.Responses[0].ErrorCode
}

func oneRecord(t *testing.T, value string) record.Batch {
	t.Helper()
	b := record.NewBuilder(record.None, record.DefaultLevel)
	b.Append(time.Now().UnixMilli(), nil, []byte(value))
	batch, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	return batch
}

const produceVersion, fetchVersion = 9, 12

func (s session) sendProduce(topic string, partition int32, acks int16, timeoutMs int32, value string) {
	s.t.Helper()
	s.must(s.send(wire.ProduceKey, produceVersion, produceOne(topic, partition, acks, timeoutMs, oneRecord(s.t, value)), acks == 0))
}

func (s session) produced() wire.ProduceResponsePartitionProduceResponse {
	s.t.Helper()
	var resp wire.ProduceResponse
	s.must(s.receive(&resp))
	return resp.Responses[0].PartitionResponses[0]
}

// produce sends one record with acks=all.
func (s session) produce(topic string, partition int32, value string) wire.ProduceResponsePartitionProduceResponse {
	s.t.Helper()
	s.sendProduce(topic, partition, -1, 30_000, value)
	return s.produced()
}

// fetch reads one partition up to its watermark: the values, and the code that ended it.
func (s session) fetch(topic string, partition int32) (values []string, code wire.ErrorCode) {
	s.t.Helper()
	for next := int64(0); ; {
		req := fetchOne(topic, []int64{next}, 0)
		req.Topics[0].Partitions[0].Partition = partition
		var resp wire.FetchResponse
		s.must(s.do(wire.FetchKey, fetchVersion, req, &resp))
		got := resp.Responses[0].Partitions[0]
		if got.ErrorCode != wire.ErrorNone || next >= got.HighWatermark {
			return values, got.ErrorCode
		}
		for rest := got.Records.Bytes; len(rest) > 0; {
			b, tail, err := record.Next(rest)
			if err != nil {
				break // cut off by the limit
			}
			it := b.Records(record.Limits{})
			for it.Next() {
				if r := it.Record(); int64(r.Offset) >= next {
					values, next = append(values, string(r.Value)), int64(r.Offset)+1
				}
			}
			it.Close()
			rest = tail
		}
	}
}

func (s session) holds(topic string, partition int32, want []string) {
	s.t.Helper()
	got, code := s.fetch(topic, partition)
	if code != wire.ErrorNone || !bytes.Equal([]byte(strings.Join(got, "|")), []byte(strings.Join(want, "|"))) {
		s.t.Errorf("%s-%d: %s, %d records (%.40q), want %d (%.40q)", topic, partition, code.Name(), len(got), got, len(want), want)
	}
}

// get asks the admin server.
func (d *onDisk) get(t *testing.T, path string) (status int, body string) {
	t.Helper()
	resp, err := http.Get("http://" + d.AdminAddr() + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(data)
}

// TestFullDisk: a full disk refuses produce and nothing else. Deleting a topic makes room at once, whatever file.delete.delay.ms says.
func TestFullDisk(t *testing.T) {
	mem := vfs.NewMem(1)
	mem.SetCapacity(4 << 20) // of which 2 % are the reserve
	d := startOnDisk(t, mem)
	s := d.connect(t)
	for _, topic := range []string{"big", "small"} {
		if code := s.create(topic, 1); code != wire.ErrorNone {
			t.Fatal(code.Name())
		}
	}
	if code := s.commit("g", "big", 1, 7); code != wire.ErrorNone {
		t.Fatal(code.Name())
	}
	held := map[string][]string{}
	fill := func(topic string, size int) string {
		for i := range 10_000 {
			value := fmt.Sprint(i, ":", strings.Repeat("v", size))
			got := s.produce(topic, 0, value)
			switch got.ErrorCode {
			case wire.ErrorNone:
				held[topic] = append(held[topic], value)
			case wire.ErrorKafkaStorageError:
				return got.ErrorMessage.Value
			default:
				t.Fatalf("produce to a full disk: %s: %s", got.ErrorCode.Name(), got.ErrorMessage.Value)
			}
		}
		t.Fatal("the disk does not fill up")
		return ""
	}
	// A batch that fits between the reserve and nothing fails in the write; later ones find the reserve touched.
	if why := fill("big", 300_000); !strings.Contains(why, "no space left") {
		t.Errorf("a batch larger than what is left: %q", why)
	}
	if why := fill("small", 2_000); !strings.Contains(why, "reserve") {
		t.Errorf("a batch below the reserve: %q", why)
	}
	s.holds("big", 0, held["big"])
	s.holds("small", 0, held["small"])
	if code := s.commit("g", "small", 1, 7); code != wire.ErrorCoordinatorNotAvailable {
		t.Errorf("a commit to a full disk: %s", code.Name())
	}
	if status, body := d.get(t, "/readyz"); status != http.StatusServiceUnavailable || !strings.Contains(body, "produce is refused") {
		t.Errorf("readyz of a full disk: %d %q", status, body)
	}
	if status, _ := d.get(t, "/healthz"); status != http.StatusOK {
		t.Errorf("healthz of a full disk: %d: a restart would not help", status)
	}
	if n := len(d.log.with("level=ERROR")); n != 1 || len(d.log.with("nearly full")) != 1 {
		t.Errorf("%d lines of errors, want the one that says that the disk is nearly full: %q", n, d.log.with("level=ERROR"))
	}
	if code := s.remove("big"); code != wire.ErrorNone {
		t.Fatalf("delete a topic on a full disk: %s", code.Name())
	}
	deadline := time.Now().Add(10 * time.Second)
	for {
		got := s.produce("small", 0, "room again")
		if got.ErrorCode == wire.ErrorNone {
			held["small"] = append(held["small"], "room again")
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("deleting a topic makes no room: %s", got.ErrorMessage.Value)
		}
	}
	s.holds("small", 0, held["small"])
	if code := s.commit("g", "small", 1, 8); code != wire.ErrorNone {
		t.Errorf("a commit once there is room: %s", code.Name())
	}
	if code := s.create("big", 1); code != wire.ErrorNone {
		t.Errorf("create a topic once there is room: %s", code.Name())
	}
	// Nothing of this may look like damage at the next start.
	left := mem.Crash()
	if err := d.stopNow(); err != nil {
		t.Fatal(err)
	}
	for _, disk := range []*vfs.Mem{mem, left} {
		again := startOnDisk(t, disk)
		again.connect(t).holds("small", 0, held["small"])
		if err := again.stopNow(); err != nil {
			t.Error(err)
		}
	}
}

// TestNoSpaceForMetadata: a change of metadata that the disk refuses is answered, and the broker goes on.
func TestNoSpaceForMetadata(t *testing.T) {
	d := startOnDisk(t, vfs.NewMem(1))
	s := d.connect(t)
	if code := s.create("t", 1); code != wire.ErrorNone {
		t.Fatal(code.Name())
	}
	full := d.faults.Add(vfs.Rule{Op: vfs.OpWrite, Glob: "data/__cluster_metadata-0/*.log", Action: vfs.FailNoSpace})
	for range 2 {
		if code := s.create("refused", 1); code != wire.ErrorKafkaStorageError {
			t.Errorf("create a topic: %s", code.Name())
		}
	}
	if code := s.remove("t"); code != wire.ErrorKafkaStorageError {
		t.Errorf("delete a topic: %s", code.Name())
	}
	if got := s.produce("t", 0, "a"); got.ErrorCode != wire.ErrorNone {
		t.Errorf("produce: %s", got.ErrorCode.Name())
	}
	s.holds("t", 0, []string{"a"})
	if full.Hits() < 3 {
		t.Errorf("%d writes were refused", full.Hits())
	}
	full.Remove()
	if code := s.create("made", 1); code != wire.ErrorNone {
		t.Errorf("create a topic once there is room: %s", code.Name())
	}
	if got := s.produce("made", 0, "b"); got.ErrorCode != wire.ErrorNone {
		t.Errorf("produce to it: %s", got.ErrorCode.Name())
	}
	if code := s.create("refused", 1); code != wire.ErrorNone {
		t.Errorf("create what was refused: %s", code.Name())
	}
}

// TestFailedSync holds invariant 5 for the whole broker: no waiter of the round succeeds, the directory is offline and says so, nothing is synced again, and
// after a restart exactly what was acknowledged is there, on the disk and in the page cache that still shows the rest.
func TestFailedSync(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			mem := vfs.NewMem(seed)
			d := startOnDisk(t, mem)
			s := d.connect(t)
			if code := s.create("t", 2); code != wire.ErrorNone {
				t.Fatal(code.Name())
			}
			var held [2][]string
			for i := range 5 {
				for p := range held {
					value := fmt.Sprint("acknowledged ", i)
					if got := s.produce("t", int32(p), value); got.ErrorCode != wire.ErrorNone {
						t.Fatal(got.ErrorCode.Name())
					}
					held[p] = append(held[p], value)
				}
			}
			failing := d.faults.Add(vfs.Rule{Op: vfs.OpSync, Glob: "data/t-0/*.log", Limit: 1})
			const inFlight = 8
			for i := range inFlight {
				s.sendProduce("t", int32(i%2), -1, 30_000, "lost")
			}
			refused := 0
			for i := range inFlight {
				switch got := s.produced(); {
				case got.ErrorCode == wire.ErrorKafkaStorageError:
					refused++
				case got.ErrorCode == wire.ErrorNone && i%2 == 1: // a round without the failing file came first
					held[1] = append(held[1], "lost")
				default:
					t.Errorf("produce to t-%d while its sync fails: %s", i%2, got.ErrorCode.Name())
				}
			}
			if refused < inFlight/2 {
				t.Errorf("%d of %d were refused", refused, inFlight)
			}
			for p := range int32(2) {
				if got := s.produce("t", p, "later"); got.ErrorCode != wire.ErrorKafkaStorageError {
					t.Errorf("produce to t-%d in an offline directory: %s", p, got.ErrorCode.Name())
				}
				if values, code := s.fetch("t", p); code != wire.ErrorKafkaStorageError || len(values) > 0 {
					t.Errorf("fetch of t-%d in an offline directory: %s, %d records", p, code.Name(), len(values))
				}
			}
			if code := s.create("u", 1); code != wire.ErrorKafkaStorageError {
				t.Errorf("create a topic in an offline directory: %s", code.Name())
			}
			if failing.Matched() != 1 {
				t.Errorf("the file was synced %d times: a failed sync must not be retried", failing.Matched())
			}
			for _, path := range []string{"/readyz", "/healthz"} {
				if status, body := d.get(t, path); status != http.StatusServiceUnavailable || !strings.Contains(body, "data is offline") || !strings.Contains(body, "sync") {
					t.Errorf("%s: %d %q", path, status, body)
				}
			}
			if n := len(d.log.with("is offline until the next start")); n != 1 {
				t.Errorf("%d lines say that the directory is offline: %q", n, d.log.with("level=ERROR"))
			}
			left := mem.Crash()
			if err := d.stopNow(); err != nil {
				t.Error(err)
			}
			for when, disk := range map[string]*vfs.Mem{"after a power cut": left, "after a restart": mem} {
				again := startOnDisk(t, disk)
				s := again.connect(t)
				for p := range held {
					s.holds("t", int32(p), held[p])
				}
				if got := s.produce("t", 0, "new"); got.ErrorCode != wire.ErrorNone || got.BaseOffset != int64(len(held[0])) {
					t.Errorf("%s: produce: %s at %d", when, got.ErrorCode.Name(), got.BaseOffset)
				}
				if err := again.stopNow(); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// TestCorruptPartition: damage below the recovery point costs one partition, and is said once, not for each request.
func TestCorruptPartition(t *testing.T) {
	mem := vfs.NewMem(1)
	d := startOnDisk(t, mem)
	s := d.connect(t)
	if code := s.create("t", 2); code != wire.ErrorNone {
		t.Fatal(code.Name())
	}
	for i := range 20 {
		if got := s.produce("t", int32(i%2), fmt.Sprint(i)); got.ErrorCode != wire.ErrorNone {
			t.Fatal(got.ErrorCode.Name())
		}
	}
	if err := d.stopNow(); err != nil {
		t.Fatal(err)
	}
	f, err := mem.Open("data/t-0/00000000000000000000.log")
	if err != nil {
		t.Fatal(err)
	}
	var bad [1]byte
	if _, err := f.ReadAt(bad[:], 250); err != nil {
		t.Fatal(err)
	}
	bad[0] ^= 1
	_, err = f.WriteAt(bad[:], 250)
	if err := errors.Join(err, f.Sync(), f.Close(), mem.Remove("data/.kafka_cleanshutdown"), mem.SyncDir("data")); err != nil {
		t.Fatal(err)
	}
	for range 2 { // it stays refused
		d = startOnDisk(t, mem)
		s = d.connect(t)
		for range 3 {
			if got := s.produce("t", 0, "x"); got.ErrorCode != wire.ErrorKafkaStorageError {
				t.Errorf("produce to the corrupt partition: %s", got.ErrorCode.Name())
			}
			if _, code := s.fetch("t", 0); code != wire.ErrorKafkaStorageError {
				t.Errorf("fetch from the corrupt partition: %s", code.Name())
			}
			if got := s.produce("t", 1, "x"); got.ErrorCode != wire.ErrorNone {
				t.Errorf("produce to the other partition: %s", got.ErrorCode.Name())
			}
		}
		if values, code := s.fetch("t", 1); code != wire.ErrorNone || len(values) < 13 {
			t.Errorf("fetch from the other partition: %s, %d records", code.Name(), len(values))
		}
		if said := d.log.with("level=ERROR"); len(said) != 1 || !strings.Contains(said[0], "data/t-0/00000000000000000000.log at byte") {
			t.Errorf("want one line about the corrupt file, got %d: %q", len(said), said)
		}
		if status, body := d.get(t, "/readyz"); status != http.StatusServiceUnavailable || !strings.Contains(body, "1 partition") {
			t.Errorf("readyz: %d %q", status, body)
		}
		if err := d.stopNow(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestSlowFlush: a flush slower than the request's timeout answers REQUEST_TIMED_OUT, and the data stays.
func TestSlowFlush(t *testing.T) {
	d := startOnDisk(t, vfs.NewMem(1))
	s := d.connect(t)
	if code := s.create("t", 1); code != wire.ErrorNone {
		t.Fatal(code.Name())
	}
	if got := s.produce("t", 0, "first"); got.ErrorCode != wire.ErrorNone {
		t.Fatal(got.ErrorCode.Name())
	}
	release := make(chan struct{})
	free := sync.OnceFunc(func() { close(release) })
	defer free()
	d.faults.Add(vfs.Rule{Op: vfs.OpSync, Glob: "data/t-0/*.log", Action: vfs.Pass, Hook: func(vfs.Op, string) { <-release }})
	s.sendProduce("t", 0, -1, 150, "slow")
	if got := s.produced(); got.ErrorCode != wire.ErrorRequestTimedOut {
		t.Fatalf("produce with a timeout shorter than the flush: %s", got.ErrorCode.Name())
	}
	s.holds("t", 0, []string{"first"}) // not durable, so not served
	s.sendProduce("t", 0, -1, 30_000, "patient")
	free()
	if got := s.produced(); got.ErrorCode != wire.ErrorNone || got.BaseOffset != 2 {
		t.Errorf("produce with a timeout longer than the flush: %s at %d", got.ErrorCode.Name(), got.BaseOffset)
	}
	s.holds("t", 0, []string{"first", "slow", "patient"})
}

// TestFailureWithoutAcks: there is no reply to say it in, so the connection closes.
func TestFailureWithoutAcks(t *testing.T) {
	d := startOnDisk(t, vfs.NewMem(1))
	s := d.connect(t)
	if code := s.create("t", 1); code != wire.ErrorNone {
		t.Fatal(code.Name())
	}
	s.sendProduce("t", 0, 0, 1000, "silent")
	if got := s.produce("t", 0, "loud"); got.ErrorCode != wire.ErrorNone || got.BaseOffset != 1 {
		t.Fatalf("after acks=0: %s at %d", got.ErrorCode.Name(), got.BaseOffset)
	}
	full := d.faults.Add(vfs.Rule{Op: vfs.OpWrite, Glob: "data/t-0/*.log", Action: vfs.FailNoSpace, Limit: 1})
	s.sendProduce("t", 0, 0, 1000, "refused")
	if n, err := s.conn.Read(make([]byte, 1)); err == nil || n > 0 {
		t.Errorf("read %d bytes after acks=0 failed, want a closed connection", n)
	}
	if full.Hits() != 1 {
		t.Errorf("%d writes were refused", full.Hits())
	}
	d.connect(t).holds("t", 0, []string{"silent", "loud"})
}

// TestUnusableDirectories: each is one sentence that names the directory and says what to do, and nothing in it is changed.
func TestUnusableDirectories(t *testing.T) {
	made := func(dirs ...string) *vfs.Mem {
		mem := vfs.NewMem(1)
		for _, dir := range dirs {
			b, err := startWith(Config{DataDir: dir, NodeID: 1}, doors{env: run.OS(), disk: mem, network: transport.OS()})
			if err != nil {
				t.Fatal(err)
			}
			if err := b.Close(context.Background()); err != nil {
				t.Fatal(err)
			}
		}
		return mem
	}
	write := func(mem *vfs.Mem, path, content string) {
		if err := mem.RemoveAll(path); err != nil {
			t.Fatal(err)
		}
		f, err := mem.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		_, err = f.WriteAt([]byte(content), 0)
		if err := errors.Join(err, f.Close()); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name   string
		mem    *vfs.Mem
		rule   *vfs.Rule
		change func(*testing.T, *vfs.Mem)
		config Config
		want   []string
	}{
		{name: "second process", mem: made(), change: func(t *testing.T, mem *vfs.Mem) {
			first, err := startWith(Config{DataDir: "data", NodeID: 1}, doors{env: run.OS(), disk: mem, network: transport.OS()})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { first.Close(context.Background()) })
		}, config: Config{DataDir: "data", NodeID: 1}, want: []string{"data", "another process"}},
		{name: "other node", mem: made("data"), config: Config{DataDir: "data", NodeID: 7}, want: []string{"data", "node 1", "node 7"}},
		{name: "two clusters", mem: made("a", "b"), config: Config{NodeID: 1, Settings: map[string]string{"log.dirs": "a,b"}}, want: []string{"cluster"}},
		{name: "unreadable", mem: made("data"), rule: &vfs.Rule{Op: vfs.OpList, Glob: "data"}, config: Config{DataDir: "data", NodeID: 1}, want: []string{"data", "input/output error"}},
		{name: "unreadable meta.properties", mem: made("data"), rule: &vfs.Rule{Op: vfs.OpOpen, Glob: "meta.properties"}, config: Config{DataDir: "data", NodeID: 1},
			want: []string{"data", "meta.properties", "input/output error"}},
		{name: "a file", mem: made(), change: func(_ *testing.T, mem *vfs.Mem) { write(mem, "data", "x") }, config: Config{DataDir: "data", NodeID: 1}, want: []string{"data"}},
		{name: "partitions of nobody", mem: made("data"), change: func(t *testing.T, mem *vfs.Mem) {
			if err := mem.Remove("data/meta.properties"); err != nil {
				t.Fatal(err)
			}
		}, config: Config{DataDir: "data", NodeID: 1}, want: []string{"data", "meta.properties"}},
		{name: "damaged checkpoint", mem: made("data"), change: func(_ *testing.T, mem *vfs.Mem) {
			write(mem, "data/recovery-point-offset-checkpoint", "0\n2\nt 0 1\n")
		}, config: Config{DataDir: "data", NodeID: 1}, want: []string{"data", "recovery-point-offset-checkpoint"}},
		{name: "empty mark of a failed sync", mem: made("data"), change: func(_ *testing.T, mem *vfs.Mem) {
			write(mem, "data/ottla.failed-sync", "")
		}, config: Config{DataDir: "data", NodeID: 1}, want: []string{"data", "ottla.failed-sync"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.change != nil {
				c.change(t, c.mem)
			}
			disk := vfs.NewFault(c.mem)
			if c.rule != nil {
				disk.Add(*c.rule)
			}
			written := disk.Add(vfs.Rule{Op: vfs.OpWrite, Action: vfs.Pass})
			renamed := disk.Add(vfs.Rule{Op: vfs.OpRename, Action: vfs.Pass})
			b, err := startWith(c.config, doors{env: run.OS(), disk: disk, network: transport.OS()})
			if err == nil {
				b.Close(context.Background())
				t.Fatal("started")
			}
			said := err.Error()
			for _, want := range c.want {
				if !strings.Contains(said, want) {
					t.Errorf("%q does not name %q", said, want)
				}
			}
			if strings.ContainsAny(said, "\n") || len(said) > 400 {
				t.Errorf("want one sentence, got %q", said)
			}
			if written.Hits()+renamed.Hits() > 0 {
				t.Errorf("%d writes and %d renames before it was refused", written.Hits(), renamed.Hits())
			}
			t.Log(said)
		})
	}
}
