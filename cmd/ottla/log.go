package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/ottla-io/ottla/internal/inspect"
	"github.com/ottla-io/ottla/internal/vfs"
)

func newLog() *cobra.Command {
	log := newGroup("log", "Look into log files offline: Ottla's and Apache Kafka's alike")
	log.AddCommand(newLogDump(), newLogVerify(), newLogStat())
	return log
}

func newLogDump() *cobra.Command {
	var output outputFormat
	var records bool
	cmd := &cobra.Command{
		Use:   "dump PATH...",
		Short: "Print segments, indexes, checkpoints and snapshots",
		Long: "Print what files hold: segments, indexes, leader epochs, producer snapshots, checkpoints, metadata snapshots. PATH is a file, a\n" +
			"partition's directory, or a data directory. Records of internal topics are decoded. Nothing is changed.",
		Args:    cobra.MinimumNArgs(1),
		Example: "  ottla log dump --records ottla-data/greetings-0/00000000000000000000.log",
		RunE: func(cmd *cobra.Command, paths []string) error {
			options := inspect.Options{JSON: output == outputJSON, Records: records}
			return explainPath(inspect.Dump(vfs.OS(), paths, options, cmd.OutOrStdout()))
		},
	}
	output.register(cmd)
	cmd.Flags().BoolVar(&records, "records", false, "print every record, not only batches")
	return cmd
}

func newLogVerify() *cobra.Command {
	var output outputFormat
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
				if output == outputJSON {
					lines.Encode(f) //nolint:errcheck // the summary below fails on the same writer
					return
				}
				fmt.Fprintln(cmd.OutOrStdout(), f)
			})
			if err != nil {
				return explainPath(err)
			}
			if output == outputJSON {
				err = lines.Encode(summary)
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
	output.register(cmd)
	return cmd
}

func newLogStat() *cobra.Command {
	var output outputFormat
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
			if output == outputJSON {
				lines := json.NewEncoder(cmd.OutOrStdout())
				return explainPath(inspect.Stat(vfs.OS(), paths, deep,
					func(p inspect.PartitionStat) error { return lines.Encode(p) },
					func(d inspect.DirectoryStat) error { return lines.Encode(d) }))
			}
			return explainPath(printStat(cmd.OutOrStdout(), paths, deep))
		},
	}
	output.register(cmd)
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
		return printTable(w, rows)
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
	row := []string{name, fmt.Sprint(p.Segments), fmt.Sprint(p.LogBytes), fmt.Sprint(p.IndexBytes), dash(int64(p.LogStart)), dash(int64(p.LogEnd)),
		dash(int64(p.HighWatermark)), dash(int64(p.RecoveryPoint)), dash(p.UnsyncedBytes), dashTime(p.FirstTimestamp), dashTime(p.LastTimestamp),
		epochs, dash(int64(p.FirstDirty)), dirty, fmt.Sprint(p.Producers), fmt.Sprint(p.OpenTransactions)}
	if deep {
		row = append(row, dash(p.Batches), dash(p.Records), p.CodecMix())
	}
	return row
}

// dash shows a number that nothing tells as a dash.
func dash(n int64) string {
	if n < 0 {
		return "-"
	}
	return fmt.Sprint(n)
}

func dashTime(ms int64) string {
	if ms < 0 {
		return "-"
	}
	return time.UnixMilli(ms).UTC().Format(time.RFC3339)
}

// explainPath says what to do about a path that is not there.
func explainPath(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: name a file, a partition's directory or a data directory", err)
	}
	return err
}
