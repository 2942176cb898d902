package wire_test

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/ottla-io/ottla/internal/wire"
)

var updateLayouts = flag.Bool("update-layouts", false, "write testdata/layouts.txt anew; needs OTTLA_KAFKA_LIBS")

// sample is the bytes of a random message.
type sample struct {
	message wire.Message
	name    string
	version int16
	body    []byte
}

// kafkaName is Kafka's name of our type.
func kafkaName(m wire.Message) string {
	name := reflect.TypeOf(m).Elem().Name()
	if name == "OffsetCommitRecordKey" {
		return "OffsetCommitKey"
	}
	return name
}

func samples(t *testing.T, seed uint64, perVersion int) []sample {
	f := newFiller(seed)
	// Java strings are not bytes: only valid UTF-8 survives.
	f.words = []string{"", "a", "topic-1", "größe", "日本", strings.Repeat("n", 127), strings.Repeat("m", 200)}
	var all []sample
	for _, m := range allMessages() {
		lowest, highest := m.Versions()
		for version := lowest; version <= highest; version++ {
			for i := range perVersion {
				f.nulls = i%2 == 0
				all = append(all, sample{m, kafkaName(m), version, mustEncode(t, randomMessage(f, m, version), version)})
			}
		}
	}
	return all
}

// TestKafkaOracle has Kafka's own classes decode and re-encode random messages of every kind and version. It needs Java
// and, in OTTLA_KAFKA_LIBS, the directory of Kafka's jars; TestLayouts holds what it found where there is neither.
func TestKafkaOracle(t *testing.T) {
	libs := os.Getenv("OTTLA_KAFKA_LIBS")
	if libs == "" {
		t.Skip("OTTLA_KAFKA_LIBS is not set")
	}
	all := samples(t, seed(t), 12)
	var input bytes.Buffer
	for _, s := range all {
		fmt.Fprintf(&input, "%s %d %x\n", s.name, s.version, s.body)
	}
	java := exec.Command("java", "-Xmx256m", "-XX:+UseSerialGC", "-cp", filepath.Join(libs, "*"), "testdata/KafkaOracle.java")
	java.Stdin, java.Stderr = &input, os.Stderr
	output, err := java.Output()
	if err != nil {
		t.Fatal(err)
	}
	answers := strings.Split(strings.TrimSpace(string(output)), "\n")
	if len(answers) != len(all) {
		t.Fatalf("%d answers to %d messages", len(answers), len(all))
	}
	same, unknown := 0, map[string]bool{}
	for i, answer := range answers {
		switch {
		case answer == "same":
			same++
		case strings.HasPrefix(answer, "unknown"):
			unknown[answer] = true
		default:
			t.Errorf("%s %d %x: %s", all[i].name, all[i].version, all[i].body, answer)
		}
	}
	t.Logf("%d of %d the same; %v", same, len(all), unknown)
	if same < len(all)*95/100 {
		t.Errorf("Kafka knows only %d of %d", same, len(all))
	}
	if *updateLayouts && !t.Failed() {
		writeLayouts(t, all, answers)
	}
}

// isLayout tells record layouts from requests and responses, which TestKmsgOracle holds in every run.
func isLayout(m wire.Message) bool {
	name := reflect.TypeOf(m).Elem().Name()
	return !strings.HasSuffix(name, "Request") && !strings.HasSuffix(name, "Response")
}

func writeLayouts(t *testing.T, all []sample, answers []string) {
	var b strings.Builder
	b.WriteString("# Record layouts that Kafka 4.3.1's own classes decode and re-encode to the same bytes: name, version, hex.\n" +
		"# Written by go test -run TestKafkaOracle -update-layouts with OTTLA_KAFKA_LIBS set.\n")
	written := map[string]int{}
	for i, s := range all {
		id := fmt.Sprintf("%s %d", s.name, s.version)
		if answers[i] != "same" || !isLayout(s.message) || written[id] == 4 || len(s.body) > 600 {
			continue
		}
		written[id]++
		fmt.Fprintf(&b, "%s %x\n", id, s.body)
	}
	if err := os.WriteFile("testdata/layouts.txt", []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestLayouts re-encodes, byte by byte, the record layouts that Kafka's own classes have confirmed.
func TestLayouts(t *testing.T) {
	byName := map[string]wire.Message{}
	for _, m := range allMessages() {
		byName[kafkaName(m)] = m
	}
	file, err := os.Open("testdata/layouts.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	seen := map[string]bool{}
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		words := strings.Split(lines.Text(), " ")
		if words[0] == "#" {
			continue
		}
		version, err := strconv.ParseInt(words[1], 10, 16)
		if err != nil {
			t.Fatal(err)
		}
		body, err := hex.DecodeString(words[2])
		if err != nil {
			t.Fatal(err)
		}
		m := byName[words[0]]
		if m == nil {
			t.Fatalf("no message %s", words[0])
		}
		reencode(t, m, int16(version), body)
		seen[words[0]] = true
	}
	if lines.Err() != nil {
		t.Fatal(lines.Err())
	}
	for name, m := range byName {
		if isLayout(m) && !seen[name] && !unconfirmed(name) {
			t.Errorf("no bytes of %s", name)
		}
	}
}

// unconfirmed names the layouts that Kafka 4.3.1 has no generated class for: the first is written by hand there, see
// TestAbortedTransactionIndex, and the second came with 4.4.
func unconfirmed(name string) bool {
	return name == "AbortedTxn" || name == "UnregisterControllerRecord"
}
