"""The Postgres door with real clients: psql and psycopg."""

import datetime
import decimal
import os
import subprocess
import threading
import time
import uuid

import psycopg
import pytest

pytestmark = pytest.mark.e2e


def psql(server, *arguments: str, sql: str | None = None, env: dict | None = None) -> subprocess.CompletedProcess:
    command = [
        "psql",
        "-X",
        "-h",
        "127.0.0.1",
        "-p",
        str(server.ports["postgres"]),
        "-U",
        "test",
        "-d",
        "db",
        *arguments,
    ]
    return subprocess.run(command, input=sql, capture_output=True, text=True, timeout=60, env=env)


# -- psql


def test_psql_runs_queries_and_ddl(shared_server):
    done = psql(shared_server, "-At", "-c", "SELECT 1 + 1, 'two', NULL, true")
    assert (done.stdout, done.stderr) == ("2|two||t\n", "")
    done = psql(
        shared_server,
        "-At",
        sql="""
        CREATE TABLE psql_table (a INTEGER, b VARCHAR);
        INSERT INTO psql_table VALUES (1, 'x'), (2, NULL);
        SELECT * FROM psql_table ORDER BY a;
        DROP TABLE psql_table;
    """,
    )
    assert done.stderr == ""
    assert done.stdout == "CREATE TABLE\nINSERT 0 2\n1|x\n2|\nDROP TABLE\n"


def test_psql_shows_where_an_error_is(shared_server):
    done = psql(shared_server, "-c", "SELECT 1,\n  nowhere_column")
    assert done.returncode == 1
    assert "LINE 2:" in done.stderr and "nowhere_column" in done.stderr and "^" in done.stderr


def test_several_statements_stop_at_the_first_error(shared_server):
    done = psql(shared_server, "-At", "-c", "SELECT 1; SELECT nowhere; SELECT 3")
    assert done.stdout == "1\n"
    assert "nowhere" in done.stderr


def test_psql_server_version_and_settings(shared_server):
    done = psql(
        shared_server,
        "-At",
        "-c",
        "SHOW server_version",
        "-c",
        "SET application_name = 'it'",
        "-c",
        "SHOW application_name",
    )
    assert done.stdout.startswith("15.0 (Ziwa ") and done.stdout.endswith("SET\nit\n")
    assert "LATIN1" in psql(shared_server, "-c", "SET client_encoding = 'LATIN1'").stderr


def test_copy_over_the_connection_is_refused(shared_server):
    done = psql(shared_server, "-v", "VERBOSITY=verbose", "-c", "COPY (SELECT 1) TO STDOUT")
    assert "0A000" in done.stderr and "COPY" in done.stderr


# -- psycopg: text and binary

