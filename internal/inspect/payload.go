package inspect

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/metadata"
	"github.com/ottla-io/ottla/internal/record"
	"github.com/ottla-io/ottla/internal/wire"
)

// field is one name and value of an object.
type field struct {
	name  string
	value any
}

// object is a JSON object whose fields keep their order.
type object []field

// MarshalJSON writes the fields in order.
func (o object) MarshalJSON() ([]byte, error) {
	var out bytes.Buffer
	out.WriteByte('{')
	for i, f := range o {
		if i > 0 {
			out.WriteByte(',')
		}
		for j, part := range []any{f.name, f.value} {
			p, err := json.Marshal(part)
			if err != nil {
				return nil, err
			}
			if j == 1 {
				out.WriteByte(':')
			}
			out.Write(p)
		}
	}
	out.WriteByte('}')
	return out.Bytes(), nil
}

// bytesValue shows bytes as text where they are, else as base64; null stays null.
func bytesValue(p []byte) any {
	if p == nil {
		return nil
	}
	if printable(p) {
		return string(p)
	}
	return object{{"base64", base64.StdEncoding.EncodeToString(p)}}
}

func printable(p []byte) bool {
	if !utf8.Valid(p) {
		return false
	}
	return !bytes.ContainsFunc(p, func(r rune) bool { return !unicode.IsPrint(r) && r != '\n' && r != '\t' && r != '\r' })
}

// messageValue shows a wire struct with its type and Kafka's field names.
func messageValue(m any) object {
	v := reflect.ValueOf(m).Elem()
	name := v.Type().Name()
	if name == "OffsetCommitRecordKey" { // a name that wire had to change
		name = "OffsetCommitKey"
	}
	return append(object{{"type", name}}, structValue(v)...)
}

func structValue(v reflect.Value) object {
	var out object
	for i := range v.NumField() {
		f := v.Type().Field(i)
		if f.IsExported() {
			out = append(out, field{lowerFirst(f.Name), plainValue(v.Field(i))})
		}
	}
	return out
}

func lowerFirst(s string) string { return strings.ToLower(s[:1]) + s[1:] }

func plainValue(v reflect.Value) any {
	switch x := v.Interface().(type) {
	case ids.UUID:
		return x.String()
	case wire.NullString:
		if !x.Valid {
			return nil
		}
		return x.Value
	case []byte:
		return bytesValue(x)
	case wire.Records:
		return bytesValue(x.Bytes)
	}
	switch v.Kind() {
	case reflect.Struct:
		return structValue(v)
	case reflect.Pointer:
		if v.IsNil() {
			return nil
		}
		return plainValue(v.Elem())
	case reflect.Slice:
		if v.IsNil() {
			return nil
		}
		out := make([]any, v.Len())
		for i := range out {
			out[i] = plainValue(v.Index(i))
		}
		return out
	case reflect.Array:
		return fmt.Sprintf("%x", v.Interface())
	}
	return v.Interface()
}

// metadataTopic is the log of the cluster's metadata; its snapshots hold the same records.
const metadataTopic = "__cluster_metadata"

// decodePayload shows a record's key and value as the topic's own layout has them. It returns nil for topics that are not
// Kafka's own.
func decodePayload(topic string, control bool, r *record.Record) (object, error) {
	if control {
		return decodeControl(r)
	}
	switch topic {
	case metadataTopic:
		m, err := metadata.DecodeRecord(r.Value)
		if err != nil {
			return nil, err
		}
		return object{{"version", frameVersion(r.Value)}, {"payload", messageValue(m)}}, nil
	case "__consumer_offsets", "__transaction_state", "__share_group_state":
		return decodeCoordinator(topic, r)
	}
	return nil, nil
}

// frameVersion is the version of a metadata record that was decoded: its frame is frame version, type and version in uvarints.
func frameVersion(p []byte) (version uint64) {
	for range 3 {
		n, size := binary.Uvarint(p)
		version, p = n, p[size:]
	}
	return version
}

