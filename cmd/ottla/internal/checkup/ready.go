package checkup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ottla-io/ottla/cmd/ottla/internal/cli"
)

type shownReadiness struct {
	Ready   bool     `json:"ready"`
	Failing []string `json:"failing,omitempty"` // checks, with their reasons
}

func newReady() *cobra.Command {
	var addr string
	var timeout time.Duration
	var output cli.OutputFormat
	cmd := &cobra.Command{
		Use:   "ready",
		Short: "Ask a running broker whether it is ready, for health checks",
		Long: "Ask a running Ottla broker, through its admin port, whether it is ready, as /readyz says it: no data directory has failed, no disk is\n" +
			"nearly full, every partition can be served. The exit code is 0 if so; else it is 1, and the reasons are told.\n\n" +
			"It is for health checks of containers and scripts, and needs no Kafka client's connection: limits and quotas don't refuse it.",
		Args:    cobra.NoArgs,
		Example: "  ottla ready\n  ottla ready --timeout 2s -o json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), timeout)
			defer cancel()
			failing, err := readiness(ctx, addr)
			if err != nil {
				return fmt.Errorf("no broker answers at its admin port: %w; start one with 'ottla serve' or name another with --admin HOST:PORT", err)
			}
			answer := shownReadiness{Ready: len(failing) == 0, Failing: failing}
			if answer.Ready || output == cli.OutputJSON {
				err = output.Show(cmd, answer, func(w io.Writer) error {
					_, err := fmt.Fprintln(w, "ready")
					return err
				})
			}
			if answer.Ready {
				return err
			}
			return errors.Join(err, fmt.Errorf("the broker is not ready: %s", strings.Join(failing, "; ")))
		},
	}
	cmd.Flags().StringVar(&addr, "admin", cli.DefaultAdmin, "HOST:PORT of the broker's admin port (or OTTLA_ADMIN, or of the profile)")
	cmd.Flags().DurationVar(&timeout, "timeout", 5*time.Second, "how long to wait for an answer")
	output.Register(cmd)
	return cmd
}
