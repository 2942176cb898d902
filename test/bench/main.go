// Command bench measures the broker under test beside the limit program (and, with -kafka, Apache Kafka 4.3.1) on this machine: rows B1 to B9, B11 to
// B13 of the benchmark plan, consumer groups (B15 to B17), the empty start, the idle process, the size of the binary, and with -growth how cost grows. It prints figures and ratios;
// it judges nothing and fails only when something does not work.
//
//	go run ./bench -short                                       the form of CI: no JVM, about three minutes
//	go run ./bench -kafka -growth -loop -out ../docs/bench      the whole, with Kafka as a third leg; docs/performance.md has the options that it was run with
//
// Rounds alternate between the systems; a cell is the median with (minimum–maximum), a ratio the median of the per-round ratios. CPU, faults,
// calls and context switches are the broker's alone, from /proc, between the first request and the last answer; allocations are from its metrics.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
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
	growth, loop        bool
	out                 string
	rounds              int
	rows                string
	payload             int64
	each                time.Duration
}

func run() error {
	// A paced generator sleeps in the kernel and keeps its processor meanwhile, for up to 10 ms: with one to spare for each, none waits for another's sleep.
	runtime.GOMAXPROCS(max(8, runtime.GOMAXPROCS(0)))
	var o options
	flag.BoolVar(&o.short, "short", false, "the form of CI")
	flag.BoolVar(&o.kafka, "kafka", false, "measure Apache Kafka 4.3.1 too")
	flag.BoolVar(&o.ottla, "ottla", true, "measure Ottla")
	flag.IntVar(&o.rounds, "rounds", 0, "rounds of each row (3 with -short, else 5)")
	flag.StringVar(&o.rows, "rows", "", "only rows whose name begins with one of these, separated by commas")
	flag.BoolVar(&o.growth, "growth", false, "measure how cost grows with partitions and connections too")
	flag.BoolVar(&o.loop, "loop", false, "put the data on a loop-mounted ext4 file system of its own (needs root and 24 GB)")
	flag.StringVar(&o.out, "out", "", "a directory for results.json, results.md and drawings")
	flag.DurationVar(&o.each, "each", 0, "how long each round of a row that is bounded by time takes (0.6s with -short, else 8s)")
	flag.Int64Var(&o.payload, "payload", 0, "bytes of each round of a row that is bounded by bytes (512 MiB with -short, else 4 GiB)")
	dir := flag.String("dir", "", "where the data directories go (a directory on a real disk; default the system's)")
	flag.Parse()
	each, payload := 8*time.Second, int64(4<<30)
	if o.short {
		each, payload = 600*time.Millisecond, 512<<20
	}
	if o.each == 0 {
		o.each = each
	}
	if o.payload == 0 {
		o.payload = payload
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
	if o.loop {
		unmount, err := mountLoop(root)
		if err != nil {
			return err
		}
		defer unmount()
		root = filepath.Join(root, "disk")
	}

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
	begun := time.Now()
	r := &report{Begun: begun.Format(time.DateOnly), Rounds: o.rounds}
	if r.Machine, err = describeMachine(o); err != nil {
		return err
	}
	if o.out != "" {
		if err := r.resume(o.out, o.wants); err != nil {
			return err
		}
	}
	for _, measure := range []func(options, string, *report) error{measureStart, measureConnections, measurePartitions, measureRecovery, measureBeside} {
		if err := measure(o, root, r); err != nil {
			return err
		}
	}
	if err := measureRows(o, systems, r); err != nil {
		return err
	}
	fmt.Printf("\nmeasured in %.0f s\n", time.Since(begun).Seconds())
	if o.out == "" {
		return nil
	}
	return r.write(o.out)
}

// measureRows takes the rows of one mode after the other, since a change of mode costs a new JVM, and reports them in the plan's order.
func measureRows(o options, systems []system, r *report) error {
	all := slices.DeleteFunc(rows(o), func(row row) bool { return !o.wants(row.name) })
	done := make([]measured, len(all))
	for _, mode := range []string{"replicated", "fsync"} {
		for i, row := range all {
			if row.mode != mode {
				continue
			}
			var err error
			if done[i], err = measure(row, systems, o.rounds); err != nil {
				return fmt.Errorf("%s (%s): %w", row.name, row.mode, err)
			}
			done[i].print()
			r.Rows = append(slices.Clone(r.earlier), slices.DeleteFunc(slices.Clone(done), func(m measured) bool { return m.Name == "" })...)
			slices.SortStableFunc(r.Rows, func(a, b measured) int { return compareNames(a.Name, b.Name) })
			if o.out != "" { // after each row: a run takes an hour, and may fail
				if err := r.write(o.out); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// mountLoop gives the run an ext4 file system in a sparse file, at root/disk.
func mountLoop(root string) (unmount func(), err error) {
	image, at := filepath.Join(root, "disk.img"), filepath.Join(root, "disk")
	f, err := os.Create(image)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(f.Truncate(24<<30), f.Close(), os.Mkdir(at, 0o755)); err != nil {
		return nil, err
	}
	for _, command := range [][]string{{"mkfs.ext4", "-q", "-F", image}, {"mount", "-o", "loop", image, at}} {
		if out, err := exec.Command(command[0], command[1:]...).CombinedOutput(); err != nil {
			return nil, fmt.Errorf("%s: %w: %s", strings.Join(command, " "), err, out)
		}
	}
	return func() {
		if out, err := exec.Command("umount", "-l", at).CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "bench: umount: %v: %s\n", err, out)
		}
	}, nil
}

// wants is true for B1 and B1c where B1 is asked for, not for B15.
func (o options) wants(name string) bool {
	return o.rows == "" || slices.ContainsFunc(strings.Split(o.rows, ","), func(p string) bool {
		rest, ok := strings.CutPrefix(name, p)
		return ok && (rest == "" || rest[0] < '0' || rest[0] > '9')
	})
}

// describeMachine tells what was measured on what, in one line, and prints it with how.
func describeMachine(o options) (string, error) {
	var u syscall.Utsname
	if err := syscall.Uname(&u); err != nil {
		return "", err
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
	machine := fmt.Sprintf("%s × %s, Linux %s", strings.TrimSpace(string(cores)), cpu, text(u.Release[:]))
	if o.ottla {
		bin, err := broker.Binary()
		if err != nil {
			return "", err
		}
		version, _ := exec.Command(bin, "version").Output()
		info, err := os.Stat(bin)
		if err != nil {
			return "", err
		}
		machine += fmt.Sprintf("; ottla: %s; binary %.1f MB", strings.Join(strings.Fields(string(version)), " "), float64(info.Size())/1e6)
	}
	if o.kafka {
		jars, _ := filepath.Glob(filepath.Join(broker.Cache(), "kafka", "kafka_2.13-*.jar"))
		for _, j := range jars {
			machine += fmt.Sprintf("; %s, 1 GB heap, warmed up", strings.TrimSuffix(filepath.Base(j), ".jar"))
		}
	}
	if o.loop {
		machine += "; ext4 on a loop device"
	}
	fmt.Println("machine: " + machine)
	fmt.Printf("load: %d rounds, hand-framed Produce v9 and Fetch v11 from another process; limit: the same frames, receive + CRC32C + pwrite (+ group-commit fdatasync), and sendfile\n", o.rounds)
	fmt.Println("modes: fsync = acks=all after fdatasync (Kafka: flush.messages=1); replicated = page cache (Kafka: default)")
	return machine, nil
}

func (o options) kinds() (kinds []broker.Kind) {
	if o.ottla {
		kinds = append(kinds, broker.Ottla)
	}
	if o.kafka {
		kinds = append(kinds, broker.Kafka)
	}
	return kinds
}

// note prints a line that belongs to no row, and keeps it for the report.
func (r *report) note(format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	fmt.Println("  " + line)
	r.Notes = append(r.Notes, line)
}

func measureStart(o options, root string, r *report) error {
	if !o.wants("B12") {
		return nil
	}
	fmt.Printf("\nempty start\n")
	for _, kind := range o.kinds() {
		var ready, rss []float64
		for range o.rounds {
			r, idle, err := startToReady(kind, root, time.Second)
			if err != nil {
				return err
			}
			ready, rss = append(ready, float64(r.Microseconds())/1000), append(rss, idle.rssMB)
		}
		r.note("B12a, empty start: %s ready after %s ms, idle RSS %s MB", kind, spread(ready, "%.0f"), spread(rss, "%.1f"))
	}
	return nil
}
