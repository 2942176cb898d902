// Package broker starts, kills and restarts the broker under test as a process of its own: Ottla, or Apache Kafka 4.3.1 as a check of the suite itself.
//
// Which one is the environment variable OTTLA_TEST_PEER ("ottla", the default, or "kafka"). OTTLA_BIN names a ready binary; without it
// the command in ../cmd/ottla is built once per test process. Everything listens on 127.0.0.1, ports 19400–19999.
// The package never looks into the broker's memory or files beyond the log directory of a partition: what it tests is what a user has.
package broker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"sort"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Kind is the program that runs as the broker.
type Kind string

// The brokers that this package can start.
const (
	Ottla Kind = "ottla"
	Kafka Kind = "kafka"
)

// Peer is the broker that the environment asks for.
func Peer() Kind {
	if Kind(os.Getenv("OTTLA_TEST_PEER")) == Kafka {
		return Kafka
	}
	return Ottla
}

// Config says how to start a broker. Settings are broker settings in Kafka's names, plus ottla.durability, which for Kafka becomes
// its nearest equal: log.flush.interval.messages=1 for fsync, its defaults for replicated.
type Config struct {
	Kind     Kind
	Dir      string
	Settings map[string]string
	// FullHeap gives Kafka the heap and compilers of its own scripts, for measurements; otherwise a small, quickly started JVM.
	FullHeap bool
}

// Broker is one broker process at a time over one data directory and one port; it can be killed and started again.
type Broker struct {
	cfg    Config
	port   int
	output bytes.Buffer
	mu     sync.Mutex // output
	cmd    *exec.Cmd
	exited chan struct{}
	status error
}

var nextPort atomic.Int32

// FreePort finds a port of 127.0.0.1 in [19400, 19700) whose upper neighbour by 300 is free too (Kafka's controller takes that one).
func FreePort() (int, error) {
	for range 300 {
		port := 19400 + (os.Getpid()*7+int(nextPort.Add(1)))%300
		if free(port) && free(port+300) {
			return port, nil
		}
	}
	return 0, errors.New("no free port in 19400–19699")
}

func free(port int) bool {
	l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return false
	}
	_ = l.Close()
	return true
}

// Start starts a broker and waits until it answers Metadata.
func Start(cfg Config) (*Broker, error) {
	if cfg.Kind == "" {
		cfg.Kind = Peer()
	}
	port, err := FreePort()
	if err != nil {
		return nil, err
	}
	b := &Broker{cfg: cfg, port: port}
	if err := b.Restart(); err != nil {
		return nil, err
	}
	return b, nil
}

// Addr is the broker's HOST:PORT.
func (b *Broker) Addr() string { return fmt.Sprintf("127.0.0.1:%d", b.port) }

// AdminAddr is the HOST:PORT of Ottla's metrics and profiles; with OTTLA_TEST_ADMIN set, that.
func (b *Broker) AdminAddr() string {
	if admin := os.Getenv("OTTLA_TEST_ADMIN"); admin != "" {
		return admin
	}
	return fmt.Sprintf("127.0.0.1:%d", b.port+300)
}

// Dir is the data directory given at the start.
func (b *Broker) Dir() string { return b.cfg.Dir }

// PID is the process id of the running broker.
func (b *Broker) PID() int { return b.cmd.Process.Pid }

// PartitionDir is where the segments of a partition lie.
func (b *Broker) PartitionDir(topic string, partition int) string {
	name := fmt.Sprintf("%s-%d", topic, partition)
	if b.cfg.Kind == Kafka {
		return filepath.Join(b.cfg.Dir, "log", name)
	}
	return filepath.Join(b.cfg.Dir, name)
}

// Output is what the broker printed so far, standard output and error together.
func (b *Broker) Output() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.output.String()
}

type outputWriter struct{ b *Broker }

