package parity

import (
	"fmt"
	"math"

	"github.com/twmb/franz-go/pkg/kmsg"
)

var quotaScenarios = []scenario{
	{"client-quotas", clientQuotas},
	{"client-quotas-bad", badClientQuotas},
	{"client-quotas-describe", describeClientQuotas},
	{"client-quotas-mutations", mutationQuotas},
	{"describe-scram", describeScram},
}

// entity is made of types and names in turn; a name "<default>" is null.
func entity(parts ...string) []kmsg.AlterClientQuotasRequestEntryEntity {
	var e []kmsg.AlterClientQuotasRequestEntryEntity
	for i := 0; i < len(parts); i += 2 {
		part := kmsg.NewAlterClientQuotasRequestEntryEntity()
		part.Type = parts[i]
		if parts[i+1] != "<default>" {
			part.Name = &parts[i+1]
		}
		e = append(e, part)
	}
	return e
}

func setQuota(key string, value float64) kmsg.AlterClientQuotasRequestEntryOp {
	return kmsg.AlterClientQuotasRequestEntryOp{Key: key, Value: value}
}

func unsetQuota(key string) kmsg.AlterClientQuotasRequestEntryOp {
	return kmsg.AlterClientQuotasRequestEntryOp{Key: key, Remove: true}
}

func alterEntry(e []kmsg.AlterClientQuotasRequestEntryEntity, ops ...kmsg.AlterClientQuotasRequestEntryOp) kmsg.AlterClientQuotasRequestEntry {
	entry := kmsg.NewAlterClientQuotasRequestEntry()
	entry.Entity, entry.Ops = e, ops
	return entry
}

func alterQuotas(entries ...kmsg.AlterClientQuotasRequestEntry) *kmsg.AlterClientQuotasRequest {
	req := kmsg.NewPtrAlterClientQuotasRequest()
	req.Entries = entries
	return req
}

// describeQuotas is made of types and matches in turn: "<any>", "<default>", or a name.
func describeQuotas(strict bool, parts ...string) *kmsg.DescribeClientQuotasRequest {
	req := kmsg.NewPtrDescribeClientQuotasRequest()
	req.Strict = strict
	for i := 0; i < len(parts); i += 2 {
		c := kmsg.NewDescribeClientQuotasRequestComponent()
		c.EntityType = parts[i]
		switch parts[i+1] {
		case "<any>":
			c.MatchType = 2
		case "<default>":
			c.MatchType = 1
		default:
			c.Match = &parts[i+1]
		}
		req.Components = append(req.Components, c)
	}
	return req
}

// quotasKnown waits until a Kafka broker has caught up with its controller: until it tells of a quota that was set after all others.
func (s *session) quotasKnown(value float64) {
	s.t.Helper()
	s.quiet(1, alterQuotas(alterEntry(entity("client-id", "last"), setQuota("request_percentage", value))))
	for {
		resp := s.quiet(1, describeQuotas(true, "client-id", "last")).(*kmsg.DescribeClientQuotasResponse)
		if len(resp.Entries) == 1 && resp.Entries[0].Values[0].Value == value {
			return
		}
	}
}

