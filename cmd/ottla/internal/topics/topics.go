package topics

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/ottla-io/ottla/cmd/ottla/internal/cli"
	"github.com/ottla-io/ottla/internal/config"
)

// Commands are 'ottla topic' and 'ottla producers'. alter is the command that changes a topic's settings.
func Commands(version string, alter *cobra.Command) []*cobra.Command {
	return []*cobra.Command{newTopic(version, alter), newProducers(version)}
}

// topicFlags are the flags of commands about topics.
type topicFlags struct{ cli.ClientFlags }

func newTopic(version string, alter *cobra.Command) *cobra.Command {
	topic := cli.Parent("topic", "Create, list, describe, change, grow, trim and delete topics")
	topic.AddCommand(newTopicCreate(version), newTopicList(version), newTopicDescribe(version), newTopicAddPartitions(version), newTopicTrim(version), newTopicDelete(version), newTopicTrash(version), alter)
	return topic
}

// topicID is Kafka's text form of an id: base64url without padding.
func topicID(id kadm.TopicID) string { return base64.RawURLEncoding.EncodeToString(id[:]) }

func newTopicCreate(version string) *cobra.Command {
	flags := topicFlags{cli.ClientFlags{Version: version}}
	var partitions int32
	var replicas int16
	var settings []string
	var ifAbsent bool
	cmd := &cobra.Command{
		Use:     "create TOPIC...",
		Short:   "Create topics",
		Args:    cobra.MinimumNArgs(1),
		Example: "  ottla topic create arrivals --partitions 6 --config retention.ms=86400000",
		RunE: func(cmd *cobra.Command, names []string) error {
			configs, err := cli.ParseSettings(settings)
			if err != nil {
				return err
			}
			return flags.WithAdmin(cmd.Context(), func(ctx context.Context, admin *kadm.Client) error {
				answers, err := admin.CreateTopics(ctx, partitions, replicas, configs, names...)
				if err != nil {
					return flags.Explain("create topics", err)
				}
				return reportCreated(cmd, &flags, answers, ifAbsent)
			})
		},
	}
	flags.Register(cmd)
	cli.CompleteArguments(cmd, cli.CompleteNothing)
	cmd.Flags().Int32VarP(&partitions, "partitions", "p", -1, "number of partitions; -1 is the broker's num.partitions")
	cmd.Flags().Int16VarP(&replicas, "replication-factor", "r", -1, "copies of each partition; -1 is the broker's default.replication.factor")
	cmd.Flags().StringArrayVarP(&settings, "config", "c", nil, "topic setting KEY=VALUE, by Kafka's names; may be repeated")
	cmd.Flags().BoolVar(&ifAbsent, "if-not-exists", false, "a topic that exists already is no error")
	cli.CompleteFlag(cmd, "config", cli.CompleteSettings(config.Topic, "="))
	return cmd
}

type createdTopic struct {
	Topic             string `json:"topic"`
	ID                string `json:"id,omitempty"`
	Partitions        int32  `json:"partitions,omitempty"`
	ReplicationFactor int16  `json:"replicationFactor,omitempty"`
	Existed           bool   `json:"existed,omitempty"`
}

func reportCreated(cmd *cobra.Command, flags *topicFlags, answers kadm.CreateTopicResponses, ifAbsent bool) error {
	var created []createdTopic
	each := cli.Outcomes{Cmd: cmd, Output: flags.Output}
	for _, answer := range answers.Sorted() {
		existed := ifAbsent && errors.Is(answer.Err, kerr.TopicAlreadyExists)
		if answer.Err != nil && !existed {
			each.Fail(cli.TopicRefused("create", answer.Topic, answer.Err, answer.ErrMessage))
			continue
		}
		topic := createdTopic{Topic: answer.Topic, Existed: existed}
		if !existed {
			topic.ID, topic.Partitions, topic.ReplicationFactor = topicID(answer.ID), answer.NumPartitions, answer.ReplicationFactor
		}
		created = append(created, topic)
		what := fmt.Sprintf("created topic %s: %d partitions, replication factor %d", topic.Topic, topic.Partitions, topic.ReplicationFactor)
		if existed {
			what = fmt.Sprintf("topic %s exists already", topic.Topic)
		}
		each.Done(what)
	}
	return each.End(created)
}

type listedTopic struct {
	Topic             string `json:"topic"`
	ID                string `json:"id"`
	Partitions        int    `json:"partitions"`
	ReplicationFactor int    `json:"replicationFactor"`
	Internal          bool   `json:"internal,omitempty"`
}

