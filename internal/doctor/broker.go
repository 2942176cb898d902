package doctor

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// contactChecks are about whether there is somebody to ask.
var contactChecks = []Check{
	{"no-broker", OfContact, Error, "No broker answers at the address that was named with --addr.", "Nobody can produce or consume there.",
		"Start it ('ottla serve'), or name its address; if it runs, look into its log.",
		func(f *Facts) []string {
			b := f.Broker
			return when(b != nil && b.Err != "" && b.Asked && b.Stranger == "", "%s", brokerErr(b))
		}},
	{"no-broker-yet", OfContact, Note, "No broker answers at the default address.", "Only the machine and the disk were looked at.", "Start one ('ottla serve') or name another with --addr HOST:PORT.",
		func(f *Facts) []string {
			b := f.Broker
			return when(b != nil && b.Err != "" && !b.Asked && b.Stranger == "", "%s", brokerErr(b))
		}},
	{"port-taken", OfContact, Error, "Something else than a Kafka broker answers at the address.", "A broker cannot listen there, and clients that connect there fail.",
		"Find out what it is ('ss -ltnp'), and give the one or the other another port. Name a broker's admin port with --admin.",
		stranger(SpeaksHTTP, SpeaksOther)},
	{"port-tls", OfContact, Error, "What answers at the address speaks TLS.", "Clients that speak no TLS fail there, the commands of ottla among them.",
		"If it is a Kafka broker, name a listener of it without TLS. Else find out what it is ('ss -ltnp'), and give the one or the other another port.",
		stranger(SpeaksTLS)},
	{"port-mute", OfContact, Error, "Something takes connections at the address, and does not answer.", "Clients wait there until their time is over.",
		"A broker that starts does so until its log says that it is ready. One that hangs tells where when it is ended with SIGQUIT. If it is no broker ('ss -ltnp'), give the one or the other another port.",
		stranger(Mute)},
	{"port-closes", OfContact, Error, "Something takes connections at the address, and closes them without an answer.", "Clients fail there, and try again and again.",
		"Look into the broker's log: it may be stopping, or have as many connections as it may. A proxy does so while what it leads to is away. If it is neither ('ss -ltnp'), give the one or the other another port.",
		stranger(Closes)},
	{"no-admin", OfContact, Error, "Nothing answers at the admin address that was named with --admin.", "Metrics, health and readiness are not to be had.", "Name the address that 'ottla serve' printed when it was ready.",
		func(f *Facts) []string {
			a := f.Admin
			return when(a != nil && a.Err != "" && a.Asked && !a.Foreign, "%s", adminErr(a))
		}},
	{"admin-port-taken", OfContact, Warning, "Something else than Ottla's admin port answers at the admin address, or that of another cluster.", "A broker that should listen there does not start.",
		"Name another with --admin, for 'ottla serve' and here.",
		func(f *Facts) []string {
			a := f.Admin
			return when(a != nil && a.Err != "" && a.Foreign, "%s", adminErr(a))
		}},
}

// stranger finds one of several kinds at the broker's address.
func stranger(kinds ...Stranger) func(*Facts) []string {
	return func(f *Facts) []string {
		b := f.Broker
		return when(b != nil && slices.Contains(kinds, b.Stranger), "%s", brokerErr(b))
	}
}

func brokerErr(b *Broker) string {
	if b == nil {
		return ""
	}
	return b.Addr + ": " + b.Err
}

func adminErr(a *Admin) string {
	if a == nil {
		return ""
	}
	return a.Addr + ": " + a.Err
}

// number is a broker's setting as a number.
func (b *Broker) number(setting string) (int64, bool) {
	n, err := strconv.ParseInt(b.Settings[setting], 10, 64)
	return n, err == nil
}

// retention is how long records are kept where a topic does not say; negative is for ever.
func (b *Broker) retention() (time.Duration, bool) {
	for _, s := range []struct {
		name string
		unit time.Duration
	}{{"log.retention.ms", time.Millisecond}, {"log.retention.minutes", time.Minute}, {"log.retention.hours", time.Hour}} {
		if n, ok := b.number(s.name); ok {
			if n > int64(1<<62/s.unit) {
				return -1, true
			}
			return time.Duration(n) * s.unit, true
		}
	}
	return 0, false
}

// members runs fn for every broker that clients are told of.
func members(fn func(b *Broker, m *Member) string) func(*Facts) []string {
	return func(f *Facts) (found []string) {
		for i := range f.Broker.Members {
			if what := fn(f.Broker, &f.Broker.Members[i]); what != "" {
				found = append(found, what)
			}
		}
		return found
	}
}

