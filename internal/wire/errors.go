package wire

import "strconv"

// ErrorCode is a code of Kafka's protocol. As an error it reads like Kafka's own.
type ErrorCode int16

type errorEntry struct {
	name      string
	retriable bool
	sentence  string
}

func (c ErrorCode) entry() errorEntry {
	if i := int(c) + 1; i >= 0 && i < len(errorTable) {
		return errorTable[i]
	}
	return errorEntry{name: "UNKNOWN_ERROR_CODE_" + strconv.Itoa(int(c)), sentence: "The error code is not known."}
}

// Name is Kafka's, such as UNKNOWN_TOPIC_OR_PARTITION.
func (c ErrorCode) Name() string { return c.entry().name }

// Retriable reports whether clients try again by themselves.
func (c ErrorCode) Retriable() bool { return c.entry().retriable }

// Message is the sentence that Kafka shows, "" for ErrorNone.
func (c ErrorCode) Message() string { return c.entry().sentence }

// String is Name.
func (c ErrorCode) String() string { return c.Name() }

// Error is the name and the sentence.
func (c ErrorCode) Error() string { return c.Name() + ": " + c.Message() }