VALUES = [
    ("true", True),
    ("CAST(-5 AS SMALLINT)", -5),
    ("CAST(7 AS TINYINT)", 7),
    ("2147483647", 2147483647),
    ("CAST(-9223372036854775808 AS BIGINT)", -9223372036854775808),
    ("CAST(18446744073709551615 AS UBIGINT)", decimal.Decimal(18446744073709551615)),
    (
        "CAST(170141183460469231731687303715884105727 AS HUGEINT)",
        decimal.Decimal(170141183460469231731687303715884105727),
    ),
    ("CAST(1.5 AS FLOAT)", 1.5),
    ("CAST('-0.1' AS DOUBLE)", -0.1),
    ("CAST(-1234.5600 AS DECIMAL(18, 4))", decimal.Decimal("-1234.5600")),
    ("CAST(0 AS DECIMAL(4, 2))", decimal.Decimal("0.00")),
    ("'héllo'", "héllo"),
    ("CAST('\\x00\\xFF' AS BLOB)", b"\x00\xff"),
    ("DATE '2001-07-01'", datetime.date(2001, 7, 1)),
    ("DATE '1999-12-31'", datetime.date(1999, 12, 31)),
    ("TIME '23:59:59.999999'", datetime.time(23, 59, 59, 999999)),
    ("TIMESTAMP '2001-01-01 00:01:00.000001'", datetime.datetime(2001, 1, 1, 0, 1, 0, 1)),
    ("TIMESTAMP '1969-12-31 23:59:59'", datetime.datetime(1969, 12, 31, 23, 59, 59)),
    (
        "CAST('2001-01-01 00:00:00+00' AS TIMESTAMPTZ)",
        datetime.datetime(2001, 1, 1, tzinfo=datetime.timezone.utc),
    ),
    ("INTERVAL '3 days 4 hours'", datetime.timedelta(days=3, hours=4)),
    (
        "CAST('00112233-4455-6677-8899-aabbccddeeff' AS UUID)",
        uuid.UUID("00112233-4455-6677-8899-aabbccddeeff"),
    ),
    ("[1, NULL, 3]", [1, None, 3]),
    ("['a b', 'q\"\\', 'null']", ["a b", 'q"\\', "null"]),
    ("{'a': 1, 'b': [1, 2]}", {"a": 1, "b": [1, 2]}),
    ("CAST('{\"k\": [true]}' AS JSON)", {"k": [True]}),
    ("NULL", None),
]


@pytest.mark.parametrize("binary_format", [False, True], ids=["text", "binary"])
@pytest.mark.parametrize(
    "expression,expected", VALUES, ids=[expression for expression, _ in VALUES]
)
def test_values_arrive_as_python_knows_them(shared_connection, expression, expected, binary_format):
    row = shared_connection.execute(f"SELECT {expression}", binary=binary_format).fetchone()
    assert row == (expected,)
    assert type(row[0]) is type(expected)


PARAMETERS = [
    ("BIGINT", 42),
    ("INTEGER", -1),
    ("DOUBLE", 0.1),
    ("VARCHAR", "it's"),
    ("BOOLEAN", False),
    ("BLOB", b"\x00\xff"),
    ("DATE", datetime.date(1995, 2, 28)),
    ("TIMESTAMP", datetime.datetime(2031, 5, 6, 7, 8, 9, 10)),
    ("DECIMAL(20, 6)", decimal.Decimal("-12.345600")),
    ("UUID", uuid.UUID(int=5)),
    ("TIME", datetime.time(1, 2, 3)),
    ("HUGEINT", decimal.Decimal(10**37)),
    ("BIGINT", None),
    ("INTEGER[]", [1, 2, None]),
]


@pytest.mark.parametrize("form", ["%t", "%b"], ids=["text", "binary"])
@pytest.mark.parametrize(
    "type_name,value", PARAMETERS, ids=[f"{name} {value}" for name, value in PARAMETERS]
)
def test_parameters_in_both_formats(shared_connection, type_name, value, form):
    row = shared_connection.execute(f"SELECT CAST({form} AS {type_name})", (value,)).fetchone()
    assert row == (value,)


@pytest.fixture(scope="module")
def shared_connection(shared_server):
    with shared_server.connect() as connection:
        yield connection


def test_prepared_statements_many_times(shared_connection):
    for i in range(20):  # psycopg prepares by itself from the fifth time on
        assert shared_connection.execute("SELECT %s::BIGINT * 2", (i,)).fetchone() == (i * 2,)
    with shared_connection.cursor() as cursor:
        cursor.executemany("SELECT %s::INTEGER", [(i,) for i in range(100)])  # one pipeline


def test_a_bad_parameter_is_an_error_of_its_own(shared_connection):
    with pytest.raises(psycopg.Error) as caught:
        shared_connection.execute("SELECT CAST(%s AS INTEGER)", ("not a number",))
    assert caught.value.sqlstate is not None
    assert shared_connection.execute("SELECT 1").fetchone() == (1,)