func clientQuotas(s *session) {
	settled := 1e6
	describe := func(name string, v int16, req *kmsg.DescribeClientQuotasRequest) {
		settled++
		s.quotasKnown(settled)
		s.send(name, v, req)
	}

	for v := int16(0); v <= 1; v++ {
		for _, e := range [][]string{{"user", "u"}, {"user", "<default>"}, {"client-id", "c"}, {"client-id", "<default>"}, {"user", "u", "client-id", "c"},
			{"client-id", "c", "user", "<default>"}, {"user", "u", "client-id", "<default>"}, {"user", "<default>", "client-id", "<default>"}} {
			s.send(fmt.Sprintf("set %v", e), v, alterQuotas(alterEntry(entity(e...),
				setQuota("producer_byte_rate", 1<<40), setQuota("consumer_byte_rate", 2<<40), setQuota("request_percentage", 1000.5), setQuota("controller_mutation_rate", 100000.5))))
		}
		for _, e := range [][]string{{"ip", "10.1.2.3"}, {"ip", "<default>"}, {"ip", "fe80::1"}, {"ip", "2001:db8:0:0:0:0:0:1"}} {
			s.send(fmt.Sprintf("set %v", e), v, alterQuotas(alterEntry(entity(e...), setQuota("connection_creation_rate", 1e6))))
		}
		describe("all", v, describeQuotas(false))
		validate := alterQuotas(alterEntry(entity("user", "nobody"), setQuota("producer_byte_rate", 1)), alterEntry(entity("user", "nobody else"), setQuota("nothing", 1)))
		validate.ValidateOnly = true
		s.send("validate only", v, validate)
		describe("validated", v, describeQuotas(true, "user", "nobody"))
		s.send("nothing", v, alterQuotas())
		s.send("no operations", v, alterQuotas(alterEntry(entity("user", "idle"))))
		s.send("same again", v, alterQuotas(alterEntry(entity("user", "u"), setQuota("producer_byte_rate", 1<<40))))
		s.send("change one, remove one", v, alterQuotas(alterEntry(entity("user", "u"), setQuota("producer_byte_rate", 3<<40), unsetQuota("request_percentage"))))
		describe("changed", v, describeQuotas(true, "user", "u"))
		s.send("remove what is not there", v, alterQuotas(alterEntry(entity("user", "nobody"), unsetQuota("producer_byte_rate"), unsetQuota("no_such_key"))))
		s.send("several", v, alterQuotas(alterEntry(entity("user", "a"), setQuota("producer_byte_rate", 7)), alterEntry(entity("ip", "<default>"), setQuota("producer_byte_rate", 7)),
			alterEntry(entity("client-id", "<default>"), unsetQuota("consumer_byte_rate"))))
		s.send("odd names", v, alterQuotas(alterEntry(entity("user", "a b/ü%41", "client-id", "<>"), setQuota("producer_byte_rate", 8))))
		describe("all, changed", v, describeQuotas(false))
		for _, e := range [][]string{{"user", "u"}, {"user", "<default>"}, {"client-id", "c"}, {"client-id", "<default>"}, {"user", "u", "client-id", "c"}, {"user", "a"},
			{"client-id", "c", "user", "<default>"}, {"user", "u", "client-id", "<default>"}, {"user", "<default>", "client-id", "<default>"}, {"user", "a b/ü%41", "client-id", "<>"}} {
			s.send(fmt.Sprintf("unset %v", e), v, alterQuotas(alterEntry(entity(e...),
				unsetQuota("producer_byte_rate"), unsetQuota("consumer_byte_rate"), unsetQuota("request_percentage"), unsetQuota("controller_mutation_rate"))))
		}
		for _, e := range [][]string{{"ip", "10.1.2.3"}, {"ip", "<default>"}, {"ip", "fe80::1"}, {"ip", "2001:db8:0:0:0:0:0:1"}} {
			s.send(fmt.Sprintf("unset %v", e), v, alterQuotas(alterEntry(entity(e...), unsetQuota("connection_creation_rate"))))
		}
		describe("none left", v, describeQuotas(false))
	}
}

