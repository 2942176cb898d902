package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
)

// outputFormat is the value of -o: text for people, json (one document, or one line a record) for programs.
type outputFormat string

const (
	outputText outputFormat = "text"
	outputJSON outputFormat = "json"
)

func (o *outputFormat) register(cmd *cobra.Command) {
	*o = outputText
	cmd.Flags().VarP(o, "output", "o", "text or json")
}

func (o *outputFormat) String() string { return string(*o) }
func (o *outputFormat) Type() string   { return "FORMAT" }

func (o *outputFormat) Set(text string) error {
	switch outputFormat(text) {
	case outputText, outputJSON:
		*o = outputFormat(text)
		return nil
	}
	return fmt.Errorf("want text or json")
}

// printJSON writes one indented document.
func printJSON(w io.Writer, value any) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(value)
}

// printTable writes rows in aligned columns; the first row is the heading.
func printTable(w io.Writer, rows [][]string) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		fmt.Fprintln(table, strings.Join(row, "\t"))
	}
	return table.Flush()
}
