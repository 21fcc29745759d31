"""The Kafka door with stock clients: librdkafka (confluent-kafka), kafka-python and kcat, and with no client at all."""

import random
import socket
import struct
import subprocess
import sys
import threading
import time
import uuid

import confluent_kafka as ck
import kafka
import kafka.admin
import pytest
from confluent_kafka import admin as ck_admin

CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]


pytestmark = pytest.mark.e2e


@pytest.fixture
def server(shared_server):
    """One for the whole file: every test has topics and groups of its own, and a restart is no secret."""
    return shared_server


def new_name(prefix="t"):
    return f"{prefix}-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def admin(server):
    return ck_admin.AdminClient({"bootstrap.servers": server.kafka})


@pytest.fixture
def topic(admin):
    return create(admin)


def create(admin, partitions=4, config=None):
    name = new_name()
    admin.create_topics([ck_admin.NewTopic(name, partitions, 1, config=config or {})])[name].result(10)
    return name


def producer(server, **config):
    return ck.Producer({"bootstrap.servers": server.kafka, "linger.ms": 5, **config})


def produce(server, topic, values, **config):
    """Sends the values, keyed by themselves; returns [(partition, offset)] in order of delivery."""
    delivered, failed = [], []

    def done(error, message):
        if error:
            failed.append(str(error))
        else:
            delivered.append((message.partition(), message.offset()))

    client = producer(server, **config)
    for value in values:
        client.produce(topic, key=value, value=value, on_delivery=done)
        client.poll(0)
    assert client.flush(30) == 0
    assert not failed, failed[:3]
    return delivered


def consumer(server, group, **config):
    return ck.Consumer({"bootstrap.servers": server.kafka, "group.id": group, "auto.offset.reset": "earliest",
                        "enable.auto.commit": False, "session.timeout.ms": 6000, "heartbeat.interval.ms": 500,
                        "fetch.wait.max.ms": 100, **config})


def read(client, count, seconds=20):
    """Reads until `count` values are there, or the time is over."""
    values, deadline = [], time.monotonic() + seconds
    while len(values) < count and time.monotonic() < deadline:
        for message in client.consume(1000, 0.2):
            assert message.error() is None, message.error()
            values.append(message.value().decode())
    return values


def read_all(server, topic, count):
    client = consumer(server, new_name("g"))
    client.subscribe([topic])
    values = read(client, count)
    values += read(client, 1, seconds=0.5)  # There must be nothing more.
    client.close()
    return values


# --- producing and consuming


@pytest.mark.parametrize("codec", CODECS)
def test_librdkafka_reads_back_what_it_wrote(server, topic, codec):
    values = [f"{codec}-{i}" for i in range(2000)]
    produce(server, topic, values, **{"compression.type": codec})
    assert sorted(read_all(server, topic, len(values))) == sorted(values)


@pytest.mark.parametrize("codec", ["none", "gzip"])
def test_kafka_python_reads_back_what_it_wrote(server, topic, codec):
    client = kafka.KafkaProducer(bootstrap_servers=server.kafka, acks="all",
                                 compression_type=None if codec == "none" else codec)
    sent = [client.send(topic, f"v{i}".encode(), key=b"k%d" % i) for i in range(500)]
    client.flush(30)
    assert all(future.get(10).offset >= 0 for future in sent)
    client.close()
    reader = kafka.KafkaConsumer(topic, bootstrap_servers=server.kafka, group_id=new_name("g"),
                                 auto_offset_reset="earliest", consumer_timeout_ms=2000)
    assert sorted(message.value for message in reader) == sorted(f"v{i}".encode() for i in range(500))
    reader.close()


def test_kcat_writes_lists_and_reads(server, topic):
    lines = [f"line {i}" for i in range(1000)]
    subprocess.run(["kcat", "-b", server.kafka, "-P", "-t", topic], input="\n".join(lines) + "\n", text=True,
                   check=True, timeout=60)
    metadata = subprocess.run(["kcat", "-b", server.kafka, "-L", "-t", topic], capture_output=True, text=True,
                              check=True, timeout=60).stdout
    assert f'topic "{topic}" with 4 partitions' in metadata
    read_back = subprocess.run(["kcat", "-b", server.kafka, "-C", "-t", topic, "-o", "beginning", "-e", "-q"],
                               capture_output=True, text=True, check=True, timeout=60).stdout
    assert sorted(read_back.splitlines()) == sorted(lines)


