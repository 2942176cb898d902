package top

import (
	"fmt"
	"strings"
	"time"
	"unicode"
)

// shown makes text from elsewhere harmless to a terminal: what controls one, or is no character, becomes a question mark.
func shown(text string) string {
	return strings.Map(func(r rune) rune {
		if r == unicode.ReplacementChar || !unicode.IsGraphic(r) {
			return '?'
		}
		return r
	}, text)
}

// columnsOf is how many columns of a terminal a character takes.
func columnsOf(r rune) int {
	switch {
	case unicode.In(r, unicode.Mn, unicode.Me):
		return 0
	case r >= 0x1100 && (r <= 0x115f || r >= 0x2e80 && r <= 0xa4cf || r >= 0xac00 && r <= 0xd7a3 || r >= 0xf900 && r <= 0xfaff || r >= 0xfe30 && r <= 0xfe6f ||
		r >= 0xff00 && r <= 0xff60 || r >= 0xffe0 && r <= 0xffe6 || r >= 0x1f300 && r <= 0x1faff || r >= 0x20000 && r <= 0x3fffd):
		return 2
	}
	return 1
}

// width is how many columns a text takes.
func width(text string) (n int) {
	for _, r := range text {
		n += columnsOf(r)
	}
	return n
}

// fit cuts a text to so many columns, with an ellipsis, or fills it up with blanks; right puts these before it.
func fit(text string, columns int, right bool) string {
	n := width(text)
	if n > columns {
		cut, used := "", 0
		for _, r := range text {
			if used+columnsOf(r) > columns-1 {
				break
			}
			cut += string(r)
			used += columnsOf(r)
		}
		if columns > 0 {
			cut += "…"
			used++
		}
		text, n = cut, used
	}
	blanks := strings.Repeat(" ", max(0, columns-n))
	if right {
		return blanks + text
	}
	return text + blanks
}

// number writes a number in at most five characters or so: 0.5, 12, 1234, 56.7k, 1.2M.
func number(r Rate) string {
	switch v := float64(r); {
	case v < 0:
		return "-"
	case v == 0:
		return "0"
	case v < 9.95:
		return fmt.Sprintf("%.1f", v)
	case v < 9999.5:
		return fmt.Sprintf("%.0f", v)
	case v < 999.95e3:
		return fmt.Sprintf("%.1fk", v/1e3)
	case v < 999.95e6:
		return fmt.Sprintf("%.1fM", v/1e6)
	case v < 999.95e9:
		return fmt.Sprintf("%.1fG", v/1e9)
	default:
		return fmt.Sprintf("%.1fT", v/1e12)
	}
}

// whole writes a count in full.
func whole(r Rate) string {
	if r < 0 {
		return "-"
	}
	return fmt.Sprintf("%.0f", float64(r))
}

// seconds writes a time for people: 0.4s, 12s, 3m20s, 5h10m, 3d4h.
func seconds(r Rate) string {
	switch v := float64(r); {
	case v < 0:
		return "-"
	case v == 0:
		return "0s"
	case v < 9.95:
		return fmt.Sprintf("%.1fs", v)
	case v < 60:
		return fmt.Sprintf("%.0fs", v)
	case v < 3600:
		return fmt.Sprintf("%dm%02ds", int(v)/60, int(v)%60)
	case v < 86400:
		return fmt.Sprintf("%dh%02dm", int(v)/3600, int(v)/60%60)
	default:
		return fmt.Sprintf("%dd%02dh", int(v)/86400, int(v)/3600%24)
	}
}

func clock(t time.Time) string { return t.Format("15:04:05") }

func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
