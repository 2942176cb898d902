package telemetry

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/ottla-io/ottla/internal/config"
	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/record"
	"github.com/ottla-io/ottla/internal/wire"
)

func message(fields ...[]byte) []byte { return slices.Concat(fields...) }

func nested(number protowire.Number, content ...[]byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(nil, number, protowire.BytesType), message(content...))
}

func fixed(number protowire.Number, value uint64) []byte {
	return protowire.AppendFixed64(protowire.AppendTag(nil, number, protowire.Fixed64Type), value)
}

func varint(number protowire.Number, value uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(nil, number, protowire.VarintType), value)
}

func attr(key, value string) []byte {
	return message(nested(1, []byte(key)), nested(2, nested(1, []byte(value))))
}

func double(value float64, attributes ...[]byte) []byte {
	out := message(fixed(3, 12345), fixed(4, math.Float64bits(value)))
	for _, a := range attributes {
		out = append(out, nested(7, a)...)
	}
	return nested(1, out)
}

func gauge(name string, points ...[]byte) []byte {
	return nested(2, nested(1, []byte(name)), nested(2, []byte("what it is")), nested(5, points...))
}

func sum(name string, temporality uint64, points ...[]byte) []byte {
	return nested(2, nested(1, []byte(name)), nested(7, append(points, varint(2, temporality), varint(3, 1))...))
}

// pushed is a MetricsData whose resource has a group.
func pushed(metrics ...[]byte) []byte {
	return nested(1, nested(2, metrics...), nested(1, nested(1, attr("group_id", "g"))))
}

func newManager() *Manager {
	next := byte(0)
	return New(Config{MaxBytes: 10_000, Random: func(p []byte) {
		next++
		clear(p)
		p[0], p[15] = 9, next
	}})
}

func subscribe(t *testing.T, m *Manager, name string, settings ...string) {
	t.Helper()
	values := map[string]string{}
	for i := 0; i < len(settings); i += 2 {
		values[settings[i]] = settings[i+1]
	}
	if err := config.ValidateClientMetrics(values); err != nil {
		t.Fatal(err)
	}
	layers := config.Layers{ClientMetrics: values}
	c := layers.ClientMetricsConfig()
	m.Set(name, &c)
}

var ann = &Client{ID: "ann", Software: "apache-kafka-java", SoftwareVersion: "4.3.1", Host: "192.0.2.1", Port: 1234}

// TestSubscriptions: who gets what, and that ids follow what was told.
func TestSubscriptions(t *testing.T) {
	m := newManager()
	s, code := m.Subscribe(ann, ids.UUID{}, 0)
	if code != 0 || len(s.Metrics) != 0 || s.PushIntervalMs != 300_000 || s.Instance == (ids.UUID{}) || s.MaxBytes != 10_000 {
		t.Fatalf("%v %+v", code, s)
	}
	subscribe(t, m, "a", "metrics", "x.,y.", "interval.ms", "1000", "match", "client_id=an.,client_source_port=12.*")
	subscribe(t, m, "b", "metrics", "y.,z.", "interval.ms", "500", "match", "client_software_name=apache-kafka-java,client_instance_id="+s.Instance.String())
	subscribe(t, m, "c", "metrics", "*", "interval.ms", "100", "match", "client_id=a") // the whole id, not a part
	subscribe(t, m, "d", "metrics", "w.", "match", "client_source_address=10.*")
	told, code := m.Subscribe(ann, s.Instance, 1)
	if code != 0 || told.PushIntervalMs != 500 || told.SubscriptionID == s.SubscriptionID {
		t.Errorf("%v %+v", code, told)
	}
	if diff := cmp.Diff([]string{"x.", "y.", "z."}, told.Metrics); diff != "" {
		t.Error(diff)
	}
	m.Set("c", nil)
	again, _ := m.Subscribe(ann, s.Instance, 2)
	if again.SubscriptionID != told.SubscriptionID {
		t.Errorf("the same subscription has another id: %+v, %+v", again, told)
	}
	subscribe(t, m, "c", "metrics", "*,u.")
	all, _ := m.Subscribe(ann, s.Instance, 3)
	if diff := cmp.Diff([]string{"*"}, all.Metrics); diff != "" || all.PushIntervalMs != 500 {
		t.Error(diff)
	}
	if other, _ := m.Subscribe(ann, ids.UUID{}, 3); other.SubscriptionID == all.SubscriptionID || other.Instance == s.Instance {
		t.Errorf("two clients are one: %+v", other)
	}
}

