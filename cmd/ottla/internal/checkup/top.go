package checkup

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/term"

	"github.com/ottla-io/ottla/cmd/ottla/internal/cli"
	"github.com/ottla-io/ottla/internal/top"
)

type topFlags struct {
	cli.ClientFlags
	admin      string
	adminAsked bool
	interval   time.Duration
	once       bool
	rows       int
	internal   bool
}

func newTop(version string) *cobra.Command {
	flags := topFlags{ClientFlags: cli.ClientFlags{Version: version}}
	cmd := &cobra.Command{
		Use:   "top",
		Short: "Watch topics, groups and brokers, live",
		Long: "Watch topics, groups and brokers of any Kafka cluster, live: records and bytes a second, lags in records and in time. Keys\n" +
			"choose what is shown; ? lists them. With the admin port of a broker of Ottla, it shows that broker's bytes, requests, memory\n" +
			"and CPU, too; on this machine it finds the default one by itself.\n\n" +
			"What is on the screen is asked for in every interval. Of a cluster with more than 2,000 partitions or 100 groups, the rest is\n" +
			"asked for in turn. With --once, or where there is no terminal, it asks twice, prints tables and ends.",
		Args:    cobra.NoArgs,
		Example: "  ottla top\n  ottla top --once\n  ottla top -o json --interval 500ms",
		RunE:    func(cmd *cobra.Command, _ []string) error { return runTop(cmd, &flags) },
	}
	flags.Register(cmd)
	cmd.Flags().StringVar(&flags.admin, "admin", cli.DefaultAdmin, "HOST:PORT of a broker's admin port (or OTTLA_ADMIN, or of the profile); 'none' for no such")
	cmd.Flags().DurationVar(&flags.interval, "interval", time.Second, "how often to ask")
	cmd.Flags().BoolVar(&flags.once, "once", false, "ask twice, print tables, end")
	cmd.Flags().IntVar(&flags.rows, "rows", 20, "rows of each table that --once prints")
	cmd.Flags().BoolVar(&flags.internal, "internal", false, "show internal topics, too")
	return cmd
}

const topIntervalMin = 100 * time.Millisecond

func runTop(cmd *cobra.Command, flags *topFlags) error {
	if flags.interval < topIntervalMin || flags.rows < 1 {
		return fmt.Errorf("want --interval of %v or more, and --rows of 1 or more", topIntervalMin)
	}
	flags.adminAsked = cmd.Flags().Changed("admin")
	client, err := flags.Open(kgo.RequestRetries(1)) // the next round tries again, and the screen says at once that nobody answers
	if err != nil {
		return err
	}
	defer client.Close()
	poller := &topPoller{flags: flags, client: client, admin: kadm.NewClient(client), topics: map[string][]string{}}
	in, isFile := cmd.InOrStdin().(*os.File)
	out, alsoFile := cmd.OutOrStdout().(*os.File)
	if flags.once || flags.Output == cli.OutputJSON || !isFile || !alsoFile || !term.IsTerminal(int(in.Fd())) || !term.IsTerminal(int(out.Fd())) {
		return flags.printOnce(cmd, poller)
	}
	terminal, err := openTerminal(in, out)
	if err != nil {
		return err
	}
	defer terminal.close()
	columns, rows := terminal.size()
	live := &liveTop{flags: flags, poller: poller, terminal: terminal, model: top.New(), screen: top.NewScreen(strings.Join(flags.Bootstrap, ","), columns, rows)}
	live.screen.Internal = flags.internal
	return live.run(cmd.Context())
}

// printOnce asks for everything twice, so that there are rates.
func (f *topFlags) printOnce(cmd *cobra.Command, poller *topPoller) error {
	poller.all = true
	model := top.New()
	for round := range 2 {
		if round > 0 && !cli.Sleep(cmd.Context(), f.interval) {
			return cmd.Context().Err()
		}
		o := poller.poll(cmd.Context(), nil, nil)
		if o.Err != "" {
			if err := cmd.Context().Err(); err != nil {
				return err
			}
			return errors.New("look at the cluster: " + o.Err)
		}
		if o.Missing != "" && round == 0 {
			fmt.Fprintln(cmd.ErrOrStderr(), "ottla: top: "+o.Missing)
		}
		model.Observe(o)
	}
	names := make([]string, 0, len(poller.groups))
	for _, g := range poller.groups {
		names = append(names, g.Name)
	}
	if places := model.Behind(names, 10_000); len(places) > 0 {
		if o := f.lookUp(cmd.Context(), places); o != nil {
			model.Observe(o)
		}
	}
	now := time.Now()
	if f.Output == cli.OutputJSON {
		return cli.PrintJSON(cmd.OutOrStdout(), model.Snapshot(now))
	}
	_, err := fmt.Fprint(cmd.OutOrStdout(), model.Print(now, f.rows, f.internal))
	return err
}

// liveTop is the loop of a terminal. The model and the screen belong to its goroutine; rounds of questions run beside it, one at a time.
type liveTop struct {
	flags    *topFlags
	poller   *topPoller
	terminal *rawTerminal
	model    *top.Model
	screen   *top.Screen
	came     chan *top.Observation
	looked   chan *top.Observation
	asking   bool
	looking  bool
	lookedAt time.Time
}

const (
	lookUpEvery = 2 * time.Second // how often the records are read that say how far groups are behind
	lookUpMax   = 200             // and of how many partitions
)

func (l *liveTop) run(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	l.came, l.looked = make(chan *top.Observation, 1), make(chan *top.Observation, 1)
	resized := make(chan os.Signal, 1)
	signal.Notify(resized, syscall.SIGWINCH)
	defer signal.Stop(resized)
	input := l.terminal.read()
	tick := time.NewTicker(l.flags.interval)
	defer tick.Stop()
	l.ask(ctx)
	for {
		if err := l.terminal.draw(l.screen.Draw(l.model, time.Now())); err != nil {
			return fmt.Errorf("write to the terminal: %w", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case chunk, open := <-input:
			if !open {
				return nil
			}
			for _, key := range top.Keys(chunk) {
				if l.screen.Press(key) {
					return nil
				}
			}
		case <-resized:
			l.screen.Resize(l.terminal.size())
		case o := <-l.came:
			l.asking = false
			l.model.Observe(o)
			l.lookUp(ctx)
		case o := <-l.looked:
			l.looking = false
			if o != nil {
				l.model.Observe(o)
			}
		case <-tick.C:
			l.ask(ctx)
		}
	}
}

// ask begins a round, unless one is under way.
func (l *liveTop) ask(ctx context.Context) {
	if l.asking || l.screen.Paused() {
		return
	}
	l.asking = true
	topics, groups := l.screen.Looked()
	go func() { l.came <- l.poller.poll(ctx, topics, groups) }()
}

// lookUp begins to find out how long the groups on the screen are behind.
func (l *liveTop) lookUp(ctx context.Context) {
	if l.looking || time.Since(l.lookedAt) < lookUpEvery {
		return
	}
	_, groups := l.screen.Looked()
	places := l.model.Behind(groups, lookUpMax)
	if len(places) == 0 {
		return
	}
	l.looking, l.lookedAt = true, time.Now()
	go func() { l.looked <- l.flags.lookUp(ctx, places) }()
}
