package main

import (
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// defaultBootstrap is where 'ottla serve' listens when it is told nothing.
const defaultBootstrap = "127.0.0.1:9092"

// clientFlags are the flags of every command that talks to a broker.
type clientFlags struct {
	bootstrap []string
	timeout   time.Duration
	output    outputFormat
}

func (f *clientFlags) register(cmd *cobra.Command) {
	f.registerConnection(cmd)
	f.output.register(cmd)
}

// registerConnection is register for commands that print one format only.
func (f *clientFlags) registerConnection(cmd *cobra.Command) {
	cmd.Flags().StringSliceVarP(&f.bootstrap, "bootstrap", "b", []string{defaultBootstrap}, "HOST:PORT of one or more brokers (or OTTLA_BOOTSTRAP, or of the profile)")
	cmd.Flags().DurationVar(&f.timeout, "timeout", 10*time.Second, "give up when the broker has not answered for this long")
}

// open connects. The client gives up instead of trying for ever, so that a wrong address is told at once.
func (f *clientFlags) open(options ...kgo.Opt) (*kgo.Client, error) {
	base := []kgo.Opt{
		kgo.SeedBrokers(f.bootstrap...),
		kgo.SoftwareNameAndVersion("ottla", version()),
		kgo.RetryTimeout(f.timeout),
		kgo.RequestRetries(5),
		kgo.DialTimeout(min(f.timeout, 5*time.Second)),
		kgo.DisableClientMetrics(),
		kgo.MetadataMinAge(250 * time.Millisecond), // a broker that has just started is found at once
	}
	client, err := kgo.NewClient(append(base, options...)...)
	if err != nil {
		return nil, fmt.Errorf("set up the client for %v: %w", f.bootstrap, err)
	}
	return client, nil
}

// explain turns a client error into what happened, why, and what to do.
func (f *clientFlags) explain(doing string, err error) error {
	var broker *kerr.Error
	var network net.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &broker):
		return fmt.Errorf("%s: the broker answered %w", doing, broker)
	case errors.As(err, &network):
		return fmt.Errorf("%s: no broker answers at %v (%w); start one with 'ottla serve' or name another with -b HOST:PORT", doing, f.bootstrap, err)
	}
	return fmt.Errorf("%s: %w", doing, err)
}
