package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"
)

// OutputFormat is what a command is to print: text for people, or JSON (one document, or one a line for each record or finding).
//
// Commands know these two. -o yaml is JSON to them: what they print is rewritten on its way out (yamlWriter), so that both have the
// same fields in the same order.
type OutputFormat string

// The formats that commands know.
const (
	OutputText OutputFormat = "table"
	OutputJSON OutputFormat = "json"
)

// outputFlag is the value of -o.
type outputFlag struct {
	format *OutputFormat
	yaml   bool
}

// Register adds -o to a command, and sets its default.
func (o *OutputFormat) Register(cmd *cobra.Command) {
	*o = OutputText
	cmd.Flags().VarP(&outputFlag{format: o}, "output", "o", "table, json or yaml")
}

func (f *outputFlag) Type() string { return "FORMAT" }

func (f *outputFlag) String() string {
	switch {
	case f.yaml:
		return "yaml"
	case f.format == nil: // pflag asks a zero value what its default is
		return ""
	}
	return string(*f.format)
}

func (f *outputFlag) Set(text string) error {
	switch text {
	case "table", "text":
		*f.format, f.yaml = OutputText, false
	case "json":
		*f.format, f.yaml = OutputJSON, false
	case "yaml":
		*f.format, f.yaml = OutputJSON, true
	default:
		return errors.New("want table, json or yaml")
	}
	return nil
}

// rewriteOutput has a command's JSON leave as YAML where -o says so.
func rewriteOutput(cmd *cobra.Command) {
	if flag := cmd.Flags().Lookup("output"); flag != nil {
		if value, ok := flag.Value.(*outputFlag); ok && value.yaml {
			cmd.SetOut(&yamlWriter{to: cmd.OutOrStdout()})
		}
	}
}

// yamlWriter rewrites a sequence of JSON documents as YAML documents, each as soon as it is whole.
type yamlWriter struct {
	to      io.Writer
	pending []byte // the beginning of a document
	written bool
}

func (w *yamlWriter) Write(p []byte) (int, error) {
	w.pending = append(w.pending, p...)
	documents := json.NewDecoder(bytes.NewReader(w.pending))
	done := int64(0)
	for {
		var document json.RawMessage
		err := documents.Decode(&document)
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			break
		}
		if err == nil {
			err = w.document(document)
		}
		if err != nil {
			return 0, fmt.Errorf("rewrite JSON as YAML: %w", err)
		}
		done = documents.InputOffset()
	}
	w.pending = bytes.TrimLeft(w.pending[done:], " \r\n")
	return len(p), nil
}

// document writes one.
func (w *yamlWriter) document(document []byte) error {
	tokens := json.NewDecoder(bytes.NewReader(document))
	tokens.UseNumber()
	node, err := yamlOf(tokens)
	if err != nil {
		return err
	}
	text, err := marshalYAML(node)
	if err != nil {
		return err
	}
	separator := ""
	if w.written {
		separator = "---\n"
	}
	w.written = true
	_, err = io.WriteString(w.to, separator+string(text))
	return err
}

// yamlOf reads one JSON value, and keeps the order of fields and the digits of numbers.
func yamlOf(tokens *json.Decoder) (*yaml.Node, error) {
	token, err := tokens.Token()
	if err != nil {
		return nil, err
	}
	node := &yaml.Node{Kind: yaml.ScalarNode}
	switch value := token.(type) {
	case json.Delim:
		node.Kind = yaml.SequenceNode
		if value == '{' {
			node.Kind = yaml.MappingNode
		}
		for tokens.More() { // a field's name is a token of its own
			child, err := yamlOf(tokens)
			if err != nil {
				return nil, err
			}
			node.Content = append(node.Content, child)
		}
		_, err = tokens.Token() // the closing one
		return node, err
	case json.Number:
		node.Value = value.String()
	case string:
		node.Tag, node.Value = "!!str", value // the encoder quotes what would read as something else than a string
		if value == "<<" {                    // but for this, which means a merge
			node.Style = yaml.DoubleQuotedStyle
		}
	default: // true, false, null
		return node, node.Encode(value)
	}
	return node, nil
}

func marshalYAML(value any) ([]byte, error) {
	var text bytes.Buffer
	encoder := yaml.NewEncoder(&text)
	encoder.SetIndent(2)
	if err := encoder.Encode(value); err != nil {
		return nil, err
	}
	err := encoder.Close()
	return text.Bytes(), err
}

// PrintJSON writes one indented document. A list without elements is [], however deep it lies and whether or not it was made: a program that reads the
// document goes through lists without asking first.
func PrintJSON(w io.Writer, value any) error {
	makeLists(reflect.ValueOf(&value).Elem())
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(value)
}

// makeLists replaces, in the variable v, the nil slices by empty ones. What v leads to is copied, as it is the caller's. Bytes are a text in JSON, and no
// list; a map that is nil stays null.
func makeLists(v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			makeLists(v.Field(i))
		}
	case reflect.Array:
		for i := range v.Len() {
			makeLists(v.Index(i))
		}
	}
	if !v.CanSet() { // a field that is not exported, and not printed
		return
	}
	copied := func(value reflect.Value) reflect.Value {
		variable := reflect.New(value.Type()).Elem()
		variable.Set(value)
		makeLists(variable)
		return variable
	}
	switch v.Kind() {
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return
		}
		list := reflect.MakeSlice(v.Type(), v.Len(), v.Len())
		for i := range v.Len() {
			list.Index(i).Set(copied(v.Index(i)))
		}
		v.Set(list)
	case reflect.Map:
		if v.IsNil() {
			return
		}
		fields := reflect.MakeMapWithSize(v.Type(), v.Len())
		for name, field := range v.Seq2() {
			fields.SetMapIndex(name, copied(field))
		}
		v.Set(fields)
	case reflect.Pointer:
		if !v.IsNil() {
			v.Set(copied(v.Elem()).Addr())
		}
	case reflect.Interface:
		if !v.IsNil() {
			v.Set(copied(v.Elem()))
		}
	}
}

// PrintTable writes rows in aligned columns; the first row is the heading.
func PrintTable(w io.Writer, rows [][]string) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		fmt.Fprintln(table, strings.Join(row, "\t"))
	}
	return table.Flush()
}

// ShowTable prints a value as -o says: as a document, or as rows in columns, the first of which is the heading.
func (o OutputFormat) ShowTable(cmd *cobra.Command, value any, rows [][]string) error {
	return o.Show(cmd, value, func(out io.Writer) error { return PrintTable(out, rows) })
}

// Show prints a value as -o says: as a document, or as the text that asText prints.
func (o OutputFormat) Show(cmd *cobra.Command, value any, asText func(io.Writer) error) error {
	if o == OutputJSON {
		return PrintJSON(cmd.OutOrStdout(), value)
	}
	return asText(cmd.OutOrStdout())
}
