package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/ottla-io/ottla"
	"github.com/ottla-io/ottla/cmd/ottla/internal/clitest"
	"github.com/ottla-io/ottla/ottlatest"
)

// CONTRIBUTING.md says how examples are written, and what they find: keep it and prepareExamples in step.

const (
	// exampleTime is what one example may take.
	exampleTime = 20 * time.Second
	// endlessTime is after how long one that goes on for ever is told to stop, as by Ctrl-C.
	endlessTime = 2 * time.Second
)

// endless are the commands, and the flag, that go on until they are told to stop.
var endless = []string{"serve", "top", "trace", "--follow"}

// TestExamples: every command has an example, about itself, and every example works as it is written.
func TestExamples(t *testing.T) {
	data := exampleData(t)
	eachCommand(newRoot(), func(cmd *cobra.Command) {
		if cmd.HasSubCommands() {
			return
		}
		t.Run(strings.TrimPrefix(cmd.CommandPath(), "ottla "), func(t *testing.T) {
			lines := exampleLines(cmd)
			if len(lines) == 0 {
				t.Fatalf("%s has no example", cmd.CommandPath())
			}
			prepareExamples(t, data)
			about := false
			for _, line := range lines {
				about = about || strings.Contains(line+" ", cmd.CommandPath()+" ")
				runExample(t, line)
			}
			if !about {
				t.Errorf("the examples of %s don't use it: %q", cmd.CommandPath(), lines)
			}
		})
	})
}

// eachCommand visits the commands that a user may type, hidden ones too.
func eachCommand(cmd *cobra.Command, visit func(*cobra.Command)) {
	visit(cmd)
	for _, sub := range cmd.Commands() {
		if sub.Name() != "help" {
			eachCommand(sub, visit)
		}
	}
}

// exampleLines are an example's lines, without comments.
func exampleLines(cmd *cobra.Command) (lines []string) {
	for line := range strings.Lines(cmd.Example) {
		line = strings.TrimSpace(line)
		if line != "" && !strings.HasPrefix(line, "#") {
			lines = append(lines, line)
		}
	}
	return lines
}

// exampleData makes the directories that examples look into: ottla-data, which a broker left, and kafka-data, which Kafka did.
func exampleData(t *testing.T) string {
	t.Helper()
	clitest.OwnProfiles(t)
	dir := t.TempDir()
	broker, err := ottla.Start(ottla.Config{DataDir: filepath.Join(dir, "ottla-data"), Listen: "127.0.0.1:0", NodeID: 1})
	if err != nil {
		t.Fatal(err)
	}
	shell.Must(t, strings.Repeat("hello\n", 2000), "produce", "greetings", "-b", broker.Addr())
	if err := broker.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(filepath.Join(dir, "kafka-data"), os.DirFS("../../testdata/kafka-4.3.1")); err != nil {
		t.Fatal(err)
	}
	return dir
}

// prepareExamples gives examples what they speak of: a broker with topics, groups and an admin listener, reached by variables; profiles;
// and a working directory of their own, with copies of data.
func prepareExamples(t *testing.T, data string) {
	t.Helper()
	clitest.OwnProfiles(t)
	t.Chdir(t.TempDir())
	if err := os.CopyFS(".", os.DirFS(data)); err != nil {
		t.Fatal(err)
	}
	broker := ottlatest.Start(t, ottlatest.WithSetting("ottla.topic.trash.ms", "86400000"), func(c *ottla.Config) { c.Admin = "127.0.0.1:0" })
	t.Setenv("OTTLA_BOOTSTRAP", broker.Addr())
	t.Setenv("OTTLA_ADMIN", broker.AdminAddr())
	t.Setenv("OTTLA_LISTEN", "127.0.0.1:0")
	for topic, partitions := range map[string]string{"flights": "6", "orders": "4", "scores": "1", "greetings": "1", "retired-orders": "1", "old-orders": "1", "old-flights": "1"} {
		shell.Must(t, "", "topic", "create", topic, "-p", partitions)
		for partition := range partitions[0] - '0' {
			shell.Must(t, "one\ntwo\nthree\n", "produce", topic, "-p", fmt.Sprint(partition))
		}
	}
	for group, topics := range map[string][]string{"billing": {"orders", "retired-orders"}, "billing-test": {"orders"}, "delays": {"flights"}} {
		for _, topic := range topics {
			shell.Must(t, "", "group", "reset", group, "--to", "2", "--topic", topic, "--yes")
		}
	}
	shell.Must(t, "", "topic", "delete", "old-orders", "old-flights")
	shell.Must(t, "", "profile", "set", "production", "--bootstrap", broker.Addr())
}

