package checkup

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ottla-io/ottla/cmd/ottla/internal/cli"
)

type traceFlags struct {
	admin, client string
	apis          []string
	limit         time.Duration
	output        cli.OutputFormat
}

func newTrace() *cobra.Command {
	var flags traceFlags
	cmd := &cobra.Command{
		Use:   "trace",
		Short: "Show the requests of a running broker as they end: who, what, how long, which errors",
		Long: "Show the requests of a running Ottla broker as they end, through its admin port: who sent them, what they are about, how large they\n" +
			"are, where their time went and which errors they got. docs/metrics.md says what the stages of a request mean.\n\n" +
			"A broker that nobody traces pays nothing for it. What the broker cannot send in time is dropped, and counted at the end.",
		Args: cobra.NoArgs,
		Example: "  ottla trace --for 2s\n" +
			"  ottla trace --client 'billing-*' --api Produce --api Fetch --for 1s -o json",
		RunE: func(cmd *cobra.Command, _ []string) error { return runTrace(cmd, &flags) },
	}
	cmd.Flags().StringVar(&flags.client, "client", "", "only clients whose id or address matches GLOB, such as 'billing-*' or 10.0.0.?")
	cmd.Flags().StringSliceVar(&flags.apis, "api", nil, "only requests of API, such as Produce; may be repeated")
	cmd.Flags().DurationVar(&flags.limit, "for", 10*time.Second, "how long, up to 1h")
	cmd.Flags().StringVar(&flags.admin, "admin", cli.DefaultAdmin, "HOST:PORT of the broker's admin port (or OTTLA_ADMIN, or of the profile)")
	flags.output.Register(cmd)
	return cmd
}

// tracedRequest is what is shown of a line of /trace. The last line has only Traced and Dropped.
type tracedRequest struct {
	Time     time.Time `json:"time"`
	ClientID string    `json:"clientId"`
	Software string    `json:"software"`
	Client   string    `json:"client"`
	API      string    `json:"api"`
	Version  int       `json:"version"`
	Groups   []string  `json:"groups"`
	Topics   []struct {
		Name           string  `json:"name"`
		Partitions     []int32 `json:"partitions"`
		MorePartitions int     `json:"morePartitions"`
	} `json:"topics"`
	MoreTopics   int                `json:"moreTopics"`
	RequestBytes int64              `json:"requestBytes"`
	ReplyBytes   int64              `json:"replyBytes"`
	TotalUs      float64            `json:"totalUs"`
	StagesUs     map[string]float64 `json:"stagesUs"`
	Errors       map[string]int     `json:"errors"`
	Ended        string             `json:"ended"`
	Reason       string             `json:"reason"`

	Traced, Dropped uint64
}

func runTrace(cmd *cobra.Command, flags *traceFlags) error {
	query := url.Values{"for": {flags.limit.String()}, "api": flags.apis}
	if flags.client != "" {
		query.Set("client", flags.client)
	}
	request, err := http.NewRequestWithContext(cmd.Context(), http.MethodGet, "http://"+flags.admin+"/trace?"+query.Encode(), nil)
	if err != nil {
		return fmt.Errorf("--admin %s: %w", flags.admin, err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("cannot reach the admin port %s: %w; is the broker running, and is that what its --admin says?", flags.admin, errors.Unwrap(err))
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		why, _ := io.ReadAll(io.LimitReader(response.Body, 4096))
		if response.StatusCode == http.StatusNotFound {
			why = []byte("it is no Ottla broker that can trace")
		}
		return fmt.Errorf("the admin port %s: %s", flags.admin, strings.TrimSpace(string(why)))
	}
	err = showTrace(cmd, response.Body, flags.output)
	if errors.Is(err, context.Canceled) {
		return nil // Ctrl-C
	}
	return err
}

// showTrace copies lines as they come.
func showTrace(cmd *cobra.Command, from io.Reader, output cli.OutputFormat) error {
	const lineMax = 1 << 20
	lines := bufio.NewScanner(from)
	lines.Buffer(nil, lineMax)
	for lines.Scan() {
		var one tracedRequest
		if err := json.Unmarshal(lines.Bytes(), &one); err != nil {
			return fmt.Errorf("the admin port sent a line that is no JSON: %w", err)
		}
		switch {
		case one.API == "": // the last
			if one.Dropped > 0 {
				fmt.Fprintf(cmd.ErrOrStderr(), "ottla: %s, of which %d came too fast to be sent; --client and --api make them fewer\n", cli.Counted(int(one.Traced), "request"), one.Dropped)
			}
			return nil
		case output == cli.OutputJSON:
			fmt.Fprintf(cmd.OutOrStdout(), "%s\n", lines.Bytes())
		default:
			fmt.Fprintln(cmd.OutOrStdout(), one.String())
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("the admin port stopped sending: %w", err)
	}
	return errors.New("the broker ended the trace before its time")
}

// traceStages are the stages of a request in their order.
var traceStages = []string{"queue", "local", "wait", "order", "send"}

// String is a request in one line.
func (r *tracedRequest) String() string {
	about := slices.Clone(r.Groups)
	for _, t := range r.Topics {
		text := t.Name
		if len(t.Partitions) > 0 {
			text += strings.ReplaceAll(fmt.Sprint(t.Partitions), " ", ",")
		}
		if t.MorePartitions > 0 {
			text = fmt.Sprintf("%s,+%d]", strings.TrimSuffix(text, "]"), t.MorePartitions)
		}
		about = append(about, text)
	}
	if r.MoreTopics > 0 {
		about = append(about, fmt.Sprintf("and %d topics more", r.MoreTopics))
	}
	var stages []string
	for _, stage := range traceStages {
		stages = append(stages, fmt.Sprintf("%s %.3f", stage, r.StagesUs[stage]/1000))
	}
	line := fmt.Sprintf("%s %s v%d %q %s %s", r.Time.Local().Format("15:04:05.000000"), r.API, r.Version, r.ClientID, r.Software, r.Client)
	if len(about) > 0 {
		line += " " + strings.Join(about, " ")
	}
	line += fmt.Sprintf(" in %d out %d %.3f ms (%s)", r.RequestBytes, r.ReplyBytes, r.TotalUs/1000, strings.Join(stages, ", "))
	for _, code := range slices.Sorted(maps.Keys(r.Errors)) {
		line += fmt.Sprintf(" %s×%d", code, r.Errors[code])
	}
	if r.Ended != "replied" {
		line += " " + r.Ended
	}
	if r.Reason != "" {
		line += ": " + r.Reason
	}
	return line
}
