package ottla

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"net"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ottla-io/ottla/internal/api"
	"github.com/ottla-io/ottla/internal/run"
	"github.com/ottla-io/ottla/internal/vfs"
)

// auditMessage is the message of every change in the log. docs/audit.md says what goes with it.
const auditMessage = "admin change"

// auditQueueBytes bounds what waits to be written to the audit file.
const auditQueueBytes = 16 << 20

// auditLine is one change in the audit file: one line of JSON. docs/audit.md describes the fields.
type auditLine struct {
	Time       time.Time `json:"time"`
	API        string    `json:"api"`
	Version    int16     `json:"version"`
	Principal  string    `json:"principal"`
	ClientID   string    `json:"clientId"`
	Software   string    `json:"software"`
	Listener   string    `json:"listener"`
	Client     string    `json:"client"` // HOST:PORT
	Connection uint64    `json:"connection"`
	Kind       string    `json:"kind"`
	Name       string    `json:"name"`
	Before     api.State `json:"before"`
	After      api.State `json:"after"`
	Outcome    string    `json:"outcome"`
	Message    string    `json:"message,omitempty"`
	Omitted    int       `json:"omitted,omitempty"` // on the last line of a request: how many changes more it had
}

// auditor tells every change to the log and, if there is one, to the audit file, which a goroutine of its own writes: who asks for a
// change never waits for that disk.
type auditor struct {
	env    run.Env
	logger *slog.Logger
	group  *run.Group
	more   run.Signal
	file   *auditFile // nil without ottla.audit.file

	told, lost atomic.Uint64

	mu     sync.Mutex
	queue  []byte // lines to write
	lines  uint64
	closed bool
}

// startAudit opens the audit file, if one is configured, and begins to write it.
func (b *Broker) startAudit() error {
	s := b.settings.broker
	b.audit = &auditor{env: b.doors.env, logger: b.logger, group: run.NewGroup(b.doors.env), more: b.doors.env.NewSignal()}
	if s.AuditFile == "" {
		return nil
	}
	b.audit.file = &auditFile{disk: b.doors.disk, path: s.AuditFile, mostBytes: s.AuditFileBytes, files: s.AuditFiles}
	if err := b.audit.file.open(); err != nil {
		return fmt.Errorf("ottla.audit.file: %w; changes that cannot be put on record are not served", err)
	}
	lock, err := b.doors.disk.Lock(s.AuditFile + ".lock")
	if err != nil {
		b.audit.file.close()
		return fmt.Errorf("ottla.audit.file: lock %s.lock: %w; each broker needs a file of its own", s.AuditFile, err)
	}
	b.audit.file.lock = lock
	b.audit.group.Go("audit file", b.audit.write)
	return nil
}

// tell is api.Deps.Audit.
func (a *auditor) tell(e api.AuditEvent) {
	a.told.Add(uint64(len(e.Changes)))
	line := auditLine{Time: a.env.Now().UTC(), API: e.API, Version: e.Version, Principal: e.Principal, ClientID: e.ClientID, Software: e.SoftwareName + "/" + e.SoftwareVersion,
		Listener: e.Listener, Client: net.JoinHostPort(e.Host, strconv.Itoa(int(e.Port))), Connection: e.Connection}
	var lines []byte
	for i, c := range e.Changes {
		line.Kind, line.Name, line.Before, line.After, line.Outcome, line.Message = c.Kind, c.Name, c.Before, c.After, c.Error.Name(), c.Message
		if i == len(e.Changes)-1 {
			line.Omitted = e.Omitted
		}
		a.log(&line)
		if a.file == nil {
			continue
		}
		encoded, err := json.Marshal(&line)
		if err != nil {
			panic(fmt.Sprintf("an audit line cannot be encoded: %v", err)) // it is made of strings and numbers
		}
		lines = append(append(lines, encoded...), '\n')
	}
	a.enqueue(lines, uint64(len(e.Changes)))
}

func (a *auditor) log(line *auditLine) {
	args := []any{"api", line.API, "kind", line.Kind, "name", line.Name, "outcome", line.Outcome}
	if line.Message != "" {
		args = append(args, "message", line.Message)
	}
	args = append(args, "before", stateText(line.Before), "after", stateText(line.After), "principal", line.Principal, "clientId", line.ClientID,
		"software", line.Software, "client", line.Client, "listener", line.Listener, "connection", line.Connection)
	if line.Omitted > 0 {
		args = append(args, "omitted", line.Omitted)
	}
	a.logger.Info(auditMessage, args...)
}

// stateText is a state in one line, sorted; "-" if there is nothing.
func stateText(state api.State) string {
	if state == nil {
		return "-"
	}
	parts := make([]string, 0, len(state))
	for _, name := range slices.Sorted(maps.Keys(state)) {
		parts = append(parts, name+"="+state[name])
	}
	return strings.Join(parts, " ")
}

