package tools

import "regexp"

// difference is what Kafka's tools print about Ottla and not about Kafka, on purpose. For commands that match where (FILE $ COMMAND), what
// matches kafka in Kafka's answer is ottla in Ottla's, with ${1}… as in package regexp. docs/compatibility.md tells users.
type difference struct {
	where, kafka, ottla string
	why                 string
}

const (
	unsupported = "what it asks for is not served yet, which is what the tool says"
	features    = "what other features announce is not there yet, and there is one layout of metadata"
	eligible    = "Kafka sets it for eligible leader replicas, which are not there yet"
)

var deliberate = []difference{
	// APIs that are not served
	{`^cluster \$ kafka-broker-api-versions`, `(SaslHandshake|AddPartitionsToTxn|AddOffsetsToTxn|EndTxn|WriteTxnMarkers|TxnOffsetCommit|SaslAuthenticate|CreateDelegationToken|RenewDelegationToken|ExpireDelegationToken|DescribeDelegationToken|AlterUserScramCredentials|UnregisterBroker|DescribeTransactions|ListTransactions|Share\w+|AddRaftVoter|RemoveRaftVoter|(?:Initialize|Read|Write|Delete)ShareGroup\w+|Streams\w+|(?:Describe|Alter|Delete)ShareGroupOffsets)\((\d+)\): [^,\n]*`,
		`${1}(${2}): UNSUPPORTED`, unsupported},
	{`^cluster \$ kafka-cluster unregister`, `(?s)^.*$`, "The target cluster does not support the broker unregistration API.\n", "no broker can be taken out of a cluster of one"},
	{`^cluster \$ kafka-metadata-quorum \S+ \S+ remove-controller`, `Cluster doesn't support removing voter because the kraft.version feature is 0`, `The node does not support REMOVE_RAFT_VOTER`, "there is one controller yet"},
	{`^cluster \$ kafka-transactions .* list$`, `(?s)^.*$`, "Failed to list transactions: The node does not support LIST_TRANSACTIONS. Enable debug logging for additional detail.\nexit 1\n", unsupported},
	{`^cluster \$ kafka-transactions .* describe `, "DescribeTransactions request for transactionalId `x` failed because the ID could not be found", "FindCoordinator request for transactionalId `CoordinatorKey(idValue='x', type=TRANSACTION)` failed due to authorization failure", "there is no coordinator, and this code is final in every client"},
	{`^(cluster|groups) \$ kafka-share-groups .* --describe`, `GroupIdNotFoundException: Group \w+ (not found|is not a share group)\.`, `UnsupportedVersionException: The node does not support SHARE_GROUP_DESCRIBE`, unsupported},
	{`^cluster \$ kafka-share-groups .* --reset-offsets`, `(?s)^.*$`, "The node does not support SHARE_GROUP_DESCRIBE\nexit 1\n", unsupported},
	{`^cluster \$ kafka-streams-groups .* --describe`, `GroupIdNotFoundException: Group x is not a streams group\.`, `UnsupportedVersionException: The node does not support STREAMS_GROUP_DESCRIBE`, unsupported},
	{`^configs-others \$ kafka-configs .* --(add|delete)-config '?(SCRAM-SHA-256(?:=\[password=x\])?)'?$`, `(?s)^Completed updating config for user u\.\n$`, "Error while executing config command with args 'ARGS'\njava.util.concurrent.ExecutionException: org.apache.kafka.common.errors.UnsupportedVersionException: The node does not support ALTER_USER_SCRAM_CREDENTIALS\nCaused by: org.apache.kafka.common.errors.UnsupportedVersionException: The node does not support ALTER_USER_SCRAM_CREDENTIALS\nexit 1\n", "passwords come with SASL"},

	// The quorum and features
	{`^cluster \$ kafka-metadata-quorum .* --status`, `CONTROLLER://`, `PLAINTEXT://`, "the controller has no listener of its own"},
	{`^cluster \$ kafka-features .* describe`, `(?m)^Feature: (eligible.leader.replicas|kraft|share|streams|transaction)\.version .*\n`, ``, features},
	{`^cluster \$ kafka-features .* describe`, `(metadata.version SupportedMinVersion: )3\.3-IV3`, `${1}4.3-IV0`, features},
	{`^cluster \$ kafka-features .*metadata`, `only supports versions 7-30`, `only supports versions 30`, features},
	{`^cluster \$ kafka-features .* downgrade --metadata 4.0`, `Unsupported metadata.version downgrade from 30 to 25\..*`, `Invalid update version 25 for feature metadata.version. Local controller 1 only supports versions 30`, features},

	// Settings
	{`^topics \$ .* --topics-with-overrides`, `(?m)^Topic: \S+ TopicId: ID .*Configs: min.insync.replicas=1\n`, ``, eligible},
	{`^topics \$ .* --describe`, `Configs: min.insync.replicas=1,`, `Configs: `, eligible},
	{`^topics \$ .* --describe`, `Configs: min.insync.replicas=1\n`, "Configs:\n", eligible},
	{`^configs-brokers \$ .* --describe`, `(?m)^min.insync.replicas=1 .*\n`, ``, eligible},
	{`^configs-topics \$ .* --describe --all`, `DYNAMIC_DEFAULT_BROKER_CONFIG:min.insync.replicas=1, `, ``, eligible},
	{`^configs-topics \$ .* --describe --all`, `(?m)^(preallocate=)`, "ottla.durability=fsync sensitive=false synonyms={DEFAULT_CONFIG:ottla.durability=fsync}\nottla.record.validation=framing sensitive=false synonyms={DEFAULT_CONFIG:ottla.record.validation=framing}\nottla.topic.deletion.protection=false sensitive=false synonyms={}\nottla.topic.trash.ms=86400000 sensitive=false synonyms={DEFAULT_CONFIG:ottla.topic.trash.ms=86400000}\n${1}", "Ottla's own settings"},
	{`^configs-topics \$ .* --describe --all`, `(flush.ms=.* synonyms=\{)\}`, `${1}DEFAULT_CONFIG:log.flush.scheduler.interval.ms=9223372036854775807}`, "synonyms in other units are told"},
	{`^configs-topics \$ .* --describe --all`, `(retention.ms=604800000 .* synonyms=\{)\}`, `${1}DEFAULT_CONFIG:log.retention.hours=168}`, "the same"},
	{`^configs-topics \$ .* --describe --all`, `(segment.ms=.* synonyms=\{)\}`, `${1}DEFAULT_CONFIG:log.roll.hours=168}`, "the same"},
	{`^configs-topics \$ .* --describe --all`, `(segment.jitter.ms=.* synonyms=\{)\}`, `${1}DEFAULT_CONFIG:log.roll.jitter.hours=0}`, "the same"},
	{`^configs-topics \$ .* --describe`, `(DYNAMIC_TOPIC_CONFIG:retention.ms=\d+)\}`, `${1}, DEFAULT_CONFIG:log.retention.hours=168}`, "the same"},

	// Changing a broker's settings
	{`^configs-brokers \$ .* nothing.like.it=1`, `(?s)^.*$`, "Error while executing config command with args 'ARGS'\njava.util.concurrent.ExecutionException: org.apache.kafka.common.errors.InvalidConfigurationException: Unknown broker setting nothing.like.it\nCaused by: org.apache.kafka.common.errors.InvalidConfigurationException: Unknown broker setting nothing.like.it\nexit 1\n", "what is accepted should have an effect"},
	{`^configs-brokers \$ .* log.cleaner.threads=3`, `(?s)^.*$`, "Completed updating default config for brokers in the cluster.\n", "a thread pool that is not there may have any size"},
	{`^configs-brokers \$ .* --broker-defaults --describe`, `$`, "log.cleaner.threads=3 sensitive=false synonyms={DYNAMIC_DEFAULT_BROKER_CONFIG:log.cleaner.threads=3}\n", "the same, later"},
	{`^configs-brokers \$ .*=nobody`, `Error parsing configuration property 'max.connections.per.ip.overrides': begin 0, end -1, length 6`, `Invalid value nobody for configuration max.connections.per.ip.overrides: "nobody" is not ADDRESS:NUMBER, such as 127.0.0.1:200`, "Kafka's parser fails, and its sentence tells nobody why"},
	{`^configs-brokers \$ .* listeners=`, `Cannot update these configs at default cluster level, broker id must be specified: \[listeners\]`, `Cannot update these configs dynamically: [listeners]`, "listeners cannot be changed in a running broker yet"},
	{`^configs-brokers \$ .* ssl.keystore.location=`, `These security configs can be dynamically updated only per-listener using the listener prefix: \[ssl.keystore.location\]`, `setting ssl.keystore.location: there is no TLS yet, and without it what was to be protected would be open; take it out to go without`, "there is no TLS yet"},

	// Limits
	{`^topics \$ .* --topic many --partitions 20000`, `The server experienced an unexpected error when processing the request\.`, `Excessively large number of partitions per request.`, "Kafka fails inside, and makes ten thousand of them all the same"},
}

// expected is what is to be printed about Ottla: Kafka's answer with the deliberate differences.
func expected(where, kafka string, used []bool) string {
	for i, d := range deliberate {
		if !regexp.MustCompile(d.where).MatchString(where) {
			continue
		}
		if re := regexp.MustCompile(d.kafka); re.MatchString(kafka) {
			used[i] = true
			kafka = re.ReplaceAllString(kafka, d.ottla)
		}
	}
	return kafka
}
