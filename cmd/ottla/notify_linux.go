package main

import (
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// notifyTimeout bounds how long the broker waits for a service manager that does not take its messages.
const notifyTimeout = time.Second

// notify tells the service manager that started us, where one did, in what state we are: sd_notify(3), one datagram of VARIABLE=value lines
// to the socket that NOTIFY_SOCKET names, a path or, with an @ before it, a name in the abstract namespace. A manager that does not
// listen is a line in the log, and no more: clients can be served without it.
func notify(logger *slog.Logger, state ...string) {
	socket := os.Getenv("NOTIFY_SOCKET")
	if socket == "" {
		return
	}
	if err := sendState(socket, strings.Join(state, "\n")); err != nil {
		logger.Warn("the service manager was not told of the broker's state, and may take it for hung: see NOTIFY_SOCKET", "state", state[0], "error", err)
	}
}

func sendState(socket, text string) error {
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetWriteDeadline(time.Now().Add(notifyTimeout)); err != nil {
		return err
	}
	_, err = conn.Write([]byte(text))
	return err
}

// reloading is the state in which the manager waits for READY=1 again. The time, of the clock that systemd compares with, tells it which of
// its reloads this is.
func reloading() []string {
	state := []string{"RELOADING=1"}
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err == nil {
		state = append(state, fmt.Sprintf("MONOTONIC_USEC=%d", now.Nano()/int64(time.Microsecond)))
	}
	return state
}
