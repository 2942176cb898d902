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
	c := &alterConfigsRequest{replace: true}
	c.req.ValidateOnly = older.ValidateOnly
	for i := range older.Resources {
		from := &older.Resources[i]
		to := wire.IncrementalAlterConfigsRequestAlterConfigsResource{ResourceType: from.ResourceType, ResourceName: from.ResourceName}
		for _, o := range from.Configs {
			to.Configs = append(to.Configs, wire.IncrementalAlterConfigsRequestAlterableConfig{Name: o.Name, Value: o.Value})
		}
		c.req.Resources = append(c.req.Resources, to)
	}
	return c.submit(t, r)
}

// alterConfigsRequest is the state of one AlterConfigs or IncrementalAlterConfigs request. The controller owns req from the
// call on.
type alterConfigsRequest struct {
	gate
	req     wire.IncrementalAlterConfigsRequest
	replace bool                                                               // AlterConfigs
	named   []wire.IncrementalAlterConfigsResponseAlterConfigsResourceResponse // the answers, if nothing is known in time
	resp    *wire.IncrementalAlterConfigsResponse                              // guarded by the gate's lock
}

func (c *alterConfigsRequest) submit(t *Table, r *Request) Outcome {
	for i := range c.req.Resources {
		resource := &c.req.Resources[i]
		c.named = append(c.named, wire.IncrementalAlterConfigsResponseAlterConfigsResourceResponse{
			ResourceType: resource.ResourceType, ResourceName: resource.ResourceName,
			ErrorCode: wire.ErrorRequestTimedOut, ErrorMessage: wire.SomeString(wire.ErrorRequestTimedOut.Message())})
	}
	var a *audit
	if !c.req.ValidateOnly {
		a = t.audit(r)
	}
	named := configNames(&c.req)
	c.expect(1)
	t.deps.Controller.AlterConfigs(&c.req, c.replace, func(resp *wire.IncrementalAlterConfigsResponse, before *metadata.Image) {
		a.decidedOn(before)
		a.configsAltered(named, c.replace, resp)
		c.arrive(func() { c.resp = resp })
	})
	r.Pending = c
	if c.park(t.deps.Env, r, controllerWait, "AlterConfigs timeout") {
		return Parked
	}
	return c.Finish(r)
}

// Finish implements Pending. Resources of which nothing is known in time are REQUEST_TIMED_OUT; they may yet change.
func (c *alterConfigsRequest) Finish(r *Request) Outcome {
	c.settle()
	c.mu.Lock()
	resp := c.resp
	c.mu.Unlock()
	if resp == nil {
		resp = &wire.IncrementalAlterConfigsResponse{Responses: c.named}
	}
	if !c.replace {
		return reply(r, resp)
	}
	older := new(wire.AlterConfigsResponse)
	older.Default()
	for _, result := range resp.Responses {
		older.Responses = append(older.Responses, wire.AlterConfigsResponseAlterConfigsResourceResponse(result))
	}
	return reply(r, older)
}

// Cancel implements Pending.
func (c *alterConfigsRequest) Cancel() { c.settle() }
