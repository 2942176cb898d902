package checkup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ottla-io/ottla/cmd/ottla/internal/cli"
)

// clusterFlags are the flags of commands about clusters.
type clusterFlags struct{ cli.ClientFlags }

func newCluster(version string) *cobra.Command {
	cmd := cli.Parent("cluster", "Show the brokers, the controller, the quorum and the features of a cluster")
	cmd.AddCommand(newClusterInfo(version), newClusterFeatures(version))
	return cmd
}

type shownCluster struct {
	Cluster    string        `json:"clusterId"`
	Controller int32         `json:"controller"` // -1: none now
	Brokers    []shownBroker `json:"brokers"`
	Quorum     *shownQuorum  `json:"quorum,omitempty"` // absent where the cluster has none, or does not tell
}

type shownBroker struct {
	Broker  int32  `json:"broker"`
	Address string `json:"address"`
	Rack    string `json:"rack,omitempty"`
	Fenced  bool   `json:"fenced"`
	Speaks  string `json:"speaks,omitempty"` // the Kafka version whose requests it takes; absent where it is like none, or does not answer
}

type shownQuorum struct {
	Leader        int32         `json:"leader"`
	Epoch         int32         `json:"epoch"`
	HighWatermark int64         `json:"highWatermark"`
	Members       []shownMember `json:"members"`
}

type shownMember struct {
	Node  int32  `json:"node"`
	Role  string `json:"role"` // voter or observer
	End   int64  `json:"endOffset"`
	Lag   int64  `json:"lag"`            // records behind the leader; -1: unknown
	Since int64  `json:"lastCaughtUpMs"` // when it was last not behind, in milliseconds since 1970; -1: unknown, or the leader
}

func newClusterInfo(version string) *cobra.Command {
	flags := clusterFlags{cli.ClientFlags{Version: version}}
	cmd := &cobra.Command{
		Use:     "info",
		Short:   "Show brokers, controller and quorum",
		Args:    cobra.NoArgs,
		Example: "  ottla cluster info\n  ottla cluster info -o yaml",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return flags.WithClient(cmd.Context(), func(ctx context.Context, client *kgo.Client) error {
				cluster, err := flags.lookAtCluster(ctx, client)
				if err != nil {
					return err
				}
				return flags.Output.Show(cmd, cluster, cluster.print)
			})
		},
	}
	flags.Register(cmd)
	return cmd
}

func (f *clusterFlags) lookAtCluster(ctx context.Context, client *kgo.Client) (*shownCluster, error) {
	admin := kadm.NewClient(client)
	metadata, err := admin.BrokerMetadata(ctx)
	if err != nil {
		return nil, f.Explain("ask for the brokers", err)
	}
	cluster := &shownCluster{Cluster: metadata.Cluster, Controller: metadata.Controller}
	for _, b := range metadata.Brokers {
		cluster.Brokers = append(cluster.Brokers, describedBroker(b.NodeID, b.Host, b.Port, b.Rack))
	}
	if err := f.addFenced(ctx, client, cluster); err != nil {
		return nil, err
	}
	versions, err := admin.ApiVersions(ctx)
	if err != nil && len(versions) == 0 {
		return nil, f.Explain("ask for the brokers' versions", err)
	}
	for i := range cluster.Brokers {
		v, ok := versions[cluster.Brokers[i].Broker]
		if !ok || v.Err != nil {
			continue // its advertised address does not answer us
		}
		// Brokers that lack some of Kafka's requests, as Ottla still does, are like no version of it.
		if version, exact := strings.CutPrefix(v.VersionGuess(), "v"); exact {
			cluster.Brokers[i].Speaks = "Kafka " + version
		}
	}
	slices.SortFunc(cluster.Brokers, func(a, b shownBroker) int { return cmp.Compare(a.Broker, b.Broker) })
	cluster.Quorum, err = f.lookAtQuorum(ctx, client)
	return cluster, err
}

func describedBroker(id int32, host string, port int32, rack *string) shownBroker {
	return shownBroker{Broker: id, Address: net.JoinHostPort(host, strconv.Itoa(int(port))), Rack: cli.OrEmpty(rack)}
}

// addFenced adds the brokers that are registered and not in use, where the cluster tells: DescribeCluster 2, KIP-1073.
func (f *clusterFlags) addFenced(ctx context.Context, client *kgo.Client, cluster *shownCluster) error {
	request := kmsg.NewPtrDescribeClusterRequest()
	request.IncludeFencedBrokers = true
	if version, err := f.Served(ctx, client, request); version < 0 {
		return err
	}
	answer, err := request.RequestWith(ctx, client)
	if err == nil {
		err = kerr.ErrorForCode(answer.ErrorCode)
	}
	if err != nil {
		return f.Explain("describe the cluster", err)
	}
	for _, b := range answer.Brokers {
		if b.IsFenced && !slices.ContainsFunc(cluster.Brokers, func(known shownBroker) bool { return known.Broker == b.NodeID }) {
			fenced := describedBroker(b.NodeID, b.Host, b.Port, b.Rack)
			fenced.Fenced = true
			cluster.Brokers = append(cluster.Brokers, fenced)
		}
	}
	return nil
}

