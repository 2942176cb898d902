// Package records holds the commands that move records: 'ottla produce', 'consume' and 'bench'.
//
// It owns how records are read from lines and printed as lines, where reading begins and ends, and the load of a measurement, whose arithmetic
// internal/bench has. A record counts as produced once it is acknowledged; what a member of a group printed is committed, and nothing else. Package
// main calls it. Nothing here survives a crash.
package records
