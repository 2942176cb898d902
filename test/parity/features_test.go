package parity

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// featureScenarios switch features of the cluster off and on, and so run against a broker of their own.
var featureScenarios = []scenario{
	{"features", features},
}

// featureUpdate is one wish of UpdateFeatures: 1 upgrades, 2 downgrades safely, 3 unsafely.
type featureUpdate struct {
	name  string
	level int16
	kind  int8
}

func featuresReq(updates ...featureUpdate) *kmsg.UpdateFeaturesRequest {
	req := kmsg.NewPtrUpdateFeaturesRequest()
	for _, u := range updates {
		f := kmsg.NewUpdateFeaturesRequestFeatureUpdate()
		f.Feature, f.MaxVersionLevel, f.UpgradeType = u.name, u.level, u.kind
		req.FeatureUpdates = append(req.FeatureUpdates, f)
	}
	return req
}

func features(s *session) {
	s.topic("featured", 1)
	for v := int16(0); v <= 2; v++ {
		s.send("none", v, featuresReq())
		for _, u := range []featureUpdate{
			{"metadata.version", 30, 1}, {"metadata.version", 31, 1}, {"metadata.version", 99, 1}, {"metadata.version", 0, 1}, {"metadata.version", -1, 1},
			{"metadata.version", 6, 2}, {"metadata.version", 0, 2}, {"metadata.version", 30, 2}, {"metadata.version", 31, 3}, {"metadata.version", 30, 0}, {"metadata.version", 30, 4},
			{"group.version", 1, 1}, {"group.version", 2, 1}, {"group.version", 2, 2}, {"group.version", 0, 1}, {"group.version", -1, 3}, {"group.version", 1, 2}, {"group.version", 1, 0},
			{"nobody.version", 1, 1}, {"nobody.version", 0, 1}, {"nobody.version", 0, 2}, {"nobody.version", -1, 2}, {"", 1, 1}, {"", 0, 2},
		} {
			s.send(fmt.Sprintf("%s to %d by %d", u.name, u.level, u.kind), v, featuresReq(u))
		}
		s.send("a good one and a bad one", v, featuresReq(featureUpdate{"group.version", 1, 1}, featureUpdate{"nobody.version", 3, 1}))
		s.send("one twice", v, featuresReq(featureUpdate{"group.version", 1, 1}, featureUpdate{"group.version", 1, 1}))
		allowed := featuresReq(featureUpdate{"group.version", 0, 1})
		allowed.FeatureUpdates[0].AllowDowngrade = true
		s.send("a downgrade that is allowed", v, allowed)
		s.send("another feature", v, featuresReq(featureUpdate{"group.version", 1, 1}))
	}
	s.coordinator()
	tries := 0
	try := func(what string) {
		tries++
		group := fmt.Sprint("featured-", tries)
		versions := kmsg.NewPtrApiVersionsRequest()
		versions.ClientSoftwareName, versions.ClientSoftwareVersion = "parity", "1.0"
		if resp, ok := s.quiet(4, versions).(*kmsg.ApiVersionsResponse); ok {
			resp.ApiKeys = nil // they have a scenario of their own
			s.note("versions "+what, s.render(resp))
		}
		s.send("join "+what, 1, beatReq(group, "f-member", 0, "featured"))
		s.send("describe consumers "+what, 1, describeConsumersReq(group))
		s.send("describe "+what, 6, describeReq(group))
		s.send("leave "+what, 1, beatReq(group, "f-member", -1, "featured"))
	}
	try("at first")
	for _, u := range []struct {
		version int16
		kind    int8
	}{{1, 2}, {2, 3}} {
		how := fmt.Sprintf("by %d", u.kind)
		off, on := featuresReq(featureUpdate{"group.version", 0, u.kind}), featuresReq(featureUpdate{"group.version", 1, 1})
		off.ValidateOnly = true
		s.send("only looked at "+how, u.version, off)
		try("only looked at " + how)
		off.ValidateOnly = false
		s.send("off "+how, u.version, off)
		s.finalized("group.version", 0)
		try("off " + how)
		s.send("off again "+how, u.version, off)
		s.send("on "+how, u.version, on)
		s.finalized("group.version", 1)
		try("on " + how)
	}
}

// finalized waits until the broker knows of a feature's level: Kafka's hears of it later than who asked.
func (s *session) finalized(feature string, level int16) {
	s.t.Helper()
	s.waitFor("feature", func() bool {
		req := kmsg.NewPtrApiVersionsRequest()
		req.ClientSoftwareName, req.ClientSoftwareVersion = "parity", "1.0"
		now := int16(0)
		for _, f := range s.quiet(4, req).(*kmsg.ApiVersionsResponse).FinalizedFeatures {
			if f.Name == feature {
				now = f.MaxVersionLevel
			}
		}
		return now == level
	})
}
