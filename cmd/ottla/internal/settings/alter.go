package settings

import (
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ottla-io/ottla/cmd/ottla/internal/cli"
	"github.com/ottla-io/ottla/internal/config"
)

func Alter(version string) *cobra.Command {
	flags := settingFlags{cli.ClientFlags{Version: version}}
	var yes bool
	cmd := &cobra.Command{
		Use:   "alter TOPIC KEY=VALUE|KEY-...",
		Short: "Change settings of a topic",
		Long: "Change settings of a topic: KEY=VALUE sets one, KEY- takes it back, so that the broker's counts. It counts at once. All of them change,\n" +
			"or none. What would lose records, or makes it easier to lose them, is not done without --yes. 'ottla config explain KEY' tells what a setting does; 'ottla topic add-partitions' adds partitions.",
		Args:    cobra.MinimumNArgs(2),
		Example: "  ottla topic alter flights retention.ms=86400000 cleanup.policy-",
		RunE: func(cmd *cobra.Command, args []string) error {
			r := configResource{kmsg.ConfigResourceTypeTopic, args[0]}
			changed := changedSettings{Resource: r.String()}
			var changes []kadm.AlterConfig
			for _, arg := range args[1:] {
				op := kadm.SetConfig
				if key, taken := strings.CutSuffix(arg, "-"); taken && !strings.Contains(arg, "=") {
					op, arg = kadm.DeleteConfig, key
				}
				change, err := changed.read(op, []string{arg})
				if err != nil {
					return err
				}
				changes = append(changes, change...)
			}
			return flags.changeSettings(cmd, r, changes, changed, "set "+strings.Join(args[1:], " "), yes)
		},
	}
	flags.Register(cmd)
	cli.CompleteArguments(cmd, cli.CompleteTopics(version), cli.CompleteSettings(config.Topic, "="))
	cli.RegisterYes(cmd, &yes, despiteLosses)
	return cmd
}
