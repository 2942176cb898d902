"""A member of a group in Python: member.py CLIENT PROTOCOL BOOTSTRAP GROUP TOPIC. See ../groups_test.go for what it says."""
import asyncio
import logging
import signal
import sys

client, protocol, bootstrap, group, topic = sys.argv[1:]
stopped = False
logging.disable(logging.CRITICAL)


def stop(*_):
    global stopped
    stopped = True


def say(partition, offset, value):
    sys.stdout.write(f"{partition} {offset} {value.decode()}\n")


def librdkafka():
    from confluent_kafka import Consumer
    config = {"bootstrap.servers": bootstrap, "group.id": group, "auto.offset.reset": "earliest", "enable.auto.offset.store": False,
              "auto.commit.interval.ms": 500, "group.protocol": protocol, "reconnect.backoff.max.ms": 500, "log_level": 0,
              "fetch.wait.max.ms": 100}
    if protocol == "classic":
        config.update({"session.timeout.ms": 6000, "heartbeat.interval.ms": 500})
    c = Consumer(config)
    c.subscribe([topic])
    while not stopped:
        for m in c.consume(100, 0.2):
            if m.error():
                continue  # the client goes on by itself
            say(m.partition(), m.offset(), m.value())
            sys.stdout.flush()
            try:
                c.store_offsets(m)
            except Exception:
                pass  # the partition was taken away meanwhile
    c.close()


def kafka_python():
    from kafka import KafkaConsumer
    from kafka.errors import KafkaError
    c = KafkaConsumer(topic, bootstrap_servers=bootstrap, group_id=group, auto_offset_reset="earliest", enable_auto_commit=False,
                      session_timeout_ms=6000, heartbeat_interval_ms=500, reconnect_backoff_max_ms=500, fetch_max_wait_ms=100)
    while not stopped:
        try:
            polled = c.poll(200)
        except KafkaError:
            continue
        for records in polled.values():
            for r in records:
                say(r.partition, r.offset, r.value)
        sys.stdout.flush()
        if polled:
            try:
                c.commit()
            except KafkaError:
                pass
    c.close()


async def aiokafka():
    from aiokafka import AIOKafkaConsumer
    from aiokafka.errors import KafkaError
    c = AIOKafkaConsumer(topic, bootstrap_servers=bootstrap, group_id=group, auto_offset_reset="earliest", enable_auto_commit=False,
                         session_timeout_ms=6000, heartbeat_interval_ms=500, fetch_max_wait_ms=100)
    await c.start()
    while not stopped:
        polled = await c.getmany(timeout_ms=200)
        for records in polled.values():
            for r in records:
                say(r.partition, r.offset, r.value)
        sys.stdout.flush()
        if polled:
            try:
                await c.commit()
            except KafkaError:
                pass
    await c.stop()


signal.signal(signal.SIGTERM, stop)
if client == "aiokafka":
    asyncio.run(aiokafka())
else:
    {"librdkafka": librdkafka, "kafka-python": kafka_python}[client]()
