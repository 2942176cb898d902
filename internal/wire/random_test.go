package wire_test

import (
	"math/rand/v2"
	"os"
	"reflect"
	"strconv"
	"testing"

	"github.com/ottla-io/ottla/internal/wire"
)

// seed is OTTLA_SEED, or a fixed number; every test that uses it logs it.
func seed(t testing.TB) uint64 {
	text := os.Getenv("OTTLA_SEED")
	if text == "" {
		text = "20260611"
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("OTTLA_SEED: %v", err)
	}
	t.Logf("OTTLA_SEED=%d", n)
	return n
}

// filler fills structs, ours and kmsg's, with random values.
type filler struct {
	rng *rand.Rand
	// nulls allows null where the type has it.
	nulls bool
	// minElements and maxElements are the lengths of the shortest and the longest array.
	minElements, maxElements int
	// words, if not nil, are the only strings.
	words []string
}

func newFiller(seed uint64) *filler {
	return &filler{rng: rand.New(rand.NewPCG(seed, 0)), nulls: true, maxElements: 3}
}

func (f *filler) null() bool { return f.nulls && f.rng.IntN(4) == 0 }

// integer favours the values at which encodings and defaults change.
func (f *filler) integer() int64 {
	switch f.rng.IntN(5) {
	case 0:
		return 0
	case 1:
		return -1
	case 2:
		return int64(f.rng.IntN(300))
	}
	return int64(f.rng.Uint64())
}

func (f *filler) text() string {
	if f.words != nil {
		return f.words[f.rng.IntN(len(f.words))]
	}
	n := f.rng.IntN(12)
	switch f.rng.IntN(20) {
	case 0:
		n = 126 + f.rng.IntN(4) // where a compact length grows by a byte
	case 1:
		n = 300
	}
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(f.rng.Uint32())
	}
	return string(b)
}

func (f *filler) fill(v reflect.Value) {
	switch v.Type() {
	case reflect.TypeFor[wire.NullString]():
		if v.SetZero(); !f.null() {
			v.Set(reflect.ValueOf(wire.SomeString(f.text())))
		}
		return
	case reflect.TypeFor[wire.Records]():
		if v.SetZero(); !f.null() {
			v.Set(reflect.ValueOf(wire.Records{Bytes: []byte(f.text())}))
		}
		return
	}
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(f.rng.IntN(2) == 0)
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(reflect.ValueOf(f.integer()).Convert(v.Type()).Int())
	case reflect.Uint8, reflect.Uint16, reflect.Uint32:
		v.SetUint(reflect.ValueOf(f.integer()).Convert(v.Type()).Uint())
	case reflect.Float64:
		v.SetFloat(float64(f.integer()) / 3)
	case reflect.String:
		v.SetString(f.text())
	case reflect.Array:
		if v.SetZero(); f.rng.IntN(3) != 0 {
			for i := range v.Len() {
				f.fill(v.Index(i))
			}
		}
	case reflect.Pointer:
		if v.SetZero(); !f.null() {
			v.Set(reflect.New(v.Type().Elem()))
			f.fill(v.Elem())
		}
	case reflect.Slice:
		if v.SetZero(); f.null() {
			return
		}
		n := f.minElements + f.rng.IntN(f.maxElements-f.minElements+1)
		v.Set(reflect.MakeSlice(v.Type(), n, n))
		for i := range n {
			f.fill(v.Index(i))
		}
	case reflect.Struct:
		for i := range v.NumField() {
			switch v.Type().Field(i).Name {
			case "UnknownTags", "Version":
			default:
				if v.Field(i).CanSet() {
					f.fill(v.Field(i))
				}
			}
		}
	default:
		panic("no random " + v.Type().String())
	}
}

// allMessages is one empty message of every kind, in a fixed order.
func allMessages() []wire.Message {
	var all []wire.Message
	add := func(m wire.Message) {
		if !reflect.ValueOf(&m).Elem().IsNil() {
			all = append(all, m)
		}
	}
	for key := range int16(100) {
		add(wire.NewRequest(key))
		add(wire.NewResponse(key))
		for _, construct := range []func(int16) wire.CoordinatorRecord{
			wire.NewConsumerOffsetsKey, wire.NewConsumerOffsetsValue, wire.NewTransactionStateKey,
			wire.NewTransactionStateValue, wire.NewShareGroupStateKey, wire.NewShareGroupStateValue,
		} {
			if m := construct(key); m != nil {
				add(m)
			}
		}
		if m := wire.NewMetadataRecord(key); m != nil {
			add(m)
		}
	}
	return append(all, &wire.RequestHeader{}, &wire.ResponseHeader{}, &wire.AbortedTxn{}, &wire.ConsumerProtocolAssignment{},
		&wire.ConsumerProtocolSubscription{}, &wire.ControlRecordTypeSchema{}, &wire.DefaultPrincipalData{}, &wire.EndTxnMarker{},
		&wire.KRaftVersionRecord{}, &wire.LeaderChangeMessage{}, &wire.SnapshotFooterRecord{}, &wire.SnapshotHeaderRecord{},
		&wire.VotersRecord{})
}

// mustEncode is m's bytes at version.
func mustEncode(t testing.TB, m wire.Message, version int16) []byte {
	t.Helper()
	var e wire.Encoder
	if err := m.Encode(&e, version); err != nil {
		t.Fatalf("%v\n%+v", err, m)
	}
	return e.Buf
}
