package api

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ottla-io/ottla/internal/run"
	"github.com/ottla-io/ottla/internal/wire"
)

// TestUpdateFeatures: the controller gets what the client asked, and the client what the controller answered; versions without results of
// single features have none; a controller that is too slow is REQUEST_TIMED_OUT.
func TestUpdateFeatures(t *testing.T) {
	for version := int16(0); version <= 2; version++ {
		simulated(t, 1, func(env run.Env) {
			g := newRig(t, env)
			req := new(wire.UpdateFeaturesRequest)
			req.Default()
			req.FeatureUpdates = []wire.UpdateFeaturesRequestFeatureUpdateKey{{Feature: "group.version", MaxVersionLevel: 1, UpgradeType: 1}}
			c := g.start(wire.UpdateFeaturesKey, version, req)
			if c.outcome != Parked || len(g.controller.features) != 1 {
				t.Fatalf("outcome %d", c.outcome)
			}
			if diff := cmp.Diff(req, g.controller.features[0].req); diff != "" {
				t.Error(diff)
			}
			g.controller.features[0].done(&wire.UpdateFeaturesResponse{Results: []wire.UpdateFeaturesResponseUpdatableFeatureResult{{Feature: "group.version"}}})
			var resp wire.UpdateFeaturesResponse
			c.reply(&resp)
			if want := 1; resp.ErrorCode != 0 || (version < 2 && len(resp.Results) != want) || (version == 2 && len(resp.Results) != 0) {
				t.Errorf("version %d: %+v", version, resp)
			}
			c = g.start(wire.UpdateFeaturesKey, version, req)
			c.reply(&resp)
			if resp.ErrorCode != wire.ErrorRequestTimedOut || env.Monotonic() != time.Minute {
				t.Errorf("after %v: %+v", env.Monotonic(), resp)
			}
			g.checkIdle(0)
		})
	}
}

// TestConsumerGroupsSwitchedOff: while group.version is not finalized, consumer groups are UNSUPPORTED_VERSION.
func TestConsumerGroupsSwitchedOff(t *testing.T) {
	g := newRig(t, run.OS())
	g.cluster.apply(t, &wire.FeatureLevelRecord{Name: "group.version", FeatureLevel: 0})
	var beat wire.ConsumerGroupHeartbeatResponse
	req := new(wire.ConsumerGroupHeartbeatRequest)
	req.Default()
	req.GroupId, req.MemberId = "g", "m"
	g.do(wire.ConsumerGroupHeartbeatKey, 1, req, &beat)
	if beat.ErrorCode != wire.ErrorUnsupportedVersion {
		t.Errorf("%+v", beat)
	}
	var described wire.ConsumerGroupDescribeResponse
	g.do(wire.ConsumerGroupDescribeKey, 1, &wire.ConsumerGroupDescribeRequest{GroupIds: []string{"g", "h"}}, &described)
	if len(described.Groups) != 2 || described.Groups[1].GroupId != "h" || described.Groups[1].ErrorCode != wire.ErrorUnsupportedVersion {
		t.Errorf("%+v", described)
	}
}
