package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ottla-io/ottla/ottlatest"
)

// ownProfiles gives a test an empty place for profiles, and no variables of the one who runs it.
func ownProfiles(t *testing.T) (path string) {
	t.Helper()
	dir := t.TempDir()
	t.Setenv("XDG_CONFIG_HOME", dir)
	for _, variable := range []string{"OTTLA_PROFILE", "OTTLA_BOOTSTRAP", "OTTLA_ADMIN"} {
		t.Setenv(variable, "")
	}
	return filepath.Join(dir, "ottla", "config.yaml")
}

// TestProfilePrecedence: flag, then variable, then profile by flag, by variable, by use; then the default.
func TestProfilePrecedence(t *testing.T) {
	path := ownProfiles(t)
	for _, name := range []string{"one", "two"} {
		must(t, "", "topic", "create", "in-"+name, "-b", startNamed(t, name))
	}
	must(t, "", "profile", "use", "one")
	one := map[string]string{}
	for _, name := range []string{"one", "two"} {
		for line := range strings.Lines(must(t, "", "profile", "show", name)) {
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
		if got := must(t, "", append([]string{"topic", "list"}, c.args...)...); !strings.Contains(got, c.want) {
			t.Errorf("%s %v: %s\nwant %s", c.env, c.args, got, c.want)
		}
	}
	t.Setenv("OTTLA_PROFILE", "")
	t.Setenv("OTTLA_BOOTSTRAP", "")
	if r := ottlaRuns(t, "", "topic", "list", "--profile", "ones"); r.code != 1 || !strings.Contains(r.stderr, "did you mean one?") {
		t.Errorf("%+v", r)
	}
	t.Setenv("OTTLA_PROFILE", "gone")
	must(t, "", "profile", "list")
	must(t, "", "profile", "remove", "one")
	t.Setenv("OTTLA_PROFILE", "")
	if got := must(t, "", "profile", "list", "-o", "json"); strings.Contains(got, `"one"`) || strings.Contains(got, `"current": true`) {
		t.Errorf("after remove: %s", got)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v, want nobody else to read it", info, err)
	}
	if err := os.WriteFile(path, []byte("profiles: {two: {bootstarp: x}}"), 0o600); err != nil {
		t.Fatal(err)
	}
	if r := ottlaRuns(t, "", "topic", "list"); r.code != 1 || !strings.Contains(r.stderr, path) || !strings.Contains(r.stderr, "bootstarp") || strings.Count(r.stderr, "\n") != 1 {
		t.Errorf("%+v", r)
	}
	must(t, "", "version", "-o", "json") // needs no broker, so no profile
}

// startNamed starts a broker and makes a profile of it.
func startNamed(t *testing.T, name string) string {
	t.Helper()
	b := ottlatest.Start(t).Addr()
	must(t, "", "profile", "set", name, "--bootstrap", b)
	return b
}

func TestProfileChanges(t *testing.T) {
	path := ownProfiles(t)
	for _, step := range []struct{ args, want string }{
		{"set p --bootstrap a:1,b:2 --use", "made profile p in " + path + "\n"},
		{"set p --timeout 3s", "changed profile p in " + path + "\n"},
		{"show p", "SETTING    VALUE\nbootstrap  a:1,b:2\nadmin      -\ntimeout    3s\n"},
		{"set p --timeout=", "changed profile p in " + path + "\n"},
		{"list", "   PROFILE  BOOTSTRAP  ADMIN  TIMEOUT\n*  p        a:1,b:2    -      -\n"},
		{"show p -o yaml", "name: p\ncurrent: true\nbootstrap: a:1,b:2\n"},
	} {
		if got := must(t, "", append([]string{"profile"}, strings.Fields(step.args)...)...); got != step.want {
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
		if r := ottlaRuns(t, "", append([]string{"profile"}, strings.Fields(c.args)...)...); r.code != 1 || !strings.Contains(r.stderr, c.want) {
			t.Errorf("profile %s: %+v, want %q", c.args, r, c.want)
		}
	}
}

func TestCompletion(t *testing.T) {
	ownProfiles(t)
	b := startNamed(t, "here")
	must(t, "", "profile", "use", "here")
	must(t, "", "topic", "create", "flights", "orders", "-b", b)
	must(t, "", "group", "reset", "billing", "--to", "latest", "--topic", "orders", "--yes", "-b", b)
	for _, line := range []string{"topic flights retention.ms=86400000 segment.ms=86400000", "broker log.retention.ms=604800000", "broker 1 log.segment.bytes=1073741824", "group billing consumer.session.timeout.ms=50000"} {
		must(t, "", append(append([]string{"config", "set"}, strings.Fields(line)...), "--yes")...)
	}
	complete := func(line string) []string {
		out := must(t, "", append([]string{"__complete"}, strings.Split(line, " ")...)...)
		words := strings.Split(strings.TrimSpace(out), "\n")
		return words[:len(words)-1] // the last is cobra's directive
	}
	for _, c := range []struct {
		line string
		want []string
	}{
		{"topic describe ", []string{"flights", "orders"}},
		{"topic describe flights ", []string{"orders"}},
		{"topic create ", nil},
		{"consume ", []string{"flights", "orders"}},
		{"consume flights ", nil},
		{"group members ", []string{"billing"}},
		{"group reset billing --topic ", []string{"flights", "orders"}},
		{"consume orders --group ", []string{"billing"}},
		{"config get topic ", []string{"flights", "orders"}},
		{"config get group ", []string{"billing"}},
		{"config unset topic flights ", []string{"retention.ms", "segment.ms"}},
		{"config unset topic flights segment.ms ", []string{"retention.ms"}},
		{"config unset topic absent ", nil},
		{"config unset broker ", []string{"log.retention.ms"}},
		{"config unset broker 1 ", []string{"log.segment.bytes"}},
		{"config unset group billing ", []string{"consumer.session.timeout.ms"}},
		{"profile use ", []string{"here"}},
		{"topic list --profile ", []string{"here"}},
		{"topic list -o ", []string{"table", "json", "yaml"}},
		{"topic describe --profile nowhere ", nil},
		{"topic describe -b 127.0.0.1:1 ", nil},
		{"completion ", []string{"bash", "zsh", "fish"}},
	} {
		if got := complete(c.line); !slices.Equal(got, c.want) {
			t.Errorf("%q: %q, want %q", c.line, got, c.want)
		}
	}
	for line, want := range map[string]string{
		"config set topic flights ":        "retention.ms=",
		"config set broker ":               "log.retention.ms=",
		"config set group billing ":        "consumer.session.timeout.ms=",
		"topic create x --config ":         "cleanup.policy=",
		"topic alter flights cleanup.poli": "cleanup.policy=",
	} {
		if got := complete(line); !slices.Contains(got, want) {
			t.Errorf("%q: %q, want %q among them", line, got, want)
		}
	}
	for _, shell := range []string{"bash", "zsh", "fish"} {
		if out := must(t, "", "completion", shell); !strings.Contains(out, "__complete") {
			t.Errorf("%s: %.100s", shell, out)
		}
	}
}
