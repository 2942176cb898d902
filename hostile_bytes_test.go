package ottla

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ottla-io/ottla/internal/api"
	"github.com/ottla-io/ottla/internal/record"
	"github.com/ottla-io/ottla/internal/run"
	"github.com/ottla-io/ottla/internal/server"
	"github.com/ottla-io/ottla/internal/transport"
	"github.com/ottla-io/ottla/internal/vfs"
	"github.com/ottla-io/ottla/internal/wire"
)

// closures collects what a broker logs.
type closures struct {
	mu  sync.Mutex
	all []slog.Record
}

func (l *closures) Enabled(context.Context, slog.Level) bool { return true }
func (l *closures) WithAttrs([]slog.Attr) slog.Handler       { return l }
func (l *closures) WithGroup(string) slog.Handler            { return l }
func (l *closures) Handle(_ context.Context, r slog.Record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, r)
	return nil
}

// closed counts the closed connections that the log tells of, and the lines that do.
func (l *closures) closed() (connections, told int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range l.all {
		if r.Message != "connection closed" {
			continue
		}
		told++
		connections++
		r.Attrs(func(a slog.Attr) bool {
			if a.Key == "alsoSuppressed" {
				connections += int(a.Value.Int64())
			}
			return true
		})
	}
	return connections, told
}

// hostileBytes are what whoever reaches the port may send; each ends its connection.
func hostileBytes() map[string][]byte {
	length := func(n uint32, rest ...byte) []byte { return append(binary.BigEndian.AppendUint32(nil, n), rest...) }
	frame := func(key, version int16, headerEnd []byte, body ...byte) []byte {
		f := []byte{byte(key >> 8), byte(key), byte(version >> 8), byte(version), 0, 0, 0, 1, 0, 1, 'c'}
		f = append(append(f, headerEnd...), body...)
		return length(uint32(len(f)), f...)
	}
	hugeCount := []byte{0xff, 0xff, 0xff, 0xff, 0x0f}
	all := map[string][]byte{
		"length -1":                            length(1<<32 - 1),
		"length -2³¹":                          length(1 << 31),
		"length 0":                             length(0),
		"length 7":                             length(7, 0, 18, 0, 3, 0, 0, 0),
		"length 2³¹-1":                         length(1<<31-1, 0, 3, 0, 12, 0, 0, 0, 1),
		"HTTP":                                 []byte("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"),
		"TLS":                                  {0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03, 0x03, 0, 0, 0, 0},
		"unknown key":                          frame(999, 0, nil),
		"key -1":                               frame(-1, 0, nil),
		"a version too high":                   frame(wire.MetadataKey, 99, []byte{0}),
		"a version too low":                    frame(wire.ProduceKey, 0, nil),
		"version -1":                           frame(wire.FetchKey, -1, nil),
		"header with 2³²-1 tagged fields":      frame(wire.MetadataKey, 12, hugeCount),
		"header with a tag of 4 GiB":           frame(wire.MetadataKey, 12, append([]byte{1, 0}, hugeCount...)),
		"client id longer than the frame":      length(12, 0, 3, 0, 1, 0, 0, 0, 1, 0x7f, 0xff, 'c', 'c'),
		"ApiVersions with 2³²-1 tagged fields": frame(wire.ApiVersionsKey, 3, []byte{0}, append([]byte{2, 'a', 2, 'b'}, hugeCount...)...),
		"Produce with acks=0 to nowhere":       frame(wire.ProduceKey, 3, nil, 0xff, 0xff, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 1, 'x', 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0),
	}
	for _, key := range []int16{wire.ProduceKey, wire.FetchKey, wire.ListOffsetsKey, wire.MetadataKey, wire.CreateTopicsKey, wire.DeleteTopicsKey, wire.DescribeConfigsKey} {
		_, newest, _ := wire.SupportedVersions(key)
		newest = min(newest, map[int16]int16{wire.FetchKey: 18, wire.ProduceKey: 13}[key]|newest)
		all["an array of 2³²-1: "+wire.APIName(key)] = frame(key, newest, []byte{0}, bytes.Repeat(hugeCount, 8)...)
		all["an empty body: "+wire.APIName(key)] = frame(key, newest, []byte{0})
	}
	return all
}

