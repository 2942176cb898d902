package doctor

import (
	"fmt"
	"time"
)

const (
	openFilesFew  = 8192 // 1,500 log files, one for each connection, and some
	memorySmall   = 256 << 20
	throttledMuch = .05
	swappedMuch   = 64 << 20
	skewMuch      = 3 * time.Second // the Date of HTTP counts seconds
)

// whose names what the limits of the machine were read of.
func (m *Machine) whose() string {
	if m.PID != 0 {
		return fmt.Sprintf("process %d", m.PID)
	}
	return "this shell"
}

// when is one finding if it is true.
func when(found bool, format string, args ...any) []string {
	if !found {
		return nil
	}
	return []string{fmt.Sprintf(format, args...)}
}

var machineChecks = []Check{
	{"open-files", OfMachine, Warning, "The hard limit of open files is below 8,192.", "A broker keeps up to 1,500 log files open, one for each connection, and up to half of the limit for logs with ottla.durability=replicated that wait for a sync; beyond the limit connections are refused.",
		"Raise it: LimitNOFILE=1048576 in a systemd unit, --ulimit nofile=1048576 of a container, nofile in /etc/security/limits.conf.",
		func(f *Facts) []string {
			return when(f.Machine.OpenFilesMax > 0 && f.Machine.OpenFilesMax < openFilesFew, "%s may open %d files", f.Machine.whose(), f.Machine.OpenFilesMax)
		}},
	{"memory-limit-small", OfMachine, Warning, "The control group may use less than 256 MiB.", "A broker idles in tens of MB, and takes more for connections and requests under way; the kernel kills it at the limit.",
		"Give it 512 MiB or more, and set GOMEMLIMIT to nine tenths of that.",
		func(f *Facts) []string {
			return when(f.Machine.MemoryMax > 0 && f.Machine.MemoryMax < memorySmall, "%s may use %s", f.Machine.whose(), size(f.Machine.MemoryMax))
		}},
	{"memory-limit-unknown-to-go", OfMachine, Warning, "The control group has a memory limit, and the broker's GOMEMLIMIT is not below it.",
		"The Go runtime does not know of the limit: it lets garbage grow past it, and the kernel kills the broker.", "Set GOMEMLIMIT to nine tenths of the limit.",
		func(f *Facts) []string {
			if f.Machine.MemoryMax == 0 || f.Machine.PID == 0 || f.Admin == nil || f.Admin.Err != "" {
				return nil
			}
			limit, known := f.Admin.Metrics["go_gc_gomemlimit_bytes"]
			if !known || limit <= float64(f.Machine.MemoryMax) {
				return nil
			}
			set := "not set"
			if limit < 1<<60 {
				set = size(limit)
			}
			return when(true, "the limit is %s, GOMEMLIMIT is %s", size(f.Machine.MemoryMax), set)
		}},
	{"killed-for-memory", OfMachine, Error, "The kernel has killed processes of the control group for want of memory.", "If it was the broker: its clients saw it vanish, and it will happen again.",
		"Raise the memory limit, or set GOMEMLIMIT below it.",
		func(f *Facts) []string {
			return when(f.Machine.OOMKills > 0, "%d kills in the control group of %s", f.Machine.OOMKills, f.Machine.whose())
		}},
	{"cpu-throttled", OfMachine, Warning, "The control group waits for its CPU limit in more than 5 % of its periods.", "A broker that waits up to 100 ms for its turn shows it in every latency.",
		"Raise the CPU limit, or leave it out and use requests or shares only.",
		func(f *Facts) []string {
			return when(f.Machine.Throttled > throttledMuch, "throttled in %.0f %% of the periods, at a limit of %g cores", 100*f.Machine.Throttled, f.Machine.CPUMax)
		}},
	{"cpu-limit-unknown-to-go", OfMachine, Warning, "GOMAXPROCS is more than the cores that the control group may use.", "More threads run at once than the limit lets: they use it up early in each period, and then all wait.",
		"Unset GOMAXPROCS: the Go runtime reads the limit itself.",
		func(f *Facts) []string {
			if f.Machine.CPUMax == 0 || f.Machine.PID == 0 || f.Admin == nil || f.Admin.Err != "" {
				return nil
			}
			procs := f.Admin.Metrics["go_sched_gomaxprocs_threads"]
			return when(procs > max(2, f.Machine.CPUMax+1), "GOMAXPROCS is %.0f, the limit %g cores", procs, f.Machine.CPUMax)
		}},
	{"swapped", OfMachine, Warning, "More than 64 MiB of the broker's memory is swapped out.", "Each page that comes back costs a read from the disk in the middle of a request.",
		"Find what takes the memory, or turn swapping off for the broker (MemorySwapMax=0 in its unit).",
		func(f *Facts) []string {
			return when(f.Machine.SwappedBytes > swappedMuch, "%s of %s", size(f.Machine.SwappedBytes), f.Machine.whose())
		}},
	{"huge-pages", OfMachine, Note, "Transparent huge pages are on for all programs.", "The broker's resident memory may be a few times what it uses: one small object keeps 2 MiB.",
		"echo madvise > /sys/kernel/mm/transparent_hugepage/enabled, if the memory matters.",
		func(f *Facts) []string {
			return when(f.Machine.HugepagesOn, "/sys/kernel/mm/transparent_hugepage/enabled is always")
		}},
	{"clock-free", OfMachine, Warning, "Nothing keeps the clock right (NTP).", "Retention by time, lookups by timestamp and lags in seconds go by clocks of producers and brokers.",
		"Run chronyd or systemd-timesyncd. In a virtual machine or a container, on its host.",
		func(f *Facts) []string {
			return when(f.Machine.ClockKnown && f.Machine.ClockFree, "the kernel says that the clock is not synchronised")
		}},
	{"clock-skew", OfMachine, Warning, "The broker's clock and this machine's differ by more than 3 s.", "Records of producers on the one are too young or too old on the other.",
		"Synchronise both with NTP.",
		func(f *Facts) []string {
			if f.Admin == nil {
				return nil
			}
			return when(f.Admin.Skew.Abs() > skewMuch, "the broker's clock is %v ahead of this machine's (behind, if negative)", f.Admin.Skew.Round(time.Second))
		}},
}
