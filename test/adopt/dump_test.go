package adopt

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ottla-io/ottla/test/broker"
)

// decoders are the options of kafka-dump-log that open the records of a topic.
var decoders = map[string]string{
	"__cluster_metadata": "--cluster-metadata-decoder", "__consumer_offsets": "--offsets-decoder",
	"__transaction_state": "--transaction-log-decoder", "__share_group_state": "--share-group-state-decoder",
}

// dumpsAgree holds 'ottla log dump' of all segments below dir against kafka-dump-log --deep-iteration: line by line for the topics of clients, with keys and
// payloads; batch by batch and field by field, as far as Kafka prints them, for internal topics. It returns how many records there were of each topic.
func dumpsAgree(t *testing.T, ctx context.Context, dir string) map[string]int {
	t.Helper()
	byOption := make(map[string][]string)
	err := filepath.WalkDir(dir, func(name string, e os.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(name, ".log") {
			option := decoders[topicOf(name)]
			byOption[option] = append(byOption[option], name)
		}
		return err
	})
	if err != nil || len(byOption[""]) == 0 {
		t.Fatalf("no segments below %s: %v", dir, err)
	}
	records := make(map[string]int)
	for option, files := range byOption {
		ours := dumpOttla(t, ctx, files)
		for name, want := range dumpKafka(t, ctx, option, files) {
			have := ours[name]
			if option != "" {
				want, have = sameFields(t, name, want, have)
			}
			if diff := cmp.Diff(want, have); diff != "" {
				t.Errorf("%s: (-Kafka's dump +ours)\n%.3000s", name, diff)
			}
			for _, line := range have {
				if strings.HasPrefix(line, "| ") {
					records[topicOf(name)]++
				}
			}
		}
	}
	return records
}

func topicOf(name string) string {
	partition := filepath.Base(filepath.Dir(name))
	return partition[:strings.LastIndexByte(partition, '-')]
}

// dumpKafka is what kafka-dump-log prints, by file.
func dumpKafka(t *testing.T, ctx context.Context, option string, files []string) map[string][]string {
	t.Helper()
	args := []string{"dump-log", "--deep-iteration", "--print-data-log", "--files", strings.Join(files, ",")}
	if option != "" {
		args = append(args, option)
	}
	out, err := exec.CommandContext(ctx, filepath.Join(broker.ModuleDir(), "kafka/kafka"), args...).CombinedOutput()
	if err != nil {
		t.Fatalf("kafka %v: %v\n%s", args, err, out)
	}
	all, name := make(map[string][]string), ""
	for line := range strings.Lines(string(out)) {
		line = strings.TrimSuffix(line, "\n")
		if strings.HasPrefix(line, "Non-consecutive offsets in ") {
			break // what follows are the gaps of compacted logs
		}
		if rest, ok := strings.CutPrefix(line, "Dumping "); ok {
			name = rest
			all[name] = nil
		} else if !strings.HasPrefix(line, "Log starting offset: ") {
			all[name] = append(all[name], line)
		}
	}
	if len(all) != len(files) {
		t.Fatalf("kafka-dump-log dumped %d of %d files:\n%.2000s", len(all), len(files), out)
	}
	return all
}

// dumpLine is a line of 'ottla log dump -o json'.
type dumpLine struct {
	File, Kind, Error                                               string
	BaseOffset, LastOffset, Count, BaseSequence, LastSequence       int64
	ProducerID, ProducerEpoch, PartitionLeaderEpoch, Position, Size int64
	IsTransactional, IsControl, IsValid                             bool
	TimestampType, CompressCodec                                    string
	MaxTimestamp, CRC                                               int64
	DeleteHorizonMs                                                 *int64
	Offset, Timestamp                                               int64
	Control                                                         string
	CoordinatorEpoch                                                int64
	Key, Value, Payload                                             any
	Headers                                                         []struct{ Key, Value any }
}

// dumpOttla is what 'ottla log dump' says, in the words of kafka-dump-log, by file. Decoded records keep their JSON.
func dumpOttla(t *testing.T, ctx context.Context, files []string) map[string][]string {
	t.Helper()
	out := run(t, ctx, append([]string{"log", "dump", "--records", "-o", "json"}, files...)...)
	all := make(map[string][]string)
	var batch dumpLine
	for text := range strings.Lines(out) {
		var line dumpLine
		d := json.NewDecoder(strings.NewReader(text))
		d.UseNumber()
		if err := d.Decode(&line); err != nil || line.Kind != "batch" && line.Kind != "record" {
			t.Fatalf("%v: %s", err, text)
		}
		if line.Kind == "batch" {
			batch = line
			all[line.File] = append(all[line.File], line.batch())
			continue
		}
		if decoders[topicOf(line.File)] != "" && !(batch.IsControl && line.Payload == nil) {
			all[line.File] = append(all[line.File], "| "+strings.TrimSpace(text))
			continue
		}
		all[line.File] = append(all[line.File], line.record(batch))
	}
	return all
}

