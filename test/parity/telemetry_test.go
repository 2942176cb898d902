package parity

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"time"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// telemetryScenarios are about client metrics (KIP-714). Kafka has their APIs where a receiver is configured: settingsOf does.
var telemetryScenarios = []scenario{
	{"telemetry-subscriptions", telemetrySubscriptions},
	{"telemetry", telemetry},
}

// clientMetricsReq sets, deletes, appends or subtracts settings of a subscription: name, operation and value of each.
func clientMetricsReq(subscription string, settings ...any) *kmsg.IncrementalAlterConfigsRequest {
	req := kmsg.NewPtrIncrementalAlterConfigsRequest()
	r := kmsg.NewIncrementalAlterConfigsRequestResource()
	r.ResourceType, r.ResourceName = 16, subscription
	for i := 0; i < len(settings); i += 3 {
		c := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
		c.Name, c.Op = settings[i].(string), kmsg.IncrementalAlterConfigOp(settings[i+1].(int))
		if value, ok := settings[i+2].(string); ok {
			c.Value = &value
		}
		r.Configs = append(r.Configs, c)
	}
	req.Resources = append(req.Resources, r)
	return req
}

func telemetrySubscriptions(s *session) {
	describe := func(what string, names ...string) {
		req := kmsg.NewPtrDescribeConfigsRequest()
		req.IncludeSynonyms = true
		for _, name := range names {
			r := kmsg.NewDescribeConfigsRequestResource()
			r.ResourceType, r.ResourceName = 16, name
			req.Resources = append(req.Resources, r)
		}
		s.send("describe "+what, 4, req)
		list := kmsg.NewPtrListConfigResourcesRequest()
		list.ResourceTypes = []int8{16}
		s.send("list "+what, 1, list)
		s.send("list "+what, 0, kmsg.NewPtrListConfigResourcesRequest())
	}
	bad := func(what string, settings ...any) { s.send("bad: "+what, 1, clientMetricsReq("bad", settings...)) }
	s.send("without name", 1, clientMetricsReq("", "metrics", 0, "*"))
	bad("unknown", "nobody", 0, "1")
	bad("unknown, deleted", "nobody", 1, nil)
	bad("a known and an unknown", "interval.ms", 0, "1000", "nobody", 0, "1")
	for _, value := range []string{"", "99", "3600001", "-1", "x", "1.5", "99999999999", "100 ", nil2} {
		bad(fmt.Sprintf("interval %q", value), "interval.ms", 0, value)
	}
	for _, value := range []string{"", "x", "client_id", "client_id=", "=a", "client_id=a=b", "nobody=a", "client_id=[", "client_id=*", "client_id = a,client_id=b", " client_software_name = x.* ",
		"client_instance_id=a,client_software_version=b,client_source_address=c,client_source_port=d", "a,,b", ",", "client_id=a,"} {
		bad(fmt.Sprintf("match %q", value), "match", 0, value)
	}
	for _, value := range []string{"", "*", "a,b", "a,,b", ",", " a , b ", "a,a"} {
		bad(fmt.Sprintf("metrics %q", value), "metrics", 0, value)
	}
	bad("null", "metrics", 0, nil)
	bad("twice", "metrics", 0, "a", "metrics", 0, "b")
	bad("appended to what is no list", "interval.ms", 2, "500")
	bad("subtracted from what is no list", "interval.ms", 3, "500")
	bad("appended unknown", "nobody", 2, "500")
	describe("bad", "bad")
	s.send("nothing", 1, clientMetricsReq("nothing"))
	s.send("delete all", 1, clientMetricsReq("bad", "metrics", 1, nil, "match", 1, nil, "interval.ms", 1, nil))
	describe("none", "bad", "nobody", "")

	s.send("set", 1, clientMetricsReq("one", "metrics", 0, "a.,b.", "interval.ms", 0, "12345", "match", 0, "client_id=none.*"))
	s.send("append", 1, clientMetricsReq("one", "metrics", 2, "c.,a."))
	describe("appended", "one")
	s.send("subtract", 1, clientMetricsReq("one", "metrics", 3, "a.,z."))
	s.send("append to nothing", 1, clientMetricsReq("two", "metrics", 2, "x."))
	s.send("subtract from nothing", 1, clientMetricsReq("three", "metrics", 3, "x."))
	describe("subtracted", "one", "two", "three")
	only := clientMetricsReq("one", "interval.ms", 0, "500")
	only.ValidateOnly = true
	s.send("validate only", 1, only)
	only = clientMetricsReq("one", "interval.ms", 0, "5")
	only.ValidateOnly = true
	s.send("validate only, bad", 1, only)
	older := kmsg.NewPtrAlterConfigsRequest()
	r := kmsg.NewAlterConfigsRequestResource()
	r.ResourceType, r.ResourceName = 16, "one"
	c := kmsg.NewAlterConfigsRequestResourceConfig()
	c.Name, c.Value = "metrics", ptr("old.")
	r.Configs = append(r.Configs, c)
	older.Resources = append(older.Resources, r)
	s.send("by AlterConfigs", 2, older)
	describe("altered", "one")
	for _, name := range []string{"one", "two", "three", "bad"} {
		s.quiet(1, clientMetricsReq(name, "metrics", 1, nil, "match", 1, nil, "interval.ms", 1, nil))
	}
	describe("at last", "one")
}

