package doctor

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// healthy is a broker, its disk and its machine, of which there is nothing to say.
func healthy() *Facts {
	return &Facts{
		Version: "1.0",
		Machine: Machine{Linux: true, PID: 7, MemoryBytes: 8 << 30, CPUs: 4, OpenFilesMax: 1 << 20, MemoryMax: 1 << 30, CPUMax: 4, Throttled: .01, SwappedBytes: 1 << 20,
			ClockKnown: true, OtherAddresses: 1},
		Directories: []Directory{{Path: "/d", FileSystem: "ext4", Device: "/dev/sda1", Options: []string{"rw", "relatime"}, FreeBytes: 50 << 30, TotalBytes: 100 << 30,
			FreeInodes: 1e6, TotalInodes: 2e6, Syncs: Syncs{Count: 50, Median: time.Millisecond, Max: 5 * time.Millisecond, Again: time.Millisecond}, Mode: 0o755, LockedBy: 7, Used: true,
			ClusterID: "C", NodeID: 1}},
		Broker: &Broker{Addr: "10.0.0.1:9092", Local: true, ClusterID: "C", NodeID: 1, Members: []Member{{ID: 1, Address: "10.0.0.1:9092", ClusterID: "C"}},
			Settings: map[string]string{"ottla.durability": "fsync", "log.retention.hours": "168", "min.insync.replicas": "1", "default.replication.factor": "1"},
			Topics:   []Topic{{Name: "t", Partitions: 3, Replicas: 1, MinInsync: 1, RetentionMs: 1000, RetentionBytes: -1, Cleanup: "delete"}},
			Dirs:     []LogDir{{Broker: 1, Path: "/d", Bytes: 1 << 30}}},
		Admin: &Admin{Addr: "10.0.0.1:9642", Version: "1.0", Skew: time.Second, Uptime: time.Hour, Metrics: map[string]float64{"go_gc_gomemlimit_bytes": 900 << 20,
			"go_sched_gomaxprocs_threads": 4, "process_open_fds": 100, "process_max_fds": 1 << 20, "ottla_disk_usable_bytes": 50e9, "ottla_produced_bytes_total": 36e6}},
	}
}

func TestNothingToSay(t *testing.T) {
	report := Examine(healthy())
	if len(report.Findings) != 0 || len(report.LeftOut) != 0 || report.Checked != len(Checks()) {
		t.Errorf("%+v", report)
	}
}

// met has somebody else at the broker's address, which was named or not.
func met(s Stranger, asked bool) func(f *Facts) {
	return func(f *Facts) { f.Broker.Err, f.Broker.Stranger, f.Broker.Asked = "no Kafka", s, asked }
}

