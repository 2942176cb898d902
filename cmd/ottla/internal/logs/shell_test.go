package logs

import (
	"github.com/spf13/cobra"

	"github.com/ottla-io/ottla/cmd/ottla/internal/clitest"
)

// shell has the commands that these tests type.
var shell = clitest.Shell(func() *cobra.Command {
	return clitest.Root(Commands()...)
})
