package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/ottla-io/ottla/test/broker"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// system is one of the legs of a comparison: ours, the limit program, or Kafka.
type system interface {
	name() string
	// fresh gives an address and an empty topic of that many partitions, in the durability mode; ours and the limit start anew, Kafka is kept warm.
	fresh(mode string, partitions int) (addr, topic string, err error)
	pid() int
	said() string // what it printed, at the end
	// allocated is how many objects its heap has given out, 0 if it does not tell.
	allocated() int64
	// clear ends a row: its data is gone before the next one.
	clear() error
	close()
}

// brokers is Ottla or Kafka.
type brokers struct {
	kind broker.Kind
	root string
	mode string
	b    *broker.Broker
	n    int
	made []string // topics of this row
}

func (s *brokers) name() string { return string(s.kind) }
func (s *brokers) pid() int     { return s.b.PID() }

func (s *brokers) said() string {
	if s.b == nil {
		return ""
	}
	out := s.b.Output()
	return "\n" + out[max(0, len(out)-3000):]
}

func (s *brokers) fresh(mode string, partitions int) (string, string, error) {
	s.n++
	if s.b == nil || s.kind != broker.Kafka || s.mode != mode {
		s.close()
		dir, err := os.MkdirTemp(s.root, s.name()+"-")
		if err != nil {
			return "", "", err
		}
		s.b, err = broker.Start(broker.Config{Kind: s.kind, Dir: dir, FullHeap: true, Settings: s.settings(mode)})
		if err != nil {
			return "", "", err
		}
		s.mode = mode
		if s.kind == broker.Kafka {
			if err := s.warm(); err != nil {
				return "", "", err
			}
		}
	}
	topic := fmt.Sprintf("bench%d", s.n)
	s.made = append(s.made, topic)
	return s.b.Addr(), topic, createTopic(s.b.Addr(), topic, partitions)
}

// allocated asks the metrics of Ottla's admin address.
func (s *brokers) allocated() int64 {
	if s.kind != broker.Ottla {
		return 0
	}
	text, err := getAdmin(s.b, "/metrics")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(line, "go_memstats_mallocs_total "); ok {
			n, _ := strconv.ParseFloat(strings.TrimSpace(value), 64)
			return int64(n)
		}
	}
	return 0
}

func getAdmin(b *broker.Broker, path string) (string, error) {
	resp, err := http.Get("http://" + b.AdminAddr() + path)
	if err != nil {
		return "", err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	return string(body), err
}

// warm gives the JVM 2 GB of large and 20,000 small requests that are not counted.
func (s *brokers) warm() error {
	if err := createTopic(s.b.Addr(), "warm", 6); err != nil {
		return err
	}
	for _, inFlight := range []int{1, 16} {
		if _, err := pipelined(s.b.Addr(), smallRequests("warm", -1, 1), inFlight, 10_000<<10, 20*time.Second); err != nil {
			return err
		}
	}
	payload := int64(2 << 30)
	if s.mode == "fsync" {
		payload = 512 << 20
	}
	_, err := pipelined(s.b.Addr(), bulkRequests("warm", 1), 5, payload, time.Minute)
	return err
}

func (s *brokers) settings(mode string) map[string]string {
	settings := map[string]string{"ottla.durability": mode}
	if s.kind == broker.Kafka {
		settings["log.segment.delete.delay.ms"] = "100" // so that clear need not wait a minute
	}
	return settings
}

// manyPartitions is from where on a new JVM costs less time than waiting for the old one to delete its files.
const manyPartitions = 100

func (s *brokers) clear() error {
	made := s.made
	s.made = nil
	if s.b == nil {
		return nil
	}
	rowLogs := func() (names []string) {
		names, _ = filepath.Glob(filepath.Join(s.b.Dir(), "log", "bench*-*")) // where package broker has Kafka's logs
		return names
	}
	logs := rowLogs()
	if s.kind != broker.Kafka || len(logs) >= manyPartitions {
		s.close()
		return nil
	}
	if err := withAdmin(s.b.Addr(), func(ctx context.Context, admin *kadm.Client) error {
		_, err := admin.DeleteTopics(ctx, made...)
		return err
	}); err != nil {
		return fmt.Errorf("delete the topics of a row: %w", err)
	}
	for end := time.Now().Add(30 * time.Second); len(rowLogs()) > 0; {
		if time.Now().After(end) {
			s.close() // it will be started again, and warmed
			return nil
		}
		time.Sleep(100 * time.Millisecond)
	}
	return nil
}

func (s *brokers) close() {
	if s.b != nil {
		s.b.Kill()
		_ = os.RemoveAll(s.b.Dir())
		s.b = nil
	}
}

// createTopic creates a topic and waits until it answers.
func createTopic(addr, topic string, partitions int) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.MetadataMinAge(20*time.Millisecond))
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	admin := kadm.NewClient(client)
	if _, err := admin.CreateTopic(ctx, int32(partitions), 1, nil, topic); err != nil {
		return fmt.Errorf("create topic %s: %w", topic, err)
	}
	return answers(ctx, admin, topic, partitions)
}

