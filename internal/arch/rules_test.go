package arch

import (
	"fmt"
	"go/ast"
	"path"
	"slices"
	"strings"
)

// clock is what of package time only run may use; the rest (Duration, formats) is free.
var clock = []string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker"}

// openDoor lists who may use what everybody else must not.
var openDoor = map[string][]string{
	"goroutines and clock": {"run"},
	"randomness":           {"run", "vfs"}, // vfs: what a simulated crash leaves, from a seed
	"files":                {"vfs"},
	"sockets":              {"transport"},
	"system calls":         {"vfs", "transport"},
	"net/http":             {"admin"}, // over a listener of transport
}

// freeOS is what of package os touches no file: errors and identity, the same in a simulation.
var freeOS = []string{"ErrDeadlineExceeded", "ErrNotExist", "ErrExist", "ErrClosed", "ErrPermission", "Getpid", "Hostname", "Signal", "Interrupt"}

// diskPaths is what of package path/filepath looks at the disk.
var diskPaths = []string{"Walk", "WalkDir", "Glob", "EvalSymlinks", "Abs"}

// socketPrefixes begin the names of package net that open or look up something.
var socketPrefixes = []string{"Dial", "Listen", "Lookup", "Resolve", "DefaultResolver", "File", "Interface"}

func mayUse(room, what string) bool { return slices.Contains(openDoor[what], room) }

// exempt are rooms that live outside the process of a broker: programs with their commands, and streams, which is a client.
func (s *source) exempt() bool {
	return s.isTest || s.isProgram() || s.isCommand() || s.room == "streams"
}

// doorRule: goroutines, time, randomness, files and sockets only through their doors.
func doorRule(sources []*source) (breaches []string) {
	for _, s := range sources {
		if s.exempt() {
			continue
		}
		breach := func(node ast.Node, what, used string) {
			if !mayUse(s.room, what) {
				breaches = append(breaches, s.at(node, "%s is behind the door to %s: only %s may use it", used, what, strings.Join(openDoor[what], ", ")))
			}
		}
		ast.Inspect(s.tree, func(node ast.Node) bool {
			if _, ok := node.(*ast.GoStmt); ok {
				breach(node, "goroutines and clock", "a go statement")
			}
			return true
		})
		for p, spec := range s.imports() {
			switch p {
			case "math/rand", "math/rand/v2", "crypto/rand":
				breach(spec, "randomness", p)
			case "io/ioutil", "os/exec":
				breach(spec, "files", p)
			case "syscall", "golang.org/x/sys/unix":
				breach(spec, "system calls", p)
			case "net/http":
				breach(spec, "net/http", p)
			}
		}
		s.uses(func(node *ast.SelectorExpr, p, name string) {
			switch {
			case p == "time" && slices.Contains(clock, name):
				breach(node, "goroutines and clock", "time."+name)
			case p == "os" && !slices.Contains(freeOS, name):
				breach(node, "files", "os."+name)
			case p == "path/filepath" && slices.Contains(diskPaths, name):
				breach(node, "files", "filepath."+name)
			case p == "net" && slices.ContainsFunc(socketPrefixes, func(prefix string) bool { return strings.HasPrefix(name, prefix) }):
				breach(node, "sockets", "net."+name)
			case p == "net/http" && (strings.HasPrefix(name, "Listen") || strings.HasPrefix(name, "Default") || slices.Contains([]string{"Get", "Post", "Head", "PostForm"}, name)):
				breach(node, "sockets", "http."+name)
			}
		})
	}
	return breaches
}

// exitRule: only a program may end the process, and nothing runs before main.
func exitRule(sources []*source) (breaches []string) {
	for _, s := range sources {
		if s.isTest {
			continue
		}
		for _, decl := range s.tree.Decls {
			if fn, ok := decl.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
				breaches = append(breaches, s.at(fn, "init runs before anybody can decide: make it a function"))
			}
		}
		if s.isProgram() {
			continue
		}
		s.uses(func(node *ast.SelectorExpr, p, name string) {
			if p == "os" && name == "Exit" || p == "log" && (strings.HasPrefix(name, "Fatal") || strings.HasPrefix(name, "Panic")) {
				breaches = append(breaches, s.at(node, "%s.%s outside cmd", p, name))
			}
		})
	}
	return breaches
}

// sleepRule: no test, nowhere, waits by sleeping.
func sleepRule(sources []*source) (breaches []string) {
	for _, s := range sources {
		if !s.isTest {
			continue
		}
		s.uses(func(node *ast.SelectorExpr, p, name string) {
			if p == "time" && name == "Sleep" {
				breaches = append(breaches, s.at(node, "time.Sleep in a test: wait for a condition, or use the simulated Env"))
			}
		})
	}
	return breaches
}

// pure are the rooms that take time as an argument, start nothing and reach nothing.
var pure = []string{"ids", "record", "producerstate", "manifest", "logfiles", "epochs", "compaction", "metadata", "partition", "machine/controller", "machine/group", "machine/txn", "config", "quota", "bench", "doctor", "clusterfile", "top"}

// impureImports is what a pure room has no use for.
var impureImports = []string{"sync", "sync/atomic", "context", "os", "os/signal", "net", "net/http", "io/fs", "path/filepath", "log", "log/slog", "runtime"}

// pureExceptions allows names of a package in a pure room.
var pureExceptions = map[string]map[string][]string{
	// A Cache is read beside the lock that its log is changed under; its own guards memory only.
	"epochs": {"sync": {"Mutex"}},
	// Compressors and their tables cost up to a megabyte; a pool of them shares no state that can be seen.
	"record": {"sync": {"Pool", "OnceValue"}},
	// The list of an Image's topics by name is made when first asked for; every maker makes the same.
	"metadata": {"sync/atomic": {"Pointer"}},
}

