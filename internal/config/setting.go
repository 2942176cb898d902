package config

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Type is the type of a setting's value, numbered as in DescribeConfigs (ConfigType, KIP-569).
type Type int8

// The types that the settings of a broker and a topic have.
const (
	Boolean  Type = 1
	String   Type = 2
	Int      Type = 3 // 32 bits
	Short    Type = 4 // 16 bits
	Long     Type = 5 // 64 bits
	Double   Type = 6
	List     Type = 7 // comma-separated
	Class    Type = 8 // of Java: none can be loaded
	Password Type = 9
)

var typeNames = [...]string{Boolean: "BOOLEAN", String: "STRING", Int: "INT", Short: "SHORT", Long: "LONG", Double: "DOUBLE", List: "LIST", Class: "CLASS", Password: "PASSWORD"}

// String is Kafka's name of the type, as it appears in error sentences.
func (t Type) String() string { return typeNames[t] }

// Scope says what a setting can be set on.
type Scope uint8

// A name such as compression.type has two settings, one a scope.
const (
	Topic Scope = iota
	Broker
	Group
	ClientMetrics
)

// Setting is one row of the table.
type Setting struct {
	Name  string
	Type  Type
	Scope Scope
	// Default is the value in text form. Null says that there is none.
	Default string
	Null    bool
	// Dynamic: the value may change while the broker runs. Every setting of topics and groups is dynamic.
	Dynamic bool
	// Sensitive values are never printed or sent.
	Sensitive bool
	// Internal settings are accepted, and described only where they are set, as Kafka does.
	Internal bool
	// Inert settings mean something to Kafka, nothing here; they are accepted so that a server.properties can be
	// reused. They are described only where they are set; whoever starts a broker should say that they do nothing.
	Inert bool
	// Idle settings of topics are stored and described, and nothing acts on them yet; their Doc says so.
	Idle bool
	// Unsupported, if set, is why any value but the default is refused, as the middle of a sentence: whoever gives one relies on
	// what is not there. "" for all others.
	Unsupported string
	// Synonyms, of a topic or group setting, are the broker settings that it falls back to, in order of precedence; the
	// factor of each converts to the topic setting's unit. Of a broker setting, they are the broker settings of the
	// same meaning in another unit.
	Synonyms []Synonym
	Check    Check
	// Risk is what a change of the value can lose; the zero one is nothing.
	Risk Risk
	Doc  string
}

// Limits says in words which values Check lets through, "" if all of the type.
func (s *Setting) Limits() string { return s.Check.limits }

// Synonym names another setting of the same meaning. Factor × its value is the value of the setting that names it.
type Synonym struct {
	Name   string
	Factor int64
}

// Value is a parsed value. The field of the setting's type is filled.
type Value struct {
	Null   bool
	Bool   bool
	Int    int64 // Int, Short, Long
	Double float64
	Text   string // String, Class, Password
	List   []string
}

// Check refuses values that parse, yet are out of bounds. The zero Check refuses none.
type Check struct {
	refuse func(v Value) string // why not, in Kafka's words, or ""
	limits string               // the values that it lets through, in words
}

// InvalidValue is a value that a setting cannot have.
type InvalidValue struct {
	Name, Value, Why string
}

// Error is Kafka's ConfigException sentence.
func (e *InvalidValue) Error() string {
	text := fmt.Sprintf("Invalid value %s for configuration %s", e.Value, e.Name)
	if e.Why != "" {
		text += ": " + e.Why
	}
	return text
}

// Parse reads a value in text form: trimmed, of the setting's type, within its limits.
// Where Kafka takes NaN and infinities for a DOUBLE, Parse does not: no limit holds them.
func (s *Setting) Parse(text string) (Value, error) {
	text = strings.TrimSpace(text)
	invalid := func(why string) (Value, error) {
		if strings.HasPrefix(why, requirement) {
			return Value{}, conflict(why)
		}
		return Value{}, &InvalidValue{Name: s.Name, Value: text, Why: why}
	}
	notANumber := "Not a number of type " + s.Type.String()
	var v Value
	switch s.Type {
	case Boolean:
		switch {
		case strings.EqualFold(text, "true"):
			v.Bool = true
		case !strings.EqualFold(text, "false"):
			return invalid("Expected value to be either true or false")
		}
	case Int, Short, Long:
		bits := map[Type]int{Int: 32, Short: 16, Long: 64}[s.Type]
		n, err := strconv.ParseInt(text, 10, bits)
		if err != nil {
			return invalid(notANumber)
		}
		v.Int = n
	case Double:
		d, err := strconv.ParseFloat(text, 64)
		if err != nil || math.IsNaN(d) || math.IsInf(d, 0) {
			return invalid(notANumber)
		}
		v.Double = d
	case List:
		if text != "" {
			for _, item := range strings.Split(text, ",") {
				v.List = append(v.List, strings.TrimSpace(item))
			}
		}
		for _, item := range v.List {
			if item == "" {
				return Value{}, &emptyListValue{name: s.Name}
			}
		}
	default:
		v.Text = text
	}
	if s.Check.refuse != nil {
		if why := s.Check.refuse(v); why != "" {
			if s.Type == List {
				return s.refuseList(v.List, why)
			}
			return invalid(why)
		}
	}
	return v, nil
}

// refuseList names the value as Kafka does: an unknown item alone, else the list in brackets.
func (s *Setting) refuseList(items []string, why string) (Value, error) {
	shown := "[" + strings.Join(items, ", ") + "]"
	if item, rest, ok := strings.Cut(why, "\x00"); ok {
		shown, why = item, rest
	}
	return Value{}, &InvalidValue{Name: s.Name, Value: shown, Why: why}
}

type emptyListValue struct{ name string }

func (e *emptyListValue) Error() string {
	return "Configuration '" + e.name + "' values must not be empty."
}

// Format is the canonical text of a parsed value, as DescribeConfigs shows it.
func (s *Setting) Format(v Value) string {
	switch s.Type {
	case Boolean:
		return strconv.FormatBool(v.Bool)
	case Int, Short, Long:
		return strconv.FormatInt(v.Int, 10)
	case Double:
		text := strconv.FormatFloat(v.Double, 'g', -1, 64)
		if !strings.ContainsAny(text, ".e") {
			text += ".0" // as Java prints a double
		}
		return strings.Replace(text, "e+", "E", 1)
	case List:
		return strings.Join(v.List, ",")
	}
	return v.Text
}

// defaultValue is the parsed default; a table row whose default does not parse is a bug, which a test finds.
func (s *Setting) defaultValue() Value {
	if s.Null {
		return Value{Null: true}
	}
	v, err := s.Parse(s.Default)
	if err != nil {
		panic("config: default of " + s.Name + ": " + err.Error())
	}
	return v
}
