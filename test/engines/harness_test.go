package engines

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ottla-io/ottla/test/broker"
	"github.com/ottla-io/ottla/test/results"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	patience = 3 * time.Minute
	// ours is the client id of the test's own clients, which are no part of the result.
	ours = "ottla-engines-test"
)

// bench is what each test has: a broker that is watched, the flights, a directory, and a client of the test's own.
type bench struct {
	t       *testing.T
	ctx     context.Context
	dir     string
	broker  *broker.Broker
	watch   *results.Watch
	flights []string
	client  *kgo.Client
	admin   *kadm.Client
}

func newBench(t *testing.T) *bench {
	t.Helper()
	if os.Getenv("OTTLA_ENGINES") == "" {
		t.Skip("engines run with OTTLA_ENGINES=1, after test/engines/install.sh: make engines")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	t.Cleanup(cancel)
	content, err := os.ReadFile(filepath.Join(broker.ModuleDir(), "../testdata/flights.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, ctx: ctx, dir: t.TempDir(), flights: strings.Split(strings.TrimSpace(string(content)), "\n")}
	if len(b.flights) < 20_000 {
		t.Fatalf("%d flights in testdata, 20,000 wanted", len(b.flights))
	}
	// Each flight has a number, so that each is another record: some of them are alike.
	for i, flight := range b.flights {
		b.flights[i] = fmt.Sprintf(`{"number":%d,%s`, i, strings.TrimPrefix(flight, "{"))
	}
	settings := map[string]string{"group.initial.rebalance.delay.ms": "0"}
	if broker.Peer() == broker.Kafka {
		settings["offsets.topic.replication.factor"] = "1"
	}
	if b.broker, err = broker.Start(broker.Config{Dir: filepath.Join(b.dir, "data"), Settings: settings}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.end)
	b.watch = results.Start(b.broker.AdminAddr())
	if b.client, err = kgo.NewClient(kgo.SeedBrokers(b.broker.Addr()), kgo.ClientID(ours)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.client.Close)
	b.admin = kadm.NewClient(b.client)
	return b
}

func (b *bench) end() {
	if err := b.broker.Stop(); err != nil {
		b.t.Error(err)
	}
	if b.t.Failed() {
		out := b.broker.Output()
		b.t.Logf("the broker said:\n%s", out[max(0, len(out)-4000):])
	}
}

// crash kills the broker with SIGKILL and starts it again on the same data.
func (b *bench) crash() {
	b.t.Helper()
	b.broker.Kill()
	if err := b.broker.Restart(); err != nil {
		b.t.Fatal(err)
	}
}

// config puts a configuration of this package into the test's directory, with the broker's address and what else is given as pairs of old
// and new; each old text must be there.
func (b *bench) config(name string, replace ...string) string {
	b.t.Helper()
	content, err := os.ReadFile(name)
	if err != nil {
		b.t.Fatal(err)
	}
	text := string(content)
	if strings.Contains(text, "localhost:9092") {
		replace = append(replace, "localhost:9092", b.broker.Addr())
	}
	for pair := range slices.Chunk(replace, 2) {
		if !strings.Contains(text, pair[0]) {
			b.t.Fatalf("%s does not say %q", name, pair[0])
		}
		text = strings.ReplaceAll(text, pair[0], pair[1])
	}
	file := filepath.Join(b.dir, filepath.Base(name))
	b.write(file, text)
	return file
}

func (b *bench) write(file, text string) {
	b.t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		b.t.Fatal(err)
	}
}

// create makes a topic.
func (b *bench) create(topic string, partitions int32) {
	b.t.Helper()
	if _, err := b.admin.CreateTopic(b.ctx, partitions, 1, nil, topic); err != nil {
		b.t.Fatalf("create %s: %v", topic, err)
	}
}

// publish sends flights to a topic and waits until they are acknowledged.
func (b *bench) publish(topic string, flights []string) {
	b.t.Helper()
	records := make([]*kgo.Record, len(flights))
	for i, flight := range flights {
		records[i] = &kgo.Record{Topic: topic, Value: []byte(flight), Key: fmt.Append(nil, i%97)}
	}
	if err := b.client.ProduceSync(b.ctx, records...).FirstErr(); err != nil {
		b.t.Fatalf("publish to %s: %v", topic, err)
	}
}

// size is how many records there are in a topic; of one that does not exist, or while the broker is away, none.
func (b *bench) size(topic string) int {
	ends, err := b.admin.ListEndOffsets(b.ctx, topic)
	if err != nil {
		return 0
	}
	var n int64
	ends.Each(func(o kadm.ListedOffset) {
		if o.Err == nil {
			n += max(o.Offset, 0)
		}
	})
	return int(n)
}

// until waits for a condition, looking often; where it does not come, or a process that must run has ended, the test ends.
func (b *bench) until(what string, is func() bool, alive ...*process) {
	b.t.Helper()
	deadline := time.Now().Add(patience)
	for !is() {
		for _, p := range alive {
			select {
			case <-p.exited:
				b.t.Fatalf("%s ended (%v), while waiting until %s:\n%s", p.name, p.cmd.ProcessState, what, p.tail())
			default:
			}
		}
		if time.Now().After(deadline) {
			for _, p := range alive {
				b.t.Logf("%s said:\n%s", p.name, p.tail())
			}
			b.t.Fatalf("not within %v: %s", patience, what)
		}
		select {
		case <-b.ctx.Done():
			b.t.Fatalf("%s: %v", what, b.ctx.Err())
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// values reads a topic from its start to its present end.
func (b *bench) values(topic string) []string {
	b.t.Helper()
	want := b.size(topic)
	reader, err := kgo.NewClient(kgo.SeedBrokers(b.broker.Addr()), kgo.ClientID(ours), kgo.ConsumeTopics(topic))
	if err != nil {
		b.t.Fatal(err)
	}
	defer reader.Close()
	var values []string
	for len(values) < want {
		fetches := reader.PollFetches(b.ctx)
		if b.ctx.Err() != nil {
			b.t.Fatalf("read %s: %d of %d: %v", topic, len(values), want, b.ctx.Err())
		}
		fetches.EachRecord(func(r *kgo.Record) { values = append(values, string(r.Value)) })
	}
	return values
}

// all says whether every flight is among lines, and ends the test where a line is no flight. Further copies of a flight are counted.
func (b *bench) all(where string, lines []string) (missing, copies int) {
	b.t.Helper()
	left := make(map[string]int, len(b.flights))
	for _, flight := range b.flights {
		left[flight] = 1
	}
	for _, line := range lines {
		n, ok := left[line]
		if !ok {
			b.t.Fatalf("%s: %q was never a flight", where, line)
		}
		if n == 0 {
			copies++
		}
		left[line] = 0
	}
	for n := range maps.Values(left) {
		missing += n
	}
	return missing, copies
}

// record says what came of the test; the software that spoke to the broker is what its trace shows.
func (b *bench) record(name, version, did string) {
	b.t.Helper()
	b.watch.Stop()
	clients, apis := b.watch.Seen(func(r results.Request) bool { return r.ClientID != ours && r.ClientID != "kgo" })
	b.t.Logf("%s %s: %s\n%v\n%v", name, version, did, clients, apis)
	results.Record(b.t, "results.json", results.Entry{Name: name, Version: version, Clients: clients, Did: did, APIs: apis})
}

// process is a program of an engine; what it prints goes into a file.
type process struct {
	t      *testing.T
	name   string
	log    string
	cmd    *exec.Cmd
	exited chan struct{}
}

// start starts a program in the test's directory. It is killed at the end of the test.
func (b *bench) start(name, program string, args ...string) *process {
	b.t.Helper()
	p := &process{t: b.t, name: name, log: filepath.Join(b.dir, name+".log"), exited: make(chan struct{})}
	out, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		b.t.Fatal(err)
	}
	defer out.Close()
	p.cmd = exec.Command(program, args...)
	p.cmd.Dir, p.cmd.Stdout, p.cmd.Stderr = b.dir, out, out
	// A group of its own: pyspark starts a JVM, which must end with it.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		b.t.Fatalf("%s (has test/engines/install.sh run?): %v", name, err)
	}
	go func() {
		_ = p.cmd.Wait()
		close(p.exited)
	}()
	b.t.Cleanup(p.kill)
	return p
}

// java starts a class of an engine with the jars that install.sh fetched for it.
func (b *bench) java(name, engine, class string, args ...string) *process {
	b.t.Helper()
	classes := filepath.Join(broker.Cache(), "engines", engine)
	flags := []string{"-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", classes + "/*:" + classes + "/classes"}
	return b.start(name, "java", slices.Concat(flags, javaFlags[engine], []string{class}, args)...)
}

// kill ends the process, and those that it started, with SIGKILL.
func (p *process) kill() {
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
	<-p.exited
}

// stop asks the process to end and waits until it has.
func (p *process) stop() {
	p.t.Helper()
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.exited:
	case <-time.After(patience):
		p.t.Fatalf("%s did not end within %v of SIGTERM:\n%s", p.name, patience, p.tail())
	}
}

// wait waits until the process ends by itself, which it must do well.
func (p *process) wait() {
	p.t.Helper()
	select {
	case <-p.exited:
	case <-time.After(patience):
		p.t.Fatalf("%s did not end within %v:\n%s", p.name, patience, p.tail())
	}
	if !p.cmd.ProcessState.Success() {
		p.t.Fatalf("%s: %v:\n%s", p.name, p.cmd.ProcessState, p.tail())
	}
}

func (p *process) tail() string {
	content, _ := os.ReadFile(p.log)
	return string(content[max(0, len(content)-6000):])
}

// lines are those of a file that end; of a file that is not there, none.
func lines(file string) []string {
	content, _ := os.ReadFile(file)
	var out []string
	for line := range bytes.Lines(content) {
		if text, whole := strings.CutSuffix(string(line), "\n"); whole {
			out = append(out, text)
		}
	}
	return out
}

// jarVersion is the version in the name of a jar that install.sh fetched.
func jarVersion(t *testing.T, engine, artifact string) string {
	t.Helper()
	jars, _ := filepath.Glob(filepath.Join(broker.Cache(), "engines", engine, artifact+"-[0-9]*.jar"))
	if len(jars) != 1 {
		t.Fatalf("%d jars of %s: has test/engines/install.sh run?", len(jars), artifact)
	}
	return strings.TrimSuffix(strings.TrimPrefix(filepath.Base(jars[0]), artifact+"-"), ".jar")
}
