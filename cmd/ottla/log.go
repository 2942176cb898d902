package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"

	"github.com/spf13/cobra"

	"github.com/ottla-io/ottla/internal/inspect"
	"github.com/ottla-io/ottla/internal/vfs"
)

func newLog() *cobra.Command {
	log := newGroup("log", "Look into log files offline: Ottla's and Apache Kafka's alike")
	log.AddCommand(newLogDump(), newLogVerify())
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

// explainPath says what to do about a path that is not there.
func explainPath(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: name a file, a partition's directory or a data directory", err)
	}
	return err
}
