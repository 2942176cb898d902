package engines

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ottla-io/ottla/test/broker"
)

// submit starts a job as spark-submit does.
func (b *bench) submit(name, job string) *process {
	b.t.Helper()
	jars, _ := filepath.Glob(filepath.Join(broker.Cache(), "engines/spark/*.jar"))
	if len(jars) == 0 {
		b.t.Fatal("no jars of Spark's connector: has test/engines/install.sh run?")
	}
	bin := filepath.Join(broker.Cache(), "engines/venv/bin")
	b.t.Setenv("PYSPARK_PYTHON", filepath.Join(bin, "python3"))
	return b.start(name, filepath.Join(bin, "spark-submit"), "--master", "local[1]", "--driver-memory", "768m",
		"--conf", "spark.ui.enabled=false", "--conf", "spark.sql.shuffle.partitions=1", "--jars", strings.Join(jars, ","), job)
}

// TestSpark: a stream copies a topic to another one, and to files. The broker is killed in the middle, and later the job, which goes on from its
// checkpoints. Then a batch job reads what came of it: the files hold each flight once, and the sums of the topic's flights are right.
func TestSpark(t *testing.T) {
	b := newBench(t)
	for _, topic := range []string{"flights", "flights-spark"} {
		b.create(topic, 2)
	}
	job := b.config("spark/stream.py")
	b.publish("flights", b.flights[:8000])
	stream := b.submit("stream", job)
	b.until("the first flights are copied", func() bool { return b.size("flights-spark") >= 1000 }, stream)
	b.crash()
	b.publish("flights", b.flights[8000:14_000])
	b.until("half is copied", func() bool { return b.size("flights-spark") >= 10_000 }, stream)
	stream.kill()
	b.publish("flights", b.flights[14_000:])
	stream = b.submit("stream", job)
	var missing, copies int
	b.until("all is copied", func() bool {
		if b.size("flights-spark") < len(b.flights) {
			return false
		}
		missing, copies = b.all("flights-spark", b.values("flights-spark"))
		return missing == 0
	}, stream)
	b.until("all is in the files, too", func() bool { return b.sparkFiles() >= len(b.flights) }, stream)
	stream.kill()
	b.submit("batch", b.config("spark/batch.py")).wait()
	if missing, again := b.all("the stream's files", b.values("flights-of-files")); missing != 0 || again != 0 {
		t.Errorf("the stream's files, by the batch job: %d flights are missing and %d are there again, wanted each once", missing, again)
	}
	want, have := b.origins(), b.values("origins")
	slices.Sort(have)
	if !slices.Equal(have, want) {
		t.Errorf("the batch job's sums: %d origins, wanted these %d:\nhave %.300q\nwant %.300q", len(have), len(want), have, want)
	}
	b.record("Spark Structured Streaming and batch", sparkVersion(t), fmt.Sprintf(
		"topic to topic and to files; broker killed, job killed and started again from its checkpoints: each flight is in the files once, and in the topic, "+
			"where %d are again; a batch job's sums by origin are exact", copies))
}

// sparkFiles is how many lines the stream's files have, those included that were written and not committed.
func (b *bench) sparkFiles() int {
	files, _ := filepath.Glob(filepath.Join(b.dir, "flights-spark/part-*"))
	committed, _ := filepath.Glob(filepath.Join(b.dir, "checkpoints/files/commits/[0-9]*"))
	started, _ := filepath.Glob(filepath.Join(b.dir, "checkpoints/files/offsets/[0-9]*"))
	if len(committed) < len(started) {
		return 0
	}
	n := 0
	for _, file := range files {
		n += len(lines(file))
	}
	return n
}

func sparkVersion(t *testing.T) string { return jarVersion(t, "spark", "spark-sql-kafka-0-10_2.13") }

// origins are the lines that the batch job must write, sorted.
func (b *bench) origins() []string {
	type origin struct {
		Origin   string `json:"origin"`
		Flights  int    `json:"flights"`
		Distance int    `json:"distance"`
	}
	sums := map[string]*origin{}
	for _, line := range b.flights {
		var flight origin
		if err := json.Unmarshal([]byte(line), &flight); err != nil {
			b.t.Fatal(err)
		}
		sum := sums[flight.Origin]
		if sum == nil {
			sum = &origin{Origin: flight.Origin}
			sums[flight.Origin] = sum
		}
		sum.Flights++
		sum.Distance += flight.Distance
	}
	var out []string
	for _, sum := range sums {
		line, err := json.Marshal(sum)
		if err != nil {
			b.t.Fatal(err)
		}
		out = append(out, string(line))
	}
	slices.Sort(out)
	return out
}
