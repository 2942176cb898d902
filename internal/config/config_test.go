package config

import (
	"bufio"
	"errors"
	"math"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func lines(t *testing.T, path string) [][]string {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var rows [][]string
	for scan := bufio.NewScanner(file); scan.Scan(); {
		if !strings.HasPrefix(scan.Text(), "#") {
			rows = append(rows, strings.Split(scan.Text(), "\t"))
		}
	}
	return rows
}

// TestKafkaErrors holds the sentences against what Kafka answered to the same values.
func TestKafkaErrors(t *testing.T) {
	rows := lines(t, "testdata/kafka-4.3.1-topic-errors.tsv")
	if len(rows) < 60 {
		t.Fatalf("%d transcripts", len(rows))
	}
	for _, row := range rows {
		name, value, set := strings.Cut(row[0], "=")
		want := row[2]
		switch row[0] {
		case "min.cleanable.dirty.ratio=NaN": // refused on purpose: see Parse
			want = "Invalid value NaN for configuration min.cleanable.dirty.ratio: Not a number of type DOUBLE"
		case "internal.segment.bytes=100": // Kafka has no lower limit
			want = "Invalid value 100 for configuration internal.segment.bytes: Value must be at least 1024"
		case "retention.m=1":
			want += " (did you mean retention.ms?)"
		}
		got := ""
		if err := ValidateTopic([]Override{{Name: name, Value: value, Null: !set}}); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%s:\n got  %q\n want %q", row[0], got, want)
		}
	}
}

// TestKafkaSettings holds names, types, defaults and what may change at run time against Kafka's DescribeConfigs.
func TestKafkaSettings(t *testing.T) {
	kafka := map[key][]string{}
	for _, row := range lines(t, "testdata/kafka-4.3.1-configs.tsv") {
		scope := Broker
		if row[0] == "topic" {
			scope = Topic
		}
		kafka[key{scope, row[1]}] = row[2:]
	}
	for k := range kafka {
		if _, ok := Lookup(k.scope, k.name); !ok {
			t.Errorf("Kafka's setting %s is missing", k.name)
		}
	}
	// Where a default or its being dynamic differs, and why.
	differs := map[string]string{
		"listeners":                      "loopback unless told otherwise",
		"log.dirs":                       "the data directory is the caller's to name",
		"log.dir":                        "the same",
		"node.id":                        "required by Kafka",
		"process.roles":                  "required by Kafka",
		"advertised.listeners":           "set on the broker asked",
		"controller.quorum.voters":       "set on the broker asked",
		"controller.listener.names":      "set on the broker asked",
		"listener.security.protocol.map": "Kafka's default is a map without order",
	}
	checked := 0
	for _, s := range append(All(Topic), All(Broker)...) {
		if strings.HasPrefix(s.Name, "ottla.") || s.Internal {
			continue
		}
		row, ok := kafka[key{s.Scope, s.Name}]
		switch s.Name {
		case "leader.replication.throttled.rate", "follower.replication.throttled.rate", "replica.alter.log.dirs.io.max.bytes.per.second":
			continue // Kafka describes them only where they are set
		}
		if !ok {
			t.Errorf("Kafka has no setting %s", s.Name)
			continue
		}
		checked++
		if kind, _ := strconv.Atoi(row[1]); Type(kind) != s.Type {
			t.Errorf("%s is of type %v, Kafka says %d", s.Name, s.Type, kind)
		}
		if differs[s.Name] != "" {
			continue
		}
		text := s.Format(s.defaultValue())
		if s.Null {
			text = "<nil>"
		}
		if text != row[0] {
			t.Errorf("default of %s is %q, Kafka's %q", s.Name, text, row[0])
		}
		if readOnly := row[2] == "true"; readOnly == s.Dynamic {
			t.Errorf("%s: dynamic %v, Kafka says read-only %v", s.Name, s.Dynamic, readOnly)
		}
	}
	if checked < 340 {
		t.Errorf("only %d settings compared", checked)
	}
}

