package cli

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"
)

// Outcomes tell, as Output says, what came of each of several things that a command is about. One that fails does not keep it from the others.
type Outcomes struct {
	Cmd    *cobra.Command
	Output OutputFormat
	failed []error
}

// Done says in a line, where text is wanted, what was done.
func (o *Outcomes) Done(line string) {
	if o.Output == OutputText {
		fmt.Fprintln(o.Cmd.OutOrStdout(), line)
	}
}

// Fail remembers what was not.
func (o *Outcomes) Fail(err error) { o.failed = append(o.failed, err) }

// End prints all that was done as a document, where one is wanted. Its error says what was not.
func (o *Outcomes) End(document any) error {
	if o.Output == OutputJSON {
		o.Fail(PrintJSON(o.Cmd.OutOrStdout(), document))
	}
	return errors.Join(o.failed...)
}
