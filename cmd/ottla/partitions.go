package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
)

type grownTopic struct {
	Topic      string `json:"topic"`
	Partitions int    `json:"partitions"`
}

func newTopicAddPartitions() *cobra.Command {
	var flags clientFlags
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
				var failed []error
				for _, answer := range answers.Sorted() {
					if answer.Err != nil {
						failed = append(failed, topicError("add partitions to", answer.Topic, answer.Err, answer.ErrMessage))
						continue
					}
					grown = append(grown, grownTopic{answer.Topic, to})
					if flags.output == outputText {
						fmt.Fprintf(cmd.OutOrStdout(), "topic %s has %d partitions now\n", answer.Topic, to)
					}
				}
				if flags.output == outputJSON {
					if err := printJSON(cmd.OutOrStdout(), grown); err != nil {
						return err
					}
				}
				return errors.Join(failed...)
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
