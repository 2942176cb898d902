package transport

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ottla-io/ottla/internal/run"
)

// world is one network, real or simulated, with a server's and a client's end.
type world struct {
	env            run.Env
	server, client Network
	address        string // for Listen and Dial, with port 0
}

// inWorlds runs body over TCP, over the simulated network with real goroutines, and in simulations of several seeds.
func inWorlds(t *testing.T, body func(t *testing.T, w world)) {
	t.Run("os", func(t *testing.T) {
		body(t, world{run.OS(), OS(), OS(), "127.0.0.1:0"})
	})
	t.Run("sim network", func(t *testing.T) {
		sim := NewSim(run.OS())
		body(t, world{run.OS(), sim.Host("server"), sim.Host("client"), "10.0.0.1:0"})
	})
	for seed := range uint64(10) {
		t.Run(fmt.Sprint("sim seed ", seed), func(t *testing.T) {
			env := run.NewSim(seed)
			sim := NewSim(env)
			sim.SetDelay(func(string, string) time.Duration {
				var b [1]byte
				env.Random(b[:])
				return time.Duration(b[0]) * time.Microsecond
			})
			env.Run(func() { body(t, world{env, sim.Host("server"), sim.Host("client"), "10.0.0.1:0"}) })
		})
	}
}

// pair connects a client to a server.
func (w world) pair(t *testing.T) (client, server Conn) {
	t.Helper()
	l, err := w.server.Listen(w.address)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	done := w.env.NewSignal()
	w.env.Go("accept", func() {
		server, _ = l.Accept()
		done.Set()
	})
	client, err = w.client.Dial(l.Addr().String(), 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	done.Wait()
	if server == nil {
		t.Fatal("nothing accepted")
	}
	if client.RemoteAddr().String() != server.LocalAddr().String() || client.LocalAddr().String() != server.RemoteAddr().String() {
		t.Errorf("client %v->%v, server %v->%v", client.LocalAddr(), client.RemoteAddr(), server.LocalAddr(), server.RemoteAddr())
	}
	return client, server
}

// both runs one function on a goroutine and another here, and waits for both.
func (w world) both(name string, there, here func()) {
	group := run.NewGroup(w.env)
	group.Go(name, there)
	here()
	group.Close()
}

func pattern(n int) []byte {
	data := make([]byte, n)
	for i := range data {
		data[i] = byte(i*7 + i>>8)
	}
	return data
}

func readAll(t *testing.T, c Conn, want []byte) {
	t.Helper()
	got := make([]byte, len(want))
	for at := 0; at < len(got); {
		n, err := c.Read(got[at:])
		if err != nil {
			t.Errorf("read at byte %d of %d: %v", at, len(got), err)
			return
		}
		at += n
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%d bytes differ from what was sent", len(want))
	}
}

func TestStreamBothWays(t *testing.T) {
	inWorlds(t, func(t *testing.T, w world) {
		client, server := w.pair(t)
		data := pattern(300_000)
		w.both("echo", func() {
			if _, err := server.Write(data[:1]); err != nil {
				t.Error(err)
			}
			readAll(t, server, data)
			if err := server.WriteBuffers([][]byte{data[:10], nil, data[10:200_000], data[200_000:]}); err != nil {
				t.Error(err)
			}
			server.Close()
		}, func() {
			readAll(t, client, data[:1])
			if n, err := client.Write(data); n != len(data) || err != nil {
				t.Errorf("wrote %d, %v", n, err)
			}
			readAll(t, client, data)
			if n, err := client.Read(make([]byte, 10)); n != 0 || err != io.EOF {
				t.Errorf("at the end: %d, %v", n, err)
			}
			client.Close()
		})
	})
}

// file is a source with a descriptor, as vfs's are.
type file struct{ *os.File }

func (f file) Descriptor() (uintptr, bool) { return f.Fd(), true }

func temporaryFile(t *testing.T, data []byte) file {
	t.Helper()
	f, err := os.Create(t.TempDir() + "/data")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	if _, err := f.WriteAt(data, 0); err != nil {
		t.Fatal(err)
	}
	return file{f}
}

func TestSendFile(t *testing.T) {
	data := pattern(3 << 20)
	inWorlds(t, func(t *testing.T, w world) {
		onDisk := temporaryFile(t, data)
		sources := map[string]io.ReaderAt{"descriptor": onDisk, "plain": bytes.NewReader(data)}
		for name, source := range sources {
			for _, size := range []int{0, 1, 16<<10 - 1, 16 << 10, 64 << 10, 3<<20 - 5} {
				for _, headSize := range []int{0, 20, 100_000} {
					client, server := w.pair(t)
					head := pattern(headSize)
					w.both("sender", func() {
						if err := server.SendFile(head, source, 5, int64(size)); err != nil {
							t.Errorf("%s, %d bytes after %d: %v", name, size, headSize, err)
						}
						server.Close()
					}, func() {
						readAll(t, client, append(bytes.Clone(head), data[5:5+size]...))
						if n, err := client.Read(make([]byte, 1)); n != 0 || err != io.EOF {
							t.Errorf("%s: more than was asked for: %d, %v", name, n, err)
						}
						client.Close()
					})
				}
			}
		}
		if at, err := onDisk.Seek(0, io.SeekCurrent); at != 0 || err != nil {
			t.Errorf("the file's own position moved to %d, %v", at, err)
		}
	})
}

func TestSendFileFromShortSource(t *testing.T) {
	inWorlds(t, func(t *testing.T, w world) {
		for name, source := range map[string]io.ReaderAt{
			"descriptor": temporaryFile(t, pattern(40_000)), "plain": bytes.NewReader(pattern(40_000)),
		} {
			client, server := w.pair(t)
			if err := server.SendFile([]byte("head"), source, 1000, 39_001); !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("%s: %v, want an unexpected end", name, err)
			}
			client.Close()
			server.Close()
		}
	})
}

