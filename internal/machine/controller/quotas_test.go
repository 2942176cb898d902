package controller

import (
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ottla-io/ottla/internal/quota"
	"github.com/ottla-io/ottla/internal/wire"
)

type alterQuota = wire.AlterClientQuotasRequestOpData

func quotaOp(key string, value float64) alterQuota { return alterQuota{Key: key, Value: value} }
func noQuota(key string) alterQuota                { return alterQuota{Key: key, Remove: true} }

// quotaEntry names an entity by types and names in turn; "<default>" is the null name.
func quotaEntry(parts []string, ops ...alterQuota) wire.AlterClientQuotasRequestEntryData {
	e := wire.AlterClientQuotasRequestEntryData{Ops: ops}
	for i := 0; i < len(parts); i += 2 {
		name := wire.SomeString(parts[i+1])
		if parts[i+1] == "<default>" {
			name = wire.NullString{}
		}
		e.Entity = append(e.Entity, wire.AlterClientQuotasRequestEntityData{EntityType: parts[i], EntityName: name})
	}
	return e
}

func (b *bench) alterQuotas(validateOnly bool, entries ...wire.AlterClientQuotasRequestEntryData) *wire.AlterClientQuotasResponse {
	b.t.Helper()
	records, resp := b.c.AlterClientQuotas(&wire.AlterClientQuotasRequest{Entries: entries, ValidateOnly: validateOnly}, b.at)
	if validateOnly && len(records) > 0 {
		b.t.Fatal("records with ValidateOnly")
	}
	b.run(records)
	return resp
}

// TestAlterClientQuotas: what is refused changes nothing, each entity is one piece, and of one that is named twice the first counts, as in
// Kafka 4.3.1, whose every sentence test/parity holds.
func TestAlterClientQuotas(t *testing.T) {
	b := newBench(t, nil, 1)
	user := func(name string) quota.Entity { return quota.Entity{User: quota.Part{Named: true, Name: name}} }
	if got := b.alterQuotas(true, quotaEntry([]string{"user", "u"}, quotaOp("producer_byte_rate", 7))); got.Entries[0].ErrorCode != 0 || b.c.Image().Quotas(user("u")) != nil {
		t.Errorf("validate only: %+v, %v", got, b.c.Image().Quotas(user("u")))
	}
	resp := b.alterQuotas(false,
		quotaEntry([]string{"user", "u", "client-id", "<default>"}, quotaOp("producer_byte_rate", 7), quotaOp("request_percentage", 0.5)),
		quotaEntry([]string{"user", "w"}, quotaOp("producer_byte_rate", 8), quotaOp("nonsense", 8)),
		quotaEntry([]string{"user", "x"}, quotaOp("consumer_byte_rate", 9)),
		quotaEntry([]string{"user", "x"}, quotaOp("consumer_byte_rate", 10)),
		quotaEntry([]string{"ip", "2001:db8::1"}, quotaOp("connection_creation_rate", 3)),
		quotaEntry([]string{"ip", "example.com"}, quotaOp("connection_creation_rate", 3)))
	var codes []wire.ErrorCode
	for _, e := range resp.Entries {
		codes = append(codes, e.ErrorCode)
	}
	if diff := cmp.Diff([]wire.ErrorCode{0, wire.ErrorInvalidRequest, wire.ErrorInvalidRequest, 0, wire.ErrorInvalidRequest}, codes); diff != "" {
		t.Error(diff)
	}
	image := b.c.Image()
	all := map[quota.Entity]map[string]float64{}
	for _, e := range image.QuotaEntities() {
		all[e] = image.Quotas(e)
	}
	want := map[quota.Entity]map[string]float64{
		{User: quota.Part{Named: true, Name: "u"}, ClientID: quota.Part{Default: true}}: {"producer_byte_rate": 7, "request_percentage": 0.5},
		user("x"): {"consumer_byte_rate": 9},
		{IP: quota.Part{Named: true, Name: "2001:db8::1"}}: {"connection_creation_rate": 3},
	}
	if diff := cmp.Diff(want, all); diff != "" {
		t.Error(diff)
	}
	if records, _ := b.c.AlterClientQuotas(&wire.AlterClientQuotasRequest{Entries: []wire.AlterClientQuotasRequestEntryData{
		quotaEntry([]string{"user", "x"}, quotaOp("consumer_byte_rate", 9), noQuota("request_percentage"))}}, b.at); len(records) > 0 {
		t.Errorf("%d records where nothing changes", len(records))
	}
	if got := b.alterQuotas(false, quotaEntry([]string{"user", "x"}, quotaOp("consumer_byte_rate", math.NaN()))); got.Entries[0].ErrorCode != wire.ErrorInvalidRequest {
		t.Errorf("NaN: %+v", got)
	}
	b.alterQuotas(false, quotaEntry([]string{"user", "x"}, noQuota("consumer_byte_rate")))
	if got := len(b.c.Image().QuotaEntities()); got != 2 {
		t.Errorf("%d entities are left", got)
	}
}

// TestAlterClientQuotasIsBounded: one request cannot write more records than one batch of the log may have.
func TestAlterClientQuotasIsBounded(t *testing.T) {
	b := newBench(t, nil, 1)
	var entries []wire.AlterClientQuotasRequestEntryData
	for i := range maxRecords + 1 {
		entries = append(entries, quotaEntry([]string{"client-id", string(rune('a'+i%26)) + string(rune(0x4e00+i))}, quotaOp("producer_byte_rate", 1)))
	}
	resp := b.alterQuotas(false, entries...)
	for i, e := range resp.Entries {
		if refused := e.ErrorCode == wire.ErrorPolicyViolation; refused != (i == maxRecords) {
			t.Fatalf("entity %d: %v", i, e.ErrorCode)
		}
	}
}