def test_large_answers_stream(shared_server, shared_connection):
    total = 0
    with shared_connection.cursor() as cursor:
        for (number,) in cursor.stream("SELECT range FROM range(1000000)"):
            total += number
    assert total == 999_999 * 1_000_000 // 2


# -- transactions and errors


def test_transaction_status_follows(shared_server):
    with shared_server.connect(autocommit=False) as connection:
        assert connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
        connection.execute("SELECT 1")
        assert connection.info.transaction_status == psycopg.pq.TransactionStatus.INTRANS
        with pytest.raises(psycopg.Error):
            connection.execute("SELECT nowhere")
        assert connection.info.transaction_status == psycopg.pq.TransactionStatus.INERROR
        with pytest.raises(psycopg.errors.InFailedSqlTransaction):
            connection.execute("SELECT 1")
        connection.rollback()
        assert connection.execute("SELECT 2").fetchone() == (2,)


def test_a_transaction_sees_what_was_written_before_its_first_statement(shared_server):
    """Most drivers send BEGIN before each read."""
    shared_server.sql("CREATE TOPIC before_begin (a INT)")
    shared_server.sql("CREATE MATERIALIZED VIEW before_begin_n AS SELECT count(*) AS n FROM before_begin")
    shared_server.sql("CREATE TABLE before_begin_t (a INT)")
    sources = ["(SELECT count(*) FROM before_begin)", "(SELECT sum(n) FROM before_begin_n)",
               "(SELECT count(*) FROM before_begin_t)"]
    with shared_server.connect() as writer, shared_server.connect(autocommit=False) as reader:
        for i in range(1, 31):
            writer.execute("INSERT INTO before_begin VALUES (1)")
            writer.execute("INSERT INTO before_begin_t VALUES (1)")
            source = sources[i % 3]
            assert reader.execute(f"SELECT {source}").fetchone() == (i,), source
            if i == 30:
                writer.execute("INSERT INTO before_begin VALUES (1)")
                assert writer.execute("SELECT count(*) FROM before_begin").fetchone() == (31,)
                assert reader.execute("SELECT count(*) FROM before_begin").fetchone() == (30,)
            reader.rollback()


def test_deleted_records_end_the_transactions_that_could_read_them(shared_server):
    shared_server.sql("CREATE TOPIC deleted_from (a INT)")
    shared_server.sql("CREATE TOPIC beside (a INT)")
    with shared_server.connect() as writer, shared_server.connect(autocommit=False) as reader:
        writer.execute("INSERT INTO deleted_from SELECT range FROM range(100)")
        count = "SELECT count(*) FROM deleted_from"
        assert reader.execute(count).fetchone() == (100,)
        writer.execute("DELETE FROM deleted_from WHERE _offset < 40")
        assert reader.execute("SELECT count(*) FROM beside").fetchone() == (0,)
        with pytest.raises(psycopg.errors.OperationalError, match="deleted after the transaction"):
            reader.execute(count)
        reader.rollback()
        assert reader.execute(count).fetchone() == (60,)
        assert writer.execute(count).fetchone() == (60,)


def test_errors_have_codes_and_hints(shared_connection):
    with pytest.raises(psycopg.Error) as caught:
        shared_connection.execute("SELEC 1")
    assert caught.value.sqlstate == "42601"
    assert caught.value.diag.message_primary
    with pytest.raises(psycopg.Error) as caught:
        shared_connection.execute("SELECT * FROM nowhere_table")
    assert caught.value.sqlstate == "42P01"


