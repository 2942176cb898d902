package controller

import (
	"fmt"

	"github.com/ottla-io/ottla/internal/machine"
	"github.com/ottla-io/ottla/internal/metadata"
	"github.com/ottla-io/ottla/internal/wire"
)

// FeatureRanges are the levels of features that this version serves, by name. Metadata has one layout, and so one level. Kafka's other
// features (transactions …) are added by those who bring them.
func FeatureRanges() []metadata.FeatureRange {
	return []metadata.FeatureRange{{Name: GroupVersionFeature, Min: 0, Max: GroupVersion}, {Name: MetadataVersionFeature, Min: MetadataVersion, Max: MetadataVersion}}
}

// How a feature may be updated, as in UpdateFeatures (KIP-584, KIP-778).
const (
	upgradeOnly     int8 = 1
	safeDowngrade   int8 = 2
	unsafeDowngrade int8 = 3
)

// UpdateFeatures changes which levels of features are finalized: all that the request names, or none, with Kafka 4.3.1's order of checks and
// its sentences. A feature that is named twice gets what it was named with last. A level that is finalized already makes no record. No
// feature needs a level of another. With ValidateOnly there are no records, and the reply is what it would be.
func (c *Controller) UpdateFeatures(req *wire.UpdateFeaturesRequest, _ machine.Moment) ([]machine.Record, *wire.UpdateFeaturesResponse) {
	resp := new(wire.UpdateFeaturesResponse)
	resp.Default()
	resp.ErrorMessage = wire.NullString{}
	last := make(map[string]int, len(req.FeatureUpdates))
	for i := range req.FeatureUpdates {
		last[req.FeatureUpdates[i].Feature] = i
	}
	var messages []wire.MetadataRecord
	for i := range req.FeatureUpdates {
		update := &req.FeatureUpdates[i]
		if last[update.Feature] != i {
			continue
		}
		if why := c.refuseFeature(update); why != "" {
			resp.ErrorCode = wire.ErrorInvalidUpdateVersion
			resp.ErrorMessage = wire.SomeString(clip(fmt.Sprintf(
				"The update failed for all features since the following feature had an error: Invalid update version %d for feature %s. %s",
				update.MaxVersionLevel, update.Feature, why)))
			return nil, resp
		}
		if c.image.Feature(update.Feature) != update.MaxVersionLevel {
			messages = append(messages, &wire.FeatureLevelRecord{Name: update.Feature, FeatureLevel: update.MaxVersionLevel})
		}
	}
	// Kafka tells of each feature what it tells of all, up to version 1 of the response, in which the list ends.
	for i := range req.FeatureUpdates {
		resp.Results = append(resp.Results, wire.UpdateFeaturesResponseUpdatableFeatureResult{
			Feature: req.FeatureUpdates[i].Feature, ErrorMessage: wire.SomeString("NONE")})
	}
	if req.ValidateOnly {
		return nil, resp
	}
	return encode(messages), resp
}

// refuseFeature is why one feature cannot be at the level that is wished for, in Kafka's words, or "".
func (c *Controller) refuseFeature(update *wire.UpdateFeaturesRequestFeatureUpdateKey) string {
	level, current := update.MaxVersionLevel, c.image.Feature(update.Feature)
	switch kind := update.UpgradeType; {
	case kind < upgradeOnly || kind > unsafeDowngrade:
		return "The controller does not support the given upgrade type."
	case level < 0:
		return "A feature version cannot be less than 0."
	}
	if why := c.unsupported(update.Feature, level); why != "" {
		return why
	}
	switch {
	case level < current && update.UpgradeType == upgradeOnly:
		return "Can't downgrade the version of this feature without setting the upgrade type to either safe or unsafe downgrade."
	case level > current && update.UpgradeType != upgradeOnly:
		return "Can't downgrade to a newer version."
	}
	return ""
}

// unsupported is why this controller, or a broker, could not work with a level of a feature, or "".
func (c *Controller) unsupported(feature string, level int16) string {
	known := false
	judge := func(who string, id int32, ranges []metadata.FeatureRange) string {
		for _, f := range ranges {
			if f.Name != feature {
				continue
			}
			known = true
			if f.Min <= level && level <= f.Max {
				return ""
			}
			levels := fmt.Sprint(f.Min)
			if f.Min != f.Max {
				levels = fmt.Sprintf("%d-%d", f.Min, f.Max)
			}
			return fmt.Sprintf("%s %d only supports versions %s", who, id, levels)
		}
		if level == 0 {
			return ""
		}
		return fmt.Sprintf("%s %d does not support this feature.", who, id)
	}
	if why := judge("Local controller", int32(c.cfg.NodeID), FeatureRanges()); why != "" {
		return why
	}
	for _, b := range c.image.Brokers() {
		if why := judge("Broker", int32(b.ID), b.Features); why != "" {
			return why
		}
	}
	if !known {
		return fmt.Sprintf("Feature %s not found.", feature)
	}
	return ""
}

// FailUpdateFeatures answers a request of which nothing is known to have happened.
func FailUpdateFeatures(code wire.ErrorCode) *wire.UpdateFeaturesResponse {
	resp := new(wire.UpdateFeaturesResponse)
	resp.Default()
	resp.ErrorCode, resp.ErrorMessage = code, wire.SomeString(code.Message())
	return resp
}