@pytest.mark.parametrize("acks", ["0", "1", "all"])
def test_every_kind_of_acks_keeps_the_records(server, topic, acks):
    produce(server, topic, [f"v{i}" for i in range(200)], acks=acks)
    assert len(read_all(server, topic, 200)) == 200


def test_keys_headers_timestamps_and_nulls_come_back(server, admin):
    topic = create(admin, partitions=1)
    client = producer(server)
    client.produce(topic, key=b"k", value=None, timestamp=1234567890123, headers=[("h", b"1"), ("h", None)])
    client.produce(topic, key=None, value=b"\x00\xff")
    assert client.flush(10) == 0
    reader = consumer(server, new_name("g"))
    reader.assign([ck.TopicPartition(topic, 0, 0)])
    first, second = reader.consume(2, 10)
    assert (first.key(), first.value()) == (b"k", None)
    assert first.timestamp() == (ck.TIMESTAMP_CREATE_TIME, 1234567890123)
    assert first.headers() == [("h", b"1"), ("h", None)]
    assert (second.key(), second.value(), second.headers()) == (None, b"\x00\xff", None)
    reader.close()


def test_an_idempotent_producer_keeps_the_order(server, admin):
    topic = create(admin, partitions=1)
    values = [f"{i}" for i in range(20000)]
    delivered = produce(server, topic, values, **{"enable.idempotence": True, "linger.ms": 0,
                                                  "batch.num.messages": 100})
    assert [offset for _, offset in delivered] == list(range(len(values)))
    assert read_all(server, topic, len(values)) == values


def test_a_large_record_arrives_and_a_too_large_one_is_refused_by_name(server, topic):
    errors = []
    client = producer(server, **{"message.max.bytes": 10_000_000})
    client.produce(topic, b"x" * 900_000)
    assert client.flush(20) == 0
    client.produce(topic, b"y" * 3_000_000, on_delivery=lambda error, _: errors.append(error))
    client.flush(20)
    assert [error.code() for error in errors] == [ck.KafkaError.MSG_SIZE_TOO_LARGE]
    assert len(read_all(server, topic, 1)) == 1


def test_a_reader_at_the_end_sees_new_records_at_once(server, admin):
    topic = create(admin, partitions=1)
    reader = consumer(server, new_name("g"), **{"fetch.wait.max.ms": 5000})
    reader.assign([ck.TopicPartition(topic, 0, 0)])
    assert reader.consume(1, 1.0) == []
    waits = []
    for i in range(5):
        produce(server, topic, [str(i)], **{"linger.ms": 0})
        start = time.monotonic()
        assert len(reader.consume(1, 5)) == 1
        waits.append(time.monotonic() - start)
    assert sorted(waits)[2] < 1.0, "a long poll ends when data comes, not after its time"
    reader.close()


def test_offsets_are_found_by_time(server, admin):
    topic = create(admin, partitions=1)
    client = producer(server)
    begin = int(time.time() * 1000) - 1_000_000  # no retention is that short
    for i in range(100):
        client.produce(topic, str(i), timestamp=begin + i * 1000)
        client.flush(10)
    reader = consumer(server, new_name("g"))

    def at(timestamp):
        return reader.offsets_for_times([ck.TopicPartition(topic, 0, timestamp)], 10)[0].offset

    assert at(0) == 0
    assert at(begin + 50_000) == 50
    assert at(begin + 50_001) == 51
    assert at(begin + 500_000) == -1
    assert reader.get_watermark_offsets(ck.TopicPartition(topic, 0), 10) == (0, 100)
    reader.close()


# --- groups


