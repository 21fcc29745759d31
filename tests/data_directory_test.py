"""A data directory is whole by itself: it may be moved, and a copy of it is another one."""

import hashlib
import pathlib
import shutil

import psycopg
import pytest

COUNTS = {name: f"SELECT count(*), sum(n) FROM {name}" for name in ("t", "lk", "kept", "kept_view")}
COUNTS["v"] = "SELECT sum(c), sum(n * c) FROM v"


def contents(data: pathlib.Path) -> dict[str, str]:
    """Every file, and what is in it."""
    return {str(path.relative_to(data)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in data.rglob("*") if path.is_file()}


def answers(server) -> dict[str, tuple]:
    server.sql("CALL ziwa.flush()")
    return {name: server.sql(question)[0] for name, question in COUNTS.items()}


def grow(server) -> None:
    """One row more in everything."""
    before = answers(server)
    for table in ("t", "lk"):
        server.sql(f"INSERT INTO {table} VALUES (1000)")
    assert answers(server) == {name: (count + 1, total + 1000) for name, (count, total) in before.items()}


def places(server) -> set[pathlib.Path]:
    return {pathlib.Path(place).parent for (place,) in server.sql("SELECT location FROM ziwa.tables")}


@pytest.fixture
def filled(make_server):
    """A server that has something of every kind."""
    server = make_server()
    for statement in ["CREATE TOPIC t (n BIGINT)", "CREATE TABLE lk (n BIGINT)", "CREATE TABLE gone AS SELECT 1 AS n",
                      "CREATE MATERIALIZED VIEW v AS SELECT n, count(*) AS c FROM t GROUP BY n",
                      "CREATE MATERIALIZED VIEW w AS SELECT n FROM t WHERE n >= 0",
                      "CREATE TABLE kept (n BIGINT)", "CREATE SINK into_kept INTO kept FROM t",
                      "CREATE TABLE kept_view (n BIGINT)", "CREATE SINK into_kept_view INTO kept_view FROM w",
                      "INSERT INTO t SELECT range FROM range(100)", "INSERT INTO lk SELECT range FROM range(10)"]:
        server.sql(statement)
    server.sql("CALL ziwa.flush()")
    return server


def test_a_copy_is_another_data_directory(filled, make_server):
    known = answers(filled)
    filled.stop()
    before = contents(filled.data)
    other = make_server(name="other", start=False)
    shutil.copytree(filled.data, other.data)
    other.start()
    assert answers(other) == known
    assert places(other) == {other.data / "lake"}
    grow(other)
    other.sql("DROP TABLE gone")
    other.sql("CREATE TABLE one_more AS SELECT 7 AS n")
    other.stop()
    assert contents(filled.data) == before
    filled.start()
    assert answers(filled) == known
    assert filled.sql("SELECT n FROM gone") == [(1,)]
    assert places(filled) == {filled.data / "lake"}


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_a_moved_data_directory_goes_on(filled, make_server, end):
    known = answers(filled)
    filled.sql("INSERT INTO t VALUES (5)")  # What sinks have not committed moves too.
    getattr(filled, end)()
    moved = make_server(name="moved", start=False)
    shutil.move(filled.data, moved.data)
    moved.start()
    more = {name: (count, total) if name == "lk" else (count + 1, total + 5) for name, (count, total) in known.items()}
    assert answers(moved) == more
    assert places(moved) == {moved.data / "lake"}
    moved.sql("DROP TABLE gone")
    grow(moved)
    moved.restart()
    grow(moved)
    assert not filled.data.exists()


def test_nothing_on_disk_names_the_place(filled):
    filled.sql("INSERT INTO t VALUES (5)")
    filled.stop()
    named = [str(path.relative_to(filled.data)) for path in filled.data.rglob("*")
             if path.is_file() and str(filled.data).encode() in path.read_bytes()]
    assert named == []


def test_statements_reach_no_file_of_the_server(make_server, tmp_path):
    """Also when the project or a folder of sql.files holds the data directory."""
    project = tmp_path / "server"
    inner = project / "inner"
    server = make_server(start=False, settings={"sql.files": str(project)}, project=project)
    (project / "ziwa.yaml").write_text("name: prj\n")
    (project / "a.csv").write_text("x\n1\n")
    inner.mkdir()
    (inner / "b.csv").write_text("x\n2\n")
    server.data = inner / ".data"
    (project / "link").symlink_to(server.data)
    server.start()
    server.sql("CREATE TABLE lk AS SELECT range AS n FROM range(10)")
    (place,) = server.sql("SELECT location FROM ziwa.tables")[0]
    version = (server.data / "VERSION").read_text()
    for statement in [f"COPY (SELECT 1) TO '{server.data}/VERSION'",
                      f"COPY (SELECT 1) TO '{project}/link/VERSION'",
                      f"COPY (SELECT 1) TO '{server.data}/more.csv'",
                      f"COPY (SELECT 1 AS p, 2 AS x) TO '{inner}' (FORMAT parquet, PARTITION_BY (p), OVERWRITE)",
                      f"SELECT * FROM read_text('{server.data}/VERSION')",
                      f"SELECT * FROM '{place}/*.parquet'",
                      f"SELECT * FROM read_parquet('{project}/**/*.parquet')",
                      f"COPY lk FROM '{project}/link/VERSION'",
                      f"ATTACH '{server.data}/VERSION' AS stolen (READ_ONLY)"]:
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="in the data directory of this server"):
            server.sql(statement)
    assert server.sql(f"SELECT count(*) FROM glob('{project}/**') WHERE file LIKE '%.data%'") == [(0,)]
    assert server.sql(f"SELECT x FROM '{project}/**/*.csv' ORDER BY x") == [(1,), (2,)]
    server.sql(f"COPY lk TO '{project}/lk.parquet'")
    assert server.sql(f"SELECT count(*) FROM '{project}/**/*.parquet'") == [(10,)]
    assert (server.data / "VERSION").read_text() == version
    (project / "a.sql").write_text("CREATE TABLE d AS SELECT * FROM read_text('inner/.data/VERSION');")
    done = server.cli("apply", "--port", "{postgres}", "--project", str(project))
    assert done.returncode == 1 and "in the data directory of this server" in done.stderr, done.stderr
    (project / "a.sql").unlink()
    server.restart()
    assert server.sql("SELECT sum(n) FROM lk") == [(45,)]
