// Command bench measures the broker under test beside the limit program (and, with -kafka, Apache Kafka 4.3.1) on this machine: rows B1, B3, B4
// and B9 of the benchmark plan, the empty start, the idle process and the size of the binary. It prints figures and ratios; it judges nothing
// and fails only when something does not work.
//
//	go run ./bench -short             the form of CI: no JVM, under three minutes
//	go run ./bench -kafka -rounds 5   the whole, with Kafka as a third leg
//
// Rounds alternate between the systems; a cell is the median with (minimum–maximum), a ratio the median of the per-round ratios. CPU, faults and
// calls are the broker's alone, from /proc, between the first request and the last answer.
package main

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/ottla-io/ottla/test/broker"
)

func main() {
	if len(os.Args) == 5 && os.Args[1] == "limit" {
		fmt.Fprintln(os.Stderr, "limit:", runLimit(os.Args[2], os.Args[3], os.Args[4] == "fsync"))
		os.Exit(1)
	}
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

type options struct {
	short, kafka, ottla bool
	rounds              int
	rows                string
	payload             int64
	each                time.Duration
}

func run() error {
	var o options
	flag.BoolVar(&o.short, "short", false, "the form of CI")
	flag.BoolVar(&o.kafka, "kafka", false, "measure Apache Kafka 4.3.1 too")
	flag.BoolVar(&o.ottla, "ottla", true, "measure Ottla")
	flag.IntVar(&o.rounds, "rounds", 0, "rounds of each row (3 with -short, else 5)")
	flag.StringVar(&o.rows, "rows", "", "only rows whose name begins with one of these, separated by commas")
	dir := flag.String("dir", "", "where the data directories go (a directory on a real disk; default the system's)")
	flag.Parse()
	o.payload, o.each = 4<<30, 8*time.Second
	if o.short {
		o.payload, o.each = 768<<20, 1200*time.Millisecond
	}
	if o.rounds == 0 {
		o.rounds = 5
		if o.short {
			o.rounds = 3
		}
	}
	root, err := os.MkdirTemp(*dir, "ottla-bench-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(root) }()

	systems := []system{}
	if o.ottla {
		systems = append(systems, &brokers{kind: broker.Ottla, root: root})
	}
	systems = append(systems, &limits{root: root})
	if o.kafka {
		systems = append(systems, &brokers{kind: broker.Kafka, root: root})
	}
	defer func() {
		for _, s := range systems {
			s.close()
		}
	}()
	if err := printMachine(o); err != nil {
		return err
	}
	begun := time.Now()
	if err := printStart(o, root); err != nil {
		return err
	}
	if err := printPartitions(o, root); err != nil {
		return err
	}
	for _, r := range rows(o) {
		if !o.wants(r.name) {
			continue
		}
		if err := measure(r, systems, o.rounds); err != nil {
			return fmt.Errorf("%s (%s): %w", r.name, r.mode, err)
		}
	}
	fmt.Printf("\nmeasured in %.0f s\n", time.Since(begun).Seconds())
	return nil
}

func (o options) wants(name string) bool {
	return o.rows == "" || slices.ContainsFunc(strings.Split(o.rows, ","), func(p string) bool { return strings.HasPrefix(name, p) })
}

func printMachine(o options) error {
	var u syscall.Utsname
	if err := syscall.Uname(&u); err != nil {
		return err
	}
	text := func(c []int8) string {
		var b strings.Builder
		for _, x := range c {
			if x == 0 {
				break
			}
			b.WriteByte(byte(x))
		}
		return b.String()
	}
	cpu := "unknown CPU"
	if info, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(info)) {
			if k, v, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(k) == "model name" {
				cpu = strings.TrimSpace(v)
				break
			}
		}
	}
	cores, _ := exec.Command("nproc").Output()
	fmt.Printf("machine: %s × %s, Linux %s", strings.TrimSpace(string(cores)), cpu, text(u.Release[:]))
	if o.ottla {
		bin, err := broker.Binary()
		if err != nil {
			return err
		}
		version, _ := exec.Command(bin, "version").Output()
		info, err := os.Stat(bin)
		if err != nil {
			return err
		}
		fmt.Printf("; ottla: %s; binary %.1f MB", strings.Join(strings.Fields(string(version)), " "), float64(info.Size())/1e6)
	}
	if o.kafka {
		jars, _ := filepath.Glob(filepath.Join(broker.Cache(), "kafka", "kafka_2.13-*.jar"))
		for _, j := range jars {
			fmt.Printf("; %s, 1 GB heap, warm", strings.TrimSuffix(filepath.Base(j), ".jar"))
		}
	}
	fmt.Printf("\nload: %d rounds, hand-framed Produce v9 from another process; limit: the same frames, receive + CRC32C + pwrite (+ group-commit fdatasync)\n", o.rounds)
	fmt.Println("modes: fsync = acks=all after fdatasync (Kafka: flush.messages=1); replicated = page cache (Kafka: default)")
	return nil
}

func printStart(o options, root string) error {
	if !o.wants("start") {
		return nil
	}
	kinds := []broker.Kind{}
	if o.ottla {
		kinds = append(kinds, broker.Ottla)
	}
	if o.kafka {
		kinds = append(kinds, broker.Kafka)
	}
	fmt.Printf("\nempty start\n")
	for _, kind := range kinds {
		var ready, rss []float64
		for range o.rounds {
			r, idle, err := startToReady(kind, root, time.Second)
			if err != nil {
				return err
			}
			ready, rss = append(ready, float64(r.Microseconds())/1000), append(rss, idle.rssMB)
		}
		fmt.Printf("  %-8s ready after %s ms, idle RSS %s MB\n", kind, spread(ready, "%.0f"), spread(rss, "%.1f"))
	}
	return nil
}
