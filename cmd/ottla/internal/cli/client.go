package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Where 'ottla serve' listens and keeps its data when it is told nothing.
const (
	DefaultBootstrap = "127.0.0.1:9092"
	DefaultAdmin     = "127.0.0.1:9642"
	DefaultDataDir   = "ottla-data"
)

// OttlaTag is the tagged field in which requests and answers say what no message of Kafka's can; which one, each says for itself.
const OttlaTag = 10_000

// ClientFlags are the flags of every command that talks to a broker. What more than one room asks of a cluster are methods of theirs; a room that asks
// more embeds them.
type ClientFlags struct {
	Version   string        // of this binary, which brokers are told; not empty
	Bootstrap []string      // HOST:PORT
	Timeout   time.Duration // of one answer
	Output    OutputFormat
}

// Register adds the flags to a command, -o among them.
func (f *ClientFlags) Register(cmd *cobra.Command) {
	f.RegisterConnection(cmd)
	f.Output.Register(cmd)
}

// RegisterConnection is Register for commands that print one format only.
func (f *ClientFlags) RegisterConnection(cmd *cobra.Command) {
	cmd.Flags().StringSliceVarP(&f.Bootstrap, "bootstrap", "b", []string{DefaultBootstrap}, "HOST:PORT of one or more brokers (or OTTLA_BOOTSTRAP, or of the profile)")
	cmd.Flags().DurationVar(&f.Timeout, "timeout", 10*time.Second, "give up when the broker has not answered for this long")
}

// Open connects; the caller closes. The client gives up instead of trying for ever, so that a wrong address is told at once.
func (f *ClientFlags) Open(options ...kgo.Opt) (*kgo.Client, error) {
	base := []kgo.Opt{
		kgo.SeedBrokers(f.Bootstrap...),
		kgo.SoftwareNameAndVersion("ottla", f.Version),
		kgo.RetryTimeout(f.Timeout),
		kgo.RequestRetries(5),
		kgo.DialTimeout(min(f.Timeout, 5*time.Second)),
		kgo.DisableClientMetrics(),
		kgo.MetadataMinAge(250 * time.Millisecond), // a broker that has just started is found at once
	}
	client, err := kgo.NewClient(append(base, options...)...)
	if err != nil {
		return nil, fmt.Errorf("set up the client for %v: %w", f.Bootstrap, err)
	}
	return client, nil
}

// WithAdmin runs fn with an admin client, and gives fn twice as long as the flags give one answer.
func (f *ClientFlags) WithAdmin(ctx context.Context, fn func(context.Context, *kadm.Client) error) error {
	return f.WithClient(ctx, func(ctx context.Context, client *kgo.Client) error { return fn(ctx, kadm.NewClient(client)) })
}

// WithClient is WithAdmin for requests that kadm lacks.
func (f *ClientFlags) WithClient(ctx context.Context, fn func(context.Context, *kgo.Client) error) error {
	client, err := f.Open()
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, 2*f.Timeout)
	defer cancel()
	return fn(ctx, client)
}

// Explain turns a client error into what happened, why, and what to do. nil stays nil.
func (f *ClientFlags) Explain(doing string, err error) error {
	var broker *kerr.Error
	var network net.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &broker):
		return fmt.Errorf("%s: the broker answered %w", doing, broker)
	case errors.As(err, &network):
		return fmt.Errorf("%s: no broker answers at %v (%w); start one with 'ottla serve' or name another with -b HOST:PORT", doing, f.Bootstrap, err)
	}
	return fmt.Errorf("%s: %w", doing, err)
}

// Served is the highest version of a request that brokers have, or -1 if they don't have it.
func (f *ClientFlags) Served(ctx context.Context, client *kgo.Client, request kmsg.Request) (int16, error) {
	answer, err := kmsg.NewPtrApiVersionsRequest().RequestWith(ctx, client)
	if err != nil {
		return -1, f.Explain("ask for the broker's versions", err)
	}
	for _, k := range answer.ApiKeys {
		if k.ApiKey == request.Key() {
			return k.MaxVersion, nil
		}
	}
	return -1, nil
}
