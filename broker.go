package ottla

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ottla-io/ottla/internal/admin"
	"github.com/ottla-io/ottla/internal/api"
	"github.com/ottla-io/ottla/internal/config"
	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/inspect"
	"github.com/ottla-io/ottla/internal/machine"
	"github.com/ottla-io/ottla/internal/machine/controller"
	"github.com/ottla-io/ottla/internal/replication"
	"github.com/ottla-io/ottla/internal/run"
	"github.com/ottla-io/ottla/internal/server"
	"github.com/ottla-io/ottla/internal/storage"
	"github.com/ottla-io/ottla/internal/telemetry"
	"github.com/ottla-io/ottla/internal/transport"
	"github.com/ottla-io/ottla/internal/vfs"
	"github.com/ottla-io/ottla/internal/wire"
)

// listenerName is the one listener's, as Kafka names it.
const listenerName = "PLAINTEXT"

// Broker is one running broker.
type Broker struct {
	config     Config
	settings   settings
	doors      doors
	logger     *slog.Logger
	store      *storage.Store
	cluster    *cluster
	known      atomic.Pointer[cluster] // the same, once the broker is registered
	runtime    *machine.Runtime[*controller.Controller]
	controller *controllerGate
	table      *api.Table
	server     *server.Server
	admin      *admin.Server
	audit      *auditor
	unread     unreadTimes
	flushes    flushes

	// For metrics by Kafka's names.
	recent, recentFlushes recentLatency
	addr                  string
	adminAddr             string

	reloading sync.Mutex // one Reload at a time
	closeOnce sync.Once
	closeErr  error
}

// doors are what connects the broker to the machine that it runs on.
type doors struct {
	env     run.Env
	disk    vfs.FS
	network transport.Network
}

// Start runs a broker until Close. It returns when clients can connect, or with one sentence that says why it cannot run.
func Start(config Config) (*Broker, error) {
	machine := doors{env: run.OS(), disk: vfs.OS(), network: transport.OS()}
	if config.InMemory {
		var seed [8]byte
		machine.env.Random(seed[:])
		machine.disk = vfs.NewMem(uint64(seed[0])<<8 | uint64(seed[1]))
	}
	return startWith(config, machine)
}

// startWith runs a broker on the doors that it is given, which may be simulated. The admin server is the exception: it always needs real
// sockets, so Config.Admin must be empty where the network is a simulated one.
func startWith(config Config, doors doors) (*Broker, error) {
	settings, err := config.resolve()
	if err != nil {
		return nil, err
	}
	b := &Broker{config: config, settings: settings, logger: config.Logger, doors: doors}
	if b.logger == nil {
		b.logger = slog.New(slog.DiscardHandler)
	}
	if len(settings.inert) > 0 {
		names := make([]string, len(settings.inert))
		for i, setting := range settings.inert {
			names[i] = setting.Name
		}
		b.logger.Warn("these settings mean something to Kafka and nothing here", "settings", names)
	}
	if err := b.start(); err != nil {
		b.abandon()
		return nil, err
	}
	return b, nil
}

// start builds the broker from the disk up; each step needs the ones before it.
func (b *Broker) start() error {
	if err := b.openStorage(); err != nil {
		return err
	}
	if err := b.startAudit(); err != nil {
		return err
	}
	// The port is bound before the metadata says where clients find us, and served when all is ready.
	if err := b.openServer(); err != nil {
		return err
	}
	if err := b.startController(); err != nil {
		return err
	}
	if err := b.cluster.quarantineStrays(); err != nil {
		return fmt.Errorf("set aside partitions that the metadata does not know: %w", err)
	}
	b.cluster.groups.begin()
	if err := b.startAdmin(); err != nil {
		return err
	}
	return b.server.Serve()
}