// cases change what is in order, and say what must be found then; names with a "!" must not be.
var cases = []struct {
	change func(f *Facts)
	want   string // NAME: PART OF WHAT, or !NAME
}{
	{func(f *Facts) { f.Directories[0].Err = "permission denied" }, "data-unreadable: /d: permission denied"},
	{func(f *Facts) { f.Directories[0].FreeBytes = 2 << 30 }, "disk-full: 2.1 GB of 107.4 GB free"},
	{func(f *Facts) { f.Directories[0].FreeBytes = 2 << 30 }, "!disk-low"},
	{func(f *Facts) { f.Directories[0].FreeBytes, f.Directories[0].TotalBytes = 400<<20, 1<<30 }, "disk-full: 419.4 MB"},
	{func(f *Facts) { f.Directories[0].FreeBytes = 10 << 30 }, "disk-low: 10.7 GB"},
	{func(f *Facts) { f.Directories[0].FreeInodes = 10 }, "inodes-low: 10 of 2000000"},
	{func(f *Facts) { f.Directories[0].FreeInodes, f.Directories[0].TotalInodes = 0, 0 }, "!inodes-low"},
	{func(f *Facts) { f.Directories[0].FileSystem = "tmpfs" }, "memory-filesystem: /d lies on tmpfs"},
	{func(f *Facts) { f.Directories[0].FileSystem = "overlay" }, "container-filesystem: overlay"},
	{func(f *Facts) { f.Directories[0].FileSystem = "nfs4" }, "network-filesystem: nfs4"},
	{func(f *Facts) { f.Directories[0].FileSystem = "fuse.sshfs" }, "user-filesystem: fuse.sshfs"},
	{func(f *Facts) { f.Directories[0].Options = []string{"rw", "nobarrier"} }, "no-barriers: /dev/sda1 is mounted with nobarrier"},
	{func(f *Facts) { f.Directories[0].Options = []string{"rw", "barrier=0"} }, "no-barriers: barrier=0"},
	{func(f *Facts) { f.Directories[0].Options = []string{"rw", "data=writeback"} }, "data-writeback: data=writeback"},
	{func(f *Facts) { f.Directories[0].Options = []string{"ro"} }, "read-only: ro"},
	{func(f *Facts) { f.Directories[0].Options = []string{"rw", "sync"} }, "mounted-sync: sync"},
	{func(f *Facts) { f.Directories[0].Syncs = Syncs{Err: "sync 4 KiB: input/output error"} }, "sync-failed: input/output error"},
	{func(f *Facts) { f.Directories[0].Syncs.Again = 5 * time.Microsecond }, "sync-lies: took 5µs in the median, less than 20µs"},
	{func(f *Facts) { f.Directories[0].Syncs.Again = 50 * time.Microsecond }, "!sync-lies"},
	{func(f *Facts) { f.Directories[0].Syncs.Again, f.Directories[0].Rotating = 50*time.Microsecond, true }, "sync-lies: 500µs"},
	{func(f *Facts) {
		f.Directories[0].Syncs.Again, f.Directories[0].WriteThrough = 5*time.Microsecond, true
	}, "!sync-lies"},
	{func(f *Facts) { f.Directories[0].Syncs.Again, f.Directories[0].FileSystem = 1, "tmpfs" }, "!sync-lies"},
	{func(f *Facts) { f.Directories[0].Syncs.Median = 30 * time.Millisecond }, "sync-slow: 30ms in the median"},
	{func(f *Facts) { f.Directories[0].Syncs.Max = time.Second }, "sync-slow: 1s at most"},
	{func(f *Facts) { f.Directories[0].FailedSync = true }, "failed-sync-before: ottla.failed-sync"},
	{func(f *Facts) { f.Directories[0].LockedBy, f.Broker = 0, nil }, "unclean-stop: /d has no mark"},
	{func(f *Facts) { f.Directories[0].LockedBy = 0 }, "!unclean-stop"}, // its broker answers
	{func(f *Facts) { f.Directories[0].LockedBy, f.Directories[0].CleanStop, f.Broker = 0, true, nil }, "!unclean-stop"},
	{func(f *Facts) { f.Directories[0].Strays = []string{"t-0.x-stray"} }, "strays: 1 set aside, such as t-0.x-stray"},
	{func(f *Facts) { f.Directories[0].ForeignFiles, f.Directories[0].ForeignFile = 3, "/d/t-0" }, "foreign-files: 3 files, such as /d/t-0"},
	{func(f *Facts) { f.Directories[0].Mode = 0o777 }, "open-to-all: 0777"},
	{func(f *Facts) { f.Directories[0].Mode, f.Directories[0].Absent = 0o1777, true }, "!open-to-all"},
	{func(f *Facts) { f.Broker.Err = "connection refused" }, "locked-elsewhere: process 7 holds /d/.lock"},
	{func(f *Facts) { f.Directories[0].ClusterID = "D" }, "other-directory: /d is of broker 1 of cluster D"},
	{func(f *Facts) { f.Directories[0].NodeID = 2 }, "other-directory: broker 2"},
	{func(f *Facts) { f.Directories[0].NodeID = -1 }, "!other-directory"},

	{func(f *Facts) { f.Machine.OpenFilesMax = 1024 }, "open-files: process 7 may open 1024 files"},
	{func(f *Facts) { f.Machine.OpenFilesMax, f.Machine.PID = 1024, 0 }, "open-files: this shell may open"},
	{func(f *Facts) { f.Machine.MemoryMax = 100 << 20 }, "memory-limit-small: 104.9 MB"},
	{func(f *Facts) { f.Admin.Metrics["go_gc_gomemlimit_bytes"] = 1 << 63 }, "memory-limit-unknown-to-go: the limit is 1.1 GB, GOMEMLIMIT is not set"},
	{func(f *Facts) { f.Admin.Metrics["go_gc_gomemlimit_bytes"] = 2 << 30 }, "memory-limit-unknown-to-go: GOMEMLIMIT is 2.1 GB"},
	{func(f *Facts) { f.Admin.Metrics["go_gc_gomemlimit_bytes"], f.Machine.MemoryMax = 1<<63, 0 }, "!memory-limit-unknown-to-go"},
	{func(f *Facts) { f.Machine.OOMKills = 2 }, "killed-for-memory: 2 kills"},
	{func(f *Facts) { f.Machine.Throttled, f.Machine.CPUMax = .2, 1.5 }, "cpu-throttled: 20 % of the periods, at a limit of 1.5 cores"},
	{func(f *Facts) { f.Admin.Metrics["go_sched_gomaxprocs_threads"] = 64 }, "cpu-limit-unknown-to-go: GOMAXPROCS is 64"},
	{func(f *Facts) { f.Admin.Metrics["go_sched_gomaxprocs_threads"], f.Machine.CPUMax = 2, .5 }, "!cpu-limit-unknown-to-go"}, // Go's own minimum
	{func(f *Facts) { f.Machine.SwappedBytes = 1 << 30 }, "swapped: 1.1 GB of process 7"},
	{func(f *Facts) { f.Machine.HugepagesOn = true }, "huge-pages: always"},
	{func(f *Facts) { f.Machine.ClockFree = true }, "clock-free: not synchronised"},
	{func(f *Facts) { f.Machine.ClockFree, f.Machine.ClockKnown = true, false }, "!clock-free"},
	{func(f *Facts) { f.Admin.Skew = -time.Minute }, "clock-skew: -1m0s"},

	{func(f *Facts) { f.Broker.Err, f.Broker.Asked = "connection refused", true }, "no-broker: 10.0.0.1:9092: connection refused"},
	{func(f *Facts) { f.Broker.Err = "connection refused" }, "no-broker-yet: connection refused"},
	{func(f *Facts) { f.Broker.Err, f.Broker.Asked = "connection refused", true }, "!no-broker-yet"},
	{met(SpeaksHTTP, false), "port-taken: 10.0.0.1:9092: no Kafka"},
	{met(SpeaksOther, false), "port-taken: 10.0.0.1:9092: no Kafka"},
	{met(SpeaksOther, true), "!no-broker"},
	{met(SpeaksTLS, true), "port-tls: 10.0.0.1:9092: no Kafka"},
	{met(SpeaksTLS, true), "!port-taken"},
	{met(Mute, true), "port-mute: 10.0.0.1:9092: no Kafka"},
	{met(Mute, true), "locked-elsewhere: process 7 holds /d/.lock"},
	{met(Closes, true), "port-closes: 10.0.0.1:9092: no Kafka"},
	{met(Closes, false), "!no-broker-yet"},
	{func(f *Facts) { f.Admin.Err, f.Admin.Asked = "connection refused", true }, "no-admin: 10.0.0.1:9642: connection refused"},
	{func(f *Facts) { f.Admin.Err, f.Admin.Foreign = "it has metrics, and none of Ottla's", true }, "admin-port-taken: none of Ottla's"},

	{func(f *Facts) { f.Broker.Members[0].Wildcard, f.Broker.Members[0].Address = true, "0.0.0.0:9092" }, "advertised-nowhere: clients are told 0.0.0.0:9092 for broker 1"},
	{func(f *Facts) { f.Broker.Members[0].Loopback, f.Broker.Members[0].Address = true, "127.0.0.1:9092" }, "advertised-loopback: ask at 10.0.0.1:9092 are told 127.0.0.1:9092"},
	{func(f *Facts) { f.Broker.Members[0].Loopback, f.Broker.Loopback = true, true }, "!advertised-loopback"},
	{func(f *Facts) {
		f.Broker.Loopback, f.Broker.Members[0].Loopback = true, true
		f.Broker.Told = []Told{{ReachedAt: "10.0.0.1:9092", Address: "127.0.0.1:9092", Loopback: true}}
	}, "advertised-loopback: it listens at 10.0.0.1:9092, too, and tells clients that come there to use 127.0.0.1:9092"},
	{func(f *Facts) { f.Broker.Members[0].Err = "no such host" }, "advertised-unreachable: broker 1 at 10.0.0.1:9092: no such host"},
	{func(f *Facts) { f.Broker.Members[0].ClusterID = "D" }, "advertised-other-cluster: is of cluster D, not C"},
	{func(f *Facts) { f.Broker.Loopback, f.Broker.Members[0].Loopback = true, true }, "loopback-only: the other addresses of this machine do not"},
	{func(f *Facts) { f.Broker.Loopback, f.Machine.OtherAddresses = true, 0 }, "!loopback-only"},
	{func(f *Facts) { f.Broker.Dirs[0].Err = "KAFKA_STORAGE_ERROR" }, "log-directory-offline: /d of broker 1: KAFKA_STORAGE_ERROR"},
	{func(f *Facts) { f.Broker.Topics[0].Leaderless = 1 }, "partitions-offline: without a leader: t (1 partition)"},
	{func(f *Facts) {
		for range 7 {
			f.Broker.Topics = append(f.Broker.Topics, Topic{Name: "u", Leaderless: 2})
		}
	}, "partitions-offline: u (2 partitions), and 2 more"},
	{func(f *Facts) { f.Broker.Topics[0].UnderMin = 2 }, "under-min-isr: t (2 partitions)"},
	{func(f *Facts) { f.Broker.Topics[0].Under = 2 }, "under-replicated: t (2 partitions)"},
	{func(f *Facts) { f.Broker.Topics[0].MinInsync = 2 }, "min-isr-impossible: t (2 of 1)"},
	{func(f *Facts) { f.Broker.Settings["min.insync.replicas"] = "2" }, "min-isr-default-impossible: is 2, and there are 1 brokers"},
	{func(f *Facts) { f.Broker.Settings["ottla.durability"] = "replicated" }, "ack-before-disk: ottla.durability is replicated"},
	{func(f *Facts) {
		f.Broker.Settings = map[string]string{"log.flush.interval.messages": "9223372036854775807"}
	}, "ack-before-disk: log.flush.interval.messages is 9223372036854775807"},
	{func(f *Facts) { f.Broker.Settings = map[string]string{"log.flush.interval.messages": "1"} }, "!ack-before-disk"},
	{func(f *Facts) { f.Broker.Settings = nil }, "!ack-before-disk"},
	{func(f *Facts) { f.Broker.Members = append(f.Broker.Members, Member{ID: 2, ClusterID: "C"}) }, "one-copy: there are 2 brokers"},
	{func(f *Facts) { f.Broker.Settings["unclean.leader.election.enable"] = "true" }, "unclean-election: is true"},
	{func(f *Facts) { f.Broker.Settings["auto.create.topics.enable"] = "true" }, "auto-create: is true"},
	{func(f *Facts) { f.Broker.Topics[0].RetentionMs = -1 }, "retention-unlimited: no limit by time or bytes: t"},
	{func(f *Facts) { f.Broker.Topics[0].RetentionMs, f.Broker.Topics[0].Cleanup = -1, "compact" }, "!retention-unlimited"},
	{func(f *Facts) { f.Broker.Topics[0].RetentionMs, f.Broker.Topics[0].Internal = -1, true }, "!retention-unlimited"},
	{func(f *Facts) { f.Admin.Metrics["ottla_produced_bytes_total"] = 3600e6 }, "retention-fills-disk: 1.0 MB/s came since the broker started, records are kept for 168h0m0s, 50.0 GB are free: full in 13h53m"},
	{func(f *Facts) {
		f.Admin.Metrics["ottla_produced_bytes_total"], f.Broker.Settings["log.retention.ms"] = 3600e6, "-1"
	}, "retention-fills-disk: kept for ever"},
	{func(f *Facts) {
		f.Admin.Metrics["ottla_produced_bytes_total"], f.Broker.Settings["log.retention.bytes"] = 3600e6, "1000"
	}, "!retention-fills-disk"},
	{func(f *Facts) {
		f.Admin.Metrics["ottla_produced_bytes_total"], f.Broker.Settings["log.retention.minutes"] = 3600e6, "60"
	}, "!retention-fills-disk"},

	{func(f *Facts) { f.Admin.Failing = []string{"partitions: 2 partitions cannot be served"} }, "not-ready: 2 partitions cannot be served"},
	{func(f *Facts) { f.Admin.Metrics["ottla_partitions_offline"] = 2 }, "replicas-offline: 2 partition replicas"},
	{func(f *Facts) { f.Admin.Metrics["ottla_compaction_uncleanable_logs"] = 1 }, "uncleanable-logs: 1 logs"},
	{func(f *Facts) { f.Admin.Metrics["ottla_disk_low"] = 1 }, "produce-refused: 50.0 GB are left"},
	{func(f *Facts) { f.Admin.Metrics["ottla_group_coordinators_silent"] = 1 }, "coordinators-silent: 1 coordinators"},
	{func(f *Facts) { f.Admin.Metrics["process_open_fds"] = 1e6 }, "open-files-used: 1000000 of 1048576"},
	{func(f *Facts) { f.Admin.Version = "0.9" }, "version-differs: the broker is 0.9, this program 1.0"},
}

