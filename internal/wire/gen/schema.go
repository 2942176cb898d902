package main

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// versions is a range, both ends included; it is empty if low > high.
type versions struct{ low, high int }

const openEnd = math.MaxInt16

var none = versions{0, -1}

func (v versions) empty() bool            { return v.low > v.high }
func (v versions) contains(n int) bool    { return v.low <= n && n <= v.high }
func (v versions) covers(o versions) bool { return v.low <= o.low && o.high <= v.high }

func (v versions) intersect(o versions) versions {
	return versions{max(v.low, o.low), min(v.high, o.high)}
}

// hull is the smallest range that contains both.
func (v versions) hull(o versions) versions {
	switch {
	case v.empty():
		return o
	case o.empty():
		return v
	}
	return versions{min(v.low, o.low), max(v.high, o.high)}
}

func (v versions) String() string {
	switch {
	case v.empty():
		return "none"
	case v.high == openEnd:
		return fmt.Sprintf("%d+", v.low)
	case v.low == v.high:
		return strconv.Itoa(v.low)
	}
	return fmt.Sprintf("%d-%d", v.low, v.high)
}

func parseVersions(text string) (versions, error) {
	if text == "none" {
		return none, nil
	}
	low, high, isRange := strings.Cut(text, "-")
	open := strings.HasSuffix(text, "+")
	if open {
		low = strings.TrimSuffix(text, "+")
	}
	v := versions{}
	var err error
	if v.low, err = strconv.Atoi(low); err != nil {
		return none, fmt.Errorf("versions %q: %w", text, err)
	}
	v.high = v.low
	switch {
	case open:
		v.high = openEnd
	case isRange:
		if v.high, err = strconv.Atoi(high); err != nil {
			return none, fmt.Errorf("versions %q: %w", text, err)
		}
	}
	return v, nil
}

// message is one block of a schema file.
type message struct {
	kind     string // request, response, header, data, metadata, coordinator-key, coordinator-value
	name     string
	file     string // the schema file
	key      int    // -1 if the kind has none
	versions versions
	flexible versions
	root     *structure
	// structures are all structs of the message, root first, in order of appearance.
	structures []*structure
}

// structure is a struct type: the message's own or a nested one.
type structure struct {
	message *message
	name    string // in the schema
	goName  string
	fields  []*field
	// used is the hull of the message's versions in which the struct appears.
	used versions
}

type field struct {
	name        string // as in Go
	kind        string // of the schema: int32, string, … or "struct"
	array       bool
	structName  string
	structure   *structure
	versions    versions
	nullable    versions
	tag         int // -1 if not tagged
	hasDefault  bool
	defaultText string
	inflexible  bool // flexible=none
}

func (f *field) tagged() bool    { return f.tag >= 0 }
func (f *field) mayBeNull() bool { return !f.nullable.empty() }

type line struct {
	number int
	indent int
	words  []string
}

// parseSchema reads one schema file; the grammar stands at its top.
func parseSchema(file, text string) ([]*message, error) {
	var messages []*message
	var open []*structure // open[i] takes the fields at indent i+1
	for i, raw := range strings.Split(text, "\n") {
		if strings.TrimSpace(raw) == "" || strings.HasPrefix(raw, "#") {
			continue
		}
		body := strings.TrimLeft(raw, " ")
		l := line{i + 1, (len(raw) - len(body)) / 2, strings.Fields(body)}
		fail := func(err error) error { return fmt.Errorf("%s:%d: %w", file, l.number, err) }
		if l.indent == 0 {
			m, err := parseHeader(l.words)
			if err != nil {
				return nil, fail(err)
			}
			m.file = file
			messages = append(messages, m)
			open = []*structure{m.root}
			continue
		}
		if l.indent > len(open) {
			return nil, fail(fmt.Errorf("nested below a field that is no struct"))
		}
		open = open[:l.indent]
		m := messages[len(messages)-1]
		if l.words[0] == "struct" {
			s := m.addStructure(l.words[1])
			open = append(open, s)
			continue
		}
		f, err := parseField(l.words)
		if err != nil {
			return nil, fail(err)
		}
		owner := open[l.indent-1]
		owner.fields = append(owner.fields, f)
		if f.kind == "struct" {
			// The lines below it, if any, define the type; resolve drops those that define nothing.
			open = append(open, m.addStructure(f.structName))
		}
	}
	return messages, nil
}

func (m *message) addStructure(name string) *structure {
	s := &structure{message: m, name: name, used: none}
	m.structures = append(m.structures, s)
	return s
}

func parseHeader(words []string) (*message, error) {
	if len(words) < 3 {
		return nil, fmt.Errorf("short block header")
	}
	m := &message{kind: words[0], name: words[1], key: -1}
	for _, word := range words[2:] {
		name, value, _ := strings.Cut(word, "=")
		var err error
		switch name {
		case "key":
			m.key, err = strconv.Atoi(value)
		case "versions":
			m.versions, err = parseVersions(value)
		case "flexible":
			m.flexible, err = parseVersions(value)
		case "listeners", "latest-unstable":
		default:
			err = fmt.Errorf("unknown attribute %q", name)
		}
		if err != nil {
			return nil, err
		}
	}
	m.root = m.addStructure(m.name)
	return m, nil
}

