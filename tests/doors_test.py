"""Clients that lie about sizes, send halves, nest deeply or leave: the others are served as before."""

import os
import signal
import socket
import struct
import subprocess
import time

import confluent_kafka
import psycopg
import pytest
import requests
from confluent_kafka.admin import AdminClient

pytestmark = pytest.mark.e2e


def alive(server) -> None:
    assert server.sql("SELECT 1") == [(1,)]
    assert server.get("/healthz").status_code == 200
    assert server.process.poll() is None


def post_sql(server, body: str, **options) -> requests.Response:
    options = {"timeout": 30, "headers": {"Content-Type": "application/json"}} | options
    return requests.post(f"http://127.0.0.1:{server.ports['http']}/v1/sql", data=body, **options)


def hung_up(connection: socket.socket, seconds: float) -> bool:
    """Does the server close it within the time?"""
    connection.settimeout(seconds)
    try:
        while connection.recv(65536):
            pass
        return True
    except ConnectionError:
        return True
    except TimeoutError:
        return False


# -- deep JSON


@pytest.mark.parametrize("depth", [65, 30_000, 1_000_000])
def test_a_body_that_nests_deeply(shared_server, depth):
    nested = "[" * depth + "]" * depth
    for body in (
        '{"sql":"SELECT 1","parameters":[' + nested + "]}",
        '{"sql":"SELECT 1","x":' + nested + "}",
        nested,
        "[" * depth,
    ):
        answer = post_sql(shared_server, body)
        assert answer.status_code == 400
        assert "deeper than 64" in answer.json()["message"]
    alive(shared_server)


def test_nested_parameters_still_work(shared_server):
    answer = post_sql(
        shared_server, '{"sql":"SELECT ($1::JSON)->>\'$.a[1]\' AS x","parameters":[{"a":[1,2]}]}'
    )
    assert answer.json()["rows"] == [{"x": "2"}]


# -- memory and half messages of the Kafka door


def test_sizes_that_are_only_announced_keep_nobody_out(shared_server):
    liars = []
    for size in [100 << 20] * 20:
        liar = socket.create_connection(("127.0.0.1", shared_server.ports["kafka"]), timeout=5)
        liar.sendall(struct.pack(">i", size) + b"\x00\x03\x00\x09")
        liars.append(liar)
    try:
        admin = AdminClient({"bootstrap.servers": shared_server.kafka})
        assert admin.list_topics(timeout=10).brokers
        for liar in liars:
            liar.sendall(b"\x00")
        assert AdminClient({"bootstrap.servers": shared_server.kafka}).list_topics(timeout=10).brokers
    finally:
        for liar in liars:
            liar.close()


def test_a_kafka_request_that_drips_is_ended(make_server):
    server = make_server(settings={"kafka.request.timeout": "1s"})
    with socket.create_connection(("127.0.0.1", server.ports["kafka"]), timeout=5) as slow:
        slow.sendall(struct.pack(">i", 1000) + b"\x00\x03")
        slow.settimeout(0.2)
        for _ in range(100):
            try:
                slow.sendall(b"\x00")
                if slow.recv(1) == b"":
                    break
            except TimeoutError:
                continue
            except ConnectionError:
                break
        else:
            raise AssertionError("a request that takes 20 s was not ended")
    assert "kafka.request.timeout" in server.log()
    alive(server)


# -- memory and half messages of the other doors


STARTUP = b"\x00\x03\x00\x00user\x00u\x00\x00"
STARTUP = (len(STARTUP) + 4).to_bytes(4, "big") + STARTUP


def started(server) -> socket.socket:
    """A Postgres connection after its start-up."""
    connection = socket.create_connection(("127.0.0.1", server.ports["postgres"]), timeout=10)
    connection.sendall(STARTUP)
    answer = b""
    while not answer.endswith(b"Z\x00\x00\x00\x05I"):
        answer += connection.recv(65536)
    return connection