SQLSTATES = [
    ("SELEC 1", "42601"),
    ("CREATE TOPIC (a INTEGER)", "42601"),
    ("SELECT 'x", "42601"),
    ("SELECT nowhere", "42703"),
    ("SELECT t.nowhere FROM range(1) t(r)", "42703"),
    ("SELECT r FROM range(1) a(r), range(1) b(r)", "42702"),
    ("SELECT nowhere(1)", "42883"),
    ("SELECT * FROM nowhere(1)", "42883"),
    ("SELECT sum('a'::BLOB)", "42883"),
    ("SELECT 1::nowhere", "42704"),
    ("SELECT * FROM nowhere", "42P01"),
    ("DROP TOPIC nowhere", "42P01"),
    ("SELECT r, count(*) FROM range(1) t(r)", "42803"),
    ("SELECT $1", "42P02"),
    ("SELECT 'x'::INTEGER", "22P02"),
    ("SELECT 300::TINYINT", "22003"),
    ("SELECT 9223372036854775807 + 1::BIGINT", "22003"),
    ("SELECT sqrt(-1)", "22023"),
    ("SELECT log(1, 5)", "22012"),
    ("SELECT DATE '2020-01-01'::INTEGER", "42846"),
    ("SELECT coalesce(DATE '2020-01-01', 'x'::BLOB)", "42804"),
    ("SELECT nowhere.a FROM strict", "42P01"),
    ("CALL ziwa.nowhere()", "42883"),
    ("SELECT '2020'::TIMESTAMP", "22007"),
    ("INSERT INTO strict VALUES (NULL)", "23502"),
    ("INSERT INTO strict VALUES (1, 2)", "42601"),
    ("CREATE TABLE strict (a INTEGER)", "42P07"),
    ("ATTACH 'x.db'", "42501"),
    ("VACUUM", "0A000"),
]


@pytest.mark.parametrize("statement,sqlstate", SQLSTATES, ids=[text for text, _ in SQLSTATES])
def test_sqlstates(shared_connection, statement, sqlstate):
    shared_connection.execute("CREATE TABLE IF NOT EXISTS strict (a INTEGER NOT NULL)")
    with pytest.raises(psycopg.Error) as caught:
        shared_connection.execute(statement)
    assert caught.value.sqlstate == sqlstate, caught.value


PHRASES = [
    "syntax error at or near",
    "x does not exist",
    "Scalar Function with name x",
    "Division by zero",
    "x must appear in the GROUP BY clause",
    "value is out of range",
    "No space left on device",
    "out of memory",
    "failed to allocate data of size 1",
]


@pytest.mark.parametrize("phrase", PHRASES)
def test_words_of_a_user_change_no_sqlstate(shared_connection, phrase):
    def state(statement, *values):
        with pytest.raises(psycopg.Error) as caught:
            shared_connection.execute(statement, values)
        return caught.value.sqlstate

    assert state(f"SELECT '{phrase}'::INTEGER") == "22P02"
    assert state("SELECT CAST(%s AS INTEGER)", phrase) == "22P02"
    assert state("SELECT CAST(%s AS DATE)", phrase) == "22007"
    assert state(f"SELECT error('{phrase}')") == "42000"
    assert state(f'SELECT "{phrase}"') == "42703"
    assert state(f'SELECT * FROM "{phrase}"') == "42P01"
    shared_connection.execute(f'CREATE TEMP TABLE "{phrase}" ("{phrase}" INTEGER NOT NULL)')
    assert state(f'SELECT nowhere FROM "{phrase}"') == "42703"
    assert state(f'SELECT "{phrase}", count(*) FROM "{phrase}"') == "42803"
    assert state(f'INSERT INTO "{phrase}" VALUES (1, 2)') == "42601"
    assert state(f'INSERT INTO "{phrase}" VALUES (NULL)') == "23502"
    assert state(f'INSERT INTO "{phrase}" VALUES (%s)', phrase) == "22P02"


def test_a_parameter_of_another_form(shared_connection):
    with pytest.raises(psycopg.errors.InvalidTextRepresentation):
        shared_connection.execute("SELECT CAST(%s AS INTEGER)", ("x",))
    with pytest.raises(psycopg.errors.NumericValueOutOfRange):
        shared_connection.execute("SELECT CAST(%s AS SMALLINT)", (2**40,))


