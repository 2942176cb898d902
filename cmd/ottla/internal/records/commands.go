package records

import "github.com/spf13/cobra"

// Commands are 'ottla produce', 'consume' and 'bench'.
func Commands(version string) []*cobra.Command {
	return []*cobra.Command{newProduce(version), newConsume(version), newBench(version)}
}