func (l dumpLine) batch() string {
	horizon := "OptionalLong.empty"
	if l.DeleteHorizonMs != nil {
		horizon = fmt.Sprintf("OptionalLong[%d]", *l.DeleteHorizonMs)
	}
	return fmt.Sprintf("baseOffset: %d lastOffset: %d count: %d baseSequence: %d lastSequence: %d producerId: %d producerEpoch: %d partitionLeaderEpoch: %d isTransactional: %t "+
		"isControl: %t deleteHorizonMs: %s position: %d %s: %d size: %d magic: 2 compresscodec: %s crc: %d isvalid: %t", l.BaseOffset, l.LastOffset, l.Count, l.BaseSequence,
		l.LastSequence, l.ProducerID, l.ProducerEpoch, l.PartitionLeaderEpoch, l.IsTransactional, l.IsControl, horizon, l.Position, l.TimestampType, l.MaxTimestamp, l.Size,
		l.CompressCodec, l.CRC, l.IsValid)
}

func (l dumpLine) record(batch dumpLine) string {
	sequence := int64(-1)
	if batch.BaseSequence >= 0 {
		sequence = batch.BaseSequence + l.Offset - batch.BaseOffset
	}
	head := func(keySize, valueSize int) string {
		return fmt.Sprintf("| offset: %d %s: %d keySize: %d valueSize: %d sequence: %d headerKeys: ", l.Offset, batch.TimestampType, l.Timestamp, keySize, valueSize, sequence)
	}
	if l.Control != "" {
		return head(4, 6) + fmt.Sprintf("[] endTxnMarker: %s coordinatorEpoch: %d", l.Control, l.CoordinatorEpoch)
	}
	key, keySize := bytesOf(l.Key)
	value, valueSize := bytesOf(l.Value)
	var names []string
	for _, h := range l.Headers {
		name, _ := bytesOf(h.Key)
		names = append(names, name)
	}
	text := head(keySize, valueSize) + "[" + strings.Join(names, ",") + "]"
	if keySize >= 0 {
		text += " key: " + key
	}
	if valueSize >= 0 {
		text += " payload: " + value
	}
	return text
}

// bytesOf is the text of a key or value, and its size, -1 for null.
func bytesOf(v any) (string, int) {
	switch v := v.(type) {
	case string:
		return v, len(v)
	case map[string]any:
		p, err := base64.StdEncoding.DecodeString(fmt.Sprint(v["base64"]))
		if err != nil {
			return err.Error(), -2
		}
		return string(p), len(p)
	}
	return "", -1
}

var (
	dataRecord    = regexp.MustCompile(`^\| offset: (\d+) (?:CreateTime|LogAppendTime): (\d+) .*? headerKeys: \[\] (?:key: (\{.*\}) )?payload: (.*)$`)
	controlRecord = regexp.MustCompile(`^\| offset: (\d+) (?:CreateTime|LogAppendTime): (\d+) .*? headerKeys: \[\] (\w+): (\{.*\})$`)
)

// sameFields compares decoded records: all that Kafka prints must be in ours. It returns what is left to compare as text: those that agree become equal.
func sameFields(t *testing.T, name string, kafka, ours []string) (want, have []string) {
	t.Helper()
	for i, line := range kafka {
		if i >= len(ours) || !strings.HasPrefix(ours[i], "| {") {
			continue
		}
		if err := agree(line, strings.TrimPrefix(ours[i], "| ")); err != nil {
			t.Fatalf("%s: %v\n Kafka: %s\n ours:  %s", name, err, line, ours[i])
		}
		kafka[i] = ours[i]
	}
	return kafka, ours
}

