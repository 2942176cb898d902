package wire

import "github.com/ottla-io/ottla/internal/ids"

// UUID is Kafka's uuid type.
type UUID = ids.UUID

// Message is any request, response, header or record layout.
type Message interface {
	// Decode reads the message at version from what remains in d and overwrites every field. Bytes after the message are
	// left unread, as Kafka's parser leaves them. The error is a *DecodeError; the message's content is arbitrary then.
	Decode(d *Decoder, version int16) error
	// Encode appends the message at version to e.Buf. An error means that the message cannot be said in that version.
	Encode(e *Encoder, version int16) error
	// Default sets every field to the schema's default and keeps the capacity of slices.
	Default()
	// Versions is the range of versions that Decode and Encode know.
	Versions() (lowest, highest int16)
}

// Throttled is a response that can tell its client for how long it will not be served (KIP-219).
type Throttled interface {
	Message
	// SetThrottleTimeMs sets ThrottleTimeMs, which some of a response's versions may not have.
	SetThrottleTimeMs(ms int32)
}

// MetadataRecord is a record of __cluster_metadata; its key is the record's type there (KIP-631).
type MetadataRecord interface {
	Message
	MetadataKey() int16
}

// CoordinatorRecord is the key or the value of a record of __consumer_offsets, __transaction_state or
// __share_group_state. The int16 before a record's key on disk is CoordinatorKey; that before its value is the version
// of the value's layout. Keys are always encoded at version 0.
type CoordinatorRecord interface {
	Message
	CoordinatorKey() int16
}

// NullString is a string that may be null.
type NullString struct {
	Value string
	Valid bool // false is null; Value is "" then
}

// SomeString is value, not null.
func SomeString(value string) NullString { return NullString{Value: value, Valid: true} }

// RequestHeaderVersion is the version of the RequestHeader before a request: 2 if the request is flexible at that
// version, else 1 (KIP-482).
func RequestHeaderVersion(key, version int16) int16 {
	if flexible, ok := firstFlexible(key); ok && version >= flexible {
		return 2
	}
	return 1
}

// ResponseHeaderVersion is the version of the ResponseHeader before a response: 1 if the response is flexible at that
// version, else 0. ApiVersions always answers with 0, because the client does not know yet what the broker speaks
// (KIP-511).
func ResponseHeaderVersion(key, version int16) int16 {
	if flexible, ok := firstFlexible(key); ok && version >= flexible && key != ApiVersionsKey {
		return 1
	}
	return 0
}
