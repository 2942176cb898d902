// Package crash kills brokers and cuts the power under them while foreign, idempotent clients write, and reads back what they were promised.
//
// A power cut is a real file system's: the data directory lies on a loop-mounted ext4 image that is told to go down without flushing its journal
// (FS_IOC_SHUTDOWN, EXT4_GOING_FLAGS_NOLOGFLUSH); mounting it again replays the journal as after a lost supply. What the page cache had not
// written is gone. It models no volatile cache of the device itself.
package crash

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	ioctlShutdown   = 0x8004587d // FS_IOC_SHUTDOWN
	goingNoLogFlush = 2
)

// disk is an ext4 image, mounted.
type disk struct {
	image, mount string
	mounted      bool
}

func newDisk(dir string) (*disk, error) {
	d := &disk{image: filepath.Join(dir, "disk.img"), mount: filepath.Join(dir, "disk")}
	f, err := os.Create(d.image)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(f.Truncate(1<<30), f.Close(), os.Mkdir(d.mount, 0o755)); err != nil {
		return nil, err
	}
	if err := command("mkfs.ext4", "-q", "-F", "-E", "nodiscard", d.image); err != nil {
		return nil, err
	}
	return d, d.up()
}

func command(name string, args ...string) error {
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, out)
	}
	return nil
}

func (d *disk) up() error {
	if err := command("mount", "-o", "loop", d.image, d.mount); err != nil {
		return err
	}
	d.mounted = true
	return nil
}

// powerOff makes every later write to the file system fail and drops what was not on it.
func (d *disk) powerOff() error {
	f, err := os.Open(d.mount)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	flags := uint32(goingNoLogFlush)
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), ioctlShutdown, uintptr(unsafe.Pointer(&flags))); errno != 0 {
		return fmt.Errorf("FS_IOC_SHUTDOWN: %w", errno)
	}
	return nil
}

// down unmounts; a process that has just been killed may hold the mount a moment longer.
func (d *disk) down() error {
	var err error
	for range 200 {
		if !d.mounted {
			return nil
		}
		if err = unix.Unmount(d.mount, 0); err == nil {
			d.mounted = false
			return nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	if lazy := unix.Unmount(d.mount, unix.MNT_DETACH); lazy == nil {
		d.mounted = false
	}
	return fmt.Errorf("umount %s: %w", d.mount, err)
}

// pause stops every thread of a process outside the kernel, as a machine's last instant does: a thread inside a system call (a sync, say) may
// finish that call, but not tell anyone.
func pause(pid int) error {
	if err := unix.Kill(pid, unix.SIGSTOP); err != nil {
		return err
	}
	for range 500 {
		if stopped(pid) {
			return nil
		}
		time.Sleep(200 * time.Microsecond)
	}
	return errors.New("the broker's threads do not stop")
}

func stopped(pid int) bool {
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	if err != nil || len(tasks) == 0 {
		return false
	}
	for _, task := range tasks {
		stat, err := os.ReadFile(task)
		if err != nil {
			continue
		}
		state := stat[strings.LastIndexByte(string(stat), ')')+2]
		if state != 'T' && state != 'D' {
			return false
		}
	}
	return true
}
