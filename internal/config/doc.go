// Package config is the one table of settings: Kafka's, under Kafka's names, and Ottla's own, whose names begin
// with "ottla.".
//
// It owns names, types, defaults, limits and documentation, the sentences that refuse a bad value (word for word
// Kafka 4.3.1's where Kafka has one), and the rule that decides which of several layers gives a setting its value.
// It must never read a file, an environment variable or a flag, and holds no current value: callers bring the
// layers along. The controller validates topics' overrides with it, storage and server get its resolved structs,
// DescribeConfigs prints its entries, the command line names the nearest neighbour of a mistyped key.
//
// Nothing here survives a crash: dynamic values live in ConfigRecords of the metadata log.
package config
