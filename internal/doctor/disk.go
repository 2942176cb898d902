package doctor

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

const (
	fullShare, fullBytes = .03, 512 << 20 // of a disk that is as good as full
	lowShare             = .15
	inodesShare          = .05

	// Below it an fdatasync cannot have reached a disk that says that it has a cache to flush: a round trip to a fast NVMe drive takes 10–20 µs, and its flush more.
	honestSync = 20 * time.Microsecond
	// A disk that turns needs about half a turn: 4 ms at 7,200 rpm, 2 ms at 15,000.
	honestRotatingSync = 500 * time.Microsecond
	slowSync           = 20 * time.Millisecond
	stallSync          = 500 * time.Millisecond
)

// kinds of file systems that are worth a finding.
var (
	inMemory   = []string{"tmpfs", "ramfs", "devtmpfs"}
	containers = []string{"overlay", "overlayfs", "aufs", "unionfs"}
	overWire   = []string{"nfs", "nfs4", "cifs", "smb3", "smbfs", "ceph", "glusterfs", "9p", "afs", "lustre", "beegfs", "ocfs2", "gfs2"}
)

// each runs fn for every directory that can be looked at.
func each(f *Facts, fn func(*Directory) string) (found []string) {
	for i := range f.Directories {
		if d := &f.Directories[i]; d.Err == "" {
			if what := fn(d); what != "" {
				found = append(found, what)
			}
		}
	}
	return found
}

func onKind(kinds []string) func(*Facts) []string {
	return func(f *Facts) []string {
		return each(f, func(d *Directory) string {
			if slices.Contains(kinds, d.FileSystem) {
				return fmt.Sprintf("%s lies on %s", d.Path, d.FileSystem)
			}
			return ""
		})
	}
}

func mounted(options ...string) func(*Facts) []string {
	return func(f *Facts) []string {
		return each(f, func(d *Directory) string {
			for _, option := range options {
				if slices.Contains(d.Options, option) {
					return fmt.Sprintf("%s: %s is mounted with %s", d.Path, d.Device, option)
				}
			}
			return ""
		})
	}
}

func (d *Directory) full() bool {
	return d.TotalBytes > 0 && (float64(d.FreeBytes) < fullShare*float64(d.TotalBytes) || d.FreeBytes < fullBytes)
}

func (d *Directory) space() string {
	return fmt.Sprintf("%s: %s of %s free", d.Path, size(d.FreeBytes), size(d.TotalBytes))
}

// lies says that syncs return sooner than the device can be done.
func (d *Directory) lies() string {
	s := d.Syncs
	if s.Again == 0 || s.Err != "" || d.WriteThrough || slices.Contains(inMemory, d.FileSystem) {
		return ""
	}
	limit := honestSync
	if d.Rotating {
		limit = honestRotatingSync
	}
	if s.Again >= limit {
		return ""
	}
	return fmt.Sprintf("%s: fdatasync of 4 KiB that were written in place took %v in the median, less than %v", d.Path, s.Again.Round(time.Microsecond), limit)
}

