"""librdkafka through confluent-kafka."""
import time

import protocol
from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, OffsetSpec

quiet = {"log_level": 0}


def producer(c):
    return Producer({
        "bootstrap.servers": c["bootstrap"], "compression.type": c["codec"], "enable.idempotence": c["idempotent"],
        "acks": c.get("acks", "all"), "linger.ms": 20, "message.timeout.ms": 90000, "reconnect.backoff.max.ms": 200,
        "retry.backoff.max.ms": 200, "message.max.bytes": 4000000, **quiet})


def produce(c, done):
    p = producer(c)
    acks = [None] * len(c["records"])
    errors = []

    def delivered(i):
        def report(err, m):
            if err is not None:
                errors.append(str(err))
            else:
                acks[i] = m.offset()
        return report

    for i, r in enumerate(c["records"]):
        partition, ts, key, value, headers = protocol.record(r)
        while True:
            try:
                p.produce(c["topic"], partition=partition, timestamp=ts, key=key, value=value, headers=headers, on_delivery=delivered(i))
                break
            except BufferError:
                p.poll(0.05)
    p.flush(100)
    if errors:
        raise RuntimeError(errors[0])
    done["acks"] = acks


def run(c, done):
    p = producer(c)
    pad = "x" * c["pad"]
    start = time.monotonic()

    def delivered(partition, sequence):
        def report(err, m):
            a = {"p": partition, "s": sequence}
            if err is not None:
                a["e"] = str(err)
            else:
                a["o"] = m.offset()
            protocol.say(a)
        return report

    for i in range(c["count"]):
        for partition in range(c["partitions"]):
            while True:
                try:
                    p.produce(c["topic"], partition=partition, value=f"{partition}-{i}-{pad}".encode(), on_delivery=delivered(partition, i))
                    break
                except BufferError:
                    p.poll(0.05)
        p.poll(0)
        wait = start + (i + 1) * c["partitions"] / c["rate"] - time.monotonic()
        if wait > 0:
            time.sleep(wait)
    p.flush(100)


def consume(c, done):
    consumer = Consumer({"bootstrap.servers": c["bootstrap"], "group.id": "unused", "enable.auto.commit": False,
                         "auto.offset.reset": "error", "check.crcs": True, "fetch.wait.max.ms": 100, **quiet})
    tp = TopicPartition(c["topic"], c["partition"])
    low, high = consumer.get_watermark_offsets(tp, timeout=10)
    if c["from"] == "earliest":
        at = low
    elif c["from"] == "latest":
        at = high
    elif c["from"] == "offset":
        at = c["at"]
    else:
        at = consumer.offsets_for_times([TopicPartition(c["topic"], c["partition"], c["at"])], timeout=10)[0].offset
    consumer.assign([TopicPartition(c["topic"], c["partition"], at)])
    protocol.say({"ready": True, "o": at})
    left, deadline = c["count"], time.monotonic() + c["timeoutMs"] / 1000
    while left > 0:
        if time.monotonic() > deadline:
            raise TimeoutError(f"still wants {left} records")
        for m in consumer.consume(500, 0.2):
            if m.error():
                if m.error().code() == KafkaError._TRANSPORT:
                    continue
                raise RuntimeError(str(m.error()))
            if left <= 0:
                break
            left -= 1
            protocol.say({"o": m.offset(), "t": m.timestamp()[1], "k": protocol.text(m.key()), "v": protocol.text(m.value()),
                          "h": [{"k": k, "v": protocol.text(v)} for k, v in m.headers() or []]})
    consumer.close()


def admin(c):
    return AdminClient({"bootstrap.servers": c["bootstrap"], **quiet})


def offsets(c, done):
    a = admin(c)
    tp = TopicPartition(c["topic"], c["partition"])
    done["offsets"] = []
    for at in c["ats"]:
        spec = {-1: OffsetSpec.latest(), -2: OffsetSpec.earliest(), -3: OffsetSpec.max_timestamp()}.get(at) or OffsetSpec.for_timestamp(at)
        done["offsets"].append(a.list_offsets({tp: spec})[tp].result(10).offset)


def create(c, done):
    topic = NewTopic(c["topic"], num_partitions=c["partitions"], replication_factor=c.get("replicas") or 1, config=c.get("configs") or {})
    a = admin(c)
    a.create_topics([topic])[c["topic"]].result(20)


def delete(c, done):
    a = admin(c)
    a.delete_topics([c["topic"]])[c["topic"]].result(20)


def list_topics(c, done):
    done["names"] = list(admin(c).list_topics(timeout=10).topics)


def describe(c, done):
    a = admin(c)
    cluster = a.describe_cluster().result(10)
    metadata = a.list_topics(c["topic"], timeout=10).topics[c["topic"]]
    if metadata.error is not None:
        raise RuntimeError(str(metadata.error))
    done.update(partitions=len(metadata.partitions), leader=metadata.partitions[0].leader, nodes=len(cluster.nodes), cluster=cluster.cluster_id)
    resource = ConfigResource(ConfigResource.Type.TOPIC, c["topic"])
    done["configs"] = {k: v.value for k, v in a.describe_configs([resource])[resource].result(10).items()}


protocol.serve({"produce": produce, "run": run, "consume": consume, "offsets": offsets, "create": create, "delete": delete, "list": list_topics, "describe": describe})
