package crash

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ottla-io/ottla/test/broker"
	"github.com/ottla-io/ottla/test/clients"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// number is a count from the environment, so that a release can run ten times as many.
func number(name string, otherwise int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil {
		return n
	}
	return otherwise
}

const partitions = 3

// writer writes "partition-sequence-padding" through one idempotent franz-go client until it is ended.
type writer struct {
	topic  string
	ledger *clients.Ledger
	stop   context.CancelFunc // gives up what is in flight
	finish context.CancelFunc // writes no more
	done   chan error
}

func startWriter(t *testing.T, addr, topic string, perSecond int) *writer {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.MaxBufferedRecords(3000), kgo.MetadataMinAge(20*time.Millisecond),
		kgo.RetryBackoffFn(func(int) time.Duration { return 20 * time.Millisecond }), kgo.DialTimeout(time.Second))
	if err != nil {
		t.Fatal(err)
	}
	w := &writer{topic: topic, ledger: clients.NewLedger(), done: make(chan error, 1)}
	ctx, stop := context.WithCancel(context.Background())
	more, finish := context.WithCancel(ctx)
	w.stop, w.finish = stop, finish
	pad := strings.Repeat("p", 200)
	go func() {
		defer client.Close()
		start := time.Now()
		for i := 0; more.Err() == nil; i++ {
			for p := range partitions {
				client.Produce(ctx, &kgo.Record{Topic: topic, Partition: int32(p), Value: fmt.Appendf(nil, "%d-%d-%s", p, i, pad)}, func(r *kgo.Record, err error) {
					a := clients.Ack{Partition: p, Sequence: i, Offset: r.Offset}
					if err != nil {
						a.Err = err.Error()
					}
					w.ledger.Ack(a)
				})
			}
			if wait := time.Until(start.Add(time.Duration((i+1)*partitions) * time.Second / time.Duration(perSecond))); wait > 0 {
				time.Sleep(wait)
			} else if wait < -time.Second {
				start = time.Now().Add(-time.Duration((i+1)*partitions) * time.Second / time.Duration(perSecond)) // a cut is not made up for
			}
		}
		w.done <- client.Flush(ctx)
	}()
	return w
}

// complete lets the writer end what it began and fails for a record that it had to give up.
func (w *writer) complete(t *testing.T) {
	t.Helper()
	w.finish()
	select {
	case err := <-w.done:
		if err != nil {
			t.Errorf("%s: flush: %v", w.topic, err)
		}
	case <-time.After(60 * time.Second):
		w.stop()
		t.Errorf("%s: the client could not end its writes within 60 s of the last restart", w.topic)
	}
	if failed, twice := w.ledger.Failed(); len(failed) > 0 || twice > 0 {
		t.Errorf("%s: %d records failed (first %v), %d acknowledged twice", w.topic, len(failed), failed[:min(1, len(failed))], twice)
	}
}

func createTopic(t *testing.T, addr, topic string) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.MetadataMinAge(20*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	admin := kadm.NewClient(client)
	if _, err := admin.CreateTopic(ctx, partitions, 1, nil, topic); err != nil {
		t.Fatal(err)
	}
	for { // Kafka answers before its partitions are open
		listed, err := admin.ListEndOffsets(ctx, topic)
		if err == nil && listed.Error() == nil && len(listed[topic]) == partitions {
			return
		}
		if ctx.Err() != nil {
			t.Fatalf("%s does not answer: %v", topic, err)
		}
	}
}

// check reads a topic back and holds it against its ledger; it returns the number of records found.
func check(t *testing.T, addr, topic string, ledger *clients.Ledger) (found, complaints int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	franz := clients.NewFranz(addr)
	for p := range partitions {
		end, err := franz.Offsets(ctx, topic, int32(p), []int64{-1})
		if err != nil {
			t.Errorf("%s-%d: %v", topic, p, err)
			complaints++
			continue
		}
		records, err := franz.Consume(ctx, topic, int32(p), clients.From{Kind: "earliest"}, int(end[0]), func(int64) {})
		if err == nil {
			err = ledger.Check(p, records)
		}
		if err != nil {
			complaints++
			t.Logf("%s-%d: %v", topic, p, err)
		}
		found += len(records)
	}
	return found, complaints
}