// TestHostileBytes sends what is no request to a whole broker over sockets: it ends those connections, says so in the log, takes
// no memory, and serves others as before.
func TestHostileBytes(t *testing.T) {
	log := &closures{}
	broker, err := startWith(Config{DataDir: "data", NodeID: 1, Logger: slog.New(log)}, doors{env: run.OS(), disk: vfs.NewMem(1), network: transport.OS()})
	if err != nil {
		t.Fatal(err)
	}
	defer broker.Close(context.Background())
	client, err := dialWire(transport.OS(), broker.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer client.close()
	serves := func() {
		t.Helper()
		var resp wire.ProduceResponse
		if err := client.do(wire.ProduceKey, 9, produceOne("normal", 0, -1, 10_000, smallBatch()), &resp); err != nil {
			t.Fatal(err)
		}
		if code := resp.Responses[0].PartitionResponses[0].ErrorCode; code != wire.ErrorNone {
			t.Fatalf("a normal client gets %s", code.Name())
		}
	}
	var created wire.CreateTopicsResponse
	if err := client.do(wire.CreateTopicsKey, 7, createOne("normal", 1), &created); err != nil {
		t.Fatal(err)
	}
	serves()
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	sent := 0
	for name, raw := range hostileBytes() {
		for range 3 {
			sent++
			start := time.Now()
			conn := dialTCP(t, broker.Addr())
			conn.Write(raw)
			if reply, err := io.ReadAll(conn); err != nil {
				t.Errorf("%s: the connection does not end: %v, %d bytes came", name, err, len(reply))
			} else if len(reply) > 0 {
				t.Errorf("%s: answered with %x", name, reply)
			}
			if took := time.Since(start); took > 2*time.Second {
				t.Errorf("%s: took %v", name, took)
			}
			conn.Close()
		}
	}
	// Half frames claim much, and go away.
	for range 50 {
		conn := dialTCP(t, broker.Addr())
		conn.Write([]byte{0x05, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 1})
		conn.Close()
	}
	runtime.ReadMemStats(&after)
	if grown := int64(after.TotalAlloc - before.TotalAlloc); grown > 64<<20 {
		t.Errorf("%d MiB were allocated", grown>>20)
	}
	serves()
	// Ten lines a second are told; the next one says how many were not.
	run.OS().NewSignal().WaitFor(1100 * time.Millisecond)
	conn := dialTCP(t, broker.Addr())
	conn.Write([]byte{0, 0, 0, 0})
	io.ReadAll(conn)
	conn.Close()
	sent++
	for range 100 { // the report follows the end of the connection
		if connections, _ := log.closed(); connections >= sent {
			break
		}
		run.OS().NewSignal().WaitFor(20 * time.Millisecond)
	}
	if connections, told := log.closed(); connections != sent || told > sent*2/3 {
		t.Errorf("%d lines tell of %d connections, %d were ended", told, connections, sent)
	}
	if ended := broker.server.Stats().Closed; ended[server.BadFrame]+ended[server.UnknownAPI]+ended[server.HandlerHangup] != uint64(sent) {
		t.Errorf("%d connections counted of %d: %v", ended[server.BadFrame]+ended[server.UnknownAPI]+ended[server.HandlerHangup], sent, ended)
	}
}

func dialTCP(t *testing.T, address string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	return conn
}

// TestTaggedFieldsCostNothing: the seven bytes that kept another codec busy for 98 seconds (reliability.md §5.1).
func TestTaggedFieldsCostNothing(t *testing.T) {
	v := newVictim(t)
	defer v.close()
	best := time.Hour
	for range 20 {
		if outcome := v.call(wire.ApiVersionsKey, 3, []byte{1, 1, 0xff, 0xff, 0xff, 0xff, 0x0f}); outcome != api.Hangup {
			t.Fatalf("outcome %d", outcome)
		}
		best = min(best, v.last.time)
	}
	if best > time.Millisecond {
		t.Errorf("%v", best)
	}
}

// hollow leaves one element of each array of structs and empties all other arrays.
func hollow(m reflect.Value, null bool) {
	for i := range m.NumField() {
		f := m.Field(i)
		switch {
		case f.Kind() == reflect.Struct:
			hollow(f, null)
		case f.Kind() == reflect.Slice && f.Type().Elem().Kind() == reflect.Struct:
			f.Set(reflect.MakeSlice(f.Type(), 1, 1))
			hollow(f.Index(0), null)
		case f.Kind() == reflect.Slice && null:
			f.SetZero()
		case f.Kind() == reflect.Slice:
			f.Set(reflect.MakeSlice(f.Type(), 0, 0))
		}
	}
}

// TestNothingAskedFor: empty arrays, entries without partitions, nulls and zeros, in every version of every request (CVE-2026-83525
// crashed a controller with an empty array). All are understood.
func TestNothingAskedFor(t *testing.T) {
	v := newVictim(t)
	defer v.close()
	for key := range int16(128) {
		entry, ok := v.broker.table.Lookup(key)
		if !ok {
			continue
		}
		for version := entry.Min; version <= entry.Max; version++ {
			for shape := range 4 {
				m := wire.NewRequest(key)
				switch shape {
				case 1:
					m.(interface{ Default() }).Default()
				case 2, 3:
					hollow(reflect.ValueOf(m).Elem(), shape == 3)
				}
				if p, ok := m.(*wire.ProduceRequest); ok {
					p.Acks = 1 // a failure with acks=0 ends the connection, as it should
				}
				var e wire.Encoder
				if m.Encode(&e, version) != nil {
					continue // this version has no word for it
				}
				_, outcome := v.check(fmt.Sprintf("shape %d", shape), key, version, e.Buf)
				if outcome == api.Hangup && !namesNoACL(key) {
					t.Errorf("%s version %d, shape %d: not understood: %x", wire.APIName(key), version, shape, e.Buf)
				}
			}
		}
	}
}

// namesNoACL tells that 0 is no value of the request's enumerations: Kafka closes the connection, too.
func namesNoACL(key int16) bool {
	return key == wire.DescribeAclsKey || key == wire.CreateAclsKey || key == wire.DeleteAclsKey
}

// TestDecompressionBombs: small batches that unpack to much, to topics whose batches are opened. They are refused, at a cost
// that the bounds of package record set, whatever they claim.
func TestDecompressionBombs(t *testing.T) {
	v := newVictim(t)
	defer v.close()
	for _, codec := range []record.Codec{record.Gzip, record.Snappy, record.LZ4, record.Zstd} {
		size := 40 << 20
		if codec == record.Snappy {
			size = 18 << 20 // its best is 1:21
		}
		b := record.NewBuilder(codec, record.DefaultLevel)
		b.Append(time.Now().UnixMilli(), []byte("key"), make([]byte, size))
		bomb, err := b.Build()
		if err != nil {
			t.Fatal(err)
		}
		liar := slices.Clone(smallBatch()) // says so much in a few bytes
		liar = append(liar[:record.HeaderSize], 0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0, 0, 0, 0, 0, 0)
		liar[22] = byte(codec)
		binary.BigEndian.PutUint32(liar[8:], uint32(len(liar)-12))
		binary.BigEndian.PutUint32(liar[17:], liar.ComputeCRC())
		for what, batch := range map[string]record.Batch{"bomb": bomb, "liar": liar} {
			for _, topic := range []string{"b", "c"} {
				body := encoded(produceOne(topic, 0, 1, 1000, batch), 9)
				runtime.GC()
				if outcome := v.call(wire.ProduceKey, 9, body); outcome != api.Replied {
					t.Fatalf("outcome %d", outcome)
				}
				answer := v.response.(*wire.ProduceResponse).Responses[0].PartitionResponses[0]
				t.Logf("%v %s of %d bytes to %s: %s %q, %v, %d KiB", codec, what, len(batch), topic, answer.ErrorCode.Name(), answer.ErrorMessage.Value, v.last.time, v.last.bytes>>10)
				if answer.ErrorCode == wire.ErrorNone {
					t.Errorf("%v: a %s is taken by topic %s", codec, what, topic)
				}
				if v.last.bytes > 160<<20 || v.last.time > 5*time.Second {
					t.Errorf("%v: a %s of %d bytes cost %v and %d MiB", codec, what, len(batch), v.last.time, v.last.bytes>>20)
				}
			}
		}
	}
}

// fencedDisk is the real disk. It fails the test when somebody leaves the data directory.
type fencedDisk struct {
	vfs.FS
	t    *testing.T
	root string
}

func (d *fencedDisk) look(paths ...string) {
	for _, path := range paths {
		inside := path == d.root || strings.HasPrefix(path, d.root+"/")
		if !inside || slices.Contains(strings.Split(path, "/"), "..") || strings.ContainsAny(path, "\x00\n") || filepath.Clean(path) != path {
			d.t.Errorf("the path %q is used", path)
		}
	}
}

func (d *fencedDisk) Create(path string) (vfs.File, error) { d.look(path); return d.FS.Create(path) }
func (d *fencedDisk) Open(path string) (vfs.File, error)   { d.look(path); return d.FS.Open(path) }
func (d *fencedDisk) OpenReadOnly(path string) (vfs.File, error) {
	d.look(path)
	return d.FS.OpenReadOnly(path)
}
func (d *fencedDisk) Rename(from, to string) error          { d.look(from, to); return d.FS.Rename(from, to) }
func (d *fencedDisk) Remove(path string) error              { d.look(path); return d.FS.Remove(path) }
func (d *fencedDisk) RemoveAll(path string) error           { d.look(path); return d.FS.RemoveAll(path) }
func (d *fencedDisk) List(path string) ([]vfs.Entry, error) { d.look(path); return d.FS.List(path) }

// TestNamesAreNotPaths: whatever a topic is called, nothing outside the data directory is touched (CVE-2022-28357), and what may
// be called so survives a restart and a deletion under that name, on the real disk.
func TestNamesAreNotPaths(t *testing.T) {
	root := filepath.Join(t.TempDir(), "data")
	id := strings.Repeat("0123456789abcdef", 2)
	possible := []string{strings.Repeat("x", 249), "...", "a-0", "-", "meta.properties", ".lock", "x-delete", "x-stray", "x-0." + id + "-delete", "x-0." + id + "-stray", "00000000000000000000.log"}
	impossible := []string{"", ".", "..", "../x", "../../../../etc/x", "a/../b", "/etc/passwd", "a/b", `a\b`, "a\x00b", "a\nb", "ünï", "日本", "a b", "\xff\xfe", "C:x", strings.Repeat("x", 250), strings.Repeat("x", 32767)}
	start := func() *victim {
		broker, err := startWith(Config{DataDir: root, NodeID: 1, Settings: map[string]string{"log.segment.delete.delay.ms": "0", trashSetting: "0"}},
			doors{env: run.OS(), disk: &fencedDisk{vfs.OS(), t, root}, network: transport.OS()})
		if err != nil {
			t.Fatal(err)
		}
		return &victim{t: t, broker: broker, conn: &api.Conn{Listener: listenerName, LocalHost: "127.0.0.1", LocalPort: 9092}}
	}
	v := start()
	for _, name := range slices.Concat(possible, impossible) {
		may := slices.Contains(possible, name)
		if v.call(wire.CreateTopicsKey, 7, encoded(createOne(name, 1, "file.delete.delay.ms", "0"), 7)) != api.Replied {
			t.Fatalf("create %.40q: not answered", name)
		}
		if code := v.response.(*wire.CreateTopicsResponse).Topics[0].ErrorCode; (code == wire.ErrorNone) != may || !may && code != wire.ErrorInvalidTopicException {
			t.Errorf("create %.40q: %s", name, code.Name())
		}
		auto := &wire.MetadataRequest{AllowAutoTopicCreation: true, Topics: []wire.MetadataRequestTopic{{Name: wire.SomeString(name)}}}
		v.call(wire.MetadataKey, 9, encoded(auto, 9))
		if code := v.response.(*wire.MetadataResponse).Topics[0].ErrorCode; (code == wire.ErrorNone) != may {
			t.Errorf("metadata of %.40q: %s", name, code.Name())
		}
		v.call(wire.ProduceKey, 9, encoded(produceOne(name, 0, 1, 1000, smallBatch()), 9))
		if code := v.response.(*wire.ProduceResponse).Responses[0].PartitionResponses[0].ErrorCode; (code == wire.ErrorNone) != may {
			t.Errorf("produce to %.40q: %s", name, code.Name())
		}
		v.call(wire.FetchKey, 12, encoded(fetchOne(name, []int64{0}, 0), 12))
		v.call(wire.DescribeConfigsKey, 4, encoded(describeConfigs(1, 2, name), 4))
	}
	v.close()
	v = start()
	for _, name := range possible {
		v.call(wire.ListOffsetsKey, 6, encoded(&wire.ListOffsetsRequest{ReplicaId: -1, Topics: []wire.ListOffsetsRequestListOffsetsTopic{{Name: name,
			Partitions: []wire.ListOffsetsRequestListOffsetsPartition{{CurrentLeaderEpoch: -1, Timestamp: -1}}}}}, 6))
		if got := v.response.(*wire.ListOffsetsResponse).Topics[0].Partitions[0]; got.ErrorCode != wire.ErrorNone || got.Offset != 1 {
			t.Errorf("%.40q after a restart: %s, offset %d", name, got.ErrorCode.Name(), got.Offset)
		}
	}
	for _, name := range slices.Concat(possible, impossible) {
		v.call(wire.DeleteTopicsKey, 5, encoded(&wire.DeleteTopicsRequest{TopicNames: []string{name}, TimeoutMs: 10_000}, 5))
		if code := v.response.(*wire.DeleteTopicsResponse).Responses[0].ErrorCode; (code == wire.ErrorNone) != slices.Contains(possible, name) {
			t.Errorf("delete %.40q: %s", name, code.Name())
		}
	}
	v.close()
	v = start()
	if n := v.broker.cluster.Image().TopicCount(); n != 0 {
		t.Errorf("%d topics are left", n)
	}
	v.close()
	left, err := os.ReadDir(filepath.Dir(root))
	if err != nil || len(left) != 1 {
		t.Errorf("beside the data directory lies something: %v, %v", left, err)
	}
	// Each start removes what was deleted, as far as it gets before it is stopped.
	for starts := 0; ; starts++ {
		left, _ = os.ReadDir(root)
		left = slices.DeleteFunc(left, func(e os.DirEntry) bool { return !e.IsDir() || e.Name() == "__cluster_metadata-0" })
		if len(left) == 0 {
			break
		}
		if starts == 20 {
			t.Fatalf("after %d starts %v are left", starts, left)
		}
		v = start()
		v.close()
	}
}
