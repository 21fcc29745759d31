"""EXPLAIN STREAM, and what holds a view back."""

import confluent_kafka
import psycopg
import pytest

pytestmark = pytest.mark.e2e


def send(server, topic: str, *records: tuple[int, str]) -> None:
    producer = confluent_kafka.Producer({"bootstrap.servers": server.kafka})
    for partition, value in records:
        producer.produce(topic, value.encode(), partition=partition)
    assert producer.flush(30) == 0


def explain(server, what: str) -> str:
    return "\n".join(line for (line,) in server.sql(f"EXPLAIN STREAM {what}"))


@pytest.mark.parametrize(
    ("query", "warnings"),
    [
        ("SELECT k, count(*) FROM t GROUP BY k", ["aggregate #2 keeps each of its groups for ever"]),
        ("SELECT k, count(*) FROM tumble(t, ts, INTERVAL 1 HOUR) GROUP BY k, window_start", []),
        ("SELECT count(*) FROM t", []),
        ("SELECT DISTINCT k FROM t", ["distinct #3 keeps every different row"]),
        ("SELECT * FROM t JOIN d USING (k)", ["keeps every row of its left side"]),
        ("SELECT k FROM t JOIN t AS o USING (k)", ["keeps every row of both sides"]),
        ("SELECT k, count(*) FROM d GROUP BY k", []),
        ("SELECT k, n FROM grown GROUP BY k, n", ["keeps each of its groups for ever"]),
        ("SELECT k, lag(v) OVER (PARTITION BY k ORDER BY v) FROM t", ["over #2 keeps every row of its partitions"]),
        ("SELECT k, v FROM t ORDER BY v LIMIT 3", []),
    ],
)
def test_state_that_grows_is_named(shared_server, query, warnings):
    if not shared_server.sql("SELECT 1 FROM ziwa.objects WHERE name = 'grown'"):
        shared_server.sql("CREATE TOPIC t (k VARCHAR, ts TIMESTAMP, v BIGINT, WATERMARK FOR ts AS ts)")
        shared_server.sql("CREATE TABLE d (k VARCHAR, x BIGINT)")
        shared_server.sql("CREATE MATERIALIZED VIEW grown AS SELECT k, count(*) AS n FROM t GROUP BY k")
    lines = [line for line in explain(shared_server, query).splitlines() if line.startswith("warning: ")]
    assert len(lines) == len(warnings)
    for line, wanted in zip(lines, warnings):
        assert wanted in line


def test_a_running_view_shows_its_state(server):
    server.sql("CREATE TOPIC t (k VARCHAR, v BIGINT)")
    server.sql("CREATE MATERIALIZED VIEW n AS SELECT k, count(*) AS n FROM t WHERE v > 0 GROUP BY k")
    server.sql("INSERT INTO t SELECT 'k' || i, 1 FROM range(10000) r(i)")
    text = explain(server, "MATERIALIZED VIEW n")
    operators = [line for line in text.splitlines() if not line.startswith("warning: ")]
    bytes_of = {line.split()[1]: line.endswith(" KiB]") and int(line.split("[")[1].split()[0]) for line in operators}
    assert bytes_of["aggregate"] > 400
    assert bytes_of["filter"] is False and bytes_of["source"] is False
    assert explain(server, "VIEW public.n") == text
    with server.connect() as connection:
        with pytest.raises(psycopg.Error, match='"t" is a topic, not a materialized view'):
            connection.execute("EXPLAIN STREAM VIEW t")


def test_why_names_the_partition_that_holds_a_window_back(server):
    server.sql(
        "CREATE TOPIC t (k VARCHAR, ts TIMESTAMP, WATERMARK FOR ts AS ts - INTERVAL 1 MINUTE) "
        "WITH (partitions = 3, idle_timeout = '1 day')"
    )
    server.sql(
        "CREATE MATERIALIZED VIEW closed AS SELECT window_start, count(*) AS n "
        "FROM tumble(t, ts, INTERVAL 1 HOUR) GROUP BY window_start EMIT ON WINDOW CLOSE"
    )
    server.sql("CREATE MATERIALIZED VIEW total AS SELECT sum(n)::BIGINT AS n FROM closed")
    send(
        server,
        "t",
        (0, '{"k":"a","ts":"2026-01-01 01:30:00"}'),
        (1, '{"k":"b","ts":"2026-01-01 00:45:00"}'),
    )
    asked = "SELECT partition, partition_watermark::VARCHAR, holds_back, watermark, operator, window_closes::VARCHAR "
    closes = ("aggregate #4", "2026-01-01 01:00:00")
    assert server.sql(f"{asked} FROM ziwa.why('closed') ORDER BY 1") == [
        (0, "2026-01-01 01:29:00", False, None, *closes),
        (1, "2026-01-01 00:44:00", False, None, *closes),
        (2, None, True, None, *closes),
    ]
    send(server, "t", (2, '{"k":"c","ts":"2026-01-01 02:00:00"}'))
    why = "SELECT partition, why FROM ziwa.why('public.closed') AS w WHERE w.holds_back"
    [(partition, text)] = server.sql(why)
    assert partition == 1
    assert text.startswith("partition 1 of t is at 2026-01-01 00:44:00 and holds the watermark back; its last record")
    assert text.endswith("aggregate #4 waits for 2026-01-01 01:00:00")
    [(text,)] = server.sql("SELECT why FROM ziwa.why('total') WHERE holds_back")
    assert text.endswith("aggregate #4 of closed waits for 2026-01-01 01:00:00")
    assert server.sql("SELECT count(*) FROM closed") == [(0,)]
    send(server, "t", (1, '{"k":"b","ts":"2026-01-01 01:01:00"}'))
    assert server.sql("SELECT n FROM total") == [(1,)]
    assert server.sql("SELECT DISTINCT window_closes::VARCHAR FROM ziwa.why('closed')") == [("2026-01-01 02:00:00",)]
    with server.connect() as connection:
        with pytest.raises(psycopg.Error, match='there is no materialized view "nobody"'):
            connection.execute("SELECT * FROM ziwa.why('nobody')")
