package main

import (
	"regexp"
	"strings"
	"testing"

	"github.com/ottla-io/ottla/ottlatest"
)

// masked makes one space of several and replaces ids, addresses, offsets of the metadata log and times by words.
func masked(text string) string {
	for _, m := range []struct{ pattern, with string }{
		{`(\S) +`, "$1 "}, {`127\.0\.0\.1:\d+`, "ADDRESS"}, {`cluster(Id)?:? [\w-]{22}`, "cluster ID"}, {`\d{4}-\d\d-\d\dT[\d:]+Z`, "TIME"}, {`Ms: \d{13}`, "Ms: TIME"},
		{`(high watermark|highWatermark:|endOffset:|voter) +\d+`, "$1 N"}, {`(epoch:?) \d+`, "$1 N"},
	} {
		text = regexp.MustCompile(m.pattern).ReplaceAllString(text, m.with)
	}
	return text
}

func TestCluster(t *testing.T) {
	b := ottlatest.Start(t, ottlatest.WithNodeID(7)).Addr()
	for _, c := range []struct{ args, want string }{
		{"cluster info", "cluster ID, controller 7\nBROKER ADDRESS RACK STATE SPEAKS\n7 ADDRESS - in use -\n\n" +
			"quorum: leader 7, epoch N, high watermark N\nNODE ROLE END LAG LAST CAUGHT UP\n7 voter N 0 TIME\n"},
		{"cluster info -o yaml", "cluster ID\ncontroller: 7\nbrokers:\n  - broker: 7\n    address: ADDRESS\n    fenced: false\nquorum:\n  leader: 7\n  epoch: N\n  highWatermark: N\n" +
			"  members:\n    - node: 7\n      role: voter\n      endOffset: N\n      lag: 0\n      lastCaughtUpMs: TIME\n"},
	} {
		if got := masked(must(t, "", append(strings.Fields(c.args), "-b", b)...)); got != c.want {
			t.Errorf("%s:\n%s\nwant\n%s", c.args, got, c.want)
		}
	}
	features := must(t, "", "cluster", "features", "-b", b)
	if !regexp.MustCompile(`(?m)^metadata.version +30 +\d+..30$`).MatchString(features) || !regexp.MustCompile(`(?m)^group.version +1 +0..1$`).MatchString(features) {
		t.Errorf("features:\n%s", features)
	}
}

func TestProducers(t *testing.T) {
	b := ottlatest.Start(t).Addr()
	must(t, "", "topic", "create", "t", "-p", "2", "-b", b)
	must(t, "a\nb\n", "produce", "t", "-p", "1", "-b", b)
	must(t, "a\n", "produce", "t", "-p", "0", "--acks", "1", "-b", b) // not idempotent: nobody remembers it
	for _, c := range []struct{ args, want string }{
		{"t", "TOPIC PARTITION PRODUCER EPOCH LAST SEQUENCE LAST TIME OPEN SINCE OFFSET\nt 1 0 0 1 TIME -\n"},
		{"t -o yaml", "- topic: t\n  partition: 1\n  producerId: 0\n  producerEpoch: 0\n  lastSequence: 1\n  lastTimestampMs: TIME\n  transactionStartOffset: -1\n  leader: 1\n"},
		{"t --open -o json", "[]\n"},
	} {
		if got := masked(must(t, "", append(strings.Fields("producers "+c.args), "-b", b)...)); got != c.want {
			t.Errorf("producers %s:\n%s\nwant\n%s", c.args, got, c.want)
		}
	}
	if r := ottlaRuns(t, "", "producers", "absent", "-b", b); r.code != 1 || !strings.Contains(r.stderr, "topic absent: UNKNOWN_TOPIC_OR_PARTITION") {
		t.Errorf("%+v", r)
	}
}