func badClientQuotas(s *session) {
	good := setQuota("producer_byte_rate", 1000)
	for i, e := range [][]string{{}, {"user", ""}, {"client-id", ""}, {"ip", ""}, {"galaxy", "x"}, {"", "x"}, {"user", "u", "galaxy", "x"}, {"user", "u", "ip", "10.0.0.1"}, {"client-id", "c", "ip", "10.0.0.1"},
		{"user", "u", "client-id", "c", "ip", "10.0.0.1"}, {"user", "u", "client-id", ""}, {"User", "u"}, {"user", "u", "user", "w"}, {"user", "u", "user", "<default>"}, {"ip", "not-an-address.invalid"}, {"ip", "1.2.3.4.5"}, {"ip", "999.1.1.1"}, {"ip", "10.0.0.0/8"}} {
		s.send(fmt.Sprintf("entity %d %q", i, e), 1, alterQuotas(alterEntry(entity(e...), good)))
	}
	for _, key := range []string{"", "no_such_key", "connection_creation_rate", "PRODUCER_BYTE_RATE"} {
		s.send(fmt.Sprintf("key %q", key), 1, alterQuotas(alterEntry(entity("user", "k"), setQuota(key, 1))))
		s.send(fmt.Sprintf("key %q of a client", key), 1, alterQuotas(alterEntry(entity("client-id", "k"), setQuota(key, 1))))
	}
	for _, key := range []string{"producer_byte_rate", "request_percentage", "controller_mutation_rate"} {
		s.send(fmt.Sprintf("key %q of an address", key), 1, alterQuotas(alterEntry(entity("ip", "10.0.0.1"), setQuota(key, 1))))
	}
	values := []float64{0, -1, math.Copysign(0, -1), 0.5, 1.5, 1e-7, 1 + 1e-7, 1 + 2e-6, 1 - 1e-7, math.NaN(), math.Inf(1), math.Inf(-1), math.MaxInt32, math.MaxInt32 + 1, math.MaxInt64, 1e19, math.MaxFloat64}
	for _, key := range []string{"producer_byte_rate", "consumer_byte_rate", "request_percentage", "controller_mutation_rate"} {
		for _, value := range values {
			s.send(fmt.Sprintf("%s=%v", key, value), 1, alterQuotas(alterEntry(entity("user", "k"), setQuota(key, value))))
		}
	}
	for _, value := range values {
		s.send(fmt.Sprintf("connection_creation_rate=%v", value), 1, alterQuotas(alterEntry(entity("ip", "10.0.0.1"), setQuota("connection_creation_rate", value))))
	}
	s.quotasKnown(1e6)
	s.send("what is left", 1, describeQuotas(false))
	s.send("key twice", 1, alterQuotas(alterEntry(entity("user", "k"), good, good)))
	s.send("key set and removed", 1, alterQuotas(alterEntry(entity("user", "k"), good, unsetQuota("producer_byte_rate"))))
	s.send("key twice, of two parts", 1, alterQuotas(alterEntry(entity("user", "k", "client-id", "<default>"), good, good)))
	s.send("entity twice", 1, alterQuotas(alterEntry(entity("user", "k"), good), alterEntry(entity("user", "k"), setQuota("consumer_byte_rate", 7))))
	s.send("entity twice, in two orders", 1, alterQuotas(alterEntry(entity("user", "k", "client-id", "d"), good), alterEntry(entity("client-id", "d", "user", "k"), setQuota("consumer_byte_rate", 7))))
	s.send("entity twice, first bad", 1, alterQuotas(alterEntry(entity("user", "j"), setQuota("no_such_key", 1)), alterEntry(entity("user", "j"), good)))
	s.send("one good and one bad key", 1, alterQuotas(alterEntry(entity("user", "m"), good, setQuota("no_such_key", 1))))
	s.send("one bad and one good key", 1, alterQuotas(alterEntry(entity("user", "n"), setQuota("no_such_key", 1), good)))
	s.send("one bad key, one removed", 1, alterQuotas(alterEntry(entity("user", "k"), setQuota("no_such_key", 1), unsetQuota("producer_byte_rate"))))
	s.quotasKnown(2e6)
	s.send("what is left now", 1, describeQuotas(false))
}

func describeClientQuotas(s *session) {
	for _, e := range [][]string{{"user", "u"}, {"user", "w"}, {"user", "<default>"}, {"client-id", "c"}, {"client-id", "<default>"}, {"user", "u", "client-id", "c"},
		{"user", "<default>", "client-id", "c"}, {"user", "u", "client-id", "<default>"}, {"user", "<default>", "client-id", "<default>"}} {
		s.send(fmt.Sprintf("set %v", e), 1, alterQuotas(alterEntry(entity(e...), setQuota("producer_byte_rate", 1<<40), setQuota("request_percentage", 0.25e6))))
	}
	s.send("set addresses", 1, alterQuotas(alterEntry(entity("ip", "10.9.9.9"), setQuota("connection_creation_rate", 1e6)), alterEntry(entity("ip", "<default>"), setQuota("connection_creation_rate", 2e6))))
	s.quotasKnown(1e6)
	for v := int16(0); v <= 1; v++ {
		for _, strict := range []bool{false, true} {
			for i, parts := range [][]string{{}, {"user", "u"}, {"user", "<default>"}, {"user", "<any>"}, {"client-id", "c"}, {"client-id", "<default>"}, {"client-id", "<any>"}, {"user", "u", "client-id", "c"}, {"user", "u", "client-id", "<default>"}, {"user", "u", "client-id", "<any>"},
				{"user", "<any>", "client-id", "<any>"}, {"user", "<any>", "client-id", "c"}, {"user", "<default>", "client-id", "<any>"}, {"ip", "10.9.9.9"}, {"ip", "<default>"}, {"ip", "<any>"}, {"user", "nobody"}, {"ip", "10.9.9.8"}, {"user", ""}} {
				s.send(fmt.Sprintf("%d %v strict %v", i, parts, strict), v, describeQuotas(strict, parts...))
			}
		}
	}
	for i, parts := range [][]string{{"", "x"}, {"galaxy", "x"}, {"galaxy", "<any>"}, {"user", "u", "user", "u"}, {"user", "<any>", "user", "u"}, {"user", "u", "ip", "10.9.9.9"}, {"ip", "<any>", "client-id", "<any>"}, {"user", "u", "galaxy", "x"}, {"galaxy", "x", "", "x"}} {
		s.send(fmt.Sprintf("bad %d %q", i, parts), 1, describeQuotas(false, parts...))
	}
	for _, kind := range []int8{3, -1, 127} {
		req := describeQuotas(false, "user", "u")
		req.Components[0].MatchType = kmsg.QuotasMatchType(kind)
		s.send(fmt.Sprintf("match type %d", kind), 1, req)
	}
	null := describeQuotas(false, "user", "u")
	null.Components[0].Match = nil
	s.send("exact null", 1, null)
	for _, kind := range []int8{1, 2} {
		req := describeQuotas(false, "user", "u")
		req.Components[0].MatchType = kmsg.QuotasMatchType(kind)
		s.send(fmt.Sprintf("name with match type %d", kind), 1, req)
	}
}

