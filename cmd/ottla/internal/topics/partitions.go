package topics

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/ottla-io/ottla/cmd/ottla/internal/cli"
)

type grownTopic struct {
	Topic      string `json:"topic"`
	Partitions int    `json:"partitions"`
}

func newTopicAddPartitions(version string) *cobra.Command {
	flags := cli.ClientFlags{Version: version}
	var to int
	cmd := &cobra.Command{
		Use:   "add-partitions TOPIC... --to N",
		Short: "Give topics more partitions",
		Long: "Give topics more partitions, so that each has N. Partitions cannot be taken away again, and keys map to\n" +
			"other partitions than before.",
		Args:    cobra.MinimumNArgs(1),
		Example: "  ottla topic add-partitions flights --to 12",
		RunE: func(cmd *cobra.Command, names []string) error {
			return flags.WithAdmin(cmd.Context(), func(ctx context.Context, admin *kadm.Client) error {
				answers, err := admin.UpdatePartitions(ctx, to, names...)
				if err != nil {
					return flags.Explain("add partitions", err)
				}
				var grown []grownTopic
				each := cli.Outcomes{Cmd: cmd, Output: flags.Output}
				for _, answer := range answers.Sorted() {
					if answer.Err != nil {
						each.Fail(cli.TopicRefused("add partitions to", answer.Topic, answer.Err, answer.ErrMessage))
						continue
					}
					grown = append(grown, grownTopic{answer.Topic, to})
					each.Done(fmt.Sprintf("topic %s has %d partitions now", answer.Topic, to))
				}
				return each.End(grown)
			})
		},
	}
	flags.Register(cmd)
	cmd.Flags().IntVar(&to, "to", 0, "number of partitions that the topic will have")
	if err := cmd.MarkFlagRequired("to"); err != nil {
		panic(err) // the flag is registered above
	}
	return cmd
}
