package groups

import (
	"context"

	"github.com/twmb/franz-go/pkg/kbin"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ottla-io/ottla/cmd/ottla/internal/cli"
)

// addSoftware asks which software the members of the groups are: a compact string NAME/VERSION in tagged field ottlaTag of a member, in the answers to
// DescribeGroups and ConsumerGroupDescribe. Ottla alone writes it, and to this tool alone. kadm drops the tagged fields that it does not know, so the
// requests are sent once more without it.
func (f *groupFlags) addSoftware(ctx context.Context, client *kgo.Client, groups []groupView) error {
	classic, consumer := kmsg.NewPtrDescribeGroupsRequest(), kmsg.NewPtrConsumerGroupDescribeRequest()
	for i := range groups {
		switch {
		case len(groups[i].Members) == 0:
		case groups[i].Type == "consumer":
			consumer.Groups = append(consumer.Groups, groups[i].Group)
		default:
			classic.Groups = append(classic.Groups, groups[i].Group)
		}
	}
	var asked []kmsg.Request
	if len(classic.Groups) > 0 {
		asked = append(asked, classic)
	}
	if len(consumer.Groups) > 0 {
		asked = append(asked, consumer)
	}
	software := map[string]string{} // by member id
	for _, request := range asked {
		for _, shard := range client.RequestSharded(ctx, request) {
			if shard.Err != nil {
				return f.Explain("describe groups", shard.Err)
			}
			readSoftware(shard.Resp, software)
		}
	}
	for i := range groups {
		for j := range groups[i].Members {
			m := &groups[i].Members[j]
			m.Software = software[m.Member]
		}
	}
	return nil
}

// readSoftware takes the members' software out of an answer. A group that has gone in the meantime has no members.
func readSoftware(answer kmsg.Response, software map[string]string) {
	read := func(member string, tags *kmsg.Tags) {
		tags.Each(func(tag uint32, value []byte) {
			if tag != cli.OttlaTag {
				return
			}
			reader := kbin.Reader{Src: value}
			if text := reader.CompactString(); reader.Complete() == nil {
				software[member] = text
			}
		})
	}
	switch answer := answer.(type) {
	case *kmsg.DescribeGroupsResponse:
		for i := range answer.Groups {
			for j := range answer.Groups[i].Members {
				read(answer.Groups[i].Members[j].MemberID, &answer.Groups[i].Members[j].UnknownTags)
			}
		}
	case *kmsg.ConsumerGroupDescribeResponse:
		for i := range answer.Groups {
			for j := range answer.Groups[i].Members {
				read(answer.Groups[i].Members[j].MemberID, &answer.Groups[i].Members[j].UnknownTags)
			}
		}
	}
}
