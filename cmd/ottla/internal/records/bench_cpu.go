package records

import (
	"bufio"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// benchCPU is the CPU time that this process has used.
func benchCPU() time.Duration {
	var used unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &used); err != nil {
		return 0
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// machineTicks are the clock ticks that all CPUs of this machine have been busy and idle; 0 and 0 where there is no /proc/stat.
func machineTicks() (busy, idle uint64) {
	file, err := os.Open("/proc/stat")
	if err != nil {
		return 0, 0
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	if !lines.Scan() {
		return 0, 0
	}
	fields := strings.Fields(lines.Text()) // cpu user nice system idle iowait irq softirq steal guest guest_nice
	for i := 1; i < min(len(fields), 9); i++ {
		ticks, err := strconv.ParseUint(fields[i], 10, 64)
		if err != nil {
			return 0, 0
		}
		if i == 4 || i == 5 {
			idle += ticks
		} else {
			busy += ticks
		}
	}
	return busy, idle
}
