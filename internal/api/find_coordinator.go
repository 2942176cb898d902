package api

import (
	"github.com/ottla-io/ottla/internal/wire"
)

// FindCoordinator, key 10, versions 0-6. KIP-699 (several keys, v4), KIP-932 (share groups, v6).
//
// It must be served whatever there is to coordinate: librdkafka takes it for the sign that a broker knows lz4
// (RD_KAFKA_FEATURE_LZ4), and would silently send uncompressed without it.
//
// Where we differ from Kafka 4.3.1, on purpose: there are no transactions and share groups yet; their coordinators get final codes, and
// a sentence.

// Coordinator types of FindCoordinator v1+.
const (
	groupCoordinator       int8 = 0
	transactionCoordinator int8 = 1
	shareCoordinator       int8 = 2
)

func (t *Table) findCoordinator(r *Request) Outcome {
	var (
		d    wire.Decoder
		req  wire.FindCoordinatorRequest
		resp wire.FindCoordinatorResponse
	)
	if err := decode(r, &d, &req); err != nil {
		return hangup(r, err)
	}
	resp.Default()
	v := t.view(r)
	if r.Version < 4 {
		found := t.coordinator(v, r.Version, req.KeyType, req.Key)
		resp.NodeId, resp.Host, resp.Port, resp.ErrorCode, resp.ErrorMessage = found.NodeId, found.Host, found.Port, found.ErrorCode, found.ErrorMessage
		switch {
		case found.ErrorCode == wire.ErrorNone:
			resp.ErrorMessage = wire.SomeString(wire.ErrorNone.Name()) // Kafka's word
		case found.ErrorMessage.Value == "":
			resp.ErrorMessage = wire.SomeString(found.ErrorCode.Message())
		}
		return reply(r, &resp)
	}
	for _, key := range req.CoordinatorKeys {
		resp.Coordinators = append(resp.Coordinators, t.coordinator(v, r.Version, req.KeyType, key))
	}
	return reply(r, &resp)
}

// coordinator finds that of one key, and where the client reaches it. Codes that say it all have no sentence.
func (t *Table) coordinator(v view, version int16, kind int8, key string) wire.FindCoordinatorResponseCoordinator {
	found := wire.FindCoordinatorResponseCoordinator{Key: key, NodeId: -1, Port: -1, ErrorMessage: wire.SomeString("")}
	refuse := func(code wire.ErrorCode, message string) wire.FindCoordinatorResponseCoordinator {
		found.ErrorCode, found.ErrorMessage = code, wire.SomeString(message)
		return found
	}
	switch kind {
	case groupCoordinator:
	case transactionCoordinator:
		return refuse(wire.ErrorTransactionalIDAuthorizationFailed, "this broker does not serve transactions yet: leave transactional.id out")
	case shareCoordinator:
		if version >= 6 {
			return refuse(wire.ErrorGroupAuthorizationFailed, "this broker does not serve share groups yet")
		}
		return refuse(wire.ErrorInvalidRequest, "")
	default:
		return refuse(wire.ErrorInvalidRequest, wire.ErrorInvalidRequest.Message())
	}
	id, code := t.deps.Groups.Coordinator(key)
	if code != wire.ErrorNone {
		return refuse(code, "")
	}
	at, ok := v.reach(id)
	if !ok {
		return refuse(wire.ErrorCoordinatorNotAvailable, "")
	}
	found.NodeId, found.Host, found.Port = int32(id), at.Host, at.Port
	return found
}