def test_two_consumers_share_a_topic_and_one_takes_over(server, topic):
    group = new_name("g")
    first, second = consumer(server, group), consumer(server, group)
    first.subscribe([topic])
    second.subscribe([topic])
    deadline = time.monotonic() + 30
    while (len(first.assignment()), len(second.assignment())) != (2, 2) and time.monotonic() < deadline:
        first.poll(0.1)
        second.poll(0.1)
    assert len(first.assignment()) == len(second.assignment()) == 2
    values = [f"v{i}" for i in range(1000)]
    produce(server, topic, values)
    got = {"first": [], "second": []}

    def drain(name, client):
        got[name] = read(client, 1000, seconds=5)
        client.commit(asynchronous=False)

    threads = [threading.Thread(target=drain, args=item) for item in (("first", first), ("second", second))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got["first"] and got["second"]
    assert sorted(got["first"] + got["second"]) == sorted(values)

    second.close()
    deadline = time.monotonic() + 30
    while len(first.assignment()) != 4 and time.monotonic() < deadline:
        first.poll(0.1)
    assert len(first.assignment()) == 4
    produce(server, topic, ["after"])
    assert read(first, 1) == ["after"]
    first.close()


@pytest.mark.parametrize("strategy", ["range", "roundrobin", "cooperative-sticky"])
def test_every_strategy_reads_everything_once(server, topic, strategy):
    group = new_name("g")
    values = [f"v{i}" for i in range(500)]
    produce(server, topic, values)
    clients = [consumer(server, group, **{"partition.assignment.strategy": strategy}) for _ in range(3)]
    for client in clients:
        client.subscribe([topic])
    seen, deadline = set(), time.monotonic() + 40
    while len(seen) < len(values) and time.monotonic() < deadline:
        for client in clients:
            seen.update(message.value().decode() for message in client.consume(200, 0.1) if not message.error())
    assert seen == set(values)
    for client in clients:
        client.close()


def test_a_killed_consumer_loses_its_partitions_after_its_session(server, topic):
    group = new_name("g")
    script = (
        "import confluent_kafka as ck, sys\n"
        "c = ck.Consumer({'bootstrap.servers': sys.argv[1], 'group.id': sys.argv[2], 'session.timeout.ms': 2000,\n"
        "                 'heartbeat.interval.ms': 300})\n"
        "c.subscribe([sys.argv[3]])\n"
        "while len(c.assignment()) != 4: c.poll(0.1)\n"
        "print('joined', flush=True)\n"
        "while True: c.poll(0.1)\n")
    victim = subprocess.Popen([sys.executable, "-c", script, server.kafka, group, topic], stdout=subprocess.PIPE,
                              text=True)
    assert victim.stdout.readline().strip() == "joined"
    victim.kill()
    victim.wait()
    heir = consumer(server, group)
    heir.subscribe([topic])
    deadline = time.monotonic() + 30
    while len(heir.assignment()) != 4 and time.monotonic() < deadline:
        heir.poll(0.1)
    assert len(heir.assignment()) == 4
    heir.close()


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_commits_survive_a_restart(server, topic, how):
    group = new_name("g")
    values = [f"v{i}" for i in range(1000)]
    produce(server, topic, values)
    reader = consumer(server, group)
    reader.subscribe([topic])
    first = read(reader, 400)
    reader.commit(asynchronous=False)
    committed = {p.partition: p.offset for p in reader.committed(reader.assignment(), 10)}
    reader.close()
    getattr(server, how)()
    server.start()
    again = consumer(server, group)
    assert {p.partition: p.offset
            for p in again.committed([ck.TopicPartition(topic, i) for i in range(4)], 10)} == committed
    again.subscribe([topic])
    rest = read(again, len(values) - len(first))
    assert sorted(first + rest) == sorted(values)
    again.close()


def test_a_running_consumer_rides_over_a_restart(server, topic):
    reader = consumer(server, new_name("g"))
    reader.subscribe([topic])
    produce(server, topic, ["before"])
    assert read(reader, 1) == ["before"]
    reader.commit(asynchronous=False)
    server.kill()
    server.start()
    produce(server, topic, ["after"])
    assert read(reader, 1, seconds=40) == ["after"]
    reader.commit(asynchronous=False)
    reader.close()


def test_a_producer_rides_over_a_restart(server, admin):
    topic = create(admin, partitions=1)
    failed = []
    client = producer(server, **{"enable.idempotence": True})
    for i in range(3000):
        client.produce(topic, str(i), on_delivery=lambda error, _: failed.append(error) if error else None)
        client.poll(0)
        if i == 1500:
            server.kill()
            server.start()
    assert client.flush(60) == 0
    assert not failed, failed[:3]
    assert read_all(server, topic, 3000) == [str(i) for i in range(3000)]


def test_groups_are_listed_described_and_deleted(server, admin, topic):
    group = new_name("g")
    produce(server, topic, ["x"])
    reader = consumer(server, group)
    reader.subscribe([topic])
    assert read(reader, 1) == ["x"]
    reader.commit(asynchronous=False)
    listed = {g.group_id: g.state for g in admin.list_consumer_groups().result(10).valid}
    assert listed[group] == ck.ConsumerGroupState.STABLE
    row = "SELECT state, members, topic, committed, lag FROM ziwa.consumer_groups WHERE group_id = %s"
    assert server.sql(row, [group]) == [("Stable", 1, topic, 1, 0)]
    described = admin.describe_consumer_groups([group])[group].result(10)
    assert described.members[0].assignment.topic_partitions
    with pytest.raises(ck.KafkaException) as refused:
        admin.delete_consumer_groups([group])[group].result(10)
    assert refused.value.args[0].code() == ck.KafkaError.NON_EMPTY_GROUP
    reader.close()
    admin.delete_consumer_groups([group])[group].result(10)
    assert group not in {g.group_id for g in admin.list_consumer_groups().result(10).valid}


def test_offsets_can_be_altered_by_an_administrator(server, admin, topic):
    group = new_name("g")
    produce(server, topic, [f"v{i}" for i in range(100)])
    wanted = ck.ConsumerGroupTopicPartitions(group, [ck.TopicPartition(topic, 0, 3)])
    admin.alter_consumer_group_offsets([wanted])[group].result(10)
    found = admin.list_consumer_group_offsets([ck.ConsumerGroupTopicPartitions(group)])[group].result(10)
    assert [(p.partition, p.offset) for p in found.topic_partitions] == [(0, 3)]


# --- topics


def test_topics_are_made_described_and_dropped(server, admin):
    name = create(admin, partitions=3, config={"retention.ms": "86400000"})
    described = admin.list_topics(name, 10).topics[name]
    assert len(described.partitions) == 3
    resource = ck_admin.ConfigResource(ck_admin.ConfigResource.Type.TOPIC, name)
    assert admin.describe_configs([resource])[resource].result(10)["retention.ms"].value == "86400000"
    produce(server, name, ["old"])
    admin.delete_topics([name])[name].result(10)
    assert name not in admin.list_topics(timeout=10).topics
    admin.create_topics([ck_admin.NewTopic(name, 1, 1)])[name].result(10)
    produce(server, name, ["new"])
    assert read_all(server, name, 1) == ["new"], "a topic made again starts empty"


@pytest.mark.parametrize("wanted, code", [
    (("ok-name", 1, 3), ck.KafkaError.INVALID_REPLICATION_FACTOR),
    (("ok-name", 0, 1), ck.KafkaError.INVALID_PARTITIONS),
    (("bad name", 1, 1), ck.KafkaError.TOPIC_EXCEPTION),
    (("ziwa.views", 1, 1), ck.KafkaError.TOPIC_EXCEPTION),
])
def test_topics_that_cannot_be_are_refused(admin, wanted, code):
    with pytest.raises(ck.KafkaException) as refused:
        admin.create_topics([ck_admin.NewTopic(*wanted)])[wanted[0]].result(10)
    error = refused.value.args[0]
    if error.code() == ck.KafkaError._INVALID_ARG:
        return  # The client saw it before we did.
    assert error.code() == code
    assert error.str()


def test_more_partitions_and_unknown_topics_are_refused(server, admin, topic):
    with pytest.raises(ck.KafkaException) as refused:
        admin.create_partitions([ck_admin.NewPartitions(topic, 8)])[topic].result(10)
    assert "fixed" in refused.value.args[0].str()
    with pytest.raises(ck.KafkaException) as exists:
        admin.create_topics([ck_admin.NewTopic(topic, 1, 1)])[topic].result(10)
    assert exists.value.args[0].code() == ck.KafkaError.TOPIC_ALREADY_EXISTS
    errors = []
    client = producer(server, **{"message.timeout.ms": 3000})
    client.produce("never-made", "x", on_delivery=lambda error, _: errors.append(error.code()))
    client.flush(20)
    assert errors[0] in (ck.KafkaError._UNKNOWN_TOPIC, ck.KafkaError.UNKNOWN_TOPIC_OR_PART,
                         ck.KafkaError._MSG_TIMED_OUT)


def test_records_are_deleted_up_to_an_offset(server, admin):
    topic = create(admin, partitions=1)
    produce(server, topic, [f"{i}" for i in range(10)])
    deleted = admin.delete_records([ck.TopicPartition(topic, 0, 7)])
    assert list(deleted.values())[0].result(10).low_watermark == 7
    assert read_all(server, topic, 3) == ["7", "8", "9"]


def test_transactions_of_clients_are_refused_at_once(server):
    client = producer(server, **{"transactional.id": "tx"})
    start = time.monotonic()
    with pytest.raises(ck.KafkaException):
        client.init_transactions(20)
    assert time.monotonic() - start < 10


# --- what is not Kafka at all


def address(server):
    host, port = server.kafka.rsplit(":", 1)
    return host, int(port)


def closed_by_server(connection, seconds=10):
    """Reads to the end; False when the server keeps the connection open."""
    connection.settimeout(seconds)
    try:
        while connection.recv(65536):
            pass
        return True
    except TimeoutError:
        return False
    except ConnectionError:
        return True


def frame(key, version, body=b"", correlation=1):
    payload = struct.pack(">hhih", key, version, correlation, 2) + b"me" + body
    return struct.pack(">i", len(payload)) + payload


@pytest.mark.parametrize("sent, reason", [
    (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "an HTTP request?"),
    (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "TLS is not spoken"),
    (struct.pack(">i", -5), "frame of -5 bytes"),
    (struct.pack(">i", 2_000_000_000), "frame of 2000000000 bytes"),
    (struct.pack(">i", 3) + b"abc", "frame of 3 bytes"),
    (frame(999, 0), "API 999"),
    (frame(3, 99, b"\x00"), "Metadata version 99"),
    (frame(0, 2), "Produce version 2"),
    (frame(3, 1, b"\x7f\xff\xff\xff"), "longer than the frame"),
    (frame(3, 1, struct.pack(">ih", 1, 500) + b"x"), "ends too early"),
    (frame(11, 0, b"\x00\x01"), "ends too early"),
])
def test_garbage_ends_the_connection_with_a_reason(server, sent, reason):
    with socket.create_connection(address(server)) as connection:
        connection.sendall(sent)
        assert closed_by_server(connection)
    assert reason in server.log()
    assert ck_admin.AdminClient({"bootstrap.servers": server.kafka}).list_topics(timeout=10).brokers


def test_random_bytes_and_cut_frames_harm_nobody(server, topic):
    dice = random.Random(20261122)
    whole = frame(3, 1, struct.pack(">ih", 1, len(topic)) + topic.encode())
    for _ in range(200):
        with socket.create_connection(address(server)) as connection:
            kind = dice.randrange(3)
            if kind == 0:
                connection.sendall(dice.randbytes(dice.randrange(1, 5000)))
            elif kind == 1:
                connection.sendall(whole[:dice.randrange(1, len(whole))])
            else:
                body = bytearray(whole + whole)
                body[dice.randrange(4, len(body))] ^= 1 << dice.randrange(8)
                connection.sendall(bytes(body))
    produce(server, topic, ["still here"])
    assert read_all(server, topic, 1) == ["still here"]


def test_requests_byte_by_byte_are_answered_in_order(server, topic):
    body = struct.pack(">ih", 1, len(topic)) + topic.encode()
    sent = b"".join(frame(3, 1, body, correlation=i) for i in range(20))
    with socket.create_connection(address(server)) as connection:
        connection.settimeout(10)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for i in range(len(sent)):
            connection.sendall(sent[i:i + 1])
        stream = connection.makefile("rb")
        for i in range(20):
            size = struct.unpack(">i", stream.read(4))[0]
            assert struct.unpack(">i", stream.read(size)[:4])[0] == i


def test_an_unknown_version_of_api_versions_is_answered(server):
    with socket.create_connection(address(server)) as connection:
        connection.settimeout(10)
        connection.sendall(frame(18, 42, b"\x00\x02x\x02y\x00"))
        stream = connection.makefile("rb")
        answer = stream.read(struct.unpack(">i", stream.read(4))[0])
    correlation, error, count = struct.unpack(">ihi", answer[:10])
    assert (correlation, error) == (1, 35)
    assert len(answer) == 10 + count * 6 and count > 20


def test_a_reader_that_does_not_read_does_not_fill_the_memory(server, admin):
    topic = create(admin, partitions=1)
    produce(server, topic, ["x" * 100_000 + str(i) for i in range(300)])
    fetch = struct.pack(">iiiib", -1, 0, 1, 50_000_000, 0) + struct.pack(">ih", 1, len(topic)) + topic.encode()
    fetch += struct.pack(">iiqi", 1, 0, 0, 50_000_000)
    with socket.create_connection(address(server)) as connection:
        connection.settimeout(1)
        with pytest.raises((TimeoutError, ConnectionError)):
            for i in range(100_000):
                connection.sendall(frame(1, 4, fetch, correlation=i) * 100)
        produce(server, topic, ["others go on"])
