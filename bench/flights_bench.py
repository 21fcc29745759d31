"""The main job end to end, beside the same job glued by hand.

Ours: `ziwa produce` -> Kafka door -> log (synced before it is acknowledged) -> four incremental
views and a Delta table, all answers exact all the time, and asked all the time. Timed from the
start of the producer until the views hold every event, and until the Delta table does; the clock
stands still at the demo's pauses, where costs are measured.

Peer: what a small team writes in an afternoon. A Python process sends the same kind of JSON events
to a Redis stream that is synced before it acknowledges (appendfsync always); another reads batches,
decodes them with DuckDB, appends them to a DuckDB table in memory and to a Delta table, and asks
for the four views once, at the end. Timed from the first send until those answers. In its favour:
before the clock starts Redis is up, imports are done and events are encoded; its Delta table has no
month partitions; nothing is ever late, so nothing is tracked as late; a crash of the reader would
lose its place. In ours: it is C++ on both sides of the wire.

Both must give the answers that DuckDB computes from the source file, and have every event in the
Delta table. (What depends on the order of events, the late rows, is compared by the demo.)
"""

import argparse
import json
import multiprocessing.connection
import pathlib
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

import deltalake
import duckdb
import redis

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tools"), str(ROOT / "examples/flights")]
import bench_record  # noqa: E402
import check  # noqa: E402
import demo  # noqa: E402

SOURCES = pathlib.Path.home() / ".cache/ziwa/deps/vega-datasets-3.2.1"
AIRPORTS = f"""CREATE TABLE airports AS SELECT iata, state FROM read_csv('{SOURCES}/airports.csv')
    WHERE country = 'USA' AND state NOT IN ('AK', 'HI', 'PR', 'VI');"""
ORDERLESS = ["routes", "worst_airports", "flights_per_state"]
WARM_UP = 300_000
RUN_SECONDS_MAX = 600  # one run of both sides
STEP_SECONDS_MAX = 60  # the peer's processes, waiting for each other
SEND_BATCH = 5_000  # records in one transaction: one sync for all of them
READ_BATCH = 20_000  # records asked for at once
TABLE_BATCH = 250_000  # records decoded and appended at once
PEER = "Redis Streams + DuckDB + deltalake"
PEER_NOTE = "appendfsync always, two Python processes, views asked once at the end"

FIGURES = [  # name, measure of the demo, unit, aim
    ("events_per_s", "events_per_s", "events/s", demo.EVENTS_PER_S_AIM),
    ("to_delta_s", "delta_s", "s", demo.SECONDS_AIM),
    ("staleness_ms", "stalest_ms", "ms", None),
    ("server_cpu_us_per_event", "cpu_us", "us", None),
    ("server_cpu_growth", "cpu_growth", "x", demo.CPU_GROWTH_MAX),
    ("keyed_read_us", "keyed_read_us", "us", None),
    ("keyed_read_growth", "keyed_read_growth", "x", demo.KEYED_READ_GROWTH_MAX),
    ("server_peak_mib", "peak_mib", "MiB", None),
]


def expected_answers(events: int) -> dict[str, set]:
    """Of the views that do not depend on the order of events, from the source file."""
    db = duckdb.connect()
    db.execute(f"""SET enable_progress_bar = false;
        CREATE TABLE sent AS SELECT date AS time, * EXCLUDE (date)
        FROM read_parquet('{SOURCES}/flights-3m.parquet');
        {AIRPORTS}""")
    assert db.execute("SELECT count(*) FROM sent").fetchone() == (events,)
    return {view: set(db.execute(check.VIEWS[view]).fetchall()) for view in ORDERLESS}


def same_answers(answers: dict[str, list], expected: dict[str, set] | None, whose: str) -> None:
    for view, rows in (expected or {}).items():
        assert set(answers[view]) == rows, f"{whose}: {view} is wrong"


