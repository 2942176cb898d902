package clients

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// TestKafkaGroupTools: Kafka's own tools show and change groups, and dump-log reads what we keep of them.
func TestKafkaGroupTools(t *testing.T) {
	ctx := testContext(t)
	createTopic(t, ctx, shared.Addr(), "grouped", 2)
	records := make([]Record, 12)
	for i := range records {
		records[i] = Record{Partition: int32(i % 2), TimestampMs: time.Now().UnixMilli(), Value: fmt.Append(nil, i)}
	}
	if _, err := NewFranz(shared.Addr()).Produce(ctx, ProduceConfig{Topic: "grouped", Codec: "none"}, records); err != nil {
		t.Fatal(err)
	}
	with := func(name string, args ...string) []string {
		return append([]string{name, "--bootstrap-server", shared.Addr()}, args...)
	}
	group := func(args ...string) string { return tool(t, "", with("consumer-groups", args...)...) }

	out := tool(t, "", with("console-consumer", "--topic", "grouped", "--group", "tool", "--from-beginning", "--max-messages", "12", "--timeout-ms", "20000")...)
	want(t, "console-consumer --group", out, "Processed a total of 12 messages")
	want(t, "groups --list", tool(t, "", with("groups", "--list")...), `(?m)^tool\s+Classic\s+consumer`)
	want(t, "--list --state", group("--list", "--state"), `(?m)^tool\s+Empty`)
	want(t, "--describe", group("--describe", "--group", "tool"), `(?m)^tool\s+grouped\s+0\s+6\s+6\s+0\s+-`, `(?m)^tool\s+grouped\s+1\s+6\s+6\s+0\s+-`)
	want(t, "--describe --state", group("--describe", "--group", "tool", "--state"), `(?m)^tool\s+127.0.0.1:\d+\s+\(1\)\s+-?\s*Empty\s+0`)

	members, err := kgo.NewClient(kgo.SeedBrokers(shared.Addr()), kgo.ConsumerGroup("tool"), kgo.ConsumeTopics("grouped"), kgo.ClientID("somebody"))
	if err != nil {
		t.Fatal(err)
	}
	defer members.Close()
	for admin := kadm.NewClient(members); ; time.Sleep(50 * time.Millisecond) {
		groups, err := admin.DescribeGroups(ctx, "tool")
		if err != nil {
			t.Fatal(err)
		}
		if groups["tool"].State == "Stable" {
			break
		}
	}
	want(t, "--describe --members", group("--describe", "--group", "tool", "--members", "--verbose"), `(?m)^tool\s+somebody-\S+\s+/127\.0\.0\.1\s+somebody\s+2\s+-?\s*grouped:0,1`)
	want(t, "--describe with a member", group("--describe", "--group", "tool"), `(?m)^tool\s+grouped\s+0\s+6\s+6\s+0\s+somebody-\S+\s+/127\.0\.0\.1\s+somebody`)
	if out, err := tryTool(t, "", with("consumer-groups", "--reset-offsets", "--group", "tool", "--topic", "grouped", "--to-earliest", "--execute")...); !strings.Contains(out, "inactive") {
		t.Errorf("--reset-offsets with a member: %v\n%s", err, out)
	}
	if out, err := tryTool(t, "", with("consumer-groups", "--delete", "--group", "tool")...); !strings.Contains(out, "NonEmpty") && !strings.Contains(out, "not empty") {
		t.Errorf("--delete with a member: %v\n%s", err, out)
	}
	members.Close()

	want(t, "--reset-offsets", group("--reset-offsets", "--group", "tool", "--topic", "grouped:1", "--shift-by", "-2", "--execute"), `(?m)^tool\s+grouped\s+1\s+4`)
	want(t, "lag after a reset", group("--describe", "--group", "tool"), `(?m)^tool\s+grouped\s+1\s+4\s+6\s+2\s`)
	want(t, "--delete-offsets", group("--delete-offsets", "--group", "tool", "--topic", "grouped:0"), `grouped\s+0\s+Successful`)
	dumpOffsets(t)
	want(t, "--delete", group("--delete", "--group", "tool"), "Deletion of requested consumer groups \\('tool'\\) was successful")
	if out := group("--list"); strings.Contains(out, "tool\n") {
		t.Errorf("--list after --delete:\n%s", out)
	}
}

// dumpOffsets has Kafka's dump-log decode the records of group tool.
func dumpOffsets(t *testing.T) {
	hash := int32(0) // Java's: it says which partition of __consumer_offsets
	for _, c := range "tool" {
		hash = 31*hash + c
	}
	partition := int(hash&0x7fffffff) % 50
	out := tool(t, "", "dump-log", "--deep-iteration", "--offsets-decoder", "--files", segments(t, shared, "__consumer_offsets", partition, "log"))
	rejectComplaints(t, out)
	want(t, "dump-log --offsets-decoder", out, `"group":"tool","topic":"grouped","partition":1`, `"offset":4`, `"protocolType":"consumer"`)
}
