package clients

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"
)

// kcat is Debian's kcat (librdkafka 2.0.2), called as on a command line, once a partition.
type kcat struct{ addr string }

func newKcat(addr string) Client { return &kcat{addr} }

func (k *kcat) Name() string { return "kcat" }
func (k *kcat) Traits() Traits {
	return Traits{Librdkafka: true, Codecs: allCodecs, NoTimestamps: true, TextOnly: true, NoNullHeaders: true, NoAckOffsets: true, NoAdmin: true, NoMaxTimestamp: true, NoConfigs: true}
}
func (k *kcat) Close() {}

func (k *kcat) producer(ctx context.Context, topic, partition, codec string, idempotent bool, headers []Header) *exec.Cmd {
	args := []string{"-P", "-E", "-b", k.addr, "-t", topic, "-p", partition, "-z", codec, "-K", "\t", "-D", "\n", "-Z",
		"-X", "linger.ms=20", "-X", fmt.Sprintf("enable.idempotence=%v", idempotent), "-X", "acks=all", "-X", "message.timeout.ms=90000",
		"-X", "reconnect.backoff.max.ms=200", "-X", "log_level=0"}
	for _, h := range headers {
		args = append(args, "-H", fmt.Sprintf("%s=%s", h.Key, h.Value))
	}
	return exec.CommandContext(ctx, "kcat", args...)
}

func sameHeaders(a, b []Header) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].Key != b[i].Key || !bytes.Equal(a[i].Value, b[i].Value) {
			return false
		}
	}
	return true
}

// Produce calls kcat once for each stretch of records of one partition with the same headers, for it has one set of headers a call.
func (k *kcat) Produce(ctx context.Context, cfg ProduceConfig, records []Record) ([]int64, error) {
	byPartition := map[int32][]Record{}
	for _, r := range records {
		byPartition[r.Partition] = append(byPartition[r.Partition], r)
	}
	for partition, rs := range byPartition {
		for len(rs) > 0 {
			n := 1
			for n < len(rs) && sameHeaders(rs[0].Headers, rs[n].Headers) {
				n++
			}
			var in bytes.Buffer
			for _, r := range rs[:n] {
				fmt.Fprintf(&in, "%s\t%s\n", r.Key, r.Value)
			}
			cmd := k.producer(ctx, cfg.Topic, fmt.Sprint(partition), cfg.Codec, cfg.Idempotent, rs[0].Headers)
			cmd.Stdin = &in
			if out, err := cmd.CombinedOutput(); err != nil {
				return nil, fmt.Errorf("kcat: %w\n%s", err, out)
			}
			rs = rs[n:]
		}
	}
	return nil, nil
}

// Run feeds one kcat a partition at the rate. kcat tells no offsets; its exit status 0 acknowledges all (offset −1).
func (k *kcat) Run(ctx context.Context, cfg RunConfig, ack func(Ack)) error {
	var (
		wg   sync.WaitGroup
		mu   sync.Mutex
		errs []error
	)
	for p := range cfg.Partitions {
		cmd := k.producer(ctx, cfg.Topic, fmt.Sprint(p), cfg.Codec, cfg.Idempotent, nil)
		in, err := cmd.StdinPipe()
		if err != nil {
			return err
		}
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		if err := cmd.Start(); err != nil {
			return err
		}
		wg.Add(1)
		go func() {
			defer wg.Done()
			start, pad := time.Now(), strings.Repeat("x", cfg.Pad)
			for i := range cfg.Count {
				fmt.Fprintf(in, "\t%d-%d-%s\n", p, i, pad)
				pace(ctx, start, i+1, max(1, cfg.Rate/cfg.Partitions))
			}
			_ = in.Close()
			err := cmd.Wait()
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				errs = append(errs, fmt.Errorf("kcat: %w\n%s", err, stderr.String()))
				return
			}
			for i := range cfg.Count {
				ack(Ack{Partition: p, Sequence: i, Offset: -1})
			}
		}()
	}
	wg.Wait()
	return errors.Join(errs...)
}

var reachedEnd = regexp.MustCompile(`Reached end of topic \S+ \[\d+\] at offset (\d+)`)

