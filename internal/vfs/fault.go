package vfs

import (
	"io"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"sync"
	"syscall"
)

// Op names one operation of FS or File for rules.
type Op string

// The operations that rules can match.
const (
	OpCreate   Op = "create"
	OpOpen     Op = "open" // Open and OpenReadOnly
	OpRename   Op = "rename"
	OpRemove   Op = "remove" // Remove and RemoveAll
	OpMkdir    Op = "mkdir"
	OpList     Op = "list"
	OpStat     Op = "stat" // Stat and Size
	OpSyncDir  Op = "syncdir"
	OpSyncFS   Op = "syncfs"
	OpLock     Op = "lock"
	OpSpace    Op = "space"
	OpRead     Op = "read"
	OpWrite    Op = "write"
	OpTruncate Op = "truncate"
	OpSync     Op = "sync"
)

// Action is what a rule does to an operation that it hits.
type Action uint8

const (
	// FailIO fails the operation with EIO; the inner FS is not asked. A sync that fails so is a failed fsync as Linux does it: the
	// kernel takes the pages for clean, so every later Sync of that path (or SyncFS) succeeds and makes nothing durable.
	FailIO Action = iota
	// FailNoSpace fails the operation with ErrNoSpace.
	FailNoSpace
	// ShortWrite writes the first half (rounded down) and fails with EIO. Only for OpWrite.
	ShortWrite
	// FlipBit inverts one bit, drawn from the rule's seed, of what was read. Only for OpRead.
	FlipBit
	// Pass lets the operation through: for rules that only count or call Hook.
	Pass
)

// Rule says which operations go wrong, and how. The zero values of its conditions mean "every".
type Rule struct {
	Op   Op     // empty matches every operation
	Glob string // path.Match pattern against the whole path, or, without a slash, against its last name; empty matches all
	// Skip lets so many matching operations pass first; Skip 2 makes the third go wrong.
	Skip int
	// Limit is how many operations go wrong before the rule rests; 0 means no limit.
	Limit int
	// Probability is the chance that a matching operation goes wrong, from Seed; 0 means always.
	Probability float64
	Seed        uint64
	Action      Action
	// Hook, if set, is called before the action without any lock held; it may wait, which makes a slow disk.
	Hook func(op Op, path string)
}

// Fault passes everything to another FS, except what rules make go wrong. Files opened through it obey rules that are added later.
type Fault struct {
	inner FS

	mu      sync.Mutex
	rules   []*ActiveRule
	lying   map[string]bool // paths whose sync failed once
	lyingFS bool
}

// ActiveRule is a rule in force.
type ActiveRule struct {
	fault   *Fault
	rule    Rule
	random  *rand.Rand
	matched int
	hits    int
}

// NewFault wraps inner.
func NewFault(inner FS, rules ...Rule) *Fault {
	f := &Fault{inner: inner, lying: make(map[string]bool)}
	for _, rule := range rules {
		f.Add(rule)
	}
	return f
}

// Add puts a rule in force. Where several match, the first added that hits decides.
func (f *Fault) Add(rule Rule) *ActiveRule {
	active := &ActiveRule{fault: f, rule: rule, random: rand.New(rand.NewPCG(rule.Seed, 0xfa17))}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rules = append(f.rules, active)
	return active
}

// Remove ends the rule. Paths whose sync failed keep lying.
func (a *ActiveRule) Remove() {
	a.fault.mu.Lock()
	defer a.fault.mu.Unlock()
	a.fault.rules = slices.DeleteFunc(a.fault.rules, func(r *ActiveRule) bool { return r == a })
}

// Matched is how many operations the rule's Op and Glob matched; Hits, how many of them it made go wrong.
func (a *ActiveRule) Matched() int {
	a.fault.mu.Lock()
	defer a.fault.mu.Unlock()
	return a.matched
}

// Hits is how many operations the rule made go wrong.
func (a *ActiveRule) Hits() int {
	a.fault.mu.Lock()
	defer a.fault.mu.Unlock()
	return a.hits
}

func (a *ActiveRule) matches(op Op, name string) bool {
	if a.rule.Op != "" && a.rule.Op != op {
		return false
	}
	if a.rule.Glob == "" {
		return true
	}
	if !strings.Contains(a.rule.Glob, "/") {
		name = path.Base(name)
	}
	ok, err := path.Match(a.rule.Glob, name)
	return ok && err == nil
}

// hit decides whether a matching operation goes wrong. The caller holds the lock.
func (a *ActiveRule) hit() bool {
	a.matched++
	if a.matched <= a.rule.Skip || a.rule.Limit > 0 && a.hits >= a.rule.Limit {
		return false
	}
	if a.rule.Probability > 0 && a.random.Float64() >= a.rule.Probability {
		return false
	}
	a.hits++
	return true
}

// outcome is what the rules have in mind for one operation.
type outcome struct {
	action Action
	flip   uint64 // which bit, modulo the number of bits
}

func (f *Fault) decide(op Op, name string) outcome {
	result := outcome{action: Pass}
	var hooks []func(Op, string)
	f.mu.Lock()
	for _, rule := range f.rules {
		if !rule.matches(op, name) || !rule.hit() {
			continue
		}
		if rule.rule.Hook != nil {
			hooks = append(hooks, rule.rule.Hook)
		}
		if rule.rule.Action != Pass {
			result = outcome{action: rule.rule.Action, flip: rule.random.Uint64()}
			break
		}
	}
	f.mu.Unlock()
	for _, hook := range hooks {
		hook(op, name)
	}
	return result
}

