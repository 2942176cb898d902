package partition

import (
	"slices"

	"github.com/ottla-io/ottla/internal/ids"
)

// State is what the cluster's metadata says of a partition (PartitionRecord and PartitionChangeRecord).
type State struct {
	Leader         ids.BrokerID
	LeaderEpoch    ids.LeaderEpoch
	PartitionEpoch int32
	Replicas       []ids.BrokerID // in order of preference; the first is the preferred leader
	ISR            []ids.BrokerID
}

// Standing is the outcome of a check against a replica's role and epoch.
type Standing uint8

const (
	// Leading: this replica leads in the epoch that the caller named, or the caller named none.
	Leading Standing = iota
	// NotLeading: somebody else leads, or nobody (NOT_LEADER_OR_FOLLOWER).
	NotLeading
	// Fenced: the caller's epoch is older than ours; it must refresh its metadata (FENCED_LEADER_EPOCH, KIP-320).
	Fenced
	// Ahead: the caller knows a newer epoch than we do; it should try again (UNKNOWN_LEADER_EPOCH, KIP-320).
	Ahead
)

// Replica is this broker's replica of one partition. The zero value leads nothing; Assign gives it a role.
type Replica struct {
	self          ids.BrokerID
	state         State
	highWatermark ids.Offset
	ends          []memberEnd // one for each member of the ISR
}

// memberEnd is how far one in-sync replica has come: its durable end, or its log end, as the package comment says.
type memberEnd struct {
	broker ids.BrokerID
	end    ids.Offset
}

// New makes the replica that broker self holds. highWatermark is the last known one, and logStart ≤ highWatermark ≤ logEnd.
func New(self ids.BrokerID, highWatermark ids.Offset) Replica {
	return Replica{self: self, state: State{Leader: ids.NoBroker, LeaderEpoch: ids.NoLeaderEpoch}, highWatermark: highWatermark}
}

// Assign takes over a newer state from the metadata and reports whether it did; a state whose leader epoch is older, or
// whose partition epoch is not newer within the same leader epoch, is stale and ignored. Progress known of replicas that
// stay in the ISR is kept, so that the watermark cannot be held back by an unrelated change.
func (r *Replica) Assign(state State) bool {
	if state.LeaderEpoch < r.state.LeaderEpoch ||
		(state.LeaderEpoch == r.state.LeaderEpoch && state.PartitionEpoch <= r.state.PartitionEpoch && r.state.Leader != ids.NoBroker) {
		return false
	}
	newEpoch := state.LeaderEpoch != r.state.LeaderEpoch
	ends := make([]memberEnd, 0, len(state.ISR))
	for _, broker := range state.ISR {
		end := r.highWatermark
		// In a new epoch only our own log is known; what others reported was to an earlier leader.
		if known, ok := r.end(broker); ok && (!newEpoch || broker == r.self) {
			end = known
		}
		ends = append(ends, memberEnd{broker, end})
	}
	r.state = state
	r.ends = ends
	return true
}

func (r *Replica) end(broker ids.BrokerID) (ids.Offset, bool) {
	for _, member := range r.ends {
		if member.broker == broker {
			return member.end, true
		}
	}
	return 0, false
}

// State is the state last assigned. Its slices must not be changed.
func (r *Replica) State() State { return r.state }

// Leads reports whether this broker is the partition's leader.
func (r *Replica) Leads() bool { return r.state.LedBy(r.self) }

// LedBy reports whether the broker is the leader.
func (s *State) LedBy(broker ids.BrokerID) bool { return s.Leader == broker && broker != ids.NoBroker }

// HighWatermark is the offset below which consumers may read.
func (r *Replica) HighWatermark() ids.Offset { return r.highWatermark }

// Check is the standing of broker self towards a client that sent current as its "current leader epoch"; ids.NoLeaderEpoch
// skips the comparison. Epochs are compared before the role, as Kafka does, so that a client with old metadata learns that
// rather than to retry.
func (s *State) Check(self ids.BrokerID, current ids.LeaderEpoch) Standing {
	switch {
	case current != ids.NoLeaderEpoch && current < s.LeaderEpoch:
		return Fenced
	case current != ids.NoLeaderEpoch && current > s.LeaderEpoch:
		return Ahead
	case !s.LedBy(self):
		return NotLeading
	}
	return Leading
}

// EnoughInSync reports whether an acks=all append is allowed: |ISR| ≥ min.insync.replicas (NOT_ENOUGH_REPLICAS otherwise).
func (r *Replica) EnoughInSync(minInSync int) bool { return len(r.state.ISR) >= minInSync }

// Advance notes that a replica's end moved to the given offset and reports whether the high watermark moved. An end that
// goes back, or of a broker outside the ISR, is ignored: the watermark never retreats.
func (r *Replica) Advance(broker ids.BrokerID, end ids.Offset) bool {
	at := slices.IndexFunc(r.ends, func(member memberEnd) bool { return member.broker == broker })
	if at < 0 || end <= r.ends[at].end {
		return false
	}
	r.ends[at].end = end
	lowest := end
	for _, member := range r.ends {
		lowest = min(lowest, member.end)
	}
	if lowest <= r.highWatermark {
		return false
	}
	r.highWatermark = lowest
	return true
}
