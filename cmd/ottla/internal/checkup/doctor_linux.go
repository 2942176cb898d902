package checkup

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/ottla-io/ottla/internal/doctor"
)

// Linux says of itself, in /proc and /sys, what 'ottla doctor' wants to know. What cannot be read is left unknown.

// What adjtimex(2) says of a clock that nobody keeps: TIME_ERROR and STA_UNSYNC of <linux/timex.h>.
const (
	timeError           = 5
	clockUnsynchronised = 0x40
)

func syncData(file *os.File) error { return unix.Fdatasync(int(file.Fd())) }

// mountOf finds what is mounted at a path.
func mountOf(path string, d *doctor.Directory) {
	file, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return
	}
	defer file.Close()
	longest := -1
	for lines := bufio.NewScanner(file); lines.Scan(); {
		// ID PARENT MAJOR:MINOR ROOT POINT OPTIONS [OPTIONAL…] - TYPE SOURCE SUPEROPTIONS
		mount, system, ok := strings.Cut(lines.Text(), " - ")
		fields, kind := strings.Fields(mount), strings.Fields(system)
		if !ok || len(fields) < 6 || len(kind) < 3 {
			continue
		}
		point := strings.NewReplacer(`\040`, " ", `\011`, "\t", `\134`, `\`).Replace(fields[4])
		if path != point && !strings.HasPrefix(path, strings.TrimSuffix(point, "/")+"/") || len(point) < longest {
			continue // of two at the same point the later one hides the other
		}
		longest = len(point)
		d.FileSystem, d.Device = kind[0], kind[1]
		d.Options = append(strings.Split(fields[5], ","), strings.Split(kind[2], ",")...)
	}
	deviceOf(d)
}

// deviceOf asks what the device says of its cache and its kind.
func deviceOf(d *doctor.Directory) {
	var stat unix.Stat_t
	if !strings.HasPrefix(d.Device, "/dev/") || unix.Stat(d.Device, &stat) != nil {
		return
	}
	device := fmt.Sprintf("/sys/dev/block/%d:%d", unix.Major(stat.Rdev), unix.Minor(stat.Rdev))
	for _, queue := range []string{device + "/queue", device + "/../queue"} { // a partition has none of its own
		if _, err := os.Stat(queue); err != nil {
			continue
		}
		d.WriteThrough = firstLine(queue+"/write_cache") == "write through"
		d.Rotating = firstLine(queue+"/rotational") == "1" && !strings.HasPrefix(filepath.Base(d.Device), "vd") // virtio says that it turns, whatever it is
		return
	}
}

func firstLine(path string) string {
	content, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	line, _, _ := strings.Cut(string(content), "\n")
	return strings.TrimSpace(line)
}

// lockHolder is the process that holds a lock on the file; 0 if there is none, or it cannot be seen from here.
func lockHolder(path string) int {
	var stat unix.Stat_t
	if unix.Stat(path, &stat) != nil {
		return 0
	}
	device, inode := fmt.Sprintf("%02x:%02x:", unix.Major(stat.Dev), unix.Minor(stat.Dev)), fmt.Sprintf(":%d", stat.Ino)
	file, err := os.Open("/proc/locks")
	if err != nil {
		return 0
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		// N: FLOCK ADVISORY WRITE PID MAJOR:MINOR:INODE START END
		fields := strings.Fields(lines.Text())
		if len(fields) < 6 || !strings.HasSuffix(fields[5], inode) {
			continue
		}
		// Btrfs and overlayfs tell stat of another device than /proc/locks.
		if pid, err := strconv.Atoi(fields[4]); err == nil && pid > 0 && (strings.HasPrefix(fields[5], device) || hasOpen(pid, path)) {
			return pid
		}
	}
	return 0
}

// hasOpen says that a process has a file open, as far as this user may know.
func hasOpen(pid int, path string) bool {
	descriptors := fmt.Sprintf("/proc/%d/fd", pid)
	entries, err := os.ReadDir(descriptors)
	if err != nil {
		return false
	}
	for _, entry := range entries {
		if target, err := os.Readlink(filepath.Join(descriptors, entry.Name())); err == nil && target == path {
			return true
		}
	}
	return false
}

// lookAtMachine gathers what limits the broker's process, or this one if pid is 0.
func lookAtMachine(pid int) doctor.Machine {
	m := doctor.Machine{Linux: true, PID: pid, CPUs: runtime.NumCPU()}
	process := "/proc/self"
	if pid != 0 {
		process = fmt.Sprintf("/proc/%d", pid)
	}
	m.MemoryBytes = 1024 * fieldOf("/proc/meminfo", "MemTotal:")
	m.SwappedBytes = 1024 * fieldOf(process+"/status", "VmSwap:")
	m.OpenFilesMax = openFilesOf(process)
	m.HugepagesOn = strings.Contains(firstLine("/sys/kernel/mm/transparent_hugepage/enabled"), "[always]")
	cgroupOf(process, &m)
	var clock unix.Timex
	if state, err := unix.Adjtimex(&clock); err == nil {
		m.ClockKnown, m.ClockFree = true, state == timeError || clock.Status&clockUnsynchronised != 0
	}
	return m
}

// fieldOf is the number behind a word of a file whose lines begin with words; 0 if it is not there.
func fieldOf(path, word string) int64 {
	file, err := os.Open(path)
	if err != nil {
		return 0
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) > 1 && fields[0] == word {
			n, _ := strconv.ParseInt(fields[1], 10, 64)
			return n
		}
	}
	return 0
}

func openFilesOf(process string) uint64 {
	file, err := os.Open(process + "/limits")
	if err != nil {
		return 0
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if rest, ok := strings.CutPrefix(lines.Text(), "Max open files"); ok { // Max open files SOFT HARD files
			if fields := strings.Fields(rest); len(fields) > 1 {
				n, _ := strconv.ParseUint(fields[1], 10, 64)
				return n
			}
		}
	}
	return 0
}

// cgroupOf finds the tightest limits of the process's control groups, of either version of them.
func cgroupOf(process string, m *doctor.Machine) {
	file, err := os.Open(process + "/cgroup")
	if err != nil {
		return
	}
	defer file.Close()
	const root = "/sys/fs/cgroup"
	for lines := bufio.NewScanner(file); lines.Scan(); {
		fields := strings.SplitN(lines.Text(), ":", 3) // HIERARCHY:CONTROLLERS:PATH
		if len(fields) != 3 {
			continue
		}
		controllers := strings.Split(fields[1], ",")
		switch {
		case fields[1] == "":
			upwards(root, fields[2], func(dir string) {
				limitMemory(m, firstLine(dir+"/memory.max"), fieldOf(dir+"/memory.events", "oom_kill"))
				quota, period, _ := strings.Cut(firstLine(dir+"/cpu.max"), " ")
				limitCPU(m, quota, period, dir+"/cpu.stat")
			})
		case slices.Contains(controllers, "memory"):
			upwards(root+"/memory", fields[2], func(dir string) {
				limitMemory(m, firstLine(dir+"/memory.limit_in_bytes"), fieldOf(dir+"/memory.oom_control", "oom_kill"))
			})
		case slices.Contains(controllers, "cpu"):
			upwards(root+"/cpu", fields[2], func(dir string) {
				limitCPU(m, firstLine(dir+"/cpu.cfs_quota_us"), firstLine(dir+"/cpu.cfs_period_us"), dir+"/cpu.stat")
			})
		}
	}
}

// upwards runs fn for a control group and those above it. In a container, where the path is that of the host, only the root is there.
func upwards(root, path string, fn func(dir string)) {
	for path = filepath.Clean("/" + path); ; path = filepath.Dir(path) {
		if _, err := os.Stat(root + path); err == nil {
			fn(filepath.Clean(root + path))
		}
		if path == "/" {
			return
		}
	}
}

func limitMemory(m *doctor.Machine, limit string, kills int64) {
	bytes, err := strconv.ParseInt(limit, 10, 64)
	if err != nil || m.MemoryBytes > 0 && bytes > m.MemoryBytes { // "max", or version 1's way to say so
		return
	}
	if m.MemoryMax == 0 || bytes < m.MemoryMax {
		m.MemoryMax, m.OOMKills = bytes, kills
	}
}

func limitCPU(m *doctor.Machine, quota, period, stat string) {
	used, err := strconv.ParseFloat(quota, 64)
	each, wrong := strconv.ParseFloat(period, 64)
	if err != nil || wrong != nil || used <= 0 || each <= 0 { // "max" and -1: none
		return
	}
	cores := used / each
	if m.CPUMax == 0 || cores < m.CPUMax {
		m.CPUMax = cores
		if periods := fieldOf(stat, "nr_periods"); periods > 0 {
			m.Throttled = float64(fieldOf(stat, "nr_throttled")) / float64(periods)
		}
	}
}
