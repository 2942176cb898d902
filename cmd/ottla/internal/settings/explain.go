package settings

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ottla-io/ottla/cmd/ottla/internal/cli"
	"github.com/ottla-io/ottla/internal/config"
)

// explainedSetting is all that is known of one setting of one kind of thing.
type explainedSetting struct {
	Name     string   `json:"name"`
	Of       string   `json:"of"` // topic, broker or group
	Type     string   `json:"type"`
	Values   string   `json:"values,omitempty"` // those of the type that may be
	Default  *string  `json:"default"`          // null: none
	Changes  string   `json:"changes"`
	Defaults []string `json:"brokerDefaults,omitempty"` // the broker settings that count where this is not set
	Effect   bool     `json:"effect"`
	Risk     string   `json:"risk,omitempty"`
	Doc      string   `json:"doc"`
}

func newConfigExplain() *cobra.Command {
	var output cli.OutputFormat
	cmd := &cobra.Command{
		Use:     "explain KEY...",
		Short:   "Explain settings: what they do, their type, values and default, and when they may change",
		Long:    "Explain settings of topics, brokers and groups, as this version of Ottla has them; no broker is asked.",
		Args:    cobra.MinimumNArgs(1),
		Example: "  ottla config explain retention.ms\n  ottla config explain max.connections num.io.threads -o json",
		RunE: func(cmd *cobra.Command, keys []string) error {
			var all []explainedSetting
			for _, key := range keys {
				found, err := explainSetting(key)
				if err != nil {
					return err
				}
				all = append(all, found...)
			}
			return output.Show(cmd, all, func(out io.Writer) error {
				for i, s := range all {
					if i > 0 {
						fmt.Fprintln(out)
					}
					if err := s.print(out); err != nil {
						return err
					}
				}
				return nil
			})
		},
	}
	output.Register(cmd)
	cli.CompleteArguments(cmd, completeAny)
	return cmd
}

// explainSetting is one setting for each kind of thing that has one of that name.
func explainSetting(key string) ([]explainedSetting, error) {
	var found []explainedSetting
	var names []string
	for _, kind := range []struct {
		scope config.Scope
		of    configTarget
	}{{config.Topic, topicTarget}, {config.Broker, brokerTarget}, {config.Group, groupTarget}} {
		for _, s := range config.All(kind.scope) {
			if s.Name == key {
				found = append(found, explained(&s, kind.of))
			}
			names = append(names, s.Name)
		}
	}
	if len(found) == 0 {
		if near, ok := cli.Nearest(key, names); ok {
			return nil, fmt.Errorf("there is no setting %s: did you mean %s?", key, near)
		}
		return nil, fmt.Errorf("there is no setting %s; docs/settings.md lists all", key)
	}
	return found, nil
}

func explained(s *config.Setting, of configTarget) explainedSetting {
	e := explainedSetting{Name: s.Name, Of: string(of), Type: strings.ToLower(s.Type.String()), Values: s.Limits(), Changes: "at any time",
		Effect: !s.Inert && !s.Idle, Risk: s.Risk.Doc, Doc: s.Doc}
	if !s.Null {
		e.Default = &s.Default
	}
	switch {
	case s.Unsupported != "":
		e.Doc = "Only the default is accepted: " + s.Unsupported + "."
	case s.Inert:
		e.Doc = "Accepted, so that Kafka's files and tools work, and without effect. " + s.Doc
	}
	if of == brokerTarget {
		if e.Changes = "at the next start"; s.Dynamic {
			e.Changes = "in a running broker"
		}
		return e
	}
	for _, synonym := range s.Synonyms {
		e.Defaults = append(e.Defaults, synonym.Name)
	}
	return e
}

func (e *explainedSetting) print(out io.Writer) error {
	fmt.Fprintf(out, "%s, a setting of a %s\n%s\n", e.Name, e.Of, e.Doc)
	value := "none"
	if e.Default != nil {
		if value = *e.Default; value == "" {
			value = "empty"
		}
	}
	rows := [][]string{{"  type", e.Type}}
	if e.Values != "" {
		rows = append(rows, []string{"  values", e.Values})
	}
	rows = append(rows, []string{"  default", value})
	if len(e.Defaults) > 0 {
		rows = append(rows, []string{"  unset", "the broker's " + strings.Join(e.Defaults, ", else ")})
	}
	rows = append(rows, []string{"  changes", e.Changes})
	if e.Risk != "" {
		rows = append(rows, []string{"  risk", e.Risk})
	}
	return cli.PrintTable(out, rows)
}
