package group

import "github.com/ottla-io/ottla/internal/metadata"

// topicHash is the hash of a topic's metadata.
type topicHash struct {
	topic *metadata.Topic
	hash  uint64
}

// metadataHash sums up the topics that a group subscribes to: their ids, names, partitions, and the racks of those. Only we
// compare it, so it need not be Kafka's (XXH3): taking over a group of Kafka's costs it one rebalance. 0 is no topics.
func (m *Machine) metadataHash(image *metadata.Image, subscribed map[string]subscribers) int64 {
	if len(subscribed) == 0 {
		return 0
	}
	sum, found := fnvOffset, false
	for _, name := range sortedKeys(subscribed) {
		topic, ok := image.Topic(name)
		if !ok {
			delete(m.hashes, name)
			continue
		}
		found = true
		known := m.hashes[name]
		if known.topic != topic {
			known = topicHash{topic, hashTopic(image, topic)}
			m.hashes[name] = known
		}
		sum = sum.number(known.hash)
	}
	if !found {
		return 0
	}
	return int64(sum)
}

// racksOf are the racks of each partition's replicas, in order, each once.
func racksOf(image *metadata.Image, topic *metadata.Topic) [][]string {
	all := make([][]string, len(topic.Partitions))
	for i := range topic.Partitions {
		var racks []string
		for _, id := range topic.Partitions[i].Replicas {
			if broker, ok := image.Broker(id); ok && broker.Rack != "" {
				racks = append(racks, broker.Rack)
			}
		}
		all[i] = sortedNames(racks)
	}
	return all
}

func hashTopic(image *metadata.Image, topic *metadata.Topic) uint64 {
	sum := fnvOffset.bytes(string(topic.ID[:])).bytes(topic.Name).number(uint64(len(topic.Partitions)))
	for _, racks := range racksOf(image, topic) {
		sum = sum.number(uint64(len(racks)))
		for _, rack := range racks {
			sum = sum.bytes(rack)
		}
	}
	return uint64(sum)
}

// fnv is FNV-1a's sum, in 64 bits.
type fnv uint64

const (
	fnvOffset fnv = 14695981039346656037
	fnvPrime  fnv = 1099511628211
)

// bytes adds a string, with its length so that no two sequences of strings are the same bytes.
func (h fnv) bytes(s string) fnv {
	h = h.number(uint64(len(s)))
	for i := range len(s) {
		h = (h ^ fnv(s[i])) * fnvPrime
	}
	return h
}

func (h fnv) number(n uint64) fnv {
	for range 8 {
		h = (h ^ fnv(n&0xff)) * fnvPrime
		n >>= 8
	}
	return h
}