// TestMeaninglessSettings: what has a row of its own is not called meaningless too.
func TestMeaninglessSettings(t *testing.T) {
	for _, group := range meaninglessSettings {
		for _, s := range group.settings {
			if found, ok := Lookup(Broker, s.Name); !ok || !found.Inert || found.Doc != group.doc {
				t.Errorf("%s has another row: take it out of kafka.go", s.Name)
			}
		}
	}
}

func TestEndpoints(t *testing.T) {
	for _, c := range []struct {
		static map[string]string
		want   Endpoints
		bad    string
	}{
		{nil, Endpoints{}, ""},
		{map[string]string{"listeners": "PLAINTEXT://:9092"}, Endpoints{Listen: ":9092"}, ""},
		{map[string]string{"listeners": "client://h:1, CTL://h:2", "controller.listener.names": "ctl", "listener.security.protocol.map": "CLIENT:plaintext,CTL:SSL",
			"advertised.listeners": "CLIENT://h:3"}, Endpoints{Listen: "h:1", Advertise: "h:3"}, ""},
		{map[string]string{"listeners": "SSL://h:1"}, Endpoints{}, "there is no SSL yet"},
		{map[string]string{"listeners": "PLAINTEXT://h:1", "advertised.listeners": "SASL_SSL://h:1"}, Endpoints{Listen: "h:1"}, "there is no SASL_SSL yet"},
		{map[string]string{"listeners": "CTL://h:2", "controller.listener.names": "CTL"}, Endpoints{}, "names 0 listeners"},
		{map[string]string{"listeners": "OTHER://h:2"}, Endpoints{}, "No security protocol defined for listener OTHER"},
	} {
		got, err := (&Layers{Static: c.static}).Endpoints()
		if got != c.want || (err == nil) != (c.bad == "") || (err != nil && !strings.Contains(err.Error(), c.bad)) {
			t.Errorf("%v: %+v, %v", c.static, got, err)
		}
	}
}

func TestServerMemory(t *testing.T) {
	for want, static := range map[int64]map[string]string{
		268435456: {"queued.max.request.bytes": "-1"}, 5000000: {"queued.max.request.bytes": "5000000"}, 1 << 20: {"queued.max.request.bytes": "7"},
		6000000: {"queued.max.request.bytes": "5000000", "ottla.server.memory.bytes": "6000000"},
	} {
		if got := (&Layers{Static: static}).BrokerConfig().ServerMemoryBytes; got != want {
			t.Errorf("%v: %d bytes", static, got)
		}
	}
}

