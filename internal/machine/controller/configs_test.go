package controller

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ottla-io/ottla/internal/metadata"
	"github.com/ottla-io/ottla/internal/wire"
)

type alterConfig = wire.IncrementalAlterConfigsRequestAlterableConfig

// parseOps reads operations: "name=v" SET, "name+=v" APPEND, "name-=v" SUBTRACT, "-name" DELETE, "=name" SET to null.
func parseOps(ops ...string) []alterConfig {
	var configs []alterConfig
	for _, op := range ops {
		name, value, _ := strings.Cut(op, "=")
		c := alterConfig{Name: name, Value: wire.SomeString(value)}
		switch {
		case name == "":
			c = alterConfig{Name: value}
		case strings.HasSuffix(name, "+"):
			c.Name, c.ConfigOperation = strings.TrimSuffix(name, "+"), 2
		case strings.HasSuffix(name, "-"):
			c.Name, c.ConfigOperation = strings.TrimSuffix(name, "-"), 3
		case strings.HasPrefix(name, "-"):
			c = alterConfig{Name: name[1:], ConfigOperation: 1}
		}
		configs = append(configs, c)
	}
	return configs
}

func (b *bench) alter(replace, validateOnly bool, resources ...wire.IncrementalAlterConfigsRequestAlterConfigsResource) *wire.IncrementalAlterConfigsResponse {
	b.t.Helper()
	records, resp := b.c.AlterConfigs(&wire.IncrementalAlterConfigsRequest{Resources: resources, ValidateOnly: validateOnly}, replace, b.at)
	if validateOnly && len(records) > 0 {
		b.t.Fatal("records with ValidateOnly")
	}
	b.run(records)
	return resp
}

func resource(kind int8, name string, ops ...string) wire.IncrementalAlterConfigsRequestAlterConfigsResource {
	return wire.IncrementalAlterConfigsRequestAlterConfigsResource{ResourceType: kind, ResourceName: name, Configs: parseOps(ops...)}
}

func (b *bench) overrides(kind int8, name string) map[string]string {
	return b.c.Image().Config(metadata.ConfigResource{Type: kind, Name: name})
}

const (
	onTopic  = metadata.ResourceTopic
	onBroker = metadata.ResourceBroker
)

