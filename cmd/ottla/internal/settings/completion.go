package settings

import (
	"context"
	"slices"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ottla-io/ottla/cmd/ottla/internal/cli"
	"github.com/ottla-io/ottla/internal/config"
)

// completers are those of a command about the settings of a target, which set has a suffix after; those of unset are all that can be taken back.
func (of configTarget) completers(version, verb string) []cli.Completer {
	scope := map[configTarget]config.Scope{topicTarget: config.Topic, brokerTarget: config.Broker, groupTarget: config.Group}[of]
	keys := cli.CompleteSettings(scope, "")
	switch verb {
	case "set":
		keys = cli.CompleteSettings(scope, "=")
	case "unset":
		keys = of.completeOwn(version)
	}
	switch of {
	case topicTarget:
		return []cli.Completer{cli.CompleteTopics(version), keys}
	case groupTarget:
		return []cli.Completer{cli.CompleteGroups(version), keys}
	}
	return []cli.Completer{keys}
}

// completeOwn are the settings that a resource has of its own.
func (of configTarget) completeOwn(version string) cli.Completer {
	return func(cmd *cobra.Command, args []string) []string {
		r, given, err := of.parse(args)
		if err != nil {
			return nil
		}
		own := kmsg.ConfigSourceDynamicTopicConfig
		switch {
		case r.kind == kmsg.ConfigResourceTypeGroupConfig:
			own = kmsg.ConfigSourceGroupConfig
		case r.kind == kmsg.ConfigResourceTypeBroker && r.name == "":
			own = kmsg.ConfigSourceDynamicDefaultBrokerConfig
		case r.kind == kmsg.ConfigResourceTypeBroker:
			own = kmsg.ConfigSourceDynamicBrokerConfig
		}
		return cli.AskToComplete(cmd, version, func(ctx context.Context, flags cli.ClientFlags, client *kgo.Client) (names []string) {
			described, err := (&settingFlags{flags}).describeConfigs(ctx, client, r)
			if err != nil {
				return nil
			}
			for _, c := range described[r].Configs {
				if c.Source == own && !slices.Contains(given, c.Key) {
					names = append(names, c.Key)
				}
			}
			slices.Sort(names)
			return names
		})
	}
}

// completeAny are the settings of whatever has some.
func completeAny(cmd *cobra.Command, args []string) (all []string) {
	for _, scope := range []config.Scope{config.Topic, config.Broker, config.Group} {
		all = append(all, cli.CompleteSettings(scope, "")(cmd, args)...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}
