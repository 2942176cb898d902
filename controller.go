package ottla

import (
	"fmt"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/machine"
	"github.com/ottla-io/ottla/internal/machine/controller"
	"github.com/ottla-io/ottla/internal/metadata"
	"github.com/ottla-io/ottla/internal/wire"
)

// controllerGate submits requests to the controller's machine and is what api and this broker know of it. On one node it is the
// machine itself; with a quorum it will send to whoever leads it.
type controllerGate struct {
	runtime *machine.Runtime[*controller.Controller]
	self    ids.BrokerID
	epoch   ids.BrokerEpoch // of this broker's registration
}

// CreateTopics implements api.Controller.
func (g *controllerGate) CreateTopics(req *wire.CreateTopicsRequest, allow controller.Allow, done func(*wire.CreateTopicsResponse)) {
	machine.Submit(g.runtime, func(c *controller.Controller, at machine.Moment) ([]machine.Record, *wire.CreateTopicsResponse) {
		return c.CreateTopics(req, allow, at)
	}, func(resp *wire.CreateTopicsResponse, err error) {
		if err != nil {
			resp = controller.FailCreateTopics(req, controller.ErrorCode(err))
		}
		done(resp)
	})
}

// DeleteTopics implements api.Controller.
func (g *controllerGate) DeleteTopics(req *wire.DeleteTopicsRequest, allow controller.Allow, done func(*wire.DeleteTopicsResponse)) {
	machine.Submit(g.runtime, func(c *controller.Controller, at machine.Moment) ([]machine.Record, *wire.DeleteTopicsResponse) {
		return c.DeleteTopics(req, allow, at)
	}, func(resp *wire.DeleteTopicsResponse, err error) {
		if err != nil {
			resp = controller.FailDeleteTopics(req, controller.ErrorCode(err))
		}
		done(resp)
	})
}

// CreatePartitions implements api.Controller.
func (g *controllerGate) CreatePartitions(req *wire.CreatePartitionsRequest, allow controller.Allow, done func(*wire.CreatePartitionsResponse)) {
	machine.Submit(g.runtime, func(c *controller.Controller, at machine.Moment) ([]machine.Record, *wire.CreatePartitionsResponse) {
		return c.CreatePartitions(req, allow, at)
	}, func(resp *wire.CreatePartitionsResponse, err error) {
		if err != nil {
			resp = controller.FailCreatePartitions(req, controller.ErrorCode(err))
		}
		done(resp)
	})
}

// AlterConfigs implements api.Controller.
func (g *controllerGate) AlterConfigs(req *wire.IncrementalAlterConfigsRequest, replace bool, done func(*wire.IncrementalAlterConfigsResponse, *metadata.Image)) {
	var before *metadata.Image
	machine.Submit(g.runtime, func(c *controller.Controller, at machine.Moment) ([]machine.Record, *wire.IncrementalAlterConfigsResponse) {
		before = c.Image()
		return c.AlterConfigs(req, replace, at)
	}, func(resp *wire.IncrementalAlterConfigsResponse, err error) {
		if err != nil {
			resp = controller.FailAlterConfigs(req, controller.ErrorCode(err))
		}
		done(resp, before)
	})
}

// UpdateFeatures implements api.Controller.
func (g *controllerGate) UpdateFeatures(req *wire.UpdateFeaturesRequest, done func(*wire.UpdateFeaturesResponse)) {
	machine.Submit(g.runtime, func(c *controller.Controller, at machine.Moment) ([]machine.Record, *wire.UpdateFeaturesResponse) {
		return c.UpdateFeatures(req, at)
	}, func(resp *wire.UpdateFeaturesResponse, err error) {
		if err != nil {
			resp = controller.FailUpdateFeatures(controller.ErrorCode(err))
		}
		done(resp)
	})
}

// AlterClientQuotas implements api.Controller.
func (g *controllerGate) AlterClientQuotas(req *wire.AlterClientQuotasRequest, done func(*wire.AlterClientQuotasResponse)) {
	machine.Submit(g.runtime, func(c *controller.Controller, at machine.Moment) ([]machine.Record, *wire.AlterClientQuotasResponse) {
		return c.AlterClientQuotas(req, at)
	}, func(resp *wire.AlterClientQuotasResponse, err error) {
		if err != nil {
			resp = controller.FailAlterClientQuotas(req, controller.ErrorCode(err))
		}
		done(resp)
	})
}

// AllocateProducerIDs implements api.Controller.
func (g *controllerGate) AllocateProducerIDs(done func(first ids.ProducerID, count int32, code wire.ErrorCode)) {
	req := &wire.AllocateProducerIdsRequest{BrokerId: int32(g.self), BrokerEpoch: int64(g.epoch)}
	machine.Submit(g.runtime, func(c *controller.Controller, at machine.Moment) ([]machine.Record, *wire.AllocateProducerIdsResponse) {
		return c.AllocateProducerIDs(req, at)
	}, func(resp *wire.AllocateProducerIdsResponse, err error) {
		if err != nil {
			done(0, 0, controller.ErrorCode(err))
			return
		}
		done(ids.ProducerID(resp.ProducerIdStart), resp.ProducerIdLen, resp.ErrorCode)
	})
}

// assignDirectories tells where replicas of this broker lie.
func (g *controllerGate) assignDirectories(dirs []wire.AssignReplicasToDirsRequestDirectoryData, done func(wire.ErrorCode)) {
	req := &wire.AssignReplicasToDirsRequest{BrokerId: int32(g.self), BrokerEpoch: int64(g.epoch), Directories: dirs}
	machine.Submit(g.runtime, func(c *controller.Controller, at machine.Moment) ([]machine.Record, wire.ErrorCode) {
		records, resp := c.AssignReplicasToDirs(req, at)
		return records, resp.ErrorCode
	}, doneWith(done))
}

// loseDirectories tells which directories of this broker have failed.
func (g *controllerGate) loseDirectories(lost []wire.UUID, done func(wire.ErrorCode)) {
	req := &wire.BrokerHeartbeatRequest{BrokerId: int32(g.self), BrokerEpoch: int64(g.epoch), OfflineLogDirs: lost}
	machine.Submit(g.runtime, func(c *controller.Controller, at machine.Moment) ([]machine.Record, wire.ErrorCode) {
		return c.LoseDirectories(req, at)
	}, doneWith(done))
}

func doneWith(done func(wire.ErrorCode)) func(wire.ErrorCode, error) {
	return func(code wire.ErrorCode, err error) {
		if err != nil {
			code = controller.ErrorCode(err)
		}
		done(code)
	}
}

// register makes this incarnation known; it leads its partitions in a new leader epoch from then on.
func (g *controllerGate) register(req *wire.BrokerRegistrationRequest) error {
	if _, err := machine.Do(g.runtime, func(c *controller.Controller, at machine.Moment) ([]machine.Record, struct{}) {
		return c.Bootstrap(at), struct{}{}
	}); err != nil {
		return fmt.Errorf("write the first metadata records: %w", err)
	}
	resp, err := machine.Do(g.runtime, func(c *controller.Controller, at machine.Moment) ([]machine.Record, *wire.BrokerRegistrationResponse) {
		return c.RegisterBroker(req, at)
	})
	if err != nil {
		return fmt.Errorf("register broker %d: %w", req.BrokerId, err)
	}
	if resp.ErrorCode != wire.ErrorNone {
		return fmt.Errorf("register broker %d: the controller answered %s", req.BrokerId, resp.ErrorCode.Name())
	}
	g.epoch = ids.BrokerEpoch(resp.BrokerEpoch)
	return nil
}
