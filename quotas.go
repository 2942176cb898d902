package ottla

import (
	"time"

	"github.com/ottla-io/ottla/internal/admin"
	"github.com/ottla-io/ottla/internal/api"
	"github.com/ottla-io/ottla/internal/config"
	"github.com/ottla-io/ottla/internal/metadata"
	"github.com/ottla-io/ottla/internal/quota"
	"github.com/ottla-io/ottla/internal/run"
)

func newQuotas(env run.Env, c config.Quota) *api.Quotas {
	return api.NewQuotas(env, quota.Windows{Count: c.Windows, SizeMs: int64(c.WindowSeconds) * 1000},
		quota.Windows{Count: c.ControllerWindows, SizeMs: int64(c.ControllerWindowSeconds) * 1000})
}

// limitsOf are the quotas of the cluster, ready to be asked.
func limitsOf(image *metadata.Image) *quota.Limits {
	limits := quota.NewLimits()
	for _, entity := range image.QuotaEntities() {
		for key, value := range image.Quotas(entity) {
			limits.Add(entity, key, value)
		}
	}
	return limits
}

// reportedClients bounds the series of throttled clients of one kind of quota: their names come from the network.
const reportedClients = 100

func (b *Broker) quotaMetrics(gauge, total func(name, help string, value float64, labels ...admin.Label)) {
	for kind := range quota.Kinds {
		key := admin.Label{Name: "quota", Value: kind.Key()}
		throttled, more, remembered := b.cluster.quotas.Report(kind, reportedClients)
		gauge("quota_clients", "Users, client ids, both, or addresses, whose use is counted against a quota.", float64(remembered), key)
		gauge("quota_throttled_unreported", "Throttled clients without metrics of their own, because there are more than a hundred.", float64(more), key)
		for _, one := range throttled {
			labels := []admin.Label{key, {Name: "user", Value: one.Who.User}, {Name: "client_id", Value: one.Who.ClientID}, {Name: "ip", Value: one.Who.IP}}
			total("quota_throttles_total", "Requests, and connections of an address, that were throttled.", float64(one.Throttles), labels...)
			total("quota_throttle_seconds_total", "Time for which a client was told to be quiet.", (time.Duration(one.ThrottledMs) * time.Millisecond).Seconds(), labels...)
			gauge("quota_limit", "Quota of a client that was throttled, at its last use.", one.Limit, labels...)
			gauge("quota_used", "What it uses of that, a second; of controller_mutation_rate the tokens that it has left.", one.Used, labels...)
		}
	}
}
