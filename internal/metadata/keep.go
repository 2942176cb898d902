package metadata

import (
	"cmp"
	"fmt"
	"slices"

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

// ScramCredentials are the users' SCRAM credentials on record, by user and then mechanism. Nothing here logs anybody in by them; they come
// from the log of a Kafka broker.
func (i *Image) ScramCredentials() []*wire.UserScramCredentialRecord {
	var all []*wire.UserScramCredentialRecord
	for _, r := range i.kept.all() {
		if credential, ok := r.(*wire.UserScramCredentialRecord); ok {
			all = append(all, credential)
		}
	}
	slices.SortFunc(all, func(a, b *wire.UserScramCredentialRecord) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Mechanism, b.Mechanism))
	})
	return all
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
