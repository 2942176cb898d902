package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	groupName   = "departures"
	pollRecords = 250
	// dieAfter is how many records the second member reads before it is killed.
	dieAfter = 3000
)

// member is one process of the group: this program again, with -member.
type member struct {
	number  int
	command *exec.Cmd
	stdin   io.Closer // closed, it leaves the group and ends
}

// seen is one record that a member has read.
type seen struct {
	member    int
	partition int32
	offset    int64
	err       error // the member ended
}

// consume reads the topic once more, with a group of two processes. One gets SIGKILL in the middle; the other takes over what it had not
// committed. Every record must be seen, and what is seen twice must be what the dead member had read and not committed.
func consume(ctx context.Context, address string, total int) error {
	news := make(chan seen, 1024)
	members := make([]*member, 2)
	for i := range members {
		m, err := join(address, i+1, news)
		if err != nil {
			return err
		}
		defer m.kill()
		members[i] = m
	}
	began := time.Now()
	var killed time.Time
	count, perMember, twice := map[[2]int64]int{}, map[int]int{}, 0
	for len(count) < total {
		var s seen
		select {
		case s = <-news:
		case <-ctx.Done():
			return fmt.Errorf("the group saw %d of %d flights: %w", len(count), total, ctx.Err())
		}
		if s.err != nil {
			if s.member == 2 && !killed.IsZero() {
				continue
			}
			return fmt.Errorf("member %d: %w", s.member, s.err)
		}
		at := [2]int64{int64(s.partition), s.offset}
		if count[at]++; count[at] > 1 {
			twice++
		}
		if perMember[s.member]++; s.member == 2 && perMember[2] == dieAfter {
			members[1].kill()
			killed = time.Now()
			fmt.Printf("killed      member 2 of the group, SIGKILL after %d flights\n", dieAfter)
		}
	}
	if killed.IsZero() {
		return fmt.Errorf("member 2 read only %d flights: it was not killed", perMember[2])
	}
	// What it had read since its last commit is read again: at most what it could still write to us, and one poll.
	fmt.Printf("consumed    by a group of two: %d and %d flights, in %v; read twice, since the dead member had not committed them: %d\n",
		perMember[1], perMember[2], time.Since(began).Round(time.Millisecond), twice)
	if err := members[0].leave(); err != nil {
		return err
	}
	return noLag(ctx, address)
}

// noLag checks that the group has committed the end of every partition.
func noLag(ctx context.Context, address string) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(address))
	if err != nil {
		return err
	}
	defer client.Close()
	lags, err := kadm.NewClient(client).Lag(ctx, groupName)
	if err != nil {
		return fmt.Errorf("ask for the group's lag: %w", err)
	}
	group := lags[groupName]
	if err := group.Error(); err != nil {
		return fmt.Errorf("ask for the group's lag: %w", err)
	}
	if lag := group.Lag.Total(); lag != 0 || len(group.Lag[topic]) != partitions {
		return fmt.Errorf("the group read everything, and its lag is %d in %d partitions", lag, len(group.Lag[topic]))
	}
	fmt.Printf("committed   lag 0 in %d partitions, group %s\n", partitions, group.State)
	return nil
}

// join starts a member and passes on what it reads.
func join(address string, number int, news chan<- seen) (*member, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	m := &member{number: number, command: exec.Command(self, "-member", address)}
	m.command.Stderr = os.Stderr
	stdout, err := m.command.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("start member %d: %w", number, err)
	}
	if m.stdin, err = m.command.StdinPipe(); err != nil {
		return nil, fmt.Errorf("start member %d: %w", number, err)
	}
	if err := m.command.Start(); err != nil {
		return nil, fmt.Errorf("start member %d: %w", number, err)
	}
	go func() {
		lines := bufio.NewScanner(stdout)
		for lines.Scan() {
			s := seen{member: number}
			if _, err := fmt.Sscanf(lines.Text(), "%d %d", &s.partition, &s.offset); err != nil {
				s.err = fmt.Errorf("it says %q: %w", lines.Text(), err)
			}
			news <- s
		}
		news <- seen{member: number, err: io.ErrUnexpectedEOF}
	}()
	return m, nil
}

func (m *member) kill() {
	if m.command.ProcessState == nil {
		m.command.Process.Kill()
		m.command.Wait()
	}
}

func (m *member) leave() error {
	m.stdin.Close()
	if err := m.command.Wait(); err != nil {
		return fmt.Errorf("member %d did not leave cleanly: %w", m.number, err)
	}
	return nil
}

// runMember is a member's whole life: it prints PARTITION OFFSET of each record, commits after each poll, and leaves the group when stdin is
// closed.
func runMember(address string) error {
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	client, err := kgo.NewClient(kgo.SeedBrokers(address), kgo.ConsumerGroup(groupName), kgo.ConsumeTopics(topic), kgo.DisableAutoCommit(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.SessionTimeout(6*time.Second), kgo.HeartbeatInterval(500*time.Millisecond),
		kgo.FetchMaxPartitionBytes(64<<10), kgo.BlockRebalanceOnPoll())
	if err != nil {
		return err
	}
	defer client.CloseAllowingRebalance()
	out := bufio.NewWriter(os.Stdout)
	for {
		fetches := client.PollRecords(ctx, pollRecords)
		if ctx.Err() != nil {
			return nil
		}
		if err := fetches.Err(); err != nil {
			return err
		}
		fetches.EachRecord(func(r *kgo.Record) { fmt.Fprintln(out, r.Partition, r.Offset) })
		if err := out.Flush(); err != nil {
			return err
		}
		if err := client.CommitUncommittedOffsets(context.Background()); err != nil { // what was printed counts, also when we are to leave
			return err
		}
		client.AllowRebalance()
	}
}
