package topics

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/ottla-io/ottla/ottlatest"
)

func TestTopics(t *testing.T) {
	b := ottlatest.Start(t).Addr()
	shell.Must(t, "", "topic", "create", "a", "b", "-p", "2", "-c", "retention.ms=1234567", "-b", b)
	var listed []listedTopic
	if err := json.Unmarshal([]byte(shell.Must(t, "", "topic", "list", "-o", "json", "-b", b)), &listed); err != nil {
		t.Fatal(err)
	}
	if len(listed) != 2 || listed[0].Topic != "a" || listed[0].Partitions != 2 || len(listed[0].ID) != 22 {
		t.Fatalf("%+v", listed)
	}
	if out := shell.Must(t, "", "topic", "describe", "a", "-b", b); !strings.Contains(out, "retention.ms=1234567") || !strings.Contains(out, listed[0].ID) {
		t.Errorf("describe:\n%s", out)
	}
	shell.Must(t, "", "topic", "create", "a", "--if-not-exists", "-b", b)
	shell.Must(t, "", "topic", "delete", "a", "b", "-b", b)
	if out := shell.Must(t, "", "topic", "list", "-b", b); strings.Contains(out, "a ") {
		t.Errorf("after delete:\n%s", out)
	}
}
