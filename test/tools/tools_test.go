// Package tools holds what Apache Kafka's own command-line tools print about Ottla against what they print about Apache Kafka 4.3.1.
//
// The files of testdata are scripts and transcripts in one: lines that begin with "$ " are commands, and what follows is what the tool
// printed about Kafka, as a terminal would show it, and its exit code where it is not 0. `go test ./tools -kafka` asks Kafka again and
// writes the answers anew. Each file has a broker of its own. In it,
//
//   - BROKER is the broker's address, and DIRECTORY its data directory, on the way in and out;
//   - "< TEXT" behind a command is its standard input, with \n for the end of a line;
//   - "> NAME TEXT" in place of a command writes a file, which lies where the commands run;
//   - member-joins BROKER GROUP TOPIC PROTOCOL and member-leaves GROUP start and end a member of a group, the Java client;
//   - "# TEXT" says what a part is about.
//
// What differs from run to run is masked: ids, times, sizes, directories. The differences that are deliberate are in deliberate_test.go.
package tools

import (
	"bufio"
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ottla-io/ottla/test/broker"
)

var withKafka = flag.Bool("kafka", false, "run Kafka 4.3.1, too, and record what its tools print in testdata")

// settings of both brokers, beside the defaults: no wait for more members, so that groups are ready at once.
var settings = map[string]string{"group.initial.rebalance.delay.ms": "0", "group.consumer.assignment.interval.ms": "0"}

// step is a line of a script that is not an answer. Commands have an answer: Kafka's, when it was read from testdata.
type step struct {
	line, answer string
}

func (s step) isCommand() bool { return strings.HasPrefix(s.line, "$ ") }

// parse reads a script with its answers.
func parse(text string) []step {
	var steps []step
	for line := range strings.Lines(text) {
		switch {
		case strings.HasPrefix(line, "$ ") || strings.HasPrefix(line, "# ") || strings.HasPrefix(line, "> "):
			steps = append(steps, step{line: strings.TrimSuffix(line, "\n")})
		case len(steps) > 0 && steps[len(steps)-1].isCommand() && line != "\n":
			steps[len(steps)-1].answer += line
		}
	}
	return steps
}

// render is the inverse of parse.
func render(steps []step) string {
	var b strings.Builder
	for i, s := range steps {
		if i > 0 && (strings.HasPrefix(s.line, "# ") || steps[i-1].isCommand()) {
			b.WriteByte('\n')
		}
		b.WriteString(s.line + "\n" + s.answer)
	}
	return b.String()
}

// words splits a command as a shell would, as far as the scripts need it: at spaces, which single quotes protect.
func words(command string) []string {
	var out []string
	for i, part := range strings.Split(command, "'") {
		if i%2 == 0 {
			out = append(out, strings.Fields(part)...)
			continue
		}
		out = append(out, part)
	}
	return out
}

// jvm is one Java process that runs the tools, java/Tools.java.
type jvm struct {
	dir string
	in  io.Writer
	out *bufio.Reader
	pid int
}

func startJVM(t *testing.T) *jvm {
	t.Helper()
	cache := broker.Cache()
	cmd := exec.Command("java", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto",
		"-Dlog4j2.configurationFile=file:"+filepath.Join(broker.ModuleDir(), "kafka/log4j2-quiet.properties"),
		"-cp", filepath.Join(cache, "tools")+":"+filepath.Join(cache, "kafka")+"/*", "Tools")
	j := &jvm{dir: t.TempDir()}
	cmd.Dir = j.dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() && complaints.Len() > 0 {
			t.Logf("the JVM said\n%s", complaints.String())
		}
	})
	j.in, j.out, j.pid = in, bufio.NewReaderSize(out, 1<<20), cmd.Process.Pid
	return j
}

