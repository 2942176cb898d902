package settings

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ottla-io/ottla/cmd/ottla/internal/cli"
	"github.com/ottla-io/ottla/internal/clusterfile"
)

// describedAtOnce bounds what one answer about settings holds: a topic's are some 5 kB.
const describedAtOnce = 500

func newExport(version string) *cobra.Command {
	flags := settingFlags{cli.ClientFlags{Version: version}}
	cmd := &cobra.Command{
		Use:   "export",
		Short: "Print the topics, settings and quotas of a cluster as a file for diff and apply",
		Long: "Print topics with their partitions, replication factor and own settings, dynamic settings of brokers, settings of groups, and quotas, as\n" +
			"YAML that 'ottla diff' and 'ottla apply' read. Internal topics, records and offsets are not in it. docs/apply.md describes the file.",
		Args:    cobra.NoArgs,
		Example: "  ottla export\n  ottla export > cluster.yaml",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return flags.WithClient(cmd.Context(), func(ctx context.Context, client *kgo.Client) error {
				file, err := flags.readCluster(ctx, client, cmd.ErrOrStderr())
				if err != nil {
					return err
				}
				text, err := file.Text()
				if err != nil {
					return fmt.Errorf("write the cluster as YAML: %w", err)
				}
				_, err = cmd.OutOrStdout().Write(text)
				return err
			})
		},
	}
	flags.RegisterConnection(cmd)
	return cmd
}

// readCluster asks for all that a file can speak of. What the cluster does not serve, or does not tell, is not in it; of secrets it warns.
func (f *settingFlags) readCluster(ctx context.Context, client *kgo.Client, warnings io.Writer) (*clusterfile.File, error) {
	admin, file := kadm.NewClient(client), &clusterfile.File{}
	own, err := f.readTopics(ctx, client, admin, file)
	if err == nil {
		err = f.readBrokers(ctx, client, admin, file, own)
	}
	if err == nil {
		err = f.readGroups(ctx, client, admin, file, own)
	}
	if err == nil {
		err = f.readQuotas(ctx, client, admin, file)
	}
	for _, secret := range own.secrets {
		fmt.Fprintf(warnings, "not read, as it is secret: %s\n", secret)
	}
	return file, err
}

// ownSettings finds the settings that a resource has of its own, and remembers the secrets that it could not read.
type ownSettings struct{ secrets []string }

func (o *ownSettings) of(r configResource, described kadm.ResourceConfig, source kmsg.ConfigSource) (clusterfile.Settings, error) {
	if described.Err != nil {
		return nil, cli.Refused("read the settings of "+r.String(), described.Err, described.ErrMessage)
	}
	var settings clusterfile.Settings
	for _, c := range described.Configs {
		switch {
		case c.Source != source:
		case c.Sensitive || c.Value == nil:
			o.secrets = append(o.secrets, fmt.Sprintf("%s of %s", c.Key, r))
		default:
			if settings == nil {
				settings = clusterfile.Settings{}
			}
			settings[c.Key] = c.Value
		}
	}
	return settings, nil
}

func (f *settingFlags) readTopics(ctx context.Context, client *kgo.Client, admin *kadm.Client, file *clusterfile.File) (*ownSettings, error) {
	own := &ownSettings{}
	topics, err := admin.ListTopics(ctx)
	if err != nil {
		return own, f.Explain("list topics", err)
	}
	file.Topics = map[string]clusterfile.Topic{}
	for names := range slices.Chunk(topics.Names(), describedAtOnce) {
		resources := make([]configResource, len(names))
		for i, name := range names {
			resources[i] = configResource{kmsg.ConfigResourceTypeTopic, name}
		}
		described, err := f.describeConfigs(ctx, client, resources...)
		if err != nil {
			return own, err
		}
		for _, r := range resources {
			if errors.Is(described[r].Err, kerr.UnknownTopicOrPartition) {
				continue // deleted in the meantime
			}
			detail := topics[r.name]
			topic := clusterfile.Topic{Partitions: int32(len(detail.Partitions)), ReplicationFactor: int16(detail.Partitions.NumReplicas())}
			if topic.Config, err = own.of(r, described[r], kmsg.ConfigSourceDynamicTopicConfig); err != nil {
				return own, err
			}
			file.Topics[r.name] = topic
		}
	}
	return own, nil
}

