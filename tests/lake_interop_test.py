"""Delta tables written here are read by the `deltalake` package, and the other way round, row for row."""

import datetime
import json
import os
import subprocess
from decimal import Decimal
from pathlib import Path

import duckdb
import psycopg
import pyarrow as pa
import pytest

deltalake = pytest.importorskip("deltalake")

ROOT = Path(__file__).resolve().parent.parent
TOOL = ROOT / "build" / os.environ.get("ZIWA_PRESET", "release") / "src" / "lake" / "ziwa_delta_tool"

pytestmark = pytest.mark.skipif(not TOOL.exists(), reason=f"{TOOL} is not built")

COLUMNS = [
    ("id", "BIGINT", True), ("small", "SMALLINT", False), ("tiny", "TINYINT", False), ("i", "INTEGER", False),
    ("f", "FLOAT", False), ("d", "DOUBLE", False), ("word", "VARCHAR", False), ("yes", "BOOLEAN", False),
    ("day", "DATE", False), ("at", "TIMESTAMP", False), ("zoned", "TIMESTAMP WITH TIME ZONE", False),
    ("price", "DECIMAL(10,2)", False), ("large", "DECIMAL(30,5)", False), ("bytes", "BLOB", False),
    ("s", "STRUCT(a INTEGER, b VARCHAR)", False), ("list", "BIGINT[]", False), ("m", "MAP(VARCHAR, DOUBLE)", False),
]
ROWS = """
  SELECT id, CASE WHEN id % 7 = 0 THEN NULL ELSE id % 1000 END, (id % 100)::TINYINT, id::INTEGER, id / 8, id / 3,
         CASE WHEN id % 5 = 0 THEN NULL ELSE repeat('wörd ', (id % 20)::INTEGER) || id END, id % 2 = 0,
         DATE '1999-12-31' + (id % 400)::INTEGER,
         TIMESTAMP '2001-01-01 00:00:00.123456' + INTERVAL 1 MINUTE * id,
         TIMESTAMPTZ '2001-06-01 00:00:00.654321+00' + INTERVAL 1 HOUR * id,
         (id / 4)::DECIMAL(10,2), (id * 1000000007)::DECIMAL(30,5) / 100, 'x'::BLOB || id::VARCHAR::BLOB,
         {{'a': id::INTEGER, 'b': 'b' || id}}, [id, NULL, id * 2], MAP {{'k' || id % 3: id / 2}}
  FROM range({start}, {end}) t(id)"""


