// Package terminal tries what a person sees in a real terminal, tmux's: ottla top, ottla doctor and the demo are started in it, keys are
// pressed, the window is made smaller, and what is on the screen is read back.
package terminal

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/ottla-io/ottla/test/broker"
)

// patience is how long something may take to come onto the screen.
const patience = 30 * time.Second

// window is a terminal of its own, of a tmux server of its own.
type window struct {
	t      *testing.T
	socket string
}

// open runs a shell command in a new terminal of a size. When it has ended, the screen says "ended with CODE".
func open(t *testing.T, columns, rows int, command string) *window {
	t.Helper()
	w := &window{t, fmt.Sprintf("ottla-test-%d-%s", os.Getpid(), strings.ReplaceAll(t.Name(), "/", "-"))}
	w.tmux("new-session", "-d", "-x", strconv.Itoa(columns), "-y", strconv.Itoa(rows), "echo at the shell; "+command+`; echo "ended with $?"; exec cat`)
	t.Cleanup(func() { _ = exec.Command("tmux", "-L", w.socket, "kill-server").Run() })
	return w
}

func (w *window) tmux(args ...string) string {
	w.t.Helper()
	cmd := exec.Command("tmux", append([]string{"-L", w.socket, "-u", "-f", "/dev/null"}, args...)...)
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "TERM=xterm-256color")
	out, err := cmd.CombinedOutput()
	if err != nil {
		w.t.Fatalf("tmux %v: %v\n%s", args, err, out)
	}
	return string(out)
}

// screen is what is on it, without the blanks at the ends of lines.
func (w *window) screen() string {
	w.t.Helper()
	return w.tmux("capture-pane", "-p")
}

func (w *window) press(keys ...string) {
	w.t.Helper()
	w.tmux(append([]string{"send-keys"}, keys...)...)
}

// wait waits until the screen is as it must be, and returns it.
func (w *window) wait(what string, is func(screen string) bool) string {
	w.t.Helper()
	for deadline := time.Now().Add(patience); ; <-time.After(20 * time.Millisecond) {
		screen := w.screen()
		if is(screen) {
			return screen
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("waited %v for %s; the screen is\n%s", patience, what, screen)
		}
	}
}

// see waits until all the texts are on the screen.
func (w *window) see(texts ...string) string {
	w.t.Helper()
	return w.wait(fmt.Sprintf("%q", texts), func(screen string) bool {
		for _, text := range texts {
			if !strings.Contains(screen, text) {
				return false
			}
		}
		return true
	})
}

// row is the line of the screen that begins with a name, cut at its blanks; nil if there is none.
func row(screen, name string) []string {
	for line := range strings.Lines(screen) {
		if fields := strings.Fields(line); len(fields) > 0 && fields[0] == name {
			return fields
		}
	}
	return nil
}

