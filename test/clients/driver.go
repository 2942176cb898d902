package clients

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"

	"github.com/ottla-io/ottla/test/broker"
)

// driver is a client of another language in a process of its own. The protocol, one JSON object a line:
//
//	in:  {"op":"produce"|"run"|"consume"|"offsets"|"create"|"delete"|"list"|"describe", "bootstrap":…, …}
//	out: any number of {"ready":true,"o":position}, {"p","s","o"|"e"} (acknowledgements of a run), {"o","t","k","v","h"} (records read),
//	     then exactly one {"done":true, "error":…?, results…}
//
// Bytes travel as base64, null as null. Commands are served one after another.
type driver struct {
	name    string
	traits  Traits
	addr    string
	command []string
	dir     string

	mu     sync.Mutex
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    *bufio.Reader
	stderr bytes.Buffer
}

// NewLibrdkafka is librdkafka, through confluent-kafka.
func NewLibrdkafka(addr string) Client {
	return &driver{name: "librdkafka", addr: addr, traits: Traits{Librdkafka: true, Codecs: allCodecs},
		command: []string{filepath.Join(broker.Cache(), "venv/bin/python3"), "-u", "confluent.py"}, dir: filepath.Join(broker.ModuleDir(), "clients/python")}
}

func newKafkaPython(addr string) Client {
	return &driver{name: "kafka-python", addr: addr, traits: Traits{Codecs: allCodecs, NoNullHeaders: true, NoMaxTimestamp: true, NoConfigs: true},
		command: []string{filepath.Join(broker.Cache(), "venv/bin/python3"), "-u", "kafkapy.py"}, dir: filepath.Join(broker.ModuleDir(), "clients/python")}
}

func newJava(addr string) Client {
	cache := broker.Cache()
	return &driver{name: "java", addr: addr, traits: Traits{Codecs: allCodecs},
		command: []string{"java", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
			"-Dlog4j2.configurationFile=file:" + filepath.Join(broker.ModuleDir(), "kafka/log4j2-quiet.properties"),
			"-cp", filepath.Join(cache, "java") + ":" + filepath.Join(cache, "kafka") + "/*", "Driver"}, dir: cache}
}

func (d *driver) Name() string   { return d.name }
func (d *driver) Traits() Traits { return d.traits }

func (d *driver) start() error {
	if d.cmd != nil {
		return nil
	}
	cmd := exec.Command(d.command[0], d.command[1:]...)
	cmd.Dir = d.dir
	cmd.Env = append(os.Environ(), "PYTHONDONTWRITEBYTECODE=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd.Stderr = &d.stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("%s (has test/install.sh run?): %w", d.name, err)
	}
	d.cmd, d.in, d.out = cmd, in, bufio.NewReaderSize(out, 1<<20)
	return nil
}

func (d *driver) Close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.stop()
}

func (d *driver) stop() {
	if d.cmd == nil {
		return
	}
	_ = d.in.Close()
	_ = d.cmd.Process.Kill()
	_ = d.cmd.Wait()
	d.cmd = nil
}

// answer is any line that a driver says.
type answer struct {
	Done  bool    `json:"done"`
	Ready bool    `json:"ready"`
	Error string  `json:"error"`
	Acks  []int64 `json:"acks"`

	P *int     `json:"p"`
	S *int     `json:"s"`
	E string   `json:"e"`
	O int64    `json:"o"`
	T int64    `json:"t"`
	K []byte   `json:"k"`
	V []byte   `json:"v"`
	H []Header `json:"h"`

	Offsets    []int64           `json:"offsets"`
	Names      []string          `json:"names"`
	Partitions int               `json:"partitions"`
	Leader     int               `json:"leader"`
	Nodes      int               `json:"nodes"`
	Cluster    string            `json:"cluster"`
	Configs    map[string]string `json:"configs"`
}