def test_half_messages_of_postgres_clients_end(make_server):
    server = make_server(settings={"postgres.message.timeout": "1s"})
    with started(server) as half, started(server) as idle:
        half.sendall(b"Q" + struct.pack(">i", 1000) + b"SELECT")
        assert hung_up(half, 20)
        idle.sendall(b"Q" + struct.pack(">i", 4 + 9) + b"SELECT 1\x00")
        assert b"SELECT 1" in idle.recv(65536), "a client may be silent between its messages"
    assert "postgres.message.timeout" in server.log()
    alive(server)


def test_what_postgres_clients_keep_has_a_limit(make_server):
    server = make_server(
        settings={"postgres.memory.max": "64MiB", "postgres.session.memory.max": "32MiB"}
    )
    text = "SELECT '" + "x" * (1 << 20) + "'"
    with server.connect() as connection:
        for i in range(100):
            result = connection.pgconn.prepare(b"s%d" % i, text.encode())
            if result.status != psycopg.pq.ExecStatus.COMMAND_OK:
                break
        assert 2 <= i <= 4
        assert result.error_field(psycopg.pq.DiagnosticField.SQLSTATE) == b"53200"
        assert connection.execute("SELECT 1").fetchone() == (1,)
        with server.connect() as second:  # Together they hold all there is, and stay.
            for i in range(100):
                result = second.pgconn.prepare(b"s%d" % i, text.encode())
                if result.status != psycopg.pq.ExecStatus.COMMAND_OK:
                    break
            small = "SELECT '" + "x" * 100_000 + "'"
            while second.pgconn.prepare(b"t%d" % i, small.encode()).status == psycopg.pq.ExecStatus.COMMAND_OK:
                i += 1
            alive(server)
            with server.connect() as third:
                assert third.execute("SELECT %s + 1", (1,), prepare=True).fetchone() == (2,)
        connection.execute("DEALLOCATE ALL")
        again = connection.pgconn.prepare(b"t", text.encode())
        assert again.status == psycopg.pq.ExecStatus.COMMAND_OK
    # Halves of messages count for all connections together, as they arrive.
    halves = []
    try:
        for _ in range(6):
            half = started(server)
            halves.append(half)
            half.sendall(b"Q" + struct.pack(">i", 30 << 20))
            try:
                half.sendall(b"x" * (20 << 20))
            except ConnectionError:
                break
        assert any(hung_up(half, 1) for half in halves)
    finally:
        for half in halves:
            half.close()
    alive(server)


def test_bodies_of_http_requests_share_a_memory(make_server):
    server = make_server(
        settings={"http.memory.max": "4MiB", "http.request.bytes.max": "8MiB", "http.timeout": "20s"}
    )
    head = (
        b"POST /v1/sql HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Content-Length: %d\r\n\r\n"
    )
    liars = []
    try:
        for _ in range(20):  # What is only announced costs nothing.
            liar = socket.create_connection(("127.0.0.1", server.ports["http"]), timeout=10)
            liar.sendall(head % (8 << 20) + b"x")
            liars.append(liar)
        alive(server)
        with socket.create_connection(("127.0.0.1", server.ports["http"]), timeout=10) as large:
            try:
                large.sendall(head % (8 << 20) + b"x" * (8 << 20))
            except ConnectionError:
                pass  # It answers before all is read.
            assert b"503" in large.recv(65536).split(b"\r\n")[0]
        alive(server)
    finally:
        for liar in liars:
            liar.close()


# -- clients that go away

ENDLESS = "SELECT count(*) FROM range(10000000000) a, range(1000) b"


def running(server) -> int:
    [(count,)] = server.sql(
        "SELECT count(*) FROM ziwa.statements WHERE duration_us IS NULL OR duration_us < 0"
    )
    return count - 1


