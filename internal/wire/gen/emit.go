package main

import (
	"fmt"
	"slices"
	"sort"
	"strconv"
	"strings"
)

// emitter collects the source of one file.
type emitter struct{ b strings.Builder }

func (e *emitter) p(format string, args ...any) {
	fmt.Fprintf(&e.b, format, args...)
	e.b.WriteByte('\n')
}

// condition is a Go expression for "version is in v", given that it is in within: "true" and "false" where that is known.
func condition(v, within versions) string {
	switch in := v.intersect(within); {
	case in.empty():
		return "false"
	case v.covers(within):
		return "true"
	case in.low == in.high:
		return fmt.Sprintf("version == %d", in.low)
	case in.low == within.low:
		return fmt.Sprintf("version <= %d", in.high)
	case in.high == within.high:
		return fmt.Sprintf("version >= %d", in.low)
	default:
		return fmt.Sprintf("version >= %d && version <= %d", in.low, in.high)
	}
}

// flexible is the condition for the struct's encoding to be flexible: a literal or the variable flexible.
func (s *structure) flexible() string {
	if c := condition(s.message.flexible, s.used); c == "true" || c == "false" {
		return c
	}
	return "flexible"
}

// range of versions in which the field is read and written, seen from its struct.
func (s *structure) fieldVersions(f *field) versions { return f.versions.intersect(s.used) }

func emitMessage(m *message) string {
	e := &emitter{}
	for _, s := range m.structures {
		e.structType(s)
	}
	for _, s := range m.structures {
		e.minBytes(s)
		e.defaults(s)
		e.decode(s)
		e.encode(s)
		e.isDefault(s)
	}
	e.entryPoints(m)
	return e.b.String()
}

var kindNames = map[string]string{
	"request": "request", "response": "response", "header": "frame header", "data": "layout", "metadata": "record of __cluster_metadata",
	"coordinator-key": "record key of a coordinator's log", "coordinator-value": "record value of a coordinator's log",
}

func (e *emitter) structType(s *structure) {
	if m := s.message; s == m.root {
		e.p("// %s is Kafka's %s, versions %s%s.", s.goName, kindNames[m.kind], m.versions, keyNote(m))
	} else {
		e.p("// %s is the %s of %s.", s.goName, s.name, s.message.name)
	}
	e.p("type %s struct {", s.goName)
	for _, f := range s.fields {
		var notes []string
		if v := s.fieldVersions(f); v != s.used {
			notes = append(notes, "versions "+v.String())
		}
		if f.tagged() {
			notes = append(notes, fmt.Sprintf("tag %d", f.tag))
		}
		if f.mayBeNull() && !f.nullable.covers(s.fieldVersions(f)) {
			notes = append(notes, "null in versions "+f.nullable.intersect(s.fieldVersions(f)).String())
		} else if f.mayBeNull() {
			notes = append(notes, "may be null")
		}
		comment := ""
		if len(notes) > 0 {
			comment = " // " + strings.Join(notes, ", ")
		}
		e.p("%s %s%s", f.name, f.goType(), comment)
	}
	e.p("}\n")
}

func keyNote(m *message) string {
	if m.key < 0 {
		return ""
	}
	return fmt.Sprintf(", key %d", m.key)
}

// minBytes emits a string that holds, for each version, the least that one element of an array takes.
func (e *emitter) minBytes(s *structure) {
	if !s.isElement() || s.minBytesLiteral() != "" {
		return
	}
	var b strings.Builder
	for v := s.used.low; v <= s.used.high; v++ {
		fmt.Fprintf(&b, "\\x%02x", s.minBytes(v))
	}
	e.p("// %s is the least that a %s takes, indexed by version - %d.", s.minBytesName(), s.goName, s.used.low)
	e.p("const %s = \"%s\"\n", s.minBytesName(), b.String())
}

func (s *structure) isElement() bool {
	for _, other := range s.message.structures {
		for _, f := range other.fields {
			if f.array && f.structure == s {
				return true
			}
		}
	}
	return false
}

func (s *structure) minBytesName() string { return "minBytes" + s.goName }

// minBytesLiteral is not "" if all versions agree.
func (s *structure) minBytesLiteral() string {
	first := s.minBytes(s.used.low)
	if first > 0xff {
		panic(s.goName + " has elements of more than 255 bytes")
	}
	for v := s.used.low; v <= s.used.high; v++ {
		if s.minBytes(v) != first {
			return ""
		}
	}
	return strconv.Itoa(first)
}

func (s *structure) minBytesExpression() string {
	switch literal := s.minBytesLiteral(); {
	case literal != "":
		return literal
	case s.used.low == 0:
		return fmt.Sprintf("int(%s[version])", s.minBytesName())
	}
	return fmt.Sprintf("int(%s[version-%d])", s.minBytesName(), s.used.low)
}

