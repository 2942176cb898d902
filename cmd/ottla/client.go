package main

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
	defaultBootstrap = "127.0.0.1:9092"
	defaultAdmin     = "127.0.0.1:9642"
	defaultDataDir   = "ottla-data"
)

// ottlaTag is the tagged field in which requests and answers say what no message of Kafka's can; which one, each says for itself.
const ottlaTag = 10_000

// clientFlags are the flags of every command that talks to a broker.
type clientFlags struct {
	version   string // of this binary: brokers are told
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
		kgo.SoftwareNameAndVersion("ottla", f.version),
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

// withAdmin runs fn with an admin client and gives the broker as long as the flags say.
func (f *clientFlags) withAdmin(ctx context.Context, fn func(context.Context, *kadm.Client) error) error {
	return f.withClient(ctx, func(ctx context.Context, client *kgo.Client) error { return fn(ctx, kadm.NewClient(client)) })
}

// withClient is withAdmin for requests that kadm lacks.
func (f *clientFlags) withClient(ctx context.Context, fn func(context.Context, *kgo.Client) error) error {
	client, err := f.open()
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, 2*f.timeout)
	defer cancel()
	return fn(ctx, client)
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

// served is the highest version of a request that brokers have, or -1 if they don't have it.
func (f *clientFlags) served(ctx context.Context, client *kgo.Client, request kmsg.Request) (int16, error) {
	answer, err := kmsg.NewPtrApiVersionsRequest().RequestWith(ctx, client)
	if err != nil {
		return -1, f.explain("ask for the broker's versions", err)
	}
	for _, k := range answer.ApiKeys {
		if k.ApiKey == request.Key() {
			return k.MaxVersion, nil
		}
	}
	return -1, nil
}

// sleep waits, and says whether the context still holds.
func sleep(ctx context.Context, wait time.Duration) bool {
	if wait < time.Millisecond { // a timer of its own would cost more than it waits
		time.Sleep(wait)
		return ctx.Err() == nil
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
