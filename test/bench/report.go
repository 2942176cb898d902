package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// measured is one row with what each system did, round by round. Reports are written from it, and it is kept as JSON beside them.
type measured struct {
	Name, What, Mode, Unit string
	Curve                  string `json:",omitempty"`
	X                      int    `json:",omitempty"`
	Systems                []figures
}

// figures are one system's, one value a round.
type figures struct {
	System string
	Cost   []float64 // CPU-seconds per GB, or microseconds of CPU per unit
	Rate   []float64 // MB/s, or units per second
	P50    []float64 `json:",omitempty"` // microseconds
	P99    []float64 `json:",omitempty"`
	P999   []float64 `json:",omitempty"`
	// Per unit: read- and write-like system calls, page faults, context switches, allocated objects (of Ottla only).
	Reads, Writes, Faults, Switches, Allocs []float64
	RSS                                     []float64 // MB, at the end
}

func figuresOf(r row, name string, samples []sample) figures {
	f := figures{System: name}
	for _, s := range samples {
		f.Cost = append(f.Cost, s.cost(r.perGB()))
		units := float64(s.requests)
		if r.perGB() {
			units = float64(s.payload) / 1e9
			f.Rate = append(f.Rate, float64(s.payload)/1e6/s.wall.Seconds())
		} else {
			f.Rate = append(f.Rate, units/s.wall.Seconds())
		}
		if r.latency {
			f.P50, f.P99, f.P999 = append(f.P50, s.percentile(0.5)), append(f.P99, s.percentile(0.99)), append(f.P999, s.percentile(0.999))
		}
		f.Reads, f.Writes = append(f.Reads, float64(s.used.readCalls)/units), append(f.Writes, float64(s.used.writeCalls)/units)
		f.Faults, f.Switches = append(f.Faults, float64(s.used.minFaults)/units), append(f.Switches, float64(s.used.switches)/units)
		f.Allocs = append(f.Allocs, float64(s.used.allocs)/units)
		f.RSS = append(f.RSS, s.used.rssMB)
	}
	return f
}

func (m measured) of(system string) *figures {
	for i := range m.Systems {
		if m.Systems[i].System == system {
			return &m.Systems[i]
		}
	}
	return nil
}

// ratios divides round by round.
func ratios(own, other []float64) []float64 {
	var out []float64
	for i := range min(len(own), len(other)) {
		if other[i] > 0 {
			out = append(out, own[i]/other[i])
		}
	}
	return out
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	if len(sorted) == 0 {
		return 0
	}
	return sorted[len(sorted)/2]
}

// print is the row for the terminal.
func (m measured) print() {
	fmt.Printf("\n%s %s [%s]\n", m.Name, m.What, m.Mode)
	for i := range m.Systems {
		f := &m.Systems[i]
		var b strings.Builder
		if m.Unit == "GB" {
			fmt.Fprintf(&b, "%s CPU-s/GB, %s MB/s", spread(f.Cost, "%.2f"), spread(f.Rate, "%.0f"))
		} else {
			fmt.Fprintf(&b, "%s µs CPU/%s, %s %s/s", spread(f.Cost, "%.1f"), m.Unit, spread(f.Rate, "%.0f"), m.Unit)
		}
		if len(f.P50) > 0 {
			fmt.Fprintf(&b, ", p50 %s, p99 %s, p99.9 %s µs", spread(f.P50, "%.0f"), spread(f.P99, "%.0f"), spread(f.P999, "%.0f"))
		}
		if f.System == "ottla" {
			for _, other := range []string{"limit", "kafka"} {
				if o := m.of(other); o != nil {
					fmt.Fprintf(&b, "; CPU %s × %s, rate %s × %s", spread(ratios(f.Cost, o.Cost), "%.2f"), other, spread(ratios(f.Rate, o.Rate), "%.2f"), other)
				}
			}
		}
		fmt.Fprintf(&b, "; per %s %.2f reads %.2f writes %.2f faults %.2f switches", m.Unit, median(f.Reads), median(f.Writes), median(f.Faults), median(f.Switches))
		if f.System == "ottla" {
			fmt.Fprintf(&b, " %.2f allocations", median(f.Allocs))
		}
		fmt.Fprintf(&b, "; RSS %.0f MB", median(f.RSS))
		fmt.Printf("  %-6s %s\n", f.System, b.String())
	}
}

