package logs

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ottla-io/ottla/cmd/ottla/internal/cli"
	"github.com/ottla-io/ottla/internal/inspect"
	"github.com/ottla-io/ottla/internal/vfs"
)

// Commands are 'ottla log'.
func Commands() []*cobra.Command {
	return []*cobra.Command{newLog()}
}

func newLog() *cobra.Command {
	log := cli.Parent("log", "Look into log files offline: Ottla's and Apache Kafka's alike")
	log.AddCommand(newLogDump(), newLogVerify(), newLogStat(), newLogAdopt())
	return log
}

// Lines of -o json say first what they are about.
type (
	jsonFinding struct {
		Kind string `json:"kind"`
		inspect.Finding
	}
	jsonSummary struct {
		Kind string `json:"kind"`
		inspect.Summary
	}
	jsonPartition struct {
		Kind string `json:"kind"`
		inspect.PartitionStat
	}
	jsonDirectory struct {
		Kind string `json:"kind"`
		inspect.DirectoryStat
	}
)

func newLogDump() *cobra.Command {
	var output cli.OutputFormat
	var options inspect.Options
	cmd := &cobra.Command{
		Use:   "dump PATH...",
		Short: "Print segments, indexes, checkpoints and snapshots",
		Long: "Print what files hold: segments, indexes, leader epochs, producer snapshots, checkpoints, metadata snapshots. PATH is a file, a\n" +
			"partition's directory, or a data directory. Records of internal topics are decoded. Nothing is changed. docs/inspect.md lists what\n" +
			"the lines of -o json hold.",
		Args: cobra.MinimumNArgs(1),
		Example: "  ottla log dump --records ottla-data/greetings-0/00000000000000000000.log\n" +
			"  ottla log dump --records --topic greetings --partition 0 --from 1000 --to 1010 ottla-data",
		RunE: func(cmd *cobra.Command, paths []string) error {
			options.JSON = output == cli.OutputJSON
			return explainPath(inspect.Dump(vfs.OS(), paths, options, cmd.OutOrStdout()))
		},
	}
	output.Register(cmd)
	cmd.Flags().BoolVar(&options.Records, "records", false, "print every record, not only batches")
	cmd.Flags().StringSliceVar(&options.Topics, "topic", nil, "print these topics only")
	cmd.Flags().Int32SliceVar(&options.Partitions, "partition", nil, "print these partitions only")
	cmd.Flags().Int64Var(&options.From, "from", 0, "print from this offset on")
	cmd.Flags().Int64Var(&options.To, "to", 0, "print up to this offset, itself not included; 0 is no bound")
	return cmd
}

func newLogVerify() *cobra.Command {
	var output cli.OutputFormat
	cmd := &cobra.Command{
		Use:   "verify PATH...",
		Short: "Check every batch, index and checkpoint",
		Long: "Check checksums, framing, offsets, epochs, and that indexes, snapshots and checkpoints agree with the log. Each finding names\n" +
			"file, position and offset. PATH is as in dump; stop the broker first. Nothing is changed. Exit code 1 if anything is wrong.",
		Args:    cobra.MinimumNArgs(1),
		Example: "  ottla log verify ottla-data",
		RunE: func(cmd *cobra.Command, paths []string) error {
			lines := json.NewEncoder(cmd.OutOrStdout())
			summary, err := inspect.Verify(vfs.OS(), paths, func(f inspect.Finding) {
				if output == cli.OutputJSON {
					lines.Encode(jsonFinding{"finding", f}) //nolint:errcheck // the summary below fails on the same writer
					return
				}
				fmt.Fprintln(cmd.OutOrStdout(), f)
			})
			if err != nil {
				return explainPath(err)
			}
			if output == cli.OutputJSON {
				err = lines.Encode(jsonSummary{"summary", summary})
			} else {
				_, err = fmt.Fprintf(cmd.OutOrStdout(), "%d files, %d partitions, %d batches, %d records, %d bytes: %d findings\n",
					summary.Files, summary.Partitions, summary.Batches, summary.Records, summary.Bytes, summary.Findings)
			}
			if err != nil {
				return fmt.Errorf("print the summary: %w", err)
			}
			if summary.Findings > 0 {
				return fmt.Errorf("%d findings", summary.Findings)
			}
			return nil
		},
	}
	output.Register(cmd)
	return cmd
}