// do sends a command and hands every line before the last to each.
func (d *driver) do(ctx context.Context, command map[string]any, each func(answer)) (answer, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.start(); err != nil {
		return answer{}, err
	}
	command["bootstrap"] = d.addr
	line, err := json.Marshal(command)
	if err != nil {
		return answer{}, err
	}
	process := d.cmd.Process
	stop := context.AfterFunc(ctx, func() { _ = process.Kill() })
	defer stop()
	if _, err := d.in.Write(append(line, '\n')); err != nil {
		d.stop()
		return answer{}, fmt.Errorf("%s: %w\n%s", d.name, err, d.stderr.String())
	}
	for {
		line, err := d.out.ReadBytes('\n')
		if err != nil {
			d.stop()
			return answer{}, fmt.Errorf("%s: ended (%w, %v)\n%s", d.name, err, ctx.Err(), d.stderr.String())
		}
		var a answer
		if err := json.Unmarshal(line, &a); err != nil {
			return answer{}, fmt.Errorf("%s said %q: %w", d.name, line, err)
		}
		if a.Done {
			if a.Error != "" {
				return a, fmt.Errorf("%s: %s", d.name, a.Error)
			}
			return a, nil
		}
		if each != nil {
			each(a)
		}
	}
}

func (d *driver) Produce(ctx context.Context, cfg ProduceConfig, records []Record) ([]int64, error) {
	a, err := d.do(ctx, map[string]any{"op": "produce", "topic": cfg.Topic, "codec": cfg.Codec, "idempotent": cfg.Idempotent, "records": records}, nil)
	return a.Acks, err
}

func (d *driver) Run(ctx context.Context, cfg RunConfig, ack func(Ack)) error {
	_, err := d.do(ctx, map[string]any{"op": "run", "topic": cfg.Topic, "partitions": cfg.Partitions, "count": cfg.Count, "rate": cfg.Rate,
		"pad": cfg.Pad, "codec": cfg.Codec, "idempotent": cfg.Idempotent}, func(a answer) {
		if a.P != nil && a.S != nil {
			ack(Ack{Partition: *a.P, Sequence: *a.S, Offset: a.O, Err: a.E})
		}
	})
	return err
}

func (d *driver) Consume(ctx context.Context, topic string, partition int32, from From, count int, ready func(int64)) ([]Record, error) {
	deadline := timeout
	var records []Record
	_, err := d.do(ctx, map[string]any{"op": "consume", "topic": topic, "partition": partition, "from": from.Kind, "at": from.At,
		"count": count, "timeoutMs": deadline.Milliseconds() / 2}, func(a answer) {
		if a.Ready {
			ready(a.O)
			return
		}
		records = append(records, Record{Partition: partition, Offset: a.O, TimestampMs: a.T, Key: a.K, Value: a.V, Headers: a.H})
	})
	return records, err
}

func (d *driver) Offsets(ctx context.Context, topic string, partition int32, ats []int64) ([]int64, error) {
	a, err := d.do(ctx, map[string]any{"op": "offsets", "topic": topic, "partition": partition, "ats": ats}, nil)
	if err == nil && len(a.Offsets) != len(ats) {
		err = errors.New("driver answered fewer offsets than asked")
	}
	return a.Offsets, err
}

func (d *driver) CreateTopic(ctx context.Context, topic string, partitions, replicas int, configs map[string]string) error {
	_, err := d.do(ctx, map[string]any{"op": "create", "topic": topic, "partitions": partitions, "replicas": replicas, "configs": configs}, nil)
	return err
}

func (d *driver) DeleteTopic(ctx context.Context, topic string) error {
	_, err := d.do(ctx, map[string]any{"op": "delete", "topic": topic}, nil)
	return err
}

func (d *driver) ListTopics(ctx context.Context) ([]string, error) {
	a, err := d.do(ctx, map[string]any{"op": "list"}, nil)
	return a.Names, err
}

func (d *driver) DescribeTopic(ctx context.Context, topic string) (Description, error) {
	a, err := d.do(ctx, map[string]any{"op": "describe", "topic": topic}, nil)
	return Description{Partitions: a.Partitions, Leader: a.Leader, Nodes: a.Nodes, Cluster: a.Cluster, Configs: a.Configs}, err
}
