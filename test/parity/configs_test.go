package parity

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"
)

var configScenarios = []scenario{
	{"describe-configs-topic", describeTopicConfigs},
	{"describe-configs-broker", describeBrokerConfigs},
	{"describe-configs-other", describeOtherConfigs},
}

func resource(kind int8, name string, keys ...string) kmsg.DescribeConfigsRequestResource {
	r := kmsg.NewDescribeConfigsRequestResource()
	r.ResourceType, r.ResourceName = kmsg.ConfigResourceType(kind), name
	if keys != nil {
		r.ConfigNames = keys
	}
	return r
}

func configsReq(more bool, resources ...kmsg.DescribeConfigsRequestResource) *kmsg.DescribeConfigsRequest {
	req := kmsg.NewPtrDescribeConfigsRequest()
	req.Resources, req.IncludeSynonyms, req.IncludeDocumentation = resources, more, more
	return req
}

func describeTopicConfigs(s *session) {
	s.topic("configured", 1, "retention.ms", "12345", "cleanup.policy", "compact,delete", "min.cleanable.dirty.ratio", "0.25")
	s.topic("plain", 1)
	for v := int16(1); v <= 4; v++ {
		s.send("all", v, configsReq(false, resource(2, "configured")))
		s.send("some", v, configsReq(true, resource(2, "configured", "retention.ms", "no.such", "segment.bytes", "retention.ms")))
		s.send("unknown topic", v, configsReq(false, resource(2, "nobody")))
	}
	s.send("all, and more", 4, configsReq(true, resource(2, "configured")))
	s.send("no keys", 4, configsReq(false, resource(2, "plain", []string{}...)))
	empty := resource(2, "plain")
	empty.ConfigNames = []string{}
	s.send("empty list of keys", 4, configsReq(false, empty))
	s.send("unknown keys", 4, configsReq(false, resource(2, "plain", "no.such", "")))
	s.send("bad names", 4, configsReq(false, resource(2, ""), resource(2, "a b"), resource(2, ".")))
	s.send("twice", 4, configsReq(false, resource(2, "plain", "retention.ms"), resource(2, "plain", "segment.ms")))
	s.send("twice, and unknown", 4, configsReq(false, resource(2, "plain", "retention.ms"), resource(2, "nobody"), resource(2, "plain", "retention.ms")))
	s.send("none", 4, configsReq(false))
}

func describeBrokerConfigs(s *session) {
	keys := []string{"num.partitions", "log.retention.ms", "log.retention.hours", "message.max.bytes", "auto.create.topics.enable", "no.such", "min.insync.replicas", "log.segment.bytes", "compression.type"}
	for v := int16(1); v <= 4; v++ {
		s.send("some", v, configsReq(true, resource(4, "1", keys...)))
	}
	s.send("without more", 4, configsReq(false, resource(4, "1", keys...)))
	s.send("default broker", 4, configsReq(true, resource(4, "")))
	s.send("default broker, keys", 4, configsReq(true, resource(4, "", "num.partitions")))
	for _, name := range []string{"2", "-1", "abc", "1 ", "01", "99999999999"} {
		s.send(fmt.Sprintf("broker %q", name), 4, configsReq(false, resource(4, name, "num.partitions")))
		s.send(fmt.Sprintf("logger %q", name), 4, configsReq(false, resource(8, name, "no.such")))
	}
	s.send("logger, none of it", 4, configsReq(false, resource(8, "1", "no.such.logger")))
	s.send("logger without name", 4, configsReq(false, resource(8, "")))
	s.send("broker twice", 4, configsReq(false, resource(4, "1", "num.partitions"), resource(4, "1", "num.partitions")))
}

func describeOtherConfigs(s *session) {
	s.topic("beside", 1)
	for v := int16(1); v <= 4; v++ {
		for _, kind := range []int8{16, 32} {
			s.send(fmt.Sprintf("type %d", kind), v, configsReq(true, resource(kind, "anything")))
		}
	}
	for _, kind := range []int8{16, 32} {
		s.send(fmt.Sprintf("type %d without more", kind), 4, configsReq(false, resource(kind, "anything")))
		s.send(fmt.Sprintf("type %d without name", kind), 4, configsReq(false, resource(kind, "")))
		s.send(fmt.Sprintf("type %d keys", kind), 4, configsReq(false, resource(kind, "anything", "interval.ms", "consumer.session.timeout.ms", "no.such")))
		s.send(fmt.Sprintf("type %d odd name", kind), 4, configsReq(false, resource(kind, "a b/ä")))
	}
	for _, kind := range []int8{0, 1, 3, 5, 64, -1, 127} {
		s.send(fmt.Sprintf("type %d", kind), 4, configsReq(false, resource(kind, "x")))
		s.send(fmt.Sprintf("type %d among others", kind), 4, configsReq(false, resource(2, "beside", "retention.ms"), resource(kind, "x"), resource(4, "1", "num.partitions"), resource(2, "nobody")))
	}
	s.send("mixed", 4, configsReq(false, resource(2, "beside", "retention.ms"), resource(4, "7"), resource(2, "nobody"), resource(4, "1", "num.partitions"), resource(8, "1", "none")))
}
