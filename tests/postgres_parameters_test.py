"""Parameters of the Postgres door whose types the statement leaves open: the client's types decide, and what Describe
says of the columns is what comes."""

import datetime
import decimal
import socket
import struct

import psycopg
import pytest

pytestmark = pytest.mark.e2e

OIDS = {"int2": 21, "int4": 23, "int8": 20, "text": 25, "numeric": 1700, "int4[]": 1007}
EACH_WAY = pytest.mark.parametrize(
    "options",
    [{}, {"prepare": True}, {"binary": True}, {"prepare": True, "binary": True}],
    ids=["simple", "prepared", "binary", "prepared binary"],
)


@pytest.fixture(scope="module")
def connection(shared_server):
    with shared_server.connect() as opened:
        yield opened


STATEMENTS = [
    ("SELECT %s, %s", (41, "x"), [(41, "x")]),
    (
        "SELECT %s::int + 1, %s::text, %s::timestamp, %s",
        (41, "x", "2020-01-01", None),
        [(42, "x", datetime.datetime(2020, 1, 1), None)],
    ),
    ("SELECT %s + 1, %s", (2**40, 32767), [(2**40 + 1, 32767)]),
    ("SELECT %s, 'two', %s", (b"a\x00", True), [(b"a\x00", "two", True)]),
    ("SELECT %s, %s", (decimal.Decimal("1.50"), 0.5), [(decimal.Decimal("1.50"), 0.5)]),
    ("SELECT * FROM range(%s) t(r)", (2,), [(0,), (1,)]),
    ("SELECT r, -r FROM range(10) t(r) WHERE r = ANY(%s)", ([2, 8],), [(2, -2), (8, -8)]),
    ("SELECT r, -r FROM range(10) t(r) WHERE r = ANY(%s)", ([],), []),
    ("SELECT r FROM range(3) t(r) WHERE r <> ALL (%s)", ([0, 2],), [(1,)]),
    ("SELECT x FROM (VALUES ('a'), ('b')) t(x) WHERE x = ANY(%s)", (["b", "c"],), [("b",)]),
    ("SELECT %s, %s", ([1.5, None], [datetime.date(2001, 2, 3)]), None),
    ("SELECT sum(r) OVER () + %s, r FROM range(2) t(r) ORDER BY r LIMIT %s", (1, 1), [(2, 0)]),
]


@EACH_WAY
@pytest.mark.parametrize("query,values,rows", STATEMENTS, ids=[query for query, *_ in STATEMENTS])
def test_open_parameters_keep_every_column(connection, query, values, rows, options):
    expected = [tuple(values)] if rows is None else rows
    assert connection.execute(query, values, **options).fetchall() == expected


def test_open_parameters_of_an_insert(connection):
    connection.execute("CREATE TEMP TABLE open_insert (a BIGINT, b VARCHAR)")
    done = connection.execute("INSERT INTO open_insert SELECT %s + 1, %s", (41, "x"))
    assert (done.description, done.rowcount) == (None, 1)
    done = connection.execute("INSERT INTO open_insert VALUES (%s, %s)", (1, None))
    assert (done.description, done.rowcount) == (None, 1)
    assert connection.execute("FROM open_insert ORDER BY a").fetchall() == [(1, None), (42, "x")]


def test_an_open_parameter_that_cannot_be_is_an_error(shared_server):
    with shared_server.connect(autocommit=False) as connection:
        with pytest.raises(psycopg.Error):
            connection.execute("SELECT %s, date_trunc('day', %s)", (1, b"x"))
        assert connection.info.transaction_status == psycopg.pq.TransactionStatus.INERROR
        connection.rollback()
        assert connection.execute("SELECT %s, 2", (1,)).fetchone() == (1, 2)


def test_describe_of_a_statement_knows_the_columns(connection):
    """As JDBC and Go do: Parse with declared types, Describe of the statement, then Execute."""
    pgconn = connection.pgconn
    pgconn.prepare(b"described", b"SELECT $1, $2, $1 + 1", [OIDS["int8"], 0])
    described = pgconn.describe_prepared(b"described")
    assert [described.param_type(i) for i in range(2)] == [OIDS["int8"], OIDS["text"]]
    assert [described.ftype(i) for i in range(3)] == [OIDS["int8"], OIDS["text"], OIDS["int8"]]
    result = pgconn.exec_prepared(b"described", [b"5", b"five"])
    assert [result.get_value(0, i) for i in range(3)] == [b"5", b"five", b"6"]


