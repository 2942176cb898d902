// Package logfiles is the names and the small formats of what lies beside the batches of a log: Kafka's checkpoints, leader epochs, topic ids, properties of a
// directory, entries of both indexes, and the few files of our own that look like them.
//
// It owns how these are called and coded, byte for byte as Kafka 4.x does where the file is Kafka's; each is drawn where it is coded. It is bytes to values and
// back, and reads no file. Whatever bytes it is given, it ends, allocates in proportion to them, and says that they are damaged if they are: a text cut short is.
// It must never decide when a file is written, in which order files become durable, and what each is believed for: that is storage's, which calls it. So does
// epochs, whose entries are those of leader-epoch-checkpoint. inspect reads the same files with code of its own, so that it can tell when this room writes them
// wrongly. Nothing here survives a crash but what storage made durable.
//
// The bytes of producer snapshots and transaction indexes are producerstate's, those of the manifest and the largest timestamps manifest's.
package logfiles

import "errors"

// ErrDamaged: a file that was read whole is not what it should be.
var ErrDamaged = errors.New("the file is damaged")
