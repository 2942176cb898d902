package controller

import (
	"cmp"
	"encoding/binary"
	"slices"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/metadata"
	"github.com/ottla-io/ottla/internal/wire"
)

// replicasOf decides on the replicas of each partition of a new topic.
func (m *creation) replicasOf(t *wire.CreateTopicsRequestCreatableTopic) ([][]ids.BrokerID, *problem) {
	if len(t.Assignments) > 0 {
		return m.assigned(t)
	}
	partitions, factor := t.NumPartitions, t.ReplicationFactor
	switch {
	case factor == 0 || factor < -1:
		return nil, refuse(wire.ErrorInvalidReplicationFactor, "Replication factor must be larger than 0, or -1 to use the default value.")
	case partitions == 0 || partitions < -1:
		return nil, refuse(wire.ErrorInvalidPartitions, "Number of partitions was set to an invalid non-positive value.")
	}
	if partitions == -1 {
		partitions = m.defaults.NumPartitions
	}
	if factor == -1 {
		factor = m.defaults.DefaultReplicationFactor
	}
	return m.place(int(partitions), int(factor))
}

// place spreads replicas as Kafka's StripedReplicaPlacer does: from a random start, leaders go round the live brokers and
// followers to the next ones; brokers alternate between racks; fenced brokers come last and never lead.
func (c *Controller) place(partitions, factor int) ([][]ids.BrokerID, *problem) {
	var live, fenced []*metadata.Broker
	for _, b := range c.image.Brokers() {
		if active(b) {
			live = append(live, b)
		} else {
			fenced = append(fenced, b)
		}
	}
	unable := func(format string, args ...any) *problem {
		return refuse(wire.ErrorInvalidReplicationFactor, "Unable to replicate the partition %d time(s): "+format, append([]any{factor}, args...)...)
	}
	switch {
	case len(live) == 0:
		return nil, unable("All brokers are currently fenced or have all their log directories cordoned.")
	case factor > len(live)+len(fenced):
		return nil, unable("The target replication factor of %d cannot be reached because only %d broker(s) are registered or some brokers have all their log directories cordoned.", factor, len(live)+len(fenced))
	}
	ordered, rest := acrossRacks(live), acrossRacks(fenced)
	start := c.randomBelow(len(ordered))
	placed := make([][]ids.BrokerID, partitions)
	for n := range placed {
		replicas := make([]ids.BrokerID, 0, factor)
		for i := range min(factor, len(ordered)) {
			replicas = append(replicas, ordered[(start+n+i)%len(ordered)])
		}
		for i := 0; len(replicas) < factor; i++ {
			replicas = append(replicas, rest[(n+i)%len(rest)])
		}
		placed[n] = replicas
	}
	return placed, nil
}

// acrossRacks orders brokers so that neighbours are of different racks as far as that goes.
func acrossRacks(brokers []*metadata.Broker) []ids.BrokerID {
	nth := make(map[string]int) // brokers of each rack so far
	type place struct {
		round int
		rack  string
		id    ids.BrokerID
	}
	places := make([]place, len(brokers))
	for i, b := range brokers {
		places[i] = place{nth[b.Rack], b.Rack, b.ID}
		nth[b.Rack]++
	}
	slices.SortFunc(places, func(a, b place) int {
		return cmp.Or(cmp.Compare(a.round, b.round), cmp.Compare(a.rack, b.rack), cmp.Compare(a.id, b.id))
	})
	ordered := make([]ids.BrokerID, len(places))
	for i, p := range places {
		ordered[i] = p.id
	}
	return ordered
}

func (c *Controller) randomBelow(n int) int {
	var bytes [8]byte
	c.cfg.Random(bytes[:])
	return int(binary.BigEndian.Uint64(bytes[:]) % uint64(n))
}

// assigned checks replicas that the request names.
func (c *Controller) assigned(t *wire.CreateTopicsRequestCreatableTopic) ([][]ids.BrokerID, *problem) {
	switch {
	case t.ReplicationFactor != -1:
		return nil, refuse(wire.ErrorInvalidRequest, "A manual partition assignment was specified, but replication factor was not set to -1.")
	case t.NumPartitions != -1:
		return nil, refuse(wire.ErrorInvalidRequest, "A manual partition assignment was specified, but numPartitions was not set to -1.")
	}
	wrong := func(format string, args ...any) ([][]ids.BrokerID, *problem) {
		return nil, refuse(wire.ErrorInvalidReplicaAssignment, format, args...)
	}
	byPartition := make(map[int32][]ids.BrokerID, len(t.Assignments))
	factor := len(t.Assignments[0].BrokerIds)
	for _, a := range t.Assignments {
		if _, twice := byPartition[a.PartitionIndex]; twice {
			return wrong("Found multiple manual partition assignments for partition %d", a.PartitionIndex)
		}
		replicas, refused := c.assignedReplicas(a.BrokerIds, factor, a.PartitionIndex)
		if refused != nil {
			return nil, refused
		}
		byPartition[a.PartitionIndex] = replicas
	}
	placed := make([][]ids.BrokerID, len(t.Assignments))
	for n := range placed {
		replicas, ok := byPartition[int32(n)]
		if !ok {
			return wrong("partitions should be a consecutive 0-based integer sequence")
		}
		placed[n] = replicas
	}
	return placed, nil
}

// assignedReplicas checks the replicas that a request names for partition n: factor many, one of them alive.
func (c *Controller) assignedReplicas(brokers []int32, factor int, n int32) ([]ids.BrokerID, *problem) {
	if refused := c.checkReplicas(brokers); refused != nil {
		return nil, refused
	}
	if len(brokers) != factor {
		return nil, refuse(wire.ErrorInvalidReplicaAssignment, "The manual partition assignment includes a partition with %d replica(s), but this is not consistent with previous partitions, which have %d replica(s).", len(brokers), factor)
	}
	replicas := make([]ids.BrokerID, factor)
	alive := false
	for i, id := range brokers {
		replicas[i] = ids.BrokerID(id)
		b, _ := c.image.Broker(replicas[i])
		alive = alive || active(b)
	}
	if !alive {
		return nil, refuse(wire.ErrorInvalidReplicaAssignment, "All brokers specified in the manual partition assignment for partition %d are fenced or in controlled shutdown.", n)
	}
	return replicas, nil
}

func (c *Controller) checkReplicas(brokers []int32) *problem {
	const includes = "The manual partition assignment includes "
	if len(brokers) == 0 {
		return refuse(wire.ErrorInvalidReplicaAssignment, includes+"an empty replica list.")
	}
	sorted := slices.Sorted(slices.Values(brokers)) // the order in which Kafka looks at them
	for i, id := range sorted {
		if _, ok := c.image.Broker(ids.BrokerID(id)); !ok {
			return refuse(wire.ErrorInvalidReplicaAssignment, includes+"broker %d, but no such broker is registered.", id)
		}
		if i > 0 && sorted[i-1] == id {
			return refuse(wire.ErrorInvalidReplicaAssignment, includes+"the broker %d more than once.", id)
		}
	}
	return nil
}