// start starts a broker, with a topic of three partitions that ten records a second come into, and a group that has read one of them.
func start(t *testing.T) *broker.Broker {
	t.Helper()
	b, err := broker.Start(broker.Config{Dir: t.TempDir(), Settings: map[string]string{"group.initial.rebalance.delay.ms": "0"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Kill)
	client, err := kgo.NewClient(kgo.SeedBrokers(b.Addr()), kgo.RecordDeliveryTimeout(time.Minute), kgo.RecordPartitioner(kgo.RoundRobinPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithTimeout(context.Background(), 5*time.Minute)
	admin := kadm.NewClient(client)
	if _, err := admin.CreateTopic(ctx, 3, 1, nil, "flights"); err != nil {
		t.Fatal(err)
	}
	produced := make(chan struct{})
	go func() {
		defer close(produced)
		for ctx.Err() == nil {
			client.Produce(ctx, &kgo.Record{Topic: "flights", Value: []byte("HNL to SFO, 95 minutes late")}, nil)
			select {
			case <-ctx.Done():
			case <-time.After(100 * time.Millisecond):
			}
		}
	}()
	t.Cleanup(func() { stop(); <-produced; client.Close() })
	offsets := kadm.Offsets{}
	offsets.AddOffset("flights", 0, 0, -1)
	if _, err := admin.CommitOffsets(ctx, "delays", offsets); err != nil {
		t.Fatal(err)
	}
	return b
}

// program is the command line of the binary under test, free of the suite's own variables.
func program(t *testing.T, args ...string) string {
	t.Helper()
	bin, err := broker.Binary()
	if err != nil {
		t.Fatal(err)
	}
	return "env -u OTTLA_BIN -u OTTLA_TEST_PEER -u OTTLA_BOOTSTRAP -u OTTLA_ADMIN XDG_CONFIG_HOME=/nonexistent " + bin + " " + strings.Join(args, " ")
}

// admin is the flag that names the broker's admin port: Kafka has none.
func admin(b *broker.Broker) string {
	if broker.Peer() == broker.Kafka {
		return "--admin none"
	}
	return "--admin " + b.AdminAddr()
}

// TestTop: the figures are right, keys change what is shown, the window may be any size, and the broker may go away and come back.
func TestTop(t *testing.T) {
	b := start(t)
	w := open(t, 100, 24, program(t, "top", "-b", b.Addr(), admin(b)))
	w.see("ottla top", "1 broker", "TOPIC", "flights")
	w.wait("about ten records a second", func(screen string) bool {
		fields := row(screen, "flights")
		if len(fields) < 3 || fields[1] != "3" {
			return false
		}
		rate, err := strconv.ParseFloat(fields[2], 64)
		return err == nil && rate > 5 && rate < 15
	})
	w.press("Enter")
	w.see("partitions of flights", "PARTITION")
	w.press("Escape")
	w.press("2")
	w.wait("the group's lag", func(screen string) bool {
		fields := row(screen, "delays") // GROUP STATE MEMBERS TOPICS LAG BEHIND …
		if len(fields) < 6 || fields[1] != "Empty" || fields[2] != "0" || fields[3] != "1" {
			return false
		}
		lag, err := strconv.Atoi(fields[4])
		return err == nil && lag > 0 && strings.HasSuffix(fields[5], "s")
	})
	w.press("Enter")
	w.see("partitions of group delays", "COMMITTED")
	w.press("3")
	w.see("BROKER", b.Addr())
	if broker.Peer() == broker.Ottla {
		w.wait("what the admin port says", func(screen string) bool {
			fields := row(screen, "1") // BROKER ADDRESS LEADERS REPLICAS RECORDS/S IN OUT REQUESTS/S CLIENTS …
			return len(fields) >= 9 && fields[7] != "-" && fields[8] != "-"
		})
	}
	w.press("?")
	w.see("any key goes on")
	w.press("x", "1", "/", "z", "z")
	w.see("filter: zz_", "none has zz in its name")
	w.press("Escape")
	w.see("flights")

	w.tmux("resize-window", "-x", "40", "-y", "8")
	screen := w.wait("a screen of 40 columns", func(screen string) bool {
		lines := strings.Split(strings.TrimRight(screen, "\n"), "\n")
		return len(lines) == 8 && strings.HasPrefix(lines[7], "topics  q quit") && row(screen, "flights") != nil
	})
	for line := range strings.Lines(screen) {
		if n := utf8.RuneCountInString(strings.TrimSpace(line)); n > 40 {
			t.Errorf("%d columns: %q", n, line)
		}
	}
	w.tmux("resize-window", "-x", "120", "-y", "24")
	w.see("? help  1 topics")

	b.Kill()
	w.see("no answer since", "flights")
	if err := b.Restart(); err != nil {
		t.Fatal(err)
	}
	w.wait("the broker to be back", func(screen string) bool {
		return strings.Contains(screen, "1 broker, ") && !strings.Contains(screen, "no answer since")
	})
	w.press("q")
	if screen := w.see("ended with 0", "at the shell"); strings.Contains(screen, "TOPIC") {
		t.Errorf("the screen is not as it was before:\n%s", screen)
	}
	w.press("still echoed", "Enter")
	w.see("still echoed\nstill echoed") // once by the terminal, once by cat
}

// TestTopWithoutABroker: it says so, and waits.
func TestTopWithoutABroker(t *testing.T) {
	port, err := broker.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	w := open(t, 80, 24, program(t, "top", "-b", fmt.Sprintf("127.0.0.1:%d", port), "--admin none"))
	w.see("ottla top", "no answer since", "refused")
	w.press("C-c")
	w.see("ended with 0")
}

// TestDoctor: findings with what to do, and the exit code.
func TestDoctor(t *testing.T) {
	b := start(t)
	w := open(t, 180, 60, program(t, "doctor", "--addr", b.Addr(), admin(b), "--fail-on never"))
	w.see("broker   "+b.Addr()+": cluster ", "reached from here", "note     auto-create: auto.create.topics.enable is true", "  do     Set auto.create.topics.enable=false", "0 errors, ", " checks", "ended with 0")
	b.Kill()
	w = open(t, 180, 60, program(t, "doctor", "--data", b.Dir(), "--addr", b.Addr(), "--admin none"))
	w.see("error    no-broker: "+b.Addr(), "ended with 1")
}

// TestDoctorOfADiskThatLies: a file system without barriers, on a disk that is a file, is found out.
func TestDoctorOfADiskThatLies(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("mounting needs root")
	}
	dir := t.TempDir()
	image, mount := filepath.Join(dir, "image"), filepath.Join(dir, "mount")
	for _, args := range [][]string{{"truncate", "-s", "2G", image}, {"mkfs.ext4", "-q", "-F", image}, {"mkdir", mount}, {"mount", "-o", "loop,nobarrier", image, mount}} {
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", mount).CombinedOutput(); err != nil {
			t.Errorf("umount: %v\n%s", err, out)
		}
	})
	w := open(t, 180, 60, program(t, "doctor", "--data", mount, "--admin none"))
	w.see("error    no-barriers: "+mount, "is mounted with nobarrier", "ended with 1")
}

// TestDemo: make demo's program runs to its end.
func TestDemo(t *testing.T) {
	if broker.Peer() == broker.Kafka {
		t.Skip("the demo shows Ottla")
	}
	bin, err := broker.Binary()
	if err != nil {
		t.Fatal(err)
	}
	demo := filepath.Join(t.TempDir(), "demo")
	build := exec.Command("go", "build", "-o", demo, "./demo")
	build.Dir = broker.ModuleDir()
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the demo: %v\n%s", err, out)
	}
	w := open(t, 120, 60, fmt.Sprintf("env -u OTTLA_BIN -u OTTLA_TEST_PEER %s -ottla %s -input %s", demo, bin, filepath.Join(broker.ModuleDir(), "..", "testdata", "flights.jsonl")))
	w.see("killed      SIGKILL after", "checked     20000 records, none lost", "consumed    by a group of two", "committed   lag 0", "█", "stopped     SIGTERM, exit code 0", "ended with 0")
}
