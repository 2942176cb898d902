"""kafka-python, the pure-Python client."""
import logging
import time

import protocol
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient, NewTopic

logging.disable(logging.CRITICAL)


def producer(c):
    codec = None if c["codec"] == "none" else c["codec"]
    return KafkaProducer(bootstrap_servers=c["bootstrap"], compression_type=codec, acks=c.get("acks", "all"), linger_ms=20,
                         enable_idempotence=c["idempotent"], max_request_size=4000000, delivery_timeout_ms=90000, reconnect_backoff_max_ms=200)


def produce(c, done):
    p = producer(c)
    futures = []
    for r in c["records"]:
        partition, ts, key, value, headers = protocol.record(r)
        futures.append(p.send(c["topic"], partition=partition, timestamp_ms=ts, key=key, value=value, headers=headers))
    p.flush(60)
    done["acks"] = [f.get(10).offset for f in futures]
    p.close()


def run(c, done):
    p = producer(c)
    pad = "x" * c["pad"]
    start = time.monotonic()
    futures = []
    for i in range(c["count"]):
        for partition in range(c["partitions"]):
            f = p.send(c["topic"], partition=partition, value=f"{partition}-{i}-{pad}".encode())
            f.add_callback(lambda m, partition=partition, i=i: protocol.say({"p": partition, "s": i, "o": m.offset}))
            f.add_errback(lambda e, partition=partition, i=i: protocol.say({"p": partition, "s": i, "e": repr(e)}))
            futures.append(f)
        wait = start + (i + 1) * c["partitions"] / c["rate"] - time.monotonic()
        if wait > 0:
            time.sleep(wait)
    p.flush(100)
    p.close()


def consume(c, done):
    consumer = KafkaConsumer(bootstrap_servers=c["bootstrap"], group_id=None, enable_auto_commit=False, auto_offset_reset="none",
                             check_crcs=True, fetch_max_wait_ms=100)
    tp = TopicPartition(c["topic"], c["partition"])
    consumer.assign([tp])
    if c["from"] == "earliest":
        consumer.seek_to_beginning(tp)
    elif c["from"] == "latest":
        consumer.seek_to_end(tp)
    elif c["from"] == "offset":
        consumer.seek(tp, c["at"])
    else:
        consumer.seek(tp, consumer.offsets_for_times({tp: c["at"]})[tp].offset)
    protocol.say({"ready": True, "o": consumer.position(tp)})
    left, deadline = c["count"], time.monotonic() + c["timeoutMs"] / 1000
    while left > 0:
        if time.monotonic() > deadline:
            raise TimeoutError(f"still wants {left} records")
        for r in consumer.poll(200).get(tp, []):
            if left <= 0:
                break
            left -= 1
            protocol.say({"o": r.offset, "t": r.timestamp, "k": protocol.text(r.key), "v": protocol.text(r.value),
                          "h": [{"k": k, "v": protocol.text(v)} for k, v in r.headers]})
    consumer.close()


def admin(c):
    return KafkaAdminClient(bootstrap_servers=c["bootstrap"])


def offsets(c, done):
    consumer = KafkaConsumer(bootstrap_servers=c["bootstrap"], group_id=None)
    tp = TopicPartition(c["topic"], c["partition"])
    found = []
    for at in c["ats"]:
        if at == -1:
            found.append(consumer.end_offsets([tp])[tp])
        elif at == -2:
            found.append(consumer.beginning_offsets([tp])[tp])
        else:
            found.append(consumer.offsets_for_times({tp: at})[tp].offset)
    done["offsets"] = found
    consumer.close()


def create(c, done):
    a = admin(c)
    a.create_topics([NewTopic(name=c["topic"], num_partitions=c["partitions"], replication_factor=c.get("replicas") or 1, topic_configs=c.get("configs") or {})])
    a.close()


def delete(c, done):
    a = admin(c)
    a.delete_topics([c["topic"]])
    a.close()


def list_topics(c, done):
    a = admin(c)
    done["names"] = a.list_topics()
    a.close()


def describe(c, done):
    a = admin(c)
    topic = a.describe_topics([c["topic"]])
    if isinstance(topic, dict):
        topic = topic[c["topic"]]
    else:
        topic = topic[0]
    cluster = a.describe_cluster()
    done.update(partitions=len(topic["partitions"]), leader=topic["partitions"][0].get("leader", topic["partitions"][0].get("leader_id")),
                nodes=len(cluster["brokers"]), cluster=cluster["cluster_id"])
    a.close()


protocol.serve({"produce": produce, "run": run, "consume": consume, "offsets": offsets, "create": create, "delete": delete, "list": list_topics, "describe": describe})
