package settings

import (
	"strings"
	"testing"

	"github.com/ottla-io/ottla/ottlatest"
)

func TestQuota(t *testing.T) {
	b := ottlatest.Start(t).Addr()
	if got := shell.Must(t, "", "quota", "list", "-o", "json", "-b", b); got != "[]\n" {
		t.Errorf("none: %q", got)
	}
	if got := shell.Must(t, "", "quota", "set", "producer_byte_rate=2e6", "request_percentage=12.5", "--user", "u", "--client-id-default", "-b", b); got != "user=u, client-id=<default> has producer_byte_rate=2000000, request_percentage=12.5 now\n" {
		t.Errorf("set: %q", got)
	}
	shell.Must(t, "", "quota", "set", "connection_creation_rate=5", "--ip", "192.0.2.7", "-b", b)
	want := "FOR                          QUOTA                     LIMIT\n" +
		"ip=192.0.2.7                 connection_creation_rate  5\n" +
		"user=u, client-id=<default>  producer_byte_rate        2000000\n" +
		"user=u, client-id=<default>  request_percentage        12.5\n"
	if got := shell.Must(t, "", "quota", "list", "-b", b); got != want {
		t.Errorf("list:\n%s", got)
	}
	if got := shell.Must(t, "", "quota", "unset", "producer_byte_rate", "--user", "u", "--client-id-default", "-o", "json", "-b", b); strings.Join(strings.Fields(got), "") != `[{"entity":{"client-id":null,"user":"u"},"quotas":{"request_percentage":12.5}}]` {
		t.Errorf("unset: %s", got)
	}
	if got := shell.Must(t, "", "quota", "unset", "request_percentage", "--user", "u", "--client-id-default", "-b", b); got != "user=u, client-id=<default> has no quotas now\n" {
		t.Errorf("unset: %s", got)
	}
	if got := shell.Must(t, "", "quota", "list", "--user", "u", "-o", "json", "-b", b); got != "[]\n" {
		t.Errorf("list of u: %q", got)
	}
	for sentence, args := range map[string][]string{
		"did you mean producer_byte_rate?":          {"set", "producer_byterate=5", "--user", "u"},
		"whose quotas?":                             {"set", "producer_byte_rate=5"},
		"is no KEY=VALUE":                           {"set", "producer_byte_rate", "--user", "u"},
		"is no number":                              {"set", "producer_byte_rate=5MB", "--user", "u"},
		"INVALID_REQUEST: Quota producer_byte_rate": {"set", "producer_byte_rate=0", "--user", "u"},
		"INVALID_REQUEST: Empty user":               {"unset", "producer_byte_rate", "--user", ""},
	} {
		if r := shell.Runs(t, "", append(append([]string{"quota"}, args...), "-b", b)...); r.Code == 0 || !strings.Contains(r.Stderr, sentence) {
			t.Errorf("%v: %+v, want %q", args, r, sentence)
		}
	}
}