// run runs one command line against a broker and returns what a terminal would show, unmasked.
func (j *jvm) run(t *testing.T, command, addr string) string {
	t.Helper()
	command, stdin, _ := strings.Cut(command, " < ")
	args := words(strings.ReplaceAll(command, "BROKER", addr))
	line, err := json.Marshal(map[string]any{"args": args, "stdin": strings.ReplaceAll(stdin, `\n`, "\n")})
	if err != nil {
		t.Fatal(err)
	}
	overdue := time.AfterFunc(2*time.Minute, func() { _ = syscall.Kill(j.pid, syscall.SIGKILL) })
	defer overdue.Stop()
	if _, err := j.in.Write(append(line, '\n')); err != nil {
		t.Fatalf("%s: the JVM is gone: %v", command, err)
	}
	said, err := j.out.ReadBytes('\n')
	if err != nil {
		t.Fatalf("%s: no answer within two minutes: %v", command, err)
	}
	var answer struct {
		Output string
		Exit   int
	}
	if err := json.Unmarshal(said, &answer); err != nil {
		t.Fatalf("%s: %v: %s", command, err, said)
	}
	if answer.Output != "" && !strings.HasSuffix(answer.Output, "\n") {
		answer.Output += "\n"
	}
	if answer.Exit != 0 {
		answer.Output += fmt.Sprintf("exit %d\n", answer.Exit)
	}
	return answer.Output
}

// play runs a script against a broker that it starts, and returns it with the answers, masked.
func (j *jvm) play(t *testing.T, kind broker.Kind, script []step) []step {
	t.Helper()
	all := map[string]string{}
	for k, v := range settings {
		all[k] = v
	}
	if kind == broker.Kafka { // without a receiver it hides the APIs of client metrics
		all["metric.reporters"] = "Receiver"
	}
	b, err := broker.Start(broker.Config{Kind: kind, Dir: t.TempDir(), Settings: all})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Kill()
	var played []step
	for _, s := range script {
		switch {
		case s.isCommand():
			begin := time.Now()
			s.answer = mask(j.run(t, s.line[2:], b.Addr()), b.Addr(), b.Dir())
			if took := time.Since(begin); took > 5*time.Second {
				t.Logf("%s with %s took %v", s.line, kind, took.Round(time.Millisecond))
			}
		case strings.HasPrefix(s.line, "> "):
			name, text, _ := strings.Cut(s.line[2:], " ")
			text = strings.ReplaceAll(text, "DIRECTORY", filepath.Dir(b.PartitionDir("x", 0)))
			if err := os.WriteFile(filepath.Join(j.dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		played = append(played, s)
	}
	return played
}

// TestTools plays every script, and demands of Ottla what Kafka answered.
func TestTools(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	j := startJVM(t)
	used := make([]bool, len(deliberate))
	commands, deviating := 0, 0
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".txt")
		t.Run(name, func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			script := parse(string(text))
			if *withKafka {
				script = j.play(t, broker.Kafka, script)
				if err := os.WriteFile(file, []byte(render(script)), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			for i, s := range j.play(t, broker.Ottla, script) {
				if !s.isCommand() {
					continue
				}
				commands++
				want := expected(name+" "+s.line, script[i].answer, used)
				if want != script[i].answer {
					deviating++
				}
				if s.answer != want {
					t.Errorf("%s\n%s", s.line, differences(want, s.answer))
				}
			}
		})
	}
	t.Logf("%d commands, %d with a deliberate difference", commands, deviating)
	if run := flag.Lookup("test.run"); t.Failed() || run != nil && strings.Contains(run.Value.String(), "/") {
		return
	}
	for i, was := range used {
		if d := deliberate[i]; !was {
			t.Errorf("the deliberate difference %s (%s → %s) is not there any more: remove it from the table and docs/compatibility.md", d.where, d.kafka, d.ottla)
		}
	}
}

// differences shows the lines of two answers that differ, or both where only their order does.
func differences(kafka, ottla string) string {
	lines := map[string]int{}
	for line := range strings.Lines(kafka) {
		lines[line]++
	}
	for line := range strings.Lines(ottla) {
		lines[line]--
	}
	var b strings.Builder
	for _, side := range []struct {
		name, text string
		sign       int
	}{{"Kafka", kafka, 1}, {"Ottla", ottla, -1}} {
		for line := range strings.Lines(side.text) {
			if lines[line]*side.sign > 0 {
				fmt.Fprintf(&b, "%s: %s", side.name, line)
				lines[line] -= side.sign
			}
		}
	}
	if b.Len() == 0 {
		return "the same lines in another order\nKafka:\n" + kafka + "Ottla:\n" + ottla
	}
	return b.String()
}
