package tools

import (
	"regexp"
	"slices"
	"strings"
)

// masks replace what differs from run to run. Runs of spaces and tabs are one space first: the tools pad their columns by their content.
var masks = []struct {
	pattern *regexp.Regexp
	with    string
}{
	{regexp.MustCompile(`(?m)^\s*(at .*|\.\.\. \d+ more)\n`), ""},                               // stack traces
	{regexp.MustCompile(`(Error while executing config command with args )'.*'`), "${1}'ARGS'"}, // which stand above
	{regexp.MustCompile(`\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}\]`), "[TIME]"},
	{regexp.MustCompile(`[ \t]+`), " "},
	{regexp.MustCompile(`(?m) $`), ""},
	{regexp.MustCompile(`(?s)Option Description\n.*?(\nexit \d+\n|$)`), "USAGE${1}"},
	{regexp.MustCompile(`\b(HighWatermark: |Epoch: )\d+`), "${1}N"},
	{regexp.MustCompile(`(?m)^(\d+ [A-Za-z0-9_-]{22}) \d+ (\d+) (\d{13}|\d+ ms ago) (\d{13}|\d+ ms ago)`), "${1} N ${2} TIME TIME"},
	{regexp.MustCompile(`"size":\d+`), `"size":N`},
	{regexp.MustCompile(`((?:TopicId|topicId|ClusterId|Cluster ID)[:=] ?)[A-Za-z0-9_-]{22}`), "${1}ID"},
	{regexp.MustCompile(`(member-of-[a-z-]+)-[0-9a-f-]{36}`), "${1}-UUID"},
	{regexp.MustCompile(`\b[A-Za-z0-9_-]{22} /127`), "MEMBER /127"},
}

// mask prepares what a tool printed for comparison and for the transcript.
func mask(output, addr, dir string) string {
	output = strings.ReplaceAll(output, addr, "BROKER")
	port := addr[strings.LastIndexByte(addr, ':')+1:]
	output = strings.ReplaceAll(output, port, "PORT")
	output = regexp.MustCompile(`CONTROLLER://127\.0\.0\.1:\d+`).ReplaceAllString(output, "CONTROLLER://BROKER")
	output = strings.ReplaceAll(output, dir+"/log", "DIRECTORY")
	output = strings.ReplaceAll(output, dir, "DIRECTORY")
	for _, m := range masks {
		output = m.pattern.ReplaceAllString(output, m.with)
	}
	var lines []string
	for line := range strings.Lines(output) {
		if strings.TrimSpace(line) != "" {
			lines = append(lines, strings.TrimPrefix(line, " "))
		}
	}
	for from := 0; from < len(lines); { // kafka-delete-records lists partitions in an order that Java draws anew in every process
		to := from + 1
		for strings.HasPrefix(lines[from], "partition: ") && to < len(lines) && strings.HasPrefix(lines[to], "partition: ") {
			to++
		}
		slices.Sort(lines[from:to])
		from = to
	}
	return strings.Join(lines, "")
}