// report is a whole run, or what several runs of the same binaries on the same machine have measured.
type report struct {
	Machine string
	Begun   string // date
	Rounds  int
	Notes   []string // start, connections: what is no row
	Rows    []measured
	earlier []measured // rows of the runs before this one
}

// resume takes over what an earlier run left in dir, if it measured the same binaries on the same machine: all but what wanted says is measured again.
func (r *report) resume(dir string, wanted func(name string) bool) error {
	data, err := os.ReadFile(filepath.Join(dir, "results.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var earlier report
	if err := json.Unmarshal(data, &earlier); err != nil {
		return fmt.Errorf("read %s/results.json: %w", dir, err)
	}
	if earlier.Machine != r.Machine || earlier.Rounds != r.Rounds {
		return nil
	}
	noteOf := func(line string) string { return line[:strings.IndexAny(line+",", ", ")] }
	r.Begun = earlier.Begun
	r.Notes = slices.DeleteFunc(earlier.Notes, func(line string) bool { return wanted(noteOf(line)) })
	r.earlier = slices.DeleteFunc(earlier.Rows, func(m measured) bool { return wanted(m.Name) })
	r.Rows = r.earlier
	return nil
}

// compareNames puts B2 before B11.
func compareNames(a, b string) int {
	split := func(name string) (letter byte, number int) {
		digits := strings.TrimRight(name[1:], "abcdefghijklmnopqrstuvwxyz")
		number, _ = strconv.Atoi(digits)
		return name[0], number
	}
	aLetter, aNumber := split(a)
	bLetter, bNumber := split(b)
	return cmp.Or(cmp.Compare(aLetter, bLetter), cmp.Compare(aNumber, bNumber))
}

// write leaves results.json, results.md and the drawings in dir.
func (r *report) write(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	data, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return err
	}
	files := map[string]string{"results.json": string(data) + "\n", "results.md": r.markdown(), "ratios.svg": r.drawRatios()}
	if svg := r.drawCurves(); svg != "" {
		files["growth.svg"] = svg
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

func (r *report) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, %s, %d rounds. Medians; in brackets the range of the rounds.\n\n", r.Begun, r.Machine, r.Rounds)
	for _, note := range r.Notes {
		fmt.Fprintf(&b, "- %s\n", note)
	}
	b.WriteString("\n| Row | Workload | Mode | Ottla | Limit | Kafka | Ottla × limit | Ottla × Kafka | Ottla's latency p50 / p99 / p99.9 µs | Kafka's | " +
		"Ottla's calls, faults, switches, allocations per unit | RSS, MB: Ottla, Kafka |\n|---|---|---|---|---|---|---|---|---|---|---|---|\n")
	for _, m := range r.Rows {
		f := m.of("ottla")
		if f == nil {
			continue
		}
		own := func(f *figures) string {
			switch {
			case f == nil:
				return ""
			case m.Unit == "GB":
				return fmt.Sprintf("%.2f CPU-s/GB, %.0f MB/s", median(f.Cost), median(f.Rate))
			default:
				return fmt.Sprintf("%.1f µs CPU/%s, %.0f/s", median(f.Cost), m.Unit, median(f.Rate))
			}
		}
		against := func(o *figures) string {
			if o == nil {
				return ""
			}
			return fmt.Sprintf("CPU %s, rate %s", spread(ratios(f.Cost, o.Cost), "%.2f"), spread(ratios(f.Rate, o.Rate), "%.2f"))
		}
		latency := func(f *figures) string {
			if f == nil || len(f.P50) == 0 {
				return ""
			}
			return fmt.Sprintf("%.0f / %.0f / %.0f", median(f.P50), median(f.P99), median(f.P999))
		}
		limit, kafka := m.of("limit"), m.of("kafka")
		memory := fmt.Sprintf("%.0f", median(f.RSS))
		if kafka != nil {
			memory += fmt.Sprintf(", %.0f", median(kafka.RSS))
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s | %s | %s | %s | %s | %.2f, %.2f, %.2f, %.2f | %s |\n", m.Name, m.What, m.Mode, own(f), own(limit), own(kafka), against(limit), against(kafka),
			latency(f), latency(kafka), median(f.Reads)+median(f.Writes), median(f.Faults), median(f.Switches), median(f.Allocs), memory)
	}
	return b.String()
}
