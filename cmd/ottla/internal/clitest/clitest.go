// Package clitest lets tests type command lines of 'ottla', without a process: it has a shell, brokers on disk, and texts to wait for and to compare.
//
// Tests of the rooms of commands call it, and nothing that ships. It must never know a command: a test says which ones its shell has. Nothing
// here survives a test.
package clitest

import (
	"bytes"
	"context"
	"io"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/ottla-io/ottla"
	"github.com/ottla-io/ottla/cmd/ottla/internal/cli"
)

// Version is that of the binary which the commands are told that they are part of.
const Version = "0.0.0-test"

// commandTime is what a command line may take that the test waits for.
const commandTime = 30 * time.Second

// Shell makes the command that holds all that a test types. It is asked for each command line anew, as flags remember.
type Shell func() *cobra.Command

// Root is the command that holds others, as that of the binary does.
func Root(commands ...*cobra.Command) *cobra.Command {
	root := &cobra.Command{Use: "ottla"}
	cli.Assemble(root, Version, commands...)
	return root
}

// Ran is what one command line did.
type Ran struct {
	Code           int // the exit code
	Stdout, Stderr string
}

// Runs runs a command line, and fails the test if it takes more than 30 s.
func (s Shell) Runs(t *testing.T, stdin string, args ...string) Ran {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), commandTime)
	defer cancel()
	var stdout, stderr bytes.Buffer
	code := s.Execute(ctx, args, strings.NewReader(stdin), &stdout, &stderr)
	if ctx.Err() != nil {
		t.Fatalf("ottla %s took more than %v", strings.Join(args, " "), commandTime)
	}
	return Ran{code, stdout.String(), stderr.String()}
}

// Must is Runs that fails the test unless the command succeeds, and returns its output.
func (s Shell) Must(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	r := s.Runs(t, stdin, args...)
	if r.Code != 0 {
		t.Fatalf("ottla %s: exit code %d: %s", strings.Join(args, " "), r.Code, r.Stderr)
	}
	return r.Stdout
}

// Execute runs a command line until it or ctx ends, and returns its exit code.
func (s Shell) Execute(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	return cli.Execute(ctx, s(), args, stdin, stdout, stderr)
}

// NoServe stands in for 'ottla serve' where 'config print' asks it (settings.Serve), and is told nothing: what comes of what serve was told is tested with
// the real one, in package main. Told is settings.Told, which a test names, as this package knows no command.
type NoServe[Told any] struct{}

// Register adds no flag.
func (NoServe[Told]) Register(*cobra.Command) {}

// Told is nothing.
func (NoServe[Told]) Told(*cobra.Command) (told Told, err error) { return told, nil }

// StartOnDisk starts a broker with a data directory and an admin port, for as long as the test runs. change may be nil.
func StartOnDisk(t *testing.T, change func(*ottla.Config)) (b *ottla.Broker, dir string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "data")
	config := ottla.Config{DataDir: dir, Listen: "127.0.0.1:0", Admin: "127.0.0.1:0", NodeID: 1, Version: Version}
	if change != nil {
		change(&config)
	}
	b, err := ottla.Start(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close(context.Background()) })
	return b, dir
}

// OwnProfiles gives a test an empty place for profiles, whose file it returns, and no variables of the one who runs it.
func OwnProfiles(t *testing.T) (path string) {
	t.Helper()
	dir := t.TempDir()
	t.Setenv("XDG_CONFIG_HOME", dir)
	for _, variable := range []string{"OTTLA_PROFILE", "OTTLA_BOOTSTRAP", "OTTLA_ADMIN"} {
		t.Setenv(variable, "")
	}
	return filepath.Join(dir, "ottla", "config.yaml")
}

// LineWaiter is written to by a command, and hands on the first line.
type LineWaiter struct {
	buffer bytes.Buffer
	line   chan string
	done   bool
}

// NewLineWaiter returns one, and where the line comes.
func NewLineWaiter() (*LineWaiter, <-chan string) {
	w := &LineWaiter{line: make(chan string, 1)}
	return w, w.line
}

func (w *LineWaiter) Write(p []byte) (int, error) {
	w.buffer.Write(p)
	if line, _, ok := strings.Cut(w.buffer.String(), "\n"); ok && !w.done {
		w.done = true
		w.line <- line
	}
	return len(p), nil
}

// String is all that was written. The command must have ended.
func (w *LineWaiter) String() string { return w.buffer.String() }

// Masked makes one space of several and replaces ids, addresses, offsets of the metadata log and times by words.
func Masked(text string) string {
	for _, m := range []struct{ pattern, with string }{
		{`(\S) +`, "$1 "}, {`127\.0\.0\.1:\d+`, "ADDRESS"}, {`cluster(Id)?:? [\w-]{22}`, "cluster ID"}, {`\d{4}-\d\d-\d\dT[\d:]+Z`, "TIME"}, {`Ms: \d{13}`, "Ms: TIME"},
		{`(high watermark|highWatermark:|endOffset:|voter) +\d+`, "$1 N"}, {`(epoch:?) \d+`, "$1 N"},
	} {
		text = regexp.MustCompile(m.pattern).ReplaceAllString(text, m.with)
	}
	return text
}