func (b *Broker) openStorage() error {
	s := b.settings.broker
	if err := b.lookBeforeTakingOver(); err != nil {
		return err
	}
	events := storageEvents(b.logger, &b.flushes)
	said := events.DirectoryOffline
	events.DirectoryOffline = func(dir string, err error, marked bool) {
		said(dir, err, marked)
		if known := b.known.Load(); known != nil {
			known.loseDirectories()
		}
	}
	events.TrashInTheWay = b.trashInTheWay
	reserve := reserveBytes(b.doors.disk, b.settings.allDirs())
	reserveFile := min(reserve/4, 4<<20)
	if b.config.InMemory { // nobody else fills that disk
		reserveFile = 0
	}
	store, err := storage.Open(storage.Config{
		FS: b.doors.disk, Env: b.doors.env, Dirs: b.settings.dirs, MetadataDir: b.settings.metadataDir, NodeID: ids.BrokerID(b.config.NodeID),
		FlushLingerMs: flushLinger(s.FlushLingerMs), CheckpointMs: min(max(s.RecoveryCheckpointIntervalMs, 1), mostCheckpointMs), RetentionCheckMs: s.RetentionCheckIntervalMs, ProducerExpirationMs: s.ProducerIDExpirationMs,
		MaxUnsyncedLogs: vfs.FileLimit() / 2 / len(b.settings.allDirs()), // the other half is for connections and what is read
		ReserveBytes:    reserve, ReserveFileBytes: reserveFile, TrashFreeBytes: s.TrashMinFreeBytes, Cleaner: cleanerConfig(s.Cleaner), Events: events,
	})
	if err != nil {
		return err
	}
	b.store = store
	dataEvents := replicationEvents(b.doors.env, b.logger)
	dataEvents.Moved = func(tp ids.TopicPartition, topic ids.TopicID, dir ids.DirectoryID) { b.cluster.moved(tp, topic, dir) }
	partitions := replication.New(replication.Config{Self: ids.BrokerID(b.config.NodeID), Env: b.doors.env, Store: store, Events: dataEvents})
	b.cluster = &cluster{self: ids.BrokerID(b.config.NodeID), partitions: partitions, store: store, logger: b.logger,
		telemetry: telemetry.New(telemetry.Config{MaxBytes: s.TelemetryMaxBytes, Random: b.doors.env.Random})}
	b.cluster.static.Store(&b.settings.static)
	return nil
}

// lookBeforeTakingOver refuses directories of Kafka that cannot be served whole, before a byte of them changes.
func (b *Broker) lookBeforeTakingOver() error {
	a, err := inspect.Adopt(b.doors.disk, b.settings.allDirs(), b.config.NodeID)
	if err != nil {
		return err
	}
	if slices.Contains(b.settings.dirs, a.OnlyMetadata) {
		return &inspect.Refusal{Dir: a.OnlyMetadata, Sentence: "was Kafka's metadata.log.dir and none of its log.dirs; " +
			"name it in metadata.log.dir here too, or Kafka will not find the topics that are made in it"}
	}
	if a.FromKafka {
		b.logger.Info("taking over what Kafka wrote", "cluster", a.ClusterID, "topics", a.Topics, "partitions", a.Partitions, "bytes", a.LogBytes,
			"strays", len(a.Strays), "withoutFiles", len(a.Empty), "unfinishedMoves", len(a.Futures), "unusedScramUsers", a.ScramUsers)
	}
	return nil
}

// trashInTheWay has trash purged. Before there is a controller to say so, nothing happens; storage asks again then.
func (b *Broker) trashInTheWay(dir ids.DirectoryID) {
	if known := b.known.Load(); known != nil {
		known.makeRoom(b.controller, dir)
	}
}

// cleanerConfig is storage's form of the log.cleaner settings.
func cleanerConfig(c config.Cleaner) storage.CleanerConfig {
	out := storage.CleanerConfig{Off: !c.Enabled, DedupeBufferBytes: c.DedupeBufferBytes, LoadFactor: max(c.LoadFactor, 0.01),
		BufferBytes: max(c.BufferBytes, 1), BackoffMs: max(c.BackoffMs, 1)}
	if c.MaxBytesPerSecond < math.MaxInt64 {
		out.MaxBytesPerSecond = max(c.MaxBytesPerSecond, 1)
	}
	return out
}

// mostCheckpointMs bounds log.flush.offset.checkpoint.interval.ms, whose default is a minute: recovery reads what lies above the recovery points, and
// compaction stays below them.
const mostCheckpointMs = 5_000

// flushLinger is storage's form of ottla.flush.linger.ms, where 0 means the default.
func flushLinger(ms int64) int64 {
	if ms == 0 {
		return storage.NoLinger
	}
	return ms
}

// reserveBytes is what is kept of a disk so that metadata can be written, and topics deleted, when it is full: 2 %, at most 64 MiB.
func reserveBytes(disk vfs.FS, dirs []string) int64 {
	const most = 64 << 20
	reserve := int64(most)
	for _, dir := range dirs {
		total, _, err := disk.Space(dir)
		for ; err != nil && dir != filepath.Dir(dir); total, _, err = disk.Space(dir) {
			dir = filepath.Dir(dir) // it is not made yet: it will be on the file system of the one above
		}
		if err == nil {
			reserve = min(reserve, total/50)
		}
	}
	return reserve
}

