package ottla_test

import (
	"cmp"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/ottla-io/ottla/internal/api"
	"github.com/ottla-io/ottla/internal/config"
	"github.com/ottla-io/ottla/internal/wire"
)

// rewrite makes the tests of this file write what they would otherwise demand: go test -run TestDocs . -rewrite
var rewrite = flag.Bool("rewrite", false, "write the generated parts of README.md and docs/")

// block holds the lines of file between two marks against want.
func block(t *testing.T, file, name, want string) {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	begin, end := fmt.Sprintf("<!-- %s: written by go test -run TestDocs . -rewrite -->\n", name), "<!-- end -->"
	before, rest, ok := strings.Cut(string(content), begin)
	have, after, closed := strings.Cut(rest, end)
	if !ok || !closed {
		t.Fatalf("%s has no block %q that ends in %q", file, strings.TrimSpace(begin), end)
	}
	want = "\n" + strings.TrimSpace(want) + "\n\n"
	if have == want {
		return
	}
	if !*rewrite {
		t.Errorf("%s: the part %q is not what the code says; run: go test -run TestDocs . -rewrite", file, name)
		return
	}
	if err := os.WriteFile(file, []byte(before+begin+want+end+after), 0o644); err != nil {
		t.Fatal(err)
	}
}

// row is one line of a Markdown table.
func row(cells ...string) string {
	for i := range cells {
		cells[i] = strings.ReplaceAll(cells[i], "|", `\|`)
	}
	return "| " + strings.Join(cells, " | ") + " |\n"
}

// heading is the first two lines of a Markdown table.
func heading(cells ...string) string {
	return row(cells...) + "|" + strings.Repeat("---|", len(cells)) + "\n"
}

// kafkaVersions are the APIs on the listener of a Kafka 4.3.1 broker, stable versions only.
const kafkaVersions = `
0 3-13, 1 4-18, 2 1-11, 3 0-13, 8 2-10, 9 1-10, 10 0-6, 11 0-9, 12 0-4, 13 0-5, 14 0-5, 15 0-6, 16 0-5, 17 0-1, 18 0-4, 19 2-7, 20 1-6,
21 0-2, 22 0-5, 23 2-4, 24 0-5, 25 0-4, 26 0-5, 27 1-2, 28 0-5, 29 1-3, 30 1-3, 31 1-3, 32 1-4, 33 0-2, 34 1-2, 35 1-5, 36 0-2, 37 0-3,
38 1-3, 39 1-2, 40 1-2, 41 1-3, 42 0-2, 43 0-2, 44 0-1, 45 0-1, 46 0-0, 47 0-0, 48 0-1, 49 0-1, 50 0-0, 51 0-0, 55 0-2, 57 0-2, 60 0-2,
61 0-0, 64 0-0, 65 0-0, 66 0-2, 68 0-1, 69 0-1, 71 0-0, 72 0-0, 74 0-1, 75 0-0, 76 1-1, 77 1-1, 78 1-2, 79 1-2, 80 0-1, 81 0-0, 83 0-0,
84 0-0, 85 0-1, 86 0-0, 87 0-1, 88 0-0, 89 0-0, 90 0-1, 91 0-0, 92 0-0`

// versionRange is how a table names versions.
func versionRange(lowest, highest int16) string {
	if lowest == highest {
		return strconv.Itoa(int(lowest))
	}
	return fmt.Sprintf("%d–%d", lowest, highest)
}

func TestDocsAPIs(t *testing.T) {
	kafka := map[int16]string{}
	for _, entry := range strings.Split(kafkaVersions, ",") {
		var key, lowest, highest int16
		if _, err := fmt.Sscanf(strings.TrimSpace(entry), "%d %d-%d", &key, &lowest, &highest); err != nil {
			t.Fatalf("%q: %v", entry, err)
		}
		kafka[key] = versionRange(lowest, highest)
	}
	table := api.NewTable(api.Deps{})
	short, long := heading("API", "Versions"), heading("Key", "API", "Ottla", "Kafka 4.3.1")
	var missing []string
	for key := range int16(math.MaxInt8) {
		entry, ok := table.Lookup(key)
		if !ok {
			if kafka[key] != "" {
				missing = append(missing, wire.APIName(key))
			}
			continue
		}
		if kafka[key] == "" {
			t.Errorf("%s is served, and no version of it is known of Kafka 4.3.1", wire.APIName(key))
		}
		versions := versionRange(entry.Min, entry.Max)
		if entry.AdvertisedMin != entry.Min {
			versions += fmt.Sprintf("; advertised from %d, as by Kafka", entry.AdvertisedMin)
		}
		short += row(wire.APIName(key), versions)
		long += row(strconv.Itoa(int(key)), wire.APIName(key), versions, kafka[key])
	}
	block(t, "README.md", "served APIs", short)
	block(t, "docs/compatibility.md", "served APIs", long)
	block(t, "docs/compatibility.md", "APIs not served", wrapped(missing))
}