func (f *settingFlags) readBrokers(ctx context.Context, client *kgo.Client, admin *kadm.Client, file *clusterfile.File, own *ownSettings) error {
	brokers, err := admin.ListBrokers(ctx)
	if err != nil {
		return f.Explain("list brokers", err)
	}
	resources := []configResource{{kind: kmsg.ConfigResourceTypeBroker}}
	for _, b := range brokers {
		resources = append(resources, configResource{kmsg.ConfigResourceTypeBroker, strconv.Itoa(int(b.NodeID))})
	}
	described, err := f.describeConfigs(ctx, client, resources...)
	if err != nil {
		return err
	}
	file.Brokers = map[string]clusterfile.Settings{}
	for _, r := range resources {
		name, source := r.name, kmsg.ConfigSourceDynamicBrokerConfig
		if name == "" {
			name, source = clusterfile.AllBrokers, kmsg.ConfigSourceDynamicDefaultBrokerConfig
		}
		settings, err := own.of(r, described[r], source)
		if err != nil {
			return err
		}
		if settings != nil {
			file.Brokers[name] = settings
		}
	}
	return nil
}

// readGroups leaves the section out where the cluster does not list which groups have settings: ListConfigResources 1, KIP-1142.
func (f *settingFlags) readGroups(ctx context.Context, client *kgo.Client, admin *kadm.Client, file *clusterfile.File, own *ownSettings) error {
	if version, err := f.Served(ctx, client, kmsg.NewPtrListConfigResourcesRequest()); version < 1 {
		return err
	}
	listed, err := admin.ListConfigResources(ctx, kadm.ConfigResourceType(kmsg.ConfigResourceTypeGroupConfig))
	if err == nil {
		err = listed.Err
	}
	if err != nil {
		return f.Explain("list the groups with settings", err)
	}
	var resources []configResource
	for _, r := range listed.Sorted() {
		resources = append(resources, configResource{kmsg.ConfigResourceTypeGroupConfig, r.Name})
	}
	file.Groups = map[string]clusterfile.Settings{}
	for some := range slices.Chunk(resources, describedAtOnce) {
		described, err := f.describeConfigs(ctx, client, some...)
		if err != nil {
			return err
		}
		for _, r := range some {
			settings, err := own.of(r, described[r], kmsg.ConfigSourceGroupConfig)
			if err != nil {
				return err
			}
			if settings != nil {
				file.Groups[r.name] = settings
			}
		}
	}
	return nil
}

// readQuotas leaves the section out where the cluster has no quotas.
func (f *settingFlags) readQuotas(ctx context.Context, client *kgo.Client, admin *kadm.Client, file *clusterfile.File) error {
	if version, err := f.Served(ctx, client, kmsg.NewPtrDescribeClientQuotasRequest()); version < 0 {
		return err
	}
	described, err := admin.DescribeClientQuotas(ctx, false, nil)
	if err != nil {
		return f.Explain("describe quotas", err)
	}
	file.Quotas = []clusterfile.Quota{}
	for _, d := range described {
		q := clusterfile.Quota{Entity: map[string]*string{}, Limits: clusterfile.Limits{}}
		for _, part := range d.Entity {
			q.Entity[part.Type] = part.Name
		}
		for _, limit := range d.Values {
			q.Limits[limit.Key] = &limit.Value
		}
		file.Quotas = append(file.Quotas, q)
	}
	slices.SortFunc(file.Quotas, func(a, b clusterfile.Quota) int { return strings.Compare(a.Name(), b.Name()) })
	return nil
}
