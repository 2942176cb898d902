package records

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/ottla-io/ottla"
	"github.com/ottla-io/ottla/cmd/ottla/internal/clitest"
)

// TestFollowOutlivesABroker: a broker that is stopped and started again ends no --follow; the member of a group says that it waits.
func TestFollowOutlivesABroker(t *testing.T) {
	for _, group := range []string{"", "g"} {
		t.Run("group="+group, func(t *testing.T) {
			config := ottla.Config{DataDir: t.TempDir(), Listen: "127.0.0.1:0", Settings: map[string]string{"group.initial.rebalance.delay.ms": "0", "ottla.drain.timeout.ms": "100"}}
			start := func() *ottla.Broker {
				b, err := ottla.Start(config)
				if err != nil {
					t.Fatal(err)
				}
				return b
			}
			b := start()
			config.Listen = b.Addr()
			shell.Must(t, "1\n2\n", "produce", "t", "-p", "0", "-b", b.Addr())
			args := []string{"consume", "t", "--follow", "-n", "4", "--timeout", "300ms", "-b", b.Addr()}
			if group != "" {
				args = append(args, "--group", group)
			}
			out, reads := clitest.NewLineWaiter()
			waits, told := clitest.NewLineWaiter()
			ended := make(chan int, 1)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			go func() { ended <- shell.Execute(ctx, args, strings.NewReader(""), out, waits) }()
			select {
			case <-reads:
			case code := <-ended:
				t.Fatalf("it ended with %d: %s", code, waits.String())
			}
			if group != "" {
				for deadline := time.Now().Add(20 * time.Second); ; {
					if groups := shell.Must(t, "", "group", "describe", "-o", "yaml", "-b", b.Addr()); strings.Count(groups, "committed:") == 1 && strings.Contains(groups, "committed: 2\n") {
						break
					}
					if time.Now().After(deadline) {
						t.Fatal("the member has not read after 20 s")
					}
				}
			}
			if err := b.Close(context.Background()); err != nil {
				t.Fatal(err)
			}
			if group != "" {
				select {
				case line := <-told:
					if !strings.Contains(line, "reading goes on when it is back") {
						t.Fatalf("said %q", line)
					}
				case code := <-ended:
					t.Fatalf("it ended with %d when its broker was stopped", code)
				}
			}
			b = start()
			defer func() { _ = b.Close(context.Background()) }()
			shell.Must(t, "3\n4\n", "produce", "t", "-p", "0", "-b", b.Addr())
			if code := <-ended; code != 0 || out.String() != "1\n2\n3\n4\n" {
				t.Errorf("ended with %d, having read %q", code, out.String())
			}
		})
	}
}
