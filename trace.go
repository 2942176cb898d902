package ottla

import (
	"fmt"
	"net"
	"net/url"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/ottla-io/ottla/internal/api"
	"github.com/ottla-io/ottla/internal/config"
	"github.com/ottla-io/ottla/internal/server"
	"github.com/ottla-io/ottla/internal/wire"
)

// traceLine is one request as /trace tells it. docs/metrics.md describes the fields. Times are microseconds.
type traceLine struct {
	Time          time.Time          `json:"time"`
	ClientID      string             `json:"clientId"`
	Software      string             `json:"software"`
	Client        string             `json:"client"`
	Listener      string             `json:"listener"`
	Connection    uint64             `json:"connection"`
	API           string             `json:"api"`
	Version       int16              `json:"version"`
	CorrelationID int32              `json:"correlationId"`
	Groups        []string           `json:"groups,omitempty"`
	Topics        []traceTopic       `json:"topics,omitempty"`
	MoreTopics    int                `json:"moreTopics,omitempty"`
	RequestBytes  int                `json:"requestBytes"`
	ReplyBytes    int                `json:"replyBytes"`
	TotalUs       float64            `json:"totalUs"`
	StagesUs      map[string]float64 `json:"stagesUs"`
	Errors        map[string]int32   `json:"errors,omitempty"`
	Ended         string             `json:"ended"`
	Reason        string             `json:"reason,omitempty"`
}

type traceTopic struct {
	Name           string  `json:"name"`
	Partitions     []int32 `json:"partitions,omitempty"`
	MorePartitions int     `json:"morePartitions,omitempty"`
}

// traceFilter is which requests a trace wants.
type traceFilter struct {
	client string         // a glob for the client's id or host; "" is any
	apis   map[int16]bool // nil is any
}

func (f *traceFilter) wants(r *api.Request) bool {
	if f.apis != nil && !f.apis[r.Key] {
		return false
	}
	return f.client == "" || globbed(f.client, r.ClientID) || globbed(f.client, r.Conn.RemoteHost)
}

// globbed matches a pattern that has been checked.
func globbed(pattern, text string) bool {
	ok, err := path.Match(pattern, text)
	return ok && err == nil
}

// trace is admin.Tracer: it tells of the requests of the clients and APIs that the query names.
func (b *Broker) trace(query url.Values, tell func(any)) (stop func(), err error) {
	filter := &traceFilter{client: query.Get("client")}
	if _, err := path.Match(filter.client, ""); err != nil {
		return nil, fmt.Errorf("client=%s is no pattern: * stands for any characters, ? for one, [a-z] for one of them", filter.client)
	}
	for _, name := range query["api"] {
		key, err := b.apiNamed(name)
		if err != nil {
			return nil, err
		}
		if filter.apis == nil {
			filter.apis = map[int16]bool{}
		}
		filter.apis[key] = true
	}
	return b.server.Trace(filter.wants, func(t *server.Traced) { tell(b.traceLine(t)) }), nil
}

// apiNamed finds an API that is served, by its name in any case.
func (b *Broker) apiNamed(name string) (int16, error) {
	var names []string
	for key := range int16(128) {
		if _, served := b.table.Lookup(key); !served {
			continue
		}
		if strings.EqualFold(wire.APIName(key), name) {
			return key, nil
		}
		names = append(names, wire.APIName(key))
	}
	if near := config.NearestOf(name, names); near != "" {
		return 0, fmt.Errorf("no API is called %s: did you mean %s?", name, near)
	}
	return 0, fmt.Errorf("no API is called %s; docs/compatibility.md lists them", name)
}

func (b *Broker) traceLine(t *server.Traced) *traceLine {
	line := &traceLine{
		Time: t.At.UTC(), ClientID: t.ClientID, Software: t.SoftwareName + "/" + t.SoftwareVersion, Client: net.JoinHostPort(t.Host, strconv.Itoa(int(t.Port))),
		Listener: t.Listener, Connection: t.Connection, API: wire.APIName(t.Key), Version: t.Version, CorrelationID: t.CorrelationID,
		Groups: t.About.Groups, MoreTopics: t.About.MoreTopics, RequestBytes: t.RequestBytes, ReplyBytes: t.ReplyBytes,
		TotalUs: microseconds(t.Path.Total()), StagesUs: make(map[string]float64, server.Stages), Ended: t.Ended.String(),
	}
	for stage, took := range t.Path {
		line.StagesUs[server.Stage(stage).String()] = microseconds(took)
	}
	image := b.cluster.Image()
	for _, topic := range t.About.Topics {
		name := topic.Name
		if known, ok := image.TopicByID(topic.ID); ok && name == "" {
			name = known.Name
		} else if name == "" {
			name = topic.ID.String()
		}
		line.Topics = append(line.Topics, traceTopic{name, topic.Partitions, topic.More})
	}
	for _, tally := range t.Codes {
		if line.Errors == nil {
			line.Errors = map[string]int32{}
		}
		line.Errors[tally.Code.Name()] += tally.Count
	}
	if t.Err != nil {
		line.Reason = t.Err.Error()
	}
	return line
}

func microseconds(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
