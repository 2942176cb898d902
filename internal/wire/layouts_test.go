package wire_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ottla-io/ottla/internal/wire"
)

// TestKmsgLayouts is TestKmsgOracle for the record layouts that kmsg knows. kmsg counts the int16 in front of a layout,
// its version or its type, to the layout.
func TestKmsgLayouts(t *testing.T) {
	seed := seed(t)
	for _, c := range []struct {
		ours    wire.Message
		kmsg    kmsgLayout
		key     int16 // what stands before a coordinator's record key, whose layout is always version 0
		isKey   bool
		counted bool // our layout has the int16 too
	}{
		{ours: &wire.OffsetCommitRecordKey{}, kmsg: &kmsg.OffsetCommitKey{}, key: 1, isKey: true},
		{ours: &wire.OffsetCommitValue{}, kmsg: &kmsg.OffsetCommitValue{}},
		{ours: &wire.GroupMetadataKey{}, kmsg: &kmsg.GroupMetadataKey{}, key: 2, isKey: true},
		{ours: &wire.GroupMetadataValue{}, kmsg: &kmsg.GroupMetadataValue{}},
		{ours: &wire.TransactionLogKey{}, kmsg: &kmsg.TxnMetadataKey{}, key: 0, isKey: true},
		{ours: &wire.TransactionLogValue{}, kmsg: &kmsg.TxnMetadataValue{}},
		{ours: &wire.ConsumerProtocolSubscription{}, kmsg: &kmsg.ConsumerMemberMetadata{}},
		{ours: &wire.ConsumerProtocolAssignment{}, kmsg: &kmsg.ConsumerMemberAssignment{}},
		{ours: &wire.DefaultPrincipalData{}, kmsg: &kmsg.DefaultPrincipalData{}},
		{ours: &wire.EndTxnMarker{}, kmsg: &kmsg.EndTxnMarker{}},
		{ours: &wire.LeaderChangeMessage{}, kmsg: &kmsg.LeaderChangeMessage{}, counted: true},
	} {
		lowest, highest := c.ours.Versions()
		for version := lowest; version <= highest; version++ {
			t.Run(fmt.Sprintf("%s/%d", reflect.TypeOf(c.ours).Elem().Name(), version), func(t *testing.T) {
				f := newFiller(seed + uint64(version))
				for round := range 2 * roundsPerVersion {
					f.nulls = round%2 == 0
					theirs := reflect.New(reflect.TypeOf(c.kmsg).Elem())
					f.fill(theirs.Elem())
					before := version
					if c.isKey {
						before = c.key
					}
					theirs.Elem().FieldByName("Version").SetInt(int64(before))
					want := theirs.Interface().(kmsgLayout).AppendTo(nil)
					var prefix []byte
					if !c.counted {
						prefix = binary.BigEndian.AppendUint16(nil, uint16(before))
					}
					reencode(t, c.ours, version, want[len(prefix):])

					ours := randomMessage(f, c.ours, version)
					if message, ok := ours.(*wire.LeaderChangeMessage); ok {
						message.Version = version
					}
					e := wire.Encoder{Buf: prefix}
					if err := ours.Encode(&e, version); err != nil {
						t.Fatalf("encode: %v\n%+v", err, ours)
					}
					theirs = reflect.New(theirs.Type().Elem())
					if err := theirs.Interface().(kmsgLayout).ReadFrom(e.Buf); err != nil {
						t.Fatalf("kmsg does not read our bytes: %v\n%+v", err, ours)
					}
					if again := theirs.Interface().(kmsgLayout).AppendTo(nil); !bytes.Equal(again, e.Buf) {
						t.Fatalf("kmsg says our layout otherwise\n%+v\nours % x\nkmsg % x", ours, e.Buf, again)
					}
				}
			})
		}
	}
}

type kmsgLayout interface {
	AppendTo([]byte) []byte
	ReadFrom([]byte) error
}

// reencode decodes want, which must be one whole message, and expects the same bytes again.
func reencode(t *testing.T, m wire.Message, version int16, want []byte) {
	t.Helper()
	var d wire.Decoder
	d.Reset(want)
	if err := m.Decode(&d, version); err != nil {
		t.Fatalf("%v\n% x", err, want)
	}
	if d.Remaining() != 0 {
		t.Fatalf("%T version %d leaves %d of %d bytes\n% x", m, version, d.Remaining(), len(want), want)
	}
	var e wire.Encoder
	if err := m.Encode(&e, version); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(e.Buf, want) {
		t.Fatalf("%T version %d re-encodes otherwise\n%+v\nours   % x\nKafka's % x", m, version, m, e.Buf, want)
	}
}

const golden = "../../testdata/kafka-4.3.1"

