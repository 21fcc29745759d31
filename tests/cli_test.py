"""The commands of the program, against a running server."""

import csv
import json
import os
import pty
import random
import re
import select
import subprocess
import time

import confluent_kafka
import duckdb
import pytest

pytestmark = pytest.mark.e2e

EVENTS = 20_000


@pytest.fixture(scope="module")
def events(tmp_path_factory) -> str:
    """A Parquet file of events, one a second, in shuffled order."""
    path = tmp_path_factory.mktemp("events") / "events.parquet"
    duckdb.execute(f"""COPY (
        SELECT TIMESTAMP '2020-01-01' + to_seconds(i) AS "at", i AS number, 'k' || (i % 7) AS key, i / 8.0 AS amount,
               CASE WHEN i % 100 = 0 THEN NULL ELSE 'tëxt "' || i END AS note
        FROM range({EVENTS}) t(i) ORDER BY hash(i)) TO '{path}' (FORMAT parquet)""")
    return str(path)


def make_topic(server, name: str, form: str = "json") -> None:
    server.sql(
        f"CREATE TOPIC {name} (seq BIGINT, at TIMESTAMP, number BIGINT, key VARCHAR, amount DOUBLE, note VARCHAR) "
        f"WITH (partitions = 3, partition_by = 'key', format = '{form}')"
    )


# -- version, status, usage


def test_version(shared_server):
    assert re.fullmatch(r"ziwa \d+\.\d+\.\d+\n", shared_server.cli("version").stdout)
    assert json.loads(shared_server.cli("version", "--json").stdout)["data_format"] == 1


def test_usage_errors_have_code_2(shared_server):
    for arguments in [
        [],
        ["nonsense"],
        ["up"],
        ["produce"],
        ["sql", "--json", "--csv"],
        ["sql", "--port", "x"],
    ]:
        assert shared_server.cli(*arguments).returncode == 2, arguments
    assert (
        shared_server.cli("up", "--data", "/nonexistent/x", "--set", "doors.kafka.prt=1").returncode
        == 2
    )
    done = shared_server.cli("up", "--data", "/nonexistent/x", "--set", "doors.kafka.prt=1")
    assert "doors.kafka.port" in done.stderr


@pytest.mark.parametrize("arguments,message", [
    (["frob"], 'unknown command "frob"'),
    (["statsu"], 'unknown command "statsu"\ndid you mean status?'),
    (["up", "--frob"], 'unknown option "--frob" of ziwa up'),
    (["up", "--dta", "x"], 'unknown option "--dta" of ziwa up\ndid you mean --data?'),
    (["version", "--frob", "X"], 'unknown option "--frob" of ziwa version'),
    (["up", "x", "--data", "y"], 'ziwa up does not take "x"'),
    (["status", "--url", "postgresql://localhost"], "http://host:port"),
    ([], "subcommand is required"),
    (["up"], "--data is required"),
])
def test_what_is_wrong_on_the_command_line_is_named(shared_server, arguments, message):
    done = shared_server.cli(*arguments)
    assert done.returncode == 2 and message in done.stderr, done.stderr
    if arguments and "--frob" in arguments:
        done = shared_server.cli(*arguments, "--json")
        assert json.loads(done.stderr)["message"] == message


def test_status(shared_server):
    for url in ("http://127.0.0.1:{http}", "http://localhost:{http}/"):
        done = shared_server.cli("status", "--url", url)
        assert done.returncode == 0 and "kafka" in done.stdout
    done = shared_server.cli("status", "--port", "{http}")
    assert done.returncode == 0 and "doors" in done.stdout and "kafka" in done.stdout
    report = json.loads(shared_server.cli("status", "--port", "{http}", "--json").stdout)
    assert {door["name"] for door in report["doors"]} == {"kafka", "postgres", "http"}


def test_no_server_is_code_3(shared_server):
    assert shared_server.cli("status", "--port", "1").returncode == 3
    done = shared_server.cli("sql", "--port", "1", "-c", "SELECT 1")
    assert done.returncode == 3 and "hint" in done.stderr