// TestAlterConfigsRefusals are codes and sentences that a Kafka 4.3.1 of one broker, node 1, gave to the same requests,
// except where "ours" says so.
func TestAlterConfigsRefusals(t *testing.T) {
	const both, incremental, older = 0, 1, 2
	null := resource(onTopic, "c", "=retention.ms", "segment.ms=1")
	null.Configs = append(null.Configs, alterConfig{Name: "retention.bytes", ConfigOperation: 2})
	bad := resource(onTopic, "c", "retention.ms=1")
	bad.Configs[0].ConfigOperation = 9
	for _, c := range []struct {
		api      int
		resource wire.IncrementalAlterConfigsRequestAlterConfigsResource
		code     wire.ErrorCode
		message  string
	}{
		{both, resource(onTopic, "c", "retention.ms=x"), 40, "Invalid value x for configuration retention.ms: Not a number of type LONG"},
		{both, resource(onTopic, "c", "retention.ms=-5"), 40, "Invalid value -5 for configuration retention.ms: Value must be at least -1"},
		{both, resource(onTopic, "c", "nope=1"), 40, "Unknown topic config name: nope"},
		{both, resource(onTopic, "c", "retention.ms=x", "nope=1"), 40, "Unknown topic config name: nope"},
		{both, resource(onTopic, "c", "=retention.ms"), 42, "Null value not supported for : retention.ms"},
		{both, resource(onTopic, "c", "=nope"), 42, "Null value not supported for : nope"},
		{incremental, null, 42, "Null value not supported for : retention.ms, retention.bytes"},
		{both, resource(onTopic, "c", "retention.ms=1", "retention.ms=2"), 42, "Error due to duplicate config keys"},
		{incremental, resource(onTopic, "c", "=retention.ms", "-retention.ms"), 42, "Error due to duplicate config keys"},
		{incremental, bad, 42, "Unknown operation 9"}, // ours
		{incremental, resource(onTopic, "c", "retention.ms+=1"), 40, "Can't APPEND to key retention.ms because its type is not LIST."},
		{incremental, resource(onTopic, "c", "retention.ms-=1"), 40, "Can't SUBTRACT to key retention.ms because its type is not LIST."},
		{incremental, resource(onTopic, "c", "nope+=1"), 40, "Can't APPEND to key nope because its type is not LIST."},
		{incremental, resource(onTopic, "c", "cleanup.policy+=bogus"), 40, "Invalid value bogus for configuration cleanup.policy: String must be one of: compact, delete"},
		{both, resource(onTopic, "c", "min.compaction.lag.ms=10", "max.compaction.lag.ms=5"), 40, "conflict topic config setting min.compaction.lag.ms (10) > max.compaction.lag.ms (5)"},
		{both, resource(onTopic, "c", "remote.storage.enable=true"), 40, "Tiered Storage functionality is disabled in the broker. Topic cannot be configured with remote log storage."},
		{both, resource(onTopic, "zz", "retention.ms=1000"), 3, "The topic 'zz' does not exist."},
		{both, resource(onTopic, "zz"), 3, "The topic 'zz' does not exist."},
		{both, resource(onTopic, "zz", "retention.ms=x"), 40, "Invalid value x for configuration retention.ms: Not a number of type LONG"},
		{incremental, resource(onTopic, "", "retention.ms+=1"), 40, "Can't APPEND to key retention.ms because its type is not LIST."},
		{both, resource(onTopic, "", "retention.ms=1000"), 42, "Default topic resources are not allowed."},
		{both, resource(onTopic, "a b", "retention.ms=1000"), 17, "Topic name is invalid: 'a b' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'"},
		{both, resource(onBroker, "1", "log.retention.ms=x"), 42, "Invalid value x for configuration log.retention.ms: Not a number of type LONG"},
		{both, resource(onBroker, "", "log.segment.bytes=1"), 42, "Invalid value 1 for configuration log.segment.bytes: Value must be at least 1048576"},
		{both, resource(onBroker, "1", "node.id=3"), 42, "Cannot update these configs dynamically: [node.id]"},
		{both, resource(onBroker, "", "num.partitions=3"), 42, "Cannot update these configs dynamically: [num.partitions]"},
		{both, resource(onBroker, "1", "log.retention.ms=x", "num.partitions=3"), 42, "Cannot update these configs dynamically: [num.partitions]"},
		{both, resource(onBroker, "1", "connections.max.idle.ms=3"), 42, "Cannot update these configs dynamically: [connections.max.idle.ms]"},
		{both, resource(onBroker, "", "num.io.threads=0"), 42, "Invalid value 0 for configuration num.io.threads: Value must be at least 1"},
		{both, resource(onBroker, "", "follower.replication.throttled.rate=-1"), 42, "Invalid value -1 for configuration follower.replication.throttled.rate: Value must be at least 0"},
		{both, resource(onBroker, "", "group.consumer.assignment.interval.ms=20000"), 42, "group.consumer.assignment.interval.ms must be less than or equal to group.consumer.max.assignment.interval.ms"},
		{both, resource(onBroker, "1", "max.connections.per.ip=0"), 42, "max.connections.per.ip can be set to zero only if max.connections.per.ip.overrides property is set."},
		// Ours, where Kafka says less, or lets everybody be locked out.
		{both, resource(onBroker, "1", "max.connections=0"), 42, "Invalid value 0 for configuration max.connections: 0 would let nobody connect; leave it out for no limit"},
		{both, resource(onBroker, "1", "max.connections.per.ip.overrides=127.0.0.1:x"), 42, `Invalid value 127.0.0.1:x for configuration max.connections.per.ip.overrides: "x" is not a number from 0 to 2147483647`},
		{both, resource(onBroker, "", "ssl.keystore.location=/x"), 42, "setting ssl.keystore.location: there is no TLS yet, and without it what was to be protected would be open; take it out to go without"},
		{incremental, resource(onBroker, "1", "log.dirs+=/x"), 42, "Cannot update these configs dynamically: [log.dirs]"},
		{incremental, resource(onBroker, "1", "num.partitions+=1"), 40, "Config value append is not allowed for config key: num.partitions"},
		{incremental, resource(onBroker, "1", "log.retention.ms-=1"), 40, "Config value subtract is not allowed for config key: log.retention.ms"},
		{incremental, resource(onBroker, "1", "nope+=3"), 40, "Unknown config name: nope"},
		{both, resource(onBroker, "1", "nope=3"), 40, "Unknown broker setting nope"}, // ours
		{both, resource(onBroker, "2", "log.retention.ms=3"), 42, "Unexpected broker id, expected 1, but received 2"},
		{both, resource(onBroker, "-1", "log.retention.ms=3"), 42, "Unexpected broker id, expected 1, but received -1"},
		{both, resource(onBroker, "x", "log.retention.ms=3"), 42, "Node id must be an integer, but it is: x"},
		{incremental, resource(8, "1", "kafka=INFO"), 40, "Logger kafka does not exist!"},
		{incremental, resource(8, "1", "-kafka"), 40, "Logger kafka does not exist!"},
		{incremental, resource(8, "1", "root+=INFO"), 42, "APPEND operation is not allowed for the BROKER_LOGGER resource"},
		{incremental, resource(8, "2", "kafka=INFO"), 42, "Unexpected node id. Expected 1, but received 2"},
		{incremental, resource(8, "", "kafka=INFO"), 42, "Node id must be an integer, but it is: "},
		{older, resource(8, "1", "kafka=INFO"), 42, "Unknown resource type 8"},
		{both, resource(16, "m", "nope=1"), 42, "Unknown client metrics configuration: nope"},
		{both, resource(16, "", "nope=1"), 42, "Subscription name can't be empty"},
		{both, resource(32, "g", "nope=1"), 40, "Unknown group config name: nope"},
		{both, resource(32, "", "nope=1"), 42, "Default group resources are not allowed."},
		{both, resource(32, "g", "consumer.session.timeout.ms=1"), 40, "consumer.session.timeout.ms must be greater than or equal to group.consumer.min.session.timeout.ms"},
		{both, resource(32, "g", "consumer.session.timeout.ms=60001"), 40, "consumer.session.timeout.ms must be less than or equal to group.consumer.max.session.timeout.ms"},
		{both, resource(32, "g", "consumer.heartbeat.interval.ms=4999"), 40, "consumer.heartbeat.interval.ms must be greater than or equal to group.consumer.min.heartbeat.interval.ms"},
		{both, resource(32, "g", "consumer.heartbeat.interval.ms=15001"), 40, "consumer.heartbeat.interval.ms must be less than or equal to group.consumer.max.heartbeat.interval.ms"},
		{both, resource(32, "g", "consumer.heartbeat.interval.ms=x"), 40, "Invalid value x for configuration consumer.heartbeat.interval.ms: Not a number of type INT"},
		{both, resource(32, "g", "consumer.assignment.interval.ms=15001"), 40, "consumer.assignment.interval.ms must be less than or equal to group.consumer.max.assignment.interval.ms"},
		{both, resource(32, "g", "consumer.assignment.interval.ms=-1"), 40, "Invalid value -1 for configuration consumer.assignment.interval.ms: Value must be at least 0"},
		{both, resource(0, "g", "nope=1"), 42, "Unknown resource type 0"},
		{both, resource(99, "g", "nope=1"), 42, "Unknown resource type 99"},
	} {
		b := newBench(t, nil, 1)
		b.create(false, topic("c", 1, 1, "retention.ms=7"))
		for _, replace := range []bool{false, true} {
			if replace && c.api == incremental || !replace && c.api == older {
				continue
			}
			want := []wire.IncrementalAlterConfigsResponseAlterConfigsResourceResponse{{ErrorCode: c.code, ErrorMessage: wire.SomeString(c.message),
				ResourceType: c.resource.ResourceType, ResourceName: c.resource.ResourceName}}
			if diff := cmp.Diff(want, b.alter(replace, false, c.resource).Responses); diff != "" {
				t.Errorf("replace %v, %+v: %s", replace, c.resource, diff)
			}
			if diff := cmp.Diff(map[string]string{"retention.ms": "7"}, b.overrides(onTopic, "c")); diff != "" {
				t.Errorf("a refusal changed the topic: %s", diff)
			}
		}
		if got := len(b.overrides(onBroker, "1")) + len(b.overrides(onBroker, "")); got != 0 {
			t.Errorf("%+v left %d broker settings", c.resource, got)
		}
	}
}