func (e *emitter) defaults(s *structure) {
	e.p("// Default sets every field to the schema's default.")
	e.p("func (m *%s) Default() {", s.goName)
	for _, f := range s.fields {
		e.p("%s", f.setDefault())
	}
	e.p("}\n")
}

// isDefault is needed for structs that are tagged fields, and for those inside them.
func (e *emitter) isDefault(s *structure) {
	if !s.needsIsDefault() {
		return
	}
	var differs []string
	for _, f := range s.fields {
		differs = append(differs, f.differs())
	}
	e.p("func (m *%s) isDefault() bool {", s.goName)
	e.p("return !(%s)", strings.Join(differs, " ||\n"))
	e.p("}\n")
}

func (s *structure) needsIsDefault() bool {
	for _, other := range s.message.structures {
		for _, f := range other.fields {
			if f.structure != s || f.array || f.defaultsToNull() {
				continue
			}
			if f.tagged() || other != s && other.needsIsDefault() {
				return true
			}
		}
	}
	return false
}

// declareFlexible emits the variable if the struct's versions differ in it and it is used.
func (e *emitter) declareFlexible(s *structure) {
	if s.flexible() == "flexible" {
		e.p("flexible := %s", condition(s.message.flexible, s.used))
	}
}

func (s *structure) tagged() []*field {
	var tagged []*field
	for _, f := range s.fields {
		if f.tagged() {
			tagged = append(tagged, f)
		}
	}
	sort.Slice(tagged, func(i, j int) bool { return tagged[i].tag < tagged[j].tag })
	return tagged
}

func (e *emitter) decode(s *structure) {
	e.p("func (m *%s) decode(d *Decoder, version int16) {", s.goName)
	e.declareFlexible(s)
	for _, f := range s.fields {
		if f.tagged() {
			continue
		}
		switch c := condition(f.versions, s.used); c {
		case "true":
			e.read(s, f)
		default:
			e.p("if %s {", c)
			e.read(s, f)
			e.p("} else {")
			e.p("%s", f.setDefault())
			e.p("}")
		}
	}
	e.decodeTags(s)
	e.p("}\n")
}

func (e *emitter) decodeTags(s *structure) {
	tagged := s.tagged()
	for _, f := range tagged {
		if f.keptForTag() {
			e.p("kept%s := m.%s", f.name, f.name)
		}
		e.p("%s", f.setDefault())
	}
	switch s.flexible() {
	case "false":
		return
	case "flexible":
		e.p("if flexible {")
		defer e.p("}")
	}
	if len(tagged) == 0 {
		e.p("d.skipTags()")
		return
	}
	e.p("for n := d.readTagCount(); n > 0; n-- {")
	e.p("tag, frame := d.beginTag()")
	e.p("switch {")
	for _, f := range tagged {
		c := condition(f.versions, s.flexibleVersions())
		if c == "true" {
			e.p("case tag == %d:", f.tag)
		} else {
			e.p("case tag == %d && %s:", f.tag, c)
		}
		e.read(s, f)
	}
	e.p("default:\nd.skipTag()\n}")
	e.p("if !d.endTag(frame) {\nreturn\n}\n}")
}

// flexibleVersions are those in which the struct has a section of tagged fields.
func (s *structure) flexibleVersions() versions { return s.used.intersect(s.message.flexible) }

// within is what is known of the version where the field is read or written.
func (s *structure) within(f *field) versions { return s.fieldVersions(f) }

func (s *structure) flexibleFor(f *field) string {
	switch {
	case f.inflexible:
		return "false"
	case s.message.flexible.covers(s.within(f)):
		return "true"
	}
	return s.flexible()
}

// keptForTag reports whether the field becomes nil before the tagged fields are read, so that what it held must be kept
// aside to be reused.
func (f *field) keptForTag() bool {
	return f.tagged() && f.defaultsToNull() && (f.array || f.kind == "struct")
}

func (e *emitter) read(s *structure, f *field) {
	target, kept := "m."+f.name, "m."+f.name
	if f.keptForTag() {
		kept = "kept" + f.name
	}
	flexible, nullable := s.flexibleFor(f), condition(f.nullable, s.within(f))
	switch {
	case f.kind == "struct" && f.array:
		e.p("%s = readArray(d, %s, %s, %s, %s)", target, kept, flexible, nullable, f.structure.minBytesExpression())
		e.p("for i := range %s {", target)
		e.p("if %s[i].decode(d, version); !d.ok() {\nreturn\n}\n}", target)
	case f.kind == "struct" && !f.mayBeNull():
		e.p("%s.decode(d, version)", target)
	case f.kind == "struct":
		present := "d.readPresence()"
		if f.tagged() {
			present = "d.readTagPresence()"
		}
		if nullable != "true" {
			present = fmt.Sprintf("!(%s) || d.readPresence()", nullable)
		}
		e.p("if %s {", present)
		e.p("%s = reused(%s)", target, kept)
		e.p("%s.decode(d, version)", target)
		e.p("} else {\n%s = nil\n}", target)
	case f.array:
		e.p("%s = d.read%s(%s, %s, %s)", target, f.method(), kept, flexible, nullable)
	case f.kind == "string" && !f.mayBeNull():
		e.p("%s = d.readString(%s)", target, flexible)
	case f.kind == "string" || f.kind == "bytes" || f.kind == "records":
		e.p("%s = d.read%s(%s, %s)", target, f.method(), flexible, nullable)
	default:
		e.p("%s = d.read%s()", target, f.method())
	}
}

