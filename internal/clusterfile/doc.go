// Package clusterfile holds the file that says what a cluster is to have: topics, settings of brokers and groups, quotas. It reads and
// writes the YAML, and finds what separates two such files.
//
// It owns the file's format, and which differences are changes that can be made. It must never talk to a broker: 'ottla export', 'diff' and
// 'apply' (cmd/ottla/internal/settings) read the cluster into a File and make the changes. Nothing here survives a crash.
package clusterfile
