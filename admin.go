package ottla

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ottla-io/ottla/internal/admin"
)

// adminCloseTime is how long Close waits for scrapes and profiles that are running.
const adminCloseTime = time.Second

func (b *Broker) startAdmin() error {
	if b.config.Admin == "" {
		return nil
	}
	ours, kafkas := admin.Samples(b.metrics), admin.Samples(b.jmxMetrics)
	collectors := []prometheus.Collector{ours}
	if b.settings.broker.MetricsJMXNames {
		collectors = append(collectors, kafkas)
	}
	server, err := admin.New(admin.Config{
		Env: b.doors.env, Network: b.doors.network, Collectors: collectors, Named: map[string]prometheus.Collector{"ottla": ours, "jmx": kafkas},
		Trace:  b.trace,
		Health: []admin.Check{{Name: "log directories", Run: b.checkDirectories}},
		Ready: []admin.Check{
			{Name: "log directories", Run: b.checkDirectories},
			{Name: "disk space", Run: b.checkSpace},
			{Name: "partitions", Run: b.checkPartitions},
		},
		Failed: func(line string) { b.logger.Warn("admin: " + line) },
	})
	if err != nil {
		return err
	}
	b.admin = server
	b.adminAddr, err = server.Listen(b.config.Admin)
	return err
}

func (b *Broker) checkDirectories() error {
	var failed []error
	for _, dir := range b.store.Directories() {
		if dir.Offline != nil {
			failed = append(failed, fmt.Errorf("%s is offline: %w; replace the disk or mend its cause, then restart", dir.Path, dir.Offline))
		}
	}
	return errors.Join(failed...)
}

func (b *Broker) checkSpace() error {
	if usable, low := b.store.Usable(); low {
		return fmt.Errorf("%d bytes are left, and produce is refused: delete topics or lower retention", usable)
	}
	return nil
}

func (b *Broker) checkPartitions() error {
	if _, _, offline := b.cluster.partitions.Partitions(); offline > 0 {
		return fmt.Errorf("%d partitions cannot be served: the log says why for each", offline)
	}
	return nil
}

func (b *Broker) nodeIDText() string { return strconv.Itoa(int(b.config.NodeID)) }
