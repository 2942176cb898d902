package settings

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ottla-io/ottla/internal/config"
)

// refuseLosses is the error that says what changes would lose, and asks for --yes; nil if they would lose nothing.
func (f *settingFlags) refuseLosses(ctx context.Context, client *kgo.Client, r configResource, changes []kadm.AlterConfig) error {
	lost, err := f.losses(ctx, client, r, changes)
	if err != nil || len(lost) == 0 {
		return err
	}
	return fmt.Errorf("change settings of %s: %s; nothing was changed: --yes does it", r, strings.Join(lost, "; "))
}

// losses says what changes would lose. A change of what nothing can be lost with costs no request.
func (f *settingFlags) losses(ctx context.Context, client *kgo.Client, r configResource, changes []kadm.AlterConfig) ([]string, error) {
	if r.kind == kmsg.ConfigResourceTypeGroupConfig {
		return nil, nil
	}
	scope := config.Broker
	if r.kind == kmsg.ConfigResourceTypeTopic {
		scope = config.Topic
	}
	var lost []string
	var current map[string]kadm.Config
	for _, change := range changes {
		setting, ok := config.Lookup(scope, change.Name)
		if !ok || setting.Risk.Loses == nil {
			continue
		}
		if current == nil {
			var err error
			if current, err = f.effective(ctx, client, r); err != nil {
				return nil, err
			}
		}
		now := current[change.Name]
		from, to := now.MaybeValue(), ""
		if change.Op == kadm.DeleteConfig {
			to = afterUnset(&setting, now, r)
		} else {
			to = *change.Value
		}
		loss := setting.LossOf(from, to)
		if loss == "" {
			continue
		}
		there, err := f.thereToLose(ctx, client, r, &setting, to)
		if err != nil {
			return nil, err
		}
		if there {
			lost = append(lost, fmt.Sprintf("with %s=%s instead of %s, %s", change.Name, strings.TrimSpace(to), from, loss))
		}
	}
	return lost, nil
}

// effective are the settings that count for a resource; for the default of all brokers, those of one of them. What cannot be described
// cannot be altered either, and the broker then says why.
func (f *settingFlags) effective(ctx context.Context, client *kgo.Client, r configResource) (map[string]kadm.Config, error) {
	if r.kind == kmsg.ConfigResourceTypeBroker && r.name == "" {
		brokers, err := kadm.NewClient(client).ListBrokers(ctx)
		if err != nil {
			return nil, f.Explain("find a broker", err)
		}
		r.name = strconv.Itoa(int(brokers[0].NodeID))
	}
	described, err := f.describeConfigs(ctx, client, r)
	if err != nil {
		return nil, err
	}
	byName := make(map[string]kadm.Config, len(described[r].Configs))
	for _, c := range described[r].Configs {
		byName[c.Key] = c
	}
	return byName, nil
}

// afterUnset is the value that counts once a resource has none of its own, in the setting's unit.
func afterUnset(setting *config.Setting, c kadm.Config, r configResource) string {
	own := kmsg.ConfigSourceDynamicBrokerConfig
	switch {
	case r.kind == kmsg.ConfigResourceTypeTopic:
		own = kmsg.ConfigSourceDynamicTopicConfig
	case r.name == "":
		own = kmsg.ConfigSourceDynamicDefaultBrokerConfig
	}
	for _, s := range c.Synonyms {
		if s.Source == own || s.Value == nil {
			continue
		}
		for _, other := range setting.Synonyms {
			if other.Name == s.Key && other.Factor != 1 {
				if n, err := strconv.ParseInt(*s.Value, 10, 64); err == nil && n > 0 {
					return strconv.FormatInt(n*other.Factor, 10)
				}
			}
		}
		return *s.Value
	}
	return setting.Default
}