// verifyFiles stops the broker and lets `ottla log verify` and Kafka's dump-log look at every partition of the topics.
func verifyFiles(t *testing.T, b *broker.Broker, topics []string) {
	t.Helper()
	if err := b.Stop(); err != nil {
		t.Error(err)
	}
	var dirs, files []string
	for _, topic := range topics {
		for p := range partitions {
			dirs = append(dirs, b.PartitionDir(topic, p))
			logs, _ := filepath.Glob(filepath.Join(b.PartitionDir(topic, p), "*.log"))
			files = append(files, logs...)
		}
	}
	if len(files) == 0 {
		t.Fatal("no segments to verify")
	}
	if bin, err := broker.Binary(); err != nil {
		t.Log("no ottla binary, log verify left out:", err)
	} else if out, err := exec.Command(bin, append([]string{"log", "verify"}, dirs...)...).CombinedOutput(); err != nil {
		t.Errorf("ottla log verify: %v\n%s", err, out)
	}
	out, err := exec.Command(filepath.Join(broker.ModuleDir(), "kafka/kafka"), "dump-log", "--deep-iteration", "--files", strings.Join(files, ",")).CombinedOutput()
	if err != nil {
		t.Errorf("kafka-dump-log: %v\n%s", err, out)
	}
	for _, bad := range []string{"isvalid: false", "Found", "Mismatch", "out of order", "Exception", "corrupt", "trailing"} {
		if i := strings.Index(string(out), bad); i >= 0 {
			t.Errorf("kafka-dump-log complains: %s", out[max(0, i-300):min(len(out), i+300)])
		}
	}
}

// untilAcked waits until a ledger has n acknowledgements more than before, so that each crash comes under load.
func untilAcked(t *testing.T, l *clients.Ledger, n int, b *broker.Broker) {
	t.Helper()
	want := l.Len() + n
	for deadline := time.Now().Add(60 * time.Second); l.Len() < want; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			failed, _ := l.Failed()
			t.Fatalf("no %d acknowledgements within a minute of the restart (%d in all, %d failures %v)\n%s", n, l.Len(), len(failed), failed[:min(len(failed), 2)], b.Output())
		}
	}
}

