package ottla_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ottla-io/ottla"
	"github.com/ottla-io/ottla/internal/api"
	"github.com/ottla-io/ottla/internal/wire"
)

// lockedBuffer takes the log of a broker.
type lockedBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// changes are requests of franz-go that change something, or try to, by API. Each leaves one line or more in the audit.
var changes = map[int16]func(t *testing.T, client *kgo.Client){
	wire.MetadataKey:     func(t *testing.T, client *kgo.Client) { produce(t, client, "made-by-asking", 0, 1) },
	wire.CreateTopicsKey: func(t *testing.T, client *kgo.Client) { createTopic(t, client, "t") },
	wire.CreatePartitionsKey: func(t *testing.T, client *kgo.Client) {
		if _, err := kadm.NewClient(client).UpdatePartitions(patient(t), 3, "t"); err != nil {
			t.Error(err)
		}
	},
	wire.IncrementalAlterConfigsKey: func(t *testing.T, client *kgo.Client) {
		value := "1000"
		if _, err := kadm.NewClient(client).AlterTopicConfigs(patient(t), []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "retention.ms", Value: &value}}, "t"); err != nil {
			t.Error(err)
		}
	},
	wire.AlterConfigsKey: func(t *testing.T, client *kgo.Client) {
		value := "2000"
		if _, err := kadm.NewClient(client).AlterTopicConfigsState(patient(t), []kadm.AlterConfig{{Name: "segment.ms", Value: &value}}, "t"); err != nil {
			t.Error(err)
		}
	},
	wire.DeleteRecordsKey: func(t *testing.T, client *kgo.Client) {
		produce(t, client, "t", 0, 60)
		var before kadm.Offsets
		before.AddOffset("t", 0, 1, -1)
		if _, err := kadm.NewClient(client).DeleteRecords(patient(t), before); err != nil {
			t.Error(err)
		}
	},
	wire.OffsetCommitKey: func(t *testing.T, client *kgo.Client) {
		var offsets kadm.Offsets
		offsets.AddOffset("t", 0, 2, -1)
		if _, err := kadm.NewClient(client).CommitOffsets(patient(t), "g", offsets); err != nil {
			t.Error(err)
		}
	},
	wire.OffsetDeleteKey: func(t *testing.T, client *kgo.Client) {
		var which kadm.TopicsSet
		which.Add("t", 0)
		if _, err := kadm.NewClient(client).DeleteOffsets(patient(t), "g", which); err != nil {
			t.Error(err)
		}
	},
	wire.LeaveGroupKey: func(t *testing.T, client *kgo.Client) {
		if _, err := kadm.NewClient(client).LeaveGroup(patient(t), kadm.LeaveGroup("g").InstanceIDs("one")); err != nil {
			t.Error(err)
		}
	},
	wire.DeleteGroupsKey: func(t *testing.T, client *kgo.Client) {
		// Its answer, that there is no such group any more, is one that an audit tells, too.
		_, _ = kadm.NewClient(client).DeleteGroup(patient(t), "g")
	},
	wire.CreateAclsKey: func(t *testing.T, client *kgo.Client) {
		req := kmsg.NewPtrCreateACLsRequest()
		req.Creations = []kmsg.CreateACLsRequestCreation{{ResourceType: kmsg.ACLResourceTypeTopic, ResourceName: "t", ResourcePatternType: kmsg.ACLResourcePatternTypeLiteral,
			Principal: "User:x", Host: "*", Operation: kmsg.ACLOperationRead, PermissionType: kmsg.ACLPermissionTypeAllow}}
		ask(t, client, req)
	},
	wire.DeleteAclsKey: func(t *testing.T, client *kgo.Client) {
		req := kmsg.NewPtrDeleteACLsRequest()
		req.Filters = []kmsg.DeleteACLsRequestFilter{{ResourceType: kmsg.ACLResourceTypeAny, ResourcePatternType: kmsg.ACLResourcePatternTypeAny,
			Operation: kmsg.ACLOperationAny, PermissionType: kmsg.ACLPermissionTypeAny}}
		ask(t, client, req)
	},
	wire.ElectLeadersKey: func(t *testing.T, client *kgo.Client) {
		req := kmsg.NewPtrElectLeadersRequest()
		req.Topics = []kmsg.ElectLeadersRequestTopic{{Topic: "t", Partitions: []int32{0}}}
		ask(t, client, req)
	},
	wire.AlterPartitionReassignmentsKey: func(t *testing.T, client *kgo.Client) {
		req := kmsg.NewPtrAlterPartitionAssignmentsRequest()
		req.Topics = []kmsg.AlterPartitionAssignmentsRequestTopic{{Topic: "t", Partitions: []kmsg.AlterPartitionAssignmentsRequestTopicPartition{{Partition: 0, Replicas: []int32{1}}}}}
		ask(t, client, req)
	},
	wire.AlterReplicaLogDirsKey: func(t *testing.T, client *kgo.Client) {
		admin := kadm.NewClient(client)
		dirs, err := admin.DescribeBrokerLogDirs(patient(t), 1, nil)
		if err != nil {
			t.Fatal(err)
		}
		for dir := range dirs {
			var req kadm.AlterReplicaLogDirsReq
			req.Add(dir, kadm.TopicsSet{"t": {0: {}}})
			if _, err := admin.AlterBrokerReplicaLogDirs(patient(t), 1, req); err != nil {
				t.Error(err)
			}
		}
	},
	wire.UpdateFeaturesKey: func(t *testing.T, client *kgo.Client) {
		req := kmsg.NewPtrUpdateFeaturesRequest()
		req.FeatureUpdates = []kmsg.UpdateFeaturesRequestFeatureUpdate{{Feature: "group.version", MaxVersionLevel: 1, UpgradeType: 1}}
		ask(t, client, req)
	},
	wire.AlterClientQuotasKey: func(t *testing.T, client *kgo.Client) {
		user := "x"
		req := kmsg.NewPtrAlterClientQuotasRequest()
		req.Entries = []kmsg.AlterClientQuotasRequestEntry{{Entity: []kmsg.AlterClientQuotasRequestEntryEntity{{Type: "user", Name: &user}},
			Ops: []kmsg.AlterClientQuotasRequestEntryOp{{Key: "producer_byte_rate", Value: 1e9}}}}
		ask(t, client, req)
	},
	wire.DeleteTopicsKey: func(t *testing.T, client *kgo.Client) {
		if _, err := kadm.NewClient(client).DeleteTopic(patient(t), "t"); err != nil {
			t.Error(err)
		}
	},
}