var diskChecks = []Check{
	{"data-unreadable", OfDisk, Error, "The data directory cannot be looked at.", "A broker would not be able to use it either, if it runs as this user.",
		"Give the user that runs the broker the right to read and write it, or look as that user.",
		func(f *Facts) (found []string) {
			for _, d := range f.Directories {
				if d.Err != "" {
					found = append(found, fmt.Sprintf("%s: %s", d.Path, d.Err))
				}
			}
			return found
		}},
	{"disk-full", OfDisk, Error, "Less than 3 % or 512 MiB of the data directory's file system is free.", "Produce is refused when the disk is nearly full; a full disk stops the broker.",
		"Delete topics or records, lower retention.ms or retention.bytes, or give it a larger disk.",
		func(f *Facts) []string {
			return each(f, func(d *Directory) string {
				if d.full() {
					return d.space()
				}
				return ""
			})
		}},
	{"disk-low", OfDisk, Warning, "Less than 15 % of the data directory's file system is free.", "Retention frees space only when a segment is old enough; a burst may fill the rest first.",
		"Lower retention.ms or retention.bytes, or give it a larger disk.",
		func(f *Facts) []string {
			return each(f, func(d *Directory) string {
				if !d.full() && d.TotalBytes > 0 && float64(d.FreeBytes) < lowShare*float64(d.TotalBytes) {
					return d.space()
				}
				return ""
			})
		}},
	{"inodes-low", OfDisk, Error, "Less than 5 % of the file system's inodes are free.", "Every segment is a handful of files; without inodes no segment can be rolled, whatever space is left.",
		"Delete files, or make the file system anew with more inodes (mkfs -N), or use XFS.",
		func(f *Facts) []string {
			return each(f, func(d *Directory) string {
				if d.TotalInodes > 0 && float64(d.FreeInodes) < inodesShare*float64(d.TotalInodes) {
					return fmt.Sprintf("%s: %d of %d inodes free", d.Path, d.FreeInodes, d.TotalInodes)
				}
				return ""
			})
		}},
	{"memory-filesystem", OfDisk, Error, "The data directory lies in memory.", "All records are gone when the machine restarts, whatever was acknowledged.",
		"Put the data directory on a disk (--data).", onKind(inMemory)},
	{"container-filesystem", OfDisk, Warning, "The data directory lies in a container's own layer.", "It is gone when the container is, and every first write to a file copies it.",
		"Mount a volume there.", onKind(containers)},
	{"network-filesystem", OfDisk, Warning, "The data directory lies on a file system of another machine.", "What a sync means there, how long it takes and whether locks hold depends on that machine and the network.",
		"Use a local disk, or a block device of the network.", onKind(overWire)},
	{"user-filesystem", OfDisk, Warning, "The data directory lies on a FUSE file system.", "Whether a sync reaches a disk is up to the program behind it.", "Use a local disk.",
		func(f *Facts) []string {
			return each(f, func(d *Directory) string {
				if strings.HasPrefix(d.FileSystem, "fuse") {
					return fmt.Sprintf("%s lies on %s", d.Path, d.FileSystem)
				}
				return ""
			})
		}},
	{"no-barriers", OfDisk, Error, "The file system is mounted without write barriers.", "A power cut loses what the drive had in its cache, although it was acknowledged, and may damage the file system itself.",
		"Mount it without nobarrier or barrier=0.", mounted("nobarrier", "barrier=0")},
	{"data-writeback", OfDisk, Warning, "The file system is mounted with data=writeback.", "After a power cut the tails of files may hold what was on the disk before: it is found and cut off at the start, if it was not synced.",
		"Mount it with data=ordered, the default.", mounted("data=writeback")},
	{"read-only", OfDisk, Error, "The file system is mounted read-only.", "A broker cannot write to it. Linux remounts a file system like that after an error of the disk.",
		"Look into the kernel's log (dmesg), mend the cause, remount.", mounted("ro")},
	{"mounted-sync", OfDisk, Warning, "The file system is mounted with sync.", "Every write waits for the disk, so that a broker cannot gather writes for one sync.",
		"Mount it without sync: a broker syncs what it acknowledges.", mounted("sync")},
	{"sync-failed", OfDisk, Error, "Writing and syncing a small file failed.", "A broker takes a directory out of use when a sync fails: the kernel may have dropped what was not written.",
		"Look into the kernel's log (dmesg); replace the disk or mend its cause.",
		func(f *Facts) []string {
			return each(f, func(d *Directory) string {
				if d.Syncs.Err != "" {
					return fmt.Sprintf("%s: %s", d.Path, d.Syncs.Err)
				}
				return ""
			})
		}},
	{"sync-lies", OfDisk, Warning, "Syncs of data written in place return sooner than the device can have stored it: a median below 20 µs (500 µs if it turns), and the device says that it has a cache.",
		"They may be lying: then an acknowledged record is lost by a power cut. Known liars are hypervisors with cache=unsafe, drives and controllers that drop flushes, and file systems that ignore fdatasync. " +
			"A drive with power-loss protection is that fast and honest.",
		"Find out what lies below; if the drive has power-loss protection, tell the kernel: echo 'write through' > /sys/block/DEVICE/queue/write_cache.",
		func(f *Facts) []string { return each(f, (*Directory).lies) }},
	{"sync-slow", OfDisk, Warning, "The median of small syncs takes more than 20 ms, or one took more than 500 ms.", "A producer with acks=all waits at least that long; a new consumer group's commit does, too.",
		"Look for other load on the disk (iostat -x 1); use a faster disk; ottla.durability=replicated gives up waiting for it.",
		func(f *Facts) []string {
			return each(f, func(d *Directory) string {
				if s := d.Syncs; s.Count > 0 && (s.Median > slowSync || s.Max > stallSync) {
					return fmt.Sprintf("%s: %d fdatasyncs took %v in the median, %v at most", d.Path, s.Count, s.Median.Round(time.Microsecond), s.Max.Round(time.Microsecond))
				}
				return ""
			})
		}},
	{"failed-sync-before", OfDisk, Error, "A sync has failed in this directory.", "What was not synced then was cut off, and the directory stays out of use until its broker restarts.",
		"Look into the broker's and the kernel's log; replace the disk or mend its cause; restart the broker.",
		func(f *Facts) []string {
			return each(f, func(d *Directory) string {
				if d.FailedSync {
					return d.Path + " holds the mark of a failed sync, ottla.failed-sync"
				}
				return ""
			})
		}},
	{"unclean-stop", OfDisk, Note, "The last broker of this directory was not stopped properly.", "The next start looks through what was written since the last checkpoint; nothing that was acknowledged is lost.",
		"Nothing; stop it with SIGTERM to spare the next start the work.",
		func(f *Facts) []string {
			return each(f, func(d *Directory) string {
				if d.Used && d.LockedBy == 0 && !d.CleanStop && !brokerUses(f, d) {
					return d.Path + " has no mark of a clean stop, and no broker uses it"
				}
				return ""
			})
		}},
	{"strays", OfDisk, Warning, "Partitions were set aside in this directory; those in the trash do not count.", "They belong to no topic that the cluster knows. Nobody reads them, and they take space.",
		"Look into them with 'ottla log dump'; delete their directories when they are of no use.",
		func(f *Facts) []string {
			return each(f, func(d *Directory) string {
				if len(d.Strays) > 0 {
					return fmt.Sprintf("%s: %d set aside, such as %s", d.Path, len(d.Strays), d.Strays[0])
				}
				return ""
			})
		}},
	{"foreign-files", OfDisk, Error, "Files in the data directory belong to another user than the directory.", "A broker of the directory's user cannot write them, and may not start. It happens when a broker was run as root once.",
		"chown -R the directory to the user that runs the broker.",
		func(f *Facts) []string {
			return each(f, func(d *Directory) string {
				if d.ForeignFiles > 0 {
					return fmt.Sprintf("%s: %d files, such as %s", d.Path, d.ForeignFiles, d.ForeignFile)
				}
				return ""
			})
		}},
	{"open-to-all", OfDisk, Warning, "Every user of the machine may write to the data directory.", "Anybody can change or delete records.", "chmod o-w it.",
		func(f *Facts) []string {
			return each(f, func(d *Directory) string {
				if !d.Absent && d.Mode&0o002 != 0 {
					return fmt.Sprintf("%s has mode %04o", d.Path, d.Mode)
				}
				return ""
			})
		}},
	{"locked-elsewhere", OfDisk, Warning, "A process uses the data directory, and no broker answers where one was expected.", "It listens elsewhere, is still starting, or hangs; a second broker cannot use the directory.",
		"Look at that process; name its address with --addr.",
		func(f *Facts) []string {
			return each(f, func(d *Directory) string {
				if d.LockedBy != 0 && f.Broker != nil && f.Broker.Err != "" {
					return fmt.Sprintf("process %d holds %s/.lock, and no broker answers at %s", d.LockedBy, d.Path, f.Broker.Addr)
				}
				return ""
			})
		}},
	{"other-directory", OfDisk, Warning, "The data directory belongs to another broker than the one that was asked.", "What is found about the one says nothing about the other.", "Name the right --data, --addr or both.",
		func(f *Facts) []string {
			return each(f, func(d *Directory) string {
				b := f.Broker
				if b == nil || b.Err != "" || d.ClusterID == "" || (d.ClusterID == b.ClusterID && (d.NodeID == b.NodeID || b.NodeID < 0 || d.NodeID < 0)) {
					return ""
				}
				return fmt.Sprintf("%s is of broker %d of cluster %s; at %s answers broker %d of cluster %s", d.Path, d.NodeID, d.ClusterID, b.Addr, b.NodeID, b.ClusterID)
			})
		}},
}

// brokerUses says that the broker that answers has the directory open: its lock may be invisible from here.
func brokerUses(f *Facts, d *Directory) bool {
	return f.Broker != nil && f.Broker.Err == "" && f.Broker.ClusterID == d.ClusterID && f.Broker.NodeID == d.NodeID
}
