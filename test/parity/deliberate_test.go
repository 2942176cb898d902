//go:build parity

package parity

import (
	"path"
	"regexp"
)

// difference is an answer of Ottla that is not Kafka's on purpose: in exchanges whose SCENARIO/NAME matches where (as path.Match), what
// matches kafka in Kafka's answer is ottla (with $1… as in regexp) in Ottla's. docs/compatibility.md tells users.
type difference struct {
	where, kafka, ottla string
	why                 string
}

var deliberate = []difference{}

// expected is Ottla's answer to be: Kafka's with the deliberate differences.
func expected(where, kafka string, used []bool) string {
	for i, d := range deliberate {
		if ok, _ := path.Match(d.where, where); !ok {
			continue
		}
		re := regexp.MustCompile(`(?s)` + d.kafka)
		if re.MatchString(kafka) {
			used[i] = true
			kafka = re.ReplaceAllString(kafka, d.ottla)
		}
	}
	return kafka
}
