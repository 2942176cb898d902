package api

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/metadata"
	"github.com/ottla-io/ottla/internal/run"
	"github.com/ottla-io/ottla/internal/telemetry"
	"github.com/ottla-io/ottla/internal/wire"
)

const (
	selfID    = ids.BrokerID(7)
	clusterID = "rxx-4xqKSeaCw1LTtKgrIA"
)

// id makes a topic id.
func id(n byte) ids.TopicID { return ids.TopicID{n, 1} }

// rig is a Table over fakes.
type rig struct {
	logs       fakeLogs
	t          *testing.T
	env        run.Env
	partitions *fakePartitions
	controller *fakeController
	cluster    *fakeCluster
	groups     *fakeGroups
	table      *Table
	conn       *Conn
}

type fakeCluster struct {
	mu    sync.Mutex
	image *metadata.Image
}

func (c *fakeCluster) Image() *metadata.Image {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.image
}

func (c *fakeCluster) apply(t *testing.T, records ...wire.MetadataRecord) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	image, err := c.image.Apply(records, c.image.End()+ids.Offset(len(records)), 1)
	if err != nil {
		t.Fatal(err)
	}
	c.image = image
}

func topicRecords(name string, topic ids.TopicID, partitions int) []wire.MetadataRecord {
	out := []wire.MetadataRecord{&wire.TopicRecord{Name: name, TopicId: wire.UUID(topic)}}
	for i := range partitions {
		p := new(wire.PartitionRecord)
		p.Default()
		p.PartitionId, p.TopicId, p.Leader, p.LeaderEpoch = int32(i), wire.UUID(topic), int32(selfID), 3
		p.Replicas, p.Isr = []int32{int32(selfID)}, []int32{int32(selfID)}
		out = append(out, p)
	}
	return out
}

func brokerRecord(id ids.BrokerID, fenced bool) *wire.RegisterBrokerRecord {
	b := new(wire.RegisterBrokerRecord)
	b.Default()
	b.BrokerId, b.Fenced, b.BrokerEpoch = int32(id), fenced, 1
	b.EndPoints = []wire.RegisterBrokerRecordBrokerEndpoint{{Name: "PLAINTEXT", Host: fmt.Sprintf("host-%d", id), Port: 9000 + uint16(id)}}
	b.Features = []wire.RegisterBrokerRecordBrokerFeature{{Name: "metadata.version", MinSupportedVersion: 7, MaxSupportedVersion: 30}, {Name: "zero", MinSupportedVersion: 0, MaxSupportedVersion: 1}}
	return b
}

// newRig makes a cluster of this broker and topics a (2 partitions, id 1) and b (1 partition, id 2).
func newRig(t *testing.T, env run.Env, adjust ...func(*Settings)) *rig {
	g := &rig{t: t, env: env, partitions: &fakePartitions{logs: map[ids.TopicPartition]*fakeLog{}, names: map[ids.TopicID]string{}},
		controller: &fakeController{}, cluster: &fakeCluster{image: metadata.Empty()}}
	g.controller.rig = g
	g.cluster.apply(t, brokerRecord(selfID, false), &wire.FeatureLevelRecord{Name: "metadata.version", FeatureLevel: 30},
		&wire.FeatureLevelRecord{Name: "group.version", FeatureLevel: 1})
	g.groups = newFakeGroups(env, g.cluster)
	settings := Settings{NodeID: selfID, ClusterID: clusterID, RequestMaxBytes: 100 << 20, FetchMaxBytes: 55 << 20,
		FetchSessionSlots: 4, DescribePartitionsLimit: 2000, TelemetryMaxBytes: 1000, AutoCreateTopics: true, DeleteTopics: true}
	for _, f := range adjust {
		f(&settings)
	}
	g.table = NewTable(Deps{Env: env, Partitions: g.partitions, Offsets: g.partitions, Logs: &g.logs, Deletions: g.partitions, Controller: g.controller, Groups: g.groups, Telemetry: telemetry.New(telemetry.Config{MaxBytes: 1000, Random: env.Random}), Cluster: g.cluster, Settings: settings})
	g.conn = g.newConn()
	g.createTopic("a", id(1), 2)
	g.createTopic("b", id(2), 1)
	return g
}

