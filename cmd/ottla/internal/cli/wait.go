package cli

import (
	"context"
	"time"
)

// Sleep waits, and says whether the context still holds.
func Sleep(ctx context.Context, wait time.Duration) bool {
	if wait < time.Millisecond { // a timer of its own would cost more than it waits
		time.Sleep(wait)
		return ctx.Err() == nil
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
