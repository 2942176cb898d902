package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/ottla-io/ottla/cmd/ottla/internal/clitest"
	"github.com/ottla-io/ottla/ottlatest"
)

// TestOutputEverywhere: what prints data does so as a table, JSON and YAML. These commands print none, or in a form of their own.
func TestOutputEverywhere(t *testing.T) {
	without := []string{"serve", "export", "completion", "man", "profile set", "profile use", "profile remove"}
	eachCommand(newRoot(), func(cmd *cobra.Command) {
		if cmd.HasSubCommands() || slices.Contains(without, strings.TrimPrefix(cmd.CommandPath(), "ottla ")) {
			return
		}
		flag := cmd.Flags().Lookup("output")
		if flag == nil {
			t.Errorf("%s has no -o", cmd.CommandPath())
			return
		}
		if kind := fmt.Sprintf("%T", flag.Value); kind != "*cli.outputFlag" {
			t.Errorf("%s has a -o of its own, a %s: register cli.OutputFormat", cmd.CommandPath(), kind)
		}
	})
}

// TestEmptyListsEverywhere: of a cluster in which nothing is, every command that lists things prints the list that has none, and so does one that could do
// nothing of what it was to do.
func TestEmptyListsEverywhere(t *testing.T) {
	clitest.OwnProfiles(t)
	t.Setenv("OTTLA_BOOTSTRAP", ottlatest.Start(t).Addr())
	type outcome struct {
		want string
		code int
	}
	lines := map[string]outcome{
		"group describe":                     {"[]", 0},
		"config get broker":                  {"[]", 0},
		"topic create a/b":                   {"[]", 1},
		"topic add-partitions absent --to 3": {"[]", 1},
		"topic delete absent":                {`{"deleted":[]}`, 1},
		"topic trash purge --all":            {`{"done":false,"topics":[]}`, 0},
		"group delete absent":                {`{"deleted":[]}`, 1},
	}
	lists := 0
	eachCommand(newRoot(), func(cmd *cobra.Command) {
		if cmd.Name() == "list" {
			lists++
			lines[strings.TrimPrefix(cmd.CommandPath(), "ottla ")] = outcome{"[]", 0}
		}
	})
	if lists < 5 {
		t.Errorf("%d commands are named list; there were 5: topics, trash, groups, quotas, profiles", lists)
	}
	for line, c := range lines {
		r := shell.Runs(t, "", append(strings.Fields(line), "-o", "json")...)
		var document bytes.Buffer
		if err := json.Compact(&document, []byte(r.Stdout)); err != nil || document.String() != c.want || r.Code != c.code {
			t.Errorf("%s: code %d, %s%s; want code %d, %s (%v)", line, r.Code, r.Stdout, r.Stderr, c.code, c.want, err)
		}
	}

	shell.Must(t, "one\n", "produce", "t")
	shell.Must(t, "", "consume", "t", "--group", "g", "--count", "1")
	for _, line := range []string{"producers t --open", "group members g"} {
		if got := shell.Must(t, "", append(strings.Fields(line), "-o", "json")...); got != "[]\n" {
			t.Errorf("%s: %s", line, got)
		}
	}
}
