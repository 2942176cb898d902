package settings

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ottla-io/ottla/cmd/ottla/internal/cli"
)

// configResource is what has settings, in Kafka's words. Its name is the topic, the group, or the broker's id; no name is the default of
// all brokers.
type configResource struct {
	kind kmsg.ConfigResourceType
	name string
}

func (r configResource) String() string {
	switch {
	case r.kind == kmsg.ConfigResourceTypeTopic:
		return "topic " + r.name
	case r.kind == kmsg.ConfigResourceTypeGroupConfig:
		return "group " + r.name
	case r.name == "":
		return "all brokers"
	}
	return "broker " + r.name
}

// describeConfigs asks for the settings of resources of any kind; kadm knows no groups. Each resource is in the answer once, with its own
// error where it has one.
func (f *settingFlags) describeConfigs(ctx context.Context, client *kgo.Client, resources ...configResource) (map[configResource]kadm.ResourceConfig, error) {
	request := kmsg.NewPtrDescribeConfigsRequest()
	request.IncludeSynonyms = true
	for _, r := range resources {
		asked := kmsg.NewDescribeConfigsRequestResource()
		asked.ResourceType, asked.ResourceName = r.kind, r.name
		request.Resources = append(request.Resources, asked)
	}
	described := make(map[configResource]kadm.ResourceConfig, len(resources))
	if len(resources) == 0 {
		return described, nil
	}
	for _, shard := range client.RequestSharded(ctx, request) { // a broker's settings are asked of that broker
		if shard.Err != nil {
			return nil, f.Explain("read settings", shard.Err)
		}
		for _, r := range shard.Resp.(*kmsg.DescribeConfigsResponse).Resources {
			one := kadm.ResourceConfig{Name: r.ResourceName, Err: kerr.ErrorForCode(r.ErrorCode), ErrMessage: cli.OrEmpty(r.ErrorMessage)}
			for _, c := range r.Configs {
				described := kadm.Config{Key: c.Name, Value: c.Value, Sensitive: c.IsSensitive, Source: c.Source}
				for _, s := range c.ConfigSynonyms {
					described.Synonyms = append(described.Synonyms, kadm.ConfigSynonym{Key: s.Name, Value: s.Value, Source: s.Source})
				}
				one.Configs = append(one.Configs, described)
			}
			described[configResource{r.ResourceType, r.ResourceName}] = one
		}
	}
	for _, r := range resources {
		if _, ok := described[r]; !ok {
			return nil, fmt.Errorf("read the settings of %s: the broker did not tell about it", r)
		}
	}
	return described, nil
}

// alterConfigs changes settings of one resource: all of them, or none.
func (f *settingFlags) alterConfigs(ctx context.Context, client *kgo.Client, r configResource, changes []kadm.AlterConfig) error {
	request := kmsg.NewPtrIncrementalAlterConfigsRequest()
	asked := kmsg.NewIncrementalAlterConfigsRequestResource()
	asked.ResourceType, asked.ResourceName = r.kind, r.name
	for _, change := range changes {
		c := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
		c.Name, c.Op, c.Value = change.Name, kmsg.IncrementalAlterConfigOp(change.Op), change.Value
		asked.Configs = append(asked.Configs, c)
	}
	request.Resources = append(request.Resources, asked)
	doing := "change settings of " + r.String()
	for _, shard := range client.RequestSharded(ctx, request) {
		if shard.Err != nil {
			return f.Explain(doing, shard.Err)
		}
		for _, answer := range shard.Resp.(*kmsg.IncrementalAlterConfigsResponse).Resources {
			if err := kerr.ErrorForCode(answer.ErrorCode); err != nil {
				return cli.Refused(doing, err, cli.OrEmpty(answer.ErrorMessage))
			}
		}
	}
	return nil
}
