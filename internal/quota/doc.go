// Package quota knows how much of a broker a client may use: which quota binds a client, how much it has used, and for how long it
// must be quiet after that.
//
// It owns Kafka's arithmetic: the precedence of quotas (KIP-55, KIP-257), rates over sampled windows (KIP-13, KIP-124), tokens for
// what changes the cluster (KIP-599), and who has been throttled. It is pure: time is an argument, in milliseconds of any clock that
// does not go back, and whoever shares a Book between goroutines locks it. It must never decide what throttling means for a
// connection; that is package server's (KIP-219).
//
// Package metadata keeps the quotas as part of the cluster's state, api asks and charges, package ottla connects them. Nothing here
// survives a crash: after a restart everybody starts with unused windows, as in Kafka.
package quota
