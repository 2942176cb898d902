package topics

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/ottla-io/ottla/ottlatest"
)

// TestTopicTrash: what people see of it.
func TestTopicTrash(t *testing.T) {
	b := ottlatest.Start(t, ottlatest.WithSetting("ottla.topic.trash.ms", "3600000")).Addr()
	for i := range 2 {
		shell.Must(t, "", "topic", "create", "t", "-p", fmt.Sprint(i+1), "-b", b)
		shell.Must(t, fmt.Sprintln(i), "produce", "t", "-p", "0", "-b", b)
		if out := shell.Must(t, "", "topic", "delete", "t", "-b", b); !strings.Contains(out, "'ottla topic trash restore t' brings it back until ") {
			t.Errorf("deleted: %q", out)
		}
	}
	var trash []trashedTopic
	if err := json.Unmarshal([]byte(shell.Must(t, "", "topic", "trash", "list", "-o", "json", "-b", b)), &trash); err != nil || len(trash) != 2 || trash[0].Partitions != 1 || trash[1].Bytes == 0 {
		t.Fatalf("trash: %+v, %v", trash, err)
	}
	shell.Must(t, "", "topic", "trash", "restore", "t", "-b", b) // the one that was deleted last
	if r := shell.Runs(t, "", "topic", "trash", "restore", "t", "-b", b); r.Code != 1 || !strings.Contains(r.Stderr, "--as NAME") {
		t.Errorf("under a name that is taken: %+v", r)
	}
	shell.Must(t, "", "topic", "trash", "restore", "t", "--as", "first", "--id", trash[0].ID, "-b", b)
	for topic, want := range map[string]string{"t": "1\n", "first": "0\n"} {
		if got := shell.Must(t, "", "consume", topic, "-b", b); got != want {
			t.Errorf("%s has %q", topic, got)
		}
	}
	shell.Must(t, "", "topic", "delete", "t", "-b", b)
	if out := shell.Must(t, "", "topic", "delete", "first", "--purge", "-b", b); out != "deleted topic first\n" {
		t.Errorf("past the trash: %q", out)
	}
	if out := shell.Must(t, "", "topic", "trash", "purge", "--all", "-b", b); !strings.Contains(out, "nothing was deleted") {
		t.Errorf("a look at it: %q", out)
	}
	shell.Must(t, "", "topic", "trash", "purge", "t", "--yes", "-b", b)
	if r := shell.Runs(t, "", "topic", "trash", "restore", "t", "-b", b); r.Code != 1 || !strings.Contains(r.Stderr, "no topic t is in the trash") {
		t.Errorf("purged: %+v", r)
	}
}
