#!/usr/bin/env python3
"""The flights project from producer to answer, checked row for row. Run by `make demo`."""

import argparse
import json
import os
import pathlib
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

import check

HERE = pathlib.Path(__file__).resolve().parent
EVENTS = 3_000_000
SMALL = 30_000


class Failure(Exception):
    pass


def require(condition: bool, message: str) -> None:
    if not condition:
        raise Failure(message)


def table(title: str, header: list[str], rows: list[tuple]) -> None:
    cells = [[str(cell) for cell in row] for row in [header, *rows]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    print(f"\n{title}")
    for number, row in enumerate(cells):
        print("  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())
        if number == 0:
            print("  " + "  ".join("-" * width for width in widths))


class Server:
    """One `ziwa up` process on free ports that stay the same across restarts."""

    def __init__(self, binary: str, data: pathlib.Path, project: pathlib.Path):
        self.binary, self.data, self.project = binary, data, project
        self.ports: dict[str, int] = {"kafka": 0, "postgres": 0, "http": 0}
        self.process: subprocess.Popen | None = None
        self.log = open(data.parent / "server.log", "ab")

    def start(self) -> float:
        begin = time.monotonic()
        command = [
            self.binary,
            "up",
            "--json",
            "--strict",
            "--data",
            str(self.data),
            "--project",
            str(self.project),
        ]
        for door, port in self.ports.items():
            command += ["--set", f"doors.{door}.port={port}"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self.log, text=True)
        for line in self.process.stdout:
            event = json.loads(line)
            if event.get("event") == "door":
                self.ports[event["door"]] = int(event["port"])
            if event.get("event") == "ready":
                threading.Thread(target=self.process.stdout.read, daemon=True).start()
                return time.monotonic() - begin
        raise Failure(f"the server did not start, see {self.log.name}")

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        if self.process and self.process.poll() is None:
            self.process.terminate()
            require(self.process.wait(timeout=30) == 0, "the server did not stop cleanly")

    def cpu_seconds(self) -> float:
        fields = (
            pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        )
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def peak_mib(self) -> int:
        for line in pathlib.Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) // 1024
        return 0

    def sql(self, statement: str, form: str = "--csv") -> str:
        done = subprocess.run(
            [self.binary, "sql", "--port", str(self.ports["postgres"]), form, "-c", statement],
            capture_output=True,
            text=True,
        )
        require(done.returncode == 0, f"{statement}: {done.stderr.strip()}")
        return done.stdout

    def value(self, statement: str) -> str:
        return self.sql(statement).splitlines()[1]

    def http(self, path: str, headers: dict[str, str] | None = None):
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.ports['http']}{path}", headers=headers or {}
        )
        try:
            return urllib.request.urlopen(request, timeout=30)
        except urllib.error.HTTPError as error:
            return error