def run_ours(binary: str, events: int, seed: int, expected: dict[str, set] | None) -> dict[str, float]:
    with tempfile.TemporaryDirectory(prefix="ziwa-bench-") as work:
        ours = demo.Demo(binary, pathlib.Path(work), seed=seed, limit=events % demo.EVENTS)  # 0: all
        try:
            ours.server.start()
            ours.run_stream()
            answers = {view: ours.server.rows(f"SELECT * FROM {view}") for view in ORDERLESS}
            same_answers(answers, expected, "ours")
            return ours.measures
        finally:
            ours.end_processes()


def start_redis(work: str) -> tuple[subprocess.Popen, int]:
    """A Redis of our own that loses nothing it acknowledged, and its port on 127.0.0.1.

    Debian's redis-tools hold the whole program, which is the server if it is called so; the package
    redis-server would also start a service on this machine.
    """
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = (f"redis-server --bind 127.0.0.1 --port {port} --appendonly yes --appendfsync always "
               "--auto-aof-rewrite-percentage 0 --loglevel notice --save").split()
    server = subprocess.Popen([*command, ""], executable="/usr/bin/redis-check-rdb", cwd=work,
                              stdout=subprocess.PIPE)
    log = iter(server.stdout.readline, b"")
    assert any(b"Ready to accept" in line for line in log), "Redis did not start"
    return server, port


def produce(port: int, work: str, events: int, expected, start, results) -> None:
    """Sends the first `events` flights, out of order by up to ten minutes, one record each."""
    rows = duckdb.execute(f"""SET enable_progress_bar = false;
        SELECT to_json({{seq: seq, time: date, delay: delay, distance: distance, origin: origin,
                         destination: destination}})::VARCHAR::BLOB
        FROM (SELECT row_number() OVER () - 1 AS seq, *
              FROM read_parquet('{SOURCES}/flights-3m.parquet') LIMIT {events})
        ORDER BY date + to_seconds(hash(seq) % 600)""").fetchall()
    client = redis.Redis("127.0.0.1", port, protocol=2, socket_timeout=STEP_SECONDS_MAX)
    start.wait(RUN_SECONDS_MAX)
    results.put({"begin": time.monotonic()})
    for at in range(0, len(rows), SEND_BATCH):
        # A transaction, or Redis would sync every 16 KiB that it reads: several times slower.
        with client.pipeline(transaction=True) as pipeline:
            for row in rows[at:at + SEND_BATCH]:
                pipeline.execute_command("XADD", "flights", "*", "v", row[0])
            pipeline.execute()


def consume(port: int, work: str, events: int, expected, start, results) -> None:
    """Keeps the DuckDB table and the Delta table up with the stream, then answers the views."""
    client = redis.Redis("127.0.0.1", port, protocol=2, socket_timeout=STEP_SECONDS_MAX)
    client.set_response_callback("XREAD", lambda reply, **_: reply)  # no dict per record: faster
    db = duckdb.connect()
    db.execute(f"""
        SET enable_progress_bar = false;
        {AIRPORTS}
        CREATE TABLE sent (seq BIGINT, time TIMESTAMP, delay INTEGER, distance INTEGER,
                           origin VARCHAR, destination VARCHAR);
        CREATE VIEW on_time AS FROM sent""")
    columns = {name: type_ for name, type_, *_ in db.execute("DESCRIBE sent").fetchall()}
    lines, table = pathlib.Path(work, "batch.json"), pathlib.Path(work, "table")
    start.wait(RUN_SECONDS_MAX)
    seen, pending, last = 0, [], b"0"
    while seen < events:
        reply = client.xread({"flights": last}, READ_BATCH, block=STEP_SECONDS_MAX * 500)
        assert reply, f"the stream stands still at {seen + len(pending):,} events"
        last = reply[0][1][-1][0]
        pending += [fields[1] for _, fields in reply[0][1]]
        if len(pending) < TABLE_BATCH and seen + len(pending) < events:
            continue
        lines.write_bytes(b"\n".join(pending))
        decoded = f"FROM read_json('{lines}', format = 'newline_delimited', columns = {columns})"
        batch = db.sql(decoded).to_arrow_table()
        db.execute("INSERT INTO sent FROM batch")
        deltalake.write_deltalake(table, batch, mode="append")
        seen, pending = seen + len(pending), []
    in_delta = time.monotonic()
    answers = {name: db.execute(query).fetchall() for name, query in check.VIEWS.items()}
    results.put({"in_delta": in_delta, "end": time.monotonic()})
    same_answers(answers, expected, "the peer")
    in_view = sum(row[2] for row in answers["routes"])
    stored = deltalake.DeltaTable(table).to_pyarrow_dataset().count_rows()
    assert in_view == stored == events, f"of {events:,} events: {in_view:,} and {stored:,}"


