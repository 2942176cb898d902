package topics

import (
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/ottla-io/ottla/cmd/ottla/internal/cli"
)

// shownProducer is what a partition's leader remembers of one idempotent or transactional producer.
type shownProducer struct {
	Topic         string `json:"topic"`
	Partition     int32  `json:"partition"`
	ProducerID    int64  `json:"producerId"`
	ProducerEpoch int16  `json:"producerEpoch"`
	LastSequence  int32  `json:"lastSequence"`
	LastTimestamp int64  `json:"lastTimestampMs"`
	TxnStart      int64  `json:"transactionStartOffset"` // -1: no open transaction
	Leader        int32  `json:"leader"`
}

func newProducers(version string) *cobra.Command {
	flags := topicFlags{cli.ClientFlags{Version: version}}
	var open bool
	cmd := &cobra.Command{
		Use:   "producers TOPIC...",
		Short: "Show the idempotent producers that wrote to topics, and their open transactions",
		Long: "Show the idempotent and transactional producers that the leaders of topics remember: by producer id, with the sequence number and\n" +
			"the time of their last batch. A transaction that stays open holds back consumers that read committed records only.",
		Args:    cobra.MinimumNArgs(1),
		Example: "  ottla producers flights\n  ottla producers flights orders --open -o json",
		RunE: func(cmd *cobra.Command, names []string) error {
			return flags.WithAdmin(cmd.Context(), func(ctx context.Context, admin *kadm.Client) error {
				producers, err := flags.listProducers(ctx, admin, names, open)
				if err != nil {
					return err
				}
				rows := [][]string{{"TOPIC", "PARTITION", "PRODUCER", "EPOCH", "LAST SEQUENCE", "LAST TIME", "OPEN SINCE OFFSET"}}
				for _, p := range producers {
					rows = append(rows, []string{p.Topic, fmt.Sprint(p.Partition), fmt.Sprint(p.ProducerID), fmt.Sprint(p.ProducerEpoch), cli.OrNone(int64(p.LastSequence)),
						cli.DashTime(p.LastTimestamp), cli.OrNone(p.TxnStart)})
				}
				return flags.Output.ShowTable(cmd, producers, rows)
			})
		},
	}
	flags.Register(cmd)
	cmd.Flags().BoolVar(&open, "open", false, "only those with an open transaction")
	return cmd
}

func (f *topicFlags) listProducers(ctx context.Context, admin *kadm.Client, names []string, open bool) ([]shownProducer, error) {
	topics, err := admin.ListTopicsWithInternal(ctx, names...)
	if err != nil {
		return nil, f.Explain("look up the topics", err)
	}
	var asked kadm.TopicsSet
	for _, topic := range topics.Sorted() {
		if topic.Err != nil {
			return nil, cli.TopicRefused("show the producers of", topic.Topic, topic.Err, "")
		}
		asked.Add(topic.Topic, topic.Partitions.Numbers()...)
	}
	answers, err := admin.DescribeProducers(ctx, asked)
	if err != nil {
		return nil, f.Explain("describe producers", err)
	}
	var shown []shownProducer
	for _, partition := range answers.SortedPartitions() {
		if partition.Err != nil {
			return nil, cli.TopicRefused(fmt.Sprintf("show the producers of partition %d of", partition.Partition), partition.Topic, partition.Err, partition.ErrMessage)
		}
		for _, p := range partition.ActiveProducers.Sorted() {
			shown = append(shown, shownProducer{p.Topic, p.Partition, p.ProducerID, p.ProducerEpoch, p.LastSequence, p.LastTimestamp, p.CurrentTxnStartOffset, p.Leader})
		}
	}
	if open {
		shown = slices.DeleteFunc(shown, func(p shownProducer) bool { return p.TxnStart < 0 })
	}
	return shown, nil
}
