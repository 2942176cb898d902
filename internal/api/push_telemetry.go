package api

import (
	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/telemetry"
	"github.com/ottla-io/ottla/internal/wire"
)

// PushTelemetry, key 72, version 0. KIP-714: metrics of a client, in OpenTelemetry's form; /metrics shows them.
//
// Where we differ from Kafka 4.3.1, on purpose: what is no telemetry is INVALID_RECORD. Kafka does not look.

func (t *Table) pushTelemetry(r *Request) Outcome {
	var (
		d    wire.Decoder
		req  wire.PushTelemetryRequest
		resp wire.PushTelemetryResponse
	)
	if err := decode(r, &d, &req); err != nil {
		return hangup(r, err)
	}
	resp.Default()
	resp.ErrorCode = t.deps.Telemetry.Push(telemetryClient(r), &telemetry.Push{Instance: ids.UUID(req.ClientInstanceId), SubscriptionID: req.SubscriptionId,
		Terminating: req.Terminating, Codec: req.CompressionType, Metrics: req.Metrics}, t.deps.Env.Monotonic())
	return reply(r, &resp)
}
