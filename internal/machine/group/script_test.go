package group

import (
	"encoding/binary"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/machine"
	"github.com/ottla-io/ottla/internal/metadata"
	"github.com/ottla-io/ottla/internal/wire"
)

// The language of testdata/*.txt: one command a line, words and name=value pairs; what it did is told in lines that begin with
// two blanks. Member ids are written NAME-N for the Nth random number.

type args struct {
	words []string
	named map[string]string
}

func parseLine(line string) args {
	a := args{named: map[string]string{}}
	for _, word := range strings.Fields(line) {
		if name, value, ok := strings.Cut(word, "="); ok {
			a.named[name] = value
		} else {
			a.words = append(a.words, word)
		}
	}
	return a
}

func (a args) word(i int) string {
	if i < len(a.words) {
		return a.words[i]
	}
	return ""
}

// rest are the words after the group's.
func (a args) rest() []string { return a.words[min(1, len(a.words)):] }

func (a args) text(name, otherwise string) string {
	if v, ok := a.named[name]; ok {
		return v
	}
	return otherwise
}

func (a args) number(name string, otherwise int64) int64 {
	if v, ok := a.named[name]; ok {
		n, err := strconv.ParseInt(v, 10, 64)
		if err != nil {
			panic(err)
		}
		return n
	}
	return otherwise
}

func (a args) nullable(name string) wire.NullString {
	v, ok := a.named[name]
	return wire.NullString{Value: v, Valid: ok}
}

func (a args) list(name string) []string {
	if a.named[name] == "" {
		return nil
	}
	return strings.Split(a.named[name], ",")
}

var (
	uuidText  = regexp.MustCompile(`00000000-0000-4000-8000-00000000([0-9a-f]{4})`)
	shortText = regexp.MustCompile(`-(\d+)$`)
)

// short shows member ids as NAME-N; long is the way back.
func short(s string) string {
	return uuidText.ReplaceAllStringFunc(s, func(u string) string {
		n, _ := strconv.ParseInt(u[len(u)-4:], 16, 32)
		return strconv.FormatInt(n, 10)
	})
}

func long(s string) string {
	return shortText.ReplaceAllStringFunc(s, func(t string) string {
		n, _ := strconv.Atoi(t[1:])
		return fmt.Sprintf("-00000000-0000-4000-8000-00000000%04x", n)
	})
}

func (l *live) say(format string, a ...any) {
	l.trace = append(l.trace, short(fmt.Sprintf(format, a...)))
}

func (l *live) rebalanced(r Rebalance) {
	l.say("rebalanced %s generation=%d members=%d paused=%v reason=%q joined=%v left=%v timedOut=%v",
		r.Group, r.Generation, r.Members, r.Paused, r.Reason, r.Joined, r.Left, r.TimedOut)
}

// run executes one line and returns what it said.
func (l *live) run(line string) []string {
	l.t.Helper()
	l.trace = nil
	a := parseLine(line)
	command := commands()[a.word(0)]
	if command == nil {
		l.t.Fatalf("unknown command %q", line)
	}
	a.words = a.words[1:]
	command(l, a)
	return l.trace
}

func commands() map[string]func(l *live, a args) {
	return map[string]func(l *live, a args){
		"topic": func(l *live, a args) { l.create(a.word(0), int(a.number("partitions", 1))) },
		"drop":  (*live).runDrop,
		"purge": (*live).runPurge, "restore": (*live).runRestore,
		"missing": func(l *live, _ args) { l.forget(l.m.ForgetMissingTopics) },
		"set":     (*live).runSet,
		"pass":    (*live).runPass,
		"reload":  (*live).runReload,
		"join":    (*live).runJoin, "sync": (*live).runSync, "heartbeat": (*live).runHeartbeat, "leave": (*live).runLeave,
		"beat": (*live).runBeat, "consumers": (*live).runConsumers,
		"commit": (*live).runCommit, "fetch": (*live).runFetch, "forget": (*live).runForget,
		"txn":    (*live).runTxn,
		"delete": (*live).runDelete, "list": (*live).runList, "describe": (*live).runDescribe, "stats": (*live).runStats,
	}
}

func (a args) client() Client {
	return Client{ID: a.text("client", "c"), Host: "/h", Version: int16(a.number("v", 9)), Software: a.software()}
}