# -- sql


def test_sql_forms(shared_server):
    query = "SELECT 1 AS n, 'a,b' AS t, NULL::VARCHAR AS x, true AS b, [1, 2] AS l"
    table = shared_server.cli("sql", "--port", "{postgres}", "-c", query)
    assert (
        "│ n │ t   │ x    │" in table.stdout
        and "NULL" in table.stdout
        and "(1 row)" in table.stdout
    )
    as_csv = shared_server.cli("sql", "--port", "{postgres}", "--csv", "-c", query)
    assert list(csv.reader(as_csv.stdout.splitlines())) == [
        ["n", "t", "x", "b", "l"],
        ["1", "a,b", "", "true", "{1,2}"],
    ]
    as_json = shared_server.cli("sql", "--port", "{postgres}", "--json", "-c", query)
    assert json.loads(as_json.stdout) == {"n": 1, "t": "a,b", "x": None, "b": True, "l": [1, 2]}


def test_sql_reads_stdin_and_files(shared_server, tmp_path):
    done = shared_server.cli(
        "sql", "--port", "{postgres}", "--csv", input="SELECT 1 AS a; SELECT 2 AS b;"
    )
    assert done.stdout == "a\n1\nb\n2\n"
    script = tmp_path / "script.sql"
    script.write_text("SELECT 'from a file' AS x;")
    assert (
        shared_server.cli("sql", "--port", "{postgres}", "--csv", "-f", str(script)).stdout
        == "x\nfrom a file\n"
    )


def test_sql_errors_point_and_hint(shared_server):
    done = shared_server.cli("sql", "--port", "{postgres}", "-c", "SELECT 1, nowhere")
    assert done.returncode == 1
    assert "SELECT 1, nowhere\n" in done.stderr and "          ^" in done.stderr
    as_json = shared_server.cli(
        "sql", "--port", "{postgres}", "--json", "-c", "SELECT * FROM nowhere"
    )
    error = json.loads(as_json.stderr)
    assert (error["code"], error["position"]) == ("not_found", len("SELECT * FROM "))
    assert "cause" not in error
    unknown = shared_server.cli("sql", "--port", "{postgres}", "--json", "-c", "SELECT nowhere")
    assert json.loads(unknown.stderr)["cause"] == "undefined_column"
    several = shared_server.cli(
        "sql", "--port", "{postgres}", input="SELECT 'é' AS a;\nSELECT 2 AS b;\n  SELECT no;\nSELECT 3 AS c"
    )
    assert "  SELECT no;\n           ^" in several.stderr
    assert several.stdout.count(" ms") == 2 and "c" not in several.stdout.split()


def error_code(server, statement: str) -> str:
    done = server.cli("sql", "--port", "{postgres}", "--json", "-c", statement)
    assert done.returncode == 1
    return json.loads(done.stderr)["code"]


def test_sql_errors_have_the_code_of_the_server(shared_server):
    shared_server.sql("CREATE TOPIC coded (a INTEGER)")
    assert error_code(shared_server, "CREATE TOPIC coded (a INTEGER)") == "already_exists"
    assert error_code(shared_server, "ATTACH 'x.db'") == "permission"
    assert error_code(shared_server, "SET threads = 1") == "permission"
    assert error_code(shared_server, "DROP TOPIC nowhere") == "not_found"
    assert error_code(shared_server, "VACUUM") == "unsupported"
    assert error_code(shared_server, "SELECT txid_current()") == "unsupported"
    assert error_code(shared_server, "SELECT nowhere") == "invalid_argument"
    done = shared_server.cli("sql", "--port", "{postgres}", "-c", "CREATE TOPIC coded (a INTEGER)")
    assert done.stderr.startswith("already_exists: ")


def test_sql_writes_plans_as_they_are(shared_server):
    done = shared_server.cli("sql", "--port", "{postgres}", "-c", "EXPLAIN SELECT 1 + 1")
    assert "↵" not in done.stdout and "explain_key" not in done.stdout
    assert any(line.startswith("┌──") for line in done.stdout.splitlines())


