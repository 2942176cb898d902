package api

import (
	"fmt"

	"github.com/ottla-io/ottla/internal/wire"
)

// DescribeCluster, key 60, versions 0-2. KIP-700, KIP-919 (endpoint type, v1), KIP-1073 (fenced brokers, v2).

// Endpoint types of KIP-919.
const (
	brokerEndpoint     int8 = 1
	controllerEndpoint int8 = 2
)

func (t *Table) describeCluster(r *Request) Outcome {
	var (
		d    wire.Decoder
		req  wire.DescribeClusterRequest
		resp wire.DescribeClusterResponse
	)
	if err := decode(r, &d, &req); err != nil {
		return hangup(r, err)
	}
	resp.Default()
	switch req.EndpointType {
	case brokerEndpoint:
	case controllerEndpoint:
		resp.ErrorCode = wire.ErrorMismatchedEndpointType
		resp.ErrorMessage = wire.SomeString("The request was sent to an endpoint of type BROKER, but we wanted an endpoint of type CONTROLLER")
		return reply(r, &resp)
	default:
		resp.ErrorCode = wire.ErrorUnsupportedEndpointType
		resp.ErrorMessage = wire.SomeString(fmt.Sprintf("Unsupported endpoint type %d", req.EndpointType))
		return reply(r, &resp)
	}
	v := t.view(r)
	resp.ClusterId, resp.ControllerId = v.settings.ClusterID, v.controller()
	for _, b := range v.image.Brokers() {
		fenced := !v.alive(b.ID)
		if a, ok := v.address(b); ok && (!fenced || req.IncludeFencedBrokers) {
			resp.Brokers = append(resp.Brokers, wire.DescribeClusterResponseDescribeClusterBroker{
				BrokerId: int32(b.ID), Host: a.Host, Port: a.Port, Rack: rack(b), IsFenced: fenced})
		}
	}
	if req.IncludeClusterAuthorizedOperations {
		resp.ClusterAuthorizedOperations = clusterOperations
	}
	return reply(r, &resp)
}
