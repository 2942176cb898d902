// Command demo is Ottla's main job on real input: it publishes 20,000 flights to a broker, kills the broker with SIGKILL in the
// middle, restarts it, reads all back, reads it again with a consumer group of two processes one of which is killed, and prints what it
// checked. `make demo` builds the broker and runs it.
//
// It talks to the broker only as any Kafka client does, and as an operator does: a process, a port, a data directory.
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	topic      = "flights"
	partitions = 6
	patience   = 60 * time.Second
)

func main() {
	binary := flag.String("ottla", "bin/ottla", "the broker's binary")
	input := flag.String("input", "testdata/flights.jsonl", "one JSON object a line")
	address := flag.String("member", "", "be a member of the demo's group, reading from the broker at this address")
	flag.Parse()
	if *address != "" {
		if err := runMember(*address); err != nil {
			fmt.Fprintln(os.Stderr, "demo: member:", err)
			os.Exit(1)
		}
		return
	}
	if err := run(*binary, *input); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func run(binary, input string) error {
	flights, err := load(input)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "ottla-demo-")
	if err != nil {
		return fmt.Errorf("make a data directory: %w", err)
	}
	defer os.RemoveAll(dir)
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	b, err := start(binary, dir, "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer func() { b.kill() }()
	fmt.Printf("broker      %s, ready in %v\n", b.address, b.readyIn.Round(time.Millisecond))
	if err := create(ctx, b.address); err != nil {
		return err
	}
	began := time.Now()
	if b, err = publish(ctx, b, binary, dir, flights); err != nil {
		return err
	}
	report("published", flights, time.Since(began))
	began = time.Now()
	records, err := readAll(ctx, b.address)
	if err != nil {
		return err
	}
	report("read back", flights, time.Since(began))
	if err := check(flights, records); err != nil {
		return err
	}
	if err := consume(ctx, b.address, len(flights)); err != nil {
		return err
	}
	chart(flights)
	return b.stop()
}

// flight is one line of the input: its origin is the record's key, the line itself the value.
type flight struct {
	origin string
	line   []byte
}

func load(path string) ([]flight, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the flights: %w", err)
	}
	var flights []flight
	for line := range bytes.Lines(content) {
		line = bytes.TrimSpace(line)
		var fields struct{ Origin string }
		if err := json.Unmarshal(line, &fields); err != nil || fields.Origin == "" {
			return nil, fmt.Errorf("line %d of %s is no flight: %w", len(flights)+1, path, err)
		}
		flights = append(flights, flight{fields.Origin, line})
	}
	return flights, nil
}

func report(did string, flights []flight, took time.Duration) {
	var size int
	for _, f := range flights {
		size += len(f.origin) + len(f.line)
	}
	fmt.Printf("%-11s %d flights, %.1f MB, in %v: %.1f MB/s\n", did, len(flights), float64(size)/1e6, took.Round(time.Millisecond), float64(size)/1e6/took.Seconds())
}

// broker is one life of the broker's process.
type broker struct {
	command *exec.Cmd
	address string
	readyIn time.Duration
}

func start(binary, dir, listen string) (*broker, error) {
	began := time.Now()
	command := exec.Command(binary, "serve", "--data", dir, "--listen", listen, "--admin", "none", "--log-level", "warn")
	command.Stderr = os.Stderr
	stdout, err := command.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("start the broker: %w", err)
	}
	if err := command.Start(); err != nil {
		return nil, fmt.Errorf("start the broker: %w", err)
	}
	b := &broker{command: command}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		b.kill()
		return nil, fmt.Errorf("the broker ended before it was ready: %w", err)
	}
	_, rest, ok := strings.Cut(line, "kafka ")
	address, _, cut := strings.Cut(rest, ",")
	if !ok || !cut {
		b.kill()
		return nil, fmt.Errorf("the broker's ready line names no address: %q", line)
	}
	b.address, b.readyIn = address, time.Since(began)
	return b, nil
}

// kill is kill -9. It does nothing to a process that has ended.
func (b *broker) kill() {
	if b.command.ProcessState == nil {
		b.command.Process.Kill()
		b.command.Wait()
	}
}

func (b *broker) stop() error {
	if err := b.command.Process.Signal(syscall.SIGTERM); err != nil {
		return fmt.Errorf("stop the broker: %w", err)
	}
	if err := b.command.Wait(); err != nil {
		return fmt.Errorf("the broker did not stop cleanly: %w", err)
	}
	fmt.Println("stopped     SIGTERM, exit code 0")
	return nil
}

func create(ctx context.Context, address string) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(address))
	if err != nil {
		return err
	}
	defer client.Close()
	if _, err := kadm.NewClient(client).CreateTopic(ctx, partitions, 1, nil, topic); err != nil {
		return fmt.Errorf("create topic %s: %w", topic, err)
	}
	return nil
}

