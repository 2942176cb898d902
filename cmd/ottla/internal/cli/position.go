package cli

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Position is a place in a partition as the command line names it: earliest, latest, an offset, -N or @TIME.
type Position struct {
	Kind   PositionKind
	Offset int64 // for AtOffset; records before the end for BeforeEnd; milliseconds since 1970 for AtTime
}

// PositionKind says what a Position counts from.
type PositionKind uint8

// Kinds of positions.
const (
	AtStart   PositionKind = iota // the first record that there is
	AtEnd                         // behind the last one
	AtOffset                      // an offset, whether it exists or not
	BeforeEnd                     // a number of records before the end
	AtTime                        // the first record at or after a time
)

// ParsePosition reads one; now is what durations ago are counted from.
func ParsePosition(text string, now time.Time) (Position, error) {
	switch text {
	case "earliest", "beginning", "start":
		return Position{Kind: AtStart}, nil
	case "latest", "end":
		return Position{Kind: AtEnd}, nil
	}
	if when, ok := strings.CutPrefix(text, "@"); ok {
		if ms, err := strconv.ParseInt(when, 10, 64); err == nil && ms >= 0 {
			return Position{AtTime, ms}, nil
		}
		if ago, err := time.ParseDuration(strings.TrimPrefix(when, "-")); err == nil && strings.HasPrefix(when, "-") {
			return Position{AtTime, now.Add(-ago).UnixMilli()}, nil
		}
		if t, err := time.Parse(time.RFC3339, when); err == nil {
			return Position{AtTime, t.UnixMilli()}, nil
		}
		return Position{}, fmt.Errorf("time %q: want milliseconds since 1970, an RFC 3339 time such as 2026-11-25T09:00:00Z, or a duration ago such as @-1h", text)
	}
	offset, err := strconv.ParseInt(text, 10, 64)
	switch {
	case err != nil:
		return Position{}, fmt.Errorf("position %q: want earliest, latest, an offset, -N or @TIME", text)
	case offset < 0:
		return Position{BeforeEnd, -offset}, nil
	}
	return Position{AtOffset, offset}, nil
}
