"""Damage to what one part of a data directory remembers: the others testify, and nothing is removed or made anew."""

import os
import pathlib
import shutil
import subprocess

import pytest

from tests.conftest import Server

QUESTIONS = ["SELECT count(*) FROM first", "SELECT count(*) FROM t", "SELECT count(*), sum(a) FROM x",
             "SELECT * FROM v ORDER BY k", "SELECT * FROM y"]


def only_log(folder: pathlib.Path) -> pathlib.Path:
    """The write-ahead log of a store that has something in it."""
    return max(folder.glob("*.log"), key=lambda path: path.stat().st_size)


def manifest(folder: pathlib.Path) -> pathlib.Path:
    return max(path for path in folder.glob("MANIFEST-*") if path.suffix != ".check")


def flip(path: pathlib.Path, part: float) -> None:
    content = bytearray(path.read_bytes())
    content[min(int(len(content) * part), len(content) - 1)] ^= 4
    path.write_bytes(content)


def topic(data: pathlib.Path) -> pathlib.Path:
    return next(path for path in (data / "log").iterdir() if path.is_dir())


def files(data: pathlib.Path) -> dict[str, int]:
    """Every file of the log and the lake, and its size."""
    return {str(path.relative_to(data)): path.stat().st_size
            for part in ("log", "lake") for path in (data / part).rglob("*") if path.is_file()}


DAMAGES = {
    "a bit near the start of meta's log": lambda data: flip(only_log(data / "meta"), 0.02),
    "a bit in the middle of meta's log": lambda data: flip(only_log(data / "meta"), 0.5),
    "a bit near the end of meta's log": lambda data: flip(only_log(data / "meta"), 0.9),
    "meta's log cut in half":
        lambda data: os.truncate(only_log(data / "meta"), only_log(data / "meta").stat().st_size // 2),
    "meta's log emptied": lambda data: os.truncate(only_log(data / "meta"), 0),
    "meta's log removed": lambda data: only_log(data / "meta").unlink(),
    "a bit near the start of state's log": lambda data: flip(only_log(data / "state"), 0.02),
    "state's log emptied": lambda data: os.truncate(only_log(data / "state"), 0),
    "state's log removed": lambda data: only_log(data / "state").unlink(),
    "meta's list of files removed": lambda data: [path.unlink() for path in (data / "meta").glob("MANIFEST-*")],
    "state's list of files removed": lambda data: [path.unlink() for path in (data / "state").glob("MANIFEST-*")],
    "meta's list of files emptied": lambda data: [os.truncate(path, 0) for path in (data / "meta").glob("MANIFEST-*")],
    "the version removed": lambda data: (data / "VERSION").unlink(),
    "the version emptied": lambda data: os.truncate(data / "VERSION", 0),
    "a manifest of state cut":
        lambda data: os.truncate(manifest(data / "state"), manifest(data / "state").stat().st_size - 30),
    "a bit in a manifest of meta": lambda data: flip(manifest(data / "meta"), 0.9),
    "the configuration of a topic removed": lambda data: (topic(data) / "topic").unlink(),
    "the folder of a topic removed": lambda data: shutil.rmtree(topic(data)),
    "the folder of a partition removed": lambda data: shutil.rmtree(topic(data) / "0"),
    "the journal's files removed": lambda data: [path.unlink() for path in (data / "journal").glob("*.journal")],
    "the journal of an older time":
        lambda data: os.truncate(next((data / "journal").glob("*.journal")), 250),
}


@pytest.fixture(scope="module")
def stopped(binary, tmp_path_factory):
    """A server that has stopped, so its views are in a checkpoint: its answers, a copy of its data directory."""
    server = Server(binary, tmp_path_factory.mktemp("damage"))
    server.start()
    for statement in ["CREATE TABLE first (a INT)", "CREATE TOPIC t (a BIGINT)", "CREATE TABLE x (a BIGINT)",
                      "CREATE MATERIALIZED VIEW v AS SELECT a % 3 AS k, count(*) AS n FROM t GROUP BY 1",
                      "INSERT INTO t SELECT range FROM range(100)", "CALL ziwa.flush()", "CREATE TABLE y (a INT)",
                      "INSERT INTO x SELECT range FROM range(1000)", "INSERT INTO y VALUES (1)",
                      "INSERT INTO t SELECT range FROM range(100)", "CALL ziwa.flush()"]:
        server.sql(statement)
    answers = [server.sql(question) for question in QUESTIONS]
    server.stop()
    kept = server.directory / "kept"
    shutil.copytree(server.data, kept)
    return server, kept, answers


@pytest.mark.parametrize("damage", DAMAGES)
def test_lost_acknowledged_writes_are_refused_and_nothing_is_removed(stopped, damage):
    server, kept, _ = stopped
    shutil.rmtree(server.data)
    shutil.copytree(kept, server.data)
    DAMAGES[damage](server.data)
    before = files(server.data)
    for _ in range(2):  # The second start finds what the first one left.
        done = subprocess.run(server.command(), capture_output=True, text=True, timeout=60, env=server.environment())
        assert done.returncode == 1 and "from a backup; nothing acknowledged was removed" in done.stderr, done.stderr
        assert files(server.data) == before


def test_without_damage_all_is_there(stopped):
    server, kept, answers = stopped
    shutil.rmtree(server.data)
    shutil.copytree(kept, server.data)
    server.start()
    assert [server.sql(question) for question in QUESTIONS] == answers
    server.stop()
