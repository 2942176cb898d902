// Package topics holds the commands about topics: 'ottla topic' and 'ottla producers'.
//
// It owns how topics are made, listed, described, grown, trimmed, deleted, restored from Ottla's trash and purged, of any Kafka cluster that can. Their
// settings belong to package settings. It must never delete without --yes what cannot be brought back, but for 'topic delete', which names it. Package
// main calls it. Nothing here survives a crash.
package topics