func (b *Broker) openServer() error {
	s := b.settings.broker
	// The gate is empty until startController fills it; no request is read before Serve.
	b.controller = &controllerGate{self: ids.BrokerID(b.config.NodeID)}
	b.cluster.groups = newCoordinators(b.doors.env, b.logger, b.cluster, b.controller)
	b.cluster.quotas = newQuotas(b.doors.env, s.Quota)
	b.table = api.NewTable(api.Deps{
		Env: b.doors.env, Partitions: b.cluster.partitions, Offsets: b.cluster.partitions, Logs: b.cluster.partitions,
		Deletions: b.cluster.partitions, Controller: b.controller, Groups: b.cluster.groups, Telemetry: b.cluster.telemetry,
		Cluster: b.cluster, Quotas: b.cluster.quotas, Settings: b.apiSettings(), Audit: b.audit.tell,
	})
	b.server = server.New(server.Config{
		Env: b.doors.env, Network: b.doors.network, Table: b.table, Events: serverEvents(b.logger), Arrivals: b.cluster.quotas,
		Limits: server.Limits{
			RequestMaxBytes: int(s.RequestMaxBytes), FirstRequestMaxBytes: int(s.UnauthenticatedMaxBytes), ReplyBytesPerConnection: int(s.ConnectionReplyBytes), FirstRequestTime: time.Duration(s.UnauthenticatedMaxMs) * time.Millisecond,
			IdleTime: idleTime(s.ConnectionMaxIdleMs), RequestsInFlight: s.ConnectionMaxRequests,
			MemoryBytes: s.ServerMemoryBytes, Connections: connectionLimits(s.Connections),
		},
	})
	b.cluster.connections = func(limits config.ConnectionLimits) { b.server.SetConnectionLimits(connectionLimits(limits)) }
	addr, err := b.server.Listen(listenerName, b.settings.listen)
	if err != nil {
		return err
	}
	b.addr = addr
	if !server.IsLoopback(addr) {
		b.logger.Warn("listening without authentication or encryption beyond this machine: whoever reaches the port may do everything", "listen", addr)
	}
	return nil
}

// connectionLimits is the server's form of the max.connections settings.
func connectionLimits(c config.ConnectionLimits) server.ConnectionLimits {
	return server.ConnectionLimits{Max: c.Max, MaxPerIP: c.MaxPerIP, PerIP: c.PerIP, PerSecond: c.PerSecond}
}

func (b *Broker) startController() error {
	self := ids.BrokerID(b.config.NodeID)
	log, epoch, err := openMetadataLog(b.doors.env, b.store, self)
	if err != nil {
		return err
	}
	s := b.settings.broker
	clusterID := b.store.ClusterID()
	b.runtime, err = machine.Start(machine.Config[*controller.Controller]{
		Name: metadataTopic + "-0", Env: b.doors.env, Log: log, Epoch: epoch,
		New: func() *controller.Controller {
			return controller.New(controller.Config{ClusterID: clusterID, NodeID: self, Static: b.cluster.staticSettings, Random: b.doors.env.Random})
		},
		Committed: func(c *controller.Controller) { b.cluster.follow(c.Image()) },
		Snapshots: snapshotStore{fs: b.doors.disk, dir: b.metadataDir(log)}, SnapshotBytes: s.SnapshotMaxBytes, SnapshotMs: s.SnapshotMaxMs,
		Events: machineEvents(b.logger),
	})
	if err != nil {
		return err
	}
	b.controller.runtime = b.runtime
	if err := b.controller.register(b.registration(clusterID)); err != nil {
		return err
	}
	b.cluster.registered(b.controller)
	b.known.Store(b.cluster)
	b.cluster.loseDirectories() // what failed just before
	b.store.AskForRoomAgain()
	return nil
}

// metadataDir is the directory of the metadata log's files.
func (b *Broker) metadataDir(log *metadataLog) string {
	for _, dir := range b.store.Directories() {
		if dir.ID == log.log.Directory() {
			return dir.Path + "/" + log.log.Topic().String()
		}
	}
	panic("the metadata log lies in a directory that the store does not have")
}

// idleTime is connections.max.idle.ms, where a negative value means for ever.
func idleTime(ms int64) time.Duration {
	const forever = 100 * 365 * 24 * time.Hour
	if ms < 0 || ms > forever.Milliseconds() {
		return forever
	}
	return time.Duration(ms) * time.Millisecond
}