// mutationQuotas spends the tokens of controller_mutation_rate. A throttled connection is mute for seconds, hence a new one for each request.
func mutationQuotas(s *session) {
	create := func(name string, v int16, topics ...string) {
		req := kmsg.NewPtrCreateTopicsRequest()
		for _, t := range topics {
			topic := kmsg.NewCreateTopicsRequestTopic()
			topic.Topic, topic.NumPartitions, topic.ReplicationFactor = t, 40, 1
			req.Topics = append(req.Topics, topic)
		}
		s.hangUp()
		s.send(name, v, req)
	}
	more := func(name string, v int16, topic string, count int32) {
		req := kmsg.NewPtrCreatePartitionsRequest()
		t := kmsg.NewCreatePartitionsRequestTopic()
		t.Topic, t.Count = topic, count
		req.Topics = append(req.Topics, t)
		s.hangUp()
		s.send(name, v, req)
	}
	remove := func(name string, v int16, topics ...string) {
		req := kmsg.NewPtrDeleteTopicsRequest()
		for _, t := range topics {
			topic := kmsg.NewDeleteTopicsRequestTopic()
			topic.Topic = &t
			req.Topics = append(req.Topics, topic)
			req.TopicNames = append(req.TopicNames, t)
		}
		s.hangUp()
		s.send(name, v, req)
	}
	s.topic("there", 3)
	s.send("limit", 1, alterQuotas(alterEntry(entity("client-id", "parity"), setQuota("controller_mutation_rate", 0.01))))
	s.quotasKnown(1e6)
	create("the first request may do all until the tokens are gone", 7, "mut-a", "mut-b", "mut-c")
	create("none are left", 7, "mut-b", "mut-d")
	create("nor for the strict v6", 6, "mut-d")
	create("bad ones are bad first", 7, "mut-a", "a b", "mut-d")
	more("no more partitions", 3, "there", 4)
	more("errors come first", 3, "there", 2)
	remove("no deletion", 6, "there")
	remove("no deletion v5", 5, "there", "nobody")
	create("v5 is only slowed", 5, "mut-e")
	more("v2 is only slowed", 2, "there", 5)
	remove("v4 is only slowed", 4, "there")
	s.hangUp()
	s.send("no limit", 1, alterQuotas(alterEntry(entity("client-id", "parity"), unsetQuota("controller_mutation_rate"))))
}

// describeScram asks for the credentials of users; kafka-configs does, whenever it shows a user's quotas.
func describeScram(s *session) {
	ask := func(name string, users ...string) {
		req := kmsg.NewPtrDescribeUserSCRAMCredentialsRequest()
		for _, u := range users {
			user := kmsg.NewDescribeUserSCRAMCredentialsRequestUser()
			user.Name = u
			req.Users = append(req.Users, user)
		}
		s.send(name, 0, req)
	}
	ask("all")
	none := kmsg.NewPtrDescribeUserSCRAMCredentialsRequest()
	none.Users = []kmsg.DescribeUserSCRAMCredentialsRequestUser{}
	s.send("none", 0, none)
	ask("nobody", "nobody")
	ask("two", "one", "two")
	ask("twice", "same", "other", "same")
	ask("three times", "same", "same", "same")
	ask("empty name", "")
}