func (w outputWriter) Write(p []byte) (int, error) {
	w.b.mu.Lock()
	defer w.b.mu.Unlock()
	if w.b.output.Len() > 4<<20 {
		w.b.output.Reset()
	}
	return w.b.output.Write(p)
}

// Restart starts the process again over the same directory and port, with the same settings, and waits until it is ready.
func (b *Broker) Restart() error {
	if err := b.spawn(); err != nil {
		return err
	}
	return b.WaitReady(60 * time.Second)
}

// spawn starts the process and returns without waiting for it to serve.
func (b *Broker) spawn() error {
	if b.running() {
		return errors.New("broker: already running")
	}
	name, args, env, err := b.command()
	if err != nil {
		return err
	}
	cmd := exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr = outputWriter{b}, outputWriter{b}
	cmd.Env = append(os.Environ(), env...)
	if b.cfg.Kind == Ottla {
		// The suite's own OTTLA_… variables are not settings of the broker, which refuses names that it does not know.
		cmd.Env = slices.DeleteFunc(cmd.Env, func(v string) bool { return strings.HasPrefix(v, "OTTLA_") })
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("broker: %w", err)
	}
	exited := make(chan struct{})
	b.cmd, b.exited = cmd, exited
	go func() {
		err := cmd.Wait()
		b.mu.Lock()
		b.status = err
		b.mu.Unlock()
		close(exited)
	}()
	return nil
}

func (b *Broker) command() (name string, args, env []string, err error) {
	keys := make([]string, 0, len(b.cfg.Settings))
	for k := range b.cfg.Settings {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	if b.cfg.Kind == Kafka {
		args = []string{"broker-up", b.cfg.Dir, fmt.Sprint(b.port), fmt.Sprint(b.port + 300)}
		for _, k := range keys {
			v := b.cfg.Settings[k]
			switch {
			case k == "ottla.durability" && v == "fsync":
				k, v = "log.flush.interval.messages", "1"
			case strings.HasPrefix(k, "ottla."):
				continue
			}
			args = append(args, k+"="+v)
		}
		if !b.cfg.FullHeap {
			env = append(env, "KAFKA_OPTS=-Xmx384m -XX:+UseSerialGC -XX:TieredStopAtLevel=1")
		}
		return filepath.Join(ModuleDir(), "kafka", "kafka"), args, env, nil
	}
	bin, err := Binary()
	if err != nil {
		return "", nil, nil, err
	}
	args = []string{"serve", "--data", b.cfg.Dir, "--listen", b.Addr(), "--admin", b.AdminAddr()}
	for _, k := range keys {
		args = append(args, "--set", k+"="+b.cfg.Settings[k])
	}
	return bin, args, nil, nil
}

// Probe asks for Metadata once and says whether the broker answered in full.
func Probe(addr string, timeout time.Duration) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.RequestRetries(0), kgo.DialTimeout(timeout))
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	req := kmsg.NewPtrMetadataRequest()
	req.Topics = []kmsg.MetadataRequestTopic{}
	resp, err := req.RequestWith(ctx, client)
	if err != nil {
		return err
	}
	if len(resp.Brokers) == 0 {
		return errors.New("metadata names no broker")
	}
	return nil
}