func (b *Broker) apiSettings() api.Settings {
	s := b.settings.broker
	settings := api.Settings{
		NodeID: ids.BrokerID(b.config.NodeID), ClusterID: b.store.ClusterID(), Static: b.cluster.staticSettings,
		RequestMaxBytes: s.RequestMaxBytes, FetchMaxBytes: s.FetchMaxBytes, FetchSessionSlots: s.FetchSessionSlots,
		TelemetryMaxBytes: s.TelemetryMaxBytes, DescribePartitionsLimit: s.DescribePartitionsLimit, AutoCreateTopics: s.AutoCreateTopics, DeleteTopics: s.DeleteTopics,
	}
	if b.settings.adHost != "" {
		settings.Advertised = map[string]api.Address{listenerName: {Host: b.settings.adHost, Port: b.settings.adPort}}
	}
	return settings
}

// registration describes this incarnation: where it listens, what it supports, which directories it has.
func (b *Broker) registration(clusterID string) *wire.BrokerRegistrationRequest {
	req := new(wire.BrokerRegistrationRequest)
	req.Default()
	req.BrokerId, req.ClusterId = b.config.NodeID, clusterID
	b.doors.env.Random(req.IncarnationId[:])
	host, port := b.settings.adHost, b.settings.adPort
	if host == "" {
		listenHost, listenPort, err := splitHostPort(b.addr)
		if err == nil {
			host, port = listenHost, listenPort
		}
	}
	req.Listeners = []wire.BrokerRegistrationRequestListener{{Name: listenerName, Host: host, Port: uint16(port)}}
	for _, f := range controller.FeatureRanges() {
		req.Features = append(req.Features, wire.BrokerRegistrationRequestFeature{Name: f.Name, MinSupportedVersion: f.Min, MaxSupportedVersion: f.Max})
	}
	if b.settings.broker.Rack != "" {
		req.Rack = wire.SomeString(b.settings.broker.Rack)
	}
	for _, dir := range b.store.Directories() {
		if dir.OnlyMetadata || dir.Offline != nil {
			continue
		}
		req.LogDirs = append(req.LogDirs, wire.UUID(dir.ID))
	}
	return req
}

// Addr is HOST:PORT where Kafka clients reach the broker.
func (b *Broker) Addr() string { return b.addr }

// AdminAddr is HOST:PORT of metrics, health and profiles; empty if Config.Admin was.
func (b *Broker) AdminAddr() string { return b.adminAddr }

// DataDirs are the directories that hold the data, and the metadata log's if it has one of its own.
func (b *Broker) DataDirs() []string { return b.settings.allDirs() }

// ClusterID is the cluster's id, made when the data directory was first used.
func (b *Broker) ClusterID() string { return b.store.ClusterID() }

// Close drains and stops the broker: it accepts nothing new, lets the replies that are on their way leave until ctx ends, writes what makes
// the next start quick, and waits for all that it started. A second call returns the first one's error.
func (b *Broker) Close(ctx context.Context) error {
	b.closeOnce.Do(func() { b.closeErr = b.close(ctx) })
	return b.closeErr
}

func (b *Broker) close(ctx context.Context) error {
	limit := time.Duration(b.settings.broker.DrainTimeoutMs) * time.Millisecond
	if deadline, ok := ctx.Deadline(); ok {
		limit = min(limit, deadline.Sub(b.doors.env.Now()))
	}
	b.cluster.groups.close() // members that wait in JoinGroup would hold up the drain
	if !b.server.Drain(limit) {
		b.logger.Warn("some replies were not sent before the drain timeout; their clients will retry", "timeout", limit)
	}
	return b.stop()
}

// stop ends everything that start began, last first. Parts that were not begun are nil.
func (b *Broker) stop() error {
	var failed []error
	if b.server != nil {
		failed = append(failed, b.server.Close())
	}
	if b.table != nil {
		b.table.Close()
	}
	if b.admin != nil {
		failed = append(failed, b.admin.Close(adminCloseTime))
	}
	if b.cluster != nil && b.cluster.groups != nil {
		b.cluster.groups.close()
	}
	if b.runtime != nil {
		b.runtime.Close()
	}
	if b.cluster != nil {
		b.cluster.partitions.Close()
	}
	if b.audit != nil {
		b.audit.close()
	}
	if b.store != nil {
		failed = append(failed, b.store.Close())
	}
	return errors.Join(failed...)
}

// abandon stops a broker that could not start; the reason why is what the caller needs to hear.
func (b *Broker) abandon() {
	if err := b.stop(); err != nil {
		b.logger.Warn("stopping after a failed start", "error", err)
	}
}
