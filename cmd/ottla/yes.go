package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"
)

// doIt is what --yes does where nothing else has to be said of it.
const doIt = "do it"

// registerYes adds the flag of commands that are asked twice before they do what cannot be taken back.
func registerYes(cmd *cobra.Command, yes *bool, usage string) {
	cmd.Flags().BoolVarP(yes, "yes", "y", false, usage)
}

// printPlan prints a table of what was done, or of what would be, and below the latter says what was not: "nothing was changed".
func printPlan(out io.Writer, rows [][]string, done bool, undone string) error {
	if err := printTable(out, rows); err != nil || done {
		return err
	}
	_, err := fmt.Fprintf(out, "%s: --yes does it\n", undone)
	return err
}