// nil2 is a value that is no number.
const nil2 = "null"

// otlp is a MetricsData of OpenTelemetry with one gauge, whose description fills it up to some size.
func otlp(size int) []byte {
	field := func(number byte, content []byte) []byte {
		out := []byte{number<<3 | 2}
		for n := len(content); ; n >>= 7 {
			if n < 0x80 {
				out = append(out, byte(n))
				break
			}
			out = append(out, byte(n)|0x80)
		}
		return append(out, content...)
	}
	point := []byte{3<<3 | 1, 0, 0, 0, 0, 0, 0, 0, 0, 4<<3 | 1, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f} // at time 0: 1.0
	metric := field(1, []byte("org.apache.kafka.parity.gauge"))
	metric = append(metric, field(2, bytes.Repeat([]byte("d"), size))...)
	metric = append(metric, field(5, field(1, point))...)
	return field(1, field(2, field(2, metric)))
}

func packed(codec int8, data []byte) []byte {
	var out bytes.Buffer
	switch codec {
	case 1:
		w := gzip.NewWriter(&out)
		_, _ = w.Write(data)
		_ = w.Close()
	case 2:
		return s2.EncodeSnappy(nil, data)
	case 3:
		w := lz4.NewWriter(&out)
		_, _ = w.Write(data)
		_ = w.Close()
	case 4:
		w, _ := zstd.NewWriter(nil)
		return w.EncodeAll(data, nil)
	default:
		return data
	}
	return out.Bytes()
}

