package group

import (
	"strings"
	"testing"
)

// TestJournalIsBounded: by resets, and by what their metadata takes; the newest is always remembered.
func TestJournalIsBounded(t *testing.T) {
	one := func(size int) Replaced { return Replaced{Metadata: strings.Repeat("x", size)} }
	for _, c := range []struct {
		sizes []int
		want  int
	}{{[]int{0}, 1}, {[]int{4096}, 1}, {[]int{4096, 0}, 1}, {[]int{512, 512, 0, 1, 0}, 3}, {make([]int, 10), 10}, {make([]int, 11), 10}} {
		var j Journal
		for _, size := range c.sizes {
			j = append(j, one(size))
		}
		if got := len(j.bounded()); got != c.want {
			t.Errorf("of %v, %d are remembered, want %d", c.sizes, got, c.want)
		}
	}
}
