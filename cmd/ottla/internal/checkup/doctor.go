package checkup

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/ottla-io/ottla/cmd/ottla/internal/cli"
	"github.com/ottla-io/ottla/internal/doctor"
)

type doctorFlags struct {
	version    string // of this binary
	data       []string
	addr       string
	addrAsked  bool // it was named, not left to its default
	admin      string
	adminAsked bool
	failOn     string
	timeout    time.Duration
	output     cli.OutputFormat
}

// diagnosis is what 'ottla doctor' prints.
type diagnosis struct {
	LookedAt []lookedAt `json:"lookedAt"`
	doctor.Report
}

// lookedAt is a line of what there is, in order or not.
type lookedAt struct {
	Subject string `json:"subject"`
	Facts   string `json:"facts"`
}

func newDoctor(version string) *cobra.Command {
	flags := doctorFlags{version: version}
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Find out what is wrong, or may go wrong, with a broker, its disk and its machine",
		Long: "Find out what is wrong, or may go wrong, with a broker, its disk and its machine: each finding says what, why it matters and\n" +
			"what to do. docs/doctor.md lists all of them. It ends with code 1 if something is wrong.\n\n" +
			"Run it where the broker runs or is to run, as the user that it runs as. From elsewhere it sees what a client sees. It changes\n" +
			"nothing; to measure the disk it writes a small file into the data directory and removes it.\n\n" +
			"Without --data it looks at the directories that the broker names, where they are on this machine, else at ./" + cli.DefaultDataDir + ".\n" +
			"Another Kafka broker than Ottla can be looked at, too.",
		Args: cobra.NoArgs,
		Example: "  ottla doctor --fail-on never\n" +
			"  ottla doctor --data ottla-data --fail-on never -o json",
		RunE: func(cmd *cobra.Command, _ []string) error { return runDoctor(cmd, &flags) },
	}
	cmd.Flags().StringSliceVar(&flags.data, "data", nil, "data directories, or where one will be made")
	cmd.Flags().StringVar(&flags.addr, "addr", cli.DefaultBootstrap, "HOST:PORT of the broker (or OTTLA_BOOTSTRAP, or of the profile)")
	cmd.Flags().StringVar(&flags.admin, "admin", cli.DefaultAdmin, "HOST:PORT of its admin port (or OTTLA_ADMIN, or of the profile); 'none' for no such")
	cmd.Flags().StringVar(&flags.failOn, "fail-on", "error", "end with code 1 for an error, for a warning too, or never")
	cmd.Flags().DurationVar(&flags.timeout, "timeout", 5*time.Second, "how long an answer may take")
	flags.output.Register(cmd)
	return cmd
}

func runDoctor(cmd *cobra.Command, flags *doctorFlags) error {
	if flags.failOn != "error" && flags.failOn != "warning" && flags.failOn != "never" {
		return fmt.Errorf("--fail-on %s: want error, warning or never", flags.failOn)
	}
	flags.addrAsked, flags.adminAsked = cmd.Flags().Changed("addr"), cmd.Flags().Changed("admin")
	facts, err := flags.gather(cmd.Context())
	if err != nil {
		return err
	}
	report := diagnosis{describe(facts), doctor.Examine(facts)}
	if err := flags.output.Show(cmd, report, report.print); err != nil {
		return err
	}
	switch {
	case flags.failOn != "never" && report.Errors > 0:
		return fmt.Errorf("doctor: %s: see above", cli.Counted(report.Errors, "error"))
	case flags.failOn == "warning" && report.Warnings > 0:
		return fmt.Errorf("doctor: %s: see above", cli.Counted(report.Warnings, "warning"))
	}
	return nil
}

func (f *doctorFlags) gather(ctx context.Context) (*doctor.Facts, error) {
	facts := &doctor.Facts{Version: f.version}
	var err error
	if facts.Broker, err = f.lookAtBroker(ctx); err != nil {
		return nil, err
	}
	facts.Admin = f.lookAtAdmin(ctx, facts.Broker)
	pid := 0
	for _, path := range f.dataDirs(facts.Broker) {
		d := lookAtDirectory(path)
		facts.Directories = append(facts.Directories, d)
		pid = max(pid, d.LockedBy)
	}
	facts.Machine = lookAtMachine(pid)
	facts.Machine.OtherAddresses = len(localAddresses())
	return facts, ctx.Err()
}

