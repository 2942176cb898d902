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
	Password Type = 9
)

var typeNames = [...]string{Boolean: "BOOLEAN", String: "STRING", Int: "INT", Short: "SHORT", Long: "LONG", Double: "DOUBLE", List: "LIST", Password: "PASSWORD"}

// String is Kafka's name of the type, as it appears in error sentences.
func (t Type) String() string { return typeNames[t] }

// Scope says what a setting can be set on.
type Scope uint8

// A name such as compression.type has two settings, one a scope.
const (
	Topic Scope = iota
	Broker
	Group
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
	// reused. They are not described; whoever starts a broker should say that they do nothing.
	Inert bool
	// Synonyms, of a topic or group setting, are the broker settings that it falls back to, in order of precedence; the
	// factor of each converts to the topic setting's unit. Of a broker setting, they are the broker settings of the
	// same meaning in another unit.
	Synonyms []Synonym
	Check    Check
	Doc      string
}

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
	Text   string // String, Password
	List   []string
}

// Check refuses values that parse, yet are out of bounds. It returns why, in Kafka's words, or "".
type Check func(v Value) string

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
	invalid := func(why string) (Value, error) { return Value{}, &InvalidValue{Name: s.Name, Value: text, Why: why} }
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
	if s.Check != nil {
		if why := s.Check(v); why != "" {
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

func atLeast(low int64) Check {
	why := fmt.Sprintf("Value must be at least %d", low)
	return func(v Value) string {
		if v.Int < low {
			return why
		}
		return ""
	}
}

func between(low, high int64) Check {
	tooLow, tooHigh := fmt.Sprintf("Value must be at least %d", low), fmt.Sprintf("Value must be no more than %d", high)
	return func(v Value) string {
		switch {
		case v.Int < low:
			return tooLow
		case v.Int > high:
			return tooHigh
		}
		return ""
	}
}

func ratio(v Value) string {
	switch {
	case v.Double < 0:
		return "Value must be at least 0"
	case v.Double > 1:
		return "Value must be no more than 1"
	}
	return ""
}

func gzipLevel(v Value) string {
	if v.Int != -1 && (v.Int < 1 || v.Int > 9) {
		return "Value must be between 1 and 9 or equal to -1"
	}
	return ""
}

func oneOf(names ...string) Check {
	why := "String must be one of: " + strings.Join(names, ", ")
	known := func(text string) bool {
		for _, name := range names {
			if text == name {
				return true
			}
		}
		return false
	}
	return func(v Value) string {
		if v.List == nil && !known(v.Text) {
			return why
		}
		return ""
	}
}

func listOf(names ...string) Check {
	one := oneOf(names...)
	return func(v Value) string {
		for _, item := range v.List {
			if why := one(Value{Text: item}); why != "" {
				return item + "\x00" + why
			}
		}
		return ""
	}
}

// notEmpty refuses a list without items.
func notEmpty(name string) Check {
	why := name + " must name at least one"
	return func(v Value) string {
		if len(v.List) == 0 {
			return why
		}
		return ""
	}
}

// throttled checks a list of throttled replicas: empty, the single item *, or partition:broker pairs (KIP-73).
func throttled(name string) Check {
	why := name + " must be the literal '*' or a list of replicas in the following format: [partitionId]:[brokerId],[partitionId]:[brokerId],..."
	number := func(text string) bool {
		_, err := strconv.ParseUint(text, 10, 31)
		return err == nil
	}
	return func(v Value) string {
		if len(v.List) == 1 && v.List[0] == "*" {
			return ""
		}
		for _, item := range v.List {
			partition, broker, ok := strings.Cut(item, ":")
			if !ok || !number(partition) || !number(broker) {
				return why
			}
		}
		return ""
	}
}
