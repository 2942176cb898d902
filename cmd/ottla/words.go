package main

import (
	"fmt"
	"time"
)

// orDash shows what may be empty.
func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

// orNone shows what may be -1 for "there is none".
func orNone(n int64) string {
	if n < 0 {
		return "-"
	}
	return fmt.Sprint(n)
}

// counted is a number of things: 1 record, 2 records.
func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// wereCounted is counted with its verb.
func wereCounted(n int, what string) string {
	if n == 1 {
		return "1 " + what + " is"
	}
	return fmt.Sprintf("%d %ss are", n, what)
}

// dashTime is a time in milliseconds since 1970; negative is none.
func dashTime(ms int64) string {
	if ms < 0 {
		return "-"
	}
	return time.UnixMilli(ms).UTC().Format(time.RFC3339)
}