func (a args) software() Software {
	name, version, _ := strings.Cut(a.text("software", ""), "/")
	return Software{name, version}
}

// forget calls TopicsDeleted or ForgetMissingTopics until there are no more.
func (l *live) forget(some func() ([]machine.Record, bool)) {
	for {
		records, more := some()
		l.commit(records)
		if !more {
			return
		}
	}
}

func (l *live) runDrop(a args) {
	topic, _ := l.image.Topic(a.word(0))
	record := &wire.RemoveTopicRecord{TopicId: wire.UUID(topic.ID)}
	if a.text("trash", "no") == "yes" {
		record.TrashedMs, record.TrashedUntilMs = 1, 2
	}
	l.changeImage([]wire.MetadataRecord{record})
	if a.text("told", "yes") == "yes" {
		l.forget(func() ([]machine.Record, bool) {
			return l.m.TopicsDeleted(map[string]ids.TopicID{topic.Name: topic.ID})
		})
	}
}

// untrashed tells the machine about the oldest topic of a name in the trash, after what changes that.
func (l *live) untrashed(a args, change func(*metadata.Topic) []wire.MetadataRecord) {
	for _, t := range l.image.Trash() {
		if t.Topic.Name == a.word(0) {
			l.changeImage(change(t.Topic))
			if a.text("told", "yes") == "yes" {
				l.forget(func() ([]machine.Record, bool) { return l.m.TopicsUntrashed([]string{t.Topic.Name}) })
			}
			return
		}
	}
	l.t.Fatalf("no topic %s is in the trash", a.word(0))
}

func (l *live) runPurge(a args) {
	l.untrashed(a, func(t *metadata.Topic) []wire.MetadataRecord {
		return []wire.MetadataRecord{&wire.NoOpRecord{PurgedTopicIds: []wire.UUID{wire.UUID(t.ID)}}}
	})
}

func (l *live) runRestore(a args) {
	l.untrashed(a, func(t *metadata.Topic) []wire.MetadataRecord {
		return metadata.TopicRecords(&metadata.Topic{Name: a.text("as", t.Name), ID: t.ID, Partitions: t.Partitions})
	})
}

func (l *live) runSet(a args) {
	for name, value := range a.named {
		n, _ := strconv.ParseInt(value, 10, 64)
		switch name {
		case "maxSize":
			l.set.MaxSize = int32(n)
		case "consumerMaxSize":
			l.set.ConsumerMaxSize = int32(n)
		case "interval":
			l.set.Consumer.AssignmentIntervalMs = int32(n)
		case "policy":
			l.set.UpgradeOnline, l.set.DowngradeOnline = value == "bidirectional" || value == "upgrade", value == "bidirectional" || value == "downgrade"
		case "delay":
			l.set.InitialRebalanceDelayMs = int32(n)
		case "keep":
			l.set.KeepOffsetsWithTopic = value == "true"
		case "metadata":
			l.set.OffsetMetadataMaxBytes = int(n)
		default:
			l.t.Fatalf("unknown setting %s", name)
		}
	}
}

func (l *live) runPass(a args) {
	d, err := time.ParseDuration(a.word(0))
	if err != nil {
		l.t.Fatal(err)
	}
	l.pass(d)
}

// runReload loses the volatile half, as a crash or another leader does.
func (l *live) runReload(args) {
	l.m = l.replay(l.log)
	l.m.Loaded(l.at)
	l.waiting = 0
}

// subscribing is the consumer protocol's subscription, version 0, of topics that are joined by "+".
func subscribing(topics string) []byte {
	if topics == "junk" {
		return []byte{0}
	}
	var list []string
	if topics != "" {
		list = strings.Split(topics, "+")
	}
	p := binary.BigEndian.AppendUint32([]byte{0, 0}, uint32(len(list)))
	for _, t := range list {
		p = append(binary.BigEndian.AppendUint16(p, uint16(len(t))), t...)
	}
	return append(p, 0xff, 0xff, 0xff, 0xff)
}

