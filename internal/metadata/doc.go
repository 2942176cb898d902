// Package metadata is the state of the cluster: which topics, partitions, brokers, configurations and features there
// are, as the records of __cluster_metadata-0 say it.
//
// It owns the framing of those records, the immutable Image that they add up to, the Delta between two Images, and the
// layout of snapshots. It must never decide anything (machine/controller does), read a clock, or do I/O other than on
// the io.Reader or io.Writer it is given. The controller applies records to its Image; everybody else reads the Image
// that the last commit made, and learns from a Delta what to do about it.
//
// What survives a crash is the log and its snapshots; an Image is rebuilt from them:
//
//	image(snapshot(image)) == image        replay(log) == replay(snapshot + tail of the log)
//
// Kinds of records that nothing here acts on yet (ACLs, SCRAM credentials, delegation tokens, controllers) are
// kept whole in the Image, so that a snapshot loses nothing that a log had.
package metadata