func newLogStat() *cobra.Command {
	var output cli.OutputFormat
	var deep bool
	cmd := &cobra.Command{
		Use:   "stat DIR...",
		Short: "Sum up partitions: size, offsets, times, epochs, compaction, producers",
		Long: "Sum up each partition of a data directory, or one partition's directory: segments, bytes, offsets, timestamps, leader epochs,\n" +
			"compaction, producers, and how much a start after a crash would scan; then the directory's total. --deep reads every batch\n" +
			"header and adds batches, records and codecs. A dash stands for what the files don't tell. Nothing is changed.",
		Args:    cobra.MinimumNArgs(1),
		Example: "  ottla log stat --deep ottla-data",
		RunE: func(cmd *cobra.Command, paths []string) error {
			if output == cli.OutputJSON {
				lines := json.NewEncoder(cmd.OutOrStdout())
				return explainPath(inspect.Stat(vfs.OS(), paths, deep,
					func(p inspect.PartitionStat) error { return lines.Encode(jsonPartition{"partition", p}) },
					func(d inspect.DirectoryStat) error { return lines.Encode(jsonDirectory{"directory", d}) }))
			}
			return explainPath(printStat(cmd.OutOrStdout(), paths, deep))
		},
	}
	output.Register(cmd)
	cmd.Flags().BoolVar(&deep, "deep", false, "read every batch header")
	return cmd
}

var statHeading = []string{"PARTITION", "SEGMENTS", "LOG", "INDEXES", "START", "END", "WATERMARK", "RECOVERY", "TO SCAN", "FIRST TIME", "LAST TIME",
	"EPOCHS", "DIRTY FROM", "DIRTY", "PRODUCERS", "OPEN TXNS"}

// printStat prints a table for each directory, and its total below.
func printStat(w io.Writer, paths []string, deep bool) error {
	heading := statHeading
	if deep {
		heading = append(slices.Clone(heading), "BATCHES", "RECORDS", "CODECS")
	}
	rows := [][]string{heading}
	flush := func() error {
		if len(rows) == 1 {
			return nil
		}
		defer func() { rows = [][]string{heading} }()
		return cli.PrintTable(w, rows)
	}
	var damage []string
	err := inspect.Stat(vfs.OS(), paths, deep, func(p inspect.PartitionStat) error {
		rows = append(rows, statRow(p, deep))
		if p.Damage != "" {
			damage = append(damage, p.Damage)
		}
		return nil
	}, func(d inspect.DirectoryStat) error {
		if err := flush(); err != nil {
			return err
		}
		stop := "clean"
		if !d.Clean {
			stop = "running, or not stopped cleanly"
		}
		_, err := fmt.Fprintf(w, "%s: node %s of cluster %s, %s: %d partitions, %d segments, %d bytes of logs, %d of indexes, %d others, %d pending; %d to scan\n",
			d.Path, d.NodeID, d.ClusterID, stop, d.Partitions, d.Segments, d.LogBytes, d.IndexBytes, d.OtherBytes, d.PendingBytes, d.UnsyncedBytes)
		return err
	})
	if err == nil {
		err = flush()
	}
	for _, text := range damage {
		fmt.Fprintln(w, "damaged:", text)
	}
	return err
}

func statRow(p inspect.PartitionStat, deep bool) []string {
	name := fmt.Sprintf("%s-%d", p.Topic, p.Partition)
	if p.State != "" {
		name += " (" + p.State + ")"
	}
	epochs, dirty := "-", "-"
	if p.LastEpoch >= 0 {
		epochs = fmt.Sprintf("%d..%d", p.FirstEpoch, p.LastEpoch)
	}
	if p.DirtyRatio >= 0 {
		dirty = fmt.Sprintf("%.0f%%", p.DirtyRatio*100)
	}
	row := []string{name, fmt.Sprint(p.Segments), fmt.Sprint(p.LogBytes), fmt.Sprint(p.IndexBytes), cli.OrNone(int64(p.LogStart)), cli.OrNone(int64(p.LogEnd)),
		cli.OrNone(int64(p.HighWatermark)), cli.OrNone(int64(p.RecoveryPoint)), cli.OrNone(p.UnsyncedBytes), cli.DashTime(p.FirstTimestamp), cli.DashTime(p.LastTimestamp),
		epochs, cli.OrNone(int64(p.FirstDirty)), dirty, fmt.Sprint(p.Producers), fmt.Sprint(p.OpenTransactions)}
	if deep {
		row = append(row, cli.OrNone(p.Batches), cli.OrNone(p.Records), p.CodecMix())
	}
	return row
}

