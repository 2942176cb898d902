package api

import (
	"github.com/ottla-io/ottla/internal/wire"
)

// UpdateFeatures, key 57, versions 0-2. KIP-584, KIP-778 (dry runs and kinds of downgrades, v1), KIP-1022 (no results of single features, v2).
// All rules are the controller's. As in Kafka 4.3.1, version 0 can only upgrade, whatever its AllowDowngrade says, and TimeoutMs means nothing.

func (t *Table) updateFeatures(r *Request) Outcome {
	u := new(updateFeaturesRequest)
	var (
		d   wire.Decoder
		req wire.UpdateFeaturesRequest
	)
	if err := decode(r, &d, &req); err != nil {
		return hangup(r, err)
	}
	var a *audit
	var named []string
	if !req.ValidateOnly {
		a = t.audit(r)
		for i := range req.FeatureUpdates {
			named = append(named, req.FeatureUpdates[i].Feature)
		}
	}
	u.expect(1)
	t.deps.Controller.UpdateFeatures(&req, func(resp *wire.UpdateFeaturesResponse) {
		a.featuresUpdated(named, resp)
		u.arrive(func() { u.resp = resp })
	})
	r.Pending = u
	if u.park(t.deps.Env, r, controllerWait, "UpdateFeatures timeout") {
		return Parked
	}
	return u.Finish(r)
}

// updateFeaturesRequest is the state of one UpdateFeatures request.
type updateFeaturesRequest struct {
	gate
	resp *wire.UpdateFeaturesResponse // guarded by the gate's lock
}

// Finish implements Pending. If nothing is known in time the answer is REQUEST_TIMED_OUT; the features may yet change.
func (u *updateFeaturesRequest) Finish(r *Request) Outcome {
	u.settle()
	u.mu.Lock()
	resp := u.resp
	u.mu.Unlock()
	if resp == nil {
		resp = new(wire.UpdateFeaturesResponse)
		resp.Default()
		resp.ErrorCode, resp.ErrorMessage = wire.ErrorRequestTimedOut, wire.SomeString(wire.ErrorRequestTimedOut.Message())
	}
	return reply(r, resp)
}

// Cancel implements Pending.
func (u *updateFeaturesRequest) Cancel() { u.settle() }