func agree(kafka, ours string) error {
	var o map[string]any
	decode(ours, &o)
	if m := controlRecord.FindStringSubmatch(kafka); m != nil && o["control"] != nil {
		if m[3] != camel(fmt.Sprint(o["control"])) {
			return fmt.Errorf("%s is shown as %v", m[3], o["control"])
		}
		return within(m[3], parsed(m[4]), o["payload"])
	}
	m := dataRecord.FindStringSubmatch(kafka)
	if m == nil {
		return fmt.Errorf("cannot read Kafka's line")
	}
	if fmt.Sprintf("%v %v", o["offset"], o["timestamp"]) != m[1]+" "+m[2] {
		return fmt.Errorf("offset and timestamp differ")
	}
	if m[3] != "" {
		key := parsed(m[3]).(map[string]any)
		if fmt.Sprint(o["keyType"]) != fmt.Sprint(key["type"]) {
			return fmt.Errorf("key type %v, ours %v", key["type"], o["keyType"])
		}
		if err := within("key", key["data"], o["key"]); err != nil {
			return err
		}
	}
	payload, ok := parsed(m[4]).(map[string]any)
	if !ok {
		if o["payload"] != nil {
			return fmt.Errorf("payload %q, ours %v", m[4], o["payload"])
		}
		return nil
	}
	if fmt.Sprint(payload["version"]) != fmt.Sprint(o["version"]) {
		return fmt.Errorf("version %v, ours %v", payload["version"], o["version"])
	}
	if name, ok := payload["type"].(string); ok {
		shown, _ := o["payload"].(map[string]any)
		if camel(name) != fmt.Sprint(shown["type"]) {
			return fmt.Errorf("payload of type %s, ours %v", name, shown["type"])
		}
	}
	return within("payload", payload["data"], o["payload"])
}

func decode(text string, to any) {
	d := json.NewDecoder(bytes.NewReader([]byte(text)))
	d.UseNumber()
	d.Decode(to) //nolint:errcheck // what is missing then is reported
}

func parsed(text string) (v any) {
	decode(text, &v)
	return v
}

// camel turns FEATURE_LEVEL_RECORD into FeatureLevelRecord, and leaves LeaderChange alone.
func camel(name string) string {
	if strings.ToUpper(name) != name {
		return name
	}
	out := ""
	for _, word := range strings.Split(name, "_") {
		out += word[:1] + strings.ToLower(word[1:])
	}
	return strings.Replace(out, "Kraft", "KRaft", 1)
}

// within tells what of Kafka's value is not in ours.
func within(where string, kafka, ours any) error {
	switch k := kafka.(type) {
	case map[string]any:
		o, ok := ours.(map[string]any)
		if !ok {
			return fmt.Errorf("%s is %v in ours", where, ours)
		}
		for name, v := range k {
			if err := within(where+"."+name, v, o[name]); err != nil {
				return err
			}
		}
		return nil
	case []any:
		o, ok := ours.([]any)
		if !ok && len(k) == 0 && ours == nil {
			return nil
		}
		if !ok || len(o) != len(k) {
			return fmt.Errorf("%s has %d elements, ours is %v", where, len(k), ours)
		}
		for i := range k {
			if err := within(fmt.Sprintf("%s[%d]", where, i), k[i], o[i]); err != nil {
				return err
			}
		}
		return nil
	case string: // bytes are base64 there
		text, size := bytesOf(ours)
		if k == text || size >= 0 && k == base64.StdEncoding.EncodeToString([]byte(text)) {
			return nil
		}
	}
	if fmt.Sprint(kafka) != fmt.Sprint(ours) {
		return fmt.Errorf("%s is %v, ours %v", where, kafka, ours)
	}
	return nil
}

// TestDumpsAgree: on logs that Ottla recovered, cut and compacted.
func TestDumpsAgree(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	all := t.TempDir()
	for name, damage := range map[string]func(log []byte) []byte{
		"recovered": func(log []byte) []byte { return log },
		"cut":       func(log []byte) []byte { return log[:len(log)-33] },
		"torn":      func(log []byte) []byte { log[200_000] ^= 1; return log },
	} {
		dir := filepath.Join(all, name)
		if err := os.CopyFS(dir, os.DirFS(filepath.Join(broker.ModuleDir(), "../testdata/kafka-4.3.1"))); err != nil {
			t.Fatal(err)
		}
		// Nothing is known to be durable, as if Kafka had been killed before its first checkpoint.
		edit(t, filepath.Join(dir, "recovery-point-offset-checkpoint"), func([]byte) []byte { return []byte("0\n0\n") })
		edit(t, filepath.Join(dir, "t-0/00000000000000000000.log"), damage)
		b := start(t, broker.Config{Kind: broker.Ottla, Dir: dir})
		add(t, ctx, b.Addr(), "by-ottla", "t")
		stop(t, b)
		run(t, ctx, "log", "verify", dir)
	}
	records := dumpsAgree(t, ctx, all)
	if n := records["t"]; n < 6_100 || n > 3_019*2+2_000+300 {
		t.Errorf("%d records of t, of which one log is whole, one lacks its last record, and one was cut in the middle", n)
	}
	if records["__cluster_metadata"] < 900 || records["__consumer_offsets"] < 15 || records["__transaction_state"] < 30 {
		t.Errorf("few records: %v", records)
	}
}

func edit(t *testing.T, name string, change func([]byte) []byte) {
	t.Helper()
	data, err := os.ReadFile(name)
	if err == nil {
		err = os.WriteFile(name, change(data), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}
