package run

import "sync/atomic"

// Parallel calls fn for 0 to n-1 on at most workers goroutines called name, the caller's among them, and returns when all calls have. Where one goroutine is
// enough, none is started.
func Parallel(env Env, name string, workers, n int, fn func(i int)) {
	workers = min(n, workers)
	if workers <= 1 {
		for i := range n {
			fn(i)
		}
		return
	}
	var next, left atomic.Int32
	left.Store(int32(workers))
	done := env.NewSignal()
	work := func() {
		for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
			fn(i)
		}
		if left.Add(-1) == 0 {
			done.Set()
		}
	}
	for range workers - 1 {
		env.Go(name, work)
	}
	work()
	done.Wait()
}
