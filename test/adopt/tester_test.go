package adopt

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/ottla-io/ottla/test/broker"
)

// TestLogCompactionTester: Kafka's own test of log compaction passes against Ottla: it writes keys again and again, with deletes among them, waits, reads what
// is left, and holds the newest of each key against what it wrote.
//
// The tool takes an empty poll for the end, and a poll of the Java client is empty, too, when the one before it took the last record of all that was
// fetched: then only the position moves, behind the batch. Polls take 500 records, so a run that ended after a multiple of 500 says nothing.
func TestLogCompactionTester(t *testing.T) {
	for range 3 {
		out, err := runCompactionTester(t)
		if consumed := regexp.MustCompile(`(\d+)00 rows of data consumed`).FindSubmatch(out); err != nil && consumed != nil {
			if hundreds, _ := strconv.Atoi(string(consumed[1])); hundreds%5 == 0 {
				t.Logf("it stopped early, again:\n%s", out)
				continue
			}
		}
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		checkCompactionTester(t, out)
		return
	}
	t.Fatal("it stopped early three times")
}

func runCompactionTester(t *testing.T) ([]byte, error) {
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	b := start(t, broker.Config{Kind: broker.Ottla, Dir: t.TempDir(), Settings: map[string]string{
		"log.cleaner.backoff.ms": "100", "log.segment.bytes": "1048576", "log.cleaner.min.cleanable.ratio": "0.01"}})
	cmd := exec.CommandContext(ctx, filepath.Join(broker.ModuleDir(), "kafka/kafka"), "log-compaction-tester", "--bootstrap-server", b.Addr(),
		"--messages", "200000", "--topics", "2", "--duplicates", "10", "--percent-deletes", "20", "--compression-type", "lz4", "--sleep", "12") // seconds
	cmd.Env = append(os.Environ(), "KAFKA_OPTS=-Xmx256m -XX:+UseSerialGC -Djava.io.tmpdir="+t.TempDir()) // where it keeps what it wrote and read
	return cmd.CombinedOutput()
}

func checkCompactionTester(t *testing.T, out []byte) {
	t.Logf("%s", out)
	found := regexp.MustCompile(`\((\d+)\.\d% reduction\)[^$]*Validated (\d+) values, (\d+) mismatches`).FindSubmatch(out)
	if found == nil {
		t.Fatal("it does not say what was left")
	}
	if reduction, _ := strconv.Atoi(string(found[1])); reduction < 50 || string(found[2]) == "0" || string(found[3]) != "0" {
		t.Errorf("%s %% fewer records, %s values validated, %s mismatches", found[1], found[2], found[3])
	}
}
