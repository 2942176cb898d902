package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// position is a place in a partition as the command line names it: earliest, latest, an offset, -N or @TIME.
type position struct {
	kind   positionKind
	offset int64 // for atOffset; records before the end for beforeEnd; milliseconds since 1970 for atTime
}

type positionKind uint8

const (
	atStart positionKind = iota
	atEnd
	atOffset
	beforeEnd
	atTime
)

// parsePosition reads one; now is what durations ago are counted from.
func parsePosition(text string, now time.Time) (position, error) {
	switch text {
	case "earliest", "beginning", "start":
		return position{kind: atStart}, nil
	case "latest", "end":
		return position{kind: atEnd}, nil
	}
	if when, ok := strings.CutPrefix(text, "@"); ok {
		if ms, err := strconv.ParseInt(when, 10, 64); err == nil && ms >= 0 {
			return position{atTime, ms}, nil
		}
		if ago, err := time.ParseDuration(strings.TrimPrefix(when, "-")); err == nil && strings.HasPrefix(when, "-") {
			return position{atTime, now.Add(-ago).UnixMilli()}, nil
		}
		if t, err := time.Parse(time.RFC3339, when); err == nil {
			return position{atTime, t.UnixMilli()}, nil
		}
		return position{}, fmt.Errorf("time %q: want milliseconds since 1970, an RFC 3339 time such as 2026-11-25T09:00:00Z, or a duration ago such as @-1h", text)
	}
	offset, err := strconv.ParseInt(text, 10, 64)
	switch {
	case err != nil:
		return position{}, fmt.Errorf("position %q: want earliest, latest, an offset, -N or @TIME", text)
	case offset < 0:
		return position{beforeEnd, -offset}, nil
	}
	return position{atOffset, offset}, nil
}
