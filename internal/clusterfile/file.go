package clusterfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// File is what a cluster has, or is to have. A section that is nil is not spoken of.
type File struct {
	// Topics by name.
	Topics map[string]Topic `yaml:"topics"`
	// Brokers are the dynamic settings of brokers, by id; AllBrokers are those of all that have no own.
	Brokers map[string]Settings `yaml:"brokers"`
	// Groups are the settings of groups, by name.
	Groups map[string]Settings `yaml:"groups"`
	// Quotas of clients.
	Quotas []Quota `yaml:"quotas"`
}

// AllBrokers stands for the default of all brokers among File.Brokers.
const AllBrokers = "default"

// Topic is one topic.
type Topic struct {
	// Partitions is their number; 0 if it is not spoken of.
	Partitions int32 `yaml:"partitions,omitempty"`
	// ReplicationFactor is the number of copies; 0 if it is not spoken of.
	ReplicationFactor int16 `yaml:"replicationFactor,omitempty"`
	// Config are its own settings.
	Config Settings `yaml:"config,omitempty"`
}

// Settings are values by Kafka's names of settings; nil is a setting that is to have no own value.
type Settings map[string]*string

// Quota limits clients.
type Quota struct {
	// Entity says which clients: user, client-id and ip by name; nil is the default of all that have no own.
	Entity map[string]*string `yaml:"entity"`
	// Limits by Kafka's names, such as producer_byte_rate in bytes a second; nil is a limit that is to be absent.
	Limits Limits `yaml:"limits"`
}

// Limits are numbers by their names.
type Limits map[string]*float64

// settings are the limits as texts, without exponents.
func (l Limits) settings() Settings {
	texts := make(Settings, len(l))
	for key, value := range l {
		texts[key] = nil
		if value != nil {
			text := strconv.FormatFloat(*value, 'f', -1, 64)
			texts[key] = &text
		}
	}
	return texts
}

// MarshalYAML writes all digits: 1048576, not 1.048576e+06.
func (l Limits) MarshalYAML() (any, error) { return l.settings().MarshalYAML() }

// entityTypes in the order in which Kafka names them.
var entityTypes = []string{"user", "client-id", "ip"}

// Name is the entity as text, such as user=alice, client-id=<default>. It tells entities apart.
func (q *Quota) Name() string {
	var parts []string
	for _, kind := range entityTypes {
		if name, ok := q.Entity[kind]; ok {
			if name == nil {
				parts = append(parts, kind+"=<default>")
			} else {
				parts = append(parts, kind+"="+*name)
			}
		}
	}
	return strings.Join(parts, ", ")
}

// Parse reads a file. An error names the line where it can.
func Parse(text []byte) (*File, error) {
	var f File
	if err := DecodeStrict(text, &f); err != nil {
		return nil, err
	}
	return &f, f.check()
}

// goTypes are what the library says of our types, which is nothing to the reader of an error.
var goTypes = regexp.MustCompile(` (in type|into) [\w.*]+`)

// DecodeStrict reads one YAML document. Fields that the value does not have, and a second document, are errors. An error is one line, and names the
// line of the document where it can. An empty document leaves the value as it is.
func DecodeStrict(text []byte, into any) error {
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	decoder.KnownFields(true)
	err := decoder.Decode(into)
	var several *yaml.TypeError
	switch {
	case errors.Is(err, io.EOF):
		return nil
	case errors.As(err, &several):
		return errors.New(goTypes.ReplaceAllString(strings.Join(several.Errors, "; "), ""))
	case err != nil:
		return err
	}
	if err := decoder.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return errors.New("it has more than one document")
	}
	return nil
}