// lookAtQuorum is nil where there is no quorum to look at.
func (f *clusterFlags) lookAtQuorum(ctx context.Context, client *kgo.Client) (*shownQuorum, error) {
	request := kmsg.NewPtrDescribeQuorumRequest()
	topic := kmsg.NewDescribeQuorumRequestTopic()
	topic.Topic = "__cluster_metadata"
	topic.Partitions = append(topic.Partitions, kmsg.NewDescribeQuorumRequestTopicPartition())
	request.Topics = append(request.Topics, topic)
	if version, err := f.Served(ctx, client, request); version < 0 {
		return nil, err
	}
	answer, err := request.RequestWith(ctx, client)
	if err == nil {
		err = kerr.ErrorForCode(answer.ErrorCode)
	}
	if err != nil {
		return nil, f.Explain("describe the quorum", err)
	}
	if len(answer.Topics) != 1 || len(answer.Topics[0].Partitions) != 1 {
		return nil, errors.New("describe the quorum: the answer is not about one partition")
	}
	p := answer.Topics[0].Partitions[0]
	if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
		return nil, f.Explain("describe the quorum", err)
	}
	q := &shownQuorum{Leader: p.LeaderID, Epoch: p.LeaderEpoch, HighWatermark: p.HighWatermark}
	end := int64(-1)
	for _, v := range p.CurrentVoters {
		if v.ReplicaID == p.LeaderID {
			end = v.LogEndOffset
		}
	}
	add := func(role string, replicas []kmsg.DescribeQuorumResponseTopicPartitionReplicaState) {
		for _, r := range replicas {
			m := shownMember{r.ReplicaID, role, r.LogEndOffset, -1, r.LastCaughtUpTimestamp}
			if end >= 0 && r.LogEndOffset >= 0 {
				m.Lag = max(0, end-r.LogEndOffset)
			}
			q.Members = append(q.Members, m)
		}
	}
	add("voter", p.CurrentVoters)
	add("observer", p.Observers)
	return q, nil
}

func (c *shownCluster) print(out io.Writer) error {
	fmt.Fprintf(out, "cluster %s, controller %s\n", c.Cluster, cli.OrNone(int64(c.Controller)))
	rows := [][]string{{"BROKER", "ADDRESS", "RACK", "STATE", "SPEAKS"}}
	for _, b := range c.Brokers {
		state := "in use"
		if b.Fenced {
			state = "fenced"
		}
		rows = append(rows, []string{fmt.Sprint(b.Broker), b.Address, cli.OrDash(b.Rack), state, cli.OrDash(b.Speaks)})
	}
	if err := cli.PrintTable(out, rows); err != nil || c.Quorum == nil {
		return err
	}
	fmt.Fprintf(out, "\nquorum: leader %s, epoch %d, high watermark %d\n", cli.OrNone(int64(c.Quorum.Leader)), c.Quorum.Epoch, c.Quorum.HighWatermark)
	rows = [][]string{{"NODE", "ROLE", "END", "LAG", "LAST CAUGHT UP"}}
	for _, m := range c.Quorum.Members {
		rows = append(rows, []string{fmt.Sprint(m.Node), m.Role, cli.OrNone(m.End), cli.OrNone(m.Lag), cli.DashTime(m.Since)})
	}
	return cli.PrintTable(out, rows)
}

type shownFeatures struct {
	Epoch    int64          `json:"finalizedEpoch"` // -1: the cluster does not tell
	Features []shownFeature `json:"features"`
}

type shownFeature struct {
	Feature   string `json:"feature"`
	Finalized *int16 `json:"finalized"` // null: not in use
	Lowest    int16  `json:"supportedMin"`
	Highest   int16  `json:"supportedMax"`
}

func newClusterFeatures(version string) *cobra.Command {
	flags := clusterFlags{cli.ClientFlags{Version: version}}
	cmd := &cobra.Command{
		Use:   "features",
		Short: "Show which level of each feature is in use, and which there are",
		Long: "Show which level of each feature is in use (finalized), and which the broker has (supported), by KIP-584. metadata.version 30 is\n" +
			"that of Kafka 4.3; group.version 1 is the consumer groups of KIP-848.",
		Args:    cobra.NoArgs,
		Example: "  ottla cluster features",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return flags.WithClient(cmd.Context(), func(ctx context.Context, client *kgo.Client) error {
				features, err := flags.lookAtFeatures(ctx, client)
				if err != nil {
					return err
				}
				return flags.Output.Show(cmd, features, features.print)
			})
		},
	}
	flags.Register(cmd)
	return cmd
}

func (f *clusterFlags) lookAtFeatures(ctx context.Context, client *kgo.Client) (*shownFeatures, error) {
	answer, err := kmsg.NewPtrApiVersionsRequest().RequestWith(ctx, client)
	if err == nil {
		err = kerr.ErrorForCode(answer.ErrorCode)
	}
	if err != nil {
		return nil, f.Explain("ask for the features", err)
	}
	shown := &shownFeatures{Epoch: answer.FinalizedFeaturesEpoch}
	for _, s := range answer.SupportedFeatures {
		one := shownFeature{Feature: s.Name, Lowest: s.MinVersion, Highest: s.MaxVersion}
		for _, finalized := range answer.FinalizedFeatures {
			if finalized.Name == s.Name {
				one.Finalized = &finalized.MaxVersionLevel
			}
		}
		shown.Features = append(shown.Features, one)
	}
	slices.SortFunc(shown.Features, func(a, b shownFeature) int { return strings.Compare(a.Feature, b.Feature) })
	return shown, nil
}

func (s *shownFeatures) print(out io.Writer) error {
	rows := [][]string{{"FEATURE", "IN USE", "SUPPORTED"}}
	for _, one := range s.Features {
		used := "-"
		if one.Finalized != nil {
			used = fmt.Sprint(*one.Finalized)
		}
		rows = append(rows, []string{one.Feature, used, fmt.Sprintf("%d..%d", one.Lowest, one.Highest)})
	}
	return cli.PrintTable(out, rows)
}