func TestEveryCheckFinds(t *testing.T) {
	found := map[string]bool{}
	for _, c := range cases {
		facts := healthy()
		c.change(facts)
		report := Examine(facts)
		name, part, _ := strings.Cut(c.want, ": ")
		name, absent := strings.CutPrefix(name, "!")
		at := slices.IndexFunc(report.Findings, func(f Finding) bool { return f.Check == name && strings.Contains(f.What, part) })
		if absent != (at < 0) {
			t.Errorf("want %q, got %+v", c.want, report.Findings)
		}
		if !slices.ContainsFunc(Checks(), func(check Check) bool { return check.Name == name }) {
			t.Errorf("%q: there is no check of that name", c.want)
		}
		if !absent {
			found[name] = true
		}
	}
	for _, check := range Checks() {
		if !found[check.Name] {
			t.Errorf("no case shows what %s finds", check.Name)
		}
	}
}

// TestTableIsWhole: every check says all that a finding must say.
func TestTableIsWhole(t *testing.T) {
	names := map[string]bool{}
	for _, check := range Checks() {
		if names[check.Name] {
			t.Errorf("%s is there twice", check.Name)
		}
		names[check.Name] = true
		for _, text := range []string{check.When, check.Why, check.Do} {
			if !strings.HasSuffix(text, ".") {
				t.Errorf("%s: %q is no sentence", check.Name, text)
			}
		}
		if check.Severity.rank() < 0 || check.Subject == "" {
			t.Errorf("%+v", check)
		}
	}
}

