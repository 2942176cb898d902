package ottla

import (
	"github.com/ottla-io/ottla/internal/admin"
	"github.com/ottla-io/ottla/internal/config"
	"github.com/ottla-io/ottla/internal/metadata"
)

// subscribe hands over a changed subscription of client metrics (KIP-714).
func (c *cluster) subscribe(image *metadata.Image, name string) {
	values := image.Config(metadata.ConfigResource{Type: metadata.ResourceClientMetrics, Name: name})
	if len(values) == 0 {
		c.telemetry.Set(name, nil)
		return
	}
	layers := config.Layers{ClientMetrics: values}
	subscription := layers.ClientMetricsConfig()
	c.telemetry.Set(name, &subscription)
}

// clientMetrics shows what clients pushed, and counts how they did.
func (b *Broker) clientMetrics(gauge, total func(name, help string, value float64, labels ...admin.Label), emit func(admin.Sample)) {
	now := b.doors.env.Monotonic()
	stats := b.cluster.telemetry.Stats(now)
	gauge("client_metrics_subscriptions", "Subscriptions of client metrics (KIP-714).", float64(stats.Subscriptions))
	gauge("client_metrics_clients", "Clients that lately asked which metrics to push, or pushed some.", float64(stats.Clients))
	gauge("client_metrics_series", "Series that clients pushed, and that this scrape shows.", float64(stats.Series))
	total("client_metrics_pushes_total", "Pushes of metrics by clients that were taken.", float64(stats.Pushes))
	total("client_metrics_pushes_refused_total", "Pushes of metrics by clients that were refused: too early, too large, unreadable, or of an old subscription.", float64(stats.Refused))
	total("client_metrics_points_dropped_total", "Points of clients' metrics that were left out: beyond the most that is kept, or histograms.", float64(stats.Dropped))
	for _, s := range b.cluster.telemetry.Series(now) {
		sample := admin.Sample{Name: s.Name, Help: "Pushed by a client (KIP-714).", Kind: admin.Gauge, Value: s.Value}
		if s.Counter {
			sample.Kind = admin.Counter
		}
		for _, l := range s.Labels {
			sample.Labels = append(sample.Labels, admin.Label(l))
		}
		emit(sample)
	}
}
