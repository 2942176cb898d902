package topics

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ottla-io/ottla/cmd/ottla/internal/cli"
)

func newTopicDelete(version string) *cobra.Command {
	flags := topicFlags{cli.ClientFlags{Version: version}}
	var purge bool
	cmd := &cobra.Command{
		Use:   "delete TOPIC...",
		Short: "Delete topics and their records",
		Long: "Delete topics and their records. They stay in the trash for as long as their ottla.topic.trash.ms says, a day by default, and\n" +
			"'ottla topic trash restore' brings them back; their names are free at once.",
		Args: cobra.MinimumNArgs(1),
		Example: "  ottla topic delete flights --timeout 30s\n" +
			"  ottla topic delete orders --purge",
		RunE: func(cmd *cobra.Command, names []string) error {
			return flags.WithClient(cmd.Context(), func(ctx context.Context, client *kgo.Client) error {
				return runTopicDelete(ctx, cmd, client, &flags, names, purge)
			})
		},
	}
	flags.Register(cmd)
	cmd.Flags().BoolVar(&purge, "purge", false, "delete for good, past the trash")
	return cmd
}

// deletedTopics is the JSON of topic delete.
type deletedTopics struct {
	Deleted []string       `json:"deleted"`
	Trashed []trashedTopic `json:"trashed,omitempty"` // of those deleted: what can be restored
}

func runTopicDelete(ctx context.Context, cmd *cobra.Command, client *kgo.Client, flags *topicFlags, names []string, purge bool) error {
	topics := make([]kmsg.DeleteTopicsRequestTopic, len(names))
	for i, name := range names {
		topics[i] = kmsg.NewDeleteTopicsRequestTopic()
		topics[i].Topic = &name
	}
	answers, err := flags.deleteTopics(ctx, client, topics, purge)
	if err != nil {
		return err
	}
	var report deletedTopics
	each := cli.Outcomes{Cmd: cmd, Output: flags.Output}
	ids := map[string]bool{}
	for _, answer := range answers {
		if err := deletionError("delete", &answer); err != nil {
			each.Fail(err)
			continue
		}
		report.Deleted = append(report.Deleted, *answer.Topic)
		ids[topicID(kadm.TopicID(answer.TopicID))] = true
	}
	if trash, err := flags.trash(ctx, client); err == nil { // else it is not Ottla, and has none
		report.Trashed = slices.DeleteFunc(trash, func(t trashedTopic) bool { return !ids[t.ID] })
	}
	for _, name := range report.Deleted {
		text := "deleted topic " + name
		if at := slices.IndexFunc(report.Trashed, func(t trashedTopic) bool { return t.Topic == name }); at >= 0 {
			text += fmt.Sprintf("; 'ottla topic trash restore %s' brings it back until %s", name, report.Trashed[at].Until.Local().Format(time.DateTime))
		}
		each.Done(text)
	}
	return each.End(report)
}

// deleteTopics deletes topics, or, with purge, deletes them for good, those in the trash too.
func (f *topicFlags) deleteTopics(ctx context.Context, client *kgo.Client, topics []kmsg.DeleteTopicsRequestTopic, purge bool) ([]kmsg.DeleteTopicsResponseTopic, error) {
	req := kmsg.NewPtrDeleteTopicsRequest()
	req.TimeoutMillis = int32(f.Timeout / time.Millisecond)
	for _, topic := range topics {
		if topic.Topic != nil {
			req.TopicNames = append(req.TopicNames, *topic.Topic) // what brokers before Kafka 2.8 read
		}
		if purge {
			topic.UnknownTags.Set(cli.OttlaTag, []byte{1})
		}
		req.Topics = append(req.Topics, topic)
	}
	resp, err := req.RequestWith(ctx, client)
	if err != nil {
		return nil, f.Explain("delete topics", err)
	}
	return resp.Topics, nil
}

// deletionError is why one topic was not deleted, nil if it was.
func deletionError(doing string, answer *kmsg.DeleteTopicsResponseTopic) error {
	if err := kerr.ErrorForCode(answer.ErrorCode); err != nil {
		return cli.TopicRefused(doing, cli.OrEmpty(answer.Topic), err, cli.OrEmpty(answer.ErrorMessage))
	}
	return nil
}
