package records

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"strconv"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kgo"
)

// recordFormat writes records by kcat's escapes:
//
//	%s value   %S its length (-1 null)   %k key   %K its length (-1 null)   %R value length as 4 bytes, big-endian
//	%t topic   %p partition   %o offset   %T timestamp in ms   %h headers as k=v,k=v   %% a percent sign
//	\n \r \t \\ \xNN
type recordFormat []func(dst []byte, r *kgo.Record) []byte

func parseFormat(text string) (recordFormat, error) {
	var format recordFormat
	literal := func(bytes ...byte) {
		format = append(format, func(dst []byte, _ *kgo.Record) []byte { return append(dst, bytes...) })
	}
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] == '%':
			if i+1 == len(text) {
				return nil, fmt.Errorf("format %q ends in a lone %%; write %%%% for a percent sign", text)
			}
			i++
			verb, ok := recordVerbs[text[i]]
			if !ok {
				return nil, fmt.Errorf("format %q: no escape %%%c; known are %%s %%S %%k %%K %%R %%t %%p %%o %%T %%h %%%%", text, text[i])
			}
			format = append(format, verb)
		case text[i] == '\\':
			decoded, used, err := parseBackslash(text[i:])
			if err != nil {
				return nil, fmt.Errorf("format %q: %w", text, err)
			}
			literal(decoded)
			i += used - 1
		default:
			literal(text[i])
		}
	}
	return format, nil
}

// parseBackslash reads the escape at the start of text: the byte that it means and how many bytes it took.
func parseBackslash(text string) (decoded byte, used int, err error) {
	if len(text) < 2 {
		return 0, 0, fmt.Errorf("it ends in a lone backslash")
	}
	switch text[1] {
	case 'n':
		return '\n', 2, nil
	case 'r':
		return '\r', 2, nil
	case 't':
		return '\t', 2, nil
	case '0':
		return 0, 2, nil
	case '\\':
		return '\\', 2, nil
	case 'x':
		if len(text) >= 4 {
			if code, err := strconv.ParseUint(text[2:4], 16, 8); err == nil {
				return byte(code), 4, nil
			}
		}
		return 0, 0, fmt.Errorf(`\x wants two hexadecimal digits`)
	}
	return 0, 0, fmt.Errorf(`no escape \%c; known are \n \r \t \0 \\ \xNN`, text[1])
}

var recordVerbs = map[byte]func(dst []byte, r *kgo.Record) []byte{
	's': func(dst []byte, r *kgo.Record) []byte { return append(dst, r.Value...) },
	'S': func(dst []byte, r *kgo.Record) []byte { return strconv.AppendInt(dst, nullableLength(r.Value), 10) },
	'k': func(dst []byte, r *kgo.Record) []byte { return append(dst, r.Key...) },
	'K': func(dst []byte, r *kgo.Record) []byte { return strconv.AppendInt(dst, nullableLength(r.Key), 10) },
	'R': func(dst []byte, r *kgo.Record) []byte {
		return binary.BigEndian.AppendUint32(dst, uint32(int32(nullableLength(r.Value))))
	},
	't': func(dst []byte, r *kgo.Record) []byte { return append(dst, r.Topic...) },
	'p': func(dst []byte, r *kgo.Record) []byte { return strconv.AppendInt(dst, int64(r.Partition), 10) },
	'o': func(dst []byte, r *kgo.Record) []byte { return strconv.AppendInt(dst, r.Offset, 10) },
	'T': func(dst []byte, r *kgo.Record) []byte { return strconv.AppendInt(dst, r.Timestamp.UnixMilli(), 10) },
	'h': func(dst []byte, r *kgo.Record) []byte {
		for i, header := range r.Headers {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(append(dst, header.Key...), '=')
			if header.Value == nil {
				dst = append(dst, "NULL"...)
			} else {
				dst = append(dst, header.Value...)
			}
		}
		return dst
	},
	'%': func(dst []byte, _ *kgo.Record) []byte { return append(dst, '%') },
}

func nullableLength(b []byte) int64 {
	if b == nil {
		return -1
	}
	return int64(len(b))
}

// jsonRecord is one line of 'consume -o json', and of 'produce --json'. Bytes that are no UTF-8 go to the fields that end
// in Base64 (encoding/json writes []byte so); null keys and values are null.
type jsonRecord struct {
	Topic       string       `json:"topic,omitempty"`
	Partition   *int32       `json:"partition,omitempty"`
	Offset      *int64       `json:"offset,omitempty"`
	TimestampMs *int64       `json:"timestampMs,omitempty"`
	Key         *string      `json:"key"`
	KeyBase64   []byte       `json:"keyBase64,omitempty"`
	Value       *string      `json:"value"`
	ValueBase64 []byte       `json:"valueBase64,omitempty"`
	Headers     []jsonHeader `json:"headers,omitempty"`
}

// jsonHeader is one header; headers are a list because Kafka's may repeat and are ordered.
type jsonHeader struct {
	Key         string  `json:"key"`
	Value       *string `json:"value"`
	ValueBase64 []byte  `json:"valueBase64,omitempty"`
}

func textOrBase64(b []byte) (text *string, raw []byte) {
	switch {
	case b == nil:
		return nil, nil
	case utf8.Valid(b):
		s := string(b)
		return &s, nil
	}
	return nil, b
}

func bytesOf(text *string, raw []byte) []byte {
	if text != nil {
		return []byte(*text)
	}
	return raw
}

// formatJSON appends the record as one line of JSON.
func formatJSON(dst []byte, r *kgo.Record) []byte {
	timestamp := r.Timestamp.UnixMilli()
	line := jsonRecord{Topic: r.Topic, Partition: &r.Partition, Offset: &r.Offset, TimestampMs: &timestamp}
	line.Key, line.KeyBase64 = textOrBase64(r.Key)
	line.Value, line.ValueBase64 = textOrBase64(r.Value)
	for _, header := range r.Headers {
		one := jsonHeader{Key: header.Key}
		one.Value, one.ValueBase64 = textOrBase64(header.Value)
		line.Headers = append(line.Headers, one)
	}
	encoded, err := json.Marshal(line)
	if err != nil {
		panic("jsonRecord holds only strings, numbers and bytes: " + err.Error())
	}
	return append(append(dst, encoded...), '\n')
}

// parseJSONRecord reads one line that formatJSON wrote, or that a person wrote with as few fields as {"value":"x"}.
func parseJSONRecord(line []byte) (*kgo.Record, error) {
	var in jsonRecord
	if err := json.Unmarshal(line, &in); err != nil {
		return nil, err
	}
	record := &kgo.Record{Key: bytesOf(in.Key, in.KeyBase64), Value: bytesOf(in.Value, in.ValueBase64), Partition: -1}
	if in.Partition != nil {
		record.Partition = *in.Partition
	}
	for _, header := range in.Headers {
		record.Headers = append(record.Headers, kgo.RecordHeader{Key: header.Key, Value: bytesOf(header.Value, header.ValueBase64)})
	}
	return record, nil
}
