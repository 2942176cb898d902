package api

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/run"
	"github.com/ottla-io/ottla/internal/wire"
)

// TestFindCoordinator: groups have a live broker, by the address that this listener's clients know, or a retriable code; transactions
// and share groups, which are not served, a final one.
func TestFindCoordinator(t *testing.T) {
	g := newRig(t, run.OS())
	g.cluster.apply(t, brokerRecord(8, false), brokerRecord(9, true))
	g.groups.at = map[string]ids.BrokerID{"here": selfID, "there": 8, "fenced": 9, "gone": 10}
	type found = wire.FindCoordinatorResponseCoordinator
	none := func(code wire.ErrorCode, message string) found {
		return found{NodeId: -1, Port: -1, ErrorCode: code, ErrorMessage: wire.SomeString(message)}
	}
	groups := map[string]found{
		"here":    {NodeId: int32(selfID), Host: "10.0.0.1", Port: 1234, ErrorMessage: wire.SomeString("")},
		"there":   {NodeId: 8, Host: "host-8", Port: 9008, ErrorMessage: wire.SomeString("")},
		"fenced":  none(wire.ErrorCoordinatorNotAvailable, ""),
		"gone":    none(wire.ErrorCoordinatorNotAvailable, ""),
		"nowhere": none(wire.ErrorCoordinatorNotAvailable, ""),
	}
	for version := int16(0); version <= 6; version++ {
		for kind := int8(0); kind <= 3; kind++ {
			if version == 0 && kind != 0 {
				continue // version 0 knows groups only
			}
			for name, want := range groups {
				switch {
				case kind == transactionCoordinator:
					want = none(wire.ErrorTransactionalIDAuthorizationFailed, "this broker does not serve transactions yet: leave transactional.id out")
				case kind == shareCoordinator && version == 6:
					want = none(wire.ErrorGroupAuthorizationFailed, "this broker does not serve share groups yet")
				case kind == shareCoordinator:
					want = none(wire.ErrorInvalidRequest, "")
				case kind != groupCoordinator:
					want = none(wire.ErrorInvalidRequest, wire.ErrorInvalidRequest.Message())
				}
				if want.ErrorCode.Retriable() != (kind == groupCoordinator && want.ErrorCode != wire.ErrorNone) {
					t.Errorf("type %d: %s", kind, want.ErrorCode.Name())
				}
				var resp wire.FindCoordinatorResponse
				g.do(wire.FindCoordinatorKey, version, &wire.FindCoordinatorRequest{Key: name, KeyType: kind, CoordinatorKeys: []string{name, name}}, &resp)
				wants := []found{want}
				if version >= 4 {
					wants[0].Key = name
					wants = append(wants, wants[0])
				} else {
					if version == 0 {
						wants[0].ErrorMessage = resp.ErrorMessage // there is no such field
					} else if want.ErrorCode == wire.ErrorNone {
						wants[0].ErrorMessage = wire.SomeString("NONE")
					} else if want.ErrorMessage.Value == "" {
						wants[0].ErrorMessage = wire.SomeString(want.ErrorCode.Message())
					}
					resp.Coordinators = []found{{NodeId: resp.NodeId, Host: resp.Host, Port: resp.Port, ErrorCode: resp.ErrorCode, ErrorMessage: resp.ErrorMessage}}
				}
				if diff := cmp.Diff(wants, resp.Coordinators); diff != "" {
					t.Error(fmt.Sprintf("version %d type %d of %q:\n", version, kind, name), diff)
				}
			}
		}
	}
}