// TestStalledReaderBlocksOnlyUntilDeadline: with nobody reading, each kind of write stops at its deadline.
func TestStalledReaderBlocksOnlyUntilDeadline(t *testing.T) {
	data := pattern(64 << 20)
	inWorlds(t, func(t *testing.T, w world) {
		onDisk := temporaryFile(t, data)
		for name, write := range map[string]func(Conn) error{
			"Write":        func(c Conn) error { _, err := c.Write(data); return err },
			"WriteBuffers": func(c Conn) error { return c.WriteBuffers([][]byte{data, data}) },
			"SendFile":     func(c Conn) error { return c.SendFile([]byte("head"), onDisk, 0, int64(len(data))) },
		} {
			client, server := w.pair(t)
			must(t, server.SetWriteDeadline(w.env.Now().Add(20*time.Millisecond)))
			if err := write(server); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("%s: %v", name, err)
			}
			client.Close()
			server.Close()
		}
	})
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestReadDeadline(t *testing.T) {
	inWorlds(t, func(t *testing.T, w world) {
		client, server := w.pair(t)
		defer server.Close()
		defer client.Close()
		must(t, client.SetReadDeadline(w.env.Now().Add(5*time.Millisecond)))
		if _, err := client.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("Read: %v", err)
		}
		// A deadline set while somebody waits counts for it, and zero takes it away.
		must(t, client.SetReadDeadline(time.Time{}))
		w.both("deadline", func() {
			must(t, client.SetReadDeadline(w.env.Now().Add(time.Millisecond)))
		}, func() {
			if _, err := client.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("Read with a later deadline: %v", err)
			}
		})
		must(t, client.SetReadDeadline(time.Time{}))
		w.both("writer", func() { _, _ = server.Write([]byte("x")) }, func() { readAll(t, client, []byte("x")) })
	})
}

func TestCloseWakes(t *testing.T) {
	inWorlds(t, func(t *testing.T, w world) {
		client, server := w.pair(t)
		defer server.Close()
		w.both("closer", func() { client.Close() }, func() {
			if _, err := client.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
				t.Errorf("Read: %v", err)
			}
		})
		if _, err := client.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Write after Close: %v", err)
		}
		l, err := w.server.Listen(w.address)
		must(t, err)
		w.both("closer", func() { l.Close() }, func() {
			if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
				t.Errorf("Accept: %v", err)
			}
		})
		if _, err := w.client.Dial(l.Addr().String(), time.Second); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("dial to a closed listener: %v", err)
		}
	})
}