func (k *kcat) Consume(ctx context.Context, topic string, partition int32, from From, count int, ready func(int64)) ([]Record, error) {
	at := map[string]string{"earliest": "beginning", "latest": "end", "offset": fmt.Sprint(from.At), "timestamp": fmt.Sprintf("s@%d", from.At)}[from.Kind]
	cmd := exec.CommandContext(ctx, "kcat", "-C", "-b", k.addr, "-t", topic, "-p", fmt.Sprint(partition), "-o", at, "-c", fmt.Sprint(count), "-u",
		"-f", `%o %T %K %S %h\n%k%s\n`, "-X", "check.crcs=true", "-X", "fetch.wait.max.ms=100")
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	complaints, err := cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	if from.Kind != "latest" {
		ready(-1)
	}
	said := make(chan string, 1)
	go func() {
		var all strings.Builder
		told := from.Kind != "latest"
		for lines := bufio.NewScanner(complaints); lines.Scan(); {
			all.WriteString(lines.Text() + "\n")
			if m := reachedEnd.FindStringSubmatch(lines.Text()); m != nil && !told {
				told = true
				offset, _ := strconv.ParseInt(m[1], 10, 64)
				ready(offset)
			}
		}
		said <- all.String()
	}()
	records, err := parseKcat(bufio.NewReaderSize(out, 1<<20), partition)
	complaint := <-said
	if waitErr := cmd.Wait(); err == nil && waitErr != nil {
		err = fmt.Errorf("kcat: %w\n%s", waitErr, complaint)
	}
	return records, err
}

func parseKcat(in *bufio.Reader, partition int32) ([]Record, error) {
	var records []Record
	for {
		line, err := in.ReadString('\n')
		if errors.Is(err, io.EOF) && line == "" {
			return records, nil
		}
		if err != nil {
			return records, err
		}
		fields := strings.SplitN(strings.TrimSuffix(line, "\n"), " ", 5)
		if len(fields) != 5 {
			return records, fmt.Errorf("kcat said %q", line)
		}
		var n [4]int64
		for i := range n {
			if n[i], err = strconv.ParseInt(fields[i], 10, 64); err != nil {
				return records, fmt.Errorf("kcat said %q", line)
			}
		}
		r := Record{Partition: partition, Offset: n[0], TimestampMs: n[1]}
		for i, field := range []*[]byte{&r.Key, &r.Value} {
			if n[2+i] < 0 {
				continue
			}
			*field = make([]byte, n[2+i])
			if _, err := io.ReadFull(in, *field); err != nil {
				return records, err
			}
		}
		if fields[4] != "" {
			for _, h := range strings.Split(fields[4], ",") {
				key, value, _ := strings.Cut(h, "=")
				r.Headers = append(r.Headers, Header{key, []byte(value)})
			}
		}
		if b, err := in.ReadByte(); err != nil || b != '\n' {
			return records, fmt.Errorf("kcat: no line end after offset %d", r.Offset)
		}
		records = append(records, r)
	}
}

var queried = regexp.MustCompile(`offset (-?\d+)`)

func (k *kcat) Offsets(ctx context.Context, topic string, partition int32, ats []int64) ([]int64, error) {
	var found []int64
	for _, at := range ats {
		out, err := exec.CommandContext(ctx, "kcat", "-Q", "-b", k.addr, "-t", fmt.Sprintf("%s:%d:%d", topic, partition, at)).CombinedOutput()
		m := queried.FindSubmatch(out)
		if err != nil || m == nil {
			return nil, fmt.Errorf("kcat -Q: %v\n%s", err, out)
		}
		offset, _ := strconv.ParseInt(string(m[1]), 10, 64)
		found = append(found, offset)
	}
	return found, nil
}

var errCannot = errors.New("this client cannot do that")

func (k *kcat) CreateTopic(context.Context, string, int, int, map[string]string) error {
	return errCannot
}
func (k *kcat) DeleteTopic(context.Context, string) error { return errCannot }

func (k *kcat) list(ctx context.Context, args ...string) (string, error) {
	out, err := exec.CommandContext(ctx, "kcat", append([]string{"-L", "-b", k.addr}, args...)...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("kcat -L: %w\n%s", err, out)
	}
	return string(out), nil
}

var (
	listedTopic  = regexp.MustCompile(`topic "([^"]+)" with \d+ partitions`)
	listedDetail = regexp.MustCompile(`partition 0, leader (-?\d+)`)
	listedCount  = regexp.MustCompile(`with (\d+) partitions`)
	listedNodes  = regexp.MustCompile(`(\d+) brokers:`)
)

func (k *kcat) ListTopics(ctx context.Context) (names []string, err error) {
	out, err := k.list(ctx)
	for _, m := range listedTopic.FindAllStringSubmatch(out, -1) {
		names = append(names, m[1])
	}
	return names, err
}

func (k *kcat) DescribeTopic(ctx context.Context, topic string) (d Description, err error) {
	out, err := k.list(ctx, "-t", topic)
	if err != nil {
		return d, err
	}
	for re, field := range map[*regexp.Regexp]*int{listedDetail: &d.Leader, listedCount: &d.Partitions, listedNodes: &d.Nodes} {
		m := re.FindStringSubmatch(out)
		if m == nil {
			return d, fmt.Errorf("kcat -L lacks %v:\n%s", re, out)
		}
		*field, _ = strconv.Atoi(m[1])
	}
	return d, nil
}