def test_cancel_stops_a_running_query(shared_server):
    with shared_server.connect() as connection:
        begin = time.monotonic()
        timer = threading.Timer(0.5, connection.cancel)
        timer.start()
        with pytest.raises(psycopg.errors.QueryCanceled, match="the statement was cancelled") as cancelled:
            connection.execute("SELECT count(*) FROM range(100000000) a, range(100000000) b")
        assert "client" in cancelled.value.diag.message_hint
        timer.join()
        assert time.monotonic() - begin < 20
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_many_connections(shared_server):
    connections = [shared_server.connect() for _ in range(50)]
    try:
        for i, connection in enumerate(connections):
            assert connection.execute("SELECT %s::INTEGER", (i,)).fetchone() == (i,)
    finally:
        for connection in connections:
            connection.close()


def test_savepoints_are_set_and_released_and_no_more(shared_server):
    with shared_server.connect(autocommit=False) as connection:
        connection.execute("SELECT 1")
        with connection.transaction():  # a savepoint, since a transaction is open
            assert connection.execute("SELECT 2").fetchone() == (2,)
        assert connection.execute("SELECT 3").fetchone() == (3,)
        with pytest.raises(psycopg.Error):
            connection.execute("ROLLBACK TO SAVEPOINT x")
        connection.rollback()


def test_a_nested_block_that_is_undone_never_looks_committed(shared_server):
    """A driver swallows the refusal of ROLLBACK TO and goes on: then its COMMIT is what must fail."""
    shared_server.sql("CREATE TABLE nested (a INT)")
    with shared_server.connect(autocommit=True) as connection:
        with pytest.raises(psycopg.errors.FeatureNotSupported, match="undone as a whole"):
            with connection.transaction():
                connection.execute("INSERT INTO nested VALUES (1)")
                try:
                    with connection.transaction():
                        raise KeyError("the inner block's own")
                except (KeyError, psycopg.Error):
                    pass
        assert connection.execute("SELECT count(*) FROM nested").fetchone() == (0,)
        with connection.transaction():
            connection.execute("INSERT INTO nested VALUES (2)")
        assert connection.execute("SELECT a FROM nested").fetchall() == [(2,)]


# -- every error fails its transaction


REFUSALS = [
    ("INSERT INTO {} VALUES (%s)", ("xx",), "22P02"),
    ("INSERT INTO {} VALUES ('xx')", None, "22P02"),
    ("SET TIME ZONE 'Africa/Nairobi'", None, "0A000"),
    ("SET client_encoding = 'latin1'", None, "0A000"),
    ("SET TRANSACTION READ ONLY", None, "0A000"),
    ("COPY {} FROM STDIN", None, "0A000"),
    ("RELEASE nowhere", None, "3B001"),
    ("SELECT * FROM nowhere", None, "42P01"),
]


@pytest.mark.parametrize("prepare", [False, True])
@pytest.mark.parametrize("statement,parameters,sqlstate", REFUSALS, ids=[text for text, _, _ in REFUSALS])
def test_any_error_fails_the_transaction(shared_server, statement, parameters, sqlstate, prepare):
    table = f"refused_{uuid.uuid4().hex}"
    shared_server.sql(f"CREATE TABLE {table} (a INT)")
    with shared_server.connect(autocommit=False) as connection:
        connection.execute(f"INSERT INTO {table} VALUES (%s)", (1,))
        with pytest.raises(psycopg.Error) as caught:
            connection.execute(statement.format(table), parameters, prepare=prepare)
        assert caught.value.sqlstate == sqlstate
        assert connection.info.transaction_status.name == "INERROR"
        with pytest.raises(psycopg.errors.InFailedSqlTransaction):
            connection.execute(f"INSERT INTO {table} VALUES (2)")
        assert connection.execute("COMMIT").statusmessage == "ROLLBACK"
        assert connection.info.transaction_status.name == "IDLE"
    assert shared_server.sql(f"SELECT * FROM {table}") == []


