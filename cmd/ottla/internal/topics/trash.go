package topics

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kbin"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ottla-io/ottla/cmd/ottla/internal/cli"
)

// errNoTrash tells that the broker did not understand the question.
var errNoTrash = errors.New("this broker has no trash: it is not Ottla, or an older one")

func newTopicTrash(version string) *cobra.Command {
	trash := cli.Parent("trash", "List, restore and purge deleted topics")
	trash.AddCommand(newTrashList(version), newTrashRestore(version), newTrashPurge(version))
	return trash
}

// trashedTopic is a deleted topic that can be restored.
type trashedTopic struct {
	Topic      string    `json:"topic"`
	ID         string    `json:"id"`
	Partitions int32     `json:"partitions"`
	Deleted    time.Time `json:"deleted"`
	Until      time.Time `json:"until"`
	Bytes      int64     `json:"bytes"` // on the broker that answered
	id         [16]byte
}

// trash asks a broker for the topics in the trash, those deleted first at the front.
func (f *topicFlags) trash(ctx context.Context, client *kgo.Client) ([]trashedTopic, error) {
	req := kmsg.NewPtrDescribeTopicPartitionsRequest()
	req.ResponsePartitionLimit = 1
	req.UnknownTags.Set(cli.OttlaTag, []byte{1})
	resp, err := req.RequestWith(ctx, client)
	if err != nil {
		return nil, f.Explain("list the trash", err)
	}
	trash, err := []trashedTopic(nil), errNoTrash
	resp.UnknownTags.Each(func(tag uint32, value []byte) {
		if tag == cli.OttlaTag {
			trash, err = readTrash(value)
		}
	})
	return trash, err
}

// readTrash reads the tagged field of DescribeTopicPartitions.
func readTrash(value []byte) ([]trashedTopic, error) {
	reader := kbin.Reader{Src: value}
	var trash []trashedTopic
	for n := reader.CompactArrayLen(); n > 0 && reader.Ok(); n-- {
		t := trashedTopic{Topic: reader.CompactString(), id: reader.Uuid(), Partitions: reader.Int32(), Deleted: time.UnixMilli(reader.Int64()),
			Until: time.UnixMilli(reader.Int64()), Bytes: reader.Int64()}
		kmsg.SkipTags(&reader)
		t.ID = topicID(kadm.TopicID(t.id))
		trash = append(trash, t)
	}
	if err := reader.Complete(); err != nil {
		return nil, fmt.Errorf("list the trash: the broker's answer cannot be read: %w", err)
	}
	return trash, nil
}

func newTrashList(version string) *cobra.Command {
	flags := topicFlags{cli.ClientFlags{Version: version}}
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List deleted topics that can be restored",
		Args:    cobra.NoArgs,
		Example: "  ottla topic trash list",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return flags.WithClient(cmd.Context(), func(ctx context.Context, client *kgo.Client) error {
				trash, err := flags.trash(ctx, client)
				if err != nil {
					return err
				}
				rows := [][]string{{"TOPIC", "PARTITIONS", "DELETED", "UNTIL", "BYTES", "ID"}}
				for _, t := range trash {
					rows = append(rows, []string{t.Topic, fmt.Sprint(t.Partitions), t.Deleted.Local().Format(time.DateTime), t.Until.Local().Format(time.DateTime), fmt.Sprint(t.Bytes), t.ID})
				}
				return flags.Output.ShowTable(cmd, trash, rows)
			})
		},
	}
	flags.Register(cmd)
	return cmd
}

func newTrashRestore(version string) *cobra.Command {
	flags := topicFlags{cli.ClientFlags{Version: version}}
	var as, id string
	cmd := &cobra.Command{
		Use:   "restore NAME",
		Short: "Bring a deleted topic back, with its records, settings and id",
		Long: "Bring a deleted topic back, with its records, settings, id and the offsets that groups have committed. Where several of that name are\n" +
			"in the trash, it is the one that was deleted last, or the one that --id names. If a new topic has the name, give the old one another\n" +
			"with --as.",
		Args:    cobra.ExactArgs(1),
		Example: "  ottla topic trash restore old-orders\n  ottla topic trash restore old-flights --as flights-of-yesterday",
		RunE: func(cmd *cobra.Command, names []string) error {
			return flags.WithClient(cmd.Context(), func(ctx context.Context, client *kgo.Client) error {
				found, err := flags.inTrash(ctx, client, names, id)
				if err != nil {
					return err
				}
				t := found[len(found)-1]
				name := cmp.Or(as, t.Topic)
				if err := flags.restore(ctx, client, t, name); err != nil {
					return err
				}
				return flags.Output.Show(cmd, createdTopic{Topic: name, ID: t.ID, Partitions: t.Partitions}, func(out io.Writer) error {
					_, err := fmt.Fprintf(out, "restored topic %s: %s\n", name, cli.Counted(int(t.Partitions), "partition"))
					return err
				})
			})
		},
	}
	flags.Register(cmd)
	cmd.Flags().StringVar(&as, "as", "", "name that the topic gets, if not its own")
	cmd.Flags().StringVar(&id, "id", "", "id of the topic, where several of that name are in the trash")
	return cmd
}

