package ottla_test

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/ottla-io/ottla/internal/wire"
	"github.com/ottla-io/ottla/ottlatest"
)

// setQuota sets one quota of an entity with one part.
func setQuota(t *testing.T, client *kgo.Client, kind, name, key string, value float64) {
	t.Helper()
	altered, err := kadm.NewClient(client).AlterClientQuotas(patient(t), []kadm.AlterClientQuotaEntry{{
		Entity: kadm.ClientQuotaEntity{{Type: kind, Name: &name}}, Ops: []kadm.AlterClientQuotaOp{{Key: key, Value: value}}}})
	if err != nil || len(altered) != 1 || altered[0].Err != nil {
		t.Fatalf("set quota %s of %s %s: %v, %+v", key, kind, name, err, altered)
	}
}

// TestThrottledProducer: the reply that goes over the quota comes at once and says so; then the broker does not listen for as long; a restart
// keeps the quota.
func TestThrottledProducer(t *testing.T) {
	dir := t.TempDir()
	broker := ottlatest.Start(t, ottlatest.WithDataDir(dir))
	client := newClient(t, broker)
	produce(t, client, "t", 0, 1)
	setQuota(t, client, "client-id", "raw", "producer_byte_rate", 100) // 1,000 bytes in ten seconds; a request here has a tenth more
	client.Close()
	broker.Close(t.Context())
	broker = ottlatest.Start(t, ottlatest.WithDataDir(dir))
	raw := dialRaw(t, broker)
	frame, metadata := produceFrame(raw, "t", -1), raw.build(wire.MetadataKey, 9, &wire.MetadataRequest{Topics: []wire.MetadataRequestTopic{}})
	begin := time.Now()
	var resp wire.ProduceResponse
	decodeReply(t, raw.roundTrip(frame), wire.ProduceKey, 9, &resp)
	told := time.Duration(resp.ThrottleTimeMs) * time.Millisecond
	if took := time.Since(begin); told < time.Second || told > 2*time.Second || took > told/2 {
		t.Fatalf("the reply came after %v and said %v", took, told)
	}
	if code := resp.Responses[0].PartitionResponses[0].ErrorCode; code != 0 {
		t.Fatal(code)
	}
	var after wire.MetadataResponse
	decodeReply(t, raw.roundTrip(metadata), wire.MetadataKey, 9, &after)
	if took := time.Since(begin); took < told || took > told+2*time.Second {
		t.Errorf("told to be quiet for %v, heard again after %v", told, took)
	}
	if after.ThrottleTimeMs != 0 {
		t.Errorf("Metadata is throttled, too: %d ms", after.ThrottleTimeMs)
	}
}

func decodeReply(t *testing.T, reply []byte, key, version int16, into wire.Message) {
	t.Helper()
	var d wire.Decoder
	d.Reset(reply)
	var header wire.ResponseHeader
	if err := header.Decode(&d, wire.ResponseHeaderVersion(key, version)); err != nil {
		t.Fatal(err)
	}
	if err := into.Decode(&d, version); err != nil {
		t.Fatal(err)
	}
}
