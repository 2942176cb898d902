package main

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// serviceManager takes what a broker tells systemd.
type serviceManager struct{ *net.UnixConn }

func listenAsManager(t *testing.T, name string) serviceManager {
	t.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	t.Setenv("NOTIFY_SOCKET", name)
	return serviceManager{conn}
}

// next is the next message, by variables.
func (m serviceManager) next(t *testing.T) map[string]string {
	t.Helper()
	if err := m.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	message := make([]byte, 4096)
	n, err := m.Read(message)
	if err != nil {
		t.Fatal(err)
	}
	state := map[string]string{}
	for line := range strings.SplitSeq(string(message[:n]), "\n") {
		variable, value, _ := strings.Cut(line, "=")
		state[variable] = value
	}
	return state
}

// monotonicUs is the time that systemd compares MONOTONIC_USEC with.
func monotonicUs(t *testing.T) int64 {
	t.Helper()
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		t.Fatal(err)
	}
	return now.Nano() / 1000
}

// TestServiceManager: systemd is told when clients can connect, of each reload, a refused one too, and of the end.
func TestServiceManager(t *testing.T) {
	for kind, name := range map[string]string{
		"path":     filepath.Join(t.TempDir(), "notify"),
		"abstract": "@ottla-test-" + strconv.Itoa(os.Getpid()),
	} {
		t.Run(kind, func(t *testing.T) {
			manager := listenAsManager(t, name)
			file := filepath.Join(t.TempDir(), "ottla.yaml")
			configure := func(text string) {
				t.Helper()
				if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			configure("listen: 127.0.0.1:0\nadmin: none\nlog-level: error\n")
			ctx, stop := context.WithCancel(context.Background())
			defer stop()
			out, log := &watchedText{wrote: make(chan struct{}, 1)}, &watchedText{wrote: make(chan struct{}, 1)}
			exit := make(chan int, 1)
			go func() {
				exit <- shell.Execute(ctx, []string{"serve", "--data", t.TempDir(), "--config", file}, strings.NewReader(""), out, log)
			}()
			started := manager.next(t)
			if started["READY"] != "1" || !strings.HasPrefix(started["STATUS"], "Serving Kafka clients at 127.0.0.1:") {
				t.Fatalf("at start: %q", started)
			}
			_, address, _ := strings.Cut(started["STATUS"], " at ")
			shell.Must(t, "", "topic", "list", "-b", address) // it is ready indeed

			reload := func() (after map[string]string) {
				t.Helper()
				before := monotonicUs(t)
				if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
					t.Fatal(err)
				}
				begun := manager.next(t)
				at, err := strconv.ParseInt(begun["MONOTONIC_USEC"], 10, 64)
				if begun["RELOADING"] != "1" || err != nil || at < before || at > monotonicUs(t) {
					t.Errorf("at SIGHUP, %d: %q", before, begun)
				}
				return manager.next(t)
			}
			if after := reload(); after["READY"] != "1" || after["STATUS"] != started["STATUS"] {
				t.Errorf("after SIGHUP: %q", after)
			}
			configure("num.partitions: many\n")
			if after := reload(); after["READY"] != "1" || !strings.Contains(after["STATUS"], "refused") {
				t.Errorf("after a SIGHUP with a bad file: %q", after)
			}
			stop()
			if ended := manager.next(t); ended["STOPPING"] != "1" {
				t.Errorf("at the end: %q", ended)
			}
			if code := <-exit; code != 0 {
				t.Errorf("exit code %d", code)
			}
		})
	}
}

// TestServiceManagerGone: without a listener at NOTIFY_SOCKET the broker serves, and says so in its log.
func TestServiceManagerGone(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", filepath.Join(t.TempDir(), "nobody"))
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	out, log := &watchedText{wrote: make(chan struct{}, 1)}, &watchedText{wrote: make(chan struct{}, 1)}
	exit := make(chan int, 1)
	go func() {
		exit <- shell.Execute(ctx, []string{"serve", "--data", t.TempDir(), "--listen", "127.0.0.1:0", "--admin", "none"}, strings.NewReader(""), out, log)
	}()
	out.await(t, "ready")
	log.await(t, `state="READY=1"`)
	stop()
	if code := <-exit; code != 0 {
		t.Errorf("exit code %d", code)
	}
}
