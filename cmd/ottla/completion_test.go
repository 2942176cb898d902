package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/ottla-io/ottla/cmd/ottla/internal/clitest"
	"github.com/ottla-io/ottla/ottlatest"
)

func TestCompletion(t *testing.T) {
	clitest.OwnProfiles(t)
	b := ottlatest.Start(t).Addr()
	shell.Must(t, "", "profile", "set", "here", "--bootstrap", b)
	shell.Must(t, "", "profile", "use", "here")
	shell.Must(t, "", "topic", "create", "flights", "orders", "-b", b)
	shell.Must(t, "", "group", "reset", "billing", "--to", "latest", "--topic", "orders", "--yes", "-b", b)
	for _, line := range []string{"topic flights retention.ms=86400000 segment.ms=86400000", "broker log.retention.ms=604800000", "broker 1 log.segment.bytes=1073741824", "group billing consumer.session.timeout.ms=50000"} {
		shell.Must(t, "", append(append([]string{"config", "set"}, strings.Fields(line)...), "--yes")...)
	}
	complete := func(line string) []string {
		out := shell.Must(t, "", append([]string{"__complete"}, strings.Split(line, " ")...)...)
		words := strings.Split(strings.TrimSpace(out), "\n")
		return words[:len(words)-1] // the last is cobra's directive
	}
	for _, c := range []struct {
		line string
		want []string
	}{
		{"topic describe ", []string{"flights", "orders"}},
		{"topic describe flights ", []string{"orders"}},
		{"topic create ", nil},
		{"consume ", []string{"flights", "orders"}},
		{"consume flights ", nil},
		{"group members ", []string{"billing"}},
		{"group reset billing --topic ", []string{"flights", "orders"}},
		{"consume orders --group ", []string{"billing"}},
		{"config get topic ", []string{"flights", "orders"}},
		{"config get group ", []string{"billing"}},
		{"config unset topic flights ", []string{"retention.ms", "segment.ms"}},
		{"config unset topic flights segment.ms ", []string{"retention.ms"}},
		{"config unset topic absent ", nil},
		{"config unset broker ", []string{"log.retention.ms"}},
		{"config unset broker 1 ", []string{"log.segment.bytes"}},
		{"config unset group billing ", []string{"consumer.session.timeout.ms"}},
		{"profile use ", []string{"here"}},
		{"topic list --profile ", []string{"here"}},
		{"topic list -o ", []string{"table", "json", "yaml"}},
		{"topic describe --profile nowhere ", nil},
		{"topic describe -b 127.0.0.1:1 ", nil},
		{"completion ", []string{"bash", "zsh", "fish"}},
	} {
		if got := complete(c.line); !slices.Equal(got, c.want) {
			t.Errorf("%q: %q, want %q", c.line, got, c.want)
		}
	}
	for line, want := range map[string]string{
		"config set topic flights ":        "retention.ms=",
		"config set broker ":               "log.retention.ms=",
		"config set group billing ":        "consumer.session.timeout.ms=",
		"topic create x --config ":         "cleanup.policy=",
		"topic alter flights cleanup.poli": "cleanup.policy=",
	} {
		if got := complete(line); !slices.Contains(got, want) {
			t.Errorf("%q: %q, want %q among them", line, got, want)
		}
	}
	for _, of := range []string{"bash", "zsh", "fish"} {
		if out := shell.Must(t, "", "completion", of); !strings.Contains(out, "__complete") {
			t.Errorf("%s: %.100s", of, out)
		}
	}
}
