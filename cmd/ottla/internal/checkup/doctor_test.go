package checkup

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ottla-io/ottla"
	"github.com/ottla-io/ottla/cmd/ottla/internal/clitest"
	"github.com/ottla-io/ottla/internal/doctor"
)

// diagnosed runs the doctor and leaves out what depends on the machine that the test runs on.
func diagnosed(t *testing.T, wantCode int, args ...string) (d diagnosis) {
	t.Helper()
	r := shell.Runs(t, "", append([]string{"doctor", "-o", "json"}, args...)...)
	if r.Code != wantCode {
		t.Errorf("%v: code %d, want %d: %s%s", args, r.Code, wantCode, r.Stdout, r.Stderr)
	}
	if err := json.Unmarshal([]byte(r.Stdout), &d); err != nil {
		t.Fatalf("%v: %v: %s%s", args, err, r.Stdout, r.Stderr)
	}
	return d
}

func (d *diagnosis) finding(check string) *doctor.Finding {
	if i := slices.IndexFunc(d.Findings, func(f doctor.Finding) bool { return f.Check == check }); i >= 0 {
		return &d.Findings[i]
	}
	return nil
}

// TestDoctor: of a real broker on a real disk, all subjects are looked at.
func TestDoctor(t *testing.T) {
	b, dir := clitest.StartOnDisk(t, nil)
	shell.Must(t, "one\n", "produce", "t", "-b", b.Addr())
	shell.Must(t, "", "topic", "create", "kept", "-c", "retention.ms=-1", "-b", b.Addr())
	shell.Must(t, "one\n", "produce", "deleted", "-b", b.Addr())
	shell.Must(t, "", "topic", "delete", "deleted", "-b", b.Addr()) // it lies in the trash, and is no stray
	if trashed, _ := filepath.Glob(filepath.Join(dir, "deleted-0.*-stray")); len(trashed) != 1 {
		t.Errorf("in the trash: %v", trashed)
	}
	d := diagnosed(t, 0, "--fail-on", "never", "--addr", b.Addr(), "--admin", b.AdminAddr())
	if len(d.LeftOut) != 0 || d.Checked != len(doctor.Checks()) {
		t.Errorf("left out: %+v", d.LeftOut)
	}
	text, _ := json.Marshal(d.LookedAt)
	for _, want := range []string{dir, "fdatasync of 4 KiB", b.ClusterID(), "reached from here", "ottla " + clitest.Version, "2 topics"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("no %q in %s", want, text)
		}
	}
	if runtime.GOOS == "linux" && !strings.Contains(string(text), "used by process") {
		t.Errorf("the holder of the lock was not found: %s", text)
	}
	if kept := d.finding("retention-unlimited"); kept == nil || !strings.HasSuffix(kept.What, ": kept") {
		t.Errorf("%+v", kept)
	}
	for _, check := range []string{"data-unreadable", "sync-failed", "advertised-unreachable", "advertised-other-cluster", "advertised-loopback", "ack-before-disk", "locked-elsewhere",
		"other-directory", "unclean-stop", "strays", "foreign-files", "not-ready", "version-differs", "no-admin", "clock-skew"} {
		if found := d.finding(check); found != nil {
			t.Errorf("%+v", found)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".ottla-doctor*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	printed := shell.Must(t, "", "doctor", "--fail-on", "never", "--addr", b.Addr(), "--admin", b.AdminAddr())
	if !strings.Contains(printed, "retention-unlimited: no limit by time or bytes: kept\n  why    They grow") || !strings.Contains(printed, " checks\n") {
		t.Errorf("%s", printed)
	}
}

// TestDoctorOfAnIllBroker: what clients are told is wrong, and acks come before the disk.
func TestDoctorOfAnIllBroker(t *testing.T) {
	taken := httptest.NewServer(http.NotFoundHandler()) // a port that answers, and is no broker's
	defer taken.Close()
	b, dir := clitest.StartOnDisk(t, func(c *ottla.Config) {
		c.Advertise = taken.Listener.Addr().String()
		c.Settings = map[string]string{"ottla.durability": "replicated"}
	})
	if err := os.Mkdir(filepath.Join(dir, "t-0.abc-stray"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	d := diagnosed(t, 1, "--addr", b.Addr(), "--admin", b.AdminAddr(), "--data", dir, "--timeout", "2s")
	if found := d.finding("advertised-unreachable"); found != nil && !strings.Contains(found.What, "an HTTP server answers there") {
		t.Errorf("%+v", found)
	}
	for _, check := range []string{"advertised-unreachable", "ack-before-disk", "strays", "open-to-all"} {
		if d.finding(check) == nil {
			t.Errorf("%s was not found in %+v", check, d.Findings)
		}
	}
}

func TestDoctorWithoutABroker(t *testing.T) {
	b, dir := clitest.StartOnDisk(t, nil)
	addr, admin := b.Addr(), b.AdminAddr()
	if err := b.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, ".kafka_cleanshutdown")); err != nil {
		t.Fatal(err)
	}
	d := diagnosed(t, 1, "--addr", addr, "--admin", admin, "--data", dir, "--data", filepath.Join(dir, "not", "there"))
	for _, check := range []string{"no-broker", "no-admin", "unclean-stop"} {
		if d.finding(check) == nil {
			t.Errorf("%s was not found in %+v", check, d.Findings)
		}
	}
	if text, _ := json.Marshal(d.LookedAt); !strings.Contains(string(text), "not there yet") {
		t.Errorf("%s", text)
	}

	taken := httptest.NewServer(http.NotFoundHandler())
	defer taken.Close()
	d = diagnosed(t, 1, "--addr", taken.Listener.Addr().String(), "--admin", taken.Listener.Addr().String(), "--timeout", "2s")
	for _, check := range []string{"port-taken", "admin-port-taken"} {
		if d.finding(check) == nil {
			t.Errorf("%s was not found in %+v", check, d.Findings)
		}
	}
	file := filepath.Join(dir, "meta.properties")
	d = diagnosed(t, 1, "--addr", addr, "--admin", "none", "--data", file)
	if found := d.finding("data-unreadable"); found == nil || !strings.Contains(found.What, "it is no directory") {
		t.Errorf("%+v", d.Findings)
	}
}

// TestDoctorAsksElsewhere: what clients are told that come by another address.
func TestDoctorAsksElsewhere(t *testing.T) {
	b, _ := clitest.StartOnDisk(t, func(c *ottla.Config) { c.Advertise = "127.0.0.1:1" })
	flags := doctorFlags{version: clitest.Version, timeout: 5 * time.Second}
	_, port, _ := strings.Cut(b.Addr(), ":")
	told := flags.askElsewhere(t.Context(), []string{"127.0.0.1", "127.0.0.77"}, port, 1)
	if len(told) != 1 || told[0] != (doctor.Told{ReachedAt: b.Addr(), Address: "127.0.0.1:1", Loopback: true}) {
		t.Errorf("%+v", told)
	}
}

func TestDoctorRefuses(t *testing.T) {
	for want, args := range map[string][]string{
		"want HOST:PORT":        {"--addr", "nowhere"},
		"want error, warning":   {"--fail-on", "sometimes"},
		"accepts 0 arg":         {"now"},
		"did you mean --admin?": {"--admn", "x"},
	} {
		if r := shell.Runs(t, "", append([]string{"doctor"}, args...)...); r.Code != 1 || !(strings.Contains(r.Stderr, want) || strings.Contains(r.Stderr, "unknown command")) {
			t.Errorf("%v: %+v, want %q", args, r, want)
		}
	}
}