// wrapped is a sentence of names, in lines of a readable length.
func wrapped(names []string) string {
	text, width := "", 0
	for i, name := range names {
		end := ", "
		if i == len(names)-1 {
			end = "."
		}
		if width += len(name) + len(end); width > 140 {
			text, width = strings.TrimSuffix(text, " ")+"\n", len(name)+len(end)
		}
		text += name + end
	}
	return text
}

// notes are what a setting's own documentation leaves out: how far its meaning reaches in this version.
var notes = map[string]string{
	"cleanup.policy":                        "With `compact`, records without a key are refused (87 INVALID_RECORD).",
	"listeners":                             "The same as `--listen HOST:PORT`. Those of the controller are left out; one other is served.",
	"advertised.listeners":                  "The same as `--advertise HOST:PORT`.",
	"node.id":                               "The same as `--node-id N`.",
	"broker.id":                             "It is checked, and no more.",
	"group.consumer.max.session.timeout.ms": "A group that was given more has this.",
	"group.consumer.max.heartbeat.interval.ms": "A group that was given more has this.",
}

// TestDocsSettings writes docs/settings.md from the table of package config, and finds out by itself which settings have an effect: one has if
// the field that it moves in the resolved configuration is read outside of package config.
func TestDocsSettings(t *testing.T) {
	read := fieldsRead(t)
	works := func(s config.Setting) bool {
		fields := fieldsMoved(s)
		return slices.ContainsFunc(fields, func(field string) bool { return read[field] })
	}
	topics, idleTopics := heading("Topic setting", "Type", "Default", "Broker's default for all topics", "Meaning"), heading("Topic setting", "Type", "Default", "Broker's default for all topics", "Meaning to Kafka")
	for _, s := range config.All(config.Topic) {
		var defaults []string
		for _, synonym := range s.Synonyms {
			defaults = append(defaults, "`"+synonym.Name+"`")
		}
		if s.Idle == works(s) && !s.Internal {
			t.Errorf("topic setting %s: the table says idle %v, and the code reads it: %v", s.Name, s.Idle, works(s))
		}
		switch {
		case s.Internal:
		case works(s):
			topics += row("`"+s.Name+"`", strings.ToLower(s.Type.String()), defaultText(s), strings.Join(defaults, ", "), meaning(s))
		default:
			idleTopics += row("`"+s.Name+"`", strings.ToLower(s.Type.String()), defaultText(s), strings.Join(defaults, ", "), meaning(s))
		}
	}
	groups := heading("Group setting", "Type", "Default", "Broker's default for all groups", "Meaning")
	for _, s := range config.All(config.Group) {
		text := meaning(s)
		if !works(s) {
			text = "Nothing reads it in this version."
		}
		groups += row("`"+s.Name+"`", strings.ToLower(s.Type.String()), defaultText(s), "`"+s.Synonyms[0].Name+"`", text)
	}
	brokers := heading("Broker setting", "Type", "Default", "Changes", "Meaning")
	var idleBrokers, unsupported reasons
	for _, s := range config.All(config.Broker) {
		changes := "at start"
		if s.Dynamic {
			changes = "running"
		}
		switch {
		case s.Unsupported != "":
			unsupported.add(strings.ToUpper(s.Unsupported[:1])+s.Unsupported[1:]+".", s.Name)
		case s.Inert:
			idleBrokers.add(s.Doc, s.Name)
		case s.Internal || strings.HasPrefix(s.Doc, "Default of topics'"):
		case works(s) || notes[s.Name] != "":
			brokers += row("`"+s.Name+"`", strings.ToLower(s.Type.String()), defaultText(s), changes, meaning(s))
		default:
			idleBrokers.add("Nothing reads it in this version.", s.Name)
		}
	}
	block(t, "docs/settings.md", "topic settings", topics)
	block(t, "docs/settings.md", "topic settings without effect", idleTopics)
	block(t, "docs/settings.md", "group settings", groups)
	block(t, "docs/settings.md", "broker settings", brokers)
	block(t, "docs/settings.md", "broker settings without effect", idleBrokers.table("Why they do nothing"))
	block(t, "docs/settings.md", "broker settings that are refused", unsupported.table("Why they are refused"))
}

// reasons are names under what they have in common, in the order in which they came.
type reasons struct {
	order []string
	names map[string][]string
}

func (r *reasons) add(reason, name string) {
	if r.names == nil {
		r.names = map[string][]string{}
	}
	if r.names[reason] == nil {
		r.order = append(r.order, reason)
	}
	r.names[reason] = append(r.names[reason], "`"+name+"`")
}

func (r *reasons) table(title string) string {
	text := heading(title, "Broker settings")
	for _, reason := range r.order {
		text += row(reason, strings.Join(r.names[reason], ", "))
	}
	return text
}

func meaning(s config.Setting) string {
	if note := notes[s.Name]; note != "" {
		return s.Doc + " " + note
	}
	return s.Doc
}

