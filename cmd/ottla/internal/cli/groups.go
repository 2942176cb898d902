package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

// ListedGroup is a group as the cluster lists it, and as 'ottla group list' prints it.
type ListedGroup struct {
	Group        string `json:"group"`
	Type         string `json:"type"`
	State        string `json:"state"`
	ProtocolType string `json:"protocolType"`
	Coordinator  int32  `json:"coordinator"`
}

// groupTypes are Kafka's. Brokers before ListGroups 5 don't know them and list all their groups, which are classic, every time.
var groupTypes = []string{"share", "streams", "consumer", "classic"}

// ListGroups lists all groups, or those in one of the states, by name.
func (f *ClientFlags) ListGroups(ctx context.Context, admin *kadm.Client, states ...string) (map[string]ListedGroup, error) {
	all := map[string]ListedGroup{}
	for _, kind := range groupTypes {
		groups, err := admin.ListGroupsByType(ctx, []string{kind}, states...)
		if err != nil {
			return nil, f.Explain("list groups", err)
		}
		for name, g := range groups {
			all[name] = ListedGroup{name, kind, g.State, g.ProtocolType, g.Coordinator}
		}
	}
	return all, nil
}

// GroupError says what failed for a group, and what to do about it. nil stays nil.
func (f *ClientFlags) GroupError(doing, name string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, kerr.GroupIDNotFound):
		return NoSuchGroup(name)
	case errors.Is(err, kerr.NonEmptyGroup), errors.Is(err, kerr.UnknownMemberID):
		return fmt.Errorf("%s group %s: it has members: stop them first ('ottla group members %s' shows them)", doing, name, name)
	case errors.Is(err, kerr.GroupSubscribedToTopic):
		return fmt.Errorf("%s group %s: its members read that topic: stop them first ('ottla group members %s' shows them)", doing, name, name)
	}
	return f.Explain(fmt.Sprintf("%s group %s", doing, name), err)
}

// NoSuchGroup is the error of a group that is not there; it says how to find those that are.
func NoSuchGroup(name string) error {
	return fmt.Errorf("group %s does not exist; 'ottla group list' shows those that do", name)
}
