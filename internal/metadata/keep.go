package metadata

import (
	"fmt"

	"github.com/ottla-io/ottla/internal/wire"
)

// keep retains a record that nothing here acts on, or forgets the one that it removes.
func (c *change) keep(r wire.MetadataRecord) error {
	key, remove := keptKey(r)
	switch {
	case key == "":
		return corrupt("record type %d has no place here", r.MetadataKey())
	case remove:
		c.kept.remove(key)
	default:
		c.kept.set(key, r)
	}
	return nil
}

// keptKey is a record's kind, as two digits that put the kinds in the order in which a snapshot has them, and its identity.
func keptKey(r wire.MetadataRecord) (key string, remove bool) {
	switch r := r.(type) {
	case *wire.RegisterControllerRecord:
		return fmt.Sprintf("01 %d", r.ControllerId), false
	case *wire.UnregisterControllerRecord:
		return fmt.Sprintf("01 %d", r.ControllerId), true
	case *wire.AccessControlEntryRecord:
		return "03 " + r.Id.String(), false
	case *wire.RemoveAccessControlEntryRecord:
		return "03 " + r.Id.String(), true
	case *wire.UserScramCredentialRecord:
		return fmt.Sprintf("04 %d %s", r.Mechanism, r.Name), false
	case *wire.RemoveUserScramCredentialRecord:
		return fmt.Sprintf("04 %d %s", r.Mechanism, r.Name), true
	case *wire.DelegationTokenRecord:
		return "05 " + r.TokenId, false
	case *wire.RemoveDelegationTokenRecord:
		return "05 " + r.TokenId, true
	}
	return "", false
}