func (g *rig) newConn() *Conn {
	return &Conn{Listener: "PLAINTEXT", LocalHost: "10.0.0.1", LocalPort: 1234, RemoteHost: "192.0.2.1", SoftwareName: "unknown", SoftwareVersion: "unknown"}
}

// anotherConn is the same broker over another connection.
func (g *rig) anotherConn() *rig {
	other := *g
	other.conn = g.newConn()
	return &other
}

func (g *rig) createTopic(name string, topic ids.TopicID, partitions int) {
	g.partitions.create(name, topic, partitions)
	g.cluster.apply(g.t, topicRecords(name, topic, partitions)...)
}

// simulated runs body in a simulated world, in which time passes only while everybody waits.
func simulated(t *testing.T, seed uint64, body func(env run.Env)) {
	t.Helper()
	sim := run.NewSim(seed)
	sim.Run(func() { body(sim) })
}

// call is one request on its way.
type call struct {
	g       *rig
	r       *Request
	outcome Outcome
	signal  run.Signal
	mu      sync.Mutex
	wakes   int
}

// start hands a request to its handler.
func (g *rig) start(key, version int16, req wire.Message) *call {
	g.t.Helper()
	var e wire.Encoder
	if err := req.Encode(&e, version); err != nil {
		g.t.Fatal(err)
	}
	var body []byte
	at := 0
	for _, s := range e.Splices { // none in requests
		body = append(body, e.Buf[at:s.At]...)
		at = s.At
	}
	return g.startBody(key, version, append(body, e.Buf[at:]...))
}

func (g *rig) startBody(key, version int16, body []byte) *call {
	g.t.Helper()
	entry, ok := g.table.Lookup(key)
	if !ok {
		g.t.Fatalf("%s is not served", wire.APIName(key))
	}
	c := &call{g: g, signal: g.env.NewSignal()}
	c.r = &Request{Conn: g.conn, Key: key, Version: version, Body: body, Reply: new(wire.Encoder), Received: g.env.Monotonic(), ClientID: "tester", Waker: func(*Request) {
		c.mu.Lock()
		c.wakes++
		c.mu.Unlock()
		c.signal.Set()
	}}
	c.outcome = entry.Handle(c.r)
	for i := range body { // the body is the connection's again
		body[i] = 0xEE
	}
	return c
}

// woken reports whether the parked call was woken.
func (c *call) woken() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.wakes > 0
}

// finish waits, as the connection's writer would, and ends with Replied, Silent or Hangup.
func (c *call) finish() Outcome {
	c.g.t.Helper()
	if c.outcome == Parked {
		if !c.signal.WaitFor(time.Hour) {
			c.g.t.Fatalf("%s was never woken", wire.APIName(c.r.Key))
		}
		c.outcome = c.r.Finish()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.wakes > 1 {
		c.g.t.Fatalf("%s was woken %d times", wire.APIName(c.r.Key), c.wakes)
	}
	return c.outcome
}

// bytes is the reply with its regions in place, which it releases.
func (c *call) bytes() []byte {
	c.g.t.Helper()
	var out []byte
	at := 0
	for _, s := range c.r.Reply.Splices {
		out = append(out, c.r.Reply.Buf[at:s.At]...)
		at = s.At
		region := s.Region.(FileRegion)
		file, offset := region.Source()
		b := make([]byte, region.Size())
		if _, err := file.ReadAt(b, offset); err != nil {
			c.g.t.Fatal(err)
		}
		out = append(out, b...)
		region.Release()
	}
	return append(out, c.r.Reply.Buf[at:]...)
}

// reply finishes the call and decodes its answer into resp.
func (c *call) reply(resp wire.Message) {
	c.g.t.Helper()
	if outcome := c.finish(); outcome != Replied {
		c.g.t.Fatalf("%s version %d: outcome %d, %v", wire.APIName(c.r.Key), c.r.Version, outcome, c.r.Err)
	}
	var d wire.Decoder
	d.Reset(c.bytes())
	if err := resp.Decode(&d, c.r.Version); err != nil {
		c.g.t.Fatal(err)
	}
	if d.Remaining() != 0 {
		c.g.t.Fatalf("%d bytes after the answer", d.Remaining())
	}
}

// do is start and reply.
func (g *rig) do(key, version int16, req, resp wire.Message) {
	g.t.Helper()
	g.start(key, version, req).reply(resp)
}
