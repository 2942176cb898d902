// Package checkup holds the commands that look at a running cluster, its disks and its machine: 'ottla cluster', 'doctor', 'ready', 'top' and 'trace'.
//
// It owns how facts are gathered: by Kafka's protocol, from the admin port, from directories, /proc and /sys; and the terminal of 'ottla top'. What the
// facts mean, internal/doctor and internal/top know. It must never change what it looks at: of a data directory it measures the disk with a file of its
// own, which it removes. Package main calls it. Nothing here survives a crash.
package checkup
