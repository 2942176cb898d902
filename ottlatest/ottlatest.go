// Package ottlatest gives tests a real broker in one line: the code of production on a memory disk, on a free loopback port, ready in
// milliseconds.
//
//	func TestOrders(t *testing.T) {
//		broker := ottlatest.Start(t)
//		client, err := kgo.NewClient(kgo.SeedBrokers(broker.Addr()))
//		…
//	}
//
// It owns the broker's life: the test's end closes it, and fails the test if something of it stays behind. It must never offer what
// production lacks. Several brokers may run in one process. Nothing survives, which is the point.
package ottlatest

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/ottla-io/ottla"
)

// closeTimeout bounds how long the test's end waits for replies in flight.
const closeTimeout = 10 * time.Second

// Option changes the broker's configuration before it starts.
type Option func(*ottla.Config)

// WithSetting sets a broker setting by Kafka's name.
func WithSetting(key, value string) Option {
	return func(c *ottla.Config) { c.Settings[key] = value }
}

// WithNodeID sets node.id; it is 1 otherwise.
func WithNodeID(id int32) Option { return func(c *ottla.Config) { c.NodeID = id } }

// WithDataDir keeps the data in a directory on disk, so that a second Start finds it.
func WithDataDir(dir string) Option {
	return func(c *ottla.Config) { c.DataDir, c.InMemory = dir, false }
}

// WithLog sends the broker's log to the test's.
func WithLog(t testing.TB) Option {
	return func(c *ottla.Config) {
		c.Logger = slog.New(slog.NewTextHandler(logTo{t}, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
}

// Start runs a broker until the test ends. It fails the test if it cannot.
func Start(t testing.TB, options ...Option) *ottla.Broker {
	t.Helper()
	config := ottla.Config{InMemory: true, Listen: "127.0.0.1:0", NodeID: 1, Settings: map[string]string{}, Version: "ottlatest"}
	for _, option := range options {
		option(&config)
	}
	broker, err := ottla.Start(config)
	if err != nil {
		t.Fatalf("start a broker: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
		defer cancel()
		if err := broker.Close(ctx); err != nil {
			t.Errorf("close the broker: %v", err)
		}
	})
	return broker
}

// logTo writes lines to t.Log.
type logTo struct{ t testing.TB }

func (l logTo) Write(p []byte) (int, error) {
	l.t.Helper()
	l.t.Logf("%s", p)
	return len(p), nil
}
