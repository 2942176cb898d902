package arch

import (
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

type rule struct {
	name  string
	check func([]*source) []string
}

var houseRules = []rule{
	{"imports go down only", importRule},
	{"doors", doorRule},
	{"no exit and no init", exitRule},
	{"no sleep in tests", sleepRule},
	{"pure packages", pureRule},
	{"api asks through interfaces", apiRule},
	{"every package is documented", docRule},
	{"sizes", sizeRule},
	{"names", nameRule},
}

// TestHouseRules holds every rule against the whole module.
func TestHouseRules(t *testing.T) {
	sources, err := load(os.DirFS("../.."))
	if err != nil {
		t.Fatal(err)
	}
	if len(sources) < 50 {
		t.Fatalf("found only %d files", len(sources))
	}
	for _, r := range houseRules {
		t.Run(r.name, func(t *testing.T) {
			breaches := r.check(sources)
			slices.Sort(breaches)
			for _, breach := range breaches {
				t.Error(breach)
			}
		})
	}
}

// commandRooms begin the rooms of the binary's commands.
const commandRooms = "cmd/ottla/internal/"

// TestTableIsDownward: the table itself has no cycle, names only rooms that it knows, and keeps siblings apart.
func TestTableIsDownward(t *testing.T) {
	visiting := make(map[string]bool)
	var visit func(room string, trail []string)
	visit = func(room string, trail []string) {
		if visiting[room] {
			t.Fatalf("cycle: %s", strings.Join(append(trail, room), " → "))
		}
		visiting[room] = true
		defer delete(visiting, room)
		for _, to := range allowed[room] {
			if _, known := allowed[to]; !known {
				t.Fatalf("%s may import %q, which is not in the table", title(room), to)
			}
			visit(to, append(trail, room))
		}
	}
	for room := range allowed {
		visit(room, nil)
	}
	for room, may := range allowed {
		for _, to := range may {
			if strings.HasPrefix(room, commandRooms) && strings.HasPrefix(to, commandRooms) && to != commandRooms+"cli" {
				t.Errorf("%s may import %s: commands share cli, and know nothing of each other", room, to)
			}
		}
	}
	for _, room := range pure {
		for _, to := range allowed[room] {
			if slices.Contains([]string{"run", "vfs", "transport", "storage", "peer", "quorum", "replication"}, to) {
				t.Errorf("%s is pure and may import %s", room, to)
			}
		}
	}
}

const doc = "// Package p is documented.\n"

// planted are breaches, each of one rule, and what is nearly one.
var planted = []struct {
	rule, path, text string
	breach           string // part of the message; empty if the file is in order
}{
	{"imports go down only", "internal/record/x.go", "package record\nimport _ \"" + module + "/internal/storage\"", "record may not import storage"},
	{"imports go down only", "internal/vfs/x.go", "package vfs\nimport _ \"" + module + "/internal/ids\"", "vfs may not import ids"},
	{"imports go down only", "internal/wire/x.go", "package wire\nimport _ \"" + module + "/internal/record\"", "wire may not import record"},
	{"imports go down only", "internal/machine/x.go", "package machine\nimport _ \"" + module + "/internal/machine/controller\"", "machine may not import machine/controller"},
	{"imports go down only", "internal/machine/group/x.go", "package group\nimport _ \"" + module + "/internal/machine/txn\"", "machine/group may not import machine/txn"},
	{"imports go down only", "internal/machine/group/x.go", "package group\nimport _ \"" + module + "/internal/machine\"", ""},
	{"imports go down only", "internal/replication/x.go", "package replication\nimport _ \"" + module + "/internal/compaction\"", "replication may not import compaction"},
	{"imports go down only", "internal/inspect/x.go", "package inspect\nimport _ \"" + module + "/internal/logfiles\"", "inspect may not import logfiles"},
	{"imports go down only", "internal/epochs/x.go", "package epochs\nimport _ \"" + module + "/internal/storage\"", "epochs may not import storage"},
	{"imports go down only", "internal/partition/x.go", "package partition\nimport _ \"" + module + "/internal/run\"", "partition may not import run"},
	{"imports go down only", "internal/api/x.go", "package api\nimport _ \"" + module + "/internal/storage\"", "api may not import storage"},
	{"imports go down only", "internal/server/x.go", "package server\nimport _ \"" + module + "\"", "server may not import the root package"},
	{"imports go down only", "streams/x.go", "package streams\nimport _ \"" + module + "\"", "streams may not import the root package"},
	{"imports go down only", "cmd/ottla/x.go", "package main\nimport _ \"" + module + "/internal/storage\"", "cmd/ottla may not import storage"},
	{"imports go down only", "cmd/ottla/internal/topics/x.go", "package topics\nimport _ \"" + module + "/cmd/ottla/internal/groups\"", "cmd/ottla/internal/topics may not import cmd/ottla/internal/groups"},
	{"imports go down only", "cmd/ottla/internal/cli/x.go", "package cli\nimport _ \"" + module + "/cmd/ottla/internal/topics\"", "cmd/ottla/internal/cli may not import cmd/ottla/internal/topics"},
	{"imports go down only", "cmd/ottla/internal/groups/x.go", "package groups\nimport _ \"" + module + "\"", "cmd/ottla/internal/groups may not import the root package"},
	{"imports go down only", "cmd/ottla/internal/topics/x.go", "package topics\nimport _ \"" + module + "/cmd/ottla/internal/cli\"", ""},
	{"imports go down only", "cmd/ottla/x.go", "package main\nimport _ \"" + module + "/cmd/ottla/internal/topics\"", ""},
	{"imports go down only", "cmd/ottla/x.go", "package main\nimport _ \"" + module + "/cmd/ottla/internal/clitest\"", "cmd/ottla may not import cmd/ottla/internal/clitest"},
	{"imports go down only", "x.go", "package ottla\nimport _ \"" + module + "/internal/storage\"", ""},
	{"imports go down only", "internal/record/x_test.go", "package record\nimport _ \"" + module + "/internal/storage\"", ""},
	{"imports go down only", "internal/news/x.go", "package news", `room "news" is not in the import table`},

	{"doors", "internal/storage/x.go", "package storage\nfunc f() { go f() }", "a go statement"},
	{"doors", "internal/vfs/x.go", "package vfs\nfunc f() { go f() }", "a go statement"},
	{"doors", "internal/run/x.go", "package run\nimport \"time\"\nfunc f() { go f(); time.Sleep(1) }", ""},
	{"doors", "internal/storage/x.go", "package storage\nimport \"time\"\nvar t = time.Now()", "time.Now"},
	{"doors", "internal/storage/x.go", "package storage\nimport clock \"time\"\nvar t = clock.After(1)", "time.After"},
	{"doors", "internal/storage/x.go", "package storage\nimport \"time\"\nvar now = time.Now", "time.Now"},
	{"doors", "internal/storage/x.go", "package storage\nimport \"time\"\nvar t = time.Second\nfunc f(time struct{ Now int }) int { return time.Now }", ""},
	{"doors", "internal/storage/x.go", "package storage\nimport _ \"math/rand/v2\"", "math/rand/v2"},
	{"doors", "internal/transport/x.go", "package transport\nimport _ \"crypto/rand\"", "crypto/rand"},
	{"doors", "internal/storage/x.go", "package storage\nimport \"os\"\nvar _, _ = os.Open(``)", "os.Open"},
	{"doors", "internal/storage/x.go", "package storage\nimport \"os\"\nvar _ = os.ErrDeadlineExceeded", ""},
	{"doors", "internal/storage/x.go", "package storage\nimport \"path/filepath\"\nvar _, _ = filepath.Glob(``)", "filepath.Glob"},
	{"doors", "internal/storage/x.go", "package storage\nimport _ \"golang.org/x/sys/unix\"", "golang.org/x/sys/unix"},
	{"doors", "internal/server/x.go", "package server\nimport \"net\"\nvar _, _ = net.Listen(``, ``)", "net.Listen"},
	{"doors", "internal/server/x.go", "package server\nimport \"net\"\nvar _ net.Dialer", "net.Dialer"},
	{"doors", "internal/server/x.go", "package server\nimport \"net\"\nvar _ net.Addr", ""},
	{"doors", "internal/server/x.go", "package server\nimport _ \"net/http\"", "net/http"},
	{"doors", "internal/admin/x.go", "package admin\nimport \"net/http\"\nvar _ http.Server", ""},
	{"doors", "internal/admin/x.go", "package admin\nimport \"net/http\"\nvar _ = http.ListenAndServe", "http.ListenAndServe"},
	{"doors", "cmd/ottla/x.go", "package main\nimport \"os\"\nfunc f() { go f(); os.Open(``) }", ""},
	{"doors", "cmd/ottla/internal/checkup/x.go", "package checkup\nimport \"os\"\nfunc f() { go f(); os.Open(``) }", ""},
	{"doors", "internal/storage/x_test.go", "package storage\nfunc f() { go f() }", ""},

	{"no exit and no init", "internal/storage/x.go", "package storage\nfunc init() {}", "init runs"},
	{"no exit and no init", "cmd/ottla/x.go", "package main\nfunc init() {}", "init runs"},
	{"no exit and no init", "internal/storage/x.go", "package storage\ntype t int\nfunc (t) init() {}", ""},
	{"no exit and no init", "x.go", "package ottla\nimport \"os\"\nfunc f() { os.Exit(1) }", "os.Exit"},
	{"no exit and no init", "x.go", "package ottla\nimport \"log\"\nfunc f() { log.Fatalf(``) }", "log.Fatalf"},
	{"no exit and no init", "cmd/ottla/internal/cli/x.go", "package cli\nimport \"os\"\nfunc f() { os.Exit(1) }", "os.Exit"},
	{"no exit and no init", "cmd/ottla/x.go", "package main\nimport \"os\"\nfunc main() { os.Exit(1) }", ""},

	{"no sleep in tests", "cmd/ottla/x_test.go", "package main\nimport \"time\"\nfunc f() { time.Sleep(1) }", "time.Sleep"},
	{"no sleep in tests", "internal/run/x_test.go", "package run\nimport \"time\"\nvar _ = time.Now()", ""},

	{"pure packages", "internal/partition/x.go", "package partition\nimport _ \"sync\"", "no sync"},
	{"pure packages", "internal/machine/txn/x.go", "package txn\nimport _ \"os\"", "no os"},
	{"pure packages", "internal/record/x.go", "package record\nimport \"sync\"\nvar _ sync.Mutex", "only Pool"},
	{"pure packages", "internal/record/x.go", "package record\nimport \"sync\"\nvar _ sync.Pool", ""},
	{"pure packages", "internal/epochs/x.go", "package epochs\nimport \"sync\"\nvar _ sync.Cond", "only Mutex"},
	{"pure packages", "internal/storage/x.go", "package storage\nimport _ \"sync\"", ""},

	{"api asks through interfaces", "internal/api/x.go", "package api\nimport \"" + module + "/internal/replication\"\nvar _ = replication.New()", "api calls replication.New"},
	{"api asks through interfaces", "internal/api/x.go", "package api\nimport \"" + module + "/internal/replication\"\nvar _ replication.Query", ""},

	{"every package is documented", "internal/storage/x.go", "package storage", "internal/storage: no package doc"},
	{"every package is documented", "internal/storage/x.go", "// Something else.\npackage storage", "internal/storage: no package doc"},
	{"every package is documented", "internal/p/x.go", doc + "package p", ""},
	{"every package is documented", "cmd/ottla/internal/topics/x.go", "// Topics.\npackage topics", "cmd/ottla/internal/topics: no package doc"},
	{"every package is documented", "cmd/ottla/x.go", "// Ottla is a broker.\npackage main", ""},

	{"sizes", "internal/storage/x.go", "package storage\nfunc f() {" + strings.Repeat("\n", 99) + "}", ""},
	{"sizes", "internal/storage/x.go", "package storage\nfunc f() {" + strings.Repeat("\n", 100) + "}", "f has 101 lines"},
	{"sizes", "internal/storage/x.go", "package storage" + strings.Repeat("\n", 801), "801 lines"},
	{"sizes", "internal/storage/x.go", "// Code generated by gen. DO NOT EDIT.\n\npackage storage" + strings.Repeat("\n", 9000), ""},
	{"sizes", "internal/storage/x_test.go", "package storage" + strings.Repeat("\n", 1001), "1001 lines"},
	{"sizes", "internal/storage/x.go", "package storage\nfunc f(a, b, c, d, e, f, g int) {}", "f has 7 parameters"},

	{"names", "internal/util/x.go", "package util", "package util"},
	{"names", "internal/common/x.go", "package other", "package other"},
	{"names", "internal/storage/x.go", "package storage\ntype logHelper struct{}", "type logHelper"},
	{"names", "internal/storage/x.go", "package storage\ntype Log struct{}", ""},
}

// TestRulesFindPlantedBreaches: each rule finds what it is for and leaves alone what only looks like it.
func TestRulesFindPlantedBreaches(t *testing.T) {
	caught := make(map[string]bool)
	for _, p := range planted {
		i := slices.IndexFunc(houseRules, func(r rule) bool { return r.name == p.rule })
		if i < 0 {
			t.Fatalf("no rule is called %q", p.rule)
		}
		sources, err := load(fstest.MapFS{p.path: {Data: []byte(p.text)}})
		if err != nil {
			t.Fatalf("%s: %v", p.text, err)
		}
		breaches := strings.Join(houseRules[i].check(sources), "\n")
		switch {
		case p.breach == "" && breaches != "":
			t.Errorf("%s: %s\n%s: want nothing, got %s", p.rule, p.path, p.text, breaches)
		case p.breach != "" && (!strings.Contains(breaches, p.breach) || strings.Contains(breaches, "\n")):
			t.Errorf("%s: %s\n%s: want %q, got %q", p.rule, p.path, p.text, p.breach, breaches)
		case p.breach != "":
			caught[p.rule] = true
		}
	}
	for _, r := range houseRules {
		if !caught[r.name] {
			t.Errorf("no planted breach shows that %q can fail", r.name)
		}
	}
}

// TestPackageSize: the lines of a package's files add up.
func TestPackageSize(t *testing.T) {
	files := fstest.MapFS{}
	for i := range 11 {
		files["internal/server/"+string(rune('a'+i))+".go"] = &fstest.MapFile{Data: []byte("package server" + strings.Repeat("\n", 750))}
	}
	sources, err := load(files)
	if err != nil {
		t.Fatal(err)
	}
	if breaches := sizeRule(sources); len(breaches) != 1 || !strings.Contains(breaches[0], "8250 lines") {
		t.Errorf("got %q", breaches)
	}
}

func TestNestedModulesAreLeftAlone(t *testing.T) {
	sources, err := load(fstest.MapFS{
		"test/go.mod":            {Data: []byte("module test")},
		"test/x.go":              {Data: []byte("package util")},
		"internal/testdata/x.go": {Data: []byte("package util")},
		"x.go":                   {Data: []byte("package ottla")},
	})
	if err != nil || len(sources) != 1 {
		t.Errorf("loaded %d files, %v", len(sources), err)
	}
}