def run_peer(events: int, expected: dict[str, set] | None) -> dict[str, float]:
    context = multiprocessing.get_context("spawn")
    start, results = context.Barrier(2), context.SimpleQueue()
    with tempfile.TemporaryDirectory(prefix="ziwa-bench-peer-") as work:
        server, port = start_redis(work)
        try:
            running = {}
            for target in (produce, consume):
                process = context.Process(target=target, args=(port, work, events, expected, start, results))
                process.start()
                running[process.sentinel] = process
            while running:
                for sentinel in multiprocessing.connection.wait(list(running)):
                    running[sentinel].join()
                    assert running.pop(sentinel).exitcode == 0, "the peer failed"
        finally:
            for process in multiprocessing.active_children():
                process.kill()
                process.join()
            server.kill()
            server.wait()
    times = results.get() | results.get()
    return {"events_per_s": events / (times["end"] - times["begin"]),
            "delta_s": times["in_delta"] - times["begin"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", default=str(ROOT / "build/release/ziwa"))
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--peer-runs", type=int, default=3)
    parser.add_argument("--events", type=int, default=demo.EVENTS, help="fewer only with --dry")
    parser.add_argument("--dry", action="store_true", help="print, do not record")
    options = parser.parse_args()
    least = 1 if options.dry else demo.EVENTS
    if not 1 <= options.peer_runs <= options.runs or not least <= options.events <= demo.EVENTS:
        parser.error(f"--runs and --peer-runs are at least 1, --events {least} to {demo.EVENTS}")
    for number in (signal.SIGALRM, signal.SIGTERM):  # leave through every `finally`
        signal.signal(number, lambda which, _: sys.exit(f"ended by {signal.strsignal(which)}"))
    load = bench_record.load_average()  # ours makes it high
    record(options, *measure(options), load)


def measure(options: argparse.Namespace) -> tuple[dict[str, float], dict[str, float]]:
    """Medians of ours and of the peer. They take turns, so that both meet the same machine."""
    binary = str(pathlib.Path(options.binary).resolve())
    expected = expected_answers(options.events) if options.events == demo.EVENTS else None
    ours, peer = [], []
    for run in range(options.runs + 1):  # run 0 warms up
        events = options.events if run else min(options.events, WARM_UP)
        whole = expected if run else None
        signal.alarm(RUN_SECONDS_MAX)
        ours.append(run_ours(binary, events, run, whole))
        print(f"run {run}: {events:,} events, ours {ours[-1]['events_per_s']:,.0f} events/s", flush=True)
        if run <= options.peer_runs:
            peer.append(run_peer(events, whole))
            print(f"run {run}: {events:,} events, peer {peer[-1]['events_per_s']:,.0f} events/s", flush=True)
    return tuple({name: round(statistics.median(run[name] for run in side[1:]), 2) for name in side[0]}
                 for side in (ours, peer))


def record(options: argparse.Namespace, ours: dict[str, float], peer: dict[str, float], load: float) -> None:
    for name, measured, unit, aim in FIGURES:
        entry = dict(name=f"flights.{name}", unit=unit, ours=ours[measured], aim=aim,
                     better="higher" if unit == "events/s" else "lower",
                     note=f"median of {options.runs} runs")
        if measured in peer:
            entry |= dict(peer=peer[measured], peer_name=PEER)
            entry["note"] += f", of {options.peer_runs} of the peer ({PEER_NOTE})"
        print(json.dumps(entry))
        if not options.dry:
            bench_record.record("flights", **entry, load=load)


if __name__ == "__main__":
    main()
