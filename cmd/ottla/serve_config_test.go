package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestProperties(t *testing.T) {
	const text = "# comment\r\n! comment\n\na=1\nb : 2\nc 3\n  d\t=  4 5 \ne=x,\\\n   y,\\\n  z\n" +
		`f\ g\=h=\u00e4\t\\` + "\nempty\na=last\nend=\\\\\n"
	got, err := properties{}.Unmarshal([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"a": "last", "b": "2", "c": "3", "d": "4 5 ", "e": "x,y,z", "f g=h": "ä\t\\", "empty": "", "end": `\`}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for _, bad := range []string{`a=\u12`, `a=\uxxxx`, `\u0=b`} {
		if _, err := (properties{}).Unmarshal([]byte(bad)); err == nil {
			t.Errorf("%s was read", bad)
		}
	}
}

// watchedText is what a command writes, for a test that waits for a part of it.
type watchedText struct {
	mu    sync.Mutex
	text  string
	wrote chan struct{}
}

func (w *watchedText) Write(p []byte) (int, error) {
	w.mu.Lock()
	w.text += string(p)
	w.mu.Unlock()
	select {
	case w.wrote <- struct{}{}:
	default:
	}
	return len(p), nil
}

// await returns what was written up to the end of the line that holds part, and forgets it.
func (w *watchedText) await(t *testing.T, part string) string {
	t.Helper()
	limit := time.After(30 * time.Second)
	for {
		w.mu.Lock()
		if at := strings.Index(w.text, part); at >= 0 {
			if end := strings.IndexByte(w.text[at:], '\n'); end >= 0 {
				text := w.text[:at+end+1]
				w.text = w.text[at+end+1:]
				w.mu.Unlock()
				return text
			}
		}
		w.mu.Unlock()
		select {
		case <-w.wrote:
		case <-limit:
			t.Fatalf("%q was not said; instead:\n%s", part, w.text)
		}
	}
}

// TestServerPropertiesOfKafka: what Kafka's distribution starts a broker with starts one here, and SIGHUP reads it again.
func TestServerPropertiesOfKafka(t *testing.T) {
	text, err := os.ReadFile("testdata/server.properties")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "server.properties")
	write := func(text string) {
		t.Helper()
		text = strings.NewReplacer("PLAINTEXT://:9092", "PLAINTEXT://127.0.0.1:0", "num.partitions=1", "num.partitions=3",
			"\nadvertised.listeners", "\n#").Replace(text)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	text = []byte(strings.ReplaceAll(string(text), "/tmp/kraft-combined-logs", dir))
	write(string(text))
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	out, log := &watchedText{wrote: make(chan struct{}, 1)}, &watchedText{wrote: make(chan struct{}, 1)}
	exit := make(chan int, 1)
	go func() {
		exit <- shell.Execute(ctx, []string{"serve", "--admin", "none", "--config", path}, strings.NewReader(""), out, log)
	}()
	ready := out.await(t, "ready")
	_, rest, _ := strings.Cut(ready, "kafka ")
	address, _, _ := strings.Cut(rest, ",")
	if !strings.Contains(ready, dir) {
		t.Errorf("%q, want its data in %s", ready, dir)
	}
	if said := log.await(t, "nothing here"); !strings.Contains(said, "num.io.threads") || strings.Contains(said, "log.retention.hours") {
		t.Errorf("what does nothing is called %q", said)
	}
	if out := shell.Must(t, "", "topic", "create", "t", "-b", address); !strings.Contains(out, "3 partitions") {
		t.Errorf("num.partitions=3, and %q", out)
	}
	hangUp := func() {
		if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
	}
	write(string(text) + "log.retention.ms=70000\nlog-level=debug\n")
	hangUp()
	log.await(t, "setting=log.retention.ms value=70000")
	if out := shell.Must(t, "", "config", "get", "broker", "1", "log.retention.ms", "-b", address); !strings.Contains(out, "70000  static broker") {
		t.Errorf("after SIGHUP:\n%s", out)
	}
	write(string(text) + "log.retention.ms=soon\n")
	hangUp()
	log.await(t, "Invalid value soon for configuration log.retention.ms")
	stop()
	if code := <-exit; code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// TestRefusedSettings: what would be weakened in silence is refused, with a sentence.
func TestRefusedSettings(t *testing.T) {
	for _, c := range []struct{ settings, want string }{
		{"listeners=SSL://127.0.0.1:0", "there is no SSL yet"},
		{"listeners=CLIENT://127.0.0.1:0 listener.security.protocol.map=CLIENT:SASL_SSL", "there is no SASL_SSL yet"},
		{"listeners=CLIENT://127.0.0.1:0", "No security protocol defined for listener CLIENT"},
		{"listeners=PLAINTEXT://127.0.0.1:0,OTHER://127.0.0.1:0", "names 2 listeners for clients"},
		{"listeners=127.0.0.1:0", "want NAME://HOST:PORT"},
		{"authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer", "there is no authorization yet"},
		{"super.users=User:admin", "there is no authorization yet"},
		{"listener.name.plaintext.max.connections=3", "no settings of single ones"},
		{"ssl.keystore.password=secret", "setting ssl.keystore.password: there is no TLS yet"},
		{"sasl.enabled.mechanisms=PLAIN", "there is no authentication yet"},
		{"remote.log.storage.system.enable=true", "there is no tiered storage yet"},
		{"create.topic.policy.class.name=com.example.Policy", "classes of Java cannot be loaded"},
		{"config.providers=file", "values are taken as they are written"},
		{"broker.id=7", "You must set `node.id` to the same value as `broker.id`."},
		{"max.connections.per.ip=0", "can be set to zero only if max.connections.per.ip.overrides property is set"},
		{"max.connections.per.ip.overrides=localhost:3", "names are not looked up"},
		{"transaction.max.timeout.ms=0", "Value must be at least 1"},
		{"zookeeper.connect=localhost:2181", "there is no ZooKeeper"},
	} {
		args := []string{"serve", "--data", t.TempDir(), "--admin", "none"}
		for _, setting := range strings.Fields(c.settings) {
			args = append(args, "--set", setting)
		}
		r := shell.Runs(t, "", args...)
		if r.Code != 1 || !strings.Contains(r.Stderr, c.want) || strings.Contains(r.Stderr, "secret") {
			t.Errorf("%s: exit code %d, %q; want %q", c.settings, r.Code, r.Stderr, c.want)
		}
	}
	both := filepath.Join(t.TempDir(), "both.yaml")
	if err := os.WriteFile(both, []byte("listen: 127.0.0.1:0\nlisteners: PLAINTEXT://127.0.0.1:0\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if r := shell.Runs(t, "", "serve", "--config", both); r.Code != 1 || !strings.Contains(r.Stderr, "listen and listeners mean the same") {
		t.Errorf("%+v", r)
	}
}