def tool(*arguments):
    done = subprocess.run([TOOL, *map(str, arguments)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done


def create(path, columns, partitions=()):
    described = [{"name": name, "type": kind, "not_null": required} for name, kind, required in columns]
    tool("create", path, json.dumps(described), json.dumps(list(partitions)))


def our_rows(path, out, *version):
    tool("read", path, out, *version)
    return duckdb.read_parquet(str(out))


def connection():
    con = duckdb.connect()
    con.execute("SET TimeZone = 'UTC'")
    return con


def assert_same(con, left, right):
    """Both are SQL; compared as bags of rows."""
    assert con.sql(f"(FROM {left}) EXCEPT ALL (FROM {right})").fetchall() == []
    assert con.sql(f"(FROM {right}) EXCEPT ALL (FROM {left})").fetchall() == []


@pytest.mark.parametrize("partitions", [(), ("day",), ("yes", "tiny"), ("word",), ("zoned",), ("at",), ("price", "f")])
def test_deltalake_reads_what_we_write(tmp_path, partitions):
    path = tmp_path / "t"
    create(path, COLUMNS, partitions)
    few = partitions in [("word",), ("zoned",), ("at",), ("price", "f")]
    step = 3 if few else 500
    for commit in range(12):
        tool("insert", path, ROWS.format(start=commit * step, end=(commit + 1) * step))
    con = connection()
    names = ", ".join(f'"{name}"' for name, _, _ in COLUMNS)
    casts = ", ".join(f'CAST(c{i} AS {kind}) AS "{name}"' for i, (name, kind, _) in enumerate(COLUMNS))
    aliases = ", ".join(f"c{i}" for i in range(len(COLUMNS)))
    con.execute(f"CREATE VIEW expected AS SELECT {casts} FROM ({ROWS.format(start=0, end=12 * step)}) q({aliases})")
    table = deltalake.DeltaTable(str(path))
    assert table.version() == 12
    con.register("arrow", table.to_pyarrow_table())
    con.execute(f"CREATE VIEW theirs AS SELECT {names} FROM arrow")
    assert_same(con, "theirs", "expected")
    tool("read", path, tmp_path / "out.parquet")
    con.execute(f"CREATE VIEW ours AS SELECT {names} FROM '{tmp_path}/out.parquet'")
    assert_same(con, "ours", "expected")
    protocol = table.protocol()
    assert (protocol.min_reader_version, protocol.min_writer_version) == (3, 7)


def test_deltalake_prunes_by_our_statistics(tmp_path):
    path = tmp_path / "t"
    create(path, [("id", "BIGINT", False), ("word", "VARCHAR", False)])
    for commit in range(4):
        tool("insert", path, f"SELECT range, repeat('é', 40) || range FROM range({commit * 10}, {commit * 10 + 10})")
    table = deltalake.DeltaTable(str(path))
    assert table.protocol().min_writer_version == 2
    assert table.to_pyarrow_table(filters=[("id", ">=", 35)]).num_rows == 5
    assert table.to_pyarrow_table(filters=[("word", "=", "é" * 40 + "12")]).num_rows == 1
    actions = pa.table(table.get_add_actions(flatten=True)).to_pydict()
    assert sorted(actions["num_records"]) == [10, 10, 10, 10]
    assert sorted(actions["min.id"]) == [0, 10, 20, 30]
    assert all(len(low) == 32 and low < "é" * 40 < high for low, high in zip(actions["min.word"], actions["max.word"]))


def test_removed_files_and_old_versions(tmp_path):
    path = tmp_path / "t"
    create(path, [("id", "BIGINT", False)])
    for commit in range(3):
        tool("insert", path, f"SELECT range FROM range({commit * 10}, {commit * 10 + 10})")
    tool("drop-file", path)
    assert sorted(deltalake.DeltaTable(str(path)).to_pyarrow_table()["id"].to_pylist()) == list(range(10, 30))
    assert deltalake.DeltaTable(str(path), version=3).to_pyarrow_table().num_rows == 30
    assert len(our_rows(path, tmp_path / "out.parquet")) == 20
    assert len(our_rows(path, tmp_path / "old.parquet", 2)) == 20
    assert len(our_rows(path, tmp_path / "old3.parquet", 3)) == 30


def arrow_rows(start, end):
    ids = list(range(start, end))
    utc = datetime.timezone.utc
    return pa.table({
        "id": pa.array(ids, pa.int64()),
        "word": pa.array([None if i % 4 == 0 else f"wörd/{i % 3} %=" for i in ids], pa.string()),
        "price": pa.array([Decimal(i) / 4 for i in ids], pa.decimal128(12, 2)),
        "at": pa.array([datetime.datetime(2001, 1, 1, 1, 2, 3, i) for i in ids], pa.timestamp("us")),
        "zoned": pa.array([datetime.datetime(2001, 1, 1, 1, 2, 3, i, utc) for i in ids], pa.timestamp("us", "UTC")),
        "day": pa.array([datetime.date(2001, 1, 1 + i % 5) for i in ids], pa.date32()),
        "s": pa.array([{"a": i, "b": [i, None]} for i in ids],
                      pa.struct([("a", pa.int32()), ("b", pa.list_(pa.int16()))])),
        "d": pa.array([float("nan") if i == 3 else i / 7 for i in ids], pa.float64()),
    })


@pytest.mark.parametrize("partitions", [None, ["word"], ["day", "word"], ["zoned"], ["at"], ["price"]])
def test_we_read_what_deltalake_writes(tmp_path, partitions):
    path = str(tmp_path / "t")
    for commit in range(4):
        deltalake.write_deltalake(path, arrow_rows(commit * 10, commit * 10 + 10), mode="append",
                                  partition_by=partitions)
    table = deltalake.DeltaTable(path)
    table.delete("id = 17")
    table.create_checkpoint()
    deltalake.write_deltalake(path, arrow_rows(40, 50), mode="append")
    con = connection()
    con.register("everything", arrow_rows(0, 50))
    con.execute("CREATE VIEW expected AS SELECT * FROM everything WHERE id <> 17")
    out = tmp_path / "out.parquet"
    tool("read", path, out)
    con.execute(f"CREATE VIEW ours AS SELECT * FROM '{out}'")
    assert_same(con, "ours", "expected")


def test_we_append_to_a_table_of_deltalake_and_it_to_ours(tmp_path):
    path = str(tmp_path / "t")
    deltalake.write_deltalake(path, pa.table({"id": pa.array([1, 2], pa.int64()), "p": ["a", "b"]}), partition_by=["p"])
    tool("insert", path, "SELECT 3, 'c/ %'")
    deltalake.write_deltalake(path, pa.table({"id": pa.array([4], pa.int64()), "p": ["c/ %"]}), mode="append")
    tool("insert", path, "SELECT 5, NULL")
    rows = deltalake.DeltaTable(path).to_pyarrow_table().sort_by("id").to_pydict()
    assert rows == {"id": [1, 2, 3, 4, 5], "p": ["a", "b", "c/ %", "c/ %", None]}
    assert sorted(our_rows(path, tmp_path / "out.parquet").fetchall()) == sorted(zip(rows["id"], rows["p"]))


def test_types_that_delta_lacks_keep_their_values(tmp_path):
    path = tmp_path / "t"
    create(path, [("h", "HUGEINT", False), ("u", "UUID", False), ("e", "ENUM('x', 'y')", False), ("j", "JSON", False),
                  ("n", "UBIGINT", False), ("t", "TIME", False)])
    tool("insert", path, """SELECT 170141183460469231731687303715884105::HUGEINT,
         '00000000-0000-0000-0000-000000000007', 'y', '{"a": 1}', 18446744073709551615::UBIGINT, TIME '12:34:56.789'""")
    theirs = deltalake.DeltaTable(str(path)).to_pyarrow_table().to_pylist()
    assert theirs == [{"h": Decimal(170141183460469231731687303715884105), "u": "00000000-0000-0000-0000-000000000007",
                       "e": "y", "j": '{"a": 1}', "n": Decimal(18446744073709551615), "t": "12:34:56.789"}]
    ours = our_rows(path, tmp_path / "out.parquet").fetchall()
    assert str(ours[0][1]) == "00000000-0000-0000-0000-000000000007"
    assert ours[0][4] == 18446744073709551615


@pytest.mark.e2e
def test_another_writer_of_a_servers_table(shared_server, wait_until):
    """It appends, deletes and compacts; ours appends on, and readers and views follow."""
    shared_server.sql("CREATE TABLE shared_rows (id BIGINT, word VARCHAR)")
    shared_server.sql("CREATE MATERIALIZED VIEW shared_sum AS SELECT count(*) AS n, sum(id) AS s FROM shared_rows")
    shared_server.sql("INSERT INTO shared_rows VALUES (1, 'a'), (2, 'b')")
    [(place,)] = shared_server.sql("SELECT location FROM ziwa.tables WHERE name = 'shared_rows'")
    rows = pa.table({"id": pa.array([3, 4], pa.int64()), "word": ["c", "d"]})
    deltalake.write_deltalake(place, rows, mode="append")
    deltalake.DeltaTable(place).delete("id = 2")
    shared_server.sql("INSERT INTO shared_rows VALUES (5, 'e')")
    deltalake.DeltaTable(place).optimize.compact()
    shared_server.sql("INSERT INTO shared_rows VALUES (6, 'f')")
    assert shared_server.sql("SELECT id FROM shared_rows ORDER BY id") == [(1,), (3,), (4,), (5,), (6,)]
    assert shared_server.sql("SELECT * FROM shared_sum") == [(5, 19)]
    deltalake.write_deltalake(place, rows, mode="append")
    wait_until(lambda: shared_server.sql("SELECT * FROM shared_sum") == [(7, 26)], what="the view of it")
    assert shared_server.sql("SELECT count(*) FROM shared_rows") == [(7,)]


@pytest.mark.e2e
def test_a_view_whose_table_lost_what_it_needed_says_so(server, wait_until):
    """Another writer appends, compacts and vacuums at once: the rows in between are gone, the table is whole."""
    server.expected_errors = ["a view has failed"]
    server.sql("CREATE TABLE vacuumed (id BIGINT)")
    server.sql("CREATE MATERIALIZED VIEW vacuumed_ids AS SELECT id FROM vacuumed")
    server.sql("INSERT INTO vacuumed VALUES (1)")
    [(place,)] = server.sql("SELECT location FROM ziwa.tables WHERE name = 'vacuumed'")
    server.stop()
    deltalake.write_deltalake(place, pa.table({"id": pa.array([2], pa.int64())}), mode="append")
    table = deltalake.DeltaTable(place)
    table.optimize.compact()
    assert table.vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False)
    for _ in range(2):
        server.start()
        state = "SELECT state FROM ziwa.views WHERE name = 'vacuumed_ids'"
        wait_until(lambda: server.sql(state) == [("failed",)], what="the view to see it")
        with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="has failed: .*data_lost") as failed:
            server.sql("SELECT * FROM vacuumed_ids")
        assert "DROP" in failed.value.diag.message_hint
        answer = server.get("/v1/vacuumed_ids")
        assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
        server.stop()
    server.start()
    assert server.sql("SELECT id FROM vacuumed ORDER BY id") == [(1,), (2,)]
    server.sql("DROP MATERIALIZED VIEW vacuumed_ids")
    server.sql("CREATE MATERIALIZED VIEW vacuumed_ids AS SELECT id FROM vacuumed")
    assert server.sql("SELECT id FROM vacuumed_ids ORDER BY id") == [(1,), (2,)]


