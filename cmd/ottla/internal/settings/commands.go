package settings

import "github.com/spf13/cobra"

// Commands are 'ottla config', 'quota', 'export', 'diff' and 'apply'.
func Commands(version string, serve Serve) []*cobra.Command {
	return []*cobra.Command{newConfig(version, serve), newQuota(version), newExport(version), newDiff(version), newApply(version)}
}