func (f *File) check() error {
	for _, name := range slices.Sorted(maps.Keys(f.Topics)) {
		switch t := f.Topics[name]; {
		case name == "":
			return errors.New("topics: a topic has no name")
		case t.Partitions < 0, t.ReplicationFactor < 0:
			return fmt.Errorf("topic %s: partitions and replicationFactor are 1 or more", name)
		}
	}
	for id := range f.Brokers {
		if n, err := strconv.ParseInt(id, 10, 32); id != AllBrokers && (err != nil || n < 0) {
			return fmt.Errorf("brokers: %s is neither a broker's id nor %s", id, AllBrokers)
		}
	}
	seen := map[string]bool{}
	for i, q := range f.Quotas {
		for kind := range q.Entity {
			if !slices.Contains(entityTypes, kind) {
				return fmt.Errorf("quotas: %s is none of %s", kind, strings.Join(entityTypes, ", "))
			}
		}
		name := q.Name()
		if name == "" {
			return fmt.Errorf("quotas: number %d has no entity", i+1)
		}
		if seen[name] {
			return fmt.Errorf("quotas: %s is there twice", name)
		}
		seen[name] = true
		for limit, value := range q.Limits {
			if value != nil && (math.IsNaN(*value) || math.IsInf(*value, 0) || *value < 0) {
				return fmt.Errorf("quotas: %s of %s: want a number from 0 on", limit, name)
			}
		}
	}
	return nil
}

// Text is the file as Parse reads it. The same content is always the same text.
func (f *File) Text() ([]byte, error) {
	var text bytes.Buffer
	encoder := yaml.NewEncoder(&text)
	encoder.SetIndent(2)
	var sections struct { // one that is empty says that there is nothing, which is more than not to speak of it
		Topics  *map[string]Topic    `yaml:"topics,omitempty"`
		Brokers *map[string]Settings `yaml:"brokers,omitempty"`
		Groups  *map[string]Settings `yaml:"groups,omitempty"`
		Quotas  *[]Quota             `yaml:"quotas,omitempty"`
	}
	if f.Topics != nil {
		sections.Topics = &f.Topics
	}
	if f.Brokers != nil {
		sections.Brokers = &f.Brokers
	}
	if f.Groups != nil {
		sections.Groups = &f.Groups
	}
	if f.Quotas != nil {
		sections.Quotas = &f.Quotas
	}
	if err := encoder.Encode(sections); err != nil {
		return nil, err
	}
	err := encoder.Close()
	return text.Bytes(), err
}

// UnmarshalYAML takes a scalar as it is written, so that numbers keep their digits; a list becomes Kafka's, with commas; null is no own value.
func (s *Settings) UnmarshalYAML(node *yaml.Node) error {
	if node.Kind != yaml.MappingNode {
		return fmt.Errorf("line %d: settings are KEY: VALUE", node.Line)
	}
	var values map[string]yaml.Node // with anchors merged, and no key twice
	if err := node.Decode(&values); err != nil {
		return err
	}
	*s = make(Settings, len(values))
	for key, value := range values {
		text, err := settingText(&value)
		if err != nil {
			return fmt.Errorf("line %d: %s: %w", value.Line, key, err)
		}
		(*s)[key] = text
	}
	return nil
}

func settingText(node *yaml.Node) (*string, error) {
	switch node.Kind {
	case yaml.AliasNode:
		return settingText(node.Alias)
	case yaml.ScalarNode:
		if node.Tag == "!!null" {
			return nil, nil
		}
		return &node.Value, nil
	case yaml.SequenceNode:
		var items []string
		for _, item := range node.Content {
			if item.Kind != yaml.ScalarNode {
				return nil, errors.New("want a list of words")
			}
			items = append(items, item.Value)
		}
		joined := strings.Join(items, ",")
		return &joined, nil
	}
	return nil, errors.New("want a value, a list or null")
}

// plain are values that need no quotes although they are not strings in YAML: a setting is read as it is written.
var plain = regexp.MustCompile(`^(-?[0-9]+(\.[0-9]+)?|true|false)$`)

// MarshalYAML writes numbers and booleans without quotes.
func (s Settings) MarshalYAML() (any, error) {
	node := &yaml.Node{Kind: yaml.MappingNode}
	for _, key := range slices.Sorted(maps.Keys(s)) {
		value := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str"}
		switch text := s[key]; {
		case text == nil:
			value.Tag, value.Value = "!!null", "null"
		case plain.MatchString(*text):
			value.Tag, value.Value = "", *text
		default:
			value.Value = *text
		}
		node.Content = append(node.Content, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: key}, value)
	}
	return node, nil
}