@pytest.mark.parametrize("statement", [ENDLESS, "CALL ziwa.wait(99999999999, 99999999999)"])
def test_clients_that_hang_up_free_their_threads(make_server, statement):
    server = make_server(settings={"sql.threads": "4"})
    for _ in range(6):  # More than there are threads: some still wait in line.
        with pytest.raises(requests.Timeout):
            post_sql(server, '{"sql":"' + statement + '"}', timeout=0.3)
    end = time.monotonic() + 30
    assert server.sql("SELECT 1") == [(1,)]
    assert time.monotonic() < end

    for _ in range(6):
        connection = server.connect()
        connection.pgconn.send_query(statement.encode())
        connection.pgconn.flush()
        time.sleep(0.05)
        connection.close()
    end = time.monotonic() + 30
    assert post_sql(server, '{"sql":"SELECT 1"}').status_code == 200
    assert time.monotonic() < end
    alive(server)


def test_a_request_behind_a_running_one_is_no_hang_up(shared_server):
    """Bytes that wait behind a statement do not look like an end of the connection."""
    with started(shared_server) as connection:
        slow = b"SELECT count(*) FROM range(300000000)\x00"
        connection.sendall(b"Q" + struct.pack(">i", 4 + len(slow)) + slow)
        connection.sendall(b"Q" + struct.pack(">i", 4 + 9) + b"SELECT 7\x00")
        connection.settimeout(60)
        answer = b""
        while answer.count(b"Z\x00\x00\x00\x05I") < 2:
            answer += connection.recv(65536)
        assert b"300000000" in answer and b"57014" not in answer


def test_a_statement_has_a_time_limit(make_server):
    server = make_server(settings={"sql.statement.timeout": "1s"})
    for statement in (ENDLESS, "CALL ziwa.wait(99999999999, 99999999999)"):
        answer = post_sql(server, '{"sql":"' + statement + '"}')
        assert answer.status_code == 503
        assert answer.json()["code"] == "cancelled"
        assert "sql.statement.timeout" in answer.json()["hint"]
        with server.connect() as connection:
            with pytest.raises(psycopg.errors.QueryCanceled) as error:
                connection.execute(statement)
            assert "after 1000 ms" in str(error.value)
            assert connection.execute("SELECT 1").fetchone() == (1,)
            time.sleep(1.2)  # The time of the connection is not the time of a statement.
            assert connection.execute("SELECT count(*) FROM range(1000)").fetchone() == (1000,)
    alive(server)


def test_busy_threads_keep_nobody_out(make_server):
    """With as many endless statements as there are threads: who may connect, and who is cancelled."""
    server = make_server(settings={"sql.threads": 2})
    busy = [server.connect() for _ in range(4)]
    for connection in busy:  # Two run, two wait in line.
        connection.pgconn.send_query(ENDLESS.encode())
        connection.pgconn.flush()
    time.sleep(0.5)

    def cancel(connection):
        connection.pgconn.get_cancel().cancel()
        end = time.monotonic() + 20
        while connection.pgconn.is_busy():
            assert time.monotonic() < end, "the statement goes on"
            connection.pgconn.consume_input()
            time.sleep(0.02)
        result = connection.pgconn.get_result()
        assert result.error_field(psycopg.pq.DiagnosticField.SQLSTATE) == b"57014"
        assert connection.pgconn.get_result() is None

    with server.connect():  # A start-up needs no thread of the statements.
        cancel(busy[0])
        for connection in busy[1:]:
            cancel(connection)
    for connection in busy:
        assert connection.execute("SELECT 1").fetchone() == (1,)
        connection.close()


