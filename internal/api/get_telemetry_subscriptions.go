package api

import (
	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/record"
	"github.com/ottla-io/ottla/internal/telemetry"
	"github.com/ottla-io/ottla/internal/wire"
)

// GetTelemetrySubscriptions, key 71, version 0. KIP-714: which metrics a client shall push, and how often. Without a subscription that is none.
//
// Where we differ from Kafka 4.3.1, on purpose: it is always there (Kafka's hides it without a receiver), and clients are asked for
// cumulative values, as /metrics shows them (Kafka asks for what came since the last push).

func (t *Table) getTelemetrySubscriptions(r *Request) Outcome {
	var (
		d    wire.Decoder
		req  wire.GetTelemetrySubscriptionsRequest
		resp wire.GetTelemetrySubscriptionsResponse
	)
	if err := decode(r, &d, &req); err != nil {
		return hangup(r, err)
	}
	resp.Default()
	s, code := t.deps.Telemetry.Subscribe(telemetryClient(r), ids.UUID(req.ClientInstanceId), t.deps.Env.Monotonic())
	if code != wire.ErrorNone {
		resp.ErrorCode = code
		return reply(r, &resp)
	}
	resp.ClientInstanceId, resp.SubscriptionId = wire.UUID(s.Instance), s.SubscriptionID
	resp.AcceptedCompressionTypes = []int8{int8(record.Zstd), int8(record.LZ4), int8(record.Gzip), int8(record.Snappy)}
	resp.PushIntervalMs, resp.TelemetryMaxBytes, resp.RequestedMetrics = s.PushIntervalMs, s.MaxBytes, s.Metrics
	return reply(r, &resp)
}

func telemetryClient(r *Request) *telemetry.Client {
	return &telemetry.Client{ID: r.ClientID, Software: r.Conn.SoftwareName, SoftwareVersion: r.Conn.SoftwareVersion, Host: r.Conn.RemoteHost, Port: r.Conn.RemotePort}
}
