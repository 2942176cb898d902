// Package engines runs whole programs that read and write Kafka, and that we did not write, against the broker under test: Kafka Connect, Spark, Flume, Storm.
// Each carries the 20,000 flights of testdata from one end to the other. In the middle the broker is killed with SIGKILL and started again on the
// same data, and the engine, or a part of it, is killed and goes on from what it had committed. At the end every flight is there, as often as the
// engine's guarantee says.
//
// The configuration of each engine lies in a directory of its name, as a user would have it: a broker at localhost:9092. The tests put only
// addresses and paths of their own in place of what stands there, and docs/engines.md shows the same files.
//
// The engines are large (about 900 MB). They run with OTTLA_ENGINES set, after install.sh: make engines, which make nightly includes.
package engines
