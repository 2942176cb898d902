package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// usage is what /proc says a process has used since its start.
type usage struct {
	cpu        time.Duration
	minFaults  int64
	readCalls  int64 // read-like and write-like system calls, sockets included; waits, syncs and futexes are not among them
	writeCalls int64
	switches   int64 // context switches of all threads
	allocs     int64 // heap objects that were allocated; of Ottla only
	rssMB      float64
	peakMB     float64
}

// clockTick is the unit of /proc/PID/stat: USER_HZ, 100 on every Linux that Go knows.
const clockTick = 10 * time.Millisecond

func usageOf(pid int) (usage, error) {
	var u usage
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return u, err
	}
	// Fields count from after the command's closing parenthesis: state is the first of them, field 3 of proc(5).
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	field := func(n int) int64 { v, _ := strconv.ParseInt(fields[n-3], 10, 64); return v }
	u.minFaults = field(10)
	u.cpu = time.Duration(field(14)+field(15)) * clockTick
	u.readCalls, u.writeCalls = int64(lineValue(pid, "io", "syscr:")), int64(lineValue(pid, "io", "syscw:"))
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	for _, task := range tasks {
		u.switches += int64(valueIn(task, "voluntary_ctxt_switches:") + valueIn(task, "nonvoluntary_ctxt_switches:"))
	}
	u.rssMB, u.peakMB = lineValue(pid, "status", "VmRSS:")/1024, lineValue(pid, "status", "VmHWM:")/1024
	return u, nil
}

// settle waits, for half a minute at the most, until a process has used no more than 4 % of a core for a quarter of a second: what preparing gave it to do in the
// background, such as syncing thousands of new files, is no part of what is measured then.
func settle(pid int) error {
	last, err := usageOf(pid)
	for range 120 {
		if err != nil {
			return err
		}
		time.Sleep(250 * time.Millisecond)
		var now usage
		if now, err = usageOf(pid); err == nil && now.cpu-last.cpu <= 10*time.Millisecond {
			return nil
		}
		last = now
	}
	return err
}

func lineValue(pid int, file, key string) float64 {
	return valueIn(fmt.Sprintf("/proc/%d/%s", pid, file), key)
}

// valueIn is the number after a key at the begin of a line, 0 if there is none.
func valueIn(path, key string) float64 {
	data, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(data)) {
		if rest, ok := strings.CutPrefix(line, key); ok {
			v, _ := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			return v
		}
	}
	return 0
}