// TestWriteToGonePeerFails: sooner or later a write to a connection that the other side closed must fail.
func TestWriteToGonePeerFails(t *testing.T) {
	inWorlds(t, func(t *testing.T, w world) {
		client, server := w.pair(t)
		defer server.Close()
		client.Close()
		must(t, server.SetWriteDeadline(w.env.Now().Add(10*time.Second)))
		var err error
		for err == nil {
			_, err = server.Write(pattern(100_000))
		}
		if !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) {
			t.Errorf("got %v", err)
		}
	})
}

func TestListenTwice(t *testing.T) {
	inWorlds(t, func(t *testing.T, w world) {
		l, err := w.server.Listen(w.address)
		must(t, err)
		defer l.Close()
		if _, err := w.server.Listen(l.Addr().String()); !errors.Is(err, syscall.EADDRINUSE) {
			t.Errorf("second listen: %v", err)
		}
	})
}

func TestStdListenerServesHTTP(t *testing.T) {
	network := OS()
	l, err := network.Listen("127.0.0.1:0")
	must(t, err)
	server := &http.Server{ReadTimeout: 5 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "hello ", r.URL.Path)
	})}
	group := run.NewGroup(run.OS())
	group.Go("http", func() { _ = server.Serve(StdListener(l)) })
	response, err := http.Get("http://" + l.Addr().String() + "/ottla")
	must(t, err)
	body, _ := io.ReadAll(response.Body)
	response.Body.Close()
	if string(body) != "hello /ottla" {
		t.Errorf("got %q", body)
	}
	server.Close()
	group.Close()
}

// echo answers each message of n bytes with write until the connection ends.
func echo(c Conn, n int, write func(Conn, []byte) error) {
	buffer := make([]byte, n)
	for {
		for at := 0; at < n; {
			got, err := c.Read(buffer[at:])
			if err != nil {
				return
			}
			at += got
		}
		if write(c, buffer) != nil {
			return
		}
	}
}

func TestSteadyPathDoesNotAllocate(t *testing.T) {
	w := world{run.OS(), OS(), OS(), "127.0.0.1:0"}
	const n = 32 << 10
	source := temporaryFile(t, pattern(n))
	vector := make([][]byte, 2)
	for name, write := range map[string]func(Conn, []byte) error{
		"Write": func(c Conn, p []byte) error { _, err := c.Write(p); return err },
		"WriteBuffers": func(c Conn, p []byte) error {
			vector[0], vector[1] = p[:100], p[100:]
			return c.WriteBuffers(vector)
		},
		"SendFile": func(c Conn, p []byte) error { return c.SendFile(p[:100], &source, 100, n-100) },
	} {
		client, server := w.pair(t)
		w.both("echo", func() { echo(server, n, write) }, func() {
			message, answer := pattern(n), make([]byte, n)
			round := func() {
				if _, err := client.Write(message); err != nil {
					t.Error(err)
				}
				for at := 0; at < n; {
					got, err := client.Read(answer[at:])
					if err != nil {
						t.Error(err)
						return
					}
					at += got
				}
			}
			round()
			if allocations := testing.AllocsPerRun(200, round); allocations >= 1 {
				t.Errorf("%s: %v allocations a round trip", name, allocations)
			}
			client.Close()
		})
		server.Close()
	}
}

func TestSendFileUsesSendfile(t *testing.T) {
	if !canSendFile {
		t.Skip("no sendfile here")
	}
	w := world{run.OS(), OS(), OS(), "127.0.0.1:0"}
	data := pattern(sendFileMinBytes)
	source := &countingFile{file: temporaryFile(t, data)}
	for _, c := range []struct{ size, reads int }{{sendFileMinBytes, 0}, {sendFileMinBytes - 1, 1}} {
		client, server := w.pair(t)
		source.reads = 0
		must(t, server.SendFile(nil, source, 0, int64(c.size)))
		if source.reads != c.reads {
			t.Errorf("%d bytes: read %d times, want %d", c.size, source.reads, c.reads)
		}
		readAll(t, client, data[:c.size])
		client.Close()
		server.Close()
	}
}

type countingFile struct {
	file
	reads int
}

func (f *countingFile) ReadAt(p []byte, offset int64) (int, error) {
	f.reads++
	return f.file.ReadAt(p, offset)
}