// TestAlterConfigs are changes, one after the other, and what the resource has after each, as in a Kafka 4.3.1.
func TestAlterConfigs(t *testing.T) {
	b := newBench(t, nil, 1)
	b.create(false, topic("c", 1, 1))
	for _, step := range []struct {
		replace  bool
		resource wire.IncrementalAlterConfigsRequestAlterConfigsResource
		on       string // the resource that it means, if named otherwise
		want     map[string]string
	}{
		{resource: resource(onTopic, "c", "retention.ms=1000"), want: map[string]string{"retention.ms": "1000"}},
		{resource: resource(onTopic, "c"), want: map[string]string{"retention.ms": "1000"}},
		{resource: resource(onTopic, "c", "-nope", "-segment.ms"), want: map[string]string{"retention.ms": "1000"}},
		{resource: resource(onTopic, "c", "cleanup.policy+=compact"), want: map[string]string{"retention.ms": "1000", "cleanup.policy": "delete,compact"}},
		{resource: resource(onTopic, "c", "-retention.ms", "cleanup.policy+=compact,delete"), want: map[string]string{"cleanup.policy": "delete,compact"}},
		{resource: resource(onTopic, "c", "cleanup.policy-=bogus,delete"), want: map[string]string{"cleanup.policy": "compact"}},
		{resource: resource(onTopic, "c", "cleanup.policy-=compact"), want: map[string]string{"cleanup.policy": ""}},
		{resource: resource(onTopic, "c", "cleanup.policy+="), want: map[string]string{"cleanup.policy": ""}},
		{resource: resource(onTopic, "c", "cleanup.policy+=compact"), want: map[string]string{"cleanup.policy": "compact"}},
		{resource: resource(onTopic, "c", "-cleanup.policy", "leader.replication.throttled.replicas+=1:1"), want: map[string]string{"leader.replication.throttled.replicas": "1:1"}},
		{replace: true, resource: resource(onTopic, "c", "retention.ms=1", "retention.bytes=2"), want: map[string]string{"retention.ms": "1", "retention.bytes": "2"}},
		{replace: true, resource: resource(onTopic, "c", "segment.ms=1000"), want: map[string]string{"segment.ms": "1000"}},
		{replace: true, resource: resource(onTopic, "c")},
		{resource: resource(onBroker, "1", "log.retention.ms=100000"), want: map[string]string{"log.retention.ms": "100000"}},
		{resource: resource(onBroker, "+1", "log.cleanup.policy+=compact", "-log.retention.ms"), on: "1", want: map[string]string{"log.cleanup.policy": "delete,compact"}},
		{resource: resource(onBroker, "1", "-num.partitions"), want: map[string]string{"log.cleanup.policy": "delete,compact"}},
		{replace: true, resource: resource(onBroker, "1")},
		{resource: resource(onBroker, "", "log.retention.ms=5", "log.segment.bytes=1048576"), want: map[string]string{"log.retention.ms": "5", "log.segment.bytes": "1048576"}},
		{replace: true, resource: resource(onBroker, "", "log.retention.ms=6"), want: map[string]string{"log.retention.ms": "6"}},
		{resource: resource(onBroker, "", "-log.retention.ms")},
		{resource: resource(32, "g", "consumer.session.timeout.ms=50000"), want: map[string]string{"consumer.session.timeout.ms": "50000"}},
		{resource: resource(32, "g", "consumer.heartbeat.interval.ms=9000", "-consumer.session.timeout.ms"), want: map[string]string{"consumer.heartbeat.interval.ms": "9000"}},
		{replace: true, resource: resource(32, "g"), want: nil},
	} {
		before := b.overrides(step.resource.ResourceType, step.resource.ResourceName)
		if r := b.alter(step.replace, true, step.resource).Responses[0]; r.ErrorCode != 0 || r.ErrorMessage.Valid {
			t.Errorf("%+v, validated: %+v", step.resource, r)
		}
		if diff := cmp.Diff(before, b.overrides(step.resource.ResourceType, step.resource.ResourceName)); diff != "" {
			t.Errorf("%+v, only validated, changed: %s", step.resource, diff)
		}
		if r := b.alter(step.replace, false, step.resource).Responses[0]; r.ErrorCode != 0 || r.ErrorMessage.Valid {
			t.Errorf("%+v: %+v", step.resource, r)
		}
		on := step.resource.ResourceName
		if step.on != "" {
			on = step.on
		}
		if diff := cmp.Diff(step.want, b.overrides(step.resource.ResourceType, on)); diff != "" {
			t.Errorf("after %+v: %s", step.resource, diff)
		}
	}
	records, _ := b.c.AlterConfigs(&wire.IncrementalAlterConfigsRequest{Resources: []wire.IncrementalAlterConfigsRequestAlterConfigsResource{resource(onTopic, "c", "-retention.ms")}}, false, b.at)
	if len(records) != 0 {
		t.Errorf("nothing changes, and there are %d records", len(records))
	}
}

