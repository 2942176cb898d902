package doctor

import "time"

// Facts is all that a look at one broker found.
type Facts struct {
	Version     string // of the program that looks
	Machine     Machine
	Directories []Directory // data directories that were looked at
	Broker      *Broker     // nil: no broker was asked
	Admin       *Admin      // nil: no admin port was asked
}

// Machine is the machine that the program runs on, and the limits of the broker's process where it runs on it too.
type Machine struct {
	Linux          bool
	PID            int // of the broker's process; 0: not known, and the limits are those of the program that looks
	MemoryBytes    int64
	CPUs           int
	OpenFilesMax   uint64  // hard limit, which a Go program raises itself to; 0: not known
	MemoryMax      int64   // limit of the control group, in bytes; 0: none, or not known
	OOMKills       int64   // processes of the control group that the kernel killed for memory
	CPUMax         float64 // cores that the control group may use; 0: no limit, or not known
	Throttled      float64 // share of scheduling periods in which the control group had to wait for its CPU limit
	HugepagesOn    bool    // transparent huge pages for everybody
	SwappedBytes   int64   // of the broker's process
	ClockKnown     bool
	ClockFree      bool // the kernel says that nothing disciplines the clock
	OtherAddresses int  // addresses of this machine besides loopback
}

// Directory is one data directory, or the place where it would be made.
type Directory struct {
	Path         string
	Absent       bool   // it is not there yet: what follows is about the directory that it would be made in
	Err          string // why it cannot be looked at; "" if it can
	FileSystem   string // ext4, xfs, tmpfs, …; "": not known
	Device       string // what is mounted; "": not known
	Options      []string
	FreeBytes    uint64 // that an ordinary user may take
	TotalBytes   uint64 // 0: not known
	FreeInodes   uint64
	TotalInodes  uint64 // 0: not known, or the file system makes them as they are needed
	WriteThrough bool   // the device says that it has no volatile cache
	Rotating     bool   // the device says that it turns
	Syncs        Syncs
	Mode         uint32 // permission bits
	ForeignFiles int    // entries, down to one level, that belong to another user than the directory
	ForeignFile  string // one of them
	LockedBy     int    // process that holds .lock; 0: nobody, or not known
	Used         bool   // a broker has used it: there is a meta.properties
	CleanStop    bool   // its last broker was stopped properly
	FailedSync   bool   // a sync failed in it
	Strays       []string
	ClusterID    string // of meta.properties
	NodeID       int32  // of meta.properties; -1: not known
}

// Syncs are small writes to a file in the directory, each followed by fdatasync. Appends are what a broker does. Writing the same place again
// asks nothing of the file system, and so tells how long the device itself takes.
type Syncs struct {
	Count  int // appends; 0: not measured
	Median time.Duration
	Max    time.Duration
	Again  time.Duration // median of writing the same place again; 0: not measured
	Err    string        // what a write or a sync failed with
}

// Stranger is what takes connections in place of a broker, by what it answers to a request of Kafka's protocol, to TLS and to HTTP.
type Stranger string

// The strangers. "" is none: a broker answers, or nothing takes a connection.
const (
	SpeaksHTTP  Stranger = "HTTP"
	SpeaksTLS   Stranger = "TLS" // a broker's listener with TLS is one, too
	SpeaksOther Stranger = "other"
	Mute        Stranger = "mute"   // it does not answer in time
	Closes      Stranger = "closes" // it closes the connection without an answer
)

// Broker is what a broker says of itself and its cluster to a client.
type Broker struct {
	Addr      string   // where it was asked
	Asked     bool     // the user named the address
	Err       string   // why it does not answer; "" if it does
	Stranger  Stranger // who answers at Addr in its place
	Loopback  bool     // Addr is a loopback address
	Local     bool     // Addr is an address of this machine
	ClusterID string
	NodeID    int32 // of the broker that answers at Addr; -1: not known
	Members   []Member
	Told      []Told
	Settings  map[string]string // of the broker that answers; nil: not known
	Topics    []Topic
	Dirs      []LogDir
	Groups    int
}

// Member is one broker of the cluster, as clients are told.
type Member struct {
	ID        int32
	Address   string // HOST:PORT
	Wildcard  bool   // no address that anybody could connect to
	Loopback  bool
	Err       string // why it cannot be reached from here; "" if it can
	ClusterID string // of what answers there; "": not known
}

// Told is what a client is told that comes by another address of this machine than the one that was asked.
type Told struct {
	ReachedAt string
	Address   string // that it is told for the broker that it has reached
	Loopback  bool
}

// Topic is a topic of the cluster.
type Topic struct {
	Name           string
	Internal       bool
	Partitions     int
	Replicas       int   // of its first partition
	InSync         []int // in-sync replicas, by partition
	MinInsync      int   // 0: not known
	Leaderless     int   // partitions without a leader
	Under          int   // partitions with fewer in-sync replicas than replicas
	UnderMin       int   // partitions with fewer in-sync replicas than min.insync.replicas
	RetentionMs    int64
	RetentionBytes int64
	Cleanup        string // cleanup.policy; "": settings not known
}

// LogDir is a data directory by the broker's own words.
type LogDir struct {
	Broker int32
	Path   string
	Err    string
	Bytes  int64 // of all partitions
}

// Admin is what a broker's admin port says.
type Admin struct {
	Addr    string
	Asked   bool               // the user named the address
	Err     string             // why it does not answer; "" if it does
	Foreign bool               // something answers there that is no broker of Ottla
	Metrics map[string]float64 // the sum over all labels
	Failing []string           // readiness checks that fail, with their reasons
	Version string
	Skew    time.Duration // the broker's clock minus this machine's, to a second or so; 0: not known
	Uptime  time.Duration // 0: not known
}