func TestSimAddresses(t *testing.T) {
	sim := NewSim(run.OS())
	a, b := sim.Host("a"), sim.Host("b")
	if sim.Host("a") != a {
		t.Error("a second host a")
	}
	l, err := a.Listen(":9092")
	must(t, err)
	if l.Addr().String() != "10.0.0.1:9092" {
		t.Errorf("address %v", l.Addr())
	}
	for from, address := range map[*SimHost]string{a: "localhost:9092", b: "a:9092"} {
		c, err := from.Dial(address, time.Second)
		if err != nil {
			t.Errorf("dial %s: %v", address, err)
			continue
		}
		c.Close()
	}
	if _, err := b.Dial("localhost:9092", time.Second); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("localhost of b: %v", err)
	}
	if _, err := b.Dial("nowhere:9092", time.Second); err == nil || !strings.Contains(err.Error(), "no such host") {
		t.Errorf("unknown host: %v", err)
	}
	if _, err := b.Listen("10.0.0.1:1"); !errors.Is(err, syscall.EADDRNOTAVAIL) {
		t.Errorf("listen on another's address: %v", err)
	}
}

// inSim connects client to server in a simulation.
func inSim(t *testing.T, body func(env *run.Sim, sim *Sim, client, server Conn)) {
	for seed := range uint64(10) {
		env := run.NewSim(seed)
		sim := NewSim(env)
		env.Run(func() {
			w := world{env, sim.Host("server"), sim.Host("client"), "10.0.0.1:9092"}
			client, server := w.pair(t)
			body(env, sim, client, server)
		})
	}
}

func TestSimDelayAndOrder(t *testing.T) {
	inSim(t, func(env *run.Sim, sim *Sim, client, server Conn) {
		delay := 50 * time.Millisecond
		sim.SetDelay(func(from, _ string) time.Duration {
			if from == "server" {
				return time.Second
			}
			delay -= 10 * time.Millisecond // each write is faster than the one before, and must not overtake it
			return delay
		})
		for i := range 4 {
			_, err := client.Write([]byte{byte(i)})
			must(t, err)
		}
		readAll(t, server, []byte{0, 1, 2, 3})
		if took := env.Monotonic(); took != 40*time.Millisecond {
			t.Errorf("took %v", took)
		}
	})
}

func TestSimOneWayCut(t *testing.T) {
	inSim(t, func(env *run.Sim, sim *Sim, client, server Conn) {
		sim.Cut("client", "server")
		_, err := client.Write([]byte("later"))
		must(t, err)
		must(t, server.SetReadDeadline(env.Now().Add(time.Hour)))
		if _, err := server.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("through the cut: %v", err)
		}
		_, err = server.Write([]byte("back"))
		must(t, err)
		readAll(t, client, []byte("back"))
		began := env.Monotonic()
		if _, err := sim.Host("client").Dial("server:1", time.Minute); !errors.Is(err, os.ErrDeadlineExceeded) || env.Monotonic()-began != time.Minute {
			t.Errorf("dial: %v after %v", err, env.Monotonic()-began)
		}
		must(t, server.SetReadDeadline(time.Time{}))
		sim.Heal("client", "server")
		readAll(t, server, []byte("later"))
	})
}

// TestSimCutHoldsReset: a close with bytes unread resets the peer, but not through a cut.
func TestSimCutHoldsReset(t *testing.T) {
	for _, cut := range []bool{false, true} {
		inSim(t, func(env *run.Sim, sim *Sim, client, server Conn) {
			_, err := client.Write([]byte("unread"))
			must(t, err)
			if cut {
				sim.Cut("server", "client")
			}
			server.Close()
			must(t, client.SetReadDeadline(env.Now().Add(time.Minute)))
			want := error(syscall.ECONNRESET)
			if cut {
				want = os.ErrDeadlineExceeded
			}
			if _, err := client.Read(make([]byte, 1)); !errors.Is(err, want) {
				t.Errorf("cut %v: %v", cut, err)
			}
		})
	}
}

func TestSimBreakAndDown(t *testing.T) {
	inSim(t, func(env *run.Sim, sim *Sim, client, server Conn) {
		if n := sim.Break("server", "client"); n != 1 {
			t.Errorf("broke %d connections", n)
		}
		for _, c := range []Conn{client, server} {
			if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("read: %v", err)
			}
			if _, err := c.Write([]byte("x")); !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("write: %v", err)
			}
		}
		host := sim.Host("server")
		l, err := host.Listen(":1")
		must(t, err)
		second, err := sim.Host("client").Dial("server:1", time.Second)
		must(t, err)
		host.Down()
		if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("accept on a host that is down: %v", err)
		}
		if _, err := second.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("connection to a host that is down: %v", err)
		}
		host.Refuse(true)
		_, err = host.Listen(":1")
		must(t, err)
		if _, err := sim.Host("client").Dial("server:1", time.Second); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("dial to a refusing host: %v", err)
		}
		host.Refuse(false)
		if _, err := sim.Host("client").Dial("server:1", time.Second); err != nil {
			t.Error(err)
		}
	})
}