func TestConnectionLimits(t *testing.T) {
	got := (&Layers{Static: map[string]string{"max.connections.per.ip.overrides": " 10.0.0.1:5 , [::1]:6,::ffff:10.0.0.2:7"}}).ConnectionLimits()
	want := ConnectionLimits{Max: math.MaxInt32, MaxPerIP: math.MaxInt32, PerSecond: math.MaxInt32, PerIP: map[string]int{"10.0.0.1": 5, "::1": 6, "10.0.0.2": 7}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestEverySettingIsDocumented(t *testing.T) {
	for _, s := range append(All(Topic), All(Broker)...) {
		if s.Type == Password && !s.Sensitive {
			t.Errorf("%s would be shown", s.Name)
		}
		if !strings.HasSuffix(s.Doc, ".") || len(s.Doc) < 15 {
			t.Errorf("%s: doc %q", s.Name, s.Doc)
		}
	}
	if n := len((&Layers{}).DescribeAll(Topic)); n != 33+4 {
		t.Errorf("%d topic settings described, want Kafka's 33 and our 4", n)
	}
}

func TestValidateTopicTogether(t *testing.T) {
	for _, c := range []struct {
		name      string
		overrides []Override
		want      string
	}{
		{"lags cross", []Override{{Name: "min.compaction.lag.ms", Value: "100"}, {Name: "max.compaction.lag.ms", Value: "50"}},
			"conflict topic config setting min.compaction.lag.ms (100) > max.compaction.lag.ms (50)"},
		{"unknown before bad", []Override{{Name: "segment.bytes", Value: "10"}, {Name: "bogus", Value: "1"}}, "Unknown topic config name: bogus"},
		{"first in table order", []Override{{Name: "retention.ms", Value: "-9"}, {Name: "segment.bytes", Value: "10"}},
			"Invalid value 10 for configuration segment.bytes: Value must be at least 1048576"},
		{"nulls first, all named", []Override{{Name: "retention.ms", Null: true}, {Name: "bogus", Null: true}}, "Null value not supported for topic configs: retention.ms,bogus"},
		{"last wins", []Override{{Name: "retention.ms", Value: "x"}, {Name: "retention.ms", Value: "6"}}, ""},
		{"durability", []Override{{Name: "ottla.durability", Value: "none"}}, "Invalid value none for configuration ottla.durability: String must be one of: fsync, replicated"},
	} {
		got := ""
		if err := ValidateTopic(c.overrides); err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func TestLayers(t *testing.T) {
	l := &Layers{
		Topic:                map[string]string{"max.message.bytes": " 100 ", "cleanup.policy": "compact, delete", "preallocate": "TRUE", "segment.jitter.ms": "999999999999", "leader.replication.throttled.replicas": "0:1"},
		DynamicBroker:        map[string]string{"log.retention.ms": "not a number"},
		DynamicDefaultBroker: map[string]string{"min.insync.replicas": "2", "ottla.durability": "replicated"},
		Static:               map[string]string{"log.retention.hours": "5", "message.max.bytes": "2000000", "log.roll.ms": "700000", "min.insync.replicas": "3", "node.id": "7"},
	}
	c := l.TopicConfig()
	if c.MaxMessageBytes != 100 || !c.Compact || !c.Delete || !c.Preallocate || c.RetentionMs != 5*hourMs || c.SegmentMs != 700000 ||
		c.SegmentJitterMs != 700000 || c.MinInsyncReplicas != 2 || c.Durability != Replicated {
		t.Errorf("resolved %+v", c)
	}
	if b := l.BrokerConfig(); b.NodeID != 7 || b.DefaultTopicDurability != Replicated || b.NumPartitions != 1 || b.AdvertisedListeners != nil {
		t.Errorf("resolved broker %+v", b)
	}
	for _, c := range []struct {
		scope  Scope
		name   string
		value  string
		source Source
		want   []EntrySynonym
	}{
		{Topic, "max.message.bytes", "100", DynamicTopic, []EntrySynonym{{"max.message.bytes", "100", false, DynamicTopic}, {"message.max.bytes", "2000000", false, StaticBroker}, {"message.max.bytes", "1048588", false, Default}}},
		{Topic, "segment.ms", "700000", StaticBroker, []EntrySynonym{{"log.roll.ms", "700000", false, StaticBroker}, {"log.roll.hours", "168", false, Default}}},
		{Topic, "retention.ms", "18000000", StaticBroker, []EntrySynonym{{"log.retention.hours", "5", false, StaticBroker}, {"log.retention.hours", "168", false, Default}}},
		{Topic, "min.insync.replicas", "2", DynamicDefaultBroker, []EntrySynonym{{"min.insync.replicas", "2", false, DynamicDefaultBroker}, {"min.insync.replicas", "3", false, StaticBroker}, {"min.insync.replicas", "1", false, Default}}},
		{Topic, "cleanup.policy", "compact,delete", DynamicTopic, []EntrySynonym{{"cleanup.policy", "compact,delete", false, DynamicTopic}, {"log.cleanup.policy", "delete", false, Default}}},
		{Topic, "remote.storage.enable", "false", Default, nil},
		{Topic, "leader.replication.throttled.replicas", "0:1", DynamicTopic, []EntrySynonym{{"leader.replication.throttled.replicas", "0:1", false, DynamicTopic}}},
		{Broker, "log.retention.hours", "5", StaticBroker, []EntrySynonym{{"log.retention.hours", "5", false, StaticBroker}, {"log.retention.hours", "168", false, Default}}},
	} {
		e, ok := l.Describe(c.scope, c.name)
		if !ok || e.Value != c.value || e.Source != c.source {
			t.Errorf("%s: %q from %d, want %q from %d", c.name, e.Value, e.Source, c.value, c.source)
		}
		if diff := cmp.Diff(c.want, e.Synonyms); diff != "" {
			t.Errorf("%s synonyms (-want +got):\n%s", c.name, diff)
		}
	}
}

// TestGroupSettings: a group's own settings come before its broker's, and stay within the broker's bounds.
func TestGroupSettings(t *testing.T) {
	l := &Layers{
		Group:                map[string]string{"consumer.session.timeout.ms": "60000"},
		Static:               map[string]string{"group.consumer.max.session.timeout.ms": "50000", "group.consumer.heartbeat.interval.ms": "6000"},
		DynamicDefaultBroker: map[string]string{"group.consumer.assignment.interval.ms": "2000"},
	}
	if got := l.GroupConfig(); got != (GroupConfig{SessionTimeoutMs: 50000, HeartbeatIntervalMs: 6000, AssignmentIntervalMs: 2000}) {
		t.Errorf("resolved %+v", got)
	}
	if err := l.ValidateGroup(); err == nil {
		t.Error("a session timeout above the broker's bound was accepted")
	}
	e, _ := l.Describe(Group, "consumer.session.timeout.ms")
	want := []EntrySynonym{{"consumer.session.timeout.ms", "60000", false, DynamicGroup}, {"group.consumer.session.timeout.ms", "45000", false, Default}}
	if diff := cmp.Diff(want, e.Synonyms); diff != "" {
		t.Errorf("synonyms (-want +got):\n%s", diff)
	}
	if b := (&Layers{}).GroupBrokerConfig(); b.OffsetsReplicationSet || b.OffsetsPartitions != 50 || b.OffsetsRetentionMs != 7*24*hourMs {
		t.Errorf("defaults %+v", b)
	}
	if b := (&Layers{Static: map[string]string{"offsets.topic.replication.factor": "3"}}).GroupBrokerConfig(); !b.OffsetsReplicationSet {
		t.Error("a replication factor that was chosen counts as a default")
	}
}

func TestValidateBroker(t *testing.T) {
	inert, err := ValidateBroker(map[string]string{"num.io.threads": "3", "log.segment.bytes": "2097152"})
	if err != nil || len(inert) != 1 || inert[0].Name != "num.io.threads" {
		t.Errorf("inert %v, error %v", inert, err)
	}
	_, err = ValidateBroker(map[string]string{"log.retntion.hours": "3"})
	var unknown *UnknownName
	if !errors.As(err, &unknown) || unknown.Nearest != "log.retention.hours" {
		t.Errorf("mistyped name: %v", err)
	}
	if _, err = ValidateBroker(map[string]string{"log.retention.hours": "0"}); err == nil {
		t.Error("zero hours of retention accepted")
	}
	for _, crossed := range []string{"group.consumer.session.timeout.ms=44999", "group.consumer.heartbeat.interval.ms=15001", "group.consumer.min.session.timeout.ms=46000", "group.max.session.timeout.ms=5999"} {
		name, value, _ := strings.Cut(crossed, "=")
		if _, err = ValidateBroker(map[string]string{name: value}); err == nil {
			t.Errorf("%s accepted", crossed)
		}
	}
	if _, err = ValidateBroker(map[string]string{"listeners": ""}); err == nil {
		t.Error("no listener accepted")
	}
}

func TestNearest(t *testing.T) {
	for name, want := range map[string]string{"retention.sm": "retention.ms", "segment.byte": "segment.bytes", "ottla.durabilty": "ottla.durability", "zookeeper.connect": "", strings.Repeat("x", 10000): ""} {
		if got := Nearest(Topic, name); got != want {
			t.Errorf("nearest to %.20s: %q, want %q", name, got, want)
		}
	}
}

func TestDistanceIsAMetric(t *testing.T) {
	words := []string{"", "a", "ab", "ba", "abc", "acb", "retention.ms", "retention.sm"}
	for _, a := range words {
		for _, b := range words {
			if d, e := distance(a, b), distance(b, a); d != e || (d == 0) != (a == b) || d > max(len(a), len(b)) {
				t.Errorf("distance(%q, %q) = %d, back %d", a, b, d, e)
			}
		}
	}
	if d := distance("ab", "ba"); d != 1 {
		t.Errorf("swap costs %d", d)
	}
}