// publish sends every flight with an idempotent producer and acks=all. When half of them are acknowledged, the broker gets SIGKILL and
// is started again on the same directory and port; the client retries what it has no answer for.
func publish(ctx context.Context, b *broker, binary, dir string, flights []flight) (*broker, error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(b.address), kgo.ProducerLinger(2*time.Millisecond), kgo.ProducerBatchMaxBytes(64<<10),
		kgo.MaxBufferedRecords(2000), kgo.RecordDeliveryTimeout(patience), kgo.RetryTimeout(patience), kgo.DialTimeout(time.Second),
		kgo.RetryBackoffFn(func(int) time.Duration { return 50 * time.Millisecond }))
	if err != nil {
		return b, err
	}
	defer client.Close()
	var acknowledged atomic.Int64
	failed := make(chan error, 1)
	half := make(chan struct{})
	for i, f := range flights {
		if i == len(flights)*3/4 {
			// Three quarters are handed over; wait until half is acknowledged, so that the kill finds requests in flight.
			select {
			case <-half:
			case err := <-failed:
				return b, err
			}
			b.kill()
			fmt.Printf("killed      SIGKILL after %d acknowledgements\n", acknowledged.Load())
			next, err := start(binary, dir, b.address)
			if err != nil {
				return b, err
			}
			b = next
			fmt.Printf("restarted   ready in %v\n", b.readyIn.Round(time.Millisecond))
		}
		sequence := binary64(uint64(i))
		record := &kgo.Record{Topic: topic, Key: []byte(f.origin), Value: f.line, Headers: []kgo.RecordHeader{{Key: "sequence", Value: sequence}}}
		client.Produce(ctx, record, func(_ *kgo.Record, err error) {
			if err != nil {
				select {
				case failed <- err:
				default:
				}
				return
			}
			if acknowledged.Add(1) == int64(len(flights)/2) {
				close(half)
			}
		})
	}
	if err := client.Flush(ctx); err != nil {
		return b, fmt.Errorf("wait for acknowledgements: %w", err)
	}
	select {
	case err := <-failed:
		return b, fmt.Errorf("publish: %w", err)
	default:
	}
	if n := acknowledged.Load(); n != int64(len(flights)) {
		return b, fmt.Errorf("published %d flights, %d acknowledged", len(flights), n)
	}
	return b, nil
}

func binary64(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

// readAll reads every partition from its start to the end that it has now.
func readAll(ctx context.Context, address string) ([]*kgo.Record, error) {
	all := map[int32]kgo.Offset{}
	for p := range int32(partitions) {
		all[p] = kgo.NewOffset().AtStart()
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(address), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: all}))
	if err != nil {
		return nil, err
	}
	defer client.Close()
	ends, err := kadm.NewClient(client).ListEndOffsets(ctx, topic)
	if err != nil {
		return nil, fmt.Errorf("find the ends: %w", err)
	}
	var want int64
	ends.Each(func(end kadm.ListedOffset) { want += end.Offset })
	var records []*kgo.Record
	for int64(len(records)) < want {
		fetches := client.PollFetches(ctx)
		if err := errors.Join(fetches.Err(), ctx.Err()); err != nil {
			return nil, fmt.Errorf("read back: %w", err)
		}
		records = append(records, fetches.Records()...)
	}
	return records, nil
}

// check compares what came back with what was sent: each flight once, unchanged, in its key's order, in its key's partition.
func check(flights []flight, records []*kgo.Record) error {
	seen := make([]bool, len(flights))
	last := map[string]int64{}
	for _, r := range records {
		if len(r.Headers) != 1 || len(r.Headers[0].Value) != 8 {
			return fmt.Errorf("record %d of partition %d has no sequence header", r.Offset, r.Partition)
		}
		n := int64(binary.BigEndian.Uint64(r.Headers[0].Value))
		key := string(r.Key)
		switch {
		case n >= int64(len(flights)) || seen[n]:
			return fmt.Errorf("flight %d came back twice", n)
		case flights[n].origin != key || !bytes.Equal(flights[n].line, r.Value):
			return fmt.Errorf("flight %d came back changed", n)
		case r.Partition != partitionOf(r.Key):
			return fmt.Errorf("key %s is in partition %d, Kafka's murmur2 says %d", key, r.Partition, partitionOf(r.Key))
		}
		if before, ok := last[key]; ok && before > n {
			return fmt.Errorf("key %s: flight %d came back after %d", key, n, before)
		}
		seen[n], last[key] = true, n
	}
	if missing := slices.Index(seen, false); missing >= 0 {
		return fmt.Errorf("flight %d was acknowledged and is gone", missing)
	}
	fmt.Printf("checked     %d records, none lost, doubled or changed; %d keys in order; each key's partition as Kafka's murmur2 gives it\n", len(records), len(last))
	return nil
}

// partitionOf is the Java client's choice for a key: murmur2 with its seed, sign bit cleared, modulo the partitions. Written
// here a second time so that the check does not ask the client that chose.
func partitionOf(key []byte) int32 {
	const m = 0x5bd1e995
	h := uint32(0x9747b28c) ^ uint32(len(key))
	for ; len(key) >= 4; key = key[4:] {
		k := binary.LittleEndian.Uint32(key) * m
		h = h*m ^ (k^k>>24)*m
	}
	for i := len(key) - 1; i >= 0; i-- {
		h ^= uint32(key[i]) << (8 * i)
	}
	if len(key) > 0 {
		h *= m
	}
	h = (h ^ h>>13) * m
	h ^= h >> 15
	return int32(h&0x7fffffff) % partitions
}

// chart prints the ten airports with the most departures.
func chart(flights []flight) {
	count := map[string]int{}
	for _, f := range flights {
		count[f.origin]++
	}
	airports := make([]string, 0, len(count))
	for airport := range count {
		airports = append(airports, airport)
	}
	slices.SortFunc(airports, func(a, b string) int {
		if count[a] != count[b] {
			return count[b] - count[a]
		}
		return strings.Compare(a, b)
	})
	fmt.Printf("\nrecords per airport, the ten busiest of %d:\n", len(airports))
	for _, airport := range airports[:min(10, len(airports))] {
		fmt.Printf("  %s %5d %s\n", airport, count[airport], strings.Repeat("█", count[airport]*50/count[airports[0]]))
	}
}