func (l *live) runJoin(a args) {
	req := &wire.JoinGroupRequest{GroupId: a.word(0), MemberId: long(a.text("id", "")), GroupInstanceId: a.nullable("static"),
		SessionTimeoutMs: int32(a.number("session", 10_000)), RebalanceTimeoutMs: int32(a.number("rebalance", 60_000)),
		ProtocolType: a.text("type", "consumer"), Reason: a.nullable("reason")}
	for _, p := range strings.Split(a.text("protocols", "range:t"), ",") {
		name, topics, _ := strings.Cut(p, ":")
		if name != "" {
			req.Protocols = append(req.Protocols, wire.JoinGroupRequestProtocol{Name: name, Metadata: subscribing(topics)})
		}
	}
	label := "join " + a.word(0) + " " + a.text("id", a.text("static", a.text("client", "c")))
	l.waiting++
	l.commit(l.m.JoinGroup(l.at, a.client(), req, &answer[*wire.JoinGroupResponse]{tell: func(r *wire.JoinGroupResponse) {
		l.waiting--
		if r.ErrorCode != 0 {
			l.say("%s: %s member=%q", label, r.ErrorCode.Name(), r.MemberId)
			return
		}
		var members []string
		for _, m := range r.Members {
			members = append(members, m.MemberId)
		}
		l.say("%s: generation=%d member=%s leader=%s protocol=%s/%s skip=%t members=%v", label, r.GenerationId, r.MemberId, r.Leader,
			r.ProtocolType.Value, r.ProtocolName.Value, r.SkipAssignment, members)
	}}))
}

func (l *live) runSync(a args) {
	req := &wire.SyncGroupRequest{GroupId: a.word(0), MemberId: long(a.text("id", "")), GroupInstanceId: a.nullable("static"),
		GenerationId: int32(a.number("generation", 1)), ProtocolType: a.nullable("type"), ProtocolName: a.nullable("protocol")}
	for _, pair := range a.list("assign") {
		id, what, _ := strings.Cut(pair, ":")
		req.Assignments = append(req.Assignments, wire.SyncGroupRequestAssignment{MemberId: long(id), Assignment: []byte(what)})
	}
	label := "sync " + a.word(0) + " " + a.text("id", "")
	l.waiting++
	l.commit(l.m.SyncGroup(l.at, req, &answer[*wire.SyncGroupResponse]{tell: func(r *wire.SyncGroupResponse) {
		l.waiting--
		if r.Assignment == nil {
			l.t.Errorf("%s: the assignment is null", label)
		}
		l.say("%s: %s %s/%s %q", label, r.ErrorCode.Name(), r.ProtocolType.Value, r.ProtocolName.Value, r.Assignment)
	}}))
}

func (l *live) runHeartbeat(a args) {
	code := l.m.Heartbeat(l.at, a.software(), &wire.HeartbeatRequest{GroupId: a.word(0), MemberId: long(a.text("id", "")), GroupInstanceId: a.nullable("static"),
		GenerationId: int32(a.number("generation", 1))})
	l.say("%s", code.Name())
}

func (l *live) runLeave(a args) {
	req := &wire.LeaveGroupRequest{GroupId: a.word(0)}
	for _, who := range a.rest() {
		id, instance, static := strings.Cut(who, "/")
		req.Members = append(req.Members, wire.LeaveGroupRequestMemberIdentity{MemberId: long(id),
			GroupInstanceId: wire.NullString{Value: instance, Valid: static}, Reason: a.nullable("reason")})
	}
	records, resp := l.m.LeaveGroup(l.at, req)
	for _, m := range resp.Members {
		l.say("%s/%s: %s", m.MemberId, m.GroupInstanceId.Value, m.ErrorCode.Name())
	}
	if resp.ErrorCode != 0 {
		l.say("%s", resp.ErrorCode.Name())
	}
	l.commit(records)
}

// partition reads TOPIC:PARTITION[:OFFSET]; a topic #N is the one with the Nth id.
func (l *live) partition(text string) (name string, id wire.UUID, index int32, offset int64) {
	parts := strings.Split(text, ":")
	if n, ok := strings.CutPrefix(parts[0], "#"); ok {
		nth, _ := strconv.Atoi(n)
		id = wire.UUID(topicID(nth))
	} else {
		name = parts[0]
	}
	if len(parts) > 1 {
		n, _ := strconv.ParseInt(parts[1], 10, 32)
		index = int32(n)
	}
	if len(parts) > 2 {
		offset, _ = strconv.ParseInt(parts[2], 10, 64)
	}
	return name, id, index, offset
}