func ask(t *testing.T, client *kgo.Client, req kmsg.Request) {
	t.Helper()
	if _, err := client.Request(patient(t), req); err != nil {
		t.Errorf("%s: %v", kmsg.NameForKey(req.Key()), err)
	}
}

func createTopic(t *testing.T, client *kgo.Client, name string) {
	t.Helper()
	if _, err := kadm.NewClient(client).CreateTopic(patient(t), 2, 1, nil, name); err != nil {
		t.Error(err)
	}
}

// order is in which the changes are made: each needs some of those before it.
var order = []int16{wire.MetadataKey, wire.CreateTopicsKey, wire.CreatePartitionsKey, wire.IncrementalAlterConfigsKey, wire.AlterConfigsKey, wire.DeleteRecordsKey,
	wire.OffsetCommitKey, wire.OffsetDeleteKey, wire.LeaveGroupKey, wire.DeleteGroupsKey, wire.CreateAclsKey, wire.DeleteAclsKey, wire.ElectLeadersKey,
	wire.AlterPartitionReassignmentsKey, wire.AlterReplicaLogDirsKey, wire.UpdateFeaturesKey, wire.AlterClientQuotasKey, wire.DeleteTopicsKey}

type auditLine struct {
	API, Principal, ClientID, Software, Listener, Client, Kind, Name, Outcome string
	Before, After                                                             map[string]string
}

func readAudit(t *testing.T, path string) (lines []auditLine) {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range strings.Split(strings.TrimSpace(string(content)), "\n") {
		var line auditLine
		if err := json.Unmarshal([]byte(text), &line); err != nil {
			t.Fatalf("%v in %q", err, text)
		}
		lines = append(lines, line)
	}
	return lines
}

// TestDocsAudit: every API of the table that changes something is in docs/audit.md, and is tried by TestEveryChangeIsAudited.
func TestDocsAudit(t *testing.T) {
	text, err := os.ReadFile("docs/audit.md")
	if err != nil {
		t.Fatal(err)
	}
	table := api.NewTable(api.Deps{})
	for key := range int16(127) {
		if _, served := table.Lookup(key); !served {
			continue
		}
		if mutates, _ := api.Mutates(key); !mutates {
			continue
		}
		if !slices.Contains(order, key) || changes[key] == nil {
			t.Errorf("%s changes something, and no request of it is among the changes of this file", wire.APIName(key))
		}
		if !strings.Contains(string(text), wire.APIName(key)) {
			t.Errorf("docs/audit.md does not say what an audit tells of %s", wire.APIName(key))
		}
	}
}