func newTopicList(version string) *cobra.Command {
	flags := topicFlags{cli.ClientFlags{Version: version}}
	var internal bool
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List topics",
		Args:    cobra.NoArgs,
		Example: "  ottla topic list -o json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return flags.WithAdmin(cmd.Context(), func(ctx context.Context, admin *kadm.Client) error {
				topics, err := admin.ListTopicsWithInternal(ctx)
				if err != nil {
					return flags.Explain("list topics", err)
				}
				var listed []listedTopic
				rows := [][]string{{"TOPIC", "PARTITIONS", "REPLICAS", "ID"}}
				for _, topic := range topics.Sorted() {
					if topic.IsInternal && !internal {
						continue
					}
					row := listedTopic{topic.Topic, topicID(topic.ID), len(topic.Partitions), topic.Partitions.NumReplicas(), topic.IsInternal}
					listed = append(listed, row)
					rows = append(rows, []string{row.Topic, fmt.Sprint(row.Partitions), fmt.Sprint(row.ReplicationFactor), row.ID})
				}
				return flags.Output.ShowTable(cmd, listed, rows)
			})
		},
	}
	flags.Register(cmd)
	cmd.Flags().BoolVar(&internal, "internal", false, "show internal topics too")
	return cmd
}

type describedPartition struct {
	Partition   int32   `json:"partition"`
	Leader      int32   `json:"leader"`
	LeaderEpoch int32   `json:"leaderEpoch"`
	Replicas    []int32 `json:"replicas"`
	ISR         []int32 `json:"isr"`
	Start       int64   `json:"startOffset"`
	End         int64   `json:"endOffset"`
}

type describedTopic struct {
	Topic      string               `json:"topic"`
	ID         string               `json:"id"`
	Partitions []describedPartition `json:"partitions"`
	Settings   map[string]string    `json:"settings"`
}

func newTopicDescribe(version string) *cobra.Command {
	flags := topicFlags{cli.ClientFlags{Version: version}}
	cmd := &cobra.Command{
		Use:     "describe TOPIC...",
		Short:   "Show partitions, offsets and the settings that differ from the broker's",
		Args:    cobra.MinimumNArgs(1),
		Example: "  ottla topic describe flights",
		RunE: func(cmd *cobra.Command, names []string) error {
			return flags.WithAdmin(cmd.Context(), func(ctx context.Context, admin *kadm.Client) error {
				described, err := describeTopics(ctx, admin, &flags, names)
				if err != nil {
					return err
				}
				return flags.Output.Show(cmd, described, func(out io.Writer) error {
					for i := range described {
						if err := described[i].print(out); err != nil {
							return err
						}
					}
					return nil
				})
			})
		},
	}
	flags.Register(cmd)
	return cmd
}

func describeTopics(ctx context.Context, admin *kadm.Client, flags *topicFlags, names []string) ([]describedTopic, error) {
	topics, err := admin.ListTopicsWithInternal(ctx, names...)
	if err != nil {
		return nil, flags.Explain("describe topics", err)
	}
	for _, topic := range topics.Sorted() {
		if topic.Err != nil {
			return nil, cli.TopicRefused("describe", topic.Topic, topic.Err, "")
		}
	}
	starts, err := admin.ListStartOffsets(ctx, names...)
	if err != nil {
		return nil, flags.Explain("read start offsets", err)
	}
	ends, err := admin.ListEndOffsets(ctx, names...)
	if err != nil {
		return nil, flags.Explain("read end offsets", err)
	}
	configs, err := admin.DescribeTopicConfigs(ctx, names...)
	if err != nil {
		return nil, flags.Explain("read topic settings", err)
	}
	var described []describedTopic
	for _, topic := range topics.Sorted() {
		one := describedTopic{Topic: topic.Topic, ID: topicID(topic.ID), Settings: map[string]string{}}
		for _, partition := range topic.Partitions.Sorted() {
			start, _ := starts.Lookup(topic.Topic, partition.Partition)
			end, _ := ends.Lookup(topic.Topic, partition.Partition)
			one.Partitions = append(one.Partitions, describedPartition{partition.Partition, partition.Leader, partition.LeaderEpoch, partition.Replicas, partition.ISR, start.Offset, end.Offset})
		}
		if config, err := configs.On(topic.Topic, nil); err == nil {
			for _, setting := range config.Configs {
				// DYNAMIC_TOPIC_CONFIG: set on the topic itself.
				if setting.Source.String() == "DYNAMIC_TOPIC_CONFIG" {
					one.Settings[setting.Key] = setting.MaybeValue()
				}
			}
		}
		described = append(described, one)
	}
	return described, nil
}

func (topic *describedTopic) print(out io.Writer) error {
	fmt.Fprintf(out, "topic %s, id %s\n", topic.Topic, topic.ID)
	for _, key := range slices.Sorted(maps.Keys(topic.Settings)) {
		fmt.Fprintf(out, "  %s=%s\n", key, topic.Settings[key])
	}
	rows := [][]string{{"PARTITION", "LEADER", "EPOCH", "REPLICAS", "ISR", "START", "END"}}
	for _, p := range topic.Partitions {
		rows = append(rows, []string{fmt.Sprint(p.Partition), fmt.Sprint(p.Leader), fmt.Sprint(p.LeaderEpoch), fmt.Sprint(p.Replicas), fmt.Sprint(p.ISR), fmt.Sprint(p.Start), fmt.Sprint(p.End)})
	}
	return cli.PrintTable(out, rows)
}
