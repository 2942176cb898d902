package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
)

type deletedRecords struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Start     int64  `json:"startOffset"`
}

func newTopicDeleteRecords() *cobra.Command {
	var flags clientFlags
	var partitions []int32
	var before string
	cmd := &cobra.Command{
		Use:   "delete-records TOPIC... --before OFFSET|TIME|end",
		Short: "Delete the oldest records of topics",
		Long: "Delete the records of all partitions, or of those named, that lie before an offset or were written before a time.\n" +
			"What is deleted cannot be brought back. Consumers that have not read it yet go on at the first record that is left.",
		Args: cobra.MinimumNArgs(1),
		Example: "  ottla topic delete-records flights --before end\n" +
			"  ottla topic delete-records flights --partition 3 --before 120000\n" +
			"  ottla topic delete-records flights --before 2026-03-01T00:00:00Z",
		RunE: func(cmd *cobra.Command, names []string) error {
			return flags.withAdmin(cmd.Context(), func(ctx context.Context, admin *kadm.Client) error {
				admin.SetTimeoutMillis(int32(flags.timeout / time.Millisecond))
				offsets, err := deletionOffsets(ctx, admin, &flags, names, partitions, before)
				if err != nil {
					return err
				}
				answers, err := admin.DeleteRecords(ctx, offsets)
				if err != nil {
					return flags.explain("delete records", err)
				}
				return reportDeletedRecords(cmd, &flags, answers)
			})
		},
	}
	flags.register(cmd)
	cmd.Flags().Int32SliceVar(&partitions, "partition", nil, "partition to delete from; may be repeated; all if absent")
	cmd.Flags().StringVar(&before, "before", "", "first offset that stays, or an RFC 3339 time, or end: all that consumers can see")
	if err := cmd.MarkFlagRequired("before"); err != nil {
		panic(err) // the flag is registered above
	}
	return cmd
}

// deletionOffsets are the first offsets that stay, of each partition.
func deletionOffsets(ctx context.Context, admin *kadm.Client, flags *clientFlags, names []string, partitions []int32, before string) (kadm.Offsets, error) {
	offset, at := int64(-1), time.Time{} // -1 is the high watermark
	if before != "end" {
		var err error
		if offset, err = strconv.ParseInt(before, 10, 64); err != nil {
			if at, err = time.Parse(time.RFC3339, before); err != nil {
				return nil, fmt.Errorf("--before %s: want an offset, a time such as 2026-03-01T00:00:00Z, or end", before)
			}
		} else if offset < 0 {
			return nil, fmt.Errorf("--before %s: an offset is 0 or more", before)
		}
	}
	var listed kadm.ListedOffsets
	var err error
	if at.IsZero() {
		listed, err = admin.ListStartOffsets(ctx, names...)
	} else {
		listed, err = admin.ListOffsetsAfterMilli(ctx, at.UnixMilli(), names...)
	}
	if err != nil {
		return nil, flags.explain("read the topics' offsets", err)
	}
	offsets := make(kadm.Offsets)
	for _, name := range names {
		for _, wanted := range partitions {
			if _, ok := listed.Lookup(name, wanted); !ok {
				return nil, fmt.Errorf("delete records of topic %s: it has no partition %d", name, wanted)
			}
		}
		for partition, found := range listed[name] {
			if found.Err != nil {
				return nil, topicError("delete records of", name, found.Err, "")
			}
			if len(partitions) > 0 && !slices.Contains(partitions, partition) {
				continue
			}
			if at.IsZero() {
				found.Offset = offset
			}
			offsets.AddOffset(name, partition, found.Offset, -1)
		}
	}
	return offsets, nil
}

func reportDeletedRecords(cmd *cobra.Command, flags *clientFlags, answers kadm.DeleteRecordsResponses) error {
	deleted := []deletedRecords{}
	var failed []error
	for _, answer := range answers.Sorted() {
		if answer.Err != nil {
			failed = append(failed, topicError(fmt.Sprintf("delete records of partition %d of", answer.Partition), answer.Topic, answer.Err, ""))
			continue
		}
		deleted = append(deleted, deletedRecords{answer.Topic, answer.Partition, answer.LowWatermark})
		if flags.output == outputText {
			fmt.Fprintf(cmd.OutOrStdout(), "topic %s, partition %d: begins at offset %d now\n", answer.Topic, answer.Partition, answer.LowWatermark)
		}
	}
	if flags.output == outputJSON {
		if err := printJSON(cmd.OutOrStdout(), deleted); err != nil {
			return err
		}
	}
	return errors.Join(failed...)
}
