"""The main job end to end, beside the same job glued by hand.

Ours: `ziwa produce` -> Kafka door -> log (synced before it is acknowledged) -> four incremental
views and a Delta table, all answers exact all the time. Timed from the start of the producer until
the views hold every event, and until the Delta table does.

Peer: what a small team writes in an afternoon. A Python process sends the same kind of JSON events
to a Redis stream that is synced before it acknowledges (appendfsync always); another reads batches,
decodes them with DuckDB, appends them to a DuckDB table in memory and to a Delta table, and asks
for the four views once, at the end. Timed from the first send until those answers. In its favour:
before the clock starts Redis is up, imports are done and events are encoded; no month partitions.
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
WARM_UP = 100_000
RUN_SECONDS_MAX = 600  # one run of both sides
STEP_SECONDS_MAX = 60  # the peer's processes, waiting for each other
SEND_BATCH = 5_000  # records in one transaction: one sync for all of them
READ_BATCH = 20_000  # records asked for at once
TABLE_BATCH = 250_000  # records decoded and appended at once
PEER = ("Redis Streams (appendfsync always) + two Python processes with redis-py, DuckDB and "
        "deltalake; views asked once, at the end")


class Ours(demo.Demo):
    """The demo's stream; knows its producer, so that none outlives a run that failed."""
    producer: subprocess.Popen | None = None

    def start_producer(self) -> subprocess.Popen:
        self.producer = super().start_producer()
        return self.producer


def run_ours(binary: str, events: int, seed: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory(prefix="ziwa-bench-") as work:
        ours = Ours(binary, pathlib.Path(work), SOURCES, crashes=0, seed=seed,
                    limit=events % demo.EVENTS, record_format="json")  # limit 0: all of them
        try:
            ours.server.start()
            ours.run_stream(events)
            return ours.measures
        finally:
            for process in filter(None, (ours.producer, ours.server.process)):
                process.kill()
                process.wait()


def start_redis(work: str) -> tuple[subprocess.Popen, int]:
    """A Redis of our own that loses nothing it acknowledged, and its port on 127.0.0.1."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = (f"redis-server --bind 127.0.0.1 --port {port} --appendonly yes --appendfsync always "
               "--auto-aof-rewrite-percentage 0 --loglevel notice --save").split()
    server = subprocess.Popen([*command, ""], cwd=work, stdout=subprocess.PIPE)
    log = iter(server.stdout.readline, b"")
    assert any(b"Ready to accept" in line for line in log), "Redis did not start"
    return server, port


def produce(port: int, work: str, events: int, start, results) -> None:
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


def consume(port: int, work: str, events: int, start, results) -> None:
    """Keeps the DuckDB table and the Delta table up with the stream, then answers the views."""
    client = redis.Redis("127.0.0.1", port, protocol=2, socket_timeout=STEP_SECONDS_MAX)
    client.set_response_callback("XREAD", lambda reply, **_: reply)  # no dict per record: faster
    db = duckdb.connect()
    db.execute(f"""
        SET enable_progress_bar = false;
        CREATE TABLE airports AS SELECT iata, state FROM read_csv('{SOURCES}/airports.csv')
        WHERE country = 'USA' AND state NOT IN ('AK', 'HI', 'PR', 'VI');
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
    in_view = sum(row[2] for row in answers["routes"])
    stored = deltalake.DeltaTable(table).to_pyarrow_dataset().count_rows()
    assert in_view == stored == events, f"of {events:,} events: {in_view:,} and {stored:,}"


def run_peer(events: int) -> dict[str, float]:
    context = multiprocessing.get_context("spawn")
    start, results = context.Barrier(2), context.SimpleQueue()
    with tempfile.TemporaryDirectory(prefix="ziwa-bench-peer-") as work:
        server, port = start_redis(work)
        try:
            running = {}
            for target in (produce, consume):
                process = context.Process(target=target, args=(port, work, events, start, results))
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
    parser.add_argument("--events", type=int, default=demo.EVENTS, help="fewer only with --dry")
    parser.add_argument("--dry", action="store_true", help="print, do not record")
    options = parser.parse_args()
    least = 1 if options.dry else demo.EVENTS
    if options.runs < 1 or not least <= options.events <= demo.EVENTS:
        parser.error(f"--runs is at least 1, --events {least} to {demo.EVENTS}")
    for number in (signal.SIGALRM, signal.SIGTERM):  # leave through every `finally`
        signal.signal(number, lambda which, _: sys.exit(f"ended by {signal.strsignal(which)}"))
    binary, runs = str(pathlib.Path(options.binary).resolve()), []
    for run in range(options.runs + 1):  # run 0 warms up
        events = options.events if run else min(options.events, WARM_UP)
        signal.alarm(RUN_SECONDS_MAX)
        runs.append((run_ours(binary, events, seed=run), run_peer(events)))
        rates = [f"{side['events_per_s']:,.0f} events/s" for side in runs[-1]]
        print(f"run {run}: {events:,} events, ours {rates[0]}, peer {rates[1]}", flush=True)
    ours, peer = ({name: round(statistics.median(run[name] for run in side), 2) for name in side[0]}
                  for side in zip(*runs[1:]))
    for name, measure, unit, aim in [("events_per_s", "events_per_s", "events/s", 200_000),
                                     ("to_delta_s", "delta_s", "s", 15),
                                     ("server_cpu_us_per_event", "cpu_us", "us", None),
                                     ("server_peak_mib", "peak_mib", "MiB", None)]:
        entry = dict(name=f"flights.{name}", unit=unit, ours=ours[measure], aim=aim,
                     better="higher" if unit == "events/s" else "lower",
                     note=f"median of {options.runs} runs")
        entry |= dict(peer=peer[measure], peer_name=PEER) if measure in peer else {}
        print(json.dumps(entry))
        if not options.dry:
            bench_record.record("flights", **entry)


if __name__ == "__main__":
    main()