// TestAlterConfigsEachByItself: answers come in the request's order, a resource named twice fails, the others go on.
func TestAlterConfigsEachByItself(t *testing.T) {
	b := newBench(t, nil, 1)
	b.create(false, topic("a", 1, 1), topic("c", 1, 1))
	var codes []wire.ErrorCode
	for _, r := range b.alter(false, false, resource(onTopic, "c", "retention.ms=7"), resource(onTopic, "c", "retention.bytes=7"), resource(onTopic, "zz", "retention.ms=7"),
		resource(onBroker, "1", "log.retention.ms=x"), resource(onTopic, "a", "retention.ms=7"), resource(onBroker, "", "log.retention.ms=7")).Responses {
		codes = append(codes, r.ErrorCode)
	}
	if diff := cmp.Diff([]wire.ErrorCode{42, 42, 3, 42, 0, 0}, codes); diff != "" {
		t.Error(diff)
	}
	if len(b.overrides(onTopic, "c")) != 0 || b.overrides(onTopic, "a")["retention.ms"] != "7" || b.overrides(onBroker, "")["log.retention.ms"] != "7" {
		t.Errorf("c %v, a %v, default %v", b.overrides(onTopic, "c"), b.overrides(onTopic, "a"), b.overrides(onBroker, ""))
	}
	resp := FailAlterConfigs(&wire.IncrementalAlterConfigsRequest{Resources: []wire.IncrementalAlterConfigsRequestAlterConfigsResource{resource(onTopic, "a"), resource(onTopic, "c")}}, 41)
	if len(resp.Responses) != 2 || resp.Responses[1].ErrorCode != 41 || resp.Responses[1].ResourceName != "c" {
		t.Errorf("a failed controller: %+v", resp)
	}
}