// TestKill: one franz-go and one librdkafka producer live through a row of SIGKILLs.
func TestKill(t *testing.T) {
	kills := number("OTTLA_KILLS", 24)
	b, err := broker.Start(broker.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Kill()
	createTopic(t, b.Addr(), "kill.go")
	createTopic(t, b.Addr(), "kill.c")
	w := startWriter(t, b.Addr(), "kill.go", 3000)
	defer w.stop()
	c, wait := startLibrdkafka(t, b.Addr(), "kill.c", 300*kills)
	for range kills {
		untilAcked(t, w.ledger, 600+rand.IntN(600), b)
		b.Kill()
		if err := b.Restart(); err != nil {
			t.Fatal(err)
		}
	}
	w.complete(t)
	wait()
	found, wrong := check(t, b.Addr(), w.topic, w.ledger)
	foundC, wrongC := check(t, b.Addr(), "kill.c", c)
	if wrong+wrongC > 0 {
		t.Errorf("%d partitions are not as promised", wrong+wrongC)
	}
	t.Logf("%d kills: franz-go %d acknowledged, %d found; librdkafka %d acknowledged, %d found", kills, w.ledger.Len(), found, c.Len(), foundC)
	verifyFiles(t, b, []string{"kill.go", "kill.c"})
}

// startLibrdkafka begins a run of about that many records and returns its ledger and what waits for its end.
func startLibrdkafka(t *testing.T, addr, topic string, records int) (*clients.Ledger, func()) {
	client, ledger := clients.NewLibrdkafka(addr), clients.NewLedger()
	var wg sync.WaitGroup
	wg.Add(1)
	go func() {
		defer wg.Done()
		defer client.Close()
		ctx, cancel := context.WithTimeout(context.Background(), 4*time.Minute)
		defer cancel()
		if err := client.Run(ctx, clients.RunConfig{Topic: topic, Partitions: partitions, Count: records / partitions, Rate: 600, Pad: 200, Codec: "lz4", Idempotent: true}, ledger.Ack); err != nil {
			t.Errorf("librdkafka: %v", err)
		}
	}()
	return ledger, func() {
		wg.Wait()
		if failed, twice := ledger.Failed(); len(failed) > 0 || twice > 0 {
			t.Errorf("librdkafka: %d records failed (first %v), %d acknowledged twice", len(failed), failed[:min(1, len(failed))], twice)
		}
	}
}

// machine is a broker on a disk of its own whose power can be cut.
type machine struct {
	*broker.Broker
	disk *disk
}

func newMachine(t *testing.T, settings map[string]string) *machine {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("mounting needs root")
	}
	d, err := newDisk(t.TempDir())
	m := &machine{disk: d}
	t.Cleanup(func() {
		if m.Broker != nil {
			m.Kill()
		}
		if d != nil {
			if err := d.down(); err != nil {
				t.Error(err)
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if m.Broker, err = broker.Start(broker.Config{Dir: filepath.Join(d.mount, "data"), Settings: settings}); err != nil {
		t.Fatal(err)
	}
	return m
}

// settle syncs the disk for Kafka, which does not survive a cut right after its format step or a topic's creation, so that what is measured
// are its appends. Ottla gets no such help.
func (m *machine) settle(t *testing.T) {
	if broker.Peer() != broker.Kafka {
		return
	}
	if err := command("sync", "-f", m.disk.mount); err != nil {
		t.Fatal(err)
	}
}

// cut takes the power away and gives it back. before runs as the last thing before the cut.
func (m *machine) cut(t *testing.T, before func()) {
	t.Helper()
	before()
	if err := m.disk.powerOff(); err != nil {
		t.Fatal(err)
	}
	m.Kill()
	if err := m.disk.down(); err != nil {
		t.Fatal(err)
	}
	if err := m.disk.up(); err != nil {
		t.Fatal(err)
	}
	if err := m.Restart(); err != nil {
		t.Fatalf("after a power cut: %v", err)
	}
}

// TestPowerCut: half of the cuts stop the broker's threads first, as the end of the supply does, so that no client can hear what the disk did
// not keep: the producers live on through all of them and retry. The other half cut the disk under the running broker: there an acknowledgement
// counts only if it came before the cut began, for a sync in flight may report success while the disk dies, and each has a producer and a topic
// of its own.
func TestPowerCut(t *testing.T) {
	cuts := number("OTTLA_POWER_CUTS", 32)
	m := newMachine(t, map[string]string{"ottla.durability": "fsync"})
	createTopic(t, m.Addr(), "cut.go")
	createTopic(t, m.Addr(), "cut.c")
	m.settle(t)
	w := startWriter(t, m.Addr(), "cut.go", 3000)
	defer w.stop()
	c, wait := startLibrdkafka(t, m.Addr(), "cut.c", 600*cuts/2)
	for range cuts / 2 {
		untilAcked(t, w.ledger, 300+rand.IntN(600), m.Broker)
		pid := m.PID()
		m.cut(t, func() {
			if err := pause(pid); err != nil {
				t.Fatal(err)
			}
		})
	}
	w.complete(t)
	wait()
	ledgers := map[string]*clients.Ledger{"cut.go": w.ledger, "cut.c": c}
	for i := range cuts - cuts/2 {
		topic := fmt.Sprintf("cut.%d", i)
		ledgers[topic] = cutUnderLoad(t, m, topic)
	}
	var topics []string
	acknowledged, found, wrong := 0, 0, 0
	for topic, ledger := range ledgers {
		topics = append(topics, topic)
		n, complaints := check(t, m.Addr(), topic, ledger)
		acknowledged, found, wrong = acknowledged+ledger.Len(), found+n, wrong+complaints
	}
	if wrong > 0 {
		t.Errorf("%d partitions are not as promised", wrong)
	}
	t.Logf("%d power cuts: %d records acknowledged, %d found", cuts, acknowledged, found)
	verifyFiles(t, m.Broker, topics)
}

// cutUnderLoad creates a topic, writes into it and cuts the power under the running broker.
func cutUnderLoad(t *testing.T, m *machine, topic string) *clients.Ledger {
	createTopic(t, m.Addr(), topic)
	m.settle(t)
	w := startWriter(t, m.Addr(), topic, 3000)
	defer w.stop()
	untilAcked(t, w.ledger, 150+rand.IntN(600), m.Broker)
	m.cut(t, w.ledger.Freeze)
	return w.ledger
}

// TestPowerCutControl shows that the method can fail: a broker that acknowledges from the page cache must lose something. It runs only when
// OTTLA_CRASH_CONTROL is set (with OTTLA_TEST_PEER=kafka for Kafka's defaults).
func TestPowerCutControl(t *testing.T) {
	if os.Getenv("OTTLA_CRASH_CONTROL") == "" {
		t.Skip("OTTLA_CRASH_CONTROL is not set")
	}
	m := newMachine(t, map[string]string{"ottla.durability": "replicated"})
	lossy := 0
	for i := range number("OTTLA_POWER_CUTS", 6) {
		topic := fmt.Sprintf("control.%d", i)
		ledger := cutUnderLoad(t, m, topic)
		if _, wrong := check(t, m.Addr(), topic, ledger); wrong > 0 {
			lossy++
		}
	}
	if lossy == 0 {
		t.Error("nothing was lost without a sync: the power cuts prove nothing")
	}
	t.Logf("%d cuts lost acknowledged records", lossy)
}
