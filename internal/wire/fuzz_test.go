package wire_test

import (
	"bytes"
	"errors"
	"reflect"
	"runtime"
	"testing"
	"time"

	"github.com/ottla-io/ottla/internal/wire"
)

// What decoding n bytes may cost. The budget of the decoder allows 16 bytes of array memory a byte of input; strings,
// rounding to size classes and optional structs come on top. Time is bounded generously, for busy machines: honest cost is
// a few nanoseconds a byte.
const (
	allocationPerByte = 40
	allocationFixed   = 256 << 10
	timePerByte       = time.Microsecond
	timeFixed         = 200 * time.Millisecond
)

// FuzzDecode decodes arbitrary bytes as an arbitrary message. It must end in time and memory linear in the input, and
// what it accepts must encode, in no more bytes than it took, to bytes that mean the same.
func FuzzDecode(f *testing.F) {
	all := allMessages()
	filler := newFiller(1)
	for i, m := range all {
		lowest, highest := m.Versions()
		for version := lowest; version <= highest; version++ {
			f.Add(uint16(i), version, mustEncode(f, randomMessage(filler, m, version), version))
		}
		f.Add(uint16(i), highest, bytes.Repeat([]byte{0xff}, 40))
		f.Add(uint16(i), highest, bytes.Repeat([]byte{0xff, 0xff, 0xff, 0xff, 0x07}, 40))
		f.Add(uint16(i), lowest, bytes.Repeat([]byte{0, 0, 0, 9}, 400))
		f.Add(uint16(i), highest, bytes.Repeat([]byte{2}, 3000))
	}
	f.Fuzz(func(t *testing.T, index uint16, version int16, body []byte) {
		m := reflect.New(reflect.TypeOf(all[int(index)%len(all)]).Elem()).Interface().(wire.Message)
		var strings wire.StringTable
		d := wire.Decoder{Strings: &strings}
		d.Reset(body)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		start := time.Now()
		err := m.Decode(&d, version)
		elapsed := time.Since(start)
		runtime.ReadMemStats(&after)
		if limit := timeFixed + time.Duration(len(body))*timePerByte; elapsed > limit {
			t.Errorf("%T version %d: %d bytes took %v, limit %v", m, version, len(body), elapsed, limit)
		}
		allocated := after.TotalAlloc - before.TotalAlloc
		if limit := uint64(allocationFixed + len(body)*allocationPerByte); allocated > limit {
			t.Errorf("%T version %d: %d bytes made it allocate %d, limit %d", m, version, len(body), allocated, limit)
		}
		if err != nil {
			var decodeError *wire.DecodeError
			if !errors.As(err, &decodeError) {
				t.Errorf("error of type %T", err)
			}
			return
		}
		taken := len(body) - d.Remaining()
		first := mustEncode(t, m, version)
		if len(first) > taken {
			t.Errorf("%T version %d: %d bytes became %d", m, version, taken, len(first))
		}
		d.Reset(first)
		if err := m.Decode(&d, version); err != nil {
			t.Fatalf("its own bytes: %v", err)
		}
		if second := mustEncode(t, m, version); !bytes.Equal(first, second) || d.Remaining() != 0 {
			t.Errorf("%T version %d is not stable\nfirst  % x\nsecond % x", m, version, first, second)
		}
	})
}