// answers waits until each partition of a topic has a leader that answers.
func answers(ctx context.Context, admin *kadm.Client, topic string, partitions int) error {
	for {
		listed, err := admin.ListEndOffsets(ctx, topic)
		if err == nil && listed.Error() == nil && len(listed[topic]) == partitions {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("topic %s does not answer: %v %v", topic, err, listed.Error())
		}
	}
}

// limits is the limit program, this same binary in a process of its own.
type limits struct {
	root string
	dir  string
	cmd  *exec.Cmd
}

func (l *limits) name() string { return "limit" }
func (l *limits) pid() int     { return l.cmd.Process.Pid }

func (l *limits) allocated() int64 { return 0 }

func (l *limits) clear() error { l.close(); return nil }

func (l *limits) said() string { return "" } // straight to standard error

func (l *limits) fresh(mode string, _ int) (string, string, error) {
	l.close()
	port, err := broker.FreePort()
	if err != nil {
		return "", "", err
	}
	if l.dir, err = os.MkdirTemp(l.root, "limit-"); err != nil {
		return "", "", err
	}
	addr := fmt.Sprintf("127.0.0.1:%d", port)
	self, err := os.Executable()
	if err != nil {
		return "", "", err
	}
	l.cmd = exec.Command(self, "limit", addr, l.dir, mode)
	l.cmd.Stderr = os.Stderr
	l.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := l.cmd.StdoutPipe()
	if err != nil {
		return "", "", err
	}
	if err := l.cmd.Start(); err != nil {
		return "", "", err
	}
	_, err = bufio.NewReader(out).ReadString('\n')
	return addr, "bench", err
}

func (l *limits) close() {
	if l.cmd != nil {
		_ = l.cmd.Process.Kill()
		_ = l.cmd.Wait()
		_ = os.RemoveAll(l.dir)
		l.cmd = nil
	}
}

// startToReady times a start over an empty (Kafka: freshly formatted) directory until Metadata is answered in full, and looks at the idle process.
func startToReady(kind broker.Kind, root string, settle time.Duration) (ready time.Duration, idle usage, err error) {
	dir, err := os.MkdirTemp(root, "start-")
	if err != nil {
		return 0, usage{}, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if kind == broker.Kafka { // its format step is not part of the start
		b, err := broker.Start(broker.Config{Kind: kind, Dir: dir, FullHeap: true})
		if err != nil {
			return 0, usage{}, err
		}
		b.Kill()
	}
	var b *broker.Broker
	b, ready, err = broker.StartTimed(broker.Config{Kind: kind, Dir: filepath.Clean(dir), FullHeap: true}, answersMetadata)
	if err != nil {
		return 0, usage{}, err
	}
	defer b.Kill()
	time.Sleep(settle)
	idle, err = usageOf(b.PID())
	return ready, idle, err
}

// answersMetadata asks over a bare socket, so that no client's start or backoff is in the figure.
func answersMetadata(addr string) bool {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return false
	}
	defer func() { _ = conn.Close() }()
	req := kmsg.NewPtrMetadataRequest()
	req.Version, req.Topics = 9, []kmsg.MetadataRequestTopic{}
	if _, err := conn.Write(kmsg.NewRequestFormatter(kmsg.FormatterClientID(clientID)).AppendRequest(nil, req, 1)); err != nil {
		return false
	}
	body, err := readResponse(conn, nil)
	if err != nil || len(body) < 5 {
		return false
	}
	resp := kmsg.NewPtrMetadataResponse()
	resp.Version = 9
	return resp.ReadFrom(body[5:]) == nil && len(resp.Brokers) > 0
}
