package cli_test

import (
	"os"
	"strings"
	"testing"

	"github.com/ottla-io/ottla/cmd/ottla/internal/clitest"
	"github.com/ottla-io/ottla/ottlatest"
)

// TestProfilePrecedence: flag, then variable, then profile by flag, by variable, by use; then the default.
func TestProfilePrecedence(t *testing.T) {
	path := clitest.OwnProfiles(t)
	for _, name := range []string{"one", "two"} {
		shell.Must(t, "", "topic", "create", "in-"+name, "-b", startNamed(t, name))
	}
	shell.Must(t, "", "profile", "use", "one")
	one := map[string]string{}
	for _, name := range []string{"one", "two"} {
		for line := range strings.Lines(shell.Must(t, "", "profile", "show", name)) {
			if fields := strings.Fields(line); fields[0] == "bootstrap" {
				one[name] = fields[1]
			}
		}
	}
	for _, c := range []struct {
		env  string // OTTLA_PROFILE OTTLA_BOOTSTRAP
		args []string
		want string
	}{
		{",", nil, "in-one"},
		{"two,", nil, "in-two"},
		{"two,", []string{"--profile", "one"}, "in-one"},
		{"," + one["two"], nil, "in-two"},
		{"two," + one["one"], []string{"--profile", "two"}, "in-one"},
		{"two,127.0.0.1:1", []string{"-b", one["one"]}, "in-one"},
	} {
		name, address, _ := strings.Cut(c.env, ",")
		t.Setenv("OTTLA_PROFILE", name)
		t.Setenv("OTTLA_BOOTSTRAP", address)
		if got := shell.Must(t, "", append([]string{"topic", "list"}, c.args...)...); !strings.Contains(got, c.want) {
			t.Errorf("%s %v: %s\nwant %s", c.env, c.args, got, c.want)
		}
	}
	t.Setenv("OTTLA_PROFILE", "")
	t.Setenv("OTTLA_BOOTSTRAP", "")
	if r := shell.Runs(t, "", "topic", "list", "--profile", "ones"); r.Code != 1 || !strings.Contains(r.Stderr, "did you mean one?") {
		t.Errorf("%+v", r)
	}
	t.Setenv("OTTLA_PROFILE", "gone")
	shell.Must(t, "", "profile", "list")
	shell.Must(t, "", "profile", "remove", "one")
	t.Setenv("OTTLA_PROFILE", "")
	if got := shell.Must(t, "", "profile", "list", "-o", "json"); strings.Contains(got, `"one"`) || strings.Contains(got, `"current": true`) {
		t.Errorf("after remove: %s", got)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v, want nobody else to read it", info, err)
	}
	if err := os.WriteFile(path, []byte("profiles: {two: {bootstarp: x}}"), 0o600); err != nil {
		t.Fatal(err)
	}
	if r := shell.Runs(t, "", "topic", "list"); r.Code != 1 || !strings.Contains(r.Stderr, path) || !strings.Contains(r.Stderr, "bootstarp") || strings.Count(r.Stderr, "\n") != 1 {
		t.Errorf("%+v", r)
	}
	shell.Must(t, "", "config", "explain", "retention.ms", "-o", "json") // needs no broker, so no profile
}

// startNamed starts a broker and makes a profile of it.
func startNamed(t *testing.T, name string) string {
	t.Helper()
	b := ottlatest.Start(t).Addr()
	shell.Must(t, "", "profile", "set", name, "--bootstrap", b)
	return b
}

func TestProfileChanges(t *testing.T) {
	path := clitest.OwnProfiles(t)
	for _, step := range []struct{ args, want string }{
		{"set p --bootstrap a:1,b:2 --use", "made profile p in " + path + "\n"},
		{"set p --timeout 3s", "changed profile p in " + path + "\n"},
		{"show p", "SETTING    VALUE\nbootstrap  a:1,b:2\nadmin      -\ntimeout    3s\n"},
		{"set p --timeout=", "changed profile p in " + path + "\n"},
		{"list", "   PROFILE  BOOTSTRAP  ADMIN  TIMEOUT\n*  p        a:1,b:2    -      -\n"},
		{"show p -o yaml", "name: p\ncurrent: true\nbootstrap: a:1,b:2\n"},
	} {
		if got := shell.Must(t, "", append([]string{"profile"}, strings.Fields(step.args)...)...); got != step.want {
			t.Errorf("profile %s:\n%s\nwant\n%s", step.args, got, step.want)
		}
	}
	for _, c := range []struct{ args, want string }{
		{"set p", "at least one of the flags"},
		{"set p --timeout soon", "want a duration"},
		{"use q", "no profile q"},
		{"show q", "ottla profile set q"},
		{"remove q", "no profile q"},
	} {
		if r := shell.Runs(t, "", append([]string{"profile"}, strings.Fields(c.args)...)...); r.Code != 1 || !strings.Contains(r.Stderr, c.want) {
			t.Errorf("profile %s: %+v, want %q", c.args, r, c.want)
		}
	}
}
