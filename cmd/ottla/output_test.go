package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
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