class Wire:
    """The extended protocol by hand: no client library leaves out Describe of a portal."""

    def __init__(self, port: int):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        start = struct.pack("!i", 196608) + b"user\0test\0database\0db\0\0"
        self.socket.sendall(struct.pack("!i", len(start) + 4) + start)
        self.answers()

    def send(self, kind: bytes, body: bytes) -> None:
        self.socket.sendall(kind + struct.pack("!i", len(body) + 4) + body)

    def exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            data += self.socket.recv(count - len(data))
        return data

    def answers(self) -> list[tuple[bytes, bytes]]:
        messages = []
        while not messages or messages[-1][0] != b"Z":
            head = self.exactly(5)
            messages.append((head[:1], self.exactly(struct.unpack("!i", head[1:])[0] - 4)))
        return messages


def test_rows_have_the_types_that_describe_of_the_statement_told(shared_server):
    """As asyncpg does: it decodes by what Describe of the statement said, and asks for binary rows."""
    wire = Wire(shared_server.ports["postgres"])
    wire.send(b"P", b"s\0SELECT $1 + 1\0" + struct.pack("!hi", 1, OIDS["int8"]))
    wire.send(b"D", b"Ss\0")
    wire.send(b"S", b"")
    described = dict(wire.answers())[b"T"]
    assert struct.unpack_from("!ihih", described, len(described) - 12)[0:2] == (OIDS["int8"], 8)
    # The value is small, so that DuckDB alone would answer with an INTEGER.
    value = struct.pack("!q", 41)
    wire.send(b"B", b"\0s\0" + struct.pack("!hhhi", 1, 1, 1, 8) + value + struct.pack("!hh", 1, 1))
    wire.send(b"E", b"\0" + struct.pack("!i", 0))
    wire.send(b"S", b"")
    row = dict(wire.answers())[b"D"]
    assert row == struct.pack("!hiq", 1, 8, 42)


def test_a_table_made_anew_does_not_change_the_columns_of_a_statement(shared_server):
    with shared_server.connect() as connection:
        connection.execute("CREATE TABLE made_anew (a BIGINT)")
        query = "SELECT * FROM made_anew"
        assert connection.execute(query, prepare=True).fetchall() == []
        # Another connection: psycopg prepares everything again after DDL of its own.
        shared_server.sql("DROP TABLE made_anew")
        shared_server.sql("CREATE TABLE made_anew (a BIGINT, b BIGINT)")
        with pytest.raises(psycopg.errors.FeatureNotSupported, match="must not change result type"):
            connection.execute(query, prepare=True)
        connection.execute("DROP TABLE made_anew")


def test_a_described_statement_does_not_survive_other_columns(shared_server, connection):
    pgconn = connection.pgconn
    with shared_server.connect() as other:  # psycopg forgets its statements at a DROP of its own
        remake_a_described_view(pgconn, other.execute)


def test_a_described_statement_does_not_survive_another_temporary_table(connection):
    pgconn = connection.pgconn

    def run(text):
        assert pgconn.exec_(text).status in (psycopg.pq.ExecStatus.COMMAND_OK, psycopg.pq.ExecStatus.TUPLES_OK)

    run(b"CREATE TEMP TABLE remade_temp AS SELECT 1::BIGINT AS n")
    pgconn.prepare(b"temp", b"SELECT n FROM remade_temp")
    assert pgconn.describe_prepared(b"temp").ftype(0) == 20
    run(b"DROP TABLE remade_temp")
    run(b"CREATE TEMP TABLE remade_temp AS SELECT 2.75::DOUBLE AS n")
    result = pgconn.exec_prepared(b"temp", None)
    assert result.error_field(psycopg.pq.DiagnosticField.SQLSTATE) == b"0A000"
    run(b"DROP TABLE remade_temp")


def remake_a_described_view(pgconn, execute):
    execute("CREATE TOPIC remade_source (a INT)")
    execute("INSERT INTO remade_source VALUES (1), (2), (4)")
    view = "CREATE MATERIALIZED VIEW remade AS SELECT {} FROM remade_source"
    execute(view.format("count(*) AS n"))
    statements = {b"plain": b"SELECT n FROM remade", b"open": b"SELECT n FROM remade WHERE n > $1"}
    for name, text in statements.items():
        assert pgconn.prepare(name, text).status == psycopg.pq.ExecStatus.COMMAND_OK
        assert pgconn.describe_prepared(name).ftype(0) == 20
    parameters = {b"plain": None, b"open": [b"0"]}
    for columns in ("avg(a) AS n", "'x' || count(*) AS n"):
        execute("DROP MATERIALIZED VIEW remade")
        execute(view.format(columns))
        if "'x'" in columns:
            del parameters[b"open"]  # no number is greater
        for name, values in parameters.items():
            result = pgconn.exec_prepared(name, values)
            assert result.error_field(psycopg.pq.DiagnosticField.SQLSTATE) == b"0A000", columns
            assert b"cached plan" in result.error_message
    execute("DROP MATERIALIZED VIEW remade")
    execute(view.format("count(*) AS n"))
    assert pgconn.exec_prepared(b"plain", None).get_value(0, 0) == b"3"
    execute("DROP MATERIALIZED VIEW remade")
    execute("DROP TOPIC remade_source")
