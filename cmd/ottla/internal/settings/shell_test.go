package settings

import (
	"slices"

	"github.com/spf13/cobra"

	"github.com/ottla-io/ottla/cmd/ottla/internal/clitest"
	"github.com/ottla-io/ottla/cmd/ottla/internal/records"
	"github.com/ottla-io/ottla/cmd/ottla/internal/topics"
)

// shell has the commands that these tests type.
var shell = clitest.Shell(func() *cobra.Command {
	return clitest.Root(slices.Concat(Commands(clitest.Version, clitest.NoServe[Told]{}), topics.Commands(clitest.Version, Alter(clitest.Version)), records.Commands(clitest.Version))...)
})
