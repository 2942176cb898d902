package checkup

import "github.com/spf13/cobra"

// Commands are 'ottla cluster', 'doctor', 'ready', 'top' and 'trace'.
func Commands(version string) []*cobra.Command {
	return []*cobra.Command{newCluster(version), newDoctor(version), newReady(), newTop(version), newTrace()}
}
