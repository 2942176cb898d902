package checkup

import (
	"encoding/binary"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ottla-io/ottla"
	"github.com/ottla-io/ottla/cmd/ottla/internal/clitest"
	"github.com/ottla-io/ottla/internal/doctor"
)

// listening takes connections until the test ends; nobody answers them.
func listening(t *testing.T) net.Listener {
	t.Helper()
	at, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { at.Close() })
	return at
}

// answering has serve answer what connects, each on a goroutine of its own, until the test ends.
func answering(t *testing.T, at net.Listener, serve func(net.Conn)) net.Listener {
	t.Helper()
	var group sync.WaitGroup
	group.Go(func() {
		for {
			conn, err := at.Accept()
			if err != nil {
				return
			}
			group.Go(func() {
				defer conn.Close()
				serve(conn)
			})
		}
	})
	t.Cleanup(func() {
		at.Close()
		group.Wait()
	})
	return at
}

// httpServer answers every request with 404.
func httpServer(t *testing.T, start func(*httptest.Server)) net.Listener {
	t.Helper()
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	start(server)
	t.Cleanup(server.Close)
	return server.Listener
}

// strangers are what may stand where a broker is expected.
var strangers = []struct {
	name  string
	begin func(*testing.T) net.Listener
	check string // that finds it
	says  string
}{
	{"HTTP", func(t *testing.T) net.Listener { return httpServer(t, (*httptest.Server).Start) }, "port-taken", `an HTTP server answers there ("HTTP/1.0 404 Not Found")`},
	{"HTTPS", func(t *testing.T) net.Listener { return httpServer(t, (*httptest.Server).StartTLS) }, "port-tls", "speaks TLS"},
	{"TLS that only alerts", func(t *testing.T) net.Listener {
		return answering(t, listening(t), func(conn net.Conn) {
			_, _ = conn.Read(make([]byte, 1))
			_, _ = conn.Write([]byte{21, 3, 3, 0, 2, 2, 40}) // fatal, handshake_failure
		})
	}, "port-tls", "speaks TLS"},
	{"banner", func(t *testing.T) net.Listener {
		return answering(t, listening(t), func(conn net.Conn) { _, _ = io.WriteString(conn, "SSH-2.0-x\r\n"); _, _ = io.Copy(io.Discard, conn) })
	}, "port-taken", `does not speak Kafka's protocol (it says "SSH-2.0-x\r\n")`},
	{"an answer to another request", func(t *testing.T) net.Listener {
		return answering(t, listening(t), func(conn net.Conn) {
			_, _ = conn.Write([]byte{0, 0, 0, 10, 1, 2, 3, 4, 0, 0, 0, 0, 0, 0})
			_, _ = io.Copy(io.Discard, conn)
		})
	}, "port-taken", "does not speak Kafka's protocol"},
	{"mute", func(t *testing.T) net.Listener {
		return answering(t, listening(t), func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) })
	}, "port-mute", "does not answer within"},
	// The kernel takes the connection, as for a broker that starts.
	{"not accepted", listening, "port-mute", "does not answer within"},
	{"closes at once", func(t *testing.T) net.Listener { return answering(t, listening(t), func(net.Conn) {}) }, "port-closes", "closes it without an answer"},
	{"closes after the request", func(t *testing.T) net.Listener {
		return answering(t, listening(t), func(conn net.Conn) { _, _ = conn.Read(make([]byte, 1<<10)) })
	}, "port-closes", "closes it without an answer"},
}

// TestDoctorTellsStrangersApart: whatever this program's version is, which every client tells brokers. All at once: the quiet ones take their time.
func TestDoctorTellsStrangersApart(t *testing.T) {
	var group sync.WaitGroup
	for _, version := range []string{"1", "0.0.0-dev", "0.0.0-test", "v2.10.3-rc.1+dirty"} {
		for _, stranger := range strangers {
			flags := doctorFlags{version: version, addr: stranger.begin(t).Addr().String(), addrAsked: true, admin: "none", timeout: 2 * time.Second}
			group.Go(func() {
				b, err := flags.lookAtBroker(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				found := contact(doctor.Examine(&doctor.Facts{Version: version, Broker: b}).Findings)
				if len(found) != 1 || found[0].Check != stranger.check || !strings.Contains(found[0].What, stranger.says) {
					t.Errorf("%s, version %s: %+v, want %s: %s", stranger.name, version, found, stranger.check, stranger.says)
				}
			})
		}
	}
	group.Wait()
}

// contact are the findings about whether there is a broker.
func contact(all []doctor.Finding) []doctor.Finding {
	return slices.DeleteFunc(all, func(f doctor.Finding) bool { return f.Check != "no-broker" && !strings.HasPrefix(f.Check, "port-") })
}

// keysHeard is which requests a broker heard first, by connection.
type keysHeard struct {
	mu    sync.Mutex
	first []string
}

const versionsKey = 18

// inFront stands between a broker and its clients, and hands on requests for as long as pass says so of their key.
func (k *keysHeard) inFront(broker string, pass func(key uint16) bool) func(net.Conn) {
	return func(conn net.Conn) {
		behind, err := net.Dial("tcp", broker)
		if err != nil {
			return
		}
		var group sync.WaitGroup
		group.Go(func() { _, _ = io.Copy(conn, behind) })
		defer group.Wait()
		defer behind.Close()
		for i := 0; ; i++ {
			var head [6]byte // int32 size, int16 key
			if _, err := io.ReadFull(conn, head[:]); err != nil {
				return
			}
			size, key := binary.BigEndian.Uint32(head[:]), binary.BigEndian.Uint16(head[4:])
			if i == 0 {
				k.mu.Lock()
				k.first = append(k.first, fmt.Sprintf("size %d, key %d", min(size, 1<<20), key))
				k.mu.Unlock()
			}
			if size > 1<<20 || !pass(key) {
				return
			}
			if _, err := behind.Write(head[:]); err != nil {
				return
			}
			if _, err := io.CopyN(behind, conn, int64(size)-2); err != nil {
				return
			}
		}
	}
}

// TestDoctorSaysNothingElseToABroker: one that answers ApiVersions hears Kafka's protocol only, also where it answers nothing else.
func TestDoctorSaysNothingElseToABroker(t *testing.T) {
	for _, c := range []struct {
		name string
		pass func(key uint16) bool
		want string // how the finding about contact ends, "" for none
	}{
		{"that answers", func(uint16) bool { return true }, ""},
		{"that wants a login", func(key uint16) bool { return key == versionsKey }, "it may want clients that log in"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var heard keysHeard
			front := listening(t)
			at := front.Addr().String()
			b, dir := clitest.StartOnDisk(t, func(config *ottla.Config) { config.Advertise = at })
			answering(t, front, heard.inFront(b.Addr(), c.pass))
			found := contact(diagnosed(t, 0, "--fail-on", "never", "--addr", at, "--admin", "none", "--data", dir).Findings)
			if none := c.want == ""; none != (len(found) == 0) || !none && (found[0].Check != "no-broker" || !strings.HasSuffix(found[0].What, c.want)) {
				t.Errorf("%+v, want no-broker: %s", found, c.want)
			}
			heard.mu.Lock()
			defer heard.mu.Unlock()
			if len(heard.first) < 2 {
				t.Errorf("only %d connections came", len(heard.first))
			}
			for _, first := range heard.first {
				if !strings.HasSuffix(first, fmt.Sprintf(", key %d", versionsKey)) {
					t.Errorf("a connection began with %s", first)
				}
			}
		})
	}
}
