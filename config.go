package ottla

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"slices"
	"strconv"

	"github.com/ottla-io/ottla/internal/config"
	"github.com/ottla-io/ottla/internal/record"
	"github.com/ottla-io/ottla/internal/replication"
	"github.com/ottla-io/ottla/internal/storage"
)

// Config is what Start needs. The zero value runs a broker on a free loopback port with its data in ./ottla-data.
type Config struct {
	// DataDir is made if absent. Empty means "ottla-data" in the working directory; Settings may name log.dirs instead.
	DataDir string
	// InMemory keeps everything in memory, as on a disk that is lost at Close. For tests.
	InMemory bool
	// Listen is HOST:PORT for Kafka clients, plaintext. Empty means 127.0.0.1:0, a free port, which Broker.Addr tells.
	Listen string
	// Advertise is HOST:PORT that clients are told to use. Empty means the address at which each client reached the broker.
	Advertise string
	// Admin is HOST:PORT for metrics, health and profiles; empty means no such listener.
	Admin string
	// NodeID is Kafka's node.id, 0 or greater. A data directory belongs to the node that first used it.
	NodeID int32
	// Settings are broker settings by Kafka's names, and Ottla's own, which begin with "ottla.".
	Settings map[string]string
	// Logger gets what an operator should know; nil means nothing is logged.
	Logger *slog.Logger
	// Version is what metrics and the log say is running.
	Version string
}

// defaultDataDir is Config.DataDir's default.
const defaultDataDir = "ottla-data"

// KnownSetting reports whether a broker setting of that name exists.
func KnownSetting(name string) bool {
	_, ok := config.Lookup(config.Broker, name)
	return ok
}

// settings are the broker's static settings, checked, with what the Config's own fields say mixed in.
type settings struct {
	static        map[string]string
	broker        config.BrokerConfig
	dirs          []string // log.dirs
	metadataDir   string   // metadata.log.dir; "" is the first of dirs
	inert         []config.Setting
	listen        string
	adHost        string // advertised host and port; "" and 0 where none is configured
	adPort        int32
	topicDefaults config.TopicConfig
}

func (c Config) resolve() (settings, error) {
	s := settings{static: maps.Clone(c.Settings), listen: c.Listen}
	if s.static == nil {
		s.static = map[string]string{}
	}
	if _, ok := s.static["node.id"]; ok {
		return s, errors.New("setting node.id: give it as node-id")
	}
	if _, set := s.static[trashSetting]; c.InMemory && !set {
		s.static[trashSetting] = "0" // nobody comes back for what was in memory
	}
	s.static["node.id"] = strconv.Itoa(int(c.NodeID))
	var err error
	if s.inert, err = config.ValidateBroker(s.static); err != nil {
		return s, fmt.Errorf("settings: %w", err)
	}
	if err := s.endpoints(&c); err != nil {
		return s, err
	}
	if s.listen == "" {
		s.listen = "127.0.0.1:0"
	}
	if _, _, err := splitHostPort(s.listen); err != nil {
		return s, fmt.Errorf("listen %q: %w", s.listen, err)
	}
	if c.Advertise != "" {
		if s.adHost, s.adPort, err = splitHostPort(c.Advertise); err != nil {
			return s, fmt.Errorf("advertise %q: %w", c.Advertise, err)
		}
		if s.adHost == "" || s.adPort == 0 {
			return s, fmt.Errorf("advertise %q: clients need a host and a port to connect to", c.Advertise)
		}
	}
	layers := config.Layers{Static: s.static}
	s.dirs = layers.BrokerConfig().LogDirs
	if len(s.dirs) == 0 {
		s.dirs = []string{cmp.Or(c.DataDir, defaultDataDir)} // it may hold a comma
		s.static["log.dirs"] = s.dirs[0]
	}
	s.describeListeners(c)
	s.broker, s.topicDefaults = layers.BrokerConfig(), layers.TopicConfig()
	s.metadataDir = s.broker.MetadataLogDir
	return s, nil
}

