package main

import "github.com/spf13/cobra"

func newCompletion() *cobra.Command {
	return &cobra.Command{
		Use:   "completion bash|zsh|fish",
		Short: "Print a script that completes commands, flags, topics, groups, settings and profiles in your shell",
		Long: "Print a script that completes commands, flags and what they name in your shell: topics and groups are asked of the broker, within\n" +
			"a second.\n\n" +
			"bash:  source <(ottla completion bash), in ~/.bashrc; needs the package bash-completion\n" +
			"zsh:   ottla completion zsh > \"${fpath[1]}/_ottla\"\n" +
			"fish:  ottla completion fish > ~/.config/fish/completions/ottla.fish",
		Args:      cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs),
		ValidArgs: []string{"bash", "zsh", "fish"},
		Example:   "  ottla completion bash",
		RunE: func(cmd *cobra.Command, shells []string) error {
			out := cmd.OutOrStdout()
			switch shells[0] {
			case "bash":
				return cmd.Root().GenBashCompletionV2(out, true)
			case "zsh":
				return cmd.Root().GenZshCompletion(out)
			}
			return cmd.Root().GenFishCompletion(out, true)
		},
	}
}
