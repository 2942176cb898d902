package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"unicode"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// newMan is hidden: packagers call it, by 'make man'.
func newMan() *cobra.Command {
	return &cobra.Command{
		Use:     "man DIR",
		Short:   "Write the manual pages of all commands",
		Long:    "Write the manual pages of all commands, ottla.1, ottla-topic.1 and so on, into a directory, which is made if it is absent.",
		Args:    cobra.ExactArgs(1),
		Hidden:  true,
		Example: "  ottla man man1",
		RunE: func(cmd *cobra.Command, dirs []string) error {
			if err := os.MkdirAll(dirs[0], 0o755); err != nil {
				return fmt.Errorf("write manual pages: %w", err)
			}
			return writeManual(cmd.Root(), dirs[0])
		},
	}
}

func writeManual(cmd *cobra.Command, dir string) error {
	path := filepath.Join(dir, manualName(cmd)+".1")
	if err := os.WriteFile(path, []byte(manualPage(cmd)), 0o644); err != nil {
		return fmt.Errorf("write manual pages: %w", err)
	}
	for _, sub := range cmd.Commands() {
		if sub.IsAvailableCommand() {
			if err := writeManual(sub, dir); err != nil {
				return err
			}
		}
	}
	return nil
}

func manualName(cmd *cobra.Command) string { return strings.ReplaceAll(cmd.CommandPath(), " ", "-") }

// manualPage is a command's help as man(7) has it. cobra's own generator takes help for Markdown, which ours is not: it would eat backslashes
// and line ends.
func manualPage(cmd *cobra.Command) string {
	var page strings.Builder
	section := func(title string) { fmt.Fprintf(&page, ".SH %s\n", title) }
	verbatim := func(text string) { fmt.Fprintf(&page, ".nf\n%s.fi\n", roffLines(text)) }
	fmt.Fprintf(&page, ".TH %q 1 \"\" %q \"Ottla\"\n", strings.ToUpper(manualName(cmd)), "ottla "+version())
	section("NAME")
	page.WriteString(roffLines(manualName(cmd) + " - " + cmd.Short))
	section("SYNOPSIS")
	page.WriteString(roffLines(cmd.UseLine()))
	section("DESCRIPTION")
	long := cmd.Long
	if long == "" {
		long = cmd.Short + "."
	}
	verbatim(long)
	if flags := cmd.NonInheritedFlags(); flags.HasAvailableFlags() {
		section("OPTIONS")
		manualFlags(&page, flags)
	}
	if flags := cmd.InheritedFlags(); flags.HasAvailableFlags() {
		section("OPTIONS OF ALL COMMANDS")
		manualFlags(&page, flags)
	}
	if cmd.Example != "" {
		section("EXAMPLES")
		verbatim(cmd.Example)
	}
	if also := seeAlso(cmd); len(also) > 0 {
		section("SEE ALSO")
		page.WriteString(roffLines(strings.Join(also, ", ")))
	}
	return page.String()
}

// seeAlso names the pages of the command above and of those below.
func seeAlso(cmd *cobra.Command) (pages []string) {
	if cmd.HasParent() {
		pages = append(pages, manualName(cmd.Parent())+"(1)")
	}
	for _, sub := range cmd.Commands() {
		if sub.IsAvailableCommand() {
			pages = append(pages, manualName(sub)+"(1)")
		}
	}
	return pages
}

func manualFlags(page *strings.Builder, flags *pflag.FlagSet) {
	flags.VisitAll(func(flag *pflag.Flag) {
		if flag.Hidden {
			return
		}
		name, usage := pflag.UnquoteUsage(flag)
		head := "--" + flag.Name
		if flag.Shorthand != "" {
			head = "-" + flag.Shorthand + ", " + head
		}
		if name != "" {
			head += " " + name
		}
		switch flag.DefValue {
		case "", "false", "0", "[]":
		default:
			usage += fmt.Sprintf(" (default %s)", strings.Trim(flag.DefValue, "[]"))
		}
		fmt.Fprintf(page, ".TP\n%s%s", roffLines(head), roffLines(usage))
	})
}

// roffLines is text that roff prints as it is.
func roffLines(text string) string {
	text = strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(strings.Trim(text, "\n"))
	var out strings.Builder
	for line := range strings.SplitSeq(text, "\n") {
		if strings.HasPrefix(line, ".") || strings.HasPrefix(line, "'") {
			line = `\&` + line // else it would be a request
		}
		for _, r := range line {
			if r > unicode.MaxASCII { // not every roff reads UTF-8
				fmt.Fprintf(&out, `\[u%04X]`, r)
			} else {
				out.WriteRune(r)
			}
		}
		out.WriteByte('\n')
	}
	return out.String()
}