def test_sql_hints_lead_to_something_that_works(shared_server):
    done = shared_server.cli("sql", "--port", "{postgres}", "-c", "DROP VIEW nowhere")
    assert "DROP MATERIALIZED VIEW" in done.stderr
    deep = "SELECT " + "(" * 1500 + "1" + ")" * 1500 + " + 1" * 1500
    done = shared_server.cli("sql", "--port", "{postgres}", "-c", deep)
    assert done.returncode == 1 and "SET max_expression_depth" not in done.stderr


def test_sql_prompt_has_history_and_lines(shared_server, tmp_path):
    """At a terminal: a statement over two lines, a command, Ctrl-C, Ctrl-D."""
    master, slave = pty.openpty()
    environment = shared_server.environment() | {"XDG_STATE_HOME": str(tmp_path), "TERM": "dumb"}
    process = subprocess.Popen(
        [shared_server.binary, "sql", "--port", str(shared_server.ports["postgres"])],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env=environment,
        start_new_session=True,
    )
    os.close(slave)
    seen = ""

    def expect(text: str) -> None:
        nonlocal seen
        end = time.monotonic() + 20
        while text not in seen:
            assert time.monotonic() < end, f"no {text!r} in {seen!r}"
            if select.select([master], [], [], 0.1)[0]:
                seen += os.read(master, 65536).decode(errors="replace")
        seen = seen[seen.index(text) + len(text) :]

    expect("ziwa> ")
    os.write(master, b"SELECT 40 +\n")
    expect("-> ")
    os.write(master, b"2 AS answer;\n")
    expect("answer")
    expect("42")
    expect("(1 row)")
    os.write(master, b"\\timing\n")
    expect("timing is off")
    os.write(master, b"\\d\n")
    expect("row")
    expect("ziwa> ")  # Before it the terminal itself would take the Ctrl-D.
    os.write(master, b"\x04")
    assert process.wait(timeout=10) == 0
    os.close(master)
    history = (tmp_path / "ziwa/sql_history").read_text()
    assert "answer" in history


# -- produce and consume