func (l *live) runCommit(a args) {
	req := &wire.OffsetCommitRequest{GroupId: a.word(0), GenerationIdOrMemberEpoch: int32(a.number("generation", -1)),
		MemberId: long(a.text("id", "")), GroupInstanceId: a.nullable("static"), RetentionTimeMs: a.number("retention", -1),
		Reset: a.text("reset", "no") == "yes"}
	for _, word := range a.rest() {
		name, id, index, offset := l.partition(word)
		req.Topics = append(req.Topics, wire.OffsetCommitRequestTopic{Name: name, TopicId: id, Partitions: []wire.OffsetCommitRequestPartition{{
			PartitionIndex: index, CommittedOffset: offset, CommittedLeaderEpoch: int32(a.number("epoch", -1)), CommittedMetadata: a.nullable("metadata")}}})
	}
	records, resp := l.offsetCommit(a.client(), req)
	for i, t := range resp.Topics {
		for _, p := range t.Partitions {
			l.say("%s: %s", a.words[i+1], p.ErrorCode.Name())
		}
	}
	l.commit(records)
}

func (l *live) runFetch(a args) {
	asked := &wire.OffsetFetchRequestGroup{GroupId: a.word(0), MemberId: a.nullable("id"), MemberEpoch: int32(a.number("epoch", -1)), Journal: a.text("journal", "no") == "yes"}
	for _, word := range a.rest() {
		name, id, index, _ := l.partition(word)
		asked.Topics = append(asked.Topics, wire.OffsetFetchRequestTopics{Name: name, TopicId: id, PartitionIndexes: []int32{index}})
	}
	got := l.m.OffsetFetch(a.client(), asked, a.text("stable", "no") == "yes")
	if got.ErrorCode != 0 {
		l.say("%s", got.ErrorCode.Name())
	}
	for _, t := range got.Topics {
		for _, p := range t.Partitions {
			var replaced []Replaced
			for _, r := range p.Replaced {
				replaced = append(replaced, Replaced(r))
			}
			l.say("%s%s:%d offset=%d epoch=%d metadata=%q %s%s", t.Name, nonzero(t.TopicId), p.PartitionIndex, p.CommittedOffset, p.CommittedLeaderEpoch, p.Metadata.Value, p.ErrorCode.Name(),
				replacedText(replaced))
		}
	}
}

// replacedText is a journal, the latest reset first.
func replacedText(replaced []Replaced) (text string) {
	for _, r := range replaced {
		text += fmt.Sprintf(" [%s: %d epoch=%d %q]", sinceStart(r.ResetMs), r.Offset, r.LeaderEpoch, r.Metadata)
	}
	return text
}

// runTxn puts records of a transaction into the log, as Kafka's TxnOffsetCommit and its markers do: txn PRODUCER GROUP T:P:O…, and
// txn PRODUCER end=commit|abort.
func (l *live) runTxn(a args) {
	n, _ := strconv.Atoi(a.word(0))
	t := machine.Transaction{Producer: ids.ProducerID(n), State: machine.TransactionOpen}
	var records []machine.Record
	switch a.text("end", "") {
	case "commit":
		t.State = machine.TransactionCommitted
	case "abort":
		t.State = machine.TransactionAborted
	}
	if t.State != machine.TransactionOpen {
		l.commit([]machine.Record{{Transaction: t}})
		return
	}
	for _, word := range a.words[2:] {
		name, _, index, offset := l.partition(word)
		r := encode(&wire.OffsetCommitRecordKey{Group: a.word(1), Topic: name, Partition: index},
			&wire.OffsetCommitValue{Offset: offset, LeaderEpoch: -1, CommitTimestamp: l.at.NowMs, ExpireTimestamp: -1, TopicId: wire.UUID(topicID(1))}, offsetVersion)
		r.Transaction = t
		records = append(records, r)
	}
	l.commit(records)
}

func nonzero(id wire.UUID) string {
	if id == (wire.UUID{}) {
		return ""
	}
	return fmt.Sprintf("#%d", int(id[14])<<8|int(id[15]))
}

