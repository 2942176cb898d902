package api

import (
	"strings"

	"github.com/ottla-io/ottla/internal/wire"
)

// ApiVersions, key 18, versions 0-4. KIP-35, KIP-511 (names of the client's software, v3), KIP-584 (features, v3), KIP-1022
// (a feature's minimum may be 0 from v4 on).
//
// Any other version is answered too, never with a closed connection: version 0 of the response, UNSUPPORTED_VERSION, and our
// range for key 18. The server gives such a request an empty body, and the response header is always version 0.

func (t *Table) apiVersions(r *Request) Outcome {
	entry, _ := t.Lookup(wire.ApiVersionsKey)
	var resp wire.ApiVersionsResponse
	resp.Default()
	if r.Version < entry.Min || r.Version > entry.Max {
		resp.ErrorCode = wire.ErrorUnsupportedVersion
		resp.ApiKeys = []wire.ApiVersionsResponseApiVersion{{ApiKey: entry.Key, MinVersion: entry.AdvertisedMin, MaxVersion: entry.Max}}
		if err := resp.Encode(r.Reply, 0); err != nil {
			return hangup(r, err)
		}
		return Replied
	}
	var (
		d   wire.Decoder
		req wire.ApiVersionsRequest
	)
	if err := decode(r, &d, &req); err != nil {
		return hangup(r, err)
	}
	if r.Version >= 3 {
		if !softwareName(req.ClientSoftwareName) || !softwareName(req.ClientSoftwareVersion) {
			resp.ErrorCode = wire.ErrorInvalidRequest
			return reply(r, &resp)
		}
		r.Conn.SoftwareName, r.Conn.SoftwareVersion = shortened(req.ClientSoftwareName), shortened(req.ClientSoftwareVersion)
	}
	for i := range t.entries {
		e := &t.entries[i]
		resp.ApiKeys = append(resp.ApiKeys, wire.ApiVersionsResponseApiVersion{ApiKey: e.Key, MinVersion: e.AdvertisedMin, MaxVersion: e.Max})
	}
	t.addFeatures(r, &resp)
	return reply(r, &resp)
}

// addFeatures says which features this broker supports, as it registered them, and which levels the cluster finalized.
func (t *Table) addFeatures(r *Request, resp *wire.ApiVersionsResponse) {
	image := t.deps.Cluster.Image()
	// An epoch below 0 means "unknown" to clients, and Java ignores the features then.
	resp.FinalizedFeaturesEpoch = max(int64(image.End())-1, 0)
	if self, ok := image.Broker(t.deps.Settings.NodeID); ok {
		for _, f := range self.Features {
			if f.Min == 0 && r.Version < 4 {
				continue
			}
			resp.SupportedFeatures = append(resp.SupportedFeatures, wire.ApiVersionsResponseSupportedFeatureKey{Name: f.Name, MinVersion: f.Min, MaxVersion: f.Max})
		}
	}
	for name, level := range sorted(image.Features()) {
		resp.FinalizedFeatures = append(resp.FinalizedFeatures, wire.ApiVersionsResponseFinalizedFeatureKey{Name: name, MinVersionLevel: level, MaxVersionLevel: level})
	}
}

// shortened is what the connection keeps of a name: it is for logs only, and KIP-511 has no bound. The copy lets go of the rest.
func shortened(name string) string {
	const most = 64
	if len(name) <= most {
		return name
	}
	return strings.Clone(name[:most])
}

// softwareName is KIP-511's rule: [a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?
func softwareName(name string) bool {
	for i := range len(name) {
		switch c := name[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case (c == '-' || c == '.') && i > 0 && i < len(name)-1:
		default:
			return false
		}
	}
	return name != ""
}
