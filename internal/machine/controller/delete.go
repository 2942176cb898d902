package controller

import (
	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/machine"
	"github.com/ottla-io/ottla/internal/metadata"
	"github.com/ottla-io/ottla/internal/wire"
)

// DeleteTopics decides on the end of topics, named or by id, as Kafka 4.3.1 does: a name or id that is given twice, or a
// topic that is given by both, is not deleted. Each topic succeeds or fails by itself. Kafka shuffles its results; here
// they have the request's order. A topic whose ottla.topic.trash.ms is not 0 goes into the trash, unless the request asks to purge it; one in the trash is
// purged if its id is given and the request asks for that.
func (c *Controller) DeleteTopics(req *wire.DeleteTopicsRequest, allow Allow, at machine.Moment) ([]machine.Record, *wire.DeleteTopicsResponse) {
	if !c.settings(nil).BrokerConfig().DeleteTopics {
		return nil, FailDeleteTopics(req, wire.ErrorTopicDeletionDisabled)
	}
	resp := new(wire.DeleteTopicsResponse)
	resp.Default()
	names, given := make(map[string]int), make(map[ids.TopicID]int)
	for i := range req.Topics {
		switch t := &req.Topics[i]; {
		case t.Name.Valid && t.TopicId == wire.UUID{}:
			names[t.Name.Value]++
		case !t.Name.Valid && t.TopicId != wire.UUID{}:
			given[ids.TopicID(t.TopicId)]++
		}
	}
	var messages []wire.MetadataRecord
	reported := make(map[any]bool) // names and ids that have a result
	for i := range req.Topics {
		t := &req.Topics[i]
		topic, refused := c.toDelete(t, names, given)
		key := any(ids.TopicID(t.TopicId))
		if t.Name.Valid {
			key = t.Name.Value
		}
		if refused == nil || topic != nil {
			key = topic.ID
		}
		// What names nothing, or too much, is told each time.
		if t.Name.Valid != (t.TopicId != wire.UUID{}) {
			if reported[key] {
				continue
			}
			reported[key] = true
		}
		result := wire.DeleteTopicsResponseDeletableTopicResult{Name: t.Name, TopicId: t.TopicId}
		if topic != nil {
			result.Name, result.TopicId = wire.SomeString(topic.Name), wire.UUID(topic.ID)
		}
		if refused == nil {
			refused = allow.check(len(topic.Partitions))
		}
		if refused != nil {
			result.ErrorCode, result.ErrorMessage = refused.code, wire.NullString{Value: refused.message, Valid: refused.message != ""}
		} else {
			messages = append(messages, c.removal(topic, t.Purge, at))
		}
		resp.Responses = append(resp.Responses, result)
	}
	return encode(append(messages, c.overflow(messages)...)), resp
}

// toDelete finds the topic that one entry of the request means. The topic is also there with a problem where the result
// should show both its name and its id.
func (c *Controller) toDelete(t *wire.DeleteTopicsRequestDeleteTopicState, names map[string]int, given map[ids.TopicID]int) (*metadata.Topic, *problem) {
	id := ids.TopicID(t.TopicId)
	switch {
	case t.Name.Valid && !id.IsZero():
		return nil, refuse(wire.ErrorInvalidRequest, "You may not specify both topic name and topic id.")
	case !t.Name.Valid && id.IsZero():
		return nil, refuse(wire.ErrorInvalidRequest, "Neither topic name nor id were specified.")
	case t.Name.Valid && names[t.Name.Value] > 1:
		return nil, refuse(wire.ErrorInvalidRequest, "Duplicate topic name.")
	case !t.Name.Valid && given[id] > 1:
		return nil, refuse(wire.ErrorInvalidRequest, "Duplicate topic id.")
	}
	topic, ok := c.image.TopicByID(id)
	if trashed, there := c.image.Trashed(id); there && t.Purge {
		return trashed.Topic, nil
	}
	unknown := wire.ErrorUnknownTopicID
	if t.Name.Valid {
		topic, ok = c.image.Topic(t.Name.Value)
		unknown = wire.ErrorUnknownTopicOrPartition
	}
	if !ok {
		return nil, refuse(unknown, "%s", unknown.Message())
	}
	if names[topic.Name] > 0 && given[topic.ID] > 0 {
		return topic, refuse(wire.ErrorInvalidRequest, "The provided topic name maps to an ID that was already supplied.")
	}
	if c.protected(topic.Name) {
		return topic, refuse(wire.ErrorPolicyViolation, "Topic '%s' is protected from deletion: set its %s to false first.", topic.Name, deletionProtection)
	}
	return topic, nil
}

// FailDeleteTopics answers a request of which nothing is known to have happened.
func FailDeleteTopics(req *wire.DeleteTopicsRequest, code wire.ErrorCode) *wire.DeleteTopicsResponse {
	resp := new(wire.DeleteTopicsResponse)
	resp.Default()
	for _, t := range req.Topics {
		resp.Responses = append(resp.Responses, wire.DeleteTopicsResponseDeletableTopicResult{Name: t.Name, TopicId: t.TopicId, ErrorCode: code})
	}
	return resp
}
