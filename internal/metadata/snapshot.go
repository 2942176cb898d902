package metadata

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/record"
	"github.com/ottla-io/ottla/internal/wire"
)

// metadataVersion is the feature that says how metadata records are laid out; a snapshot begins with its level, so that
// a reader knows before it reads anything else.
const metadataVersion = "metadata.version"

// Records yields the records that lead from Empty to i, in an order that depends on nothing but i.
func (i *Image) records(yield func(wire.MetadataRecord) bool) {
	for _, part := range []func(*Image, func(wire.MetadataRecord) bool) bool{featureRecords, brokerRecords, trashRecords, topicRecords, configRecords, quotaRecords, otherRecords} {
		if !part(i, yield) {
			return
		}
	}
}

func featureRecords(i *Image, yield func(wire.MetadataRecord) bool) bool {
	names := slices.SortedFunc(maps.Keys(i.features), func(a, b string) int {
		if (a == metadataVersion) != (b == metadataVersion) {
			if a == metadataVersion {
				return -1
			}
			return 1
		}
		return cmp.Compare(a, b)
	})
	for _, name := range names {
		if !yield(&wire.FeatureLevelRecord{Name: name, FeatureLevel: i.features[name]}) {
			return false
		}
	}
	return true
}

func brokerRecords(i *Image, yield func(wire.MetadataRecord) bool) bool {
	for _, b := range i.brokers {
		r := &wire.RegisterBrokerRecord{BrokerId: int32(b.ID), IncarnationId: b.IncarnationID, BrokerEpoch: int64(b.Epoch),
			Rack: wire.NullString{Value: b.Rack, Valid: b.Rack != ""}, Fenced: b.Fenced, InControlledShutdown: b.InControlledShutdown,
			LogDirs: fromDirectories(b.Directories), CordonedLogDirs: fromDirectories(b.CordonedDirectories)}
		for _, e := range b.Endpoints {
			r.EndPoints = append(r.EndPoints, wire.RegisterBrokerRecordBrokerEndpoint{Name: e.Name, Host: e.Host, Port: e.Port, SecurityProtocol: e.SecurityProtocol})
		}
		for _, f := range b.Features {
			r.Features = append(r.Features, wire.RegisterBrokerRecordBrokerFeature{Name: f.Name, MinSupportedVersion: f.Min, MaxSupportedVersion: f.Max})
		}
		if !yield(r) {
			return false
		}
	}
	return true
}

func topicRecords(i *Image, yield func(wire.MetadataRecord) bool) bool {
	for _, t := range i.Topics() {
		for _, r := range TopicRecords(t) {
			if !yield(r) {
				return false
			}
		}
	}
	return true
}

// TopicRecords say all about one topic but its settings.
func TopicRecords(t *Topic) []wire.MetadataRecord {
	records := make([]wire.MetadataRecord, 1, 1+len(t.Partitions))
	records[0] = &wire.TopicRecord{Name: t.Name, TopicId: wire.UUID(t.ID)}
	for n := range t.Partitions {
		if len(t.Partitions[n].Replicas) > 0 {
			records = append(records, PartitionRecord(t.ID, int32(n), &t.Partitions[n]))
		}
	}
	return records
}

// PartitionRecord says all about one partition.
func PartitionRecord(topic ids.TopicID, n int32, p *Partition) *wire.PartitionRecord {
	r := &wire.PartitionRecord{PartitionId: n, TopicId: wire.UUID(topic), Replicas: fromBrokers(p.Replicas), Isr: fromBrokers(p.ISR),
		RemovingReplicas: fromBrokers(p.RemovingReplicas), AddingReplicas: fromBrokers(p.AddingReplicas), Leader: int32(p.Leader),
		LeaderEpoch: int32(p.LeaderEpoch), PartitionEpoch: p.PartitionEpoch, Directories: fromDirectories(p.Directories),
		EligibleLeaderReplicas: fromBrokers(p.ELR), LastKnownElr: fromBrokers(p.LastKnownELR)}
	if p.Recovering {
		r.LeaderRecoveryState = 1
	}
	return r
}

func configRecords(i *Image, yield func(wire.MetadataRecord) bool) bool {
	var resources []ConfigResource
	for r := range i.configs.all() {
		resources = append(resources, r)
	}
	slices.SortFunc(resources, func(a, b ConfigResource) int {
		return cmp.Or(cmp.Compare(a.Type, b.Type), cmp.Compare(a.Name, b.Name))
	})
	for _, r := range resources {
		values := i.Config(r)
		for _, one := range ConfigRecords(r, values) {
			if !yield(one) {
				return false
			}
		}
	}
	return true
}