def test_a_wait_for_an_epoch_ends_with_its_client(shared_server):
    waits = []
    for _ in range(50):
        wait = socket.create_connection(("127.0.0.1", shared_server.ports["http"]), timeout=10)
        wait.sendall(
            b"GET /v1/ziwa/views?min_epoch=99999999&wait=60s HTTP/1.1\r\nHost: localhost\r\n\r\n"
        )
        waits.append(wait)

    def connections() -> int:
        lines = shared_server.get("/metrics").text.splitlines()
        [line] = [one for one in lines if one.startswith('ziwa_connections{door="http"}')]
        return int(float(line.split()[1]))

    assert connections() >= 50
    for wait in waits:
        wait.close()
    end = time.monotonic() + 20
    while connections() > 5:
        assert time.monotonic() < end, "requests of clients that left go on waiting"
        time.sleep(0.2)


# -- the same words through every door


def test_letters_of_pg_change_nothing(shared_server):
    shared_server.sql("CREATE TOPIC words (msg VARCHAR)")
    shared_server.sql("INSERT INTO words VALUES ('run pg_dump now'), ('pg_dump')")
    view = "CREATE MATERIALIZED VIEW {} AS SELECT count(*) AS n FROM words WHERE msg ~ 'pg_dump'"
    shared_server.sql(view.format("by_psql"))
    assert post_sql(shared_server, '{"sql":"' + view.format("by_rest") + '"}').status_code == 200
    assert shared_server.sql("SELECT n FROM by_psql") == [(1,)]
    assert shared_server.sql("SELECT n FROM by_rest") == [(1,)]
    for sql, wanted in [
        ("SELECT 'abcd' ~ 'b'", False),
        ("SELECT 'abcd' ~ 'b', 'pg_'", False),
        ("SELECT 'abcd' ~ 'b' -- FROM pg_class", False),
        ("SELECT 'abcd' ~ 'b', $$FROM pg_class$$", False),
        ("SELECT 'xbx' ~ 'a|b' FROM pg_class LIMIT 1", True),
        ("SELECT E'a\\nbx' ~ '^a' FROM pg_catalog.pg_class LIMIT 1", True),
        ("SELECT 'xbx' OPERATOR(pg_catalog.~) E'b'", True),
    ]:
        assert shared_server.sql(sql)[0][0] is wanted, sql
    with shared_server.connect() as connection:
        with pytest.raises(psycopg.errors.UndefinedColumn) as error:
            connection.execute("SELECT 1 FROM pg_class WHERE relname ~ 'x' AND nowhere")
        assert error.value.diag.statement_position == "48"


def test_closing_one_portal_leaves_the_rows_of_another(shared_server):
    with started(shared_server) as connection:

        def message(kind: bytes, body: bytes) -> bytes:
            return kind + struct.pack(">i", 4 + len(body)) + body

        def query(text: bytes) -> bytes:
            return message(b"Q", text + b"\x00")

        def portal(name: bytes) -> bytes:
            parse = message(b"P", b"s" + name + b"\x00SELECT * FROM range(10)\x00\x00\x00")
            bind = message(b"B", name + b"\x00s" + name + b"\x00" + b"\x00" * 6)
            return parse + bind + message(b"E", name + b"\x00" + struct.pack(">i", 1))

        connection.sendall(
            query(b"BEGIN")
            + portal(b"a")
            + portal(b"b")
            + message(b"C", b"Pa\x00")
            + message(b"E", b"b\x00" + struct.pack(">i", 0))
            + message(b"S", b"")
        )
        connection.settimeout(20)
        answer = b""
        while answer.count(b"Z\x00\x00\x00\x05") < 2:
            answer += connection.recv(65536)
        assert b"SELECT 9" in answer, answer
        assert answer.endswith(b"Z\x00\x00\x00\x05T")


# -- deep JSON in data


def produce(server, topic: str, *values: bytes) -> None:
    producer = confluent_kafka.Producer({"bootstrap.servers": server.kafka})
    for value in values:
        producer.produce(topic, value)
    assert producer.flush(30) == 0