func (l *live) runForget(a args) {
	req := &wire.OffsetDeleteRequest{GroupId: a.word(0)}
	for _, word := range a.rest() {
		name, _, index, _ := l.partition(word)
		req.Topics = append(req.Topics, wire.OffsetDeleteRequestTopic{Name: name, Partitions: []wire.OffsetDeleteRequestPartition{{PartitionIndex: index}}})
	}
	records, resp := l.m.OffsetDelete(req)
	if resp.ErrorCode != 0 {
		l.say("%s", resp.ErrorCode.Name())
	}
	for _, t := range resp.Topics {
		l.say("%s:%d: %s", t.Name, t.Partitions[0].PartitionIndex, t.Partitions[0].ErrorCode.Name())
	}
	l.commit(records)
}

func (l *live) runDelete(a args) {
	records, results := l.m.DeleteGroups(a.words)
	for _, r := range results {
		l.say("%s: %s", r.GroupId, r.ErrorCode.Name())
	}
	l.commit(records)
}

func (l *live) runList(a args) {
	for _, g := range l.m.ListGroups(&wire.ListGroupsRequest{StatesFilter: a.list("states"), TypesFilter: a.list("types")}) {
		l.say("%s type=%s state=%s protocolType=%q", g.GroupId, g.GroupType, g.GroupState, g.ProtocolType)
	}
}

func (l *live) runDescribe(a args) {
	for _, g := range l.m.DescribeGroups(a.client(), a.words) {
		l.say("%s: %s %s state=%s protocol=%s/%s", g.GroupId, g.ErrorCode.Name(), g.ErrorMessage.Value, g.GroupState, g.ProtocolType, g.ProtocolData)
		for _, m := range g.Members {
			l.say("    %s/%s client=%s host=%s metadata=%d assignment=%q", m.MemberId, m.GroupInstanceId.Value, m.ClientId, m.ClientHost, len(m.MemberMetadata), m.MemberAssignment)
		}
	}
}

func (l *live) runStats(args) {
	s := l.m.Stats()
	l.say("groups=%v members=%d offsets=%d rebalances=%d paused=%v commits=%d expired=%d", s.Groups, s.Members, s.Offsets, s.Rebalances, s.Paused, s.Commits, s.Expired)
}

// shown is a record, decoded. Times are relative to the start.
func (l *live) shown(r *machine.Record) string {
	if r.Key == nil {
		return fmt.Sprintf("marker of %d: %d", r.Transaction.Producer, r.Transaction.State)
	}
	key, err := decodeKey(r.Key)
	if err != nil {
		l.t.Fatal(err)
	}
	what := strings.TrimPrefix(fmt.Sprintf("%T%+v", key, key), "*wire.")
	what = strings.Replace(what, "&", "", 1)
	if r.Value == nil {
		return what + " tombstone"
	}
	value := wire.NewConsumerOffsetsValue(key.CoordinatorKey())
	if err := decodeValue(value, r.Value); err != nil {
		l.t.Fatal(err)
	}
	version := binary.BigEndian.Uint16(r.Value)
	if text, ok := l.showConsumerRecord(value); ok {
		return what + " v" + strconv.Itoa(int(version)) + " " + text
	}
	switch v := value.(type) {
	case *wire.OffsetCommitValue:
		what += fmt.Sprintf(" v%d offset=%d epoch=%d metadata=%q committed=%s", version, v.Offset, v.LeaderEpoch, v.Metadata, sinceStart(v.CommitTimestamp))
		if v.ExpireTimestamp >= 0 {
			what += " expires=" + sinceStart(v.ExpireTimestamp)
		}
		what += nonzero(v.TopicId) + replacedText(v.Replaced)
	case *wire.GroupMetadataValue:
		what += fmt.Sprintf(" v%d generation=%d type=%q protocol=%s leader=%s changed=%s", version, v.Generation, v.ProtocolType,
			orNull(v.Protocol), orNull(v.Leader), sinceStart(v.CurrentStateTimestamp))
		for _, m := range v.Members {
			what += fmt.Sprintf("\n    %s/%s session=%d rebalance=%d assignment=%q", m.MemberId, orNull(m.GroupInstanceId), m.SessionTimeout, m.RebalanceTimeout, m.Assignment)
		}
	default:
		what += fmt.Sprintf(" v%d %+v", version, value)
	}
	return what
}

func sinceStart(ms int64) string {
	if ms < 0 {
		return "never"
	}
	return (time.Duration(ms-startMs) * time.Millisecond).String()
}

func orNull(s wire.NullString) string {
	if !s.Valid {
		return "null"
	}
	return s.Value
}
