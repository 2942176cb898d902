package admin

import "github.com/prometheus/client_golang/prometheus"

// Kind is how Prometheus reads a sample.
type Kind uint8

const (
	Counter Kind = iota
	Gauge
	Histogram
)

// Label is one name=value of a sample.
type Label struct{ Name, Value string }

// Sample is one number of a scrape. All samples of one Name have the same Help, Kind and label names.
type Sample struct {
	// Name follows Prometheus's rules: unit at the end, _total for counters.
	Name, Help string
	Kind       Kind
	Labels     []Label
	// Value is the counter or gauge, or the sum of a histogram.
	Value float64
	// Bounds and Counts describe a histogram: Counts[i] observations were ≤ Bounds[i] and above the bound before. One more
	// count than bounds is for the rest.
	Bounds []float64
	Counts []uint64
}

// Samples makes a collector of a function that takes a snapshot at each scrape, so that counting costs nothing but the
// counting. collect may run on several goroutines at once.
func Samples(collect func(emit func(Sample))) prometheus.Collector { return samples(collect) }

type samples func(emit func(Sample))

// Describe says nothing: what is collected is known only when it is.
func (samples) Describe(chan<- *prometheus.Desc) {}

func (s samples) Collect(into chan<- prometheus.Metric) {
	s(func(sample Sample) { into <- sample.metric() })
}

func (s *Sample) metric() prometheus.Metric {
	names, values := make([]string, len(s.Labels)), make([]string, len(s.Labels))
	for i, label := range s.Labels {
		names[i], values[i] = label.Name, label.Value
	}
	description := prometheus.NewDesc(s.Name, s.Help, names, nil)
	metric, err := s.of(description, values)
	if err != nil {
		return prometheus.NewInvalidMetric(description, err)
	}
	return metric
}

func (s *Sample) of(description *prometheus.Desc, labels []string) (prometheus.Metric, error) {
	switch s.Kind {
	case Gauge:
		return prometheus.NewConstMetric(description, prometheus.GaugeValue, s.Value, labels...)
	case Histogram:
		count, buckets := uint64(0), make(map[float64]uint64, len(s.Bounds))
		for i, n := range s.Counts {
			count += n
			if i < len(s.Bounds) {
				buckets[s.Bounds[i]] = count
			}
		}
		return prometheus.NewConstHistogram(description, count, s.Value, buckets, labels...)
	default:
		return prometheus.NewConstMetric(description, prometheus.CounterValue, s.Value, labels...)
	}
}
