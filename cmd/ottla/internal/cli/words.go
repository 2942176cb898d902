package cli

import (
	"fmt"
	"time"
)

// OrDash shows a text that may be empty.
func OrDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

// OrEmpty is a text that a broker may leave out.
func OrEmpty(text *string) string {
	if text == nil {
		return ""
	}
	return *text
}

// OrNone shows what may be -1 for "there is none".
func OrNone(n int64) string {
	if n < 0 {
		return "-"
	}
	return fmt.Sprint(n)
}

// Counted is a number of things: 1 record, 2 records.
func Counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// DashTime shows milliseconds since 1970 as an RFC 3339 time, and what is negative as none.
func DashTime(ms int64) string {
	if ms < 0 {
		return "-"
	}
	return time.UnixMilli(ms).UTC().Format(time.RFC3339)
}