// ConfigRecords set all overrides of a resource, in the order of their names.
func ConfigRecords(r ConfigResource, values map[string]string) []wire.MetadataRecord {
	records := make([]wire.MetadataRecord, 0, len(values))
	for _, name := range slices.Sorted(maps.Keys(values)) {
		records = append(records, &wire.ConfigRecord{ResourceType: r.Type, ResourceName: r.Name, Name: name, Value: wire.SomeString(values[name])})
	}
	return records
}

func otherRecords(i *Image, yield func(wire.MetadataRecord) bool) bool {
	p := i.producerIDs
	if (p.Next > 0 || p.Broker != ids.NoBroker) && !yield(&wire.ProducerIdsRecord{BrokerId: int32(p.Broker), BrokerEpoch: int64(p.BrokerEpoch), NextProducerId: int64(p.Next)}) {
		return false
	}
	var keys []string
	for k := range i.kept.all() {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for _, k := range keys {
		if r, _ := i.kept.get(k); !yield(r) {
			return false
		}
	}
	return true
}

func fromBrokers(from []ids.BrokerID) []int32 {
	if len(from) == 0 {
		return nil
	}
	to := make([]int32, len(from))
	for i, id := range from {
		to[i] = int32(id)
	}
	return to
}

func fromDirectories(from []ids.DirectoryID) []wire.UUID {
	if len(from) == 0 {
		return nil
	}
	to := make([]wire.UUID, len(from))
	for i, id := range from {
		to[i] = wire.UUID(id)
	}
	return to
}

// snapshotBatch is about how many bytes of records a data batch of a snapshot holds.
const snapshotBatch = 64 << 10

// WriteSnapshot writes i as Kafka's .checkpoint: a log of its own, whose offsets begin at 0.
//
//	SnapshotHeader control batch | data batches | SnapshotFooter control batch
//
// timestampMs is that of the last batch that the Image holds. An Image inside a metadata transaction is refused.
func WriteSnapshot(w io.Writer, i *Image, timestampMs int64) error {
	if i.InTransaction() {
		return errors.New("write snapshot: a metadata transaction is open")
	}
	out := snapshotWriter{w: w, epoch: max(i.epoch, 0), timestampMs: timestampMs, builder: record.NewBuilder(record.None, record.DefaultLevel)}
	out.control(record.ControlSnapshotHeader, &wire.SnapshotHeaderRecord{LastContainedLogTimestamp: timestampMs})
	var value []byte
	for r := range i.records {
		value = EncodeRecord(value[:0], r)
		out.builder.Append(timestampMs, nil, value)
		if out.builder.Size() >= snapshotBatch {
			out.flush()
		}
	}
	out.flush()
	out.control(record.ControlSnapshotFooter, &wire.SnapshotFooterRecord{})
	if out.err != nil {
		return fmt.Errorf("write snapshot at offset %d: %w", i.end, out.err)
	}
	return nil
}

type snapshotWriter struct {
	w           io.Writer
	builder     *record.Builder
	next        ids.Offset
	epoch       ids.LeaderEpoch
	timestampMs int64
	err         error
}

func (s *snapshotWriter) flush() {
	if s.err != nil || s.builder.Count() == 0 {
		return
	}
	s.builder.At(s.next, s.epoch)
	batch, err := s.builder.Build()
	s.builder.Reset()
	if err != nil {
		s.err = err
		return
	}
	s.write(batch)
}

func (s *snapshotWriter) write(b record.Batch) {
	if s.err == nil {
		_, s.err = s.w.Write(b)
		s.next = b.NextOffset()
	}
}

func (s *snapshotWriter) control(t record.ControlType, value wire.Message) {
	if s.err == nil {
		s.write(record.ControlBatch(t, s.next, s.epoch, s.timestampMs, encodeNewest(value)))
	}
}

func encodeNewest(m wire.Message) []byte {
	_, version := m.Versions()
	var e wire.Encoder
	if err := m.Encode(&e, version); err != nil {
		panic(fmt.Sprintf("metadata: encode %T: %v", m, err))
	}
	return e.Buf
}

// maxSnapshotBatch is the largest batch that ReadSnapshot takes; Kafka writes at most 8 MiB.
const maxSnapshotBatch = 64 << 20

// ReadSnapshot reads what WriteSnapshot, or Kafka, wrote. end and epoch are what the file's name says. A snapshot that is
// cut short, damaged, or has bytes after its footer is an error (ErrCorrupt or record.ErrCorrupt): try an older one.
func ReadSnapshot(r io.Reader, end ids.Offset, epoch ids.LeaderEpoch) (*Image, error) {
	image, err := readSnapshot(bufio.NewReaderSize(r, 64<<10), end, epoch)
	if err != nil {
		return nil, fmt.Errorf("read snapshot %020d-%010d: %w", end, epoch, err)
	}
	return image, nil
}

func readSnapshot(r *bufio.Reader, end ids.Offset, epoch ids.LeaderEpoch) (*Image, error) {
	image, header, footer := Empty(), false, false
	for {
		batch, err := readBatch(r)
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
		switch {
		case footer:
			return nil, corrupt("a batch follows the footer")
		case batch.IsControl():
			kind, err := controlType(batch)
			if err != nil {
				return nil, err
			}
			switch kind {
			case record.ControlSnapshotHeader:
				header = true
			case record.ControlSnapshotFooter:
				footer = true
			}
			continue
		case !header:
			return nil, corrupt("no header")
		}
		records, err := DecodeBatch(batch)
		if err != nil {
			return nil, err
		}
		if image, err = image.Apply(records, end, epoch); err != nil {
			return nil, err
		}
	}
	if !footer {
		return nil, corrupt("no footer: the snapshot is incomplete")
	}
	if image.InTransaction() {
		return nil, corrupt("a metadata transaction is open at the end of the snapshot")
	}
	return image.Apply(nil, end, epoch) // also where it has no data batch
}

func readBatch(r *bufio.Reader) (record.Batch, error) {
	prefix, err := r.Peek(17)
	if len(prefix) == 0 && err == io.EOF {
		return nil, io.EOF
	}
	if err != nil {
		return nil, corrupt("cut short: %v", err)
	}
	size, err := record.FrameSize(prefix)
	if err != nil {
		return nil, err
	}
	if size > maxSnapshotBatch {
		return nil, corrupt("a batch of %d bytes", size)
	}
	batch := make(record.Batch, size)
	if _, err := io.ReadFull(r, batch); err != nil {
		return nil, corrupt("cut short: %v", err)
	}
	if batch.ComputeCRC() != batch.CRC() {
		return nil, corrupt("checksum of the batch at offset %d is wrong", batch.BaseOffset())
	}
	return batch, nil
}

func controlType(b record.Batch) (record.ControlType, error) {
	it := b.Records(record.Limits{})
	defer it.Close()
	if !it.Next() {
		return 0, corrupt("a control batch without a record: %v", it.Err())
	}
	return record.ParseControlKey(it.Record().Key)
}

// DecodeBatch reads the metadata records of a data batch; of a control batch it returns none.
func DecodeBatch(b record.Batch) ([]wire.MetadataRecord, error) {
	if b.IsControl() {
		return nil, nil
	}
	it := b.Records(record.Limits{})
	defer it.Close()
	var records []wire.MetadataRecord
	for it.Next() {
		r := it.Record()
		m, err := DecodeRecord(r.Value)
		if err != nil {
			return nil, fmt.Errorf("offset %d: %w", r.Offset, err)
		}
		records = append(records, m)
	}
	return records, it.Err()
}

// LeaderChange makes the control batch with which a new leader begins its epoch in the metadata log, at a base offset
// that the log assigns. Kafka's tools expect one as the first batch of each epoch.
func LeaderChange(leader ids.BrokerID, epoch ids.LeaderEpoch, voters []ids.BrokerID, timestampMs int64) record.Batch {
	m := &wire.LeaderChangeMessage{LeaderId: int32(leader)}
	for _, v := range voters {
		m.Voters = append(m.Voters, wire.LeaderChangeMessageVoter{VoterId: int32(v)})
		m.GrantingVoters = append(m.GrantingVoters, wire.LeaderChangeMessageVoter{VoterId: int32(v)})
	}
	var e wire.Encoder
	if err := m.Encode(&e, 0); err != nil {
		panic("metadata: encode LeaderChangeMessage: " + err.Error())
	}
	return record.ControlBatch(record.ControlLeaderChange, 0, epoch, timestampMs, e.Buf)
}
