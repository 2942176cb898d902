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
	return clitest.Root(slices.Concat(Commands(clitest.Version, noServe{}), topics.Commands(clitest.Version, Alter(clitest.Version)), records.Commands(clitest.Version))...)
})

// noServe is told nothing: what 'config print' does with what serve was told is tested with the real one.
type noServe struct{}

func (noServe) Register(*cobra.Command) {}

func (noServe) Told(*cobra.Command) (Told, error) { return Told{}, nil }
