package telemetry

import (
	"slices"
	"strings"
	"time"

	"github.com/ottla-io/ottla/internal/ids"
)

// Bounds of what is kept. A Java producer or consumer that is asked for everything pushes some 100 to 300 series.
const (
	maxSeries          = 50_000 // of all clients
	maxSeriesPerClient = 2_000
	maxPoints          = 10_000 // that are read of one push
	maxLabels          = 16     // of a point, beside the client's
	maxTextBytes       = 200    // of a name or a label
	maxStalePushes     = 10     // of a client that a series may be missing from: some leave out counters that stand still
)

// Label is one name=value of a series.
type Label struct{ Name, Value string }

// Series is one number that a client pushed last.
type Series struct {
	// Name is the metric's as OpenTelemetry's exporters write it for Prometheus: what is no letter or digit becomes "_", and counters end with
	// "_total". Names outside of org.apache.kafka begin with kafka_client_, so that none is taken for a metric of the broker.
	Name    string
	Counter bool
	Labels  []Label // the client's, then the point's
	Value   float64
	push    uint64 // of its client, which gave the value
	about   string // the client, in its own words then
}

// point is one data point of a push.
type point struct {
	name    string // of the Series
	counter bool
	delta   bool // the value is what came since the last push
	labels  []Label
	about   string // the labels of its resource, as one text
	value   float64
}

// labelsOf are the labels of all series of a client.
func labelsOf(instance ids.UUID, from *Client) []Label {
	return []Label{{"client_instance_id", instance.String()}, {"client_id", text(from.ID)}, {"client_software_name", text(from.Software)},
		{"client_software_version", text(from.SoftwareVersion)}, {"client_source_address", text(from.Host)}}
}

// keep takes over the points of a push.
func (m *Manager) keep(c *client, points []point) {
	c.pushes++
	said := make(map[string]bool)
	for i := range points {
		said[points[i].about] = true
	}
	for key, s := range c.series {
		// What a client says of itself changes, as when it joins a group: its series have other labels then, and go on under them.
		if c.pushes-s.push > maxStalePushes || len(said) > 0 && !said[s.about] {
			delete(c.series, key)
			m.series--
		}
	}
	for i := range points {
		p := &points[i]
		key := p.key()
		s := c.series[key]
		if s == nil {
			if len(c.series) >= maxSeriesPerClient || m.series >= maxSeries {
				m.stats.Dropped++
				continue
			}
			s = &Series{Name: p.name, Counter: p.counter, about: p.about, Labels: slices.Concat(c.labels, p.labels)}
			if c.series == nil {
				c.series = make(map[string]*Series)
			}
			c.series[key] = s
			m.series++
		}
		s.push = c.pushes
		if p.delta {
			s.Value += p.value
		} else {
			s.Value = p.value
		}
	}
}

// key tells the series of one client apart.
func (p *point) key() string { return joined(p.name, p.labels) }

func joined(name string, labels []Label) string {
	var b strings.Builder
	b.WriteString(name)
	for _, l := range labels {
		b.WriteByte(0xff) // in no text
		b.WriteString(l.Name)
		b.WriteByte(0xfe)
		b.WriteString(l.Value)
	}
	return b.String()
}

// Series are the series of all clients that are not forgotten. Callers own the result, but for the labels.
func (m *Manager) Series(now time.Duration) []Series {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sweep(now)
	out := make([]Series, 0, m.series)
	for at := m.order.Front(); at != nil; at = at.Next() {
		for _, s := range at.Value.(*client).series {
			out = append(out, *s)
		}
	}
	return out
}

// text is what is kept of a label's value.
func text(value string) string {
	if len(value) > maxTextBytes {
		value = value[:maxTextBytes]
	}
	return strings.Clone(strings.ToValidUTF8(value, "\uFFFD"))
}

// identifier makes a name of OpenTelemetry one of Prometheus.
func identifier(name string) string {
	if len(name) > maxTextBytes {
		name = name[:maxTextBytes]
	}
	out := []byte(name)
	for i, c := range out {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', c == '_', '0' <= c && c <= '9' && i > 0:
		default:
			out[i] = '_'
		}
	}
	return string(out)
}

// seriesName is the name of a metric's series. A gauge's never ends as a counter's, so that one name is one kind.
func seriesName(metric string, counter bool) string {
	name := identifier(metric)
	if !strings.HasPrefix(metric, "org.apache.kafka.") {
		name = "kafka_client_" + name
	}
	const total = "_total"
	switch {
	case counter && !strings.HasSuffix(name, total):
		name += total
	case !counter && strings.HasSuffix(name, total):
		name += "_value"
	}
	return name
}

// labels puts the attributes of a resource and a point in order: each name once, a point's before a resource's, and none of the client's own.
func mergeLabels(resource, point []Label) []Label {
	out := slices.Clone(point)
	for _, l := range resource {
		if !slices.ContainsFunc(out, func(o Label) bool { return o.Name == l.Name }) {
			out = append(out, l)
		}
	}
	slices.SortStableFunc(out, func(a, b Label) int { return strings.Compare(a.Name, b.Name) })
	out = slices.CompactFunc(out, func(a, b Label) bool { return a.Name == b.Name })
	out = slices.DeleteFunc(out, func(l Label) bool { return strings.HasPrefix(l.Name, "__") || ownLabel(l.Name) })
	if len(out) > maxLabels {
		out = out[:maxLabels]
	}
	return out
}

func ownLabel(name string) bool {
	switch name {
	case "client_instance_id", "client_id", "client_software_name", "client_software_version", "client_source_address":
		return true
	}
	return false
}
