package doctor

import "strings"

const openFilesMuch = .8

// metric is one finding if the metric is above zero.
func metric(name, what string) func(*Facts) []string {
	return func(f *Facts) []string {
		value := f.Admin.Metrics[name]
		return when(value > 0, what, value)
	}
}

var adminChecks = []Check{
	{"not-ready", OfAdmin, Error, "The broker says that it is not ready.", "Load balancers and orchestrators take it out of service.", "Do what the reason says; the broker's log has more.",
		func(f *Facts) []string {
			return when(len(f.Admin.Failing) > 0, "%s", strings.Join(f.Admin.Failing, "; "))
		}},
	{"replicas-offline", OfAdmin, Error, "The broker holds partition replicas that it cannot serve.", "They are corrupt, or lie on a failed directory.", "The broker's log says why for each; 'ottla log verify' looks into a stopped broker's files.",
		metric("ottla_partitions_offline", "%.0f partition replicas are offline")},
	{"uncleanable-logs", OfAdmin, Error, "Logs could not be compacted.", "They grow without bound, and so does what a consumer must read of them.", "The broker's log says why for each.",
		metric("ottla_compaction_uncleanable_logs", "%.0f logs are left out by compaction")},
	{"produce-refused", OfAdmin, Error, "Produce is refused because a disk is nearly full.", "Producers get KAFKA_STORAGE_ERROR or wait.", "Delete topics or records, lower retention, or give it a larger disk.",
		func(f *Facts) []string {
			return when(f.Admin.Metrics["ottla_disk_low"] > 0, "%s are left", size(f.Admin.Metrics["ottla_disk_usable_bytes"]))
		}},
	{"coordinators-silent", OfAdmin, Warning, "Coordinators of groups do not answer.", "Members of their groups cannot join or commit.", "Look into the broker's log and at /debug/pprof/goroutine; restart it if it does not recover.",
		metric("ottla_group_coordinators_silent", "%.0f coordinators did not answer in time")},
	{"open-files-used", OfAdmin, Warning, "The broker has more than 80 % of its open files in use.", "Beyond the limit connections are refused, and segments cannot be opened.", "Raise its limit of open files, or have clients use fewer connections.",
		func(f *Facts) []string {
			used, limit := f.Admin.Metrics["process_open_fds"], f.Admin.Metrics["process_max_fds"]
			return when(limit > 0 && used > openFilesMuch*limit, "%.0f of %.0f", used, limit)
		}},
	{"version-differs", OfAdmin, Note, "The broker is of another version than this program.", "What one knows, the other may not.", "Use the same version of both.",
		func(f *Facts) []string {
			return when(f.Admin.Version != "" && f.Admin.Version != f.Version, "the broker is %s, this program %s", f.Admin.Version, f.Version)
		}},
}