func defaultText(s config.Setting) string {
	switch {
	case s.Null:
		return "unset"
	case s.Default == "":
		return "empty"
	}
	return "`" + s.Default + "`"
}

// fieldsMoved are the fields of the two resolved configurations that some valid value of the setting changes.
func fieldsMoved(s config.Setting) []string {
	trials := []string{"true", "false", "1", "2", "7", "100", "5000", "1048576", "2000000", "0.25", "gzip", "zstd", "lz4", "compact", "full",
		"replicated", "LogAppendTime", "1:1", "x", "PLAINTEXT://127.0.0.1:1",
		"range", "upgrade", "12000", "50000", "127.0.0.1:5"}
	var moved []string
	for _, codec := range []string{"producer", "gzip", "zstd", "lz4"} {
		for _, trial := range trials {
			if _, err := s.Parse(trial); err != nil {
				continue
			}
			before := config.Layers{Topic: map[string]string{"compression.type": codec}}
			after := config.Layers{Topic: map[string]string{"compression.type": codec}}
			switch s.Scope {
			case config.Topic:
				after.Topic[s.Name] = trial
			case config.Group:
				after.Group = map[string]string{s.Name: trial}
			default:
				after.Static = map[string]string{s.Name: trial}
			}
			moved = append(moved, differing(before.TopicConfig(), after.TopicConfig())...)
			moved = append(moved, differing(before.BrokerConfig(), after.BrokerConfig())...)
			moved = append(moved, differing(before.GroupBrokerConfig(), after.GroupBrokerConfig())...)
			moved = append(moved, differing(before.GroupConfig(), after.GroupConfig())...)
		}
	}
	return moved
}

// differing names the fields in which two values of one struct differ.
func differing(a, b any) (names []string) {
	x, y := reflect.ValueOf(a), reflect.ValueOf(b)
	for i := range x.NumField() {
		if !reflect.DeepEqual(x.Field(i).Interface(), y.Field(i).Interface()) {
			names = append(names, x.Type().Field(i).Name)
		}
	}
	return names
}

// fieldsRead are the names X of all .X in this package and in the rooms that import package config.
func fieldsRead(t *testing.T) map[string]bool {
	uses, read := map[string]bool{".": true}, map[string]bool{}
	eachGoFile(t, func(path string, file *ast.File) {
		if !strings.HasSuffix(path, "_test.go") && slices.ContainsFunc(file.Imports, func(spec *ast.ImportSpec) bool {
			return strings.HasSuffix(spec.Path.Value, `/internal/config"`)
		}) {
			uses[filepath.Dir(path)] = true
		}
	})
	eachGoFile(t, func(path string, file *ast.File) {
		if !uses[filepath.Dir(path)] || strings.HasSuffix(path, "_test.go") {
			return
		}
		ast.Inspect(file, func(node ast.Node) bool {
			if selector, ok := node.(*ast.SelectorExpr); ok {
				read[selector.Sel.Name] = true
			}
			return true
		})
	})
	return read
}

// eachGoFile parses every Go file of this module, tests too.
func eachGoFile(t *testing.T, visit func(path string, file *ast.File)) {
	t.Helper()
	err := filepath.WalkDir(".", func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir():
			if name := entry.Name(); path != "." && (strings.HasPrefix(name, ".") || name == "testdata") {
				return fs.SkipDir
			}
			return nil
		case filepath.Ext(path) != ".go":
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		visit(path, file)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// documents are the Markdown files of the repository.
func documents(t *testing.T) map[string]string {
	t.Helper()
	texts := map[string]string{}
	for _, pattern := range []string{"*.md", "docs/*.md"} {
		paths, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			content, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			texts[path] = string(content)
		}
	}
	return texts
}

// sortedKeys gives failures a stable order.
func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K {
	keys := make([]K, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

// TestDocsDifferences collects what the files of package api say about where they leave Kafka's behaviour.
func TestDocsDifferences(t *testing.T) {
	const mark = "Where we differ from Kafka 4.3.1, on purpose:"
	list := ""
	eachGoFile(t, func(path string, _ *ast.File) {
		if filepath.ToSlash(filepath.Dir(path)) != "internal/api" || strings.HasSuffix(path, "_test.go") {
			return
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		for _, group := range file.Comments {
			before, differences, ok := strings.Cut(group.Text(), mark)
			if !ok {
				continue
			}
			name, _, named := strings.Cut(before, ", key ")
			if !named {
				t.Errorf("%s: the comment with %q does not begin with NAME, key N", path, mark)
			}
			differences, _, _ = strings.Cut(strings.TrimSpace(differences), "\n\n")
			for _, item := range strings.Split("\n"+strings.TrimPrefix(differences, "- "), "\n  - ") {
				if text := strings.Join(strings.Fields(item), " "); text != "" {
					list += "- " + name + ": " + strings.TrimSuffix(text, ".") + ".\n"
				}
			}
		}
	})
	block(t, "docs/compatibility.md", "differences of single APIs", list)
}
