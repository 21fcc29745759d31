"""Bad input on every port, second servers, taken ports, clean stops: a clear error, and the server goes on."""

import json
import os
import random
import socket
import subprocess
import threading
import time

import duckdb
import psycopg
import pytest
import requests

pytestmark = pytest.mark.e2e

DOORS = ["kafka", "postgres", "http"]


def send_garbage(port: int, data: bytes, wait: float = 0.2) -> bytes:
    """What comes back before the server hangs up or falls silent."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        answer = b""
        try:
            connection.sendall(data)
            connection.settimeout(wait)
            while chunk := connection.recv(65536):
                answer += chunk
        except (TimeoutError, ConnectionError):
            pass
        return answer


def alive(server) -> None:
    assert server.sql("SELECT 1") == [(1,)]
    assert server.get("/healthz").status_code == 200
    assert server.process.poll() is None


@pytest.mark.parametrize("door", DOORS)
def test_garbage_on_a_port(shared_server, door):
    source = random.Random(2001)
    samples = [
        b"",
        b"\0",
        b"\xff" * 1000,
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"\x7f\xff\xff\xff",
        b"\x00\x00\x00\x08\x04\xd2\x16\x2f",
        b"\x00\x00\x00\x00",
        b"\x80\x00\x00\x00" + b"x" * 50,
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"POST /v1/sql HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n",
    ]
    samples += [source.randbytes(source.randrange(1, 5000)) for _ in range(40)]
    for sample in samples:
        send_garbage(shared_server.ports[door], sample, wait=0.05)
    alive(shared_server)


def test_postgres_says_why_it_hangs_up(shared_server):
    answer = send_garbage(shared_server.ports["postgres"], b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert answer.startswith(b"E") and b"FATAL" in answer and b"08P01" in answer


def test_broken_messages_after_a_good_start(shared_server):
    start = b"\x00\x03\x00\x00user\x00u\x00\x00"
    start = (len(start) + 4).to_bytes(4, "big") + start
    source = random.Random(7)
    for _ in range(60):
        kind = bytes([source.choice(b"QPBDECSHXdcfpF\x00\xff")])
        body = source.randbytes(source.randrange(0, 200))
        length = (
            len(body) + 4 if source.random() < 0.7 else source.randrange(0, 1 << 32)
        ).to_bytes(4, "big")
        send_garbage(shared_server.ports["postgres"], start + kind + length + body, wait=0.02)
    alive(shared_server)


def test_a_thousand_half_open_connections(shared_server):
    """Clients that connect and say nothing do not keep others out of the other doors."""
    sockets = [
        socket.create_connection(("127.0.0.1", shared_server.ports["postgres"]), timeout=5)
        for _ in range(300)
    ]
    try:
        alive(shared_server)
    finally:
        for one in sockets:
            one.close()


def test_a_client_that_leaves_in_the_middle_of_an_answer(shared_server):
    for _ in range(5):
        connection = shared_server.connect()
        copy = socket.socket(fileno=os.dup(connection.pgconn.socket))
        connection.pgconn.send_query(b"SELECT repeat('x', 1000) FROM range(1000000)")
        connection.pgconn.flush()
        time.sleep(0.05)
        copy.shutdown(socket.SHUT_RDWR)
        copy.close()
        connection.close()
    alive(shared_server)


def test_a_second_server_on_the_directory_is_refused(server):
    settings = [
        "--set",
        "doors.kafka.port=0",
        "--set",
        "doors.postgres.port=0",
        "--set",
        "doors.http.port=0",
    ]
    done = subprocess.run(
        [server.binary, "up", "--data", str(server.data), *settings],
        capture_output=True,
        text=True,
        timeout=60,
        env=server.environment(),
    )
    assert done.returncode == 1
    assert str(server.process.pid) in done.stderr and "in use" in done.stderr
    alive(server)


def test_a_taken_port_blocks_one_door_and_is_named(make_server):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        one = make_server(settings={"doors.postgres.port": str(port)}, start=False)
        command = [part for part in one.command() if part not in ("--strict", "--json")]
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=one.environment(),
        )
        lines = []
        for line in process.stdout:
            lines.append(line.rstrip("\n"))
            if line.startswith("ready"):
                break
        assert any(line.startswith("kafka") for line in lines) and any(
            line.startswith("http ") for line in lines
        )
        assert not any(line.startswith("postgres") for line in lines)
        assert lines[-1].startswith(f"ready (postgres: port {port} in use by ")
        assert f"(pid {os.getpid()})" in lines[-1] and "--set doors.postgres.port=0" in lines[-1]
        http = next(line for line in lines if line.startswith("http ")).split()[1]
        assert requests.get(f"{http}/healthz", timeout=10).text == "ok\n"
        process.terminate()
        assert process.wait(timeout=30) == 0
        strict = subprocess.run(
            one.command(), capture_output=True, text=True, timeout=60, env=one.environment()
        )
        assert strict.returncode == 1 and str(port) in strict.stderr


def test_off_loopback_is_refused(make_server):
    one = make_server(settings={"doors.address": "0.0.0.0"}, start=False)
    done = subprocess.run(
        one.command(), capture_output=True, text=True, timeout=60, env=one.environment()
    )
    assert done.returncode == 1 and "loopback" in done.stderr


def test_a_directory_of_something_else_is_refused(make_server, tmp_path):
    one = make_server(start=False)
    one.data.mkdir()
    (one.data / "notes.txt").write_text("mine")
    done = subprocess.run(
        one.command(), capture_output=True, text=True, timeout=60, env=one.environment()
    )
    assert done.returncode == 1 and "notes.txt" in done.stderr
    assert (one.data / "notes.txt").read_text() == "mine"


def slow_http_query(port: int) -> None:
    statement = "SELECT count(*) FROM range(100000000) a, range(100000000) b"
    try:
        requests.post(f"http://127.0.0.1:{port}/v1/sql", json={"sql": statement}, timeout=60)
    except requests.ConnectionError:
        pass


def test_stop_with_clients_and_a_running_query(make_server):
    one = make_server()
    idle = one.connect()
    busy = one.connect()
    busy.pgconn.send_query(b"SELECT count(*) FROM range(100000000) a, range(100000000) b")
    busy.pgconn.flush()
    time.sleep(0.3)
    threading.Thread(target=slow_http_query, args=(one.ports["http"],), daemon=True).start()
    time.sleep(0.3)
    begin = time.monotonic()
    one.stop()
    assert time.monotonic() - begin < 15
    with pytest.raises(psycopg.OperationalError):
        idle.execute("SELECT 1")
    idle.close()
    busy.close()


def test_what_was_acknowledged_survives_kill_9(server):
    server.sql("CREATE TOPIC kept (a BIGINT)")
    server.sql(
        "CREATE MATERIALIZED VIEW kept_sum AS SELECT count(*) AS n, sum(a) AS total FROM kept"
    )
    server.sql("CREATE TABLE kept_table (a BIGINT)")
    for i in range(20):
        server.sql(f"INSERT INTO kept VALUES ({i})")
        server.sql(f"INSERT INTO kept_table VALUES ({i})")
    server.kill()
    server.start()
    assert server.sql("SELECT count(*), sum(a) FROM kept") == [(20, 190)]
    assert server.sql("SELECT count(*), sum(a) FROM kept_table") == [(20, 190)]
    end = time.monotonic() + 20
    while server.sql("SELECT * FROM kept_sum") != [(20, 190)]:
        assert time.monotonic() < end, server.sql("SELECT * FROM kept_sum")
        time.sleep(0.05)


@pytest.mark.parametrize("part", ["meta", "state", "log", "journal"])
def test_a_data_directory_that_lost_a_part_is_refused_and_left_alone(server, part):
    server.sql("CREATE TOPIC t (id BIGINT)")
    server.sql("INSERT INTO t VALUES (1)")
    server.sql("CREATE TABLE h AS SELECT 1 AS a")
    server.stop()
    (server.data / part).rename(server.directory / "lost")

    def kept():  # the stores may tidy up their own files
        folders = [server.data / name for name in ("log", "lake", "journal")]
        return sorted(str(path) for folder in folders for path in folder.rglob("*") if path.is_file())

    before = kept()
    done = subprocess.run(server.command(), capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and f"/{part} is missing" in done.stderr, done.stderr
    assert kept() == before
    (server.directory / "lost").rename(server.data / part)
    server.start()
    assert server.sql("SELECT (SELECT count(*) FROM t), (SELECT count(*) FROM h)") == [(1, 1)]


def hangs_up(connection: socket.socket, seconds: float) -> bool:
    """Whether the server closes the connection within the time, whatever it says before."""
    connection.settimeout(seconds)
    try:
        while connection.recv(65536):
            pass
    except TimeoutError:
        return False
    except ConnectionError:
        pass
    return True


def resident_mib(server) -> float:
    with open(f"/proc/{server.process.pid}/status") as status:
        line = next(line for line in status if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


@pytest.mark.parametrize("door", ["kafka", "postgres"])
def test_a_frame_of_two_gigabytes_is_refused_unread(shared_server, door):
    before = resident_mib(shared_server)
    start = b"" if door == "kafka" else (8).to_bytes(4, "big") + (0x00030000).to_bytes(4, "big")
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", shared_server.ports[door]), 5) as connection:
            connection.sendall(b"\x7f\xff\xff\xff" + start + b"x" * 100)
            assert hangs_up(connection, 5)
    assert resident_mib(shared_server) - before < 100
    alive(shared_server)


def test_slow_clients_run_into_a_time_limit(make_server):
    one = make_server(settings={"http.timeout": "500 ms", "kafka.connection.idle": "1 s"})
    halves = {
        "http": b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ",
        "kafka": b"",  # half a frame has a limit of its own, half a minute
    }
    for door, half in halves.items():
        with socket.create_connection(("127.0.0.1", one.ports[door]), 5) as connection:
            connection.sendall(half)
            assert hangs_up(connection, 10), door
    alive(one)


def test_more_connections_than_allowed_are_refused_and_the_others_go_on(make_server, wait_until):
    one = make_server(settings={"doors.connections.max": "5"})
    for door in DOORS:
        taken = [socket.create_connection(("127.0.0.1", one.ports[door]), 5) for _ in range(5)]
        time.sleep(0.2)
        with socket.create_connection(("127.0.0.1", one.ports[door]), 5) as more:
            assert hangs_up(more, 5), door
        for connection in taken:
            connection.close()
    wait_until(lambda: one.sql("SELECT 1") == [(1,)])
    alive(one)


def write_project(directory, *statements: str) -> str:
    directory.mkdir(exist_ok=True)
    (directory / "ziwa.yaml").write_text("name: robust\n")
    (directory / "all.sql").write_text(";\n".join(statements) + ";\n")
    return str(directory)


def test_a_project_with_a_wrong_statement_changes_nothing(make_server, tmp_path):
    project = write_project(tmp_path / "project", "CREATE TOPIC good (a BIGINT)")
    one = make_server(project=tmp_path / "project")
    before = one.sql("SELECT name FROM ziwa.objects ORDER BY 1")
    for wrong in [
        "CREATE MATERIALIZED VIEW v AS SELECT nothing FROM good",
        "CREATE TABLE t (a NO_SUCH_TYPE)",
        "CREATE TOPIC u (a BIGINT) WITH (partitions = 0)",
        "SELECT (((",
        "CREATE SINK s INTO nowhere FROM good",
    ]:
        write_project(
            tmp_path / "project",
            "CREATE TOPIC good (a BIGINT)",
            "CREATE TOPIC other (a BIGINT)",
            "CREATE TABLE fresh (a BIGINT)",
            "CREATE MATERIALIZED VIEW sums AS SELECT sum(a) AS s FROM other",
            wrong,
        )
        with pytest.raises(psycopg.Error) as error:
            one.sql(f"CALL ziwa.apply('{project}')")
        assert str(error.value), wrong
        assert one.sql("SELECT name FROM ziwa.objects ORDER BY 1") == before, wrong
    alive(one)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_kill_during_apply_leaves_all_or_nothing(make_server, tmp_path, seed):
    write_project(tmp_path / "project", "CREATE TOPIC base (a BIGINT)")
    one = make_server(project=tmp_path / "project")
    base = one.sql("SELECT name FROM ziwa.objects ORDER BY 1")
    views = [f"CREATE MATERIALIZED VIEW v{i} AS SELECT sum(a) + {i} AS s FROM base" for i in range(8)]
    project = write_project(
        tmp_path / "project", "CREATE TOPIC base (a BIGINT)", "CREATE TABLE t (a BIGINT)", *views
    )
    one.project = None

    def apply() -> None:
        try:
            one.sql(f"CALL ziwa.apply('{project}')")
        except psycopg.Error:
            pass

    applying = threading.Thread(target=apply)
    applying.start()
    time.sleep(random.Random(seed).uniform(0, 0.25))
    one.kill()
    applying.join()
    one.start()
    found = one.sql("SELECT name FROM ziwa.objects ORDER BY 1")
    assert len(found) in (len(base), len(base) + 9), found
    alive(one)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
def test_a_full_disk_is_a_clear_error_and_room_mends_it(make_server, tmp_path, wait_until):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", str(disk)], capture_output=True
    )
    if mounted.returncode != 0:
        pytest.skip("this machine does not let us mount")
    one = make_server(start=False)
    one.data = disk / "data"
    one.expected_errors = ["No space left", "exhausted"]
    try:
        one.start()
        one.sql("CREATE TOPIC filling (id BIGINT, text VARCHAR)")
        one.sql("CREATE TABLE history (id BIGINT, text VARCHAR)")
        one.sql("CREATE SINK keep INTO history FROM filling WITH (commit_interval = '100 ms')")
        one.sql("CREATE MATERIALIZED VIEW counted AS SELECT count(*) AS n, sum(id) AS s FROM filling")
        kept = 0
        with pytest.raises(psycopg.Error) as error:
            while kept < 500:
                one.sql(f"INSERT INTO filling SELECT {kept}, repeat(md5('{kept}'), 10000)")
                kept += 1
        assert error.value.sqlstate == "53100", error.value
        produced = subprocess.run(
            ["kcat", "-b", one.kafka, "-t", "filling", "-P", "-X", "message.timeout.ms=3000"],
            input=b"x" * 900_000,
            capture_output=True,
            timeout=60,
        )
        assert produced.returncode != 0 or b"fail" in produced.stderr.lower()
        # Reads go on.
        expected = [(kept, kept * (kept - 1) // 2)]
        assert one.sql("SELECT count(*), sum(id) FROM filling") == expected
        subprocess.run(["mount", "-o", "remount,size=300m", str(disk)], check=True)
        wait_until(lambda: insert(one, kept), 30, "an insert after there is room")
        expected = [(kept + 1, kept * (kept + 1) // 2)]
        wait_until(lambda: one.sql("SELECT * FROM counted") == expected, 30, "the view")
        wait_until(lambda: works(one, "CALL ziwa.checkpoint()"), 30, "a checkpoint")
        wait_until(lambda: works(one, "CALL ziwa.flush()"), 30, "a flush")
        assert one.sql("SELECT count(*), sum(id) FROM history") == expected
        one.kill()
        one.start()
        assert one.sql("SELECT count(*), sum(id) FROM filling") == expected
        one.stop()
    finally:
        if one.process and one.process.poll() is None:
            one.kill()
        subprocess.run(["umount", "-l", str(disk)], check=False)


def works(server, statement: str) -> bool:
    try:
        server.sql(statement)
        return True
    except psycopg.Error:
        return False


def insert(server, number: int) -> bool:
    return works(server, f"INSERT INTO filling VALUES ({number}, 'after')")


# -- logs


def test_every_log_line_is_json_when_asked(make_server):
    server = make_server({"log.json": "true", "log.level": "debug"})
    server.sql("CREATE TOPIC spoken (a BIGINT)")
    for door in ["kafka", "postgres", "http"]:
        send_garbage(server.ports[door], b"\xff\xfe\x00\x01 nonsense=1 \xc3(\n\n")
    server.restart()
    server.stop()
    lines = [json.loads(line) for line in server.log().splitlines()]
    for line in lines:
        assert line.keys() >= {"time", "level", "module", "message"}, line
        assert all(isinstance(value, str) for value in line.values()), line
    stopping = [line for line in lines if line["message"] == "stopping"]
    assert [line["signal"] for line in stopping] == ["2", "2"]
    assert not any("values" in line for line in lines if line["module"] != "state"), lines


def test_a_file_of_duckdb_is_attached_to_read_from_allowed_folders_only(make_server, tmp_path):
    allowed, other = tmp_path / "allowed", tmp_path / "other"
    for folder in (allowed, other):
        folder.mkdir()
        with duckdb.connect(folder / "old.duckdb") as old:
            old.execute("CREATE TABLE t AS SELECT range AS id, 'x' || range AS word FROM range(1000)")
    server = make_server(settings={"sql.files": str(allowed)})
    server.sql(f"ATTACH '{allowed}/old.duckdb' AS old (READ_ONLY)")
    assert server.sql("SELECT count(*), sum(id) FROM old.main.t") == [(1000, 499500)]
    server.sql("CREATE TABLE kept AS SELECT id, word FROM old.main.t WHERE id < 10")
    assert server.sql("SELECT count(*) FROM kept JOIN old.main.t USING (id)") == [(10,)]
    for statement in (
        f"ATTACH '{other}/old.duckdb' AS b (READ_ONLY)",
        f"ATTACH '{allowed}/../other/old.duckdb' AS b (READ_ONLY)",
        f"ATTACH '{allowed}/old.duckdb' AS b",
        f"ATTACH '{allowed}/old.duckdb' AS b (READ_ONLY false)",
        f"ATTACH '{allowed}/new.duckdb' AS b (READ_WRITE)",
        "ATTACH ':memory:' AS b (READ_ONLY)",
        "INSERT INTO old.main.t VALUES (1, 'y')",
        "CREATE TABLE old.main.u (a INT)",
        "DROP TABLE old.main.t",
        "DETACH db",
        "DETACH memory",
        "USE old",
    ):
        with pytest.raises((
            psycopg.errors.InsufficientPrivilege, psycopg.errors.FeatureNotSupported, psycopg.errors.SyntaxError
        )):
            server.sql(statement)
    assert not (allowed / "new.duckdb").exists()
    with pytest.raises(psycopg.errors.FeatureNotSupported, match="topics, tables and views"):
        server.sql("CREATE MATERIALIZED VIEW v AS SELECT id FROM old.main.t")
    server.sql("DETACH old")
    with pytest.raises(psycopg.errors.UndefinedTable):
        server.sql("SELECT * FROM old.main.t")


def test_an_attached_file_breaks_nobodys_names(make_server, tmp_path):
    with duckdb.connect(tmp_path / "old.duckdb") as old:
        old.execute("CREATE TABLE t AS SELECT 5 AS id")
    server = make_server(settings={"sql.files": str(tmp_path)})
    server.sql("CREATE TABLE tb (a INT)")
    server.sql("CREATE TOPIC mine.t (a INT)")
    for name in ("public", "ziwa", "pg_catalog", "information_schema", "main"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match=name):
            server.sql(f"ATTACH '{tmp_path}/old.duckdb' AS {name} (READ_ONLY)")
    with pytest.raises(psycopg.errors.DuplicateTable, match="schema"):
        server.sql(f"ATTACH '{tmp_path}/old.duckdb' AS mine (READ_ONLY)")
    server.sql(f"ATTACH '{tmp_path}/old.duckdb' AS old (READ_ONLY)")
    with pytest.raises(psycopg.errors.DuplicateTable, match="attached"):
        server.sql("CREATE TABLE old.q (a INT)")
    project = tmp_path / "project"
    project.mkdir()
    (project / "a.sql").write_text("CREATE TABLE old.q (a INT);")
    with pytest.raises(psycopg.Error, match="attached"):
        server.sql(f"CALL ziwa.apply('{project}')")
    assert server.sql("SELECT id FROM old.t") == [(5,)]
    assert server.sql("SELECT count(*) FROM public.tb") == [(0,)]
    assert server.sql("SELECT count(*) FROM mine.t") == [(0,)]


def test_dropping_a_topic_while_records_come_stops_nobody_else(server):
    """Its views go with it; the stream engine goes on without an error, and a view that was made can be read."""
    server.sql("CREATE TOPIC other (a INT)")
    server.sql("CREATE MATERIALIZED VIEW others AS SELECT count(*) AS n FROM other")
    stop = threading.Event()

    def insert() -> None:
        with server.connect() as connection:
            while not stop.is_set():
                try:
                    connection.execute("INSERT INTO busy SELECT range FROM range(50)")
                except psycopg.Error:
                    time.sleep(0.001)  # It is away just now.

    writers = [threading.Thread(target=insert) for _ in range(2)]
    for writer in writers:
        writer.start()
    try:
        for number in range(1, 16):
            server.sql("CREATE TOPIC busy (a INT)")
            server.sql("CREATE MATERIALIZED VIEW counts AS SELECT a % 7 AS k, count(*) AS n FROM busy GROUP BY k")
            server.sql("SELECT sum(n) FROM counts")
            time.sleep(random.random() / 50)
            server.sql("DROP TOPIC busy CASCADE")
            server.sql("INSERT INTO other VALUES (1)")
            assert server.sql("SELECT n FROM others") == [(number,)]
    finally:
        stop.set()
        for writer in writers:
            writer.join()
    assert "has stopped" not in server.log()