// dataDirs are those that were named; else those of the broker, if they are here; else the default one, if it is here.
func (f *doctorFlags) dataDirs(b *doctor.Broker) (paths []string) {
	if len(f.data) > 0 {
		return f.data
	}
	isHere := func(path string) bool {
		info, err := os.Stat(path)
		return err == nil && info.IsDir()
	}
	if b.Err == "" && b.Local {
		for _, dir := range b.Dirs {
			// A relative one is by the broker's working directory; it is ours only if what lies there is the broker's.
			if isHere(dir.Path) && (filepath.IsAbs(dir.Path) || ofCluster(dir.Path, b.ClusterID)) {
				paths = append(paths, dir.Path)
			}
		}
	}
	if len(paths) == 0 && isHere(cli.DefaultDataDir) {
		paths = []string{cli.DefaultDataDir}
	}
	return paths
}

// ofCluster says that a directory belongs to a broker of the cluster.
func ofCluster(path, cluster string) bool {
	var d doctor.Directory
	readProperties(filepath.Join(path, "meta.properties"), &d)
	return d.Used && d.ClusterID == cluster
}

// describe says what was looked at, so that a report without findings says something, too.
func describe(f *doctor.Facts) (lines []lookedAt) {
	line := func(subject, format string, args ...any) {
		lines = append(lines, lookedAt{subject, fmt.Sprintf(format, args...)})
	}
	for _, d := range f.Directories {
		if d.Err != "" {
			continue
		}
		text := d.Path
		if d.Absent {
			text += " (not there yet)"
		}
		if d.FileSystem != "" {
			text += fmt.Sprintf(": %s on %s", d.FileSystem, d.Device)
		}
		text += fmt.Sprintf(", %.1f of %.1f GB free", float64(d.FreeBytes)/1e9, float64(d.TotalBytes)/1e9)
		if s := d.Syncs; s.Count > 0 {
			text += fmt.Sprintf(", fdatasync of 4 KiB %v (median of %d), %v at most, %v in place", s.Median.Round(time.Microsecond), s.Count,
				s.Max.Round(time.Microsecond), s.Again.Round(time.Microsecond))
		}
		if d.LockedBy != 0 {
			text += fmt.Sprintf(", used by process %d", d.LockedBy)
		}
		line("data", "%s", text)
	}
	if b := f.Broker; b.Err == "" {
		line("broker", "%s: cluster %s, %s, %s", b.Addr, cli.OrDash(b.ClusterID), cli.Counted(len(b.Members), "broker"), cli.Counted(len(b.Topics), "topic"))
		for _, m := range b.Members {
			reached := "reached from here"
			if m.Err != "" || m.Wildcard {
				reached = "not reached from here"
			}
			line("broker", "clients are told %s for broker %d: %s", m.Address, m.ID, reached)
		}
	}
	if a := f.Admin; a != nil && a.Err == "" {
		line("admin", "%s: ottla %s, up for %v", a.Addr, a.Version, a.Uptime.Round(time.Second))
	}
	m := &f.Machine
	text := cli.Counted(m.CPUs, "CPU")
	if m.MemoryBytes > 0 {
		text += fmt.Sprintf(", %.1f GB", float64(m.MemoryBytes)/1e9)
	}
	if m.MemoryMax > 0 {
		text += fmt.Sprintf(" of which %.1f GB may be used", float64(m.MemoryMax)/1e9)
	}
	if m.OpenFilesMax > 0 {
		text += fmt.Sprintf(", %d open files at most", m.OpenFilesMax)
	}
	line("machine", "%s", text)
	return lines
}

func (d *diagnosis) print(out io.Writer) error {
	for _, l := range d.LookedAt {
		fmt.Fprintf(out, "%-8s %s\n", l.Subject, l.Facts)
	}
	for _, f := range d.Findings {
		fmt.Fprintf(out, "\n%-8s %s: %s\n", f.Severity, f.Check, f.What)
		fmt.Fprintf(out, "  why    %s\n  do     %s\n", f.Why, f.Do)
	}
	_, err := fmt.Fprintf(out, "\n%s, %s, %s of %s\n", cli.Counted(d.Errors, "error"), cli.Counted(d.Warnings, "warning"), cli.Counted(d.Notes, "note"), cli.Counted(d.Checked, "check"))
	for _, left := range d.LeftOut {
		_, err = fmt.Fprintf(out, "left out: %s of the %s: %s\n", cli.Counted(left.Checks, "check"), left.Subject, left.Because)
	}
	return err
}