def test_a_record_that_nests_deeply_is_a_row_error(server, wait_until):
    server.sql("CREATE TOPIC deep (a INT, b VARCHAR)")
    server.sql("CREATE MATERIALIZED VIEW has AS SELECT a, json_contains(b, '1') AS has FROM deep")
    nested = "[" * 200_000 + "]" * 200_000
    produce(
        server,
        "deep",
        b'{"a":1,"b":"[1]"}',
        ('{"a":2,"b":"' + nested + '"}').encode(),
        b'{"a":3,"b":"[2]"}',
    )
    wanted = [(1, True), (3, False)]
    wait_until(lambda: server.sql("SELECT a, has FROM has ORDER BY a") == wanted, what="the view")
    told = "SELECT view, operator, error, partition, row->>'a' FROM ziwa.row_errors"
    [(view, operator, error, partition, a)] = server.sql(told)
    assert (view, operator, partition, a) == ("has", "project #2", 0, "2") and "nests deeper" in error
    assert server.sql("SELECT row_errors FROM ziwa.views") == [(1,)]
    server.restart()
    assert server.sql(told) == [(view, operator, error, partition, a)]
    assert server.sql("SELECT a, has FROM has ORDER BY a") == wanted


def test_json_functions_refuse_deep_text(shared_server):
    nested = "(repeat('[', 1000000) || repeat(']', 1000000))"
    for call in (f"json_contains({nested}, '1')", f"json_structure({nested})"):
        with pytest.raises(psycopg.Error, match="nests deeper"):
            shared_server.sql(f"SELECT {call}")
    alive(shared_server)


# -- records go when the views have them


def test_kafka_deletes_records_that_a_checkpoint_does_not_cover_yet(make_server):
    server = make_server(settings={"stream.checkpoint.interval": "1h"})
    server.sql("CREATE TOPIC gone (n INT)")
    server.sql("CREATE MATERIALIZED VIEW kept AS SELECT sum(n) AS n FROM gone")
    produce(server, "gone", *[b'{"n":%d}' % i for i in range(100)])
    admin = AdminClient({"bootstrap.servers": server.kafka})
    [future] = admin.delete_records(
        [confluent_kafka.TopicPartition("gone", 0, 60)], request_timeout=30
    ).values()
    assert future.result().low_watermark == 60
    assert server.sql("SELECT min(_offset), count(*) FROM gone") == [(60, 40)]
    assert server.sql("SELECT n FROM kept") == [(4950,)]
    server.kill()
    server.start()
    assert server.sql("SELECT n FROM kept") == [(4950,)]


# -- pipes, and a stop that does not wait for ever


def test_a_pipe_is_no_project_and_no_configuration(server, tmp_path):
    os.mkfifo(tmp_path / "ziwa.yaml")
    with server.connect(options="-c statement_timeout=0") as connection:
        with pytest.raises(psycopg.Error, match="is a pipe"):
            connection.execute(f"CALL ziwa.diff('{tmp_path}')")
    pipe = tmp_path / "server.yaml"
    os.mkfifo(pipe)
    done = subprocess.run(
        [server.binary, "up", "--data", str(tmp_path / "data"), "--config", str(pipe)],
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode != 0 and "is a pipe" in done.stderr
    alive(server)


def test_a_stop_leaves_a_statement_that_does_not_end(make_server):
    server = make_server(settings={"server.shutdown.timeout": "1s"})
    server.sql("CREATE TOPIC t (n INT)")
    server.sql("INSERT INTO t VALUES (1)")
    # One call for one row: nobody can interrupt it.
    endless = b"SELECT levenshtein(repeat('a', 2000000), repeat('b', 2000000))"
    connection = server.connect()
    connection.pgconn.send_query(endless)
    connection.pgconn.flush()
    time.sleep(1)
    begun = time.monotonic()
    server.process.send_signal(signal.SIGINT)
    assert server.process.wait(timeout=25) == 0
    assert time.monotonic() - begun < 20
    assert "does not end" in server.log()
    connection.close()
    server.start()
    assert server.sql("SELECT n FROM t") == [(1,)]