// topics gathers the topics that fn says something about, in one finding.
func topics(about string, fn func(*Topic) (detail string, found bool)) func(*Facts) []string {
	return func(f *Facts) []string {
		var named []string
		for i := range f.Broker.Topics {
			if detail, found := fn(&f.Broker.Topics[i]); found {
				named = append(named, f.Broker.Topics[i].Name+detail)
			}
		}
		const shown = 5
		more := ""
		if len(named) > shown {
			more = fmt.Sprintf(", and %d more", len(named)-shown)
			named = named[:shown]
		}
		return when(len(named) > 0, "%s: %s%s", about, strings.Join(named, ", "), more)
	}
}

func partitions(n int) (detail string, found bool) {
	if n == 1 {
		return " (1 partition)", true
	}
	return fmt.Sprintf(" (%d partitions)", n), n > 0
}

var brokerChecks = []Check{
	{"advertised-nowhere", OfBroker, Error, "Clients are told an address that nobody can connect to, such as 0.0.0.0.", "A client uses the first address only to ask; records go to the address that it is told.",
		"Start the broker with --advertise HOST:PORT (advertised.listeners), an address that all clients can reach.",
		members(func(_ *Broker, m *Member) string {
			if m.Wildcard {
				return fmt.Sprintf("clients are told %s for broker %d", m.Address, m.ID)
			}
			return ""
		})},
	{"advertised-loopback", OfBroker, Error, "Clients that come from other machines are told a loopback address.", "They connect to their own machine then, and fail or find another broker.",
		"Start the broker with --advertise HOST:PORT (advertised.listeners), an address that all clients can reach.",
		func(f *Facts) (found []string) {
			for _, m := range f.Broker.Members {
				if m.Loopback && !f.Broker.Loopback {
					found = append(found, fmt.Sprintf("clients that ask at %s are told %s for broker %d", f.Broker.Addr, m.Address, m.ID))
				}
			}
			for _, told := range f.Broker.Told {
				if told.Loopback {
					found = append(found, fmt.Sprintf("it listens at %s, too, and tells clients that come there to use %s", told.ReachedAt, told.Address))
				}
			}
			return found
		}},
	{"advertised-unreachable", OfBroker, Error, "An address that clients are told cannot be reached from here.", "Clients on this machine that need that broker fail.",
		"Check the name, the firewall and whether that broker runs; else mend --advertise (advertised.listeners).",
		members(func(_ *Broker, m *Member) string {
			if m.Err != "" && !m.Wildcard {
				return fmt.Sprintf("broker %d at %s: %s", m.ID, m.Address, m.Err)
			}
			return ""
		})},
	{"advertised-other-cluster", OfBroker, Error, "At an address that clients are told, another cluster answers.", "Clients would write to the wrong cluster.", "Mend --advertise (advertised.listeners), or the network's redirection.",
		members(func(b *Broker, m *Member) string {
			if m.ClusterID != "" && m.ClusterID != b.ClusterID {
				return fmt.Sprintf("broker %d at %s is of cluster %s, not %s", m.ID, m.Address, m.ClusterID, b.ClusterID)
			}
			return ""
		})},
	{"loopback-only", OfBroker, Note, "The broker listens on loopback only.", "Clients on other machines cannot reach it. There is no authentication, so that may be what is wanted.",
		"If others should reach it: --listen 0.0.0.0:9092 --advertise HOST:9092, in a network that you trust.",
		func(f *Facts) []string {
			return when(f.Broker.Local && f.Broker.Loopback && len(f.Broker.Told) == 0 && f.Machine.OtherAddresses > 0, "%s answers; the other addresses of this machine do not", f.Broker.Addr)
		}},
	{"log-directory-offline", OfBroker, Error, "A broker has taken a data directory out of use.", "Its partitions are not served. A broker does so when a write or a sync fails.",
		"Look into its log; replace the disk or mend its cause; restart it.",
		func(f *Facts) (found []string) {
			for _, d := range f.Broker.Dirs {
				if d.Err != "" {
					found = append(found, fmt.Sprintf("%s of broker %d: %s", d.Path, d.Broker, d.Err))
				}
			}
			return found
		}},
	{"partitions-offline", OfBroker, Error, "Partitions have no leader.", "They can be neither written nor read.", "Start the brokers that hold them; look into their logs.",
		topics("without a leader", func(t *Topic) (string, bool) { return partitions(t.Leaderless) })},
	{"under-min-isr", OfBroker, Error, "Partitions have fewer in-sync replicas than min.insync.replicas.", "acks=all is refused with NOT_ENOUGH_REPLICAS.", "Start the brokers that are missing, or see why their replicas fall behind.",
		topics("too few in-sync replicas", func(t *Topic) (string, bool) { return partitions(t.UnderMin) })},
	{"under-replicated", OfBroker, Warning, "Partitions have fewer in-sync replicas than replicas.", "One more failure may cost records or the service.", "Start the brokers that are missing, or see why their replicas fall behind.",
		topics("under-replicated", func(t *Topic) (string, bool) { return partitions(t.Under) })},
	{"min-isr-impossible", OfBroker, Error, "min.insync.replicas of a topic is more than it has replicas.", "acks=all can never succeed.", "Lower min.insync.replicas of the topic, or give it more replicas.",
		topics("min.insync.replicas is more than the replicas of", func(t *Topic) (string, bool) {
			return fmt.Sprintf(" (%d of %d)", t.MinInsync, t.Replicas), t.MinInsync > t.Replicas && t.Replicas > 0
		})},
	{"min-isr-default-impossible", OfBroker, Warning, "The broker's min.insync.replicas is more than there are brokers.", "A new topic refuses acks=all from its first record on.", "Lower min.insync.replicas.",
		func(f *Facts) []string {
			n, ok := f.Broker.number("min.insync.replicas")
			return when(ok && n > int64(len(f.Broker.Members)), "min.insync.replicas is %d, and there are %d brokers", n, len(f.Broker.Members))
		}},
	{"ack-before-disk", OfBroker, Warning, "The only copy of a record is acknowledged before it is on disk.", "A power cut loses acknowledged records: there is no other broker that has them.",
		"Set ottla.durability=fsync; on Kafka, run three brokers, or set log.flush.interval.messages=1.",
		func(f *Facts) []string {
			b := f.Broker
			if len(b.Members) != 1 || b.Settings == nil {
				return nil
			}
			if durability, ours := b.Settings["ottla.durability"]; ours {
				return when(durability != "fsync", "ottla.durability is %s, and there is one broker", durability)
			}
			n, ok := b.number("log.flush.interval.messages")
			return when(ok && n != 1, "log.flush.interval.messages is %d, and there is one broker", n)
		}},
	{"one-copy", OfBroker, Warning, "New topics get one replica, although there are more brokers.", "A broker that is lost takes its partitions with it.", "Set default.replication.factor=3 and min.insync.replicas=2.",
		func(f *Facts) []string {
			n, ok := f.Broker.number("default.replication.factor")
			return when(ok && n == 1 && len(f.Broker.Members) > 1, "default.replication.factor is 1, and there are %d brokers", len(f.Broker.Members))
		}},
	{"unclean-election", OfBroker, Warning, "unclean.leader.election.enable is on.", "When all in-sync replicas are lost, one that lags takes over, and acknowledged records are gone.", "Turn it off, unless you prefer service to records.",
		func(f *Facts) []string {
			return when(f.Broker.Settings["unclean.leader.election.enable"] == "true", "unclean.leader.election.enable is true")
		}},
	{"auto-create", OfBroker, Note, "auto.create.topics.enable is on.", "A misspelled topic is made instead of being refused.", "Set auto.create.topics.enable=false once the topics are there.",
		func(f *Facts) []string {
			return when(f.Broker.Settings["auto.create.topics.enable"] == "true", "auto.create.topics.enable is true")
		}},
	{"retention-unlimited", OfBroker, Note, "Topics are kept for ever.", "They grow until the disk is full.", "Set retention.ms or retention.bytes of the topic, or cleanup.policy=compact; or see to the disk.",
		topics("no limit by time or bytes", func(t *Topic) (string, bool) {
			return "", !t.Internal && t.Cleanup == "delete" && t.RetentionMs < 0 && t.RetentionBytes < 0
		})},
	{"retention-fills-disk", OfBroker, Warning, "At the rate at which records came until now, retention keeps more than the disk holds.", "Produce is refused when the disk is nearly full.",
		"Lower retention.ms or retention.bytes, or give it a larger disk.", retentionFillsDisk},
}

