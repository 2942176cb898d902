package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"
)

// outcomes tell what came of each of several things that a command is about. One that fails does not keep it from the others.
type outcomes struct {
	cmd    *cobra.Command
	output outputFormat
	failed []error
}

// done says in a line, where text is wanted, what was done.
func (o *outcomes) done(line string) {
	if o.output == outputText {
		fmt.Fprintln(o.cmd.OutOrStdout(), line)
	}
}

// fail remembers what was not.
func (o *outcomes) fail(err error) { o.failed = append(o.failed, err) }

// end prints all that was done as a document, where one is wanted. Its error says what was not.
func (o *outcomes) end(document any) error {
	if o.output == outputJSON {
		o.fail(printJSON(o.cmd.OutOrStdout(), document))
	}
	return errors.Join(o.failed...)
}