// enqueue hands lines to the file's goroutine; what finds the queue full is lost, and counted.
func (a *auditor) enqueue(lines []byte, count uint64) {
	if a.file == nil {
		return
	}
	a.mu.Lock()
	full := a.closed || len(a.queue)+len(lines) > auditQueueBytes
	if !full {
		a.queue, a.lines = append(a.queue, lines...), a.lines+count
	}
	a.mu.Unlock()
	if full {
		a.lost.Add(count)
		return
	}
	a.more.Set()
}

// write writes what is queued until close.
func (a *auditor) write() {
	said := time.Duration(-repeatAfter)
	for {
		a.mu.Lock()
		lines, count, closed := a.queue, a.lines, a.closed
		a.queue, a.lines = nil, 0
		a.mu.Unlock()
		if len(lines) == 0 {
			if closed {
				a.file.close()
				a.file.lock.Close() // the system lets go of it anyway
				return
			}
			a.more.Wait()
			continue
		}
		if err := a.file.append(lines); err != nil {
			a.lost.Add(count)
			if now := a.env.Monotonic(); now-said >= repeatAfter {
				said = now
				a.logger.Error("the audit file cannot be written: changes are on record in this log only", "file", a.file.path, "error", err)
			}
		}
	}
}

// close writes what is queued, and waits for it.
func (a *auditor) close() {
	a.mu.Lock()
	a.closed = true
	a.mu.Unlock()
	a.more.Set()
	a.group.Close()
}

// auditFile is a file of lines that only grows, and is put aside when it is large: PATH, PATH.1, PATH.2, the newest first.
type auditFile struct {
	disk      vfs.FS
	path      string
	mostBytes int64
	files     int // kept, PATH included

	lock io.Closer // of the process
	file vfs.File  // nil after a failure
	size int64
}

// open opens the file for appending, or makes it. A line that a crash cut off is ended.
func (f *auditFile) open() error {
	file, err := f.disk.Open(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return f.create()
	}
	if err != nil {
		return fmt.Errorf("open %s: %w", f.path, err)
	}
	size, err := file.Size()
	if err != nil {
		file.Close()
		return fmt.Errorf("open %s: %w", f.path, err)
	}
	f.file, f.size = file, size
	var last [1]byte
	if size == 0 {
		return nil
	}
	if _, err := file.ReadAt(last[:], size-1); err == nil && last[0] != '\n' {
		return f.appendWhole([]byte{'\n'})
	}
	return nil
}

func (f *auditFile) create() error {
	dir := path.Dir(f.path)
	if err := f.disk.MkdirAll(dir); err != nil {
		return fmt.Errorf("make %s: %w", dir, err)
	}
	file, err := f.disk.Create(f.path)
	if err != nil {
		return fmt.Errorf("make %s: %w", f.path, err)
	}
	f.file, f.size = file, 0
	if err := f.disk.SyncDir(dir); err != nil {
		f.close()
		return fmt.Errorf("sync %s: %w", dir, err)
	}
	return nil
}

// append writes and syncs lines, turning the file as often as it is full. Of those that it fails with, some may be written.
func (f *auditFile) append(lines []byte) error {
	for len(lines) > 0 {
		fit := f.fitting(lines)
		if err := f.appendWhole(lines[:fit]); err != nil {
			return err
		}
		lines = lines[fit:]
	}
	return nil
}

// fitting is how many bytes of lines come next: whole lines that fit into the file or, where it is too full, into a new one; one at least.
func (f *auditFile) fitting(lines []byte) int {
	room := f.mostBytes - f.size
	first := bytes.IndexByte(lines, '\n') + 1
	if first == 0 || int64(first) > room {
		room = f.mostBytes
	}
	if int64(len(lines)) <= room {
		return len(lines)
	}
	return max(bytes.LastIndexByte(lines[:room], '\n')+1, first)
}

// appendWhole writes and syncs lines to one file. A file that failed is not trusted again: the next call opens it anew.
func (f *auditFile) appendWhole(lines []byte) error {
	if f.file == nil {
		if err := f.open(); err != nil {
			return err
		}
	}
	if f.size > 0 && f.size+int64(len(lines)) > f.mostBytes {
		if err := f.rotate(); err != nil {
			return err
		}
	}
	_, err := f.file.WriteAt(lines, f.size)
	if err == nil {
		err = f.file.Sync()
	}
	if err != nil {
		f.close()
		return fmt.Errorf("write %s: %w", f.path, err)
	}
	f.size += int64(len(lines))
	return nil
}

// rotate puts the file aside as PATH.1, and its predecessors one further; the oldest goes.
func (f *auditFile) rotate() error {
	f.close()
	if f.files == 1 {
		if err := f.disk.Remove(f.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove %s: %w", f.path, err)
		}
		return f.create()
	}
	for n := f.files - 1; n > 0; n-- {
		from := f.path
		if n > 1 {
			from = f.path + "." + strconv.Itoa(n-1)
		}
		to := f.path + "." + strconv.Itoa(n)
		if err := f.disk.Rename(from, to); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("rename %s to %s: %w", from, to, err)
		}
	}
	return f.create()
}

func (f *auditFile) close() {
	if f.file != nil {
		f.file.Close() // what was written is synced
		f.file = nil
	}
}