// rateAfter is how long a broker must have run for its mean rate to say something.
const rateAfter = time.Minute

func retentionFillsDisk(f *Facts) []string {
	kept, known := f.Broker.retention()
	if bytes, ok := f.Broker.number("log.retention.bytes"); ok && bytes >= 0 {
		return nil // then bytes bound it
	}
	if !known || f.Admin == nil || f.Admin.Err != "" || f.Admin.Uptime < rateAfter || len(f.Broker.Dirs) == 0 {
		return nil
	}
	usable, ok := f.Admin.Metrics["ottla_disk_usable_bytes"]
	if !ok {
		return nil
	}
	perSecond := f.Admin.Metrics["ottla_produced_bytes_total"] / f.Admin.Uptime.Seconds()
	held := 0.
	for _, d := range f.Broker.Dirs {
		held += float64(d.Bytes)
	}
	if perSecond <= 0 {
		return nil
	}
	fullAfter := time.Duration(min(usable/perSecond, 1e9) * float64(time.Second))
	if kept >= 0 && perSecond*kept.Seconds() <= usable+held || kept < 0 && fullAfter > 30*24*time.Hour {
		return nil
	}
	keep := "for ever"
	if kept >= 0 {
		keep = fmt.Sprintf("for %v", kept)
	}
	return when(true, "%s/s came since the broker started, records are kept %s, %s are free: full in %v", size(perSecond), keep, size(usable), fullAfter.Round(time.Minute))
}
