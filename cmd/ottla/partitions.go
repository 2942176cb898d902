package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
)

type grownTopic struct {
	Topic      string `json:"topic"`
	Partitions int    `json:"partitions"`
}

func newTopicAddPartitions(version string) *cobra.Command {
	flags := clientFlags{version: version}
	var to int
	cmd := &cobra.Command{
		Use:   "add-partitions TOPIC... --to N",
		Short: "Give topics more partitions",
		Long: "Give topics more partitions, so that each has N. Partitions cannot be taken away again, and keys map to\n" +
			"other partitions than before.",
		Args:    cobra.MinimumNArgs(1),
		Example: "  ottla topic add-partitions flights --to 12",
		RunE: func(cmd *cobra.Command, names []string) error {
			return flags.withAdmin(cmd.Context(), func(ctx context.Context, admin *kadm.Client) error {
				answers, err := admin.UpdatePartitions(ctx, to, names...)
				if err != nil {
					return flags.explain("add partitions", err)
				}
				grown := []grownTopic{}
				each := outcomes{cmd: cmd, output: flags.output}
				for _, answer := range answers.Sorted() {
					if answer.Err != nil {
						each.fail(topicRefused("add partitions to", answer.Topic, answer.Err, answer.ErrMessage))
						continue
					}
					grown = append(grown, grownTopic{answer.Topic, to})
					each.done(fmt.Sprintf("topic %s has %d partitions now", answer.Topic, to))
				}
				return each.end(grown)
			})
		},
	}
	flags.register(cmd)
	cmd.Flags().IntVar(&to, "to", 0, "number of partitions that the topic will have")
	if err := cmd.MarkFlagRequired("to"); err != nil {
		panic(err) // the flag is registered above
	}
	return cmd
}
