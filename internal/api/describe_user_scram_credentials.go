package api

import (
	"github.com/ottla-io/ottla/internal/wire"
)

// DescribeUserScramCredentials, key 50, version 0. KIP-554. Nobody logs in by SCRAM yet, so there are only credentials that a Kafka broker has
// left in its log; kafka-configs asks for them whenever it shows the quotas of users.
//
// Where we differ from Kafka 4.3.1, on purpose: users come in the request's order, or in that of their names (Kafka's come from a hash).

func (t *Table) describeUserScramCredentials(r *Request) Outcome {
	var (
		d    wire.Decoder
		req  wire.DescribeUserScramCredentialsRequest
		resp wire.DescribeUserScramCredentialsResponse
	)
	if err := decode(r, &d, &req); err != nil {
		return hangup(r, err)
	}
	resp.Default()
	resp.ErrorMessage = wire.SomeString("")
	known, order := make(map[string][]wire.DescribeUserScramCredentialsResponseCredentialInfo), []string(nil)
	for _, c := range t.deps.Cluster.Image().ScramCredentials() {
		if len(known[c.Name]) == 0 {
			order = append(order, c.Name)
		}
		known[c.Name] = append(known[c.Name], wire.DescribeUserScramCredentialsResponseCredentialInfo{Mechanism: c.Mechanism, Iterations: c.Iterations})
	}
	asked := make(map[string]int, len(req.Users))
	if len(req.Users) > 0 { // none is all
		order = nil
		for i := range req.Users {
			name := req.Users[i].Name
			if asked[name]++; asked[name] == 1 {
				order = append(order, name)
			}
		}
	}
	for _, name := range order {
		result := wire.DescribeUserScramCredentialsResponseDescribeUserScramCredentialsResult{User: name, CredentialInfos: known[name]}
		switch {
		case asked[name] > 1:
			result.ErrorCode, result.CredentialInfos = wire.ErrorDuplicateResource, nil
			result.ErrorMessage = wire.SomeString("Cannot describe SCRAM credentials for the same user twice in a single request: " + clipName(name))
		case len(known[name]) == 0:
			result.ErrorCode = wire.ErrorResourceNotFound
			result.ErrorMessage = wire.SomeString("Attempt to describe a user credential that does not exist: " + clipName(name))
		}
		resp.Results = append(resp.Results, result)
	}
	return reply(r, &resp)
}

// clipName shortens a name of a client for a sentence.
func clipName(name string) string {
	const most = 1000
	if len(name) <= most {
		return name
	}
	return name[:most] + "…"
}