func pureRule(sources []*source) (breaches []string) {
	for _, s := range sources {
		if s.isTest || !slices.Contains(pure, s.room) {
			continue
		}
		exceptions := pureExceptions[s.room]
		for p, spec := range s.imports() {
			if slices.Contains(impureImports, p) && exceptions[p] == nil {
				breaches = append(breaches, s.at(spec, "%s is pure: no %s", s.room, p))
			}
		}
		s.uses(func(node *ast.SelectorExpr, p, name string) {
			if names := exceptions[p]; names != nil && !slices.Contains(names, name) {
				breaches = append(breaches, s.at(node, "%s is pure: of %s only %s", s.room, p, strings.Join(names, ", ")))
			}
		})
	}
	return breaches
}

// lentTypes are rooms whose types api may name and whose functions it may not call: it reaches them through interfaces.
var lentTypes = []string{"replication", "machine", "machine/controller", "machine/group", "machine/txn", "telemetry"}

func apiRule(sources []*source) (breaches []string) {
	for _, s := range sources {
		if s.isTest || s.room != "api" {
			continue
		}
		called := make(map[ast.Expr]bool)
		ast.Inspect(s.tree, func(node ast.Node) bool {
			if call, ok := node.(*ast.CallExpr); ok {
				called[call.Fun] = true
			}
			return true
		})
		s.uses(func(node *ast.SelectorExpr, p, name string) {
			if room, ours := roomOf(p); ours && slices.Contains(lentTypes, room) && called[node] {
				breaches = append(breaches, s.at(node, "api calls %s.%s: it must ask for it through an interface of its own", room, name))
			}
		})
	}
	return breaches
}

// docRule: every package says what it owns.
func docRule(sources []*source) (breaches []string) {
	documented := make(map[string]bool)
	for _, s := range sources {
		isDoc := s.tree.Doc != nil && (s.isProgram() || strings.HasPrefix(s.tree.Doc.Text(), "Package "+s.tree.Name.Name+" "))
		if !strings.HasSuffix(s.tree.Name.Name, "_test") {
			documented[path.Dir(s.path)] = documented[path.Dir(s.path)] || isDoc
		}
	}
	for dir, ok := range documented {
		if !ok {
			breaches = append(breaches, fmt.Sprintf("%s: no package doc", dir))
		}
	}
	return breaches
}

// The sizes of reference/style-anchors.md §5.3; generated files have none.
const (
	maxFunctionLines = 100
	maxFileLines     = 800
	maxTestFileLines = 1000
	maxPackageLines  = 8000
	maxParameters    = 6
)

// largerPackages may have more lines than maxPackageLines. storage holds all that opens a partition's files or takes the lock that guards them: recovery, flush
// rounds, swaps of compacted segments, the trash and moves between directories too. What needs neither has a room (logfiles, compaction, epochs, background);
// what is left shares segments, whose fields the append lock guards.
var largerPackages = map[string]int{"internal/storage": 10_200}

func sizeRule(sources []*source) (breaches []string) {
	lines := make(map[string]int)
	for _, s := range sources {
		if s.generated {
			continue
		}
		limit := maxFileLines
		if s.isTest {
			limit = maxTestFileLines
		}
		if s.lines > limit {
			breaches = append(breaches, fmt.Sprintf("%s: %d lines, at most %d", s.path, s.lines, limit))
		}
		if s.isTest {
			continue
		}
		lines[path.Dir(s.path)] += s.lines
		for _, decl := range s.tree.Decls {
			fn, ok := decl.(*ast.FuncDecl)
			if !ok {
				continue
			}
			if n := s.linesOf(fn); n > maxFunctionLines {
				breaches = append(breaches, s.at(fn, "%s has %d lines, at most %d", fn.Name.Name, n, maxFunctionLines))
			}
			if n := fn.Type.Params.NumFields(); n > maxParameters {
				breaches = append(breaches, s.at(fn, "%s has %d parameters, at most %d", fn.Name.Name, n, maxParameters))
			}
		}
	}
	for dir, n := range lines {
		if limit := max(maxPackageLines, largerPackages[dir]); n > limit {
			breaches = append(breaches, fmt.Sprintf("%s: %d lines, at most %d", dir, n, limit))
		}
	}
	return breaches
}

// emptyNames say nothing of what a package or type is for.
var emptyNames = []string{"util", "utils", "common", "helper", "helpers", "impl", "misc", "base", "shared"}

func nameRule(sources []*source) (breaches []string) {
	for _, s := range sources {
		if slices.Contains(emptyNames, strings.TrimSuffix(s.tree.Name.Name, "_test")) || slices.Contains(emptyNames, path.Base(path.Dir(s.path))) {
			breaches = append(breaches, s.at(s.tree.Name, "package %s says nothing: name the noun", s.tree.Name.Name))
		}
		ast.Inspect(s.tree, func(node ast.Node) bool {
			if spec, ok := node.(*ast.TypeSpec); ok {
				for _, ending := range []string{"util", "utils", "helper", "helpers", "impl"} {
					if strings.HasSuffix(strings.ToLower(spec.Name.Name), ending) {
						breaches = append(breaches, s.at(spec, "type %s says nothing: name the noun", spec.Name.Name))
					}
				}
			}
			return true
		})
	}
	return breaches
}
