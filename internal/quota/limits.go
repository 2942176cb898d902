package quota

import (
	"math"
	"net/netip"
)

// Limits are all quotas of a cluster. Once made, and no longer added to, it may be read by any goroutine.
type Limits struct {
	clients   [ConnectionRate]levels
	addresses map[netip.Addr]float64
	anyone    float64 // the default of addresses; 0 is none
}

// Subject is who shares one quota's budget: a user, a client id, both, or an address; what is empty does not matter.
type Subject struct{ User, ClientID, IP string }

// levels are the quotas of one kind, in Kafka's order of precedence. A default that is 0 is none.
type levels struct {
	set                 bool
	both                map[Subject]float64 // 1: user and client id
	userAnyClient       map[string]float64  // 2: user and default client id
	user                map[string]float64  // 3
	anyUserClient       map[string]float64  // 4: default user and client id
	anyUserAnyClient    float64             // 5
	anyUser             float64             // 6
	client              map[string]float64  // 7
	anyClient           float64             // 8
	clientsOfUsersExist bool                // any of 1, 2, 4, 5
}

// NewLimits has no limit yet.
func NewLimits() *Limits { return &Limits{} }

// Add adds one quota. What cannot limit anything (infinity, and NaN and numbers that are not positive, which a log of Kafka's may
// hold) is left out, as are keys that nobody knows.
func (l *Limits) Add(e Entity, key string, value float64) {
	kind, known := KindOf(key)
	if !known || !(value > 0) || math.IsInf(value, 1) {
		return
	}
	if kind != ConnectionRate {
		l.clients[kind].add(e, value)
		return
	}
	if e.IP.Default {
		l.anyone = value
		return
	}
	address, err := netip.ParseAddr(e.IP.Name)
	if err != nil {
		return // a host name, of a log of Kafka's
	}
	if l.addresses == nil {
		l.addresses = make(map[netip.Addr]float64)
	}
	l.addresses[address.Unmap()] = value
}

func (l *levels) add(e Entity, value float64) {
	l.set = true
	l.clientsOfUsersExist = l.clientsOfUsersExist || e.User.Present() && e.ClientID.Present()
	switch u, c := e.User, e.ClientID; {
	case u.Named && c.Named:
		put(&l.both, Subject{User: u.Name, ClientID: c.Name}, value)
	case u.Named && c.Default:
		put(&l.userAnyClient, u.Name, value)
	case u.Named:
		put(&l.user, u.Name, value)
	case u.Default && c.Named:
		put(&l.anyUserClient, c.Name, value)
	case u.Default && c.Default:
		l.anyUserAnyClient = value
	case u.Default:
		l.anyUser = value
	case c.Named:
		put(&l.client, c.Name, value)
	case c.Default:
		l.anyClient = value
	}
}

func put[K comparable](m *map[K]float64, k K, value float64) {
	if *m == nil {
		*m = make(map[K]float64)
	}
	(*m)[k] = value
}

// Any reports whether there is a quota of this kind at all.
func (l *Limits) Any(kind Kind) bool {
	if kind == ConnectionRate {
		return len(l.addresses) > 0 || l.anyone > 0
	}
	return l.clients[kind].set
}

// Empty reports that nothing is limited.
func (l *Limits) Empty() bool {
	for kind := range Kinds {
		if l.Any(kind) {
			return false
		}
	}
	return true
}

// Find is the quota of a client, by the most specific of Kafka's eight levels that has one, and who shares it. limit is greater than
// 0; ok is false where nothing limits the client. As in Kafka, who gives no client id has no quota of client ids, not even a default.
func (l *Limits) Find(kind Kind, user, clientID string) (who Subject, limit float64, ok bool) {
	v := &l.clients[kind]
	if !v.set {
		return who, 0, false
	}
	if clientID != "" && v.clientsOfUsersExist {
		if limit, ok = v.both[Subject{User: user, ClientID: clientID}]; ok {
			return Subject{User: user, ClientID: clientID}, limit, true
		}
		if limit, ok = v.userAnyClient[user]; ok {
			return Subject{User: user, ClientID: clientID}, limit, true
		}
	}
	if limit, ok = v.user[user]; ok {
		return Subject{User: user}, limit, true
	}
	if clientID != "" && v.clientsOfUsersExist {
		if limit, ok = v.anyUserClient[clientID]; ok {
			return Subject{User: user, ClientID: clientID}, limit, true
		}
		if v.anyUserAnyClient > 0 {
			return Subject{User: user, ClientID: clientID}, v.anyUserAnyClient, true
		}
	}
	if v.anyUser > 0 {
		return Subject{User: user}, v.anyUser, true
	}
	if clientID == "" {
		return who, 0, false
	}
	if limit, ok = v.client[clientID]; ok {
		return Subject{ClientID: clientID}, limit, true
	}
	return Subject{ClientID: clientID}, v.anyClient, v.anyClient > 0
}

// Connections is the quota of connections from an address (KIP-612).
func (l *Limits) Connections(host string) (limit float64, ok bool) {
	if len(l.addresses) > 0 {
		if address, err := netip.ParseAddr(host); err == nil {
			if limit, ok = l.addresses[address.Unmap()]; ok {
				return limit, true
			}
		}
	}
	return l.anyone, l.anyone > 0
}
