package inspect

import "github.com/ottla-io/ottla/internal/wire"

// coordinatorLayouts makes empty structs for the key and value of a record whose key begins with number; nil, nil for a
// type that the topic does not have.
func coordinatorLayouts(topic string, number int16) (key, value wire.Message) {
	switch topic {
	case "__transaction_state":
		if number == 0 {
			return new(wire.TransactionLogKey), new(wire.TransactionLogValue)
		}
	case "__share_group_state":
		switch number {
		case 0:
			return new(wire.ShareSnapshotKey), new(wire.ShareSnapshotValue)
		case 1:
			return new(wire.ShareUpdateKey), new(wire.ShareUpdateValue)
		}
	case "__consumer_offsets":
		return groupLayouts(number)
	}
	return nil, nil
}

func groupLayouts(number int16) (key, value wire.Message) {
	switch number {
	case 0:
		return new(wire.LegacyOffsetCommitKey), new(wire.LegacyOffsetCommitValue)
	case 1:
		return new(wire.OffsetCommitRecordKey), new(wire.OffsetCommitValue)
	case 2:
		return new(wire.GroupMetadataKey), new(wire.GroupMetadataValue)
	case 3:
		return new(wire.ConsumerGroupMetadataKey), new(wire.ConsumerGroupMetadataValue)
	case 4:
		return new(wire.ConsumerGroupPartitionMetadataKey), new(wire.ConsumerGroupPartitionMetadataValue)
	case 5:
		return new(wire.ConsumerGroupMemberMetadataKey), new(wire.ConsumerGroupMemberMetadataValue)
	case 6:
		return new(wire.ConsumerGroupTargetAssignmentMetadataKey), new(wire.ConsumerGroupTargetAssignmentMetadataValue)
	case 7:
		return new(wire.ConsumerGroupTargetAssignmentMemberKey), new(wire.ConsumerGroupTargetAssignmentMemberValue)
	case 8:
		return new(wire.ConsumerGroupCurrentMemberAssignmentKey), new(wire.ConsumerGroupCurrentMemberAssignmentValue)
	case 10:
		return new(wire.ShareGroupMemberMetadataKey), new(wire.ShareGroupMemberMetadataValue)
	case 11:
		return new(wire.ShareGroupMetadataKey), new(wire.ShareGroupMetadataValue)
	case 12:
		return new(wire.ShareGroupTargetAssignmentMetadataKey), new(wire.ShareGroupTargetAssignmentMetadataValue)
	case 13:
		return new(wire.ShareGroupTargetAssignmentMemberKey), new(wire.ShareGroupTargetAssignmentMemberValue)
	case 14:
		return new(wire.ShareGroupCurrentMemberAssignmentKey), new(wire.ShareGroupCurrentMemberAssignmentValue)
	case 15:
		return new(wire.ShareGroupStatePartitionMetadataKey), new(wire.ShareGroupStatePartitionMetadataValue)
	case 16:
		return new(wire.ConsumerGroupRegularExpressionKey), new(wire.ConsumerGroupRegularExpressionValue)
	case 17:
		return new(wire.StreamsGroupMetadataKey), new(wire.StreamsGroupMetadataValue)
	case 19:
		return new(wire.StreamsGroupMemberMetadataKey), new(wire.StreamsGroupMemberMetadataValue)
	case 20:
		return new(wire.StreamsGroupTargetAssignmentMetadataKey), new(wire.StreamsGroupTargetAssignmentMetadataValue)
	case 21:
		return new(wire.StreamsGroupTargetAssignmentMemberKey), new(wire.StreamsGroupTargetAssignmentMemberValue)
	case 22:
		return new(wire.StreamsGroupCurrentMemberAssignmentKey), new(wire.StreamsGroupCurrentMemberAssignmentValue)
	case 23:
		return new(wire.StreamsGroupTopologyKey), new(wire.StreamsGroupTopologyValue)
	}
	return nil, nil
}
