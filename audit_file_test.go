package ottla

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/ottla-io/ottla/internal/api"
	"github.com/ottla-io/ottla/internal/run"
	"github.com/ottla-io/ottla/internal/vfs"
)

func readFile(t *testing.T, disk vfs.FS, path string) string {
	t.Helper()
	file, err := disk.OpenReadOnly(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	size, err := file.Size()
	if err != nil {
		t.Fatal(err)
	}
	content := make([]byte, size)
	if _, err := file.ReadAt(content, 0); err != nil && size > 0 {
		t.Fatal(err)
	}
	return string(content)
}

// TestAuditFileFails: lines that a disk refuses are lost, and counted; those after them are whole lines again, and what was written before
// is untouched.
func TestAuditFileFails(t *testing.T) {
	for _, rule := range []vfs.Rule{
		{Op: vfs.OpWrite, Glob: "audit", Skip: 1, Limit: 1, Action: vfs.ShortWrite},
		{Op: vfs.OpWrite, Glob: "audit", Skip: 1, Limit: 1, Action: vfs.FailNoSpace},
		{Op: vfs.OpSync, Glob: "audit", Skip: 1, Limit: 1, Action: vfs.FailIO},
	} {
		disk := vfs.NewFault(vfs.NewMem(1), rule)
		f := &auditFile{disk: disk, path: "/d/audit", mostBytes: 1 << 20, files: 3}
		if err := f.open(); err != nil {
			t.Fatal(err)
		}
		failed := 0
		for _, line := range []string{"first\n", "second\n", "third\n"} {
			if f.append([]byte(line)) != nil {
				failed++
			}
		}
		lines := strings.Split(strings.TrimSuffix(readFile(t, disk, "/d/audit"), "\n"), "\n")
		if failed != 1 || lines[0] != "first" || lines[len(lines)-1] != "third" || len(lines) > 3 {
			t.Errorf("%s, %v: %d appends failed, and the file has %q", rule.Op, rule.Action, failed, lines)
		}
	}
}

// TestAuditFileIsNoLarger: however many lines come at once, each file ends with a whole line and is no larger than it may be, but for one line.
func TestAuditFileIsNoLarger(t *testing.T) {
	for at := 1; at <= 40; at++ {
		disk := vfs.NewMem(1)
		f := &auditFile{disk: disk, path: "/d/audit", mostBytes: 20, files: 50}
		if err := f.open(); err != nil {
			t.Fatal(err)
		}
		text := ""
		for i := range 12 {
			text += strings.Repeat("x", i) + "\n"
		}
		text += strings.Repeat("y", 30) + "\nlast\n"
		cut := min(at*3, len(text))
		cut = strings.LastIndexByte(text[:cut], '\n') + 1 // lines are handed over whole
		for _, part := range []string{text[:cut], text[cut:]} {
			if err := f.append([]byte(part)); err != nil {
				t.Fatal(err)
			}
		}
		all := readFile(t, disk, "/d/audit")
		for n := 1; ; n++ {
			name := fmt.Sprint("/d/audit.", n)
			if _, err := disk.Stat(name); err != nil {
				break
			}
			one := readFile(t, disk, name)
			if len(one) > 20 && strings.Count(one, "\n") > 1 || !strings.HasSuffix(one, "\n") {
				t.Errorf("%s is %q", name, one)
			}
			all = one + all
		}
		if all != text {
			t.Errorf("handed over at %d: %q is left of %q", cut, all, text)
		}
	}
}

// TestAuditCountsWhatIsLost: the log has every change, the file those that it could take.
func TestAuditCountsWhatIsLost(t *testing.T) {
	disk := vfs.NewFault(vfs.NewMem(1))
	var log strings.Builder
	env := run.OS()
	a := &auditor{env: env, logger: slog.New(slog.NewTextHandler(&log, nil)), group: run.NewGroup(env), more: env.NewSignal(),
		file: &auditFile{disk: disk, path: "/d/audit", mostBytes: 1 << 20, files: 3}}
	if err := a.file.open(); err != nil {
		t.Fatal(err)
	}
	lock, err := disk.Lock("/d/audit.lock")
	if err != nil {
		t.Fatal(err)
	}
	a.file.lock = lock
	change := api.AuditEvent{API: "DeleteTopics", Changes: []api.Change{{Kind: "topic", Name: "kept"}}}
	a.tell(change)
	a.group.Go("audit file", a.write)
	for a.told.Load() == 0 || !strings.Contains(readFile(t, disk, "/d/audit"), "kept") {
		env.NewSignal().WaitFor(1e6)
	}
	disk.Add(vfs.Rule{Op: vfs.OpWrite, Action: vfs.FailIO})
	change.Changes = append([]api.Change{}, api.Change{Kind: "topic", Name: "lost"}, api.Change{Kind: "topic", Name: "lost, too"})
	a.tell(change)
	a.close()
	if a.told.Load() != 3 || a.lost.Load() != 2 {
		t.Errorf("%d changes told, %d lost, want 3 and 2", a.told.Load(), a.lost.Load())
	}
	if n := strings.Count(log.String(), auditMessage); n != 3 || !strings.Contains(log.String(), "the audit file cannot be written") {
		t.Errorf("the log tells of %d changes: %s", n, log.String())
	}
}