def test_errors_below_the_driver_fail_the_transaction_too(shared_server):
    shared_server.sql("CREATE TABLE below (a INT)")
    insert = b"INSERT INTO below VALUES ($1)"
    with shared_server.connect(autocommit=True) as connection:
        raw = connection.pgconn
        refusals = [
            lambda: raw.exec_params(insert, [b"1", b"2"]),
            lambda: raw.exec_params(insert, [b"\x00"], param_formats=[1]),
            lambda: raw.exec_prepared(b"nowhere", []),
            lambda: raw.describe_prepared(b"nowhere"),
            lambda: raw.describe_portal(b"nowhere"),
            lambda: raw.prepare(b"two", b"SELECT 1; SELECT 2"),
            lambda: raw.exec_(b"SELECT '\xff'"),
            lambda: raw.exec_(b"COPY below FROM STDIN"),
        ]
        for number, refusal in enumerate(refusals):
            raw.exec_(b"BEGIN")
            assert raw.exec_(b"INSERT INTO below VALUES (1)").command_status == b"INSERT 0 1"
            assert refusal().error_message, number
            assert raw.transaction_status == psycopg.pq.TransactionStatus.INERROR, number
            assert raw.exec_(b"COMMIT").command_status == b"ROLLBACK", number
        assert connection.execute("SELECT * FROM below").fetchall() == []


def test_a_pipeline_with_an_error_commits_nothing(shared_server):
    shared_server.sql("CREATE TABLE piped (a INT)")
    with shared_server.connect(autocommit=True) as connection:
        with pytest.raises(psycopg.errors.InvalidTextRepresentation):
            with connection.pipeline() as pipeline:
                connection.execute("BEGIN")
                connection.execute("INSERT INTO piped VALUES (2)")
                connection.execute("INSERT INTO piped VALUES (%s)", ("xx",))
                connection.execute("INSERT INTO piped VALUES (3)")
                pipeline.sync()
        assert connection.info.transaction_status.name == "INERROR"
        assert connection.execute("COMMIT").statusmessage == "ROLLBACK"
        with connection.pipeline():
            connection.execute("BEGIN")
            connection.execute("INSERT INTO piped VALUES (4)")
            connection.execute("COMMIT")
    assert shared_server.sql("SELECT * FROM piped") == [(4,)]


def test_a_prepared_commit_after_an_undone_block_is_an_error(shared_server):
    shared_server.sql("CREATE TABLE prepared_commit (a INT)")
    with shared_server.connect(autocommit=True) as connection:
        raw = connection.pgconn
        raw.prepare(b"early", b"COMMIT")
        for statement in (b"BEGIN", b"INSERT INTO prepared_commit VALUES (1)", b"SAVEPOINT a", b"ROLLBACK TO a"):
            raw.exec_(statement)
        assert not raw.prepare(b"late", b"COMMIT").error_message
        assert raw.transaction_status == psycopg.pq.TransactionStatus.INERROR
        assert b"undone as a whole" in raw.exec_prepared(b"early", []).error_message
        assert raw.transaction_status == psycopg.pq.TransactionStatus.IDLE
    assert shared_server.sql("SELECT * FROM prepared_commit") == []


def test_savepoints_belong_to_a_transaction(shared_server):
    shared_server.sql("CREATE TOPIC read_only_topic (a INT)")
    with shared_server.connect(autocommit=True) as connection:
        for statement in ("SAVEPOINT a", "RELEASE a"):
            with pytest.raises(psycopg.errors.NoActiveSqlTransaction):
                connection.execute(statement)
        connection.execute("BEGIN")
        connection.execute("SAVEPOINT a")
        connection.execute("RELEASE SAVEPOINT a")
        with pytest.raises(psycopg.errors.InvalidSavepointSpecification):
            connection.execute("RELEASE a")
        connection.execute("ROLLBACK")
        connection.execute("BEGIN")
        with pytest.raises(psycopg.errors.ActiveSqlTransaction):
            connection.execute("DISCARD ALL")
        connection.execute("ROLLBACK")
        connection.execute("DISCARD ALL")
        connection.execute("BEGIN READ ONLY")
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            connection.execute("INSERT INTO read_only_topic VALUES (1)")
        connection.execute("ROLLBACK")


