package parity

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// brokerSettingScenarios change a broker's settings while it runs (KIP-226). They have a broker of their own, with static settings: settingsOf does.
var brokerSettingScenarios = []scenario{
	{"alter-configs-broker", alterBrokerConfigs},
	{"alter-configs-broker-bad", alterBrokerConfigsBad},
}

// alterReq sets (or with a nil value deletes) one setting of a broker, or of all if id is "".
func alterReq(id, name string, value *string) *kmsg.IncrementalAlterConfigsRequest {
	req := kmsg.NewPtrIncrementalAlterConfigsRequest()
	r := kmsg.NewIncrementalAlterConfigsRequestResource()
	r.ResourceType, r.ResourceName = 4, id
	c := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
	c.Name, c.Value = name, value
	if value == nil {
		c.Op = 1
	}
	r.Configs = append(r.Configs, c)
	req.Resources = append(req.Resources, r)
	return req
}

// alterBroker sends a change that should succeed, waits until DescribeConfigs shows it, and writes down what it then says about the setting.
func alterBroker(s *session, id, name string, value *string) {
	what := fmt.Sprintf("%s of %q", name, id)
	if value != nil {
		what += "=" + *value
	} else {
		what += " deleted"
	}
	s.send(what, 1, alterReq(id, name, value))
	source := kmsg.ConfigSourceDynamicBrokerConfig
	if id == "" {
		source = kmsg.ConfigSourceDynamicDefaultBrokerConfig
	}
	describe := func() *kmsg.DescribeConfigsRequest { return configsReq(true, resource(4, "1", name)) }
	s.waitFor(what, func() bool {
		req := describe()
		for _, c := range s.quiet(4, req).(*kmsg.DescribeConfigsResponse).Resources[0].Configs {
			for _, synonym := range c.ConfigSynonyms {
				if synonym.Source == source {
					return value != nil && synonym.Value != nil && *synonym.Value == *value
				}
			}
		}
		return value == nil
	})
	s.send("describe "+what, 4, describe())
	s.send("describe all, "+what, 4, configsReq(true, resource(4, "", name)))
}

func alterBrokerConfigs(s *session) {
	some := func(text string) *string { return &text }
	for _, of := range []struct{ name, all, one string }{
		{"message.max.bytes", "900000", "800000"},
		{"log.retention.ms", "700000", "800000"},
		{"log.segment.bytes", "2000000", "3000000"},
		{"compression.type", "gzip", "lz4"},
		{"log.cleanup.policy", "compact", "delete"},
		{"log.message.timestamp.type", "LogAppendTime", "CreateTime"},
		{"max.connections", "500", "600"},
		{"max.connections.per.ip", "400", "300"},
		{"max.connections.per.ip.overrides", "127.0.0.1:200", "127.0.0.1:100,10.1.2.3:5"},
		{"producer.id.expiration.ms", "7200000", "3600000"},
		{"max.connection.creation.rate", "500", "600"},
		{"log.cleaner.backoff.ms", "100", "200"},
		{"log.cleaner.dedupe.buffer.size", "50000000", "60000000"},
		{"group.consumer.assignment.interval.ms", "500", "600"},
	} {
		alterBroker(s, "", of.name, some(of.all))
		alterBroker(s, "1", of.name, some(of.one))
		alterBroker(s, "", of.name, nil)
		alterBroker(s, "1", of.name, nil)
	}
	for _, name := range []string{"log.retention.hours", "log.retention.minutes", "log.retention.ms", "log.roll.ms", "log.roll.hours", "log.roll.jitter.ms", "log.flush.interval.ms", "log.flush.scheduler.interval.ms"} {
		s.send("another unit, "+name, 4, configsReq(true, resource(4, "1", name)))
	}
	alterBroker(s, "", "log.roll.ms", some("3600000"))
	alterBroker(s, "1", "log.flush.interval.ms", some("1000"))
	// What has no meaning to Ottla is shown where somebody set it.
	alterBroker(s, "", "num.io.threads", some("10"))
	alterBroker(s, "1", "num.network.threads", some("5")) // with fewer, Kafka closes connections
	alterBroker(s, "1", "background.threads", some("12"))
	for _, name := range []string{"log.cleaner.threads", "num.replica.fetchers", "num.recovery.threads.per.data.dir"} {
		alterBroker(s, "1", name, some("2"))
	}
	for _, name := range []string{"leader.replication.throttled.rate", "follower.replication.throttled.rate", "replica.alter.log.dirs.io.max.bytes.per.second"} {
		alterBroker(s, "1", name, some("1000"))
	}
}

func alterBrokerConfigsBad(s *session) {
	for _, of := range []struct{ name, value string }{
		{"max.connection.creation.rate", "-1"},
		{"max.connections", "-1"}, {"max.connections", "x"}, {"max.connections.per.ip", "-1"}, {"max.connections.per.ip", "2147483648"},
		{"num.io.threads", "0"}, {"num.io.threads", "many"}, {"num.network.threads", "-3"}, {"log.cleaner.threads", "-1"}, {"background.threads", "1.5"},
		{"producer.id.expiration.ms", "0"}, {"message.max.bytes", "-1"}, {"log.cleaner.backoff.ms", "-1"}, {"log.cleaner.io.buffer.load.factor", "x"},
		{"log.cleanup.policy", "shred"}, {"compression.type", "brotli"}, {"log.retention.ms", "0"}, {"log.segment.bytes", "1000"}, {"log.roll.ms", "0"}, {"log.roll.jitter.ms", "-1"}, {"log.flush.interval.ms", "-1"}, {"log.segment.delete.delay.ms", "-1"}, {"log.index.interval.bytes", "-1"}, {"min.insync.replicas", "0"},
		{"leader.replication.throttled.rate", "-1"}, {"group.consumer.assignment.interval.ms", "20000"}, {"group.consumer.assignment.interval.ms", "-1"},
		{"num.partitions", "3"}, {"connections.max.idle.ms", "5"}, {"log.retention.hours", "5"}, {"node.id", "5"}, {"auto.create.topics.enable", "false"},
		{"socket.request.max.bytes", "5"}, {"log.cleaner.enable", "false"}, {"offsets.retention.minutes", "5"}, {"authorizer.class.name", "x"}, {"metrics.num.samples", "3"},
		{"quota.window.num", "5"}, {"remote.log.storage.system.enable", "true"}, {"transaction.max.timeout.ms", "5"}, {"controller.quorum.voters", "1@localhost:1"},
	} {
		for _, id := range []string{"", "1"} {
			s.send(fmt.Sprintf("%s=%s of %q", of.name, of.value, id), 1, alterReq(id, of.name, &of.value))
		}
	}
}