func decodeCoordinator(topic string, r *record.Record) (object, error) {
	if len(r.Key) < 2 {
		return nil, fmt.Errorf("key of %d bytes has no type", len(r.Key))
	}
	number := int16(binary.BigEndian.Uint16(r.Key))
	key, value := coordinatorLayouts(topic, number)
	if key == nil {
		return object{{"unknownType", number}, {"key", bytesValue(r.Key)}, {"value", bytesValue(r.Value)}}, nil
	}
	if err := decodeWhole(key, r.Key[2:], 0); err != nil {
		return nil, fmt.Errorf("key of type %d: %w", number, err)
	}
	out := object{{"keyType", number}, {"key", messageValue(key)}}
	if r.Value == nil {
		return append(out, field{"payload", nil}), nil
	}
	if len(r.Value) < 2 {
		return nil, fmt.Errorf("value of %d bytes has no version", len(r.Value))
	}
	version := int16(binary.BigEndian.Uint16(r.Value))
	if err := decodeWhole(value, r.Value[2:], version); err != nil {
		return nil, fmt.Errorf("value of type %d, version %d: %w", number, version, err)
	}
	shown := messageValue(value)
	if group, ok := value.(*wire.GroupMetadataValue); ok && group.ProtocolType == "consumer" {
		shown = openMembers(shown)
	}
	return append(out, field{"version", version}, field{"payload", shown}), nil
}

// openMembers shows the subscription and the assignment of each member of a classic consumer group, which lie in it as bytes of the
// client's consumer protocol: INT16 version, then the message. What is not of that form, or of a version yet to come with
// more behind it, stays bytes: the broker never reads it.
func openMembers(group object) object {
	for _, f := range group {
		members, ok := f.value.([]any)
		if f.name != "members" || !ok {
			continue
		}
		for _, m := range members {
			member := m.(object)
			for i, f := range member {
				switch f.name {
				case "subscription":
					member[i].value = openEmbedded(f.value, new(wire.ConsumerProtocolSubscription))
				case "assignment":
					member[i].value = openEmbedded(f.value, new(wire.ConsumerProtocolAssignment))
				}
			}
		}
	}
	return group
}

// newestConsumerProtocol is the highest version of subscription and assignment that is known; later ones only append.
const newestConsumerProtocol = 3

func openEmbedded(shown any, m wire.Message) any {
	p := shownBytes(shown)
	if len(p) < 2 {
		return shown
	}
	version := int16(binary.BigEndian.Uint16(p))
	var d wire.Decoder
	d.Reset(p[2:])
	if version < 0 || m.Decode(&d, min(version, newestConsumerProtocol)) != nil || version <= newestConsumerProtocol && d.Remaining() > 0 {
		return shown
	}
	return append(object{{"version", version}}, messageValue(m)...)
}

// shownBytes is the inverse of bytesValue.
func shownBytes(shown any) []byte {
	switch v := shown.(type) {
	case string:
		return []byte(v)
	case object:
		p, err := base64.StdEncoding.DecodeString(fmt.Sprint(v[0].value))
		if err != nil {
			return nil
		}
		return p
	}
	return nil
}

func decodeWhole(m wire.Message, p []byte, version int16) error {
	var d wire.Decoder
	d.Reset(p)
	if err := m.Decode(&d, version); err != nil {
		return err
	}
	if n := d.Remaining(); n != 0 {
		return fmt.Errorf("%d bytes too many", n)
	}
	return nil
}

// decodeControl shows a control record. Types that we don't know are shown as they are.
func decodeControl(r *record.Record) (object, error) {
	t, err := record.ParseControlKey(r.Key)
	if err != nil {
		return nil, err
	}
	out := object{{"control", t.String()}}
	var m wire.Message
	switch t {
	case record.ControlAbort, record.ControlCommit:
		marker, _, err := record.ParseEndTransaction(r.Key, r.Value)
		if err != nil {
			return nil, err
		}
		return append(out, field{"coordinatorEpoch", marker.CoordinatorEpoch}), nil
	case record.ControlLeaderChange:
		m = new(wire.LeaderChangeMessage)
	case record.ControlSnapshotHeader:
		m = new(wire.SnapshotHeaderRecord)
	case record.ControlSnapshotFooter:
		m = new(wire.SnapshotFooterRecord)
	case record.ControlKRaftVersion:
		m = new(wire.KRaftVersionRecord)
	case record.ControlKRaftVoters:
		m = new(wire.VotersRecord)
	default:
		return append(out, field{"value", bytesValue(r.Value)}), nil
	}
	if err := decodeControlValue(m, r.Value); err != nil {
		return nil, fmt.Errorf("%s: %w", t, err)
	}
	return append(out, field{"payload", messageValue(m)}), nil
}

// decodeControlValue reads the value of a control record of the metadata log. The version is the message's first field, so it
// is not skipped.
func decodeControlValue(m wire.Message, p []byte) error {
	if len(p) < 2 {
		return fmt.Errorf("%d bytes have no version", len(p))
	}
	return decodeWhole(m, p, int16(binary.BigEndian.Uint16(p)))
}