// TestKafkaRecords decodes every record that Kafka 4.3.1 wrote into its own topics and re-encodes it byte by byte.
func TestKafkaRecords(t *testing.T) {
	seen := map[string]int{}
	count := func(m wire.Message, version int16) {
		seen[fmt.Sprintf("%s %d", reflect.TypeOf(m).Elem().Name(), version)]++
	}
	for _, file := range []string{"__cluster_metadata-0/00000000000000000000.log", "bootstrap.checkpoint"} {
		for _, r := range readRecords(t, file) {
			m, version, body := metadataRecord(t, r)
			reencode(t, m, version, body)
			count(m, version)
		}
	}
	coordinator := func(file string, newKey, newValue func(int16) wire.CoordinatorRecord) {
		for _, r := range readRecords(t, file) {
			kind := int16(binary.BigEndian.Uint16(r.key))
			key := newKey(kind)
			if key == nil {
				t.Fatalf("%s: no record key of type %d", file, kind)
			}
			reencode(t, key, 0, r.key[2:])
			count(key, 0)
			if r.value == nil {
				continue
			}
			version := int16(binary.BigEndian.Uint16(r.value))
			value := newValue(kind)
			reencode(t, value, version, r.value[2:])
			count(value, version)
		}
	}
	coordinator("__consumer_offsets-42/00000000000000000000.log", wire.NewConsumerOffsetsKey, wire.NewConsumerOffsetsValue)
	coordinator("__transaction_state-45/00000000000000000000.log", wire.NewTransactionStateKey, wire.NewTransactionStateValue)
	t.Log(seen)
	for _, want := range []string{"TopicRecord 0", "PartitionRecord 2", "RegisterBrokerRecord 4", "FeatureLevelRecord 0",
		"GroupMetadataKey 0", "OffsetCommitRecordKey 0", "TransactionLogValue 1", "LeaderChangeMessage 0"} {
		if seen[want] == 0 {
			t.Errorf("the data holds no %s", want)
		}
	}
}

// TestAbortedTransactionIndex re-encodes Kafka's entry of a transaction index: int16 version, then the layout.
func TestAbortedTransactionIndex(t *testing.T) {
	entry, err := os.ReadFile(filepath.Join(golden, "t-0/00000000000000000000.txnindex"))
	if err != nil {
		t.Fatal(err)
	}
	var m wire.AbortedTxn
	reencode(t, &m, int16(binary.BigEndian.Uint16(entry)), entry[2:])
	if want := (wire.AbortedTxn{ProducerId: 1, FirstOffset: 3007, LastOffset: 3012, LastStableOffset: 3013}); m != want {
		t.Errorf("%+v, want %+v", m, want)
	}
}

// metadataRecord opens the frame of a metadata record's value (uvarint frame version 1, uvarint type, uvarint version),
// or the key of a control record (int16 version, int16 type) whose value is the layout alone.
func metadataRecord(t *testing.T, r rawRecord) (wire.Message, int16, []byte) {
	t.Helper()
	if r.control {
		version := int16(binary.BigEndian.Uint16(r.value)) // each control layout starts with its own version
		switch kind := binary.BigEndian.Uint16(r.key[2:]); kind {
		case 2:
			return &wire.LeaderChangeMessage{}, version, r.value
		case 3:
			return &wire.SnapshotHeaderRecord{}, version, r.value
		case 4:
			return &wire.SnapshotFooterRecord{}, version, r.value
		case 5:
			return &wire.KRaftVersionRecord{}, version, r.value
		case 6:
			return &wire.VotersRecord{}, version, r.value
		default:
			t.Fatalf("control record of type %d", kind)
		}
	}
	body := r.value
	var numbers [3]uint64
	for i := range numbers {
		var n int
		numbers[i], n = binary.Uvarint(body)
		body = body[n:]
	}
	m := wire.NewMetadataRecord(int16(numbers[1]))
	if numbers[0] != 1 || m == nil {
		t.Fatalf("metadata frame version %d, record type %d", numbers[0], numbers[1])
	}
	if m.MetadataKey() != int16(numbers[1]) {
		t.Fatalf("record of type %d says %d", numbers[1], m.MetadataKey())
	}
	return m, int16(numbers[2]), body
}

type rawRecord struct {
	key, value []byte
	control    bool
}

// readRecords walks the uncompressed v2 batches of a segment. It trusts them: they are committed.
//
//	0 base offset int64 | 8 length int32 | 12 epoch int32 | 16 magic int8 | 17 crc uint32 | 21 attributes int16 | …
//	57 count int32 | 61 records: length, attributes int8, timestamp delta, offset delta, key, value, headers (varints)
func readRecords(t *testing.T, file string) []rawRecord {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(golden, file))
	if err != nil {
		t.Fatal(err)
	}
	var records []rawRecord
	for len(data) > 0 {
		end := 12 + int(binary.BigEndian.Uint32(data[8:]))
		attributes := binary.BigEndian.Uint16(data[21:])
		if attributes&7 != 0 {
			t.Fatalf("%s: compressed batch", file)
		}
		rest := data[61:end]
		for range binary.BigEndian.Uint32(data[57:]) {
			length, n := binary.Varint(rest)
			body := rest[n : n+int(length)]
			rest = rest[n+int(length):]
			body = body[1:]
			for range 2 {
				_, n = binary.Varint(body)
				body = body[n:]
			}
			var r rawRecord
			r.control = attributes&0x20 != 0
			r.key, body = varintBytes(body)
			r.value, _ = varintBytes(body)
			records = append(records, r)
		}
		data = data[end:]
	}
	if len(records) == 0 {
		t.Fatalf("%s holds no records", file)
	}
	return records
}

func varintBytes(b []byte) (value, rest []byte) {
	length, n := binary.Varint(b)
	if length < 0 {
		return nil, b[n:]
	}
	return b[n : n+int(length)], b[n+int(length):]
}
