package api

import (
	"errors"

	"github.com/ottla-io/ottla/internal/wire"
)

// DescribeAcls, CreateAcls and DeleteAcls, keys 29 to 31, versions 1-3. There is no authorizer: the answer is Kafka's own for that case,
// SECURITY_DISABLED, which MirrorMaker and consoles take for "no ACLs here".

const noAuthorizer = "No Authorizer is configured."

// aclUnknown is the value of each ACL enumeration that names nothing. Kafka's parser refuses it, and closes the connection.
const aclUnknown int8 = 0

func (t *Table) describeACLs(r *Request) Outcome {
	var (
		d    wire.Decoder
		req  wire.DescribeAclsRequest
		resp wire.DescribeAclsResponse
	)
	if err := decode(r, &d, &req); err != nil {
		return hangup(r, err)
	}
	if unknownACL(req.ResourceTypeFilter, req.PatternTypeFilter, req.Operation, req.PermissionType) {
		return hangup(r, errUnknownACL)
	}
	resp.Default()
	resp.ErrorCode, resp.ErrorMessage = wire.ErrorSecurityDisabled, wire.SomeString("No Authorizer is configured on the broker")
	return reply(r, &resp)
}

func (t *Table) createACLs(r *Request) Outcome {
	var (
		d    wire.Decoder
		req  wire.CreateAclsRequest
		resp wire.CreateAclsResponse
	)
	if err := decode(r, &d, &req); err != nil {
		return hangup(r, err)
	}
	resp.Default()
	for i := range req.Creations {
		c := &req.Creations[i]
		if unknownACL(c.ResourceType, c.ResourcePatternType, c.Operation, c.PermissionType) {
			return hangup(r, errUnknownACL)
		}
		resp.Results = append(resp.Results, wire.CreateAclsResponseAclCreationResult{
			ErrorCode: wire.ErrorSecurityDisabled, ErrorMessage: wire.SomeString(noAuthorizer)})
	}
	t.audit(r).aclsCreated(&req, &resp)
	return reply(r, &resp)
}

func (t *Table) deleteACLs(r *Request) Outcome {
	var (
		d    wire.Decoder
		req  wire.DeleteAclsRequest
		resp wire.DeleteAclsResponse
	)
	if err := decode(r, &d, &req); err != nil {
		return hangup(r, err)
	}
	resp.Default()
	for i := range req.Filters {
		f := &req.Filters[i]
		if unknownACL(f.ResourceTypeFilter, f.PatternTypeFilter, f.Operation, f.PermissionType) {
			return hangup(r, errUnknownACL)
		}
		resp.FilterResults = append(resp.FilterResults, wire.DeleteAclsResponseDeleteAclsFilterResult{
			ErrorCode: wire.ErrorSecurityDisabled, ErrorMessage: wire.SomeString(noAuthorizer)})
	}
	t.audit(r).aclsDeleted(&req, &resp)
	return reply(r, &resp)
}

var errUnknownACL = errors.New("an ACL of unknown type, pattern, operation or permission")

func unknownACL(kind, pattern, operation, permission int8) bool {
	return kind == aclUnknown || pattern == aclUnknown || operation == aclUnknown || permission == aclUnknown
}
