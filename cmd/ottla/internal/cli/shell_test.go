package cli_test

import (
	"slices"

	"github.com/spf13/cobra"

	"github.com/ottla-io/ottla/cmd/ottla/internal/cli"
	"github.com/ottla-io/ottla/cmd/ottla/internal/clitest"
	"github.com/ottla-io/ottla/cmd/ottla/internal/groups"
	"github.com/ottla-io/ottla/cmd/ottla/internal/records"
	"github.com/ottla-io/ottla/cmd/ottla/internal/settings"
	"github.com/ottla-io/ottla/cmd/ottla/internal/topics"
)

// shell has the commands that these tests type.
var shell = clitest.Shell(func() *cobra.Command {
	return clitest.Root(slices.Concat([]*cobra.Command{cli.ProfileCommand()}, groups.Commands(clitest.Version), topics.Commands(clitest.Version, settings.Alter(clitest.Version)), settings.Commands(clitest.Version, clitest.NoServe[settings.Told]{}), records.Commands(clitest.Version))...)
})