def test_discard_all_makes_a_connection_as_new(shared_server):
    def table():
        return connection.execute("SELECT a FROM of_mine", prepare=True).fetchone()

    with shared_server.connect(options="-c search_path=ziwa", autocommit=True) as connection:
        connection.execute("SET search_path TO public")
        connection.execute("CREATE TEMP TABLE of_mine AS SELECT 1 AS a")
        assert table() == (1,)
        connection.execute("RESET ALL")
        assert connection.execute("SHOW search_path").fetchone() == ("ziwa",)
        assert table() == (1,)
        for reset in ("RESET search_path", "SET search_path TO DEFAULT", "SET search_path = DEFAULT"):
            connection.execute("SET search_path TO public")
            connection.execute(reset)
            assert connection.execute("SHOW search_path").fetchone() == ("ziwa",), reset
        connection.execute("SET search_path TO public")
        connection.execute("DISCARD ALL")
        assert connection.execute("SHOW search_path").fetchone() == ("ziwa",)
        with pytest.raises(psycopg.errors.UndefinedTable):
            connection.execute("SELECT a FROM of_mine")
        assert connection.execute("SELECT count(*) FROM ziwa.settings").fetchone()[0] > 0


# -- options of the start-up


def test_start_options_are_set_as_set_would(shared_server):
    def show(options, name):
        with shared_server.connect(options=options) as connection:
            return connection.execute(f"SHOW {name}").fetchone()[0]

    assert show("-c application_name=some\\ app", "application_name") == "some app"
    assert show("--search-path=ziwa -c statement_timeout=5s", "search_path") == "ziwa"
    assert show("-c statement_timeout=5s -cstatement_timeout=7s", "statement_timeout") == "7s"
    with shared_server.connect(options="-c search_path=ziwa") as connection:
        assert connection.execute("SELECT count(*) FROM settings").fetchone()[0] > 0
    for options in ("-c search_path=ziwa,public", "-c search_path=ziwa,\\ public"):
        assert show(options, "search_path") == "ziwa, public"
    with shared_server.connect() as connection:
        connection.execute("SET search_path TO ziwa, public")
        assert connection.execute("SHOW search_path").fetchone() == ("ziwa, public",)
    environment = dict(os.environ, PGOPTIONS="-c statement_timeout=9s")
    done = psql(shared_server, "-At", "-c", "SHOW statement_timeout", env=environment)
    assert (done.stdout, done.stderr) == ("9s\n", "")


@pytest.mark.parametrize("options,reason", [
    ("-c default_transaction_read_only=on", "read-only"),
    ("-c default_transaction_read_only=t", "read-only"),
    ("-c client_encoding=latin1", "UTF8"),
    ("-c DateStyle=German", "ISO"),
    ("-c TimeZone=Africa/Nairobi", "UTC"),
    ("-c search_path=nowhere.at.all", "start-up options"),
    ("-c search_path=", "cannot be empty"),
    ("-c threads=1", "administrator"),
    ("-c nowhere=1", "administrator"),
    ("-d 5", "-d"),
])
def test_start_options_that_set_refuses_end_the_connection(shared_server, options, reason):
    with pytest.raises(psycopg.OperationalError, match=f"FATAL.*{reason}"):
        shared_server.connect(options=options)
    done = psql(shared_server, "-At", "-c", "SELECT 1", env=dict(os.environ, PGOPTIONS=options))
    assert done.returncode == 2 and "FATAL" in done.stderr and reason in done.stderr
