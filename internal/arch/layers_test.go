package arch

import (
	"fmt"
	"slices"
	"strings"
)

// rooms of the layers of design §3, lowest first. A room may import the rooms of the sets that its entry in allowed names.
var (
	doors   = []string{"ids", "run", "vfs", "transport", "config", "quota"}
	formats = []string{"wire", "record", "producerstate", "manifest", "logfiles"}
	parts   = []string{"background", "epochs", "compaction"} // of storage; nobody else may use them
	engines = []string{"storage", "metadata", "machine", "peer"}
	rules   = []string{"quorum", "partition", "machine/controller", "machine/group", "machine/txn", "security", "telemetry"}

	// words is what a pure room may use of layer 0: nothing that waits, tells the time or reaches outside.
	words = []string{"ids", "config", "quota"}
)

// allowed is the import table: which rooms each room may import. A room that is not here fails the test: add it with a noun of its own.
var allowed = map[string][]string{
	// 0. Doors and words use nothing of ours. If config should ever need a type of ids, pass its text form instead.
	"ids": nil, "run": nil, "vfs": nil, "transport": nil, "config": nil, "quota": nil,

	// What 'ottla bench', 'ottla doctor' and 'ottla top' know; no part of a broker.
	"bench": nil, "doctor": nil, "clusterfile": nil, "top": nil,

	// 1. Formats know each other not at all, except that producerstate reads batches.
	"wire":          words,
	"wire/gen":      nil, // the program that writes wire's code
	"record":        words,
	"producerstate": join(words, "record"),
	"manifest":      words,
	"logfiles":      words,

	// What storage is made of, each for itself: nobody else uses them.
	"background": {"run"},
	"epochs":     {"ids", "logfiles"},
	"compaction": {"ids", "record", "producerstate"}, // pure

	// 2. Engines.
	"storage":  join(doors, slices.Concat(formats, parts)...),
	"metadata": join(words, formats...), // pure
	"machine":  join(doors, formats...),
	"peer":     join(doors, formats...),

	// 3. Rules. The pure ones see neither a door nor an engine with one.
	"quorum":             join(doors, append(slices.Clone(formats), engines...)...),
	"security":           join(doors, append(slices.Clone(formats), engines...)...),
	"telemetry":          join(words, formats...),
	"partition":          join(words, append(slices.Clone(formats), "metadata")...),
	"machine/controller": join(words, append(slices.Clone(formats), "metadata", "machine")...),
	"machine/group":      join(words, append(slices.Clone(formats), "metadata", "machine")...),
	"machine/txn":        join(words, append(slices.Clone(formats), "metadata", "machine")...),

	// 4. Data plane.
	"replication": upToRules(),

	// 5. Requests. What api needs of replication and the machines it declares as interfaces; their packages lend it the types of
	// questions and answers, and TestHouseRules holds that it calls none of their functions. It reaches no disk and no socket.
	"api": join(words, append(slices.Clone(formats), "run", "metadata", "machine", "machine/controller", "machine/group",
		"machine/txn", "partition", "security", "telemetry", "replication")...),

	// 6. Edge.
	"server":  join(upToRules(), "replication", "api"),
	"admin":   join(upToRules(), "replication", "api"),
	"inspect": without(join(upToRules(), "replication", "api"), "logfiles", "manifest"), // it is the check of what those two write

	// 7. Assembly: everything below, but not each other.
	"":    join(upToRules(), "replication", "api", "server", "admin", "inspect"),
	"sim": join(upToRules(), "replication", "api", "server", "admin", "inspect"),

	// 8. Entry. The binary's families of commands are rooms of its own, which share cli and know nothing of each other: package main puts them together.
	"cmd/ottla": {"", "cmd/ottla/internal/cli", "cmd/ottla/internal/topics", "cmd/ottla/internal/groups", "cmd/ottla/internal/settings",
		"cmd/ottla/internal/records", "cmd/ottla/internal/checkup", "cmd/ottla/internal/logs"},
	"cmd/ottla/internal/cli":      {"config", "clusterfile"},
	"cmd/ottla/internal/topics":   {"cmd/ottla/internal/cli", "config"},
	"cmd/ottla/internal/groups":   {"cmd/ottla/internal/cli"},
	"cmd/ottla/internal/settings": {"cmd/ottla/internal/cli", "config", "clusterfile"},
	"cmd/ottla/internal/records":  {"cmd/ottla/internal/cli", "bench"},
	"cmd/ottla/internal/checkup":  {"cmd/ottla/internal/cli", "doctor", "top"},
	"cmd/ottla/internal/logs":     {"cmd/ottla/internal/cli", "inspect", "vfs"},
	"cmd/ottla/internal/clitest":  {"cmd/ottla/internal/cli", ""}, // for tests of these

	"ottlatest":   {"", "inspect", "config", "vfs"},
	"deploy/dist": nil, // the program that packs what is released; it asks the binary for the rest
	"streams":     nil, // speaks only the Kafka protocol
}

func join(first []string, more ...string) []string { return append(slices.Clone(first), more...) }

func without(rooms []string, some ...string) []string {
	return slices.DeleteFunc(rooms, func(room string) bool { return slices.Contains(some, room) })
}

func upToRules() []string {
	return slices.Concat(doors, formats, engines, rules)
}

// roomOf tells which room an import path means; ok is false for what is not ours.
func roomOf(importPath string) (room string, ok bool) {
	if importPath == module {
		return "", true
	}
	room, ok = strings.CutPrefix(importPath, module+"/")
	return strings.TrimPrefix(room, "internal/"), ok
}

func title(room string) string {
	if room == "" {
		return "the root package"
	}
	return room
}

// importRule holds the table against the imports of everything but tests.
func importRule(sources []*source) (breaches []string) {
	for _, s := range sources {
		if s.isTest {
			continue
		}
		may, known := allowed[s.room]
		if !known {
			breaches = append(breaches, fmt.Sprintf("%s: room %q is not in the import table of internal/arch", s.path, s.room))
			continue
		}
		for p, spec := range s.imports() {
			if to, ours := roomOf(p); ours && !slices.Contains(may, to) {
				breaches = append(breaches, s.at(spec, "%s may not import %s", title(s.room), title(to)))
			}
		}
	}
	return breaches
}
