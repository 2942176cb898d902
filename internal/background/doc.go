// Package background runs the work of an engine that nobody waits for: pieces of jobs, on two goroutines, within a budget of CPU and I/O that leaves the disk and
// the cores to clients while there are some.
//
// It owns when a piece of work runs, how much of it, and what it took. It must never know what the work is, and holds no lock while a step runs. storage, its one
// caller, hands it one job for each kind of work of a store or of a log directory: checkpoints, retention, compaction. Nothing here survives a crash, and a job
// can be cut off between any two of its steps: what it left half done must be something that a start can deal with.
//
// There is no timer and no goroutine for each job: the two goroutines sleep until the next job is due, and nothing runs while nothing is due.
package background