func newLogAdopt() *cobra.Command {
	var output cli.OutputFormat
	var node int32
	cmd := &cobra.Command{
		Use:   "adopt DIR...",
		Short: "Tell whether 'ottla serve' can take over what Kafka wrote, and what would change",
		Long: "Look at a data directory that Kafka 4.3.1 wrote, or at all log.dirs of one broker, and print what 'ottla serve' would serve of it and\n" +
			"change in it, or in one sentence why it would refuse. Stop Kafka first. Nothing is changed or copied: serving the directory is the\n" +
			"take-over. docs/adopt.md tells what works, and the way back.",
		Args:    cobra.MinimumNArgs(1),
		Example: "  ottla log adopt kafka-data\n  ottla serve --data kafka-data",
		RunE: func(cmd *cobra.Command, dirs []string) error {
			for _, dir := range dirs {
				if _, err := vfs.OS().Stat(dir); err != nil {
					return explainPath(err)
				}
			}
			adoption, err := inspect.Adopt(vfs.OS(), dirs, node)
			if err != nil {
				return err
			}
			return output.Show(cmd, adoption, func(out io.Writer) error { return printAdoption(out, dirs, adoption) })
		},
	}
	output.Register(cmd)
	cmd.Flags().Int32Var(&node, "node-id", 1, "the broker's id, node.id in Kafka's words")
	return cmd
}

func printAdoption(w io.Writer, dirs []string, a *inspect.Adoption) error {
	if !a.FromKafka {
		_, err := fmt.Fprintln(w, "nothing to take over: Kafka was not the last to serve this")
		return err
	}
	stop := "stopped cleanly"
	if a.UncleanStop {
		stop = "killed: logs are recovered first, as Kafka would"
	}
	fmt.Fprintf(w, "cluster %s, node %d, Kafka was %s\n", a.ClusterID, a.NodeID, stop)
	fmt.Fprintf(w, "would serve: %d topics, %d partitions, %d segments, %d bytes, in place\n", a.Topics, a.Partitions, a.Segments, a.LogBytes)
	fmt.Fprintln(w, "would change: new metadata records behind Kafka's (a leader epoch, this broker's registration, an epoch for each partition),\n"+
		"  checkpoint files, and what clients write from then on; no byte of a segment that is there")
	for _, list := range []struct {
		what  string
		names []string
	}{{"set aside, for the metadata does not know it", a.Strays}, {"no directory, so it begins empty", a.Empty}, {"an unfinished move, left alone", a.Futures}} {
		for i, name := range list.names {
			if i == 10 {
				fmt.Fprintf(w, "and %d more: %s\n", len(list.names)-i, list.what)
				break
			}
			fmt.Fprintf(w, "%s: %s\n", name, list.what)
		}
	}
	if a.ScramUsers > 0 {
		fmt.Fprintf(w, "%d users with SCRAM credentials: kept, but nobody is asked for them\n", a.ScramUsers)
	}
	_, err := fmt.Fprintln(w, "take over: ottla serve "+takeOverFlags(dirs, a))
	return err
}

// takeOverFlags are the flags with which what was looked at is served.
func takeOverFlags(dirs []string, a *inspect.Adoption) string {
	logs := slices.DeleteFunc(slices.Clone(dirs), func(dir string) bool { return dir == a.OnlyMetadata })
	flags := fmt.Sprintf("--node-id %d", a.NodeID)
	if len(logs) == 1 {
		flags += " --data " + logs[0]
	} else {
		flags += " --set log.dirs=" + strings.Join(logs, ",")
	}
	if a.OnlyMetadata != "" {
		flags += " --set metadata.log.dir=" + a.OnlyMetadata
	}
	return flags
}

// explainPath says what to do about a path that is not there.
func explainPath(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: name a file, a partition's directory or a data directory", err)
	}
	return err
}
