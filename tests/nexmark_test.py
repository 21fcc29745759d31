"""What bench/nexmark_bench.py compares: each query of Nexmark runs, and gives what Flink gives."""

import os
import pathlib
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT / "bench/nexmark"))
import flink_side  # noqa: E402
import queries  # noqa: E402
import ziwa_side  # noqa: E402

EVENTS = 20_000
MEMORY_MIB = 1024

needs_flink = pytest.mark.skipif(
    "ZIWA_FLINK" not in os.environ,
    reason="minutes: tools/setup-flink installs Flink, ZIWA_FLINK=1 compares with it",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, binary):
    """With the dump, and a data directory with its topics."""
    directory = tmp_path_factory.mktemp("nexmark")
    with ziwa_side.Server(binary, directory, "0,1", "1 s") as server:
        ziwa_side.load(server, directory / "dump.parquet", EVENTS, disorder=10)
    return directory


@pytest.fixture(scope="module")
def results(folder, binary):
    """Of every query, ours."""
    found = {}
    with ziwa_side.Server(binary, folder, "0,1", "1 s") as server:
        for name, query in queries.QUERIES.items():
            found[name] = ziwa_side.fill(server, name, query, ziwa_side.WHOLE)
            server.rows(f"DROP MATERIALIZED VIEW {name}")
    return found


@pytest.mark.e2e
def test_every_query_has_a_result(results):
    assert list(results) == [f"q{i}" for i in range(23)]
    bids = EVENTS * 46 // 50
    assert {name for name, result in results.items() if result["rows"] == bids} == {
        "q0", "q1", "q10", "q13", "q22"}
    assert results["q12"]["sum"] == bids
    assert all(result["rows"] > 0 for result in results.values())


@pytest.mark.e2e
def test_rewrites_leave_nothing_of_flinks_dialect():
    for name, query in queries.QUERIES.items():
        assert "`" not in query.ziwa and "DATE_FORMAT" not in query.ziwa, name
        assert "SPLIT_INDEX" not in query.ziwa and "count_char" not in query.ziwa, name


@needs_flink
@pytest.mark.external
@pytest.mark.slow
@pytest.mark.parametrize("name", ["q3", "q8", "q14", "q17", "q21"])
def test_flink_has_the_same_result(name, folder, results):
    if not (folder / "classes").exists():
        flink_side.prepare(folder / "dump.parquet", folder)
    flink = flink_side.run(folder, name, queries.QUERIES[name], EVENTS, cores="0,1", checkpoint="30 s",
                           memory_mib=MEMORY_MIB, java="", retract=True)
    assert (flink["rows"], flink["hash"]) == (results[name]["rows"], results[name]["hash"])


@needs_flink
@pytest.mark.external
def test_a_job_that_fails_says_so(folder):
    if not (folder / "classes").exists():
        flink_side.prepare(folder / "dump.parquet", folder)
    with pytest.raises(flink_side.FlinkFailed, match="no_such_table"):
        flink_side.run(folder, "wrong", queries.Query("SELECT * FROM no_such_table"), EVENTS, cores="0,1",
                       checkpoint="30 s", memory_mib=MEMORY_MIB, java="", retract=True)
