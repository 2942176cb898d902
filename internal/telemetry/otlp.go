package telemetry

import (
	"errors"
	"math"
	"strconv"

	"google.golang.org/protobuf/encoding/protowire"
)

// What of OpenTelemetry's MetricsData (opentelemetry/proto/metrics/v1) is read. Numbers are those of fields:
//
//	MetricsData     1 ResourceMetrics*
//	ResourceMetrics 1 Resource, 2 ScopeMetrics*
//	Resource        1 KeyValue*
//	ScopeMetrics    2 Metric*
//	Metric          1 name, 5 Gauge, 7 Sum, 9 Histogram, 10 ExponentialHistogram, 11 Summary
//	Gauge           1 NumberDataPoint*
//	Sum             1 NumberDataPoint*, 2 aggregation_temporality (1 delta, 2 cumulative), 3 is_monotonic
//	NumberDataPoint 4 as_double, 6 as_int, 7 KeyValue*
//	KeyValue        1 key, 2 AnyValue
//	AnyValue        1 string, 2 bool, 3 int, 4 double
//
// Everything else is skipped. Kafka's clients push gauges and sums only; points of histograms and summaries are counted as dropped.

// errMalformed means that the bytes are no MetricsData.
var errMalformed = errors.New("malformed telemetry")

// fields calls each for every field of a message, until it fails. number is what a varint or a fixed number holds, bytes what a field
// with a length does.
func fields(b []byte, each func(field protowire.Number, kind protowire.Type, number uint64, bytes []byte) error) error {
	for len(b) > 0 {
		field, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return errMalformed
		}
		b = b[n:]
		var (
			number uint64
			bytes  []byte
			short  uint32
		)
		switch kind {
		case protowire.VarintType:
			number, n = protowire.ConsumeVarint(b)
		case protowire.Fixed64Type:
			number, n = protowire.ConsumeFixed64(b)
		case protowire.Fixed32Type:
			short, n = protowire.ConsumeFixed32(b)
			number = uint64(short)
		case protowire.BytesType:
			bytes, n = protowire.ConsumeBytes(b)
		default: // groups, which nobody writes any more
			n = -1
		}
		if n < 0 {
			return errMalformed
		}
		b = b[n:]
		if err := each(field, kind, number, bytes); err != nil {
			return err
		}
	}
	return nil
}

// decoder collects the points of one push.
type decoder struct {
	points  []point
	dropped int
}

// decode reads a MetricsData. The result aliases nothing of it. dropped counts points that are not kept.
func decode(b []byte) (points []point, dropped int, err error) {
	var d decoder
	err = fields(b, func(field protowire.Number, kind protowire.Type, _ uint64, bytes []byte) error {
		if field == 1 && kind == protowire.BytesType {
			return d.resourceMetrics(bytes)
		}
		return nil
	})
	if err != nil {
		return nil, 0, err
	}
	return d.points, d.dropped, nil
}

func (d *decoder) resourceMetrics(b []byte) error {
	var resource []Label
	// The resource comes first from whoever writes fields in their order, but need not.
	err := fields(b, func(field protowire.Number, kind protowire.Type, _ uint64, bytes []byte) error {
		if field != 1 || kind != protowire.BytesType {
			return nil
		}
		return fields(bytes, func(field protowire.Number, kind protowire.Type, _ uint64, bytes []byte) (err error) {
			if field == 1 && kind == protowire.BytesType {
				resource, err = attribute(resource, bytes)
			}
			return err
		})
	})
	if err != nil {
		return err
	}
	return fields(b, func(field protowire.Number, kind protowire.Type, _ uint64, bytes []byte) error {
		if field != 2 || kind != protowire.BytesType {
			return nil
		}
		return fields(bytes, func(field protowire.Number, kind protowire.Type, _ uint64, bytes []byte) error {
			if field == 2 && kind == protowire.BytesType {
				return d.metric(bytes, resource)
			}
			return nil
		})
	})
}

func (d *decoder) metric(b []byte, resource []Label) error {
	var (
		name      string
		numbers   [][]byte // NumberDataPoints
		monotonic bool
		delta     bool
	)
	err := fields(b, func(field protowire.Number, kind protowire.Type, _ uint64, bytes []byte) error {
		if kind != protowire.BytesType {
			return nil
		}
		switch field {
		case 1:
			name = string(bytes[:min(len(bytes), maxTextBytes)])
		case 5, 7:
			return fields(bytes, func(inner protowire.Number, kind protowire.Type, number uint64, bytes []byte) error {
				switch {
				case inner == 1 && kind == protowire.BytesType:
					numbers = append(numbers, bytes)
				case field == 7 && inner == 2 && kind == protowire.VarintType:
					delta = number == 1
				case field == 7 && inner == 3 && kind == protowire.VarintType:
					monotonic = number != 0
				}
				return nil
			})
		case 9, 10, 11:
			return fields(bytes, func(inner protowire.Number, kind protowire.Type, _ uint64, _ []byte) error {
				if inner == 1 && kind == protowire.BytesType {
					d.dropped++
				}
				return nil
			})
		}
		return nil
	})
	if err != nil {
		return err
	}
	p := point{name: seriesName(name, monotonic), counter: monotonic, delta: delta, about: joined("", resource)}
	for _, b := range numbers {
		if len(d.points) >= maxPoints {
			d.dropped++
			continue
		}
		if err := d.number(b, p, resource); err != nil {
			return err
		}
	}
	return nil
}

// number adds one NumberDataPoint to what p says of its metric.
func (d *decoder) number(b []byte, p point, resource []Label) error {
	var labels []Label
	err := fields(b, func(field protowire.Number, kind protowire.Type, number uint64, bytes []byte) (err error) {
		switch {
		case field == 4 && kind == protowire.Fixed64Type:
			p.value = math.Float64frombits(number)
		case field == 6 && kind == protowire.Fixed64Type:
			p.value = float64(int64(number))
		case field == 7 && kind == protowire.BytesType:
			labels, err = attribute(labels, bytes)
		}
		return err
	})
	if err != nil {
		return err
	}
	p.labels = mergeLabels(resource, labels)
	d.points = append(d.points, p)
	return nil
}

// attribute appends a KeyValue; those past the bound are skipped.
func attribute(labels []Label, b []byte) ([]Label, error) {
	var l Label
	err := fields(b, func(field protowire.Number, kind protowire.Type, _ uint64, bytes []byte) error {
		switch {
		case kind != protowire.BytesType:
		case field == 1:
			l.Name = identifier(string(bytes[:min(len(bytes), maxTextBytes)]))
		case field == 2:
			return fields(bytes, func(field protowire.Number, kind protowire.Type, number uint64, bytes []byte) error {
				switch {
				case field == 1 && kind == protowire.BytesType:
					l.Value = text(string(bytes[:min(len(bytes), maxTextBytes)]))
				case field == 2 && kind == protowire.VarintType:
					l.Value = strconv.FormatBool(number != 0)
				case field == 3 && kind == protowire.VarintType:
					l.Value = strconv.FormatInt(int64(number), 10)
				case field == 4 && kind == protowire.Fixed64Type:
					l.Value = strconv.FormatFloat(math.Float64frombits(number), 'g', -1, 64)
				}
				return nil
			})
		}
		return nil
	})
	if err != nil || l.Name == "" || len(labels) >= maxLabels {
		return labels, err
	}
	return append(labels, l), nil
}