// inTrash finds the topics in the trash that have these names, and this id if it isn't empty, those deleted last at the end; each name at least once.
func (f *topicFlags) inTrash(ctx context.Context, client *kgo.Client, names []string, id string) ([]trashedTopic, error) {
	trash, err := f.trash(ctx, client)
	if err != nil {
		return nil, err
	}
	trash = slices.DeleteFunc(trash, func(t trashedTopic) bool { return !slices.Contains(names, t.Topic) || id != "" && t.ID != id })
	for _, name := range names {
		if !slices.ContainsFunc(trash, func(t trashedTopic) bool { return t.Topic == name }) {
			return nil, fmt.Errorf("no topic %s is in the trash; 'ottla topic trash list' shows what is", name)
		}
	}
	return trash, nil
}

// restore creates a topic that is the one in the trash.
func (f *topicFlags) restore(ctx context.Context, client *kgo.Client, t trashedTopic, name string) error {
	req := kmsg.NewPtrCreateTopicsRequest()
	req.TimeoutMillis = int32(f.Timeout / time.Millisecond)
	topic := kmsg.NewCreateTopicsRequestTopic()
	topic.Topic, topic.NumPartitions, topic.ReplicationFactor = name, -1, -1
	topic.UnknownTags.Set(cli.OttlaTag, t.id[:])
	req.Topics = append(req.Topics, topic)
	resp, err := req.RequestWith(ctx, client)
	if err != nil {
		return f.Explain("restore topic "+t.Topic, err)
	}
	for _, answer := range resp.Topics {
		message := cli.OrEmpty(answer.ErrorMessage)
		err := kerr.ErrorForCode(answer.ErrorCode)
		if errors.Is(err, kerr.TopicAlreadyExists) {
			message += fmt.Sprintf(" Give the restored one another name: 'ottla topic trash restore %s --as NAME'.", t.Topic)
		}
		if err != nil {
			return cli.TopicRefused("restore", t.Topic, err, message)
		}
	}
	return nil
}

func newTrashPurge(version string) *cobra.Command {
	flags := topicFlags{cli.ClientFlags{Version: version}}
	var id string
	var all, yes bool
	cmd := &cobra.Command{
		Use:   "purge [NAME...]",
		Short: "Delete topics in the trash for good, after a look at which",
		Long: "Delete topics in the trash for good, with the space that they take. Without --yes nothing is deleted: you see what would be. All of one\n" +
			"name go, unless --id names one.",
		Example: "  ottla topic trash purge old-orders --yes\n  ottla topic trash purge --all",
		RunE: func(cmd *cobra.Command, names []string) error {
			if all == (len(names) > 0) {
				return errors.New("name the topics, or give --all")
			}
			return flags.WithClient(cmd.Context(), func(ctx context.Context, client *kgo.Client) error {
				doomed, err := flags.trash(ctx, client)
				if err == nil && !all {
					doomed, err = flags.inTrash(ctx, client, names, id)
				}
				if err != nil {
					return err
				}
				return runPurge(ctx, cmd, client, &flags, doomed, yes)
			})
		},
	}
	flags.Register(cmd)
	cmd.Flags().StringVar(&id, "id", "", "id of the topic, where several of that name are in the trash")
	cmd.Flags().BoolVar(&all, "all", false, "all topics in the trash")
	cli.RegisterYes(cmd, &yes, cli.DoIt)
	return cmd
}

// purgeReport is the JSON of topic trash purge.
type purgeReport struct {
	Done   bool           `json:"done"`
	Topics []trashedTopic `json:"topics"`
}

func runPurge(ctx context.Context, cmd *cobra.Command, client *kgo.Client, flags *topicFlags, doomed []trashedTopic, yes bool) error {
	var failed []error
	if yes && len(doomed) > 0 {
		topics := make([]kmsg.DeleteTopicsRequestTopic, len(doomed))
		for i, t := range doomed {
			topics[i] = kmsg.NewDeleteTopicsRequestTopic()
			topics[i].TopicID = t.id
		}
		answers, err := flags.deleteTopics(ctx, client, topics, true)
		if err != nil {
			return err
		}
		for _, answer := range answers {
			if err := deletionError("purge", &answer); err != nil {
				failed = append(failed, err)
				doomed = slices.DeleteFunc(doomed, func(t trashedTopic) bool { return t.id == answer.TopicID })
			}
		}
	}
	err := flags.Output.Show(cmd, purgeReport{yes, doomed}, func(out io.Writer) error {
		rows := [][]string{{"TOPIC", "BYTES", "ID", ""}}
		effect := "would be gone for good"
		if yes {
			effect = "is gone for good"
		}
		for _, t := range doomed {
			rows = append(rows, []string{t.Topic, fmt.Sprint(t.Bytes), t.ID, effect})
		}
		return cli.PrintPlan(out, rows, yes, "nothing was deleted")
	})
	return errors.Join(append(failed, err)...)
}
