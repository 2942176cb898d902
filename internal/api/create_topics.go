package api

import (
	"time"

	"github.com/ottla-io/ottla/internal/wire"
)

// CreateTopics, key 19, versions 2-7. KIP-4, KIP-464 (-1 for the brokers' defaults), KIP-525 (configs in the reply, v5),
// KIP-516 (topic ids, v7). All rules are the controller's.
//
// Where we differ from Kafka 4.3.1, on purpose: a timeout of 0 or less means the default one of a minute.

const (
	// autoCreateWait bounds how long Metadata waits for topics that it creates.
	autoCreateWait = 15 * time.Second
	// controllerWait is the schema's default timeout of requests to the controller.
	controllerWait = time.Minute
)

// controllerTimeout is how long a request waits for the controller.
func controllerTimeout(timeoutMs int32) time.Duration {
	if timeoutMs <= 0 {
		return controllerWait
	}
	return time.Duration(timeoutMs) * time.Millisecond
}

func (t *Table) createTopics(r *Request) Outcome {
	c := new(createTopicsRequest)
	var d wire.Decoder
	if err := decode(r, &d, &c.req); err != nil {
		return hangup(r, err)
	}
	for i := range c.req.Topics {
		c.names = append(c.names, c.req.Topics[i].Name)
	}
	c.expect(1)
	t.deps.Controller.CreateTopics(&c.req, func(resp *wire.CreateTopicsResponse) {
		c.arrive(func() { c.resp = resp })
	})
	r.Pending = c
	if c.park(t.deps.Env, r, controllerTimeout(c.req.TimeoutMs), "CreateTopics timeout") {
		return Parked
	}
	return c.Finish(r)
}

// createTopicsRequest is the state of one CreateTopics request. The controller owns req from the call on.
type createTopicsRequest struct {
	gate
	req   wire.CreateTopicsRequest
	names []string
	resp  *wire.CreateTopicsResponse // guarded by the gate's lock
}

// Finish implements Pending. Topics of which nothing is known in time are REQUEST_TIMED_OUT; they may yet appear.
func (c *createTopicsRequest) Finish(r *Request) Outcome {
	c.settle()
	c.mu.Lock()
	resp := c.resp
	c.mu.Unlock()
	if resp == nil {
		resp = new(wire.CreateTopicsResponse)
		resp.Default()
		for _, name := range c.names {
			var result wire.CreateTopicsResponseCreatableTopicResult
			result.Default()
			result.Name, result.ErrorCode = name, wire.ErrorRequestTimedOut
			result.ErrorMessage = wire.SomeString(wire.ErrorRequestTimedOut.Message())
			resp.Topics = append(resp.Topics, result)
		}
	}
	return reply(r, resp)
}

// Cancel implements Pending.
func (c *createTopicsRequest) Cancel() { c.settle() }