// TestPush: Kafka's order of checks. test/parity holds it against Kafka.
func TestPush(t *testing.T) {
	m := newManager()
	subscribe(t, m, "a", "metrics", "*", "interval.ms", "1000")
	s, _ := m.Subscribe(ann, ids.UUID{}, 0)
	good := pushed(gauge("g", double(1)))
	packed, _ := record.Compress(record.Zstd, record.DefaultLevel, nil, pushed(gauge("g", double(2, attr("k", strings.Repeat("x", 50_000))))))
	for i, test := range []struct {
		push Push
		at   time.Duration
		want wire.ErrorCode
	}{
		{Push{Instance: ids.UUID{}}, 0, wire.ErrorInvalidRequest},
		{Push{Instance: ids.UUID{15: 99}}, 0, wire.ErrorInvalidRequest},
		{Push{Metrics: good}, 10 * time.Millisecond, 0},
		{Push{Metrics: good}, 20 * time.Millisecond, wire.ErrorThrottlingQuotaExceeded},
		{Push{Metrics: good}, 1100 * time.Millisecond, 0},
		{Push{Metrics: good, SubscriptionID: 1}, 2200 * time.Millisecond, wire.ErrorUnknownSubscriptionID},
		{Push{Metrics: good, Codec: 5}, 3300 * time.Millisecond, wire.ErrorUnsupportedCompressionType},
		{Push{Metrics: make([]byte, 10_001)}, 4400 * time.Millisecond, wire.ErrorTelemetryTooLarge},
		{Push{Metrics: packed, Codec: 4}, 5500 * time.Millisecond, wire.ErrorInvalidRecord},
		{Push{Metrics: good[:len(good)-3]}, 6600 * time.Millisecond, wire.ErrorInvalidRecord},
		{Push{Metrics: good, Terminating: true}, 6700 * time.Millisecond, 0},
		{Push{Metrics: good, Terminating: true}, 8000 * time.Millisecond, wire.ErrorInvalidRequest},
	} {
		if i > 1 {
			test.push.Instance = s.Instance
			if test.push.SubscriptionID == 0 {
				test.push.SubscriptionID = s.SubscriptionID
			}
		}
		if got := m.Push(ann, &test.push, test.at); got != test.want {
			t.Errorf("push %d: %s, want %s", i, got.Name(), test.want.Name())
		}
	}
	if s := m.Stats(8 * time.Second); s.Pushes != 3 || s.Refused != 9 || s.Clients != 1 || s.Series != 1 || s.Subscriptions != 1 {
		t.Errorf("%+v", s)
	}
	// Who was told that his subscription is unknown may ask at once; others wait.
	other := ids.UUID{0: 7}
	if code := m.Push(ann, &Push{Instance: other, SubscriptionID: 5}, 9*time.Second); code != wire.ErrorUnknownSubscriptionID {
		t.Error(code)
	}
	if _, code := m.Subscribe(ann, other, 9*time.Second); code != 0 {
		t.Error(code)
	}
	if _, code := m.Subscribe(ann, other, 9*time.Second+999*time.Millisecond); code != wire.ErrorThrottlingQuotaExceeded {
		t.Error(code)
	}
	if _, code := m.Subscribe(ann, other, 10*time.Second); code != 0 {
		t.Error(code)
	}
}

func shown(m *Manager, now time.Duration) (lines []string) {
	for _, s := range m.Series(now) {
		line := s.Name
		for _, l := range s.Labels[5:] {
			line += fmt.Sprintf(" %s=%q", l.Name, l.Value)
		}
		lines = append(lines, fmt.Sprintf("%s %v counter:%v", line, s.Value, s.Counter))
	}
	slices.Sort(lines)
	return lines
}

