package main

import (
	"fmt"
	"html"
	"math"
	"slices"
	"strings"
)

// The drawings are plain SVG on a logarithmic axis: ratios and growth are judged by factors.

const (
	drawWidth  = 1120
	drawLabel  = 560 // of the row's name, left of the bars
	drawRow    = 18
	drawMargin = 40
)

var drawColours = map[string]string{"ottla": "#1b7f4d", "limit": "#888888", "kafka": "#b5482f"}

// drawRatios draws the CPU of Ottla and of Kafka in multiples of the limit program's, or where there is none, of Kafka's.
func (r *report) drawRatios() string {
	const low, high = 0.1, 100.0
	x := func(ratio float64) float64 {
		ratio = min(max(ratio, low), high)
		return drawLabel + (drawWidth-drawLabel-drawMargin)*math.Log(ratio/low)/math.Log(high/low)
	}
	var b strings.Builder
	y := float64(drawMargin)
	for _, m := range r.Rows {
		limit := m.of("limit")
		if limit == nil || m.Curve != "" {
			continue
		}
		fmt.Fprintf(&b, `<text x="%d" y="%.0f" text-anchor="end">%s [%s]</text>`+"\n", drawLabel-8, y+11, html.EscapeString(shorten(m.Name+" "+m.What, 78)), m.Mode)
		offset := 2.0
		for _, name := range []string{"ottla", "kafka"} {
			f := m.of(name)
			if f == nil {
				continue
			}
			all := ratios(f.Cost, limit.Cost)
			if len(all) == 0 {
				continue
			}
			from, to := min(x(1), x(median(all))), max(x(1), x(median(all)))
			fmt.Fprintf(&b, `<rect x="%.1f" y="%.1f" width="%.1f" height="6" fill="%s"/>`, from, y+offset, max(to-from, 1), drawColours[name])
			fmt.Fprintf(&b, `<line x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f" stroke="black"/>`+"\n", x(slices.Min(all)), x(slices.Max(all)), y+offset+3, y+offset+3)
			offset += 7
		}
		y += drawRow
	}
	return frame("CPU in multiples of the limit program's: Ottla green, Kafka red; lines are the range of the rounds", y, low, high, x, b.String())
}

// drawCurves draws how cost grows: one panel a curve, one line a system, each in multiples of its own first point.
func (r *report) drawCurves() string {
	var names []string
	for _, m := range r.Rows {
		if m.Curve != "" && !slices.Contains(names, m.Curve) {
			names = append(names, m.Curve)
		}
	}
	if len(names) == 0 {
		return ""
	}
	var b strings.Builder
	const panel, height, width, columns = 230.0, 160.0, 420.0, 2
	for i, name := range names {
		left, top := 60+float64(i%columns)*drawWidth/columns, drawMargin+float64(i/columns)*panel
		fmt.Fprintf(&b, `<text x="%.0f" y="%.0f" font-weight="bold">%s</text>`+"\n", left, top-8, html.EscapeString(name))
		fmt.Fprintf(&b, `<rect x="%.0f" y="%.0f" width="%.0f" height="%.0f" fill="none" stroke="#ccc"/>`+"\n", left, top, width, height)
		place := func(at int, cost float64) (float64, float64) {
			return left + width*math.Log10(float64(at))/3, top + height - height*math.Log(min(max(cost, 0.05), 1000)/0.05)/math.Log(1000/0.05)
		}
		for _, tick := range []float64{0.1, 1, 10, 100} {
			_, ty := place(1, tick)
			fmt.Fprintf(&b, `<line x1="%.0f" x2="%.0f" y1="%.1f" y2="%.1f" stroke="#eee"/><text x="%.0f" y="%.1f" text-anchor="end">%g</text>`+"\n", left, left+width, ty, ty, left-6, ty+4, tick)
		}
		for _, tick := range []int{1, 10, 100, 1000} {
			tx, _ := place(tick, 1)
			fmt.Fprintf(&b, `<text x="%.1f" y="%.1f" text-anchor="middle">%d</text>`+"\n", tx, top+height+14, tick)
		}
		for j, system := range []string{"limit", "ottla", "kafka"} {
			var points []string
			for _, m := range r.Rows {
				if f := m.of(system); m.Curve == name && f != nil {
					px, py := place(m.X, median(f.Cost))
					points = append(points, fmt.Sprintf("%.1f,%.1f", px, py))
				}
			}
			if len(points) > 0 {
				fmt.Fprintf(&b, `<polyline points="%s" fill="none" stroke="%s" stroke-width="2"/>`, strings.Join(points, " "), drawColours[system])
				fmt.Fprintf(&b, `<text x="%.0f" y="%.0f" fill="%s">%s</text>`+"\n", left+width+8, top+20+float64(j)*16, drawColours[system], system)
			}
		}
	}
	return svg(drawMargin+float64((len(names)+columns-1)/columns)*panel, b.String())
}

func shorten(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return s
}

func frame(title string, bottom, low, high float64, x func(float64) float64, body string) string {
	var b strings.Builder
	fmt.Fprintf(&b, `<text x="10" y="16" font-weight="bold">%s</text>`+"\n", html.EscapeString(title))
	for tick := low; tick <= high*1.01; tick *= 10 {
		fmt.Fprintf(&b, `<line x1="%.1f" x2="%.1f" y1="30" y2="%.0f" stroke="#ddd"/><text x="%.1f" y="28" text-anchor="middle">%g</text>`+"\n", x(tick), x(tick), bottom, x(tick), tick)
	}
	return svg(bottom+10, b.String()+body)
}

func svg(height float64, body string) string {
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %.0f" width="%d" height="%.0f" font-family="sans-serif" font-size="11">`+"\n"+
		`<rect width="100%%" height="100%%" fill="white"/>`+"\n%s</svg>\n", drawWidth, height, drawWidth, height, body)
}