// WaitReady waits until the broker answers Metadata, or says why it did not.
func (b *Broker) WaitReady(limit time.Duration) error {
	deadline := time.Now().Add(limit)
	for {
		conn, err := net.DialTimeout("tcp", b.Addr(), time.Second)
		if err == nil {
			_ = conn.Close()
			if err = Probe(b.Addr(), 3*time.Second); err == nil {
				return nil
			}
		}
		select {
		case <-b.exited:
			return fmt.Errorf("broker exited before it was ready: %v\n%s", b.status, tail(b.Output()))
		case <-time.After(5 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("broker not ready after %v: %v\n%s", limit, err, tail(b.Output()))
		}
	}
}

func (b *Broker) running() bool {
	if b.cmd == nil {
		return false
	}
	select {
	case <-b.exited:
		return false
	default:
		return true
	}
}

// Kill ends the process with SIGKILL and waits for its end.
func (b *Broker) Kill() {
	if b.running() {
		_ = b.cmd.Process.Signal(syscall.SIGKILL)
		<-b.exited
	}
}

// Stop asks the process to end (SIGTERM) and waits; an exit status other than a clean one, or none within the limit, is an error.
func (b *Broker) Stop() error {
	if !b.running() {
		return nil
	}
	_ = b.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-b.exited:
	case <-time.After(30 * time.Second):
		b.Kill()
		return fmt.Errorf("broker did not end within 30 s of SIGTERM\n%s", tail(b.Output()))
	}
	// The JVM ends by the signal's number after an orderly shutdown; Ottla exits 0.
	if b.status != nil && b.cfg.Kind == Ottla {
		return fmt.Errorf("broker after SIGTERM: %w\n%s", b.status, tail(b.Output()))
	}
	return nil
}

func tail(s string) string {
	if len(s) > 4000 {
		return "…" + s[len(s)-4000:]
	}
	return s
}

// ModuleDir is the directory of the test module.
func ModuleDir() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Dir(filepath.Dir(file))
}

// Cache is where install.sh put the foreign programs.
func Cache() string {
	if dir := os.Getenv("OTTLA_TEST_CACHE"); dir != "" {
		return dir
	}
	home, _ := os.UserHomeDir()
	return filepath.Join(home, ".cache", "ottla-test")
}

// Binary is the ottla binary under test: OTTLA_BIN, or the one built from ../cmd/ottla.
var Binary = sync.OnceValues(func() (string, error) {
	if bin := os.Getenv("OTTLA_BIN"); bin != "" {
		return filepath.Abs(bin)
	}
	if err := os.MkdirAll(Cache(), 0o755); err != nil {
		return "", err
	}
	removeStale()
	bin := filepath.Join(Cache(), fmt.Sprintf("ottla.%d", os.Getpid()))
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", bin, "./cmd/ottla")
	cmd.Dir = filepath.Dir(ModuleDir())
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build ./cmd/ottla: %w\n%s", err, out)
	}
	return bin, nil
})

// StartTimed starts a broker and tells how long it took from the start of the process until ready said yes.
func StartTimed(cfg Config, ready func(addr string) bool) (*Broker, time.Duration, error) {
	port, err := FreePort()
	if err != nil {
		return nil, 0, err
	}
	if cfg.Kind == Ottla {
		if _, err := Binary(); err != nil {
			return nil, 0, err
		}
	}
	b := &Broker{cfg: cfg, port: port}
	took, err := b.RestartTimed(ready)
	if err != nil {
		return nil, 0, err
	}
	return b, took, nil
}

// RestartTimed starts the process again over the same directory and port, and tells how long it took until ready said yes.
func (b *Broker) RestartTimed(ready func(addr string) bool) (time.Duration, error) {
	begin := time.Now()
	if err := b.spawn(); err != nil {
		return 0, err
	}
	for !ready(b.Addr()) {
		select {
		case <-b.exited:
			return 0, fmt.Errorf("broker exited before it was ready: %v\n%s", b.status, tail(b.Output()))
		case <-time.After(time.Millisecond):
		}
		if time.Since(begin) > time.Minute {
			b.Kill()
			return 0, fmt.Errorf("broker not ready after a minute\n%s", tail(b.Output()))
		}
	}
	return time.Since(begin), nil
}

// removeStale removes the binaries of test processes that are no more.
func removeStale() {
	old, _ := filepath.Glob(filepath.Join(Cache(), "ottla.*"))
	for _, file := range old {
		pid, err := strconv.Atoi(strings.TrimPrefix(filepath.Ext(file), "."))
		if err == nil && errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
			_ = os.Remove(file)
		}
	}
}