func TestSimBoundsWhatIsUnread(t *testing.T) {
	inSim(t, func(env *run.Sim, sim *Sim, client, server Conn) {
		must(t, client.SetWriteDeadline(env.Now().Add(time.Second)))
		n, err := client.Write(make([]byte, 1<<20))
		if n != simWindowBytes || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("wrote %d, %v", n, err)
		}
	})
}

func TestSimForgetsClosedConnections(t *testing.T) {
	inSim(t, func(env *run.Sim, sim *Sim, client, server Conn) {
		client.Close()
		server.Close()
		if len(sim.streams) > 0 {
			t.Errorf("%d streams are left of a closed connection", len(sim.streams))
		}
	})
}

func TestSimClockOfHost(t *testing.T) {
	inSim(t, func(env *run.Sim, sim *Sim, client, server Conn) {
		behind := func() time.Time { return env.Now().Add(-time.Hour) }
		sim.Host("client").SetClock(behind)
		must(t, client.SetReadDeadline(behind().Add(time.Minute)))
		began := env.Monotonic()
		if _, err := client.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) || env.Monotonic()-began != time.Minute {
			t.Errorf("%v after %v", err, env.Monotonic()-began)
		}
	})
}

func BenchmarkRoundTrip(b *testing.B) {
	for _, n := range []int{100, 4 << 10, 64 << 10} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			l, err := OS().Listen("127.0.0.1:0")
			if err != nil {
				b.Fatal(err)
			}
			defer l.Close()
			group := run.NewGroup(run.OS())
			group.Go("echo", func() {
				c, err := l.Accept()
				if err != nil {
					return
				}
				defer c.Close()
				echo(c, n, func(c Conn, p []byte) error { _, err := c.Write(p); return err })
			})
			c, err := OS().Dial(l.Addr().String(), time.Second)
			if err != nil {
				b.Fatal(err)
			}
			message := make([]byte, n)
			b.ReportAllocs()
			b.SetBytes(int64(n))
			for b.Loop() {
				if _, err := c.Write(message); err != nil {
					b.Fatal(err)
				}
				for at := 0; at < n; {
					got, err := c.Read(message[at:])
					if err != nil {
						b.Fatal(err)
					}
					at += got
				}
			}
			c.Close()
			group.Close()
		})
	}
}

// BenchmarkSendFile compares sendfile with the copy through a buffer, which sendFileMinBytes chooses between.
func BenchmarkSendFile(b *testing.B) {
	for _, n := range []int{4 << 10, 16 << 10, 64 << 10, 1 << 20} {
		for _, kind := range []string{"sendfile", "copy"} {
			b.Run(fmt.Sprint(kind, "/", n), func(b *testing.B) { benchmarkSendFile(b, n, kind == "copy") })
		}
	}
}

func benchmarkSendFile(b *testing.B, n int, byCopy bool) {
	f, err := os.Create(b.TempDir() + "/data")
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(pattern(n), 0); err != nil {
		b.Fatal(err)
	}
	l, err := OS().Listen("127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	group := run.NewGroup(run.OS())
	group.Go("sink", func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		buffer := make([]byte, 256<<10)
		for {
			if _, err := c.Read(buffer); err != nil {
				return
			}
		}
	})
	c, err := OS().Dial(l.Addr().String(), time.Second)
	if err != nil {
		b.Fatal(err)
	}
	own := c.(*osConn)
	head := make([]byte, 50)
	b.ReportAllocs()
	b.SetBytes(int64(n))
	for b.Loop() {
		if byCopy {
			err = copyFile(own.TCPConn, own.network.buffers, head, f, 0, int64(n))
		} else {
			err = own.sendFile(head, f, f.Fd(), 0, int64(n))
		}
		if err != nil {
			b.Fatal(err)
		}
	}
	c.Close()
	group.Close()
}