// TestEveryChangeIsAudited: a request of each API of the table that changes something leaves a line in the log and in the audit file, with
// who, from where, before and after.
func TestEveryChangeIsAudited(t *testing.T) {
	if len(order) != len(changes) {
		t.Fatalf("%d changes in order, and %d in all", len(order), len(changes))
	}
	var log lockedBuffer
	file := filepath.Join(t.TempDir(), "audit", "changes.jsonl")
	broker, err := ottla.Start(ottla.Config{DataDir: t.TempDir(), NodeID: 1, Settings: map[string]string{"ottla.audit.file": file}, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	defer broker.Close(context.Background())
	client := newClient(t, broker, kgo.ClientID("the operator"), kgo.RecordPartitioner(kgo.RoundRobinPartitioner()))
	for _, key := range order {
		changes[key](t, client)
		if want := `msg="admin change" api=` + wire.APIName(key) + " "; !strings.Contains(log.String(), want) {
			t.Errorf("no line %s in the log", want)
		}
	}
	client.Close()
	if err := broker.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	byAPI := map[string][]auditLine{}
	for _, line := range readAudit(t, file) {
		if line.Principal != "User:ANONYMOUS" || line.ClientID != "the operator" || !strings.HasPrefix(line.Software, "kgo/") || line.Listener != "PLAINTEXT" ||
			!strings.HasPrefix(line.Client, "127.0.0.1:") || strings.HasSuffix(line.Client, ":0") {
			t.Errorf("who changed it: %+v", line)
		}
		byAPI[line.API] = append(byAPI[line.API], line)
	}
	for key, want := range map[int16]auditLine{
		wire.CreateTopicsKey:                {Kind: "topic", Name: "t", Outcome: "NONE", After: map[string]string{"partitions": "2", "replicationFactor": "1"}},
		wire.CreatePartitionsKey:            {Kind: "topic", Name: "t", Outcome: "NONE", Before: map[string]string{"partitions": "2"}, After: map[string]string{"partitions": "3"}},
		wire.IncrementalAlterConfigsKey:     {Kind: "topic", Name: "t", Outcome: "NONE", Before: map[string]string{}, After: map[string]string{"retention.ms": "1000"}},
		wire.AlterConfigsKey:                {Kind: "topic", Name: "t", Outcome: "NONE", Before: map[string]string{"retention.ms": "1000"}, After: map[string]string{"segment.ms": "2000"}},
		wire.DeleteRecordsKey:               {Kind: "partition", Name: "t-0", Outcome: "NONE", Before: map[string]string{"logStart": "0"}, After: map[string]string{"logStart": "1"}},
		wire.OffsetCommitKey:                {Kind: "group", Name: "g", Outcome: "NONE", Before: map[string]string{}, After: map[string]string{"t-0": "2"}},
		wire.OffsetDeleteKey:                {Kind: "group", Name: "g", Outcome: "NONE", Before: map[string]string{"t-0": "2"}, After: map[string]string{}},
		wire.DeleteGroupsKey:                {Kind: "group", Name: "g", Outcome: "GROUP_ID_NOT_FOUND"},
		wire.AlterPartitionReassignmentsKey: {Kind: "partition", Name: "t-0", Outcome: "NONE", Before: map[string]string{"replicas": "[1]"}, After: map[string]string{"replicas": "[1]"}},
		wire.ElectLeadersKey:                {Kind: "partition", Name: "t-0", Outcome: "ELECTION_NOT_NEEDED", Before: map[string]string{"leader": "1"}},
		wire.DeleteTopicsKey: {Kind: "topic", Name: "t", Outcome: "NONE", Before: map[string]string{"partitions": "3", "replicationFactor": "1", "segment.ms": "2000"},
			After: map[string]string{"name": "t", "partitions": "3"}}, // in the trash
		wire.AlterClientQuotasKey: {Kind: "quota", Name: "user=x", Outcome: "NONE", After: map[string]string{"producer_byte_rate": "1000000000"}},
	} {
		got := byAPI[wire.APIName(key)]
		if len(got) != 1 {
			t.Errorf("%s: %d lines, want 1", wire.APIName(key), len(got))
			continue
		}
		for _, state := range []map[string]string{got[0].Before, got[0].After} {
			if id, ok := state["topicId"]; ok && len(id) == 22 {
				delete(state, "topicId")
			}
			delete(state, "inTrashUntil")
		}
		if diff := cmp.Diff(auditLine{Kind: want.Kind, Name: want.Name, Outcome: want.Outcome, Before: want.Before, After: want.After},
			auditLine{Kind: got[0].Kind, Name: got[0].Name, Outcome: got[0].Outcome, Before: got[0].Before, After: got[0].After}); diff != "" {
			t.Errorf("%s: %s", wire.APIName(key), diff)
		}
	}
	if missing := len(order) - len(byAPI); missing > 0 {
		t.Errorf("lines of %v only", slices.Sorted(maps.Keys(byAPI)))
	}
}

// TestAuditFileTurns: the file is put aside when it is full, the oldest goes, and a torn last line is ended before more is written.
func TestAuditFileTurns(t *testing.T) {
	files := auditFiles(t, "3")
	if len(files) != 3 {
		t.Errorf("%d files are kept, want 3", len(files))
	}
	all := auditFiles(t, "50")
	oldest, err := os.ReadFile(all[len(all)-1])
	if err != nil {
		t.Fatal(err)
	}
	first, rest, _ := strings.Cut(string(oldest), "\n")
	if second, _, _ := strings.Cut(rest, "\n"); first != tornLine || !json.Valid([]byte(second)) {
		t.Errorf("the oldest of %d files begins with %q, %q", len(all), first, second)
	}
}

const tornLine = `{"api":"torn`

// auditFiles makes a broker write many lines, and names the files that are kept, newest first.
func auditFiles(t *testing.T, keep string) []string {
	dir := t.TempDir()
	file := filepath.Join(dir, "audit.jsonl")
	if err := os.WriteFile(file, []byte(tornLine), 0o644); err != nil {
		t.Fatal(err)
	}
	settings := map[string]string{"ottla.audit.file": file, "ottla.audit.file.bytes": "4096", "ottla.audit.files": keep}
	broker, err := ottla.Start(ottla.Config{DataDir: t.TempDir(), Settings: settings})
	if err != nil {
		t.Fatal(err)
	}
	if second, err := ottla.Start(ottla.Config{DataDir: t.TempDir(), Settings: settings}); err == nil {
		t.Error("a second broker writes the same file")
		second.Close(context.Background())
	}
	nowhere := map[string]string{"ottla.audit.file": filepath.Join(file, "inside", "a-file")}
	if third, err := ottla.Start(ottla.Config{DataDir: t.TempDir(), Settings: nowhere}); err == nil {
		t.Error("a broker starts that cannot put changes on record")
		third.Close(context.Background())
	} else if !strings.Contains(err.Error(), "ottla.audit.file") {
		t.Errorf("it says %v", err)
	}
	client := newClient(t, broker)
	const topics = 60
	for i := range topics {
		createTopic(t, client, "t"+string(rune('A'+i%26))+string(rune('a'+i/26)))
	}
	client.Close()
	if err := broker.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	found, err := filepath.Glob(file + ".*")
	if err != nil {
		t.Fatal(err)
	}
	files := []string{file}
	for n := 1; slices.Contains(found, file+"."+strconv.Itoa(n)); n++ {
		files = append(files, file+"."+strconv.Itoa(n))
	}
	if len(found) != len(files) { // the lock in place of the first
		t.Errorf("found %v besides", found)
	}
	for _, path := range files {
		if info, err := os.Stat(path); err != nil || info.Size() > 4096 {
			t.Errorf("%s: %v, %v", path, info, err)
		}
	}
	if lines := readAudit(t, file); lines[len(lines)-1].Name != "tHc" {
		t.Errorf("the last line is %+v, want the last topic", lines[len(lines)-1])
	}
	return files
}

// TestAuditOfChangesInFlight: changes of one setting that were sent without waiting for each other tell what each was decided on.
func TestAuditOfChangesInFlight(t *testing.T) {
	const changes = 20
	file := filepath.Join(t.TempDir(), "audit.jsonl")
	broker, err := ottla.Start(ottla.Config{DataDir: t.TempDir(), Settings: map[string]string{"ottla.audit.file": file}})
	if err != nil {
		t.Fatal(err)
	}
	defer broker.Close(context.Background())
	createTopic(t, newClient(t, broker), "t")
	raw := dialRaw(t, broker)
	var frames []byte
	for i := range changes {
		req := &wire.IncrementalAlterConfigsRequest{Resources: []wire.IncrementalAlterConfigsRequestAlterConfigsResource{{ResourceType: 2, ResourceName: "t",
			Configs: []wire.IncrementalAlterConfigsRequestAlterableConfig{{Name: "retention.ms", Value: wire.SomeString(strconv.Itoa(1000 + i))}}}}}
		frames = append(frames, raw.build(wire.IncrementalAlterConfigsKey, 1, req)...)
	}
	raw.roundTrip(frames)
	for range changes - 1 {
		raw.roundTrip(nil)
	}
	raw.conn.Close()
	if err := broker.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	was := ""
	for _, line := range readAudit(t, file)[1:] { // the first made the topic
		if got := line.Before["retention.ms"]; got != was {
			t.Fatalf("a change was decided on %q, and the one before made it %q", got, was)
		}
		if was == "" {
			was = "999"
		}
		next, _ := strconv.Atoi(was)
		was = strconv.Itoa(next + 1)
	}
	if want := strconv.Itoa(1000 + changes - 1); was != want {
		t.Errorf("the last change made it %s, want %s", was, want)
	}
}
