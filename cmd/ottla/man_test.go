package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
)

// TestManual: every command that help shows has a page, whose text says what help says, and which holds no request but those that we mean.
func TestManual(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "man1")
	shell.Must(t, "", "man", dir)
	requests := regexp.MustCompile(`^(\.(TH|SH) .*|\.(nf|fi|TP))$`)
	eachCommand(newRoot(), func(cmd *cobra.Command) {
		if cmd.HasParent() && !cmd.IsAvailableCommand() {
			return
		}
		page, err := os.ReadFile(filepath.Join(dir, manualName(cmd)+".1"))
		if err != nil {
			t.Error(err)
			return
		}
		var text []string
		for line := range strings.Lines(string(page)) {
			line = strings.TrimSuffix(line, "\n")
			switch {
			case requests.MatchString(line):
			case strings.HasPrefix(line, "."), strings.HasPrefix(line, "'"):
				t.Errorf("%s: %q is a request", manualName(cmd), line)
			default:
				text = append(text, strings.NewReplacer(`\&`, "", `\-`, "-", `\e`, `\`, `\[u2026]`, "…").Replace(line))
			}
		}
		whole := strings.Join(text, "\n")
		for _, want := range []string{cmd.Short, strings.Trim(cmd.Long, "\n"), strings.Trim(cmd.Example, "\n"), cmd.UseLine()} {
			if !strings.Contains(whole, want) {
				t.Errorf("%s does not say:\n%s\nit says:\n%s", manualName(cmd), want, whole)
			}
		}
	})
}

func TestManualPage(t *testing.T) {
	cmd := &cobra.Command{Use: "cut FILE", Short: "Cut a file", Long: ".dot first\n'quote first, \\n and -x", Example: "  cut x", Run: func(*cobra.Command, []string) {}}
	cmd.Flags().StringP("at", "a", "3", "where to cut")
	cmd.Flags().Bool("dry", false, "only look")
	want := `.TH "CUT" 1 "" "ottla 0.0.0-dev" "Ottla"
.SH NAME
cut \- Cut a file
.SH SYNOPSIS
cut FILE [flags]
.SH DESCRIPTION
.nf
\&.dot first
\&'quote first, \en and \-x
.fi
.SH OPTIONS
.TP
\-a, \-\-at string
where to cut (default 3)
.TP
\-\-dry
only look
.SH EXAMPLES
.nf
  cut x
.fi
`
	if diff := cmp.Diff(want, manualPage(cmd)); diff != "" {
		t.Error(diff)
	}
}