class Demo:
    def __init__(
        self,
        binary: str,
        work: pathlib.Path,
        sources: pathlib.Path,
        crashes: int,
        seed: int,
        limit: int,
        record_format: str,
    ):
        self.work, self.sources, self.crashes, self.limit = work, sources, crashes, limit
        self.record_format = record_format
        self.random = random.Random(seed)
        self.seed = seed
        self.project = work / "project"
        shutil.copytree(
            HERE, self.project, ignore=shutil.ignore_patterns("*.py", "__pycache__", "data")
        )
        if record_format != "json":
            topics = self.project / "topics.sql"
            topics.write_text(
                topics.read_text().replace("format = 'json'", f"format = '{record_format}'")
            )
        (self.project / "data").mkdir()
        shutil.copy(sources / "airports.csv", self.project / "data")
        self.server = Server(binary, work / "data", self.project)
        self.findings: list[check.Finding] = []
        self.figures: list[tuple[str, str]] = []
        self.measures: dict[str, float] = {}  # the same as numbers, for bench/flights_bench.py

    def figure(self, name: str, value: str) -> None:
        self.figures.append((name, value))

    def start_producer(self) -> subprocess.Popen:
        command = [
            self.server.binary,
            "produce",
            "flights",
            "--kafka",
            f"127.0.0.1:{self.server.ports['kafka']}",
            "--file",
            str(self.sources / "flights-3m.parquet"),
            "--format",
            self.record_format,
            "--key",
            "origin",
            "--rename",
            "date=time",
            "--seq",
            "seq",
            "--order-by",
            "time",
            "--disorder",
            "10 minutes",
            "--late-fraction",
            "0.001",
            "--late-by",
            "3 days",
            "--seed",
            str(self.seed),
            "--send-log",
            str(self.work / "sent.csv"),
            "--pause-file",
            str(self.work / "pause"),
        ]
        if self.limit:
            command += ["--limit", str(self.limit)]
        return subprocess.Popen(command)

    def committed(self) -> int:
        try:
            return int(self.server.value("SELECT coalesce(sum(departures), 0) FROM routes"))
        except (Failure, IndexError):
            return 0

    def run_stream(self, expected: int) -> None:
        begin = time.monotonic()
        producer = self.start_producer()
        kills = sorted(self.random.uniform(0.1, 0.8) for _ in range(self.crashes))
        for fraction in kills:
            while producer.poll() is None and self.committed() < fraction * expected:
                time.sleep(0.05)
            print(f"\nkill -9 at {self.committed():,} events", flush=True)
            self.server.kill()
            print(f"up again in {self.server.start() * 1000:.0f} ms", flush=True)
        require(producer.wait() == 0, "the producer failed")
        sent = time.monotonic()
        while self.committed() < expected:
            require(
                time.monotonic() - sent < 120,
                f"the views stand at {self.committed():,} of {expected:,} events",
            )
            time.sleep(0.05)
        seconds = time.monotonic() - begin
        self.server.sql("CALL ziwa.flush('keep_history')")
        self.measures |= {
            "events_per_s": expected / seconds,
            "delta_s": time.monotonic() - begin,
            "cpu_us": self.server.cpu_seconds() / expected * 1e6,
            "peak_mib": self.server.peak_mib(),
        }
        self.figure(
            "producer to view",
            f"{expected / seconds:,.0f} events/s ({expected:,} in {seconds:.1f} s)",
        )
        self.figure("producer to Delta table", f"{self.measures['delta_s']:.1f} s")
        self.figure("server CPU per event", f"{self.measures['cpu_us']:.2f} us")
        self.figure("server peak memory", f"{self.measures['peak_mib']} MiB")

    def save(self, name: str, statement: str) -> str:
        path = self.work / f"{name}.csv"
        path.write_text(self.server.sql(statement))
        return str(path)

    def check_answers(self, expected: int) -> None:
        import deltalake  # the reference reader, not ours

        entries = self.save(
            "entries",
            'SELECT _partition AS "partition", _entry AS entry, min(_offset) AS first_offset, '
            "max(_offset) AS last_offset FROM flights GROUP BY ALL ORDER BY ALL",
        )
        idle = self.save(
            "idle", "SELECT entry, partition FROM ziwa.idle_marks WHERE topic = 'flights'"
        )
        oracle = check.Oracle(
            str(self.sources / "flights-3m.parquet"),
            str(self.sources / "airports.csv"),
            str(self.work / "sent.csv"),
            entries,
            idle,
        )
        require(
            oracle.count("sent") == expected,
            f"the send log holds {oracle.count('sent'):,} of {expected:,} events",
        )
        self.findings.append(oracle.compare_topic(self.consume()))
        location = self.server.value(
            "SELECT location FROM ziwa.tables WHERE name = 'flight_history'"
        )
        self.findings.append(oracle.compare_delta(deltalake.DeltaTable(location).file_uris()))
        for view in check.VIEWS:
            self.findings.append(
                oracle.compare_view(view, self.save(view, f"SELECT * FROM {view}"))
            )
        late = self.save(
            "late",
            'SELECT "partition", "offset" FROM ziwa.late_rows '
            "WHERE view = 'departures_per_hour'",
        )
        self.findings.append(oracle.compare_late(late))
        share = oracle.count("late") / expected * 100
        self.figure("late rows", f"{oracle.count('late'):,} = {share:.3f} %")
        if not self.limit:
            require(0.05 <= share <= 0.2, f"{share:.3f} % of the rows are late")
        joined = int(self.server.value("SELECT sum(departures) FROM flights_per_state"))
        require(joined < expected, "every flight found its airport: the join was not tested")
        self.figure("flights with a state", f"{joined:,} of {expected:,}")

    def consume(self) -> str:
        """The topic as an ordinary Kafka consumer sees it."""
        if self.record_format != "json":  # `ziwa consume --csv` reads fields of JSON records only
            query = 'SELECT seq, _partition AS "partition", _offset AS "offset" FROM flights'
            return self.save("consumed", query)
        path = self.work / "consumed.csv"
        done = subprocess.run(
            [
                self.server.binary,
                "consume",
                "flights",
                "--kafka",
                f"127.0.0.1:{self.server.ports['kafka']}",
                "--from",
                "beginning",
                "--until-end",
                "--csv",
                "seq",
                "--output",
                str(path),
            ]
        )
        require(done.returncode == 0, "the consumer failed")
        return str(path)

    def check_three_ways(self) -> None:
        query = (
            "SELECT origin, destination, departures FROM routes "
            "ORDER BY departures DESC, origin, destination LIMIT 5"
        )
        ours = [line.split(",") for line in self.server.sql(query).splitlines()[1:]]
        psql = subprocess.run(
            [
                "psql",
                "-h",
                "127.0.0.1",
                "-p",
                str(self.server.ports["postgres"]),
                "-U",
                "demo",
                "-d",
                "db",
                "-AtF,",
                "-c",
                query,
            ],
            capture_output=True,
            text=True,
            check=True,
        )
        theirs = [line.split(",") for line in psql.stdout.splitlines()]
        answer = self.server.http(
            "/v1/routes?select=origin,destination,departures"
            "&order=departures.desc,origin,destination&limit=5"
        )
        etag = answer.headers["ETag"]
        rest = [
            [str(row[c]) for c in ("origin", "destination", "departures")]
            for row in json.load(answer)["rows"]
        ]
        require(ours == theirs == rest, f"three doors, different answers: {ours} {theirs} {rest}")
        require(
            self.server.http("/v1/routes?limit=1", {"If-None-Match": etag}).status == 304,
            "the ETag changed by itself",
        )
        table(
            "The busiest routes, the same through ziwa sql, psql and REST",
            ["origin", "destination", "departures"],
            ours,
        )
        table(
            "The worst airports of 2 January",
            ["place", "origin", "departures", "mean delay"],
            [
                tuple(line.split(","))
                for line in self.server.sql(
                    "SELECT place, origin, departures, round(mean_delay, 1) FROM worst_airports "
                    "WHERE day = DATE '2001-01-02' ORDER BY place LIMIT 5"
                ).splitlines()[1:]
            ],
        )

    def check_log_is_not_needed(self) -> None:
        views = {
            view: sorted(self.server.sql(f"SELECT * FROM {view}").splitlines())
            for view in check.VIEWS
        }
        etag = self.server.http("/v1/routes?limit=1").headers["ETag"]
        for partition in range(4):
            end = self.server.value(
                f"SELECT high_watermark FROM ziwa.partitions WHERE topic = 'flights' "
                f"AND partition = {partition}"
            )
            self.server.sql(f"CALL ziwa.delete_records('flights', {partition}, {end})")
        require(
            self.server.value("SELECT count(*) FROM flights") == "0", "the topic still has records"
        )
        for moment in ("after the records were deleted", "after a restart"):
            for view, before in views.items():
                now = sorted(self.server.sql(f"SELECT * FROM {view}").splitlines())
                require(now == before, f"view {view} changed {moment}")
            require(
                self.server.http("/v1/routes?limit=1").headers["ETag"] == etag,
                f"the ETag changed {moment}",
            )
            if moment.startswith("after the records"):
                self.server.stop()
                self.figure("restart", f"{self.server.start() * 1000:.0f} ms to ready")
        self.findings.append(
            check.Finding(
                "views without the topic's records", sum(map(len, views.values())) - 4, 0, 0
            )
        )

    def keyed_read_us(self) -> float:
        import psycopg

        with psycopg.connect(
            host="127.0.0.1",
            port=self.server.ports["postgres"],
            user="demo",
            dbname="db",
            autocommit=True,
        ) as connection:
            times = []
            for _ in range(300):
                begin = time.perf_counter()
                connection.execute(
                    "SELECT departures FROM routes WHERE origin = %s AND destination = %s",
                    ("ATL", "SAV"),
                    prepare=True,
                ).fetchall()
                times.append(time.perf_counter() - begin)
        return statistics.median(times) * 1e6

    def run(self) -> None:
        expected = self.limit or EVENTS
        self.figure(
            "server start", f"{self.server.start() * 1000:.0f} ms to ready, project applied"
        )
        self.run_stream(expected)
        self.check_three_ways()
        self.check_answers(expected)
        self.figure("keyed read", f"{self.keyed_read_us():.0f} us at {expected:,} events")
        self.check_log_is_not_needed()
        self.server.stop()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--binary", default="build/release/ziwa")
    parser.add_argument(
        "--sources",
        type=pathlib.Path,
        default=pathlib.Path.home() / ".cache/ziwa/deps/vega-datasets-3.2.1",
    )
    parser.add_argument("--crash", action="store_true", help="kill the server twice on the way")
    parser.add_argument("--seed", type=int, default=None, help="of disorder and crashes; printed")
    parser.add_argument("--limit", type=int, default=0, help="send only the first N events")
    parser.add_argument("--format", choices=["json", "avro"], default="json")
    parser.add_argument("--keep", action="store_true", help="leave the data directory behind")
    arguments = parser.parse_args()
    seed = (
        arguments.seed if arguments.seed is not None else random.SystemRandom().randrange(1 << 30)
    )
    print(f"seed {seed}", flush=True)
    work = pathlib.Path(tempfile.mkdtemp(prefix="ziwa-demo-"))
    demo = Demo(
        str(pathlib.Path(arguments.binary).resolve()),
        work,
        arguments.sources,
        2 if arguments.crash else 0,
        seed,
        arguments.limit,
        arguments.format,
    )
    failure = None
    try:
        demo.run()
    except Failure as error:
        failure = str(error)
    finally:
        if demo.server.process and demo.server.process.poll() is None:
            demo.server.kill()
    if demo.findings:
        table(
            "Compared with a stock DuckDB in this process",
            ["what", "rows", "missing", "unexpected", ""],
            [
                (f.what, f"{f.rows:,}", f.missing, f.unexpected, "equal" if f.ok else "DIFFERENT")
                for f in demo.findings
            ],
        )
    table("Measured", ["figure", "value"], demo.figures)
    if any(not f.ok for f in demo.findings):
        failure = failure or "some answers differ"
    if failure or arguments.keep:
        print(f"\nkept: {work}")
    else:
        shutil.rmtree(work)
    print(f"\nFAILED: {failure}" if failure else "\nAll answers are equal.")
    return 1 if failure else 0


if __name__ == "__main__":
    sys.exit(main())
