package main

import (
	"fmt"
	"strconv"
	"strings"
)

func api(m *message) string { return strings.TrimSuffix(m.name, "Request") }

// emitTables writes what leads from a key to a message.
func emitTables(messages []*message) string {
	e := &emitter{}
	var requests, responses []*message
	for _, m := range messages {
		switch m.kind {
		case "request":
			requests = append(requests, m)
		case "response":
			responses = append(responses, m)
		}
	}
	e.p("// API keys.\nconst (")
	for _, m := range requests {
		e.p("%sKey int16 = %d", api(m), m.key)
	}
	e.p(")\n")
	e.p("// APIName is the name of the API with this key, such as Produce, or \"\" if there is none.")
	e.p("func APIName(key int16) string {\nswitch key {")
	for _, m := range requests {
		e.p("case %sKey:\nreturn %q", api(m), api(m))
	}
	e.p("}\nreturn \"\"\n}\n")
	e.p("// SupportedVersions is the range of versions in which this package knows the request and the response; which of them")
	e.p("// are served is not its business.")
	e.p("func SupportedVersions(key int16) (lowest, highest int16, ok bool) {\nswitch key {")
	for _, m := range requests {
		e.p("case %sKey:\nreturn %d, %d, true", api(m), m.versions.low, m.versions.high)
	}
	e.p("}\nreturn 0, 0, false\n}\n")
	e.p("// firstFlexible is the first version with tagged fields (KIP-482); not ok if there is none.")
	e.p("func firstFlexible(key int16) (version int16, ok bool) {\nswitch key {")
	for _, m := range requests {
		if !m.flexible.empty() {
			e.p("case %sKey:\nreturn %d, true", api(m), m.flexible.low)
		}
	}
	e.p("}\nreturn 0, false\n}\n")
	e.constructor("NewRequest", "Message", "an empty request of the API with this key", requests)
	e.constructor("NewResponse", "Message", "an empty response of the API with this key", responses)
	e.constructor("NewMetadataRecord", "MetadataRecord", "an empty record of __cluster_metadata of this type", selectMessages(messages, "metadata", ""))
	for _, log := range []struct{ goName, topic, file string }{
		{"ConsumerOffsets", "__consumer_offsets", "consumer_offsets_records.txt"},
		{"TransactionState", "__transaction_state", "transaction_state_records.txt"},
		{"ShareGroupState", "__share_group_state", "share_group_state_records.txt"},
	} {
		e.constructor("New"+log.goName+"Key", "CoordinatorRecord", "an empty record key of "+log.topic+" of this type",
			selectMessages(messages, "coordinator-key", log.file))
		e.constructor("New"+log.goName+"Value", "CoordinatorRecord", "an empty record value of "+log.topic+" of this type",
			selectMessages(messages, "coordinator-value", log.file))
	}
	return e.b.String()
}

func selectMessages(messages []*message, kind, file string) []*message {
	var chosen []*message
	for _, m := range messages {
		if m.kind == kind && (file == "" || m.file == file) {
			chosen = append(chosen, m)
		}
	}
	return chosen
}

func (e *emitter) constructor(name, result, doc string, messages []*message) {
	e.p("// %s is %s, nil if there is none.", name, doc)
	e.p("func %s(key int16) %s {\nswitch key {", name, result)
	for _, m := range messages {
		e.p("case %d:\nreturn new(%s)", m.key, m.root.goName)
	}
	e.p("}\nreturn nil\n}\n")
}

type errorCode struct {
	code            int
	name            string
	retriable       bool
	sentence, ident string
}

func parseErrors(text string) ([]errorCode, error) {
	var codes []errorCode
	for i, raw := range strings.Split(text, "\n") {
		if raw == "" || raw[0] == '#' {
			continue
		}
		columns := strings.Split(raw, "\t")
		if len(columns) != 4 || columns[2] != "yes" && columns[2] != "no" {
			return nil, fmt.Errorf("errors.txt:%d: want code, name, yes or no, sentence", i+1)
		}
		code, err := strconv.Atoi(columns[0])
		if err != nil {
			return nil, fmt.Errorf("errors.txt:%d: %w", i+1, err)
		}
		if want := len(codes) - 1; code != want {
			return nil, fmt.Errorf("errors.txt:%d: code %d where %d comes next", i+1, code, want)
		}
		codes = append(codes, errorCode{code, columns[1], columns[2] == "yes", columns[3], errorIdent(columns[1])})
	}
	return codes, nil
}

// errorIdent is the Go name of an error: UNKNOWN_TOPIC_ID gives ErrorUnknownTopicID.
func errorIdent(name string) string {
	ident := "Error"
	for _, word := range strings.Split(name, "_") {
		switch word {
		case "ID", "SASL":
			ident += word
		default:
			ident += word[:1] + strings.ToLower(word[1:])
		}
	}
	return ident
}

func emitErrors(codes []errorCode) string {
	e := &emitter{}
	e.p("// Kafka's error codes.\nconst (")
	for _, c := range codes {
		e.p("// %s: %s", c.ident, orNone(c.sentence))
		e.p("%s ErrorCode = %d", c.ident, c.code)
	}
	e.p(")\n")
	e.p("// errorTable is indexed by code + 1.")
	e.p("var errorTable = [...]errorEntry{")
	for _, c := range codes {
		e.p("{%q, %t, %q},", c.name, c.retriable, c.sentence)
	}
	e.p("}")
	return e.b.String()
}

func orNone(sentence string) string {
	if sentence == "" {
		return "no error."
	}
	return sentence
}
