package api

import (
	"github.com/ottla-io/ottla/internal/metadata"
	"github.com/ottla-io/ottla/internal/wire"
)

// AlterConfigs, key 33, versions 0-2. KIP-133. What the request does not name loses its value: it is IncrementalAlterConfigs with SET
// for all that it names, and nothing kept.
//
// Where we differ from Kafka 4.3.1, on purpose: settings of a broker that are unknown are INVALID_CONFIG (Kafka takes any
// name), and a resource named twice is INVALID_REQUEST (Kafka never answers).
// Settings of share and streams groups cannot be set yet: they are refused as unknown.

func (t *Table) alterConfigs(r *Request) Outcome {
	var (
		d     wire.Decoder
		older wire.AlterConfigsRequest
	)
	if err := decode(r, &d, &older); err != nil {
		return hangup(r, err)
	}
	req := &wire.IncrementalAlterConfigsRequest{ValidateOnly: older.ValidateOnly}
	for i := range older.Resources {
		from := &older.Resources[i]
		to := wire.IncrementalAlterConfigsRequestAlterConfigsResource{ResourceType: from.ResourceType, ResourceName: from.ResourceName}
		for _, o := range from.Configs {
			to.Configs = append(to.Configs, wire.IncrementalAlterConfigsRequestAlterableConfig{Name: o.Name, Value: o.Value})
		}
		req.Resources = append(req.Resources, to)
	}
	return t.submitConfigs(r, req, true)
}

// submitConfigs has the controller decide on an IncrementalAlterConfigs request, or, with replace, on what one of AlterConfigs means.
func (t *Table) submitConfigs(r *Request, req *wire.IncrementalAlterConfigsRequest, replace bool) Outcome {
	var named []wire.IncrementalAlterConfigsResponseAlterConfigsResourceResponse
	for i := range req.Resources {
		resource := &req.Resources[i]
		named = append(named, wire.IncrementalAlterConfigsResponseAlterConfigsResourceResponse{
			ResourceType: resource.ResourceType, ResourceName: resource.ResourceName,
			ErrorCode: wire.ErrorRequestTimedOut, ErrorMessage: wire.SomeString(wire.ErrorRequestTimedOut.Message())})
	}
	a := t.auditUnless(req.ValidateOnly, r)
	changed := configNames(req)
	c := &controllerCall{late: func() wire.Message {
		return configsAnswer(&wire.IncrementalAlterConfigsResponse{Responses: named}, replace)
	}}
	c.expect(1)
	t.deps.Controller.AlterConfigs(req, replace, func(resp *wire.IncrementalAlterConfigsResponse, before *metadata.Image) {
		a.decidedOn(before)
		a.configsAltered(changed, replace, resp)
		answer := configsAnswer(resp, replace)
		c.arrive(func() { c.answer = answer })
	})
	return c.await(t, r, controllerWait, "AlterConfigs timeout")
}

// configsAnswer is the answer in the words of the request.
func configsAnswer(resp *wire.IncrementalAlterConfigsResponse, replace bool) wire.Message {
	if !replace {
		return resp
	}
	older := new(wire.AlterConfigsResponse)
	older.Default()
	for _, result := range resp.Responses {
		older.Responses = append(older.Responses, wire.AlterConfigsResponseAlterConfigsResourceResponse(result))
	}
	return older
}