def produce(server, events, topic, *more) -> dict:
    done = server.cli(
        "produce",
        topic,
        "--kafka",
        "127.0.0.1:{kafka}",
        "--file",
        events,
        "--json",
        "--quiet",
        *more,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def read_topic(server, topic: str, count: int) -> list[confluent_kafka.Message]:
    consumer = confluent_kafka.Consumer(
        {
            "bootstrap.servers": server.kafka,
            "group.id": f"read-{topic}-{random.random()}",
            "auto.offset.reset": "earliest",
        }
    )
    consumer.subscribe([topic])
    messages = []
    end = time.monotonic() + 60
    while len(messages) < count and time.monotonic() < end:
        messages += [
            message for message in consumer.consume(10_000, timeout=1) if not message.error()
        ]
    consumer.close()
    return messages


def test_produce_sends_every_row_as_it_is(shared_server, events, tmp_path):
    make_topic(shared_server, "sent")
    log = tmp_path / "sent.csv"
    outcome = produce(
        shared_server,
        events,
        "sent",
        "--key",
        "key",
        "--seq",
        "seq",
        "--order-by",
        "at",
        "--disorder",
        "10 minutes",
        "--late-fraction",
        "0.01",
        "--late-by",
        "1 h",
        "--seed",
        "5",
        "--send-log",
        str(log),
    )
    assert outcome["records"] == EVENTS
    messages = read_topic(shared_server, "sent", EVENTS)
    assert len(messages) == EVENTS
    source = dict(
        enumerate(
            duckdb.execute(f"SELECT \"at\", number, key, amount, note FROM '{events}'").fetchall()
        )
    )
    where = {}
    for message in messages:
        record = json.loads(message.value())
        at, number, key, amount, note = source[record["seq"]]
        assert record == {
            "seq": record["seq"],
            "at": at.isoformat(),
            "number": number,
            "key": key,
            "amount": amount,
            "note": note,
        }
        assert message.key().decode() == key
        where[record["seq"]] = (message.partition(), message.offset())
    assert len(where) == EVENTS
    logged = {
        int(row["seq"]): (int(row["partition"]), int(row["offset"]))
        for row in csv.DictReader(open(log))
    }
    assert logged == where
    by_position = [
        int(row["seq"])
        for row in sorted(csv.DictReader(open(log)), key=lambda row: int(row["position"]))
    ]
    times = [source[seq][0].timestamp() for seq in by_position]
    newest, late, disordered = times[0], 0, 0
    for moment in times:
        late += newest - moment > 601
        disordered += moment < newest
        newest = max(newest, moment)
    assert disordered > EVENTS / 2 and 0.002 < late / EVENTS < 0.02


def test_produce_is_the_same_for_the_same_seed(shared_server, events, tmp_path):
    make_topic(shared_server, "seeded")
    logs = []
    for seed in ("1", "1", "2"):
        path = tmp_path / f"log{len(logs)}.csv"
        produce(
            shared_server,
            events,
            "seeded",
            "--seq",
            "seq",
            "--order-by",
            "at",
            "--disorder",
            "5 min",
            "--seed",
            seed,
            "--send-log",
            str(path),
            "--limit",
            "3000",
        )
        rows = sorted(csv.DictReader(open(path)), key=lambda row: int(row["position"]))
        logs.append([row["seq"] for row in rows])
    assert logs[0] == logs[1] != logs[2]
    assert sorted(logs[0]) == sorted(logs[2])


def test_produce_parquet_send_log_csv_source_and_rename(shared_server, tmp_path):
    source = tmp_path / "people.csv"
    source.write_text("name,age\nAda,36\nGrace,\n")
    shared_server.sql("CREATE TOPIC people (n BIGINT, who VARCHAR, age BIGINT)")
    log = tmp_path / "log.parquet"
    produce(
        shared_server,
        str(source),
        "people",
        "--seq",
        "n",
        "--rename",
        "name=who",
        "--send-log",
        str(log),
    )
    records = [json.loads(message.value()) for message in read_topic(shared_server, "people", 2)]
    assert records == [{"n": 0, "who": "Ada", "age": 36}, {"n": 1, "who": "Grace", "age": None}]
    assert duckdb.execute(f"SELECT seq, position FROM '{log}' ORDER BY seq").fetchall() == [
        (0, 0),
        (1, 1),
    ]


def test_produce_avro_is_read_by_sql(shared_server, events, wait_until):
    make_topic(shared_server, "avro_events", "avro")
    produce(
        shared_server,
        events,
        "avro_events",
        "--format",
        "avro",
        "--key",
        "key",
        "--seq",
        "seq",
        "--limit",
        "500",
        "--order-by",
        "at",
    )
    wait_until(
        lambda: shared_server.sql("SELECT count(*) FROM avro_events") == [(500,)],
        what="500 records",
    )
    got = shared_server.sql("SELECT number, key, amount FROM avro_events ORDER BY number")
    assert got == [(i, f"k{i % 7}", i / 8) for i in range(500)]


def test_produce_pauses_where_it_is_told(shared_server, events, tmp_path, wait_until):
    make_topic(shared_server, "paused")
    pause = tmp_path / "pause"
    command = [shared_server.binary, "produce", "paused", "--file", events, "--seq", "seq"]
    command += ["--kafka", f"127.0.0.1:{shared_server.ports['kafka']}", "--order-by", "at"]
    command += ["--pause-file", str(pause), "--pause-at", "1234", "--pause-at", "15000", "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    for count in (1234, 15_000):
        wait_until(pause.exists, what=f"the pause at {count}")
        time.sleep(1)
        assert shared_server.sql("SELECT count(*) FROM paused") == [(count,)]
        pause.unlink()
    outcome = json.loads(process.communicate(timeout=60)[0])
    assert outcome["records"] == EVENTS and outcome["seconds"] < 1.5  # without the pauses


def test_produce_errors(shared_server, events):
    def fails(*arguments: str) -> str:
        done = shared_server.cli("produce", *arguments, "--quiet")
        assert done.returncode in (1, 3), done.stderr
        return done.stderr

    base = ["--kafka", "127.0.0.1:{kafka}"]
    assert "no topic" in fails("nowhere", "--file", events, *base)
    assert "no file" in fails("nowhere", "--file", "/none.csv", *base)
    assert "did you mean" in fails("nowhere", "--file", events, "--key", "kay", *base)
    assert "order-by" in fails("nowhere", "--file", events, "--disorder", "1 h", *base)
    assert "pause-file" in fails("nowhere", "--file", events, "--pause-at", "5", *base)
    assert "timestamp" in fails("nowhere", "--file", events, "--order-by", "number", *base)


def test_consume(shared_server, tmp_path):
    shared_server.sql("CREATE TOPIC small (a BIGINT, b VARCHAR) WITH (partition_by = 'b')")
    shared_server.sql("INSERT INTO small VALUES (1, 'x'), (2, 'y,\"z\"')")
    base = ["consume", "small", "--kafka", "127.0.0.1:{kafka}", "--until-end"]
    values = shared_server.cli(*base)
    assert [json.loads(line) for line in values.stdout.splitlines()] == [
        {"a": 1, "b": "x"},
        {"a": 2, "b": 'y,"z"'},
    ]
    as_json = [json.loads(line) for line in shared_server.cli(*base, "--json").stdout.splitlines()]
    assert [(r["partition"], r["offset"], r["key"], r["value"]["a"]) for r in as_json] == [
        (0, 0, "x", 1),
        (0, 1, 'y,"z"', 2),
    ]
    path = tmp_path / "out.csv"
    assert shared_server.cli(*base, "--csv", "b,a", "--output", str(path)).returncode == 0
    assert list(csv.reader(open(path))) == [
        ["b", "a", "partition", "offset"],
        ["x", "1", "0", "0"],
        ['y,"z"', "2", "0", "1"],
    ]
    assert (
        len(
            shared_server.cli(
                "consume", "small", "--kafka", "127.0.0.1:{kafka}", "--limit", "1"
            ).stdout.splitlines()
        )
        == 1
    )
    assert shared_server.cli("consume", "none", "--kafka", "127.0.0.1:{kafka}").returncode == 1


# -- apply and diff


def test_apply_and_diff(server, tmp_path, wait_until):
    project = tmp_path / "shop"
    project.mkdir()
    (project / "ziwa.yaml").write_text("name: shop\n")
    (project / "a.sql").write_text(
        "CREATE MATERIALIZED VIEW per_item AS SELECT item, count(*) AS n FROM sales GROUP BY item;"
    )
    (project / "b.sql").write_text("CREATE TOPIC sales (item VARCHAR, price DOUBLE);")
    address = ["--port", "{postgres}", "--project", str(project)]
    assert "sales" in server.cli("diff", *address).stdout
    applied = server.cli("apply", *address)
    assert applied.returncode == 0, applied.stderr
    server.sql("INSERT INTO sales VALUES ('tea', 1), ('tea', 2)")
    wait_until(lambda: server.sql("SELECT * FROM per_item") == [("tea", 2)], what="the view")
    again = [
        json.loads(line) for line in server.cli("diff", *address, "--json").stdout.splitlines()
    ]
    assert again == []
    (project / "b.sql").write_text("CREATE TOPIC sales (item VARCHAR, price DOUBLE);\nSELEC;")
    assert server.cli("apply", *address).returncode == 1


def test_up_applies_a_project(make_server, tmp_path):
    project = tmp_path / "p"
    project.mkdir()
    (project / "ziwa.yaml").write_text("name: p\n")
    (project / "t.sql").write_text("CREATE TOPIC hello (a BIGINT);")
    server = make_server(project=project)
    assert server.sql("SELECT count(*) FROM hello") == [(0,)]
    server.restart()
    assert server.sql("SELECT count(*) FROM hello") == [(0,)]


def test_usage_errors_are_json_when_asked(binary):
    for arguments in (["up", "--json", "--data", ""], ["up", "--json"], ["nonsense", "--json"]):
        done = subprocess.run([binary, *arguments], capture_output=True, text=True, timeout=30)
        assert done.returncode == 2, done.stderr
        assert json.loads(done.stderr)["code"] == "invalid_argument"
    version = subprocess.run([binary, "--version"], capture_output=True, text=True, timeout=30)
    assert version.returncode == 0 and version.stdout.strip()


def test_a_server_without_any_door_does_not_stay(binary, server, tmp_path):
    command = [binary, "up", "--data", str(tmp_path / "other")]
    for door, port in server.ports.items():
        command += ["--set", f"doors.{door}.port={port}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and "in use" in done.stderr


def test_a_setting_given_twice_in_a_file_is_refused(binary, tmp_path):
    (tmp_path / "server.yaml").write_text("log.level: info\nlog:\n  level: warn\n")
    command = [binary, "up", "--data", str(tmp_path / "d"), "--config", str(tmp_path / "server.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert done.returncode == 2 and "log.level is given twice" in done.stderr


def test_status_of_a_port_that_speaks_no_http(server):
    done = server.cli("status", "--port", str(server.ports["postgres"]))
    assert done.returncode == 3 and "HTTP" in done.stderr


def test_produce_refuses_columns_that_are_not_there_or_twice(server, tmp_path):
    source = tmp_path / "rows.csv"
    source.write_text("id,name\n1,a\n")
    server.sql("CREATE TOPIC produced (id BIGINT, name VARCHAR)")
    for flags, reason in (
        (["--rename", "nope=x"], "no column"),
        (["--seq", "id"], "two columns"),
        (["--rename", "name=ID"], "two columns"),
    ):
        done = server.cli("produce", "produced", "--kafka", server.kafka, "--file", str(source), *flags)
        assert done.returncode == 1 and reason in done.stderr, done.stderr
    assert server.sql("SELECT count(*) FROM produced") == [(0,)]


@pytest.mark.parametrize("format", ["json", "avro"])
def test_produce_writes_what_topics_read(server, tmp_path, format):
    """Every type of a column, and those of Parquet that records carry as another one."""
    columns = """
        id BIGINT, blob BLOB, f DOUBLE, d DECIMAL(38,10), t TIMESTAMP, ns TIMESTAMP, z TIMESTAMPTZ,
        day DATE, hour TIME, u UUID, flag BOOLEAN, mood VARCHAR, list INTEGER[], s STRUCT(a INTEGER, b VARCHAR)"""
    source = tmp_path / "rows.parquet"
    duckdb.sql(f"""COPY (SELECT i::BIGINT AS id, ('\\xAB\\x00' || i)::BLOB AS blob, i / 7 AS f,
        (i / 8)::DECIMAL(38,10) AS d, TIMESTAMP '2001-02-03 04:05:06.789' + to_days(i::INTEGER) AS t,
        '2001-02-03 04:05:06.789012345'::TIMESTAMP_NS AS ns, '2001-02-03 04:05:06+02'::TIMESTAMPTZ AS z,
        DATE '1969-12-31' AS day, TIME '23:59:59.5' AS hour, uuid() AS u, i % 2 = 0 AS flag,
        ('sad')::ENUM ('sad', 'glad') AS mood, [i, NULL]::INTEGER[] AS list, {{'a': i::INTEGER, 'b': 'é"'}} AS s
        FROM range(100) r(i) UNION ALL BY NAME SELECT 100::BIGINT AS id) TO '{source}' (FORMAT parquet)""")
    server.sql(f"CREATE TOPIC every ({columns}) WITH (format = '{format}')")
    flags = ["--file", str(source), "--format", format, "--key", "blob"]
    done = server.cli("produce", "every", "--kafka", server.kafka, *flags)
    assert done.returncode == 0, done.stderr
    names = "id, blob, f, d, t, ns, z, day, hour, u, flag, mood, list, s"
    assert server.sql("SELECT count(*) FROM ziwa.dead_letters WHERE topic = 'every'") == [(0,)]
    shown = f"SELECT ({{'v': ({names})}})::VARCHAR FROM "
    wanted = duckdb.sql(f"SET TimeZone = 'UTC'; {shown} (SELECT * REPLACE (ns::TIMESTAMP AS ns, mood::VARCHAR AS mood) "
                        f"FROM read_parquet('{source}')) ORDER BY id").fetchall()
    assert server.sql(f"{shown} every ORDER BY id") == wanted
    assert server.sql("SELECT count(*) FROM every WHERE _key = blob") == [(100,)]


def test_produce_names_the_value_that_no_record_carries(server, tmp_path):
    source = tmp_path / "rows.parquet"
    values = "SELECT i AS id, if(i = 5000, 'nan', '1')::DOUBLE AS f FROM range(6000) r(i)"
    duckdb.sql(f"COPY ({values}) TO '{source}' (FORMAT parquet)")
    server.sql("CREATE TOPIC nan (id BIGINT, f DOUBLE)")
    done = server.cli("produce", "nan", "--kafka", server.kafka, "--file", str(source))
    assert done.returncode == 1, done.stderr
    assert 'after 4096 records: records 4097 to 6000: row 904, column "f"' in done.stderr
    assert server.sql("SELECT count(*) FROM nan") == [(4096,)]


def test_delete_says_how_many_records_went(server):
    server.sql("CREATE TOPIC gone (id BIGINT)")
    server.sql("INSERT INTO gone SELECT range FROM range(10)")
    done = server.cli("sql", "--port", str(server.ports["postgres"]), "-c", "DELETE FROM gone WHERE _offset <= 3")
    assert done.returncode == 0 and "DELETE 4" in done.stdout + done.stderr, done.stdout + done.stderr
    assert server.sql("SELECT min(_offset) FROM gone") == [(4,)]


def test_progress_is_drawn_on_a_terminal_and_told_once_elsewhere(shared_server, tmp_path):
    """Rows, rows a second and the time left; without a terminal only the last line."""
    source = tmp_path / "many.parquet"
    duckdb.sql("SELECT range AS a, 'some words to send' AS words FROM range(2000000)").write_parquet(str(source))
    shared_server.sql("CREATE TOPIC many (a BIGINT, words VARCHAR)")
    kafka = f"127.0.0.1:{shared_server.ports['kafka']}"
    command = [shared_server.binary, "produce", "many", "--file", str(source), "--kafka", kafka]
    master, slave = pty.openpty()
    process = subprocess.Popen(command, stdout=slave, stderr=slave, env=shared_server.environment())
    os.close(slave)
    drawn = b""
    while True:
        try:
            part = os.read(master, 65536)
        except OSError:  # The other end is closed.
            break
        if not part:
            break
        drawn += part
    os.close(master)
    assert process.wait(timeout=60) == 0
    lines = drawn.decode().split("\r")
    under_way = [line for line in lines if "s left" in line]
    assert under_way and all("rows/s" in line and "%" in line and "·" in line for line in under_way[:1]), lines
    assert any("100% 2,000,000 rows" in line for line in lines)
    quiet = subprocess.run(
        [*command, "--limit", "1000"], capture_output=True, text=True, timeout=60, env=shared_server.environment()
    )
    assert quiet.returncode == 0
    assert [line for line in quiet.stderr.splitlines() if "rows/s" in line] == quiet.stderr.splitlines()[-1:]


@pytest.mark.parametrize("command", [["sql", "--csv", "-c", "SELECT * FROM range(100000)"], ["status"]])
def test_what_cannot_be_printed_is_a_failure(shared_server, command):
    port = "{postgres}" if command[0] == "sql" else "{http}"
    with open("/dev/full", "w") as full:
        done = shared_server.cli(*command, "--port", port, capture_output=False, stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 1
    assert "standard output could not be written" in done.stderr