@pytest.mark.e2e
def test_a_table_whose_folder_is_away_says_so(server):
    server.expected_errors = ["a table cannot be opened", "a view cannot be made"]
    server.sql("CREATE TABLE away (id BIGINT)")
    server.sql("CREATE MATERIALIZED VIEW away_ids AS SELECT id FROM away")
    server.sql("INSERT INTO away VALUES (1)")
    [(place,)] = server.sql("SELECT location FROM ziwa.tables WHERE name = 'away'")
    server.stop()
    os.rename(place, place + ".away")
    server.start()
    for name in ("away", "away_ids"):
        with pytest.raises(psycopg.OperationalError, match='table "away".* cannot be opened'):
            server.sql(f"SELECT * FROM {name}")
        assert server.get(f"/v1/{name}").status_code == 503
    server.stop()
    os.rename(place + ".away", place)
    server.start()
    assert server.sql("SELECT id FROM away_ids") == [(1,)]


def reader_of(server, statement):
    """What a statement answers, or the error's text."""
    try:
        return server.sql(statement)
    except psycopg.Error as error:
        return str(error)


@pytest.mark.e2e
@pytest.mark.parametrize(
    "change, reason",
    [
        ({"id": [3], "s": ["c"], "more": [1.5]}, None),
        ({"s": ["c"], "id": [3]}, None),
        ({"id": [3]}, 'no column "s" any more'),
        ({"id": ["x"], "s": ["c"]}, '"id" is VARCHAR now'),
        ({"id": [3], "q": ["c"]}, 'no column "s" any more'),
    ],
    ids=["added", "swapped", "gone", "type", "renamed"],
)
def test_another_writer_changes_the_columns(server, wait_until, change, reason):
    """Whoever reads or writes the table is told what happened; everything else goes on, also after a restart."""
    server.expected_errors = ["has failed"]
    server.sql("CREATE TABLE changing (id BIGINT, s VARCHAR)")
    server.sql("CREATE TOPIC calm (a INT)")
    server.sql("CREATE TOPIC into_it (id BIGINT, s VARCHAR)")
    server.sql("CREATE MATERIALIZED VIEW changing_rows AS SELECT id, s FROM changing")
    server.sql("CREATE SINK keep INTO changing FROM into_it WITH (commit_interval = '100 ms')")
    server.sql("INSERT INTO changing VALUES (1, 'a'), (2, 'b')")
    [(place,)] = server.sql("SELECT location FROM ziwa.tables WHERE name = 'changing'")
    mode = {"mode": "append", "schema_mode": "merge"} if "more" in change else {
        "mode": "overwrite", "schema_mode": "overwrite"
    }
    deltalake.write_deltalake(place, pa.table(change), **mode)
    rows = [(1, "a"), (2, "b"), (3, "c")] if "more" in change else [(3, "c")]
    for start in range(2):
        for name in ("changing", "changing_rows"):
            question = f"SELECT id, s FROM {name} ORDER BY id"
            if reason is None:
                wait_until(lambda asked=question: server.sql(asked) == rows, what=question)
            else:
                wait_until(lambda asked=question: reason in reader_of(server, asked), what=question)
        server.sql("INSERT INTO calm VALUES (1)")
        assert server.sql("SELECT count(*) FROM calm") == [(start + 1,)]
        if reason is None:
            server.sql("INSERT INTO changing VALUES (4, 'd')")
            server.sql("INSERT INTO into_it VALUES (5, 'e')")
            rows += [(4, "d"), (5, "e")]
            rows.sort()
        else:
            with pytest.raises(psycopg.errors.FeatureNotSupported, match=reason):
                server.sql("INSERT INTO changing VALUES (4, 'd')")
            server.sql("INSERT INTO into_it VALUES (5, 'e')")
            state = "SELECT state, error FROM ziwa.sinks WHERE name = 'keep'"
            wait_until(lambda: reason in server.sql(state)[0][1], what="the sink to say so")
        assert server.get("/healthz").status_code == 200
        server.restart()
    deltalake.DeltaTable(place)