func (e *emitter) encode(s *structure) {
	e.p("func (m *%s) encode(e *Encoder, version int16) {", s.goName)
	e.declareFlexible(s)
	for _, f := range s.fields {
		if f.tagged() {
			continue
		}
		c := condition(f.versions, s.used)
		if c != "true" {
			e.p("if %s {", c)
		}
		e.write(s, f)
		if c != "true" {
			e.p("}")
		}
	}
	e.encodeTags(s)
	e.p("}\n")
}

func (e *emitter) encodeTags(s *structure) {
	switch s.flexible() {
	case "false":
		return
	case "flexible":
		e.p("if flexible {")
		defer e.p("}")
	}
	tagged := s.tagged()
	if len(tagged) == 0 {
		e.p("e.writeNoTags()")
		return
	}
	e.p("tags := e.beginTags()")
	for _, f := range tagged {
		c := f.differs()
		if in := condition(f.versions, s.flexibleVersions()); in != "true" {
			c = in + " && " + c
		}
		e.p("if %s {", c)
		e.p("at := e.beginTag(tags, %d)", f.tag)
		e.write(s, f)
		e.p("e.endTag(at)")
		e.p("}")
	}
}

func (e *emitter) write(s *structure, f *field) {
	target := "m." + f.name
	flexible, nullable := s.flexibleFor(f), condition(f.nullable, s.within(f))
	switch {
	case f.kind == "struct" && f.array:
		e.p("e.writeCount(len(%s), %s == nil, %s, %s)", target, target, flexible, nullable)
		e.p("for i := range %s {\n%s[i].encode(e, version)\n}", target, target)
	case f.kind == "struct" && !f.mayBeNull():
		e.p("%s.encode(e, version)", target)
	case f.kind == "struct":
		if f.tagged() {
			e.p("if e.writeTagPresence(%s != nil) {", target)
		} else {
			e.p("if e.writePresence(%s != nil, %s) {", target, nullable)
		}
		e.p("%s.encode(e, version)\n}", target)
	case f.kind == "string" && !f.array && !f.mayBeNull():
		e.p("e.writeString(%s, %s)", target, flexible)
	case f.array || f.kind == "string" || f.kind == "bytes" || f.kind == "records":
		e.p("e.write%s(%s, %s, %s)", f.method(), target, flexible, nullable)
	default:
		e.p("e.write%s(%s)", f.method(), target)
	}
}

func (e *emitter) entryPoints(m *message) {
	t := m.root.goName
	low, high := m.versions.low, m.versions.high
	e.p("// Decode reads the %s at version.", t)
	e.p("func (m *%s) Decode(d *Decoder, version int16) error {", t)
	e.p("if d.begin(version, %d, %d) {\nm.decode(d, version)\n}", low, high)
	e.p("return d.result(%q, version)\n}\n", t)
	e.p("// Encode appends the %s at version.", t)
	e.p("func (m *%s) Encode(e *Encoder, version int16) error {", t)
	e.p("if e.begin(version, %d, %d) {\nm.encode(e, version)\n}", low, high)
	e.p("return e.result(%q, version)\n}\n", t)
	e.p("// Versions is what Decode and Encode know.")
	e.p("func (*%s) Versions() (lowest, highest int16) { return %d, %d }", t, low, high)
	switch m.kind {
	case "response":
		if slices.ContainsFunc(m.root.fields, func(f *field) bool { return f.name == "ThrottleTimeMs" }) {
			e.p("\n// SetThrottleTimeMs implements Throttled.")
			e.p("func (m *%s) SetThrottleTimeMs(ms int32) { m.ThrottleTimeMs = ms }", t)
		}
	case "metadata":
		e.p("\n// MetadataKey is the record's type in __cluster_metadata.")
		e.p("func (*%s) MetadataKey() int16 { return %d }", t, m.key)
	case "coordinator-key", "coordinator-value":
		e.p("\n// CoordinatorKey is the record's type in its coordinator's log.")
		e.p("func (*%s) CoordinatorKey() int16 { return %d }", t, m.key)
	}
}