// runExample runs a line as a shell would: words, quotes, pipes, > and < are enough for examples. Commands that are not ours run as they are.
func runExample(t *testing.T, line string) {
	t.Helper()
	stages, err := parseExample(line)
	if err != nil {
		t.Errorf("%s: %v", line, err)
		return
	}
	ctx, cancel := context.WithTimeout(t.Context(), exampleTime)
	defer cancel()
	limit := ctx
	var input []byte
	for _, stage := range stages {
		if stage.from != "" {
			if input, err = os.ReadFile(stage.from); err != nil {
				t.Errorf("%s: %v", line, err)
				return
			}
		}
		if slices.ContainsFunc(stage.words, func(word string) bool { return slices.Contains(endless, word) }) {
			var stop context.CancelFunc
			ctx, stop = context.WithCancel(ctx)
			defer time.AfterFunc(endlessTime, stop).Stop()
		}
		output, problem := stage.run(ctx, t, input)
		if problem != "" || limit.Err() != nil {
			t.Errorf("%s: %s %v", line, problem, limit.Err())
			return
		}
		if stage.to != "" {
			if err := os.WriteFile(stage.to, output, 0o600); err != nil {
				t.Errorf("%s: %v", line, err)
			}
		}
		input = output
	}
}

// exampleStage is one command of a pipe.
type exampleStage struct {
	words    []string
	from, to string // files
}

func (s *exampleStage) run(ctx context.Context, t *testing.T, input []byte) (output []byte, problem string) {
	if s.words[0] != "ottla" {
		command := exec.CommandContext(ctx, s.words[0], s.words[1:]...)
		command.Stdin = bytes.NewReader(input)
		output, err := command.Output()
		if err != nil {
			return nil, err.Error()
		}
		return output, ""
	}
	if s.words[1] == "serve" {
		t.Setenv("OTTLA_ADMIN", "none")
	}
	var stdout, stderr bytes.Buffer
	if code := shell.Execute(ctx, s.words[1:], bytes.NewReader(input), &stdout, &stderr); code != 0 {
		return nil, fmt.Sprintf("exit code %d: %s", code, stderr.String())
	}
	return stdout.Bytes(), ""
}

func parseExample(line string) (stages []exampleStage, err error) {
	words, err := shellWords(line)
	if err != nil {
		return nil, err
	}
	stages = []exampleStage{{}}
	for i := 0; i < len(words); i++ {
		stage := &stages[len(stages)-1]
		switch word := words[i]; {
		case word == "|":
			stages = append(stages, exampleStage{})
		case (word == ">" || word == "<") && i+1 < len(words):
			i++
			if word == ">" {
				stage.to = words[i]
			} else {
				stage.from = words[i]
			}
		default:
			stage.words = append(stage.words, word)
		}
	}
	for _, stage := range stages {
		if len(stage.words) < 1 || stage.words[0] == "ottla" && len(stage.words) < 2 {
			return nil, errors.New("no command in it")
		}
	}
	return stages, nil
}

// shellWords cuts a line as a shell does, quotes and a comment at its end included.
func shellWords(line string) (words []string, err error) {
	var word strings.Builder
	open, quote := false, rune(0)
	for reader := strings.NewReader(line); ; {
		c, _, err := reader.ReadRune()
		switch {
		case err == io.EOF && quote != 0:
			return nil, fmt.Errorf("%c is not closed", quote)
		case err == io.EOF, quote == 0 && c == ' ', quote == 0 && c == '#' && !open:
			if open {
				words = append(words, word.String())
				word.Reset()
			}
			if open = false; err == io.EOF || c == '#' {
				return words, nil
			}
		case quote == 0 && (c == '\'' || c == '"'):
			quote, open = c, true
		case c == quote:
			quote = 0
		default:
			open = true
			word.WriteRune(c)
		}
	}
}

// TestCommandsAreDocumented: docs/cli.md has every command of the first level, and none that is not there.
func TestCommandsAreDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/cli.md")
	if err != nil {
		t.Fatal(err)
	}
	table, _, _ := strings.Cut(string(text), "\n## ")
	documented := regexp.MustCompile("`ottla ([a-z-]+)`").FindAllStringSubmatch(table, -1)
	names := map[string]bool{}
	for _, m := range documented {
		names[m[1]] = true
	}
	delete(names, "help")
	for _, cmd := range newRoot().Commands() {
		if cmd.IsAvailableCommand() && cmd.Name() != "help" && !names[cmd.Name()] {
			t.Errorf("docs/cli.md lacks ottla %s", cmd.Name())
		}
		delete(names, cmd.Name())
	}
	for name := range names {
		t.Errorf("docs/cli.md has ottla %s, which is not there", name)
	}
}
