// Package bench is the arithmetic of a measurement: a histogram of latencies, what a run comes to, and whether the load generator was what
// limited it. It is pure: it sends nothing and tells no time. 'ottla bench' (cmd/ottla/internal/records) does the sending; nothing here survives a crash.
package bench
