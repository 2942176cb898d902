package logs

import (
	"strings"
	"testing"
)

func TestLogVerifyAndDumpReadWhatKafkaWrote(t *testing.T) {
	if out := shell.Must(t, "", "log", "verify", "../../../../testdata/kafka-4.3.1"); !strings.Contains(out, " 0 findings") {
		t.Errorf("verify: %s", out)
	}
	if out := shell.Must(t, "", "log", "verify", "-o", "json", "../../../../testdata/kafka-4.3.1"); !strings.HasPrefix(out, `{"kind":"summary","files":`) || !strings.HasSuffix(out, `"findings":0}`+"\n") {
		t.Errorf("verify -o json: %s", out)
	}
	if out := shell.Must(t, "", "log", "stat", "-o", "json", "../../../../testdata/kafka-4.3.1"); strings.Count(out, `{"kind":"partition","path":`) != 4 || strings.Count(out, `{"kind":"directory","path":`) != 1 {
		t.Errorf("stat -o json: %s", out)
	}
	if out := shell.Must(t, "", "log", "dump", "-o", "json", "../../../../testdata/kafka-4.3.1/t-0"); !strings.Contains(out, "{") {
		t.Errorf("dump: %s", out)
	}
}
