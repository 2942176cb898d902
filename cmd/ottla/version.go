package main

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/ottla-io/ottla/cmd/ottla/internal/cli"
)

// release and commit are set by the linker (-X main.release=… -X main.commit=…); a plain 'go build' inside a checkout fills
// the commit from the build information instead.
var (
	release = ""
	commit  = ""
)

func version() string {
	if release == "" {
		return "0.0.0-dev"
	}
	return release
}

func revision() string {
	if commit != "" {
		return commit
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, setting := range info.Settings {
			if setting.Key == "vcs.revision" {
				return setting.Value
			}
		}
	}
	return "unknown"
}

func newVersion() *cobra.Command {
	var output cli.OutputFormat
	cmd := &cobra.Command{
		Use:     "version",
		Short:   "Print version, commit and Go version",
		Args:    cobra.NoArgs,
		Example: "  ottla version -o json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			platform := runtime.GOOS + "/" + runtime.GOARCH
			document := map[string]string{"version": version(), "commit": revision(), "go": runtime.Version(), "platform": platform}
			return output.Show(cmd, document, func(out io.Writer) error {
				_, err := fmt.Fprintf(out, "ottla %s (commit %s, %s, %s)\n", version(), revision(), runtime.Version(), platform)
				return err
			})
		},
	}
	output.Register(cmd)
	return cmd
}
