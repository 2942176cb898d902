package checkup

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// scrapeMax bounds what is read of an answer: 10,000 groups make a few MB.
const scrapeMax = 64 << 20

// sample is one value of a metric.
type sample struct {
	labels map[string]string
	value  float64
}

// scrape is what a broker's admin port says.
type scrape struct {
	at      time.Time           // by this machine's clock
	date    time.Time           // by the broker's, to a second; zero: it does not say
	samples map[string][]sample // by metric; histograms and summaries are left out
}

// sum adds a metric up over its labels; 0 if there is none.
func (s *scrape) sum(name string) (sum float64) {
	for _, one := range s.samples[name] {
		sum += one.value
	}
	return sum
}

// by is a metric's value by one of its labels; nil if there is none.
func (s *scrape) by(name, label string) (values map[string]float64) {
	for _, one := range s.samples[name] {
		if values == nil {
			values = map[string]float64{}
		}
		values[one.labels[label]] += one.value
	}
	return values
}

// label is a label of a metric's first sample.
func (s *scrape) label(name, label string) string {
	if samples := s.samples[name]; len(samples) > 0 {
		return samples[0].labels[label]
	}
	return ""
}

// getAdmin asks an admin port. status is 0 if it does not answer at all.
func getAdmin(ctx context.Context, addr, path string) (status int, header http.Header, body []byte, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+path, nil)
	if err != nil {
		return 0, nil, nil, fmt.Errorf("admin address %s: %w", addr, err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, nil, nil, err
	}
	defer response.Body.Close()
	body, err = io.ReadAll(io.LimitReader(response.Body, scrapeMax))
	return response.StatusCode, response.Header, body, err
}

// scrapeAdmin reads the metrics of a broker of Ottla.
func scrapeAdmin(ctx context.Context, addr string) (*scrape, error) {
	status, header, body, err := getAdmin(ctx, addr, "/metrics")
	if err != nil {
		return nil, err
	}
	if status != http.StatusOK {
		return nil, fmt.Errorf("http://%s/metrics answers %d", addr, status)
	}
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(string(body)))
	if err != nil {
		return nil, fmt.Errorf("http://%s/metrics are no metrics: %w", addr, err)
	}
	s := &scrape{at: time.Now(), samples: map[string][]sample{}}
	s.date, _ = http.ParseTime(header.Get("Date"))
	for name, family := range families {
		for _, metric := range family.GetMetric() {
			one := sample{labels: map[string]string{}}
			switch {
			case metric.GetCounter() != nil:
				one.value = metric.GetCounter().GetValue()
			case metric.GetGauge() != nil:
				one.value = metric.GetGauge().GetValue()
			case metric.GetUntyped() != nil:
				one.value = metric.GetUntyped().GetValue()
			default:
				continue
			}
			for _, pair := range metric.GetLabel() {
				one.labels[pair.GetName()] = pair.GetValue()
			}
			s.samples[name] = append(s.samples[name], one)
		}
	}
	return s, nil
}

// readiness are the checks of /readyz that fail, with their reasons.
func readiness(ctx context.Context, addr string) (failing []string, err error) {
	_, _, body, err := getAdmin(ctx, addr, "/readyz")
	if err != nil {
		return nil, err
	}
	var answer struct {
		Checks []struct {
			Name   string `json:"name"`
			OK     bool   `json:"ok"`
			Reason string `json:"reason"`
		} `json:"checks"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return nil, fmt.Errorf("http://%s/readyz: %w", addr, err)
	}
	if len(answer.Checks) == 0 {
		return nil, fmt.Errorf("http://%s/readyz: the answer names no check: is this a broker of Ottla?", addr)
	}
	for _, check := range answer.Checks {
		if !check.OK {
			failing = append(failing, check.Name+": "+check.Reason)
		}
	}
	return failing, nil
}
