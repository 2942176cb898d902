package records

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/ottla-io/ottla/cmd/ottla/internal/cli"
)

// runConsumeGroup reads as a member of a group, up to where the topic ended when it started, or until it is stopped.
func runConsumeGroup(cmd *cobra.Command, topic string, flags *consumeFlags, format recordFormat, from, until cli.Position) error {
	switch {
	case len(flags.partitions) > 0:
		return errors.New("--group shares the partitions among its members: leave --partition out")
	case until.Kind != cli.AtEnd:
		return errors.New("--group goes on where it was, to the end: leave --until out")
	case from.Kind != cli.AtStart && from.Kind != cli.AtEnd:
		return fmt.Errorf("--group goes on where it was: --from may be earliest or latest, for what it has not committed yet; 'ottla group reset %s' moves it", flags.group)
	}
	reset := kgo.NewOffset().AtStart()
	if from.Kind == cli.AtEnd {
		reset = kgo.NewOffset().AtEnd()
	}
	m := &member{flags: flags, topic: topic, from: from.Kind, mine: map[int32]bool{}, printed: map[int32]*kgo.Record{}}
	client, err := flags.Open(kgo.ConsumerGroup(flags.group), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(reset), kgo.DisableAutoCommit(),
		kgo.FetchMaxWait(500*time.Millisecond), kgo.KeepControlRecords(), kgo.BlockRebalanceOnPoll(),
		kgo.OnPartitionsAssigned(m.assigned), kgo.OnPartitionsRevoked(m.lost), kgo.OnPartitionsLost(m.lost))
	if err != nil {
		return err
	}
	defer client.CloseAllowingRebalance()
	out := bufio.NewWriterSize(cmd.OutOrStdout(), 64<<10)
	m.printer = printer{flags: flags, format: format, out: out}
	err = m.run(cmd.Context(), client)
	return errors.Join(err, out.Flush())
}

// member is one member of a group.
type member struct {
	flags   *consumeFlags
	topic   string
	from    cli.PositionKind // where it begins if nothing is committed
	printer printer

	starts, ends kadm.ListedOffsets // of the topic when it started
	// printed is the newest record printed of each partition that is not committed yet.
	printed map[int32]*kgo.Record

	mu   sync.Mutex
	mine map[int32]bool // partitions
	ever bool           // there was an assignment
}

func (m *member) assigned(_ context.Context, _ *kgo.Client, assigned map[string][]int32) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ever = true
	for _, partition := range assigned[m.topic] {
		m.mine[partition] = true
	}
}

// lost runs within a poll or AllowRebalance, so printed is not being used.
func (m *member) lost(_ context.Context, _ *kgo.Client, lost map[string][]int32) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, partition := range lost[m.topic] {
		delete(m.mine, partition)
		delete(m.printed, partition)
	}
}

// partitions are those that the member has now; ok is false before it got any answer.
func (m *member) partitions() (mine []int32, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for partition := range m.mine {
		mine = append(mine, partition)
	}
	slices.Sort(mine)
	return mine, m.ever
}

func (m *member) run(ctx context.Context, client *kgo.Client) error {
	if err := m.look(ctx); err != nil {
		return err
	}
	at := map[int32]int64{} // the next offset to read, of partitions of which something was read
	for {
		fetches, err := m.poll(ctx, client)
		if err != nil && !m.flags.outlives(err) {
			return err
		}
		full, err := m.print(ctx, client, fetches, at)
		client.AllowRebalance()
		if full || err != nil {
			return err
		}
		if done, err := m.done(ctx, client, at); done || err != nil {
			return err
		}
	}
}

// poll waits a moment for records.
func (m *member) poll(ctx context.Context, client *kgo.Client) (kgo.Fetches, error) {
	moment, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
	defer cancel()
	fetches := client.PollFetches(moment)
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	for _, failed := range fetches.Errors() {
		if !errors.Is(failed.Err, context.DeadlineExceeded) {
			return nil, m.flags.Explain(fmt.Sprintf("read %s as a member of group %s", m.topic, m.flags.group), failed.Err)
		}
	}
	return fetches, nil
}

// print writes records, and commits those that it wrote; full says that there were enough.
func (m *member) print(ctx context.Context, client *kgo.Client, fetches kgo.Fetches, at map[int32]int64) (full bool, err error) {
	for records := fetches.RecordIter(); !records.Done() && !full; {
		record := records.Next()
		if full, err = m.printer.print(record); err != nil {
			return false, err
		}
		at[record.Partition] = record.Offset + 1
		m.printed[record.Partition] = record
	}
	if err := m.printer.out.Flush(); err != nil {
		return false, fmt.Errorf("print records: %w", err)
	}
	if len(m.printed) == 0 {
		return full, nil
	}
	if err := client.CommitRecords(ctx, slices.Collect(maps.Values(m.printed))...); err != nil {
		err = m.flags.GroupError("commit to", m.flags.group, err)
		if !full && ctx.Err() == nil && m.flags.outlives(err) {
			return false, nil // with what is printed next
		}
		return false, err
	}
	clear(m.printed)
	return full, nil
}

// look finds where the topic's partitions start and end now.
func (m *member) look(ctx context.Context) error {
	return m.flags.WithAdmin(ctx, func(ctx context.Context, admin *kadm.Client) (err error) {
		if m.starts, err = admin.ListStartOffsets(ctx, m.topic); err == nil {
			err = m.starts.Error()
		}
		if err == nil {
			m.ends, err = admin.ListEndOffsets(ctx, m.topic)
		}
		if errors.Is(err, kerr.UnknownTopicOrPartition) {
			return fmt.Errorf("topic %s does not exist; 'ottla topic list' shows those that do", m.topic)
		}
		return m.flags.Explain("find where "+m.topic+" ends", err)
	})
}

// done tells whether the member has read its partitions to their ends.
func (m *member) done(ctx context.Context, client *kgo.Client, at map[int32]int64) (bool, error) {
	mine, ok := m.partitions()
	if m.flags.follow || !ok {
		return false, nil
	}
	var untouched []int32
	for _, partition := range mine {
		next, read := at[partition]
		end, _ := m.ends.Lookup(m.topic, partition)
		switch {
		case !read && end.Offset > 0:
			untouched = append(untouched, partition)
		case next < end.Offset:
			return false, nil
		}
	}
	if len(untouched) == 0 {
		return true, nil
	}
	// Nothing was read of these: it may be that nothing was left to read.
	committed, err := kadm.NewClient(client).FetchOffsetsForTopics(ctx, m.flags.group, m.topic)
	if err != nil {
		return false, m.flags.GroupError("read the offsets of", m.flags.group, err)
	}
	for _, partition := range untouched {
		start, _ := m.starts.Lookup(m.topic, partition)
		end, _ := m.ends.Lookup(m.topic, partition)
		next := start.Offset
		if offset, ok := committed.Lookup(m.topic, partition); ok && offset.At >= 0 {
			next = offset.At
		} else if m.from == cli.AtEnd {
			next = end.Offset
		}
		if next < end.Offset {
			return false, nil
		}
	}
	return true, nil
}