func telemetry(s *session) {
	versions := kmsg.NewPtrApiVersionsRequest()
	versions.ClientSoftwareName, versions.ClientSoftwareVersion = "parity", "1.0"
	s.quiet(3, versions)
	instance := func(n byte) [16]byte { return [16]byte{0: 0x70, 6: 0x40, 8: 0x80, 15: n} }
	get := func(what string, id [16]byte) *kmsg.GetTelemetrySubscriptionsResponse {
		req := kmsg.NewPtrGetTelemetrySubscriptionsRequest()
		req.ClientInstanceID = id
		resp, _ := s.send("get "+what, 0, req).(*kmsg.GetTelemetrySubscriptionsResponse)
		return resp
	}
	push := func(what string, id [16]byte, subscription int32, codec int8, metrics []byte, terminating bool) {
		req := kmsg.NewPtrPushTelemetryRequest()
		req.ClientInstanceID, req.SubscriptionID, req.CompressionType, req.Metrics, req.Terminating = id, subscription, codec, metrics, terminating
		s.send("push "+what, 0, req)
	}
	for n := byte(1); n < 40; n++ {
		s.topics[instance(n)] = fmt.Sprint("client ", n)
	}
	get("without subscriptions", instance(1))
	get("again at once", instance(1))
	get("without id", [16]byte{})
	get("with a reserved id", [16]byte{15: 1})
	push("with a reserved id", [16]byte{15: 1}, 1, 0, nil, false)
	push("without id", [16]byte{}, 1, 0, nil, false)
	push("of an unknown client", instance(2), 77, 0, otlp(1), false)
	get("after an unknown subscription", instance(2))
	push("of an unknown client that ends", instance(3), 77, 0, otlp(1), true)
	push("after its end", instance(3), 77, 0, otlp(1), false)

	for _, r := range []*kmsg.IncrementalAlterConfigsRequest{
		clientMetricsReq("all-of-parity", "metrics", 0, "org.apache.kafka.parity.", "interval.ms", 0, "200000", "match", 0, "client_id=par.*,client_software_name=parity"),
		clientMetricsReq("nobody", "metrics", 0, "nobody.", "interval.ms", 0, "100", "match", 0, "client_id=arit"),
	} {
		s.quiet(1, r)
	}
	var resp *kmsg.GetTelemetrySubscriptionsResponse
	s.waitFor("subscription", func() bool {
		req := kmsg.NewPtrGetTelemetrySubscriptionsRequest()
		resp = s.quiet(0, req).(*kmsg.GetTelemetrySubscriptionsResponse)
		return len(resp.RequestedMetrics) > 0
	})
	get("with a subscription", instance(1))
	get("with a subscription, again", instance(1))
	first := get("of another", instance(4))
	push("nothing", instance(4), first.SubscriptionID, 0, nil, false)
	push("at once", instance(4), first.SubscriptionID, 0, otlp(1), false)
	push("the last at once", instance(4), first.SubscriptionID, 0, otlp(1), true)
	push("after the last", instance(4), first.SubscriptionID, 0, otlp(1), true)
	get("after the last", instance(4))
	next := byte(5)
	try := func(what string, codec int8, metrics []byte, terminating bool) {
		id := instance(next)
		next++
		resp := get("before "+what, id)
		push(what, id, resp.SubscriptionID, codec, metrics, terminating)
		push(what+", again", id, resp.SubscriptionID, codec, metrics, true)
	}
	for codec := int8(-1); codec <= 5; codec++ {
		try(fmt.Sprintf("codec %d", codec), codec, packed(codec, otlp(100)), false)
	}
	for codec := int8(1); codec <= 4; codec++ {
		try(fmt.Sprintf("garbage of codec %d", codec), codec, []byte("garbage garbage garbage"), false)
		try(fmt.Sprintf("a bomb of codec %d", codec), codec, packed(codec, otlp(70_000)), false)
	}
	try("too much", 0, otlp(5000), false)
	try("just enough", 0, otlp(5000-60), false)
	try("one byte too much", 0, bytes.Repeat([]byte{0}, 5001), false)
	try("no telemetry", 0, []byte("garbage garbage garbage"), false)
	try("half of it", 0, otlp(100)[:60], false)
	try("the last", 0, otlp(1), true)

	s.quiet(1, clientMetricsReq("everything", "metrics", 0, "*", "interval.ms", 0, "300"))
	s.waitFor("subscription", func() bool {
		req := kmsg.NewPtrGetTelemetrySubscriptionsRequest()
		return len(s.quiet(0, req).(*kmsg.GetTelemetrySubscriptionsResponse).RequestedMetrics) == 1
	})
	id := instance(next)
	resp = get("of everything", id)
	push("everything", id, resp.SubscriptionID, 0, otlp(1), false)
	push("everything at once", id, resp.SubscriptionID, 0, otlp(1), false)
	time.Sleep(400 * time.Millisecond)
	push("everything in time", id, resp.SubscriptionID, 0, otlp(1), false)
	time.Sleep(400 * time.Millisecond)
	push("another subscription", id, resp.SubscriptionID+1, 0, otlp(1), false)
	get("after another subscription", id)
	for _, name := range []string{"all-of-parity", "nobody", "everything"} {
		s.quiet(1, clientMetricsReq(name, "metrics", 1, nil, "match", 1, nil, "interval.ms", 1, nil))
	}
}