// thereToLose reports whether there is what a risk speaks of.
func (f *settingFlags) thereToLose(ctx context.Context, client *kgo.Client, r configResource, setting *config.Setting, to string) (bool, error) {
	if setting.Risk.Of == config.Promise {
		return true, nil
	}
	admin := kadm.NewClient(client)
	retentions, err := f.affectedTopics(ctx, client, admin, r, setting)
	if err != nil || len(retentions) == 0 {
		return false, err
	}
	limit, _ := strconv.ParseInt(strings.TrimSpace(to), 10, 64) // a list has none
	if setting.Risk.Of == config.LargePartition {
		return f.largerThan(ctx, admin, retentions, limit)
	}
	for topic := range retentions {
		switch setting.Risk.Of {
		case config.AnyRecord:
			retentions[topic] = 0
		case config.OldRecord:
			retentions[topic] = limit
		}
	}
	return f.olderThan(ctx, admin, retentions)
}

// affectedTopics are the topics that a setting of r reaches, and the retention.ms of each.
func (f *settingFlags) affectedTopics(ctx context.Context, client *kgo.Client, admin *kadm.Client, r configResource, setting *config.Setting) (map[string]int64, error) {
	names, own := []string{r.name}, ""
	if r.kind != kmsg.ConfigResourceTypeTopic {
		own = topicSettingOf(setting.Name)
		listed, err := admin.ListTopics(ctx)
		if err != nil {
			return nil, f.Explain("list topics", err)
		}
		names = listed.Names()
	}
	resources := make([]configResource, len(names))
	for i, name := range names {
		resources[i] = configResource{kmsg.ConfigResourceTypeTopic, name}
	}
	described, err := f.describeConfigs(ctx, client, resources...)
	if err != nil {
		return nil, err
	}
	retentions := make(map[string]int64, len(names))
	for resource, d := range described {
		reached, retention := d.Err == nil, int64(-1)
		for _, c := range d.Configs {
			if c.Key == own && c.Source == kmsg.ConfigSourceDynamicTopicConfig {
				reached = false
			}
			if c.Key == "retention.ms" {
				retention, _ = strconv.ParseInt(c.MaybeValue(), 10, 64)
			}
		}
		if reached {
			retentions[resource.name] = retention
		}
	}
	return retentions, nil
}

// topicSettingOf is the topic setting that a broker setting is the default of.
func topicSettingOf(broker string) string {
	for _, s := range config.All(config.Topic) {
		for _, synonym := range s.Synonyms {
			if synonym.Name == broker {
				return s.Name
			}
		}
	}
	return ""
}

// olderThan reports whether one of the topics has a record older than its age in milliseconds; a negative age is none that counts.
func (f *settingFlags) olderThan(ctx context.Context, admin *kadm.Client, ages map[string]int64) (bool, error) {
	byAge := map[int64][]string{}
	for topic, age := range ages {
		if age >= 0 {
			byAge[age] = append(byAge[age], topic)
		}
	}
	for age, topics := range byAge {
		starts, err := admin.ListStartOffsets(ctx, topics...)
		if err != nil {
			return false, f.Explain("read start offsets", err)
		}
		firsts, err := admin.ListOffsetsAfterMilli(ctx, time.Now().UnixMilli()-age, topics...)
		if err != nil {
			return false, f.Explain("find old records", err)
		}
		old := false
		firsts.Each(func(first kadm.ListedOffset) {
			start, _ := starts.Lookup(first.Topic, first.Partition)
			old = old || first.Err == nil && start.Err == nil && first.Offset > start.Offset
		})
		if old {
			return true, nil
		}
	}
	return false, nil
}

// largerThan reports whether a partition of the topics has more bytes.
func (f *settingFlags) largerThan(ctx context.Context, admin *kadm.Client, topics map[string]int64, bytes int64) (bool, error) {
	dirs, err := admin.DescribeAllLogDirs(ctx, nil)
	if err != nil {
		return false, f.Explain("read the sizes of partitions", err)
	}
	larger := false
	dirs.Each(func(dir kadm.DescribedLogDir) {
		dir.Topics.Each(func(p kadm.DescribedLogDirPartition) {
			_, ours := topics[p.Topic]
			larger = larger || ours && p.Size > bytes
		})
	})
	return larger, nil
}
