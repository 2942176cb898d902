package api

import (
	"github.com/ottla-io/ottla/internal/wire"
)

// UpdateFeatures, key 57, versions 0-2. KIP-584, KIP-778 (dry runs and kinds of downgrades, v1), KIP-1022 (no results of single features, v2).
// All rules are the controller's. As in Kafka 4.3.1, version 0 can only upgrade, whatever its AllowDowngrade says, and TimeoutMs means nothing.

func (t *Table) updateFeatures(r *Request) Outcome {
	var (
		d   wire.Decoder
		req wire.UpdateFeaturesRequest
	)
	if err := decode(r, &d, &req); err != nil {
		return hangup(r, err)
	}
	a := t.auditUnless(req.ValidateOnly, r)
	var named []string
	for i := range req.FeatureUpdates {
		named = append(named, req.FeatureUpdates[i].Feature)
	}
	c := &controllerCall{late: updateFeaturesLate}
	t.deps.Controller.UpdateFeatures(&req, answered(c, func(resp *wire.UpdateFeaturesResponse) { a.featuresUpdated(named, resp) }))
	return c.await(t, r, controllerWait, "UpdateFeatures timeout")
}

func updateFeaturesLate() wire.Message {
	resp := new(wire.UpdateFeaturesResponse)
	resp.Default()
	resp.ErrorCode, resp.ErrorMessage = wire.ErrorRequestTimedOut, wire.SomeString(wire.ErrorRequestTimedOut.Message())
	return resp
}
