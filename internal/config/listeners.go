package config

import (
	"fmt"
	"slices"
	"strings"
)

// Endpoints are what Kafka's listeners, advertised.listeners and node.id come to here: one plaintext listener. Empty is unset.
type Endpoints struct {
	Listen, Advertise string // HOST:PORT; an empty host of Listen is every interface
}

// Endpoints reads the listeners of a broker's static settings. Those of the controller (controller.listener.names) are left out: it has
// none of its own. What remains must be one listener, in plaintext: to serve another protocol as plaintext would open what was protected.
func (l *Layers) Endpoints() (Endpoints, error) {
	var e Endpoints
	protocols := map[string]string{}
	for _, item := range itemsOf(l.value(Broker, "listener.security.protocol.map").Text) {
		if name, protocol, ok := strings.Cut(item, ":"); ok {
			protocols[strings.ToUpper(name)] = strings.ToUpper(protocol)
		}
	}
	controllers := l.value(Broker, "controller.listener.names").List
	for _, of := range []struct {
		setting string
		to      *string
	}{{"listeners", &e.Listen}, {"advertised.listeners", &e.Advertise}} {
		if _, given := l.Static[of.setting]; !given {
			continue
		}
		items := slices.DeleteFunc(slices.Clone(l.value(Broker, of.setting).List), func(item string) bool {
			name, _, _ := strings.Cut(item, "://")
			return slices.ContainsFunc(controllers, func(c string) bool { return strings.EqualFold(c, name) })
		})
		if len(items) != 1 {
			return e, conflict(fmt.Sprintf("%s names %d listeners for clients, and there is one", of.setting, len(items)))
		}
		var err error
		if *of.to, err = plaintext(of.setting, items[0], protocols); err != nil {
			return e, err
		}
	}
	return e, nil
}

// plaintext is the HOST:PORT of a listener, which must be one without protection.
func plaintext(setting, item string, protocols map[string]string) (address string, err error) {
	name, address, ok := strings.Cut(item, "://")
	if !ok {
		return "", conflict(fmt.Sprintf("%s=%s: want NAME://HOST:PORT, such as PLAINTEXT://127.0.0.1:9092", setting, item))
	}
	protocol, mapped := protocols[strings.ToUpper(name)]
	if !mapped {
		protocol = strings.ToUpper(name)
	}
	switch protocol {
	case "PLAINTEXT":
		return address, nil
	case "SSL", "SASL_PLAINTEXT", "SASL_SSL":
		return "", conflict(fmt.Sprintf("%s=%s: there is no %s yet, and in plaintext what was to be protected would be open; leave this listener out to go without", setting, item, protocol))
	}
	return "", conflict(fmt.Sprintf("%s=%s: No security protocol defined for listener %s", setting, item, strings.ToUpper(name)))
}