// TestWhatIsNotKnown: facts that nobody gathered are no findings, and what could not be looked at is said.
func TestWhatIsNotKnown(t *testing.T) {
	report := Examine(&Facts{})
	if len(report.Findings) != 0 {
		t.Errorf("%+v", report.Findings)
	}
	var subjects []Subject
	left := 0
	for _, l := range report.LeftOut {
		subjects = append(subjects, l.Subject)
		left += l.Checks
	}
	if !reflect.DeepEqual(subjects, []Subject{OfDisk, OfBroker, OfAdmin}) || left+report.Checked != len(Checks()) {
		t.Errorf("%+v", report)
	}
	facts := &Facts{Directories: []Directory{{}}, Broker: &Broker{}, Admin: &Admin{}}
	if report := Examine(facts); report.Errors != 0 || report.Warnings != 0 || report.Checked != len(Checks()) {
		t.Errorf("of zero values: %+v", report.Findings)
	}
}

func TestWorstFirst(t *testing.T) {
	facts := healthy()
	facts.Machine.HugepagesOn, facts.Machine.ClockFree, facts.Directories[0].FileSystem = true, true, "tmpfs"
	report := Examine(facts)
	text, err := json.Marshal(report)
	if err != nil || report.Errors != 1 || report.Warnings != 1 || report.Notes != 1 || report.Findings[0].Severity != Error || report.Findings[2].Severity != Note {
		t.Errorf("%s, %v", text, err)
	}
	if !strings.HasPrefix(string(text), `{"findings":[{"check":"memory-filesystem","severity":"error","what":"/d lies on tmpfs","why":`) || !strings.Contains(string(text), `"leftOut":[]`) {
		t.Errorf("%s", text)
	}
}
