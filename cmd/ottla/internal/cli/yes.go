package cli

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"
)

// DoIt is what --yes does where nothing else has to be said of it.
const DoIt = "do it"

// RegisterYes adds the flag of commands that are asked twice before they do what cannot be taken back.
func RegisterYes(cmd *cobra.Command, yes *bool, usage string) {
	cmd.Flags().BoolVarP(yes, "yes", "y", false, usage)
}

// PrintPlan prints a table of what was done, or of what would be, and below the latter says what was not: "nothing was changed".
func PrintPlan(out io.Writer, rows [][]string, done bool, undone string) error {
	if err := PrintTable(out, rows); err != nil || done {
		return err
	}
	_, err := fmt.Fprintf(out, "%s: --yes does it\n", undone)
	return err
}
