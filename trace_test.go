package ottla_test

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/ottla-io/ottla"
)

type tracedTopic struct {
	Name       string
	Partitions []int32
}

type tracedLine struct {
	ClientID, Software, Client, API, Ended string
	Groups                                 []string
	Topics                                 []tracedTopic
	RequestBytes, ReplyBytes               int
	TotalUs                                float64
	StagesUs                               map[string]float64
	Errors                                 map[string]int
	Traced                                 *int
}

// startTrace begins a trace, and returns what gets its next line.
func startTrace(t *testing.T, broker *ottla.Broker, query string) func() tracedLine {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+broker.AdminAddr()+"/trace?"+query, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { response.Body.Close() })
	if response.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s", query, readBody(t, response))
	}
	lines := bufio.NewScanner(response.Body)
	return func() (line tracedLine) {
		t.Helper()
		if !lines.Scan() {
			t.Fatalf("%s: no more lines: %v", query, lines.Err())
		}
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			t.Fatalf("%v in %q", err, lines.Text())
		}
		return line
	}
}

// TestTrace: the requests of those clients and APIs that were asked for are told, with what they are about, their time by stage and errors.
func TestTrace(t *testing.T) {
	broker, err := ottla.Start(ottla.Config{InMemory: true, Admin: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	defer broker.Close(context.Background())
	other := newClient(t, broker, kgo.ClientID("other"))
	produce(t, other, "t", 0, 1)
	next := startTrace(t, broker, "client=bil*&api=produce&api=Fetch&api=OffsetCommit&api=DeleteGroups&for=30s")
	billing := newClient(t, broker, kgo.ClientID("billing"), kgo.ConsumeTopics("t"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.DisableFetchSessions())
	find := func(api string) tracedLine {
		t.Helper()
		for {
			line := next()
			if line.ClientID != "billing" || !strings.HasPrefix(line.Client, "127.0.0.1:") || !strings.HasPrefix(line.Software, "kgo/") ||
				!slices.Contains([]string{"Produce", "Fetch", "OffsetCommit", "DeleteGroups"}, line.API) {
				t.Errorf("not asked for, or without who it was: %+v", line)
			}
			sum := 0.0
			for _, took := range line.StagesUs {
				sum += took
			}
			if len(line.StagesUs) != 5 || sum < line.TotalUs*0.999 || sum > line.TotalUs*1.001 || line.TotalUs <= 0 || line.RequestBytes < 20 {
				t.Errorf("times do not add up: %+v", line)
			}
			if line.API == api {
				return line
			}
		}
	}
	produce(t, other, "t", 1, 1)
	produce(t, billing, "t", 2, 1)
	line := find("Produce")
	if diff := cmp.Diff([]tracedTopic{{"t", []int32{0}}}, line.Topics); diff != "" || line.Ended != "replied" || line.StagesUs["wait"] <= 0 {
		t.Errorf("a produce with acks=all: %s %+v", diff, line)
	}
	billing.PollFetches(patient(t))
	if line := find("Fetch"); len(line.Topics) != 1 || line.Topics[0].Name != "t" || line.ReplyBytes == 0 {
		t.Errorf("a fetch: %+v", line)
	}
	var offsets kadm.Offsets
	offsets.AddOffset("t", 0, 1, -1)
	if _, err := kadm.NewClient(billing).CommitOffsets(patient(t), "g", offsets); err != nil {
		t.Fatal(err)
	}
	if line := find("OffsetCommit"); !slices.Equal(line.Groups, []string{"g"}) || len(line.Topics) != 1 || line.Topics[0].Name != "t" {
		t.Errorf("a commit: %+v", line)
	}
	if _, err := kadm.NewClient(billing).DeleteGroup(patient(t), "nobody"); err == nil {
		t.Fatal("a group that is not there was deleted")
	}
	if line := find("DeleteGroups"); !slices.Equal(line.Groups, []string{"nobody"}) || line.Errors["GROUP_ID_NOT_FOUND"] != 1 {
		t.Errorf("a refused request: %+v", line)
	}
}

// TestTraceEnds: a trace ends in time with its count, a request that asks for nothing that exists says so, and a closing broker waits for none.
func TestTraceEnds(t *testing.T) {
	broker, err := ottla.Start(ottla.Config{InMemory: true, Admin: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	defer broker.Close(context.Background())
	client := newClient(t, broker)
	next := startTrace(t, broker, "for=300ms")
	produce(t, client, "t", 0, 5)
	lines := 0
	for line := next(); ; line = next() {
		if line.Traced != nil {
			if *line.Traced != lines || lines == 0 {
				t.Errorf("%d lines, and the last says %d", lines, *line.Traced)
			}
			break
		}
		lines++
	}
	for query, want := range map[string]string{
		"api=Prduce": "no API is called Prduce: did you mean Produce?\n",
		"client=%5B": "client=[ is no pattern: * stands for any characters, ? for one, [a-z] for one of them\n",
		"for=always": "for=always: want a time up to 1h0m0s, such as 10s\n",
	} {
		response, err := http.Get("http://" + broker.AdminAddr() + "/trace?" + query)
		if err != nil {
			t.Fatal(err)
		}
		if text := readBody(t, response); response.StatusCode != http.StatusBadRequest || text != want {
			t.Errorf("%s: %d %q, want %q", query, response.StatusCode, text, want)
		}
	}
	startTrace(t, broker, "for=1h")
	client.Close()
	if err := broker.Close(context.Background()); err != nil {
		t.Error(err)
	}
}