// describeListeners has the settings say what the Config's own fields do: tools look for it there.
func (s *settings) describeListeners(c Config) {
	if _, ok := s.static["listeners"]; !ok {
		s.static["listeners"] = listenerName + "://" + s.listen
	}
	if _, ok := s.static["advertised.listeners"]; !ok && c.Advertise != "" {
		s.static["advertised.listeners"] = listenerName + "://" + c.Advertise
	}
}

// endpoints takes listeners and advertised.listeners where the Config's own fields say nothing.
func (s *settings) endpoints(c *Config) error {
	named, err := (&config.Layers{Static: s.static}).Endpoints()
	if err != nil {
		return fmt.Errorf("settings: %w", err)
	}
	if c.Listen != "" && named.Listen != "" {
		return errors.New("setting listeners: give either it or listen")
	}
	if c.Advertise != "" && named.Advertise != "" {
		return errors.New("setting advertised.listeners: give either it or advertise")
	}
	s.listen = cmp.Or(c.Listen, named.Listen)
	c.Advertise = cmp.Or(c.Advertise, named.Advertise)
	return nil
}

// trashSetting is how long a deleted topic can be restored.
const trashSetting = "ottla.topic.trash.ms"

// allDirs are the log directories, and the metadata log's if it has one of its own.
func (s settings) allDirs() []string {
	if s.metadataDir == "" || slices.Contains(s.dirs, s.metadataDir) {
		return s.dirs
	}
	return append(slices.Clone(s.dirs), s.metadataDir)
}

func splitHostPort(address string) (host string, port int32, err error) {
	host, text, err := net.SplitHostPort(address)
	if err != nil {
		return "", 0, errors.New("want HOST:PORT, such as 127.0.0.1:9092")
	}
	number, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return "", 0, fmt.Errorf("port %q: want a number from 0 to 65535", text)
	}
	return host, int32(number), nil
}

// topicSettings turns a resolved topic configuration into what the data plane obeys.
func topicSettings(name string, c config.TopicConfig) *replication.TopicSettings {
	log := storage.LogConfig{
		SegmentBytes: c.SegmentBytes, SegmentMs: c.SegmentMs, SegmentJitterMs: c.SegmentJitterMs,
		IndexIntervalBytes: c.IndexIntervalBytes, SegmentIndexBytes: c.SegmentIndexBytes,
		RetentionMs: c.RetentionMs, RetentionBytes: c.RetentionBytes, Delete: c.Delete, Compact: c.Compact,
		FileDeleteDelayMs: c.FileDeleteDelayMs, FlushMessages: c.FlushMessages, FlushMs: c.FlushMs,
		DeleteRetentionMs: c.DeleteRetentionMs, MinCompactionLagMs: c.MinCompactionLagMs, MaxCompactionLagMs: c.MaxCompactionLagMs,
		MinCleanableRatio: c.MinCleanableDirtyRatio,
	}
	if c.Durability == config.Replicated && !isInternal(name) { // what coordinators acknowledge is on disk
		log.Durability = storage.Replicated
	}
	settings := &replication.TopicSettings{
		Log: log, MaxMessageBytes: c.MaxMessageBytes, MinInSyncReplicas: c.MinInsyncReplicas, LogAppendTime: c.LogAppendTime,
		TimestampBeforeMaxMs: c.TimestampBeforeMaxMs, TimestampAfterMaxMs: c.TimestampAfterMaxMs,
		ValidateCompressedBatch: c.FullValidation, RefuseClients: isInternal(name),
	}
	switch c.CompressionType {
	case "producer":
	case "uncompressed":
		settings.Recompress, settings.Codec = true, record.None
	default:
		settings.Codec, settings.Recompress = record.ParseCodec(c.CompressionType)
		settings.CompressionLevel = c.CompressionLevel
	}
	return settings
}

// isInternal names the topics that only coordinators write (Metadata's is_internal).
func isInternal(name string) bool {
	switch name {
	case "__consumer_offsets", "__transaction_state", "__share_group_state", "__cluster_metadata":
		return true
	}
	return false
}
