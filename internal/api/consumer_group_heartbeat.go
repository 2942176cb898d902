package api

import (
	"github.com/ottla-io/ottla/internal/machine"
	"github.com/ottla-io/ottla/internal/machine/group"
	"github.com/ottla-io/ottla/internal/wire"
)

// ConsumerGroupHeartbeat, key 68, versions 0-1. KIP-848 (v0), KIP-1082 (members choose their ids) and regular expressions (v1).
//
// Where we differ from Kafka 4.3.1, on purpose: the topics of a regular expression are looked up at once, so that a member has its
// assignment with the first answer; Kafka does it in the background. They are looked up again when topics come or go; in Kafka, when they
// come. The uniform assignor prefers partitions of the member's rack, where that costs no balance and moves nothing that could stay; Kafka's
// assignors do not look at racks.

// consumerGroups tells whether consumer groups are finalized; if not, their requests are UNSUPPORTED_VERSION, although ApiVersions lists them.
func (t *Table) consumerGroups() bool {
	return t.deps.Cluster.Image().Feature(groupVersionFeature) >= 1
}

// groupVersionFeature is the feature that brings consumer groups at level 1.
const groupVersionFeature = "group.version"

func (t *Table) consumerGroupHeartbeat(r *Request) Outcome {
	var d wire.Decoder
	req := new(wire.ConsumerGroupHeartbeatRequest)
	if err := decode(r, &d, req); err != nil {
		return hangup(r, err)
	}
	if !t.consumerGroups() {
		return reply(r, &wire.ConsumerGroupHeartbeatResponse{ErrorCode: wire.ErrorUnsupportedVersion, ErrorMessage: wire.NullString{}})
	}
	var resp *wire.ConsumerGroupHeartbeatResponse
	from := client(r)
	return t.inGroup(r, req.GroupId, func(m *group.Machine, at machine.Moment) (records []machine.Record) {
		records, resp = m.ConsumerGroupHeartbeat(at, from, req)
		return records
	}, func() wire.Message { return resp }, func(code wire.ErrorCode) wire.Message {
		return &wire.ConsumerGroupHeartbeatResponse{ErrorCode: code}
	})
}