// TestSeries: names, labels, deltas, what is left out, and that silent clients are forgotten.
func TestSeries(t *testing.T) {
	m := newManager()
	subscribe(t, m, "a", "metrics", "*", "interval.ms", "1000")
	s, _ := m.Subscribe(&Client{ID: "a\xffb" + strings.Repeat("c", 1000), Host: "h"}, ids.UUID{}, 0)
	data := pushed(
		gauge("org.apache.kafka.producer.node.request.latency.avg", double(1.5, attr("node.id", "1")), double(math.NaN(), attr("node.id", "2"))),
		sum("org.apache.kafka.producer.record.send.total", 2, double(10, attr("group_id", "of the point"), attr("client_id", "a liar"))),
		sum("my own", 1, nested(1, fixed(6, 5))),
		gauge("go_goroutines", double(1)),
		gauge("a.total", double(1)),
		nested(2, nested(1, []byte("h")), nested(9, nested(1), nested(1), varint(2, 1))),
	)
	push := func(at time.Duration) {
		t.Helper()
		if code := m.Push(ann, &Push{Instance: s.Instance, SubscriptionID: s.SubscriptionID, Metrics: data}, at); code != 0 {
			t.Fatal(code.Name())
		}
	}
	push(1)
	push(time.Second + 2)
	want := []string{
		`kafka_client_a_total_value group_id="g" 1 counter:false`,
		`kafka_client_go_goroutines group_id="g" 1 counter:false`,
		`kafka_client_my_own_total group_id="g" 10 counter:true`,
		`org_apache_kafka_producer_node_request_latency_avg group_id="g" node_id="1" 1.5 counter:false`,
		`org_apache_kafka_producer_node_request_latency_avg group_id="g" node_id="2" NaN counter:false`,
		`org_apache_kafka_producer_record_send_total group_id="of the point" 10 counter:true`,
	}
	if diff := cmp.Diff(want, shown(m, 2*time.Second)); diff != "" {
		t.Error(diff)
	}
	if id := m.Series(2 * time.Second)[0].Labels[1]; id.Name != "client_id" || len(id.Value) > maxTextBytes+3 || !strings.HasPrefix(id.Value, "a\uFFFDb") {
		t.Errorf("%+v", id)
	}
	if s := m.Stats(2 * time.Second); s.Dropped != 4 || s.Series != 6 {
		t.Errorf("%+v", s)
	}
	if diff := cmp.Diff(want, shown(m, 2*time.Second)); diff != "" {
		t.Error(diff)
	}
	data = pushed(gauge("another", double(1)))
	for i := range maxStalePushes + 1 {
		if n := len(shown(m, 2*time.Second)); n != 6 && i == 0 || n != 7 && i > 0 {
			t.Errorf("after %d pushes without them, %d series", i, n)
		}
		push(time.Duration(i+2)*1100*time.Millisecond + 2)
	}
	if diff := cmp.Diff([]string{`kafka_client_another group_id="g" 1 counter:false`}, shown(m, 14*time.Second)); diff != "" {
		t.Error(diff)
	}
	data = nested(1, nested(2, gauge("another", double(2))), nested(1, nested(1, attr("group_member_id", "m"))))
	push(15 * time.Second)
	if diff := cmp.Diff([]string{`kafka_client_another group_member_id="m" 2 counter:false`}, shown(m, 15*time.Second)); diff != "" {
		t.Error("a client that says something else of itself: " + diff)
	}
	if n := len(m.Series(15*time.Second + leastExpiry - 1)); n != 1 {
		t.Errorf("forgotten too early: %d series", n)
	}
	if s := m.Stats(15*time.Second + leastExpiry + sweepEvery); s.Clients != 0 || s.Series != 0 {
		t.Errorf("%+v", s)
	}
}

// TestBounds: whatever clients push, and however many there are, so much is kept.
func TestBounds(t *testing.T) {
	m := newManager()
	m.cfg.MaxBytes = 1 << 20
	subscribe(t, m, "a", "metrics", "*", "interval.ms", "1000")
	var points [][]byte
	for i := range maxPoints + 500 {
		points = append(points, double(1, attr("i", fmt.Sprint(i))))
	}
	data := pushed(gauge("many", points...))
	for i := range maxSeries/maxSeriesPerClient + 3 {
		s, _ := m.Subscribe(ann, ids.UUID{0: 1, 15: byte(i)}, 0)
		if code := m.Push(ann, &Push{Instance: s.Instance, SubscriptionID: s.SubscriptionID, Metrics: data}, 1); code != 0 {
			t.Fatal(code)
		}
		if i == 0 {
			if s := m.Stats(1); s.Series != maxSeriesPerClient || s.Dropped != maxPoints+500-maxSeriesPerClient {
				t.Errorf("%+v", s)
			}
		}
	}
	if s := m.Stats(1); s.Series != maxSeries || len(m.Series(1)) != maxSeries {
		t.Errorf("%+v", s)
	}
	for i := range maxClients + 10 {
		m.Subscribe(ann, ids.UUID{0: 2, 14: byte(i >> 8), 15: byte(i)}, 2)
	}
	if s := m.Stats(2); s.Clients != maxClients || s.Series != 0 {
		t.Errorf("the oldest make room: %+v", s)
	}
	many := make([][]byte, 100)
	for i := range many {
		many[i] = attr(fmt.Sprint("k", i), strings.Repeat("v", 1000))
	}
	decoded, _, err := decode(pushed(gauge(strings.Repeat("n", 5000), double(1, many...))))
	if err != nil || len(decoded) != 1 || len(decoded[0].labels) > maxLabels || len(decoded[0].name) > maxTextBytes+20 || len(decoded[0].labels[0].Value) > maxTextBytes {
		t.Errorf("%v %+v", err, decoded)
	}
}

// FuzzDecode: no bytes break it, and what it keeps can be shown.
func FuzzDecode(f *testing.F) {
	f.Add(pushed(gauge("a.b", double(1, attr("k", "v"))), sum("c", 1, nested(1, fixed(6, 5)))))
	f.Add(nested(1, nested(2, nested(2, nested(1, []byte("\xff")), nested(5, double(1, attr("\xff", "\xff")))))))
	f.Fuzz(func(t *testing.T, data []byte) {
		points, _, err := decode(data)
		if err != nil {
			return
		}
		for _, p := range points {
			if strings.ContainsFunc(p.name, func(r rune) bool {
				return r != '_' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
			}) {
				t.Errorf("name %q", p.name)
			}
			for i, l := range p.labels {
				if l.Name == "" || strings.ToValidUTF8(l.Value, "") != l.Value || i > 0 && p.labels[i-1].Name >= l.Name {
					t.Errorf("labels %+v", p.labels)
				}
			}
		}
	})
}