// check is for operations that go wrong as a whole or not at all.
func (f *Fault) check(op Op, name string) error {
	return f.decide(op, name).failure(op, name)
}

func (o outcome) failure(op Op, name string) error {
	switch o.action {
	case FailIO, ShortWrite:
		return pathError(string(op), name, syscall.EIO)
	case FailNoSpace:
		return pathError(string(op), name, ErrNoSpace)
	default:
		return nil
	}
}

// Create implements FS.
func (f *Fault) Create(name string) (File, error) { return f.open(OpCreate, name, f.inner.Create) }

// Open implements FS.
func (f *Fault) Open(name string) (File, error) { return f.open(OpOpen, name, f.inner.Open) }

// OpenReadOnly implements FS.
func (f *Fault) OpenReadOnly(name string) (File, error) {
	return f.open(OpOpen, name, f.inner.OpenReadOnly)
}

func (f *Fault) open(op Op, name string, open func(string) (File, error)) (File, error) {
	if err := f.check(op, name); err != nil {
		return nil, err
	}
	file, err := open(name)
	if err != nil {
		return nil, err
	}
	return &faultFile{File: file, fault: f, name: name}, nil
}

// Rename implements FS. Rules see the old path.
func (f *Fault) Rename(oldPath, newPath string) error {
	if err := f.check(OpRename, oldPath); err != nil {
		return err
	}
	return f.inner.Rename(oldPath, newPath)
}

// Remove implements FS.
func (f *Fault) Remove(name string) error {
	if err := f.check(OpRemove, name); err != nil {
		return err
	}
	return f.inner.Remove(name)
}

// RemoveAll implements FS.
func (f *Fault) RemoveAll(name string) error {
	if err := f.check(OpRemove, name); err != nil {
		return err
	}
	return f.inner.RemoveAll(name)
}

// MkdirAll implements FS.
func (f *Fault) MkdirAll(name string) error {
	if err := f.check(OpMkdir, name); err != nil {
		return err
	}
	return f.inner.MkdirAll(name)
}

// List implements FS.
func (f *Fault) List(dir string) ([]Entry, error) {
	if err := f.check(OpList, dir); err != nil {
		return nil, err
	}
	return f.inner.List(dir)
}

// Stat implements FS.
func (f *Fault) Stat(name string) (Entry, error) {
	if err := f.check(OpStat, name); err != nil {
		return Entry{}, err
	}
	return f.inner.Stat(name)
}

// SyncDir implements FS.
func (f *Fault) SyncDir(dir string) error { return f.sync(OpSyncDir, dir, f.inner.SyncDir) }

// SyncFS implements FS.
func (f *Fault) SyncFS(dir string) error { return f.sync(OpSyncFS, dir, f.inner.SyncFS) }

// sync fails once and lies ever after, as the kernel does.
func (f *Fault) sync(op Op, name string, inner func(string) error) error {
	err := f.check(op, name)
	f.mu.Lock()
	if err != nil {
		if op == OpSyncFS {
			f.lyingFS = true
		} else {
			f.lying[name] = true
		}
	}
	lies := f.lyingFS || f.lying[name]
	f.mu.Unlock()
	if err != nil || lies {
		return err
	}
	return inner(name)
}

// Dedicated implements FS.
func (f *Fault) Dedicated(dir string) bool { return f.inner.Dedicated(dir) }

// Lock implements FS.
func (f *Fault) Lock(name string) (io.Closer, error) {
	if err := f.check(OpLock, name); err != nil {
		return nil, err
	}
	return f.inner.Lock(name)
}

// Space implements FS.
func (f *Fault) Space(dir string) (total, usable int64, err error) {
	if err := f.check(OpSpace, dir); err != nil {
		return 0, 0, err
	}
	return f.inner.Space(dir)
}

// faultFile has no Descriptor: what sendfile reads, no rule would see.
type faultFile struct {
	File
	fault *Fault
	name  string
}

func (f *faultFile) ReadAt(p []byte, offset int64) (int, error) {
	decided := f.fault.decide(OpRead, f.name)
	if err := decided.failure(OpRead, f.name); err != nil {
		return 0, err
	}
	n, err := f.File.ReadAt(p, offset)
	if decided.action == FlipBit && n > 0 {
		bit := decided.flip % (uint64(n) * 8)
		p[bit/8] ^= 1 << (bit % 8)
	}
	return n, err
}

func (f *faultFile) WriteAt(p []byte, offset int64) (int, error) {
	decided := f.fault.decide(OpWrite, f.name)
	failure := decided.failure(OpWrite, f.name)
	if decided.action == ShortWrite {
		n, err := f.File.WriteAt(p[:len(p)/2], offset)
		if err != nil {
			failure = err
		}
		return n, failure
	}
	if failure != nil {
		return 0, failure
	}
	return f.File.WriteAt(p, offset)
}

func (f *faultFile) Truncate(size int64) error {
	if err := f.fault.check(OpTruncate, f.name); err != nil {
		return err
	}
	return f.File.Truncate(size)
}

func (f *faultFile) Sync() error {
	return f.fault.sync(OpSync, f.name, func(string) error { return f.File.Sync() })
}

func (f *faultFile) Size() (int64, error) {
	if err := f.fault.check(OpStat, f.name); err != nil {
		return 0, err
	}
	return f.File.Size()
}
