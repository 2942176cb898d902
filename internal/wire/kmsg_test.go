package wire_test

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ottla-io/ottla/internal/wire"
)

// pair is one message as we and as franz-go's kmsg know it.
type pair struct {
	name  string
	ours  wire.Message
	kmsg  kmsgMessage
	known int16 // the highest version that kmsg knows
}

type kmsgMessage interface {
	SetVersion(int16)
	AppendTo([]byte) []byte
	ReadFrom([]byte) error
}

func pairs(t *testing.T) []pair {
	var all []pair
	for key := int16(0); key <= kmsg.MaxKey; key++ {
		request, response := wire.NewRequest(key), wire.NewResponse(key)
		if request == nil {
			if _, _, ok := wire.SupportedVersions(key); ok {
				t.Fatalf("key %d has versions and no request", key)
			}
			continue
		}
		theirs, theirResponse := kmsg.RequestForKey(key), kmsg.ResponseForKey(key)
		if theirs == nil {
			t.Logf("kmsg lacks %s", wire.APIName(key))
			continue
		}
		all = append(all,
			pair{reflect.TypeOf(request).Elem().Name(), request, theirs, theirs.MaxVersion()},
			pair{reflect.TypeOf(response).Elem().Name(), response, theirResponse, theirs.MaxVersion()})
	}
	return all
}

const roundsPerVersion = 60

// kmsgTagsSince names kmsg's tagged fields that Kafka has only since some version of a message that was flexible before.
// kmsg writes a tagged field in every flexible version; Kafka's schema, and we, only from its first version on. The
// oracle therefore leaves them at their defaults below that version.
func kmsgTagsSince(structName, fieldName string) int16 {
	switch structName + "." + fieldName {
	case "ProduceResponse.Brokers", "ProduceResponseTopicPartition.CurrentLeader":
		return 10
	case "FetchRequest.ReplicaState":
		return 15
	case "FetchRequestTopicPartition.ReplicaDirectoryID":
		return 17
	case "FetchRequestTopicPartition.HighWatermark":
		return 18
	case "FetchResponse.Brokers":
		return 16
	case "VoteResponse.NodeEndpoints", "FetchSnapshotResponse.NodeEndpoints",
		"FetchSnapshotRequestTopicPartition.ReplicaDirectoryID", "BrokerHeartbeatRequest.OfflineLogDirs":
		return 1
	case "BrokerHeartbeatRequest.CordonedLogDirs":
		return 2
	}
	return 0
}

// kafkaOnly takes from a random value of kmsg's what kmsg can say and Kafka cannot: tagged fields that the version lacks,
// see kmsgTagsSince, and null records in ShareFetchResponse 1+, which Kafka's schema allows in version 0 only.
func kafkaOnly(v reflect.Value, version int16) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			kafkaOnly(v.Elem(), version)
		}
	case reflect.Slice:
		for i := range v.Len() {
			kafkaOnly(v.Index(i), version)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			field := v.Type().Field(i)
			if !field.IsExported() {
				continue
			}
			if version < kmsgTagsSince(v.Type().Name(), field.Name) {
				fresh := reflect.New(v.Type())
				fresh.Interface().(interface{ Default() }).Default()
				v.Field(i).Set(fresh.Elem().Field(i))
				continue
			}
			if v.Type().Name() == "ShareFetchResponseTopicPartition" && field.Name == "Records" && v.Field(i).IsNil() {
				v.Field(i).SetBytes([]byte{})
			}
			kafkaOnly(v.Field(i), version)
		}
	}
}

// TestKmsgOracle sends random values of every request and response, in every version that both know, through kmsg's
// encoder and our decoder and encoder, and the other way around. The bytes must be the same all the way.
func TestKmsgOracle(t *testing.T) {
	seed := seed(t)
	versions := 0
	for i, p := range pairs(t) {
		lowest, highest := p.ours.Versions()
		if p.known < highest {
			t.Logf("kmsg knows %s up to version %d of %d", p.name, p.known, highest)
			highest = p.known
		}
		for version := lowest; version <= highest; version++ {
			versions++
			t.Run(fmt.Sprintf("%s/%d", p.name, version), func(t *testing.T) {
				f := newFiller(seed + uint64(i)<<16 + uint64(version))
				for round := range roundsPerVersion {
					f.nulls = round%2 == 0
					kmsgFirst(t, f, p, version)
					oursFirst(t, f, p, version)
					if t.Failed() {
						return
					}
				}
			})
		}
	}
	if versions < 600 {
		t.Errorf("only %d pairs of message and version were compared", versions)
	}
}

func kmsgFirst(t *testing.T, f *filler, p pair, version int16) {
	t.Helper()
	theirs := reflect.New(reflect.TypeOf(p.kmsg).Elem())
	f.fill(theirs.Elem())
	kafkaOnly(theirs, version)
	message := theirs.Interface().(kmsgMessage)
	message.SetVersion(version)
	want := message.AppendTo(nil)

	var d wire.Decoder
	d.Reset(want)
	if err := p.ours.Decode(&d, version); err != nil {
		t.Errorf("kmsg's bytes do not decode: %v\n%+v\n% x", err, theirs.Elem(), want)
		return
	}
	if d.Remaining() != 0 {
		t.Errorf("decoding kmsg's bytes leaves %d of %d\n%+v\n% x", d.Remaining(), len(want), theirs.Elem(), want)
		return
	}
	var e wire.Encoder
	if err := p.ours.Encode(&e, version); err != nil {
		t.Errorf("re-encode: %v", err)
		return
	}
	if !bytes.Equal(e.Buf, want) {
		t.Errorf("bytes differ from kmsg's\n%+v\nours % x\nkmsg % x", theirs.Elem(), e.Buf, want)
	}
}

func oursFirst(t *testing.T, f *filler, p pair, version int16) {
	t.Helper()
	ours := randomMessage(f, p.ours, version)
	var e wire.Encoder
	if err := ours.Encode(&e, version); err != nil {
		t.Errorf("encode: %v\n%+v", err, ours)
		return
	}
	theirs := reflect.New(reflect.TypeOf(p.kmsg).Elem()).Interface().(kmsgMessage)
	theirs.SetVersion(version)
	if err := theirs.ReadFrom(e.Buf); err != nil {
		t.Errorf("kmsg does not read our bytes: %v\n%+v\n% x", err, ours, e.Buf)
		return
	}
	if again := theirs.AppendTo(nil); !bytes.Equal(again, e.Buf) {
		t.Errorf("kmsg says our message otherwise\n%+v\nours % x\nkmsg % x", ours, e.Buf, again)
	}
}

// randomMessage is a new message of like's type that version can say: without nulls if the first one has a null where
// the version has none.
func randomMessage(f *filler, like wire.Message, version int16) wire.Message {
	value := reflect.New(reflect.TypeOf(like).Elem())
	m := value.Interface().(wire.Message)
	f.fill(value.Elem())
	var e wire.Encoder
	if errors.Is(m.Encode(&e, version), wire.ErrNotNullable) {
		nulls := f.nulls
		f.nulls = false
		f.fill(value.Elem())
		f.nulls = nulls
	}
	return m
}
