package group

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var rewrite = flag.Bool("rewrite", false, "write what the scenarios of testdata do into their files")

// TestScenarios runs the scripts of testdata, and compares what each command did with what stands behind it. After each
// command, replay of the log, compacted or not, must be the live state.
func TestScenarios(t *testing.T) {
	paths, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(paths) == 0 {
		t.Fatal("no scenarios", err)
	}
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txt"), func(t *testing.T) {
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			want := string(data)
			got := runScenario(t, want)
			if *rewrite {
				if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got; -rewrite accepts it)\n%s", diff)
			}
		})
	}
}

func runScenario(t *testing.T, text string) string {
	l := newLive(t)
	var out strings.Builder
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		if strings.HasPrefix(line, "  ") {
			continue // what it said before
		}
		out.WriteString(line + "\n")
		if line == "" || line[0] == '#' {
			if strings.HasPrefix(line, "# ---") {
				l = newLive(t)
			}
			continue
		}
		for _, said := range l.run(line) {
			for _, part := range strings.Split(said, "\n") {
				out.WriteString("  " + part + "\n")
			}
		}
		if err := l.check(); err != nil {
			t.Fatalf("after %q: %v", line, err)
		}
	}
	return out.String()
}