func parseField(words []string) (*field, error) {
	if len(words) < 3 {
		return nil, fmt.Errorf("short field line")
	}
	f := &field{name: strings.ToUpper(words[0][:1]) + words[0][1:], tag: -1, versions: none, nullable: none}
	f.kind = strings.TrimPrefix(words[1], "[]")
	f.array = f.kind != words[1]
	if f.kind[0] >= 'A' && f.kind[0] <= 'Z' {
		f.structName, f.kind = f.kind, "struct"
	}
	rest := words[2:]
	if !strings.Contains(rest[0], "=") {
		v, err := parseVersions(rest[0])
		if err != nil {
			return nil, err
		}
		f.versions, rest = v, rest[1:]
	}
	for _, word := range rest {
		if err := f.parseAttribute(word); err != nil {
			return nil, err
		}
	}
	if f.versions.empty() {
		return nil, fmt.Errorf("field %s has no versions", f.name)
	}
	return f, nil
}

func (f *field) parseAttribute(word string) (err error) {
	name, value, _ := strings.Cut(word, "=")
	switch name {
	case "nullable":
		f.nullable, err = parseVersions(value)
	case "default":
		// Kafka's generator takes a JSON null for "no default given", and "null" for null: fields with the former default
		// to an empty array or a struct of defaults, and their null is written.
		f.hasDefault, f.defaultText = value != "null", strings.Trim(value, `"`)
	case "tag":
		number, at, _ := strings.Cut(value, "@")
		if f.tag, err = strconv.Atoi(number); err != nil {
			return err
		}
		tagVersions, err := parseVersions(at)
		if err != nil {
			return err
		}
		if f.versions.empty() { // Kafka's schemas leave them out where they are the same
			f.versions = tagVersions
		}
		if f.versions != tagVersions {
			return fmt.Errorf("field %s is tagged in some of its versions only", f.name)
		}
	case "flexible":
		f.inflexible = value == "none"
	case "key", "ignorable", "entity", "zerocopy":
	default:
		err = fmt.Errorf("unknown attribute %q", name)
	}
	return err
}

// resolve connects fields to their structs, names the Go types, drops fields that no version has, and finds out in which
// versions each struct appears.
func resolve(messages []*message) error {
	taken := map[string]bool{}
	for _, m := range messages {
		if m.kind == "request" {
			taken[api(m)+"Key"] = true // the constant
		}
	}
	for _, m := range messages {
		m.structures = slices.DeleteFunc(m.structures, func(s *structure) bool {
			return s != m.root && len(s.fields) == 0
		})
		byName := map[string]*structure{}
		for _, s := range m.structures {
			if byName[s.name] != nil {
				return fmt.Errorf("%s defines %s twice", m.name, s.name)
			}
			byName[s.name] = s
			s.goName = s.name
			if !strings.HasPrefix(s.name, m.name) {
				s.goName = m.name + s.name
			}
			if m.kind == "coordinator-key" && taken[s.goName] { // OffsetCommitKey is the API's
				s.goName = strings.TrimSuffix(s.goName, "Key") + "RecordKey"
			}
			if taken[s.goName] {
				return fmt.Errorf("type %s is defined twice", s.goName)
			}
			taken[s.goName] = true
		}
		for _, s := range m.structures {
			s.fields = slices.DeleteFunc(s.fields, func(f *field) bool { return f.versions.intersect(m.versions).empty() })
			for _, f := range s.fields {
				if f.kind != "struct" {
					continue
				}
				if f.structure = byName[f.structName]; f.structure == nil {
					return fmt.Errorf("%s.%s: no struct %s", m.name, f.name, f.structName)
				}
			}
		}
		if err := m.root.markUsed(m.versions, 0); err != nil {
			return err
		}
		for _, s := range m.structures {
			if s.used.empty() {
				return fmt.Errorf("%s: struct %s is not used", m.name, s.name)
			}
			for _, f := range s.fields {
				if f.versions.intersect(s.used).empty() {
					return fmt.Errorf("%s: field %s never appears", s.goName, f.name)
				}
			}
		}
	}
	return nil
}

func (s *structure) markUsed(v versions, depth int) error {
	if depth > 10 {
		return fmt.Errorf("%s contains itself", s.goName) // decoding could nest without bound
	}
	s.used = s.used.hull(v)
	for _, f := range s.fields {
		if inner := f.versions.intersect(v); f.structure != nil && !inner.empty() {
			if err := f.structure.markUsed(inner, depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}

// minBytes is the least that the struct takes on the wire at a version, never 0.
func (s *structure) minBytes(version int) int {
	flexible := s.message.flexible.contains(version)
	total := 0
	if flexible {
		total = 1 // the count of tagged fields
	}
	for _, f := range s.fields {
		if f.versions.contains(version) && !f.tagged() {
			total += f.minBytes(version, flexible)
		}
	}
	return max(total, 1)
}

func (f *field) minBytes(version int, flexible bool) int {
	flexible = flexible && !f.inflexible
	size := map[string]int{"bool": 1, "int8": 1, "int16": 2, "uint16": 2, "int32": 4, "int64": 8, "float64": 8, "uuid": 16,
		"string": 2, "bytes": 4, "records": 4}[f.kind]
	switch {
	case flexible && (f.array || f.kind == "string" || f.kind == "bytes" || f.kind == "records"):
		return 1
	case f.array:
		return 4
	case f.kind == "struct" && f.mayBeNull():
		return 1
	case f.kind == "struct":
		return f.structure.minBytes(version)
	}
	return size
}
