package controller

import (
	"strings"
	"testing"

	"github.com/ottla-io/ottla/internal/metadata"
	"github.com/ottla-io/ottla/internal/wire"
)

func (b *bench) updateFeatures(validateOnly bool, updates ...wire.UpdateFeaturesRequestFeatureUpdateKey) *wire.UpdateFeaturesResponse {
	b.t.Helper()
	records, resp := b.c.UpdateFeatures(&wire.UpdateFeaturesRequest{FeatureUpdates: updates, ValidateOnly: validateOnly}, b.at)
	if len(records) > 0 && (validateOnly || resp.ErrorCode != 0) {
		b.t.Fatal("records of a request that changes nothing")
	}
	b.run(records)
	return resp
}

func feature(name string, level int16, kind int8) wire.UpdateFeaturesRequestFeatureUpdateKey {
	return wire.UpdateFeaturesRequestFeatureUpdateKey{Feature: name, MaxVersionLevel: level, UpgradeType: kind}
}

// TestUpdateFeatures: all or nothing, each refusal, and that what was switched off stays off when the broker starts again.
func TestUpdateFeatures(t *testing.T) {
	b := newBench(t, nil)
	level := func() int16 { return b.c.Image().Feature(GroupVersionFeature) }
	for _, test := range []struct {
		update wire.UpdateFeaturesRequestFeatureUpdateKey
		want   string
	}{
		{feature("group.version", 0, 0), "does not support the given upgrade type."},
		{feature("group.version", 0, 4), "does not support the given upgrade type."},
		{feature("group.version", -1, safeDowngrade), "cannot be less than 0."},
		{feature("group.version", 2, upgradeOnly), "Local controller 1 only supports versions 0-1"},
		{feature("metadata.version", 29, unsafeDowngrade), "Local controller 1 only supports versions 30"},
		{feature("nobody", 1, upgradeOnly), "Local controller 1 does not support this feature."},
		{feature("nobody", 0, safeDowngrade), "Feature nobody not found."},
		{feature("group.version", 0, upgradeOnly), "either safe or unsafe downgrade."},
	} {
		resp := b.updateFeatures(false, feature("group.version", 1, upgradeOnly), test.update)
		if resp.ErrorCode != wire.ErrorInvalidUpdateVersion || !strings.HasSuffix(resp.ErrorMessage.Value, test.want) || len(resp.Results) != 0 || level() != 1 {
			t.Errorf("%+v: %+v", test.update, resp)
		}
	}
	if resp := b.updateFeatures(true, feature("group.version", 0, safeDowngrade)); resp.ErrorCode != 0 || level() != 1 {
		t.Errorf("a dry run: %+v, level %d", resp, level())
	}
	if resp := b.updateFeatures(false, feature("group.version", 1, upgradeOnly), feature("group.version", 0, safeDowngrade)); resp.ErrorCode != 0 || len(resp.Results) != 2 || level() != 0 {
		t.Errorf("the last wish of a feature counts: %+v, level %d", resp, level())
	}
	b.run(b.c.Bootstrap(b.at))
	if level() != 0 {
		t.Errorf("the next start switched it on again")
	}
	if resp := b.updateFeatures(false, feature("group.version", 1, safeDowngrade)); !strings.HasSuffix(resp.ErrorMessage.Value, "Can't downgrade to a newer version.") {
		t.Errorf("%+v", resp)
	}
	// A broker that does not know a level stands in its way.
	b.register(1, 1, "")
	if resp := b.updateFeatures(false, feature("group.version", 1, upgradeOnly)); !strings.HasSuffix(resp.ErrorMessage.Value, "Broker 1 does not support this feature.") {
		t.Errorf("%+v", resp)
	}
	if ranges := FeatureRanges(); len(ranges) != 2 || ranges[0] != (metadata.FeatureRange{Name: "group.version", Max: 1}) {
		t.Errorf("%+v", ranges)
	}
}
