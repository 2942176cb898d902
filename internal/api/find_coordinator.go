package api

import (
	"github.com/ottla-io/ottla/internal/wire"
)

// FindCoordinator, key 10, versions 0-6. KIP-699 (several keys, v4), KIP-932 (share groups, v6).
//
// There is no coordinator of any kind yet. The API is served all the same because librdkafka takes it for the sign that a broker
// knows lz4 (RD_KAFKA_FEATURE_LZ4), and would silently send uncompressed without it.
//
// Where we differ from Kafka 4.3.1, on purpose:
//   - Until groups come, their coordinator is COORDINATOR_NOT_AVAILABLE: librdkafka looks for one even when partitions are
//     assigned by hand, and must be able to go on. Transactions and share groups get final codes.

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
	code, message := noCoordinator(req.KeyType, r.Version)
	resp.Default()
	if r.Version < 4 {
		resp.NodeId, resp.Port, resp.ErrorCode, resp.ErrorMessage = -1, -1, code, wire.SomeString(message)
		return reply(r, &resp)
	}
	for _, key := range req.CoordinatorKeys {
		resp.Coordinators = append(resp.Coordinators, wire.FindCoordinatorResponseCoordinator{
			Key: key, NodeId: -1, Port: -1, ErrorCode: code, ErrorMessage: wire.SomeString(message)})
	}
	return reply(r, &resp)
}

func noCoordinator(keyType int8, version int16) (wire.ErrorCode, string) {
	switch {
	case keyType == groupCoordinator:
		return wire.ErrorCoordinatorNotAvailable, "this broker does not serve consumer groups yet: assign partitions instead of subscribing"
	case keyType == transactionCoordinator:
		return wire.ErrorTransactionalIDAuthorizationFailed, "this broker does not serve transactions yet: leave transactional.id out"
	case keyType == shareCoordinator && version >= 6:
		return wire.ErrorGroupAuthorizationFailed, "this broker does not serve share groups yet"
	}
	return wire.ErrorInvalidRequest, wire.ErrorInvalidRequest.Message()
}
