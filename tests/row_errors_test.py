"""Rows on which a view fails: a table of them, which follows the view also across a crash, and views that stop."""

import psycopg
import pytest

pytestmark = pytest.mark.e2e

ERRORS = "SELECT view, operator, split_part(error, ':', 1), \"row\" FROM ziwa.row_errors ORDER BY ALL"


def test_an_error_goes_with_its_row(server):
    server.sql("CREATE TOPIC t (k VARCHAR, v BIGINT) WITH (partitions = 1)")
    server.sql("CREATE MATERIALIZED VIEW sums AS SELECT k, sum(v)::BIGINT AS s FROM t GROUP BY k")
    server.sql("CREATE MATERIALIZED VIEW dates AS SELECT k, make_date(2024, s, 1) AS d FROM sums")
    server.sql("INSERT INTO t VALUES ('a', 13), ('b', 2)")
    assert server.sql(ERRORS) == [("dates", "project #2", "Date out of range", '{"k":"a","s":13}')]
    assert server.sql("SELECT k, d::VARCHAR FROM dates") == [("b", "2024-02-01")]
    server.restart()
    assert server.sql(ERRORS) == [("dates", "project #2", "Date out of range", '{"k":"a","s":13}')]
    server.sql("INSERT INTO t VALUES ('a', -1), ('b', 50)")
    assert server.sql(ERRORS) == [("dates", "project #2", "Date out of range", '{"k":"b","s":52}')]
    server.kill()
    server.start()
    assert server.sql(ERRORS) == [("dates", "project #2", "Date out of range", '{"k":"b","s":52}')]
    assert server.sql("SELECT k, d::VARCHAR FROM dates") == [("a", "2024-12-01")]
    assert server.sql("SELECT name, row_errors FROM ziwa.views ORDER BY 1") == [("dates", 1), ("sums", 0)]
    server.sql("DROP MATERIALIZED VIEW dates")
    assert server.sql(ERRORS) == []


def test_an_error_names_its_record(server):
    server.sql("CREATE TOPIC t (k VARCHAR, v BIGINT) WITH (partitions = 1)")
    server.sql("CREATE MATERIALIZED VIEW n AS SELECT k::INT AS n FROM t WHERE v > 0")
    server.sql("INSERT INTO t VALUES ('1', 1), ('x', 0), ('y', 1), ('y', 1)")
    records = 'SELECT "partition", "offset", "row"->>\'k\' FROM ziwa.row_errors ORDER BY 2'
    assert server.sql(records) == [(0, 2, "y"), (0, 3, "y")]
    assert server.sql("SELECT * FROM n") == [(1,)]


def test_a_view_can_stop_at_an_error(server):
    server.sql("CREATE TOPIC t (k VARCHAR, v BIGINT) WITH (partitions = 1)")
    server.expected_errors = ["a view has failed"]
    server.sql("CREATE MATERIALIZED VIEW strict WITH (on_error = 'stop') AS SELECT k::INT AS n FROM t")
    server.sql("CREATE MATERIALIZED VIEW easy AS SELECT k::INT AS n FROM t")
    server.sql("INSERT INTO t VALUES ('1', 1)")
    assert server.sql("SELECT * FROM strict") == [(1,)]
    server.sql("INSERT INTO t VALUES ('x', 1), ('2', 1)")
    assert server.sql("SELECT name, state FROM ziwa.views ORDER BY 1") == [("easy", "running"), ("strict", "failed")]
    for _ in range(2):
        with server.connect() as connection, pytest.raises(psycopg.Error, match="Could not convert string 'x'"):
            connection.execute("SELECT * FROM strict")
        assert server.sql("SELECT * FROM easy ORDER BY 1") == [(1,), (2,)]
        server.kill()
        server.start()
    with server.connect() as connection:
        with pytest.raises(psycopg.Error, match="on_error is 'skip' or 'stop', not 'halt'"):
            connection.execute("CREATE MATERIALIZED VIEW v WITH (on_error = 'halt') AS SELECT k FROM t")
