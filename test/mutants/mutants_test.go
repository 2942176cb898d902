// Package mutants proves that the tests of the storage engine can fail: each mutant of mutants.txt is a bug that a tired engineer could write, and the
// test that it names must notice it. The sources are not touched: the mutated file reaches the compiler as an overlay.
package mutants

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// mutant is one paragraph of mutants.txt:
//
//	== what the bug is
//	file internal/…/name.go
//	test ./internal/… TestName
//	-the lines
//	-as they are
//	+the lines
//	+as the bug has them
//
// Where two places guard against the same bug, another file line begins the second change.
type mutant struct {
	name       string
	pkg, test  string
	changes    []change
	lineInList int
}

// change is what a bug does to one file.
type change struct {
	file    string
	was, is []string
}

func parse(text string) (all []mutant, err error) {
	for i, line := range strings.Split(text, "\n") {
		if strings.HasPrefix(line, "== ") {
			all = append(all, mutant{name: line[3:], lineInList: i + 1})
			continue
		}
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if len(all) == 0 {
			return nil, fmt.Errorf("line %d stands before the first mutant", i+1)
		}
		m := &all[len(all)-1]
		fields := strings.Fields(line)
		switch c := &m.changes; {
		case line[0] == '-' && len(*c) > 0:
			(*c)[len(*c)-1].was = append((*c)[len(*c)-1].was, line[1:])
		case line[0] == '+' && len(*c) > 0:
			(*c)[len(*c)-1].is = append((*c)[len(*c)-1].is, line[1:])
		case fields[0] == "file" && len(fields) == 2:
			m.changes = append(m.changes, change{file: fields[1]})
		case fields[0] == "test" && len(fields) == 3:
			m.pkg, m.test = fields[1], fields[2]
		default:
			return nil, fmt.Errorf("line %d: %q is no part of a mutant", i+1, line)
		}
	}
	return all, nil
}

// mutate writes the mutated sources and the overlay that names them.
func (m mutant) mutate(root, dir string) (overlay string, err error) {
	replace := map[string]string{}
	for i, c := range m.changes {
		source := filepath.Join(root, c.file)
		text, err := os.ReadFile(source)
		if err != nil {
			return "", err
		}
		was, is := strings.Join(c.was, "\n")+"\n", strings.Join(c.is, "\n")+"\n"
		if n := strings.Count(string(text), was); len(c.was) == 0 || n != 1 || replace[source] != "" {
			return "", fmt.Errorf("its lines occur %d times in %s: bring mutants.txt (line %d) up to the source", n, c.file, m.lineInList)
		}
		replace[source] = filepath.Join(dir, fmt.Sprintf("mutated%d.go", i))
		if err := os.WriteFile(replace[source], []byte(strings.Replace(string(text), was, is, 1)), 0o644); err != nil {
			return "", err
		}
	}
	content, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	overlay = filepath.Join(dir, "overlay.json")
	return overlay, os.WriteFile(overlay, content, 0o644)
}

// The tests name no test of this module: they run those of the module above, which know nothing of mutants.
func TestEveryMutantIsKilled(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	list, err := os.ReadFile("mutants.txt")
	if err != nil {
		t.Fatal(err)
	}
	all, err := parse(string(list))
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 12 {
		t.Fatalf("only %d mutants", len(all))
	}
	for _, m := range all {
		t.Run(strings.ReplaceAll(m.name, " ", "-"), func(t *testing.T) {
			overlay, err := m.mutate(root, t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
			defer cancel()
			cmd := exec.CommandContext(ctx, "go", "test", "-overlay", overlay, "-vet=off", "-count=1", "-failfast", "-timeout", "120s", "-run", "^"+m.test+"$", m.pkg)
			cmd.Dir = root
			cmd.Env = append(os.Environ(), "GOWORK=off", "OTTLA_CRASH_POINTS=20000")
			started := time.Now()
			out, err := cmd.CombinedOutput()
			took := time.Since(started).Round(time.Millisecond)
			switch {
			case strings.Contains(string(out), "[build failed]") || strings.Contains(string(out), "[setup failed]"):
				t.Fatalf("the mutant does not compile:\n%s", out)
			case err == nil && strings.Contains(string(out), "no tests to run"):
				t.Fatalf("there is no %s in %s", m.test, m.pkg)
			case err == nil:
				t.Errorf("it lives: %s passes with the bug in %s (%v)", m.test, m.changes[0].file, took)
			case !strings.Contains(string(out), "--- FAIL: "+strings.Split(m.test, "/")[0]) && !strings.Contains(string(out), "panic: "):
				t.Errorf("%s ended with %v, and not because it failed:\n%s", m.test, err, out)
			default:
				t.Logf("killed by %s in %v", m.test, took)
			}
		})
	}
}
