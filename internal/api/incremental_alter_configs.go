package api

import (
	"github.com/ottla-io/ottla/internal/wire"
)

// IncrementalAlterConfigs, key 44, versions 0-1. KIP-339. All rules are the controller's.
//
// Where we differ from Kafka 4.3.1, on purpose: settings of a broker that are unknown are INVALID_CONFIG (Kafka takes any
// name), and an operation that does not exist is INVALID_REQUEST (Kafka fails on it inside: UNKNOWN_SERVER_ERROR).
// Settings of share and streams groups cannot be set yet: they are refused as unknown.

func (t *Table) incrementalAlterConfigs(r *Request) Outcome {
	req := new(wire.IncrementalAlterConfigsRequest)
	var d wire.Decoder
	if err := decode(r, &d, req); err != nil {
		return hangup(r, err)
	}
	return t.submitConfigs(r, req, false)
}
