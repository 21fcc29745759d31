#!/usr/bin/env python3
"""The flights project from producer to answer, checked row for row. Run by `make demo`."""

import argparse
import contextlib
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback

import psycopg

import check
from server import HERE, SOURCES, Failure, Server, environment, produce_command, require
from watch import END_OF_TOPIC, Watcher, compare_keyed_reads

EVENTS = 3_000_000
SMALL = 30_000  # events at which costs are measured first
LAST_WINDOWS = 3  # of SMALL events each, at the end
EVENTS_PER_S_AIM = 200_000
SECONDS_AIM = 15
KEYED_READ_GROWTH_MAX = 1.2
CPU_GROWTH_MAX = 2.0
FEW_EVENTS_S = 12  # how long the producer takes for fewer events, if there are kills
POLL_S = 0.005
ROUTES = "/v1/routes?limit=1"


def table(title: str, header: list[str], rows: list[tuple]) -> None:
    cells = [[str(cell) for cell in row] for row in [header, *rows]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    numeric = [
        all(row[i].replace(",", "").replace(".", "").lstrip("-").isdigit() for row in cells[1:])
        for i in range(len(header))
    ]

    def rule(left: str, middle: str, right: str) -> None:
        print(left + middle.join("─" * (width + 2) for width in widths) + right)

    print(f"\n{title}")
    rule("┌", "┬", "┐")
    for number, row in enumerate(cells):
        aligned = (
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, numeric)
        )
        print("│ " + " │ ".join(aligned) + " │")
        if number == 0:
            rule("├", "┼", "┤")
    rule("└", "┴", "┘")
    sys.stdout.flush()


@contextlib.contextmanager
def step(what: str):
    """Says at a terminal what takes long just now; nothing elsewhere."""
    terminal = sys.stderr.isatty()
    if terminal:
        print(f"{what} ...", end="", file=sys.stderr, flush=True)
    try:
        yield
    finally:
        if terminal:
            print("\r\033[K", end="", file=sys.stderr, flush=True)


def avro_seq(value: bytes) -> int:
    """The first column: a union of null and long, so a branch (1) and a zigzag varint."""
    require(value[:1] == b"\x02", f"not a long: {value[:8].hex()}")
    number = shift = 0
    for byte in value[1:]:
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            break
        shift += 7
    return (number >> 1) ^ -(number & 1)


class Stopwatch:
    """Time that the stream runs; pauses are left out."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._begin = 0.0

    def go(self) -> None:
        self._begin = time.monotonic()

    def stop(self) -> None:
        self.seconds = self.seconds_now()

    def seconds_now(self) -> float:
        return self.seconds + time.monotonic() - self._begin


class Demo:
    def __init__(
        self,
        binary: str,
        work: pathlib.Path,
        sources: pathlib.Path = SOURCES,
        crashes: int = 0,
        seed: int = 1,
        limit: int = 0,
        record_format: str = "json",
    ):
        self.work, self.sources, self.crashes, self.limit = work, sources, crashes, limit
        self.events = limit or EVENTS
        self.small = min(SMALL, self.events // 10)
        self.pauses = [self.small]
        self.pauses += [self.events - n * self.small for n in range(LAST_WINDOWS, 0, -1)]
        self.record_format = record_format
        self.random = random.Random(seed)
        self.seed = seed
        self.pause_file = work / "pause"
        self.producer: subprocess.Popen | None = None
        self.server = Server(binary, work / "data", self._copy_of_project())
        self.findings: list[check.Finding] = []
        self.figures: list[tuple[str, str, str, str]] = []  # name, value, aim, verdict
        self.measures: dict[str, float] = {}  # the same as numbers, for bench/flights_bench.py
        self.etags: dict[str, str] = {}  # at the first pause

    def _copy_of_project(self) -> pathlib.Path:
        project = self.work / "project"
        python = shutil.ignore_patterns("*.py", "__pycache__", "data")
        shutil.copytree(HERE, project, ignore=python)
        topics = project / "topics.sql"
        text = topics.read_text().replace("format = 'json'", f"format = '{self.record_format}'")
        topics.write_text(text)
        (project / "data").mkdir()
        shutil.copy(self.sources / "airports.csv", project / "data")
        return project

    def figure(self, name: str, value: str, aim: str = "", reached: bool | None = None) -> None:
        verdict = {None: "", True: "reached", False: "MISSED"}[reached]
        self.figures.append((name, value, aim, verdict))

    def speed(self, name: str, value: str, aim: str, reached: bool) -> None:
        """Of a run with kills only the value is told."""
        self.figure(name, value, *(() if self.crashes else (aim, reached)))

    def number(self, statement: str) -> int:
        return int(self.server.rows(statement)[0][0])

    def in_views(self) -> int:
        return self.number("SELECT coalesce(sum(departures), 0)::BIGINT FROM routes")

    # -- the stream

    def produce_command(self, server: Server) -> list[str]:
        kafka = server.address("kafka")
        return produce_command(server.binary, kafka, self.sources, self.record_format, self.seed)

    def start_producer(self) -> None:
        command = self.produce_command(self.server)
        command += ["--send-log", str(self.work / "sent.csv")]
        command += ["--pause-file", str(self.pause_file)]
        for count in self.pauses:
            command += ["--pause-at", str(count)]
        if self.limit:
            command += ["--limit", str(self.limit)]
        if self.limit and self.crashes:
            # Or all of them wait in the producer while the server is down, to come in one rush.
            command += ["--rate", str(self.limit / FEW_EVENTS_S)]
        self.producer = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment())

    def wait_for_pause(self) -> None:
        while not self.pause_file.exists():
            require(self.producer.poll() is None, "the producer failed")
            time.sleep(POLL_S)

    def expect_in_views(self, events: int) -> None:
        found = self.in_views()
        require(found == events, f"the views have {found:,} of {events:,} events")

    def flush(self) -> None:
        self.server.rows("CALL ziwa.flush('keep_history')")

    def run_to_pause(self, clock: Stopwatch) -> None:
        """Until the views and the table have all that was sent before the next pause."""
        self.wait_for_pause()
        self.server.wait_for_views()
        self.flush()
        clock.stop()

    def run_on(self, clock: Stopwatch) -> None:
        clock.go()
        self.pause_file.unlink()

    def run_stream(self) -> None:
        """Sends everything, with pauses near both ends to measure what events and reads cost.

        The clock stands still at a pause, once the views and the table have what was sent.
        """
        clock = Stopwatch()
        cpu = [self.server.settle()]
        clock.go()
        self.start_producer()
        self.run_to_pause(clock)
        cpu.append(self.server.settle())
        self.at_first_pause()
        watcher = Watcher(self.server)
        watcher.start()
        self.run_on(clock)
        self.crash_on_the_way()
        self.run_to_pause(clock)
        watcher.finish()
        self.expect_in_views(self.pauses[1])
        cpu.append(self.server.settle())
        for _ in self.pauses[2:]:
            self.run_on(clock)
            self.run_to_pause(clock)
            cpu.append(self.server.settle())
        self.run_on(clock)
        code = self.producer.wait()
        require(code == 0, "the producer failed")
        self.server.wait_for_views()
        in_views_s = clock.seconds_now()
        self.flush()
        clock.stop()
        cpu.append(self.server.settle())
        self.expect_in_views(self.events)
        empty = self.empty_window()
        self.tell_speed(in_views_s, clock.seconds)
        self.tell_watcher(watcher)
        self.tell_cpu(cpu, empty)
        self.tell_keyed_read()

    def empty_window(self) -> int:
        """CPU of a window without events: what a flush and a checkpoint cost by themselves."""
        before = self.server.settle()
        self.flush()
        return self.server.settle() - before

    def crash_on_the_way(self) -> None:
        """Kills the server at random moments, each while the producer is sending."""
        first, last = self.pauses[:2]
        for number in range(self.crashes):
            part = (number + self.random.random()) / self.crashes
            moment = first + int((0.1 + 0.65 * part) * (last - first))
            while (events := self.number(END_OF_TOPIC)) < moment:
                require(self.producer.poll() is None, "the producer failed")
                time.sleep(POLL_S)
            require(events < last, "a kill would have come too late: everything was sent")
            self.server.kill()
            seconds = self.server.start()
            print(
                f"\nkill -9 with {events:,} of {self.events:,} events in the topic; "
                f"up again in {seconds * 1000:.0f} ms",
                flush=True,
            )

    def at_first_pause(self) -> None:
        self.expect_in_views(self.small)
        for path in (ROUTES, "/v1/airports?limit=1"):
            self.etags[path] = self.server.http(path).headers["ETag"]
            require(self.server.http(path, self.etags[path]).status == 304, f"{path}: no 304")

    def tell_speed(self, in_views_s: float, in_table_s: float) -> None:
        rate = self.events / in_views_s
        self.measures |= {
            "events_per_s": rate,
            "delta_s": in_table_s,
            "peak_mib": self.server.peak_mib(),
        }
        rate_aim = f">= {EVENTS_PER_S_AIM:,} events/s"
        self.speed("producer to view", f"{rate:,.0f} events/s", rate_aim, rate >= EVENTS_PER_S_AIM)
        seconds_aim = SECONDS_AIM * self.events / EVENTS
        for place, seconds in (("view", in_views_s), ("Delta table", in_table_s)):
            name = f"{self.events:,} events to {place}"
            reached = seconds <= seconds_aim
            self.speed(name, f"{seconds:.1f} s", f"<= {seconds_aim:g} s", reached)
        self.figure("server peak memory", f"{self.measures['peak_mib']} MiB")

    def tell_watcher(self, watcher: Watcher) -> None:
        answers = f"{watcher.answers} at {len(watcher.epochs)} epochs"
        self.figure("answers while events come in", answers, "all consistent", True)
        self.figure("  of these with every hour added up", f"{watcher.compared_by_hour}")
        self.figure("  their greatest staleness", f"<= {watcher.stalest_s * 1000:.0f} ms")
        if watcher.without_answer:
            self.figure("  looks while the server was down", f"{watcher.without_answer}")
        self.measures["stalest_ms"] = watcher.stalest_s * 1000

    def tell_cpu(self, cpu: list[int], empty: int) -> None:
        """`cpu`: the server's CPU clock before the first event, at each pause and at the end; `empty`:
        of a window without events, which is taken off the small windows.

        Work in the background comes in lumps that belong to many events. So the cheapest of the
        last windows is compared with the first, and the mean of all, which has every lump.
        """
        first, *last = [
            (after - before - empty) / self.small / 1000
            for before, after in zip(cpu, cpu[1:])
            if before != cpu[1]
        ]
        mean = (cpu[-1] - cpu[0]) / self.events / 1000
        growth = max(min(last), mean) / first
        self.measures |= {"cpu_us": mean, "cpu_growth": growth}
        windows = ", ".join(f"{us:.2f}" for us in last)
        aim = f"<= {CPU_GROWTH_MAX:g}x"
        self.figure(f"server CPU per event, first {self.small:,}", f"{first:.2f} us")
        for name, value, us in (
            (f"  last {LAST_WINDOWS} x {self.small:,}", windows, min(last)),
            (f"  mean of all {self.events:,}, answers included", f"{mean:.2f}", mean),
        ):
            times = us / first
            self.figure(name, f"{value} us: {times:.2f}x", aim, times <= CPU_GROWTH_MAX)
        # The mean of few events is mostly answers; that of a run with kills has work done twice.
        judged = min(last) / first if self.limit or self.crashes else growth
        require(judged <= CPU_GROWTH_MAX, f"CPU per event grew {judged:.2f}x")

    def tell_keyed_read(self) -> None:
        with self.small_server() as small:
            groups_small, groups = (
                server.rows("SELECT count(*) FROM departures_per_hour")[0][0]
                for server in (small, self.server)
            )
            require(groups > groups_small, "the view that is read by key has not grown")
            small_us, large_us, growth = compare_keyed_reads(small, self.server)
        self.measures |= {"keyed_read_us": large_us, "keyed_read_growth": growth}
        self.figure(f"keyed read of {groups_small:,} groups", f"{small_us:.0f} us")
        self.figure(
            f"  of {groups:,}",
            f"{large_us:.0f} us, {growth:.2f}x",
            f"<= {KEYED_READ_GROWTH_MAX}x",
            growth <= KEYED_READ_GROWTH_MAX,
        )
        require(growth <= KEYED_READ_GROWTH_MAX, f"a keyed read costs {growth:.2f}x")

    @contextlib.contextmanager
    def small_server(self):
        """Another one, with the first events only and as quiet as ours."""
        data = self.work / "small" / "data"
        data.parent.mkdir()
        server = Server(self.server.binary, data, self.server.project)
        try:
            server.start()
            command = [*self.produce_command(server), "--limit", str(self.small)]
            subprocess.run(command, stdout=subprocess.DEVNULL, env=environment(), check=True)
            server.wait_for_views()
            server.settle()
            yield server
        finally:
            if server.running():
                server.kill()

    # -- the answers

    def save(self, name: str, statement: str) -> str:
        path = self.work / f"{name}.csv"
        path.write_text(self.server.csv(statement))
        return str(path)

    def check_answers(self) -> None:
        import deltalake  # the reference reader, not ours

        consumed = self.consume()
        with step("reading the views"):
            entries = self.save(
                "entries",
                'SELECT _partition AS "partition", _entry AS entry, min(_offset) AS first_offset, '
                "max(_offset) AS last_offset FROM flights GROUP BY ALL ORDER BY ALL",
            )
            idle = self.save(
                "idle", "SELECT entry, partition FROM ziwa.idle_marks WHERE topic = 'flights'"
            )
            late = self.save(
                "late",
                'SELECT "partition", "offset" FROM ziwa.late_rows '
                "WHERE view = 'departures_per_hour'",
            )
            views = {view: self.save(view, f"SELECT * FROM {view}") for view in check.VIEWS}
            ((location,),) = self.server.rows(
                "SELECT location FROM ziwa.tables WHERE name = 'flight_history'"
            )
        with step("computing the answers with a stock DuckDB"):
            oracle = check.Oracle(
                str(self.sources / "flights-3m.parquet"),
                str(self.sources / "airports.csv"),
                str(self.work / "sent.csv"),
                entries,
                idle,
            )
        sent, once = oracle.count("sent"), oracle.count("(SELECT DISTINCT seq FROM sent)")
        require(
            sent == once == self.events,
            f"the send log holds {sent:,} rows of {once:,} of {self.events:,} events",
        )
        with step("comparing"):
            self.findings.append(oracle.compare_topic(consumed))
            self.findings.append(oracle.compare_delta(deltalake.DeltaTable(location).file_uris()))
            for view, csv in views.items():
                self.findings.append(oracle.compare_view(view, csv))
            self.findings.append(oracle.compare_late(late))
        self.tell_late_and_joined(oracle.count("late"))

    def tell_late_and_joined(self, late: int) -> None:
        share = late / self.events * 100
        in_range = 0.05 <= share <= 0.2
        judged = None if self.limit else in_range
        self.figure("late rows", f"{late:,} = {share:.3f} %", "0.05 to 0.2 %", judged)
        require(in_range or bool(self.limit), f"{share:.3f} % of the rows are late")
        joined = self.number("SELECT sum(departures)::BIGINT FROM flights_per_state")
        require(joined < self.events, "every flight found its airport: the join was not tested")
        self.figure("flights with a state", f"{joined:,} of {self.events:,}", "not all", True)

    def consume(self) -> str:
        """The topic as an ordinary Kafka consumer sees it: seq, partition, offset."""
        if self.record_format != "json":  # `ziwa consume --csv` reads fields of JSON records only
            with step("reading the topic with a Kafka client"):
                return self.consume_avro()
        path = str(self.work / "consumed.csv")
        command = [self.server.binary, "consume", "flights"]
        command += ["--kafka", self.server.address("kafka"), "--from", "beginning", "--until-end"]
        command += ["--csv", "seq", "--output", path]
        done = subprocess.run(command, stdout=subprocess.DEVNULL, env=environment())
        require(done.returncode == 0, "the consumer failed")
        return path

    def consume_avro(self) -> str:
        import confluent_kafka  # a stock client, and none of our decoders

        path = str(self.work / "consumed.csv")
        consumer = confluent_kafka.Consumer(
            {
                "bootstrap.servers": self.server.address("kafka"),
                "group.id": "demo",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
            }
        )
        partitions = consumer.list_topics("flights", timeout=30).topics["flights"].partitions
        start = confluent_kafka.OFFSET_BEGINNING
        consumer.assign([confluent_kafka.TopicPartition("flights", p, start) for p in partitions])
        reading = set(partitions)
        with open(path, "w") as file:
            file.write("seq,partition,offset\n")
            while reading:
                messages = consumer.consume(20_000, timeout=30)
                require(bool(messages), "the topic's end did not come")
                for message in messages:
                    if error := message.error():
                        end = error.code() == confluent_kafka.KafkaError._PARTITION_EOF
                        require(end, f"consuming: {error}")
                        reading.discard(message.partition())
                        continue
                    seq = avro_seq(message.value())
                    file.write(f"{seq},{message.partition()},{message.offset()}\n")
        consumer.close()
        return path

    def check_three_ways(self) -> None:
        query = (
            "SELECT origin, destination, departures FROM routes "
            "ORDER BY departures DESC, origin, destination LIMIT 5"
        )
        ours = [line.split(",") for line in self.server.csv(query).splitlines()[1:]]
        psql = subprocess.run(
            ["psql", "-h", "127.0.0.1", "-p", str(self.server.ports["postgres"]), "-U", "demo"]
            + ["-d", "db", "-AtF,", "-c", query],
            capture_output=True,
            text=True,
        )
        require(psql.returncode == 0, f"psql: {psql.stderr.strip()}")
        theirs = [line.split(",") for line in psql.stdout.splitlines()]
        curl = subprocess.run(
            ["curl", "-sSf", f"http://{self.server.address('http')}/v1/routes"]
            + ["-G", "-d", "select=origin,destination,departures"]
            + ["-d", "order=departures.desc,origin,destination", "-d", "limit=5"],
            capture_output=True,
            text=True,
        )
        require(curl.returncode == 0, f"curl: {curl.stderr.strip()}")
        rest = [list(map(str, row.values())) for row in json.loads(curl.stdout)["rows"]]
        require(ours == theirs == rest, f"three doors, different answers: {ours} {theirs} {rest}")
        table(
            "The busiest routes, the same through ziwa sql, psql and curl",
            ["origin", "destination", "departures"],
            ours,
        )
        worst = self.server.rows(
            "SELECT place, origin, departures, round(mean_delay, 1) FROM worst_airports "
            "WHERE day = DATE '2001-01-02' ORDER BY place LIMIT 5"
        )
        table(
            "The worst airports of 2 January",
            ["place", "origin", "departures", "mean delay"],
            worst,
        )

    def check_etags(self) -> None:
        """They changed with the view, and change neither with time nor with other objects."""
        for path, before in self.etags.items():
            answer = self.server.http(path, before)
            changed = path == ROUTES
            require(answer.status == (200 if changed else 304), f"{path}: {answer.status}")
            require((answer.headers["ETag"] != before) == changed, f"{path}: wrong ETag")
        view = self.server.http(ROUTES)
        self.server.rows("CREATE TABLE something_else AS SELECT 1 AS n")
        again = self.server.http(ROUTES)
        epochs = [int(answer.headers["Ziwa-Epoch"]) for answer in (view, again)]
        require(epochs[1] > epochs[0], "the epoch stands still")
        require(
            self.server.http(ROUTES, view.headers["ETag"]).status == 304,
            "the ETag changed though the view did not",
        )
        self.server.rows("DROP TABLE something_else")
        self.figure("ETag of a view", "changed with it, stayed otherwise")

    def check_log_is_not_needed(self) -> None:
        views = {
            view: sorted(self.server.csv(f"SELECT * FROM {view}").splitlines())
            for view in check.VIEWS
        }
        etag = self.server.http(ROUTES).headers["ETag"]
        self.server.rows("CALL ziwa.delete_records('flights')")
        left = self.number("SELECT count(*) FROM flights")
        require(left == 0, f"the topic still has {left:,} records")
        for moment in ("after the records were deleted", "after a restart"):
            if moment == "after a restart":
                self.server.stop()
                self.figure("restart", f"{self.server.start() * 1000:.0f} ms to ready")
            for view, before in views.items():
                now = sorted(self.server.csv(f"SELECT * FROM {view}").splitlines())
                require(now == before, f"view {view} changed {moment}")
            require(
                self.server.http(ROUTES, etag).status == 304,
                f"the ETag changed {moment}",
            )
        rows = sum(len(view) - 1 for view in views.values())
        self.findings.append(check.Finding("views without the topic's records", rows, 0, 0))
        self.findings.append(check.Finding("  and after a restart", rows, 0, 0))

    # -- all of it

    def run(self) -> None:
        with step("starting the server"):
            seconds = self.server.start()
        self.figure("server start", f"{seconds * 1000:.0f} ms to ready, project applied")
        self.run_stream()
        self.check_three_ways()
        self.check_etags()
        self.check_answers()
        with step("deleting the topic's records, reading the views, twice"):
            self.check_log_is_not_needed()
        self.server.stop()

    def end_processes(self) -> None:
        if self.producer and self.producer.poll() is None:
            self.producer.kill()
            self.producer.wait()
        if self.server.running():
            self.server.kill()

    def report(self) -> None:
        if self.findings:
            table(
                "Compared with a stock DuckDB in this process",
                ["what", "rows", "missing", "unexpected", ""],
                [
                    (f.what, f"{f.rows:,}", f.missing, f.unexpected, "equal" if f.ok else "DIFFERS")
                    for f in self.findings
                ],
            )
        if self.figures:
            table("Measured", ["figure", "value", "aim", ""], self.figures)


def run_to_report(demo: Demo) -> str | None:
    """Why it failed, or None. Whatever happens, no process is left."""
    failure = None
    try:
        demo.run()
    except Failure as error:
        failure = str(error)
    except (psycopg.Error, OSError, ValueError, LookupError, subprocess.SubprocessError) as error:
        traceback.print_exc()
        failure = f"{type(error).__name__}: {error}"
    finally:
        demo.end_processes()
    demo.report()
    if any(not finding.ok for finding in demo.findings):
        failure = failure or "some answers differ"
    return failure


def interrupt(number: int, _frame: object) -> None:
    for other in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(other, signal.SIG_IGN)  # what is left to do is to tidy up
    raise KeyboardInterrupt(signal.strsignal(number))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--binary", default="build/release/ziwa")
    parser.add_argument("--sources", type=pathlib.Path, default=SOURCES)
    parser.add_argument("--crash", action="store_true", help="kill the server twice on the way")
    parser.add_argument("--seed", type=int, default=None, help="of disorder and crashes; printed")
    parser.add_argument("--limit", type=int, default=0, help="send only the first N events")
    parser.add_argument("--format", choices=["json", "avro"], default="json")
    parser.add_argument("--keep", action="store_true", help="leave the data directory behind")
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(1 << 30)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)
    work = None
    keep = options.keep
    try:
        print(f"seed {seed}", flush=True)
        work = pathlib.Path(tempfile.mkdtemp(prefix="ziwa-demo-"))
        demo = Demo(
            os.path.abspath(options.binary),
            work,
            options.sources,
            2 if options.crash else 0,
            seed,
            options.limit,
            options.format,
        )
        failure = run_to_report(demo)
        keep = keep or failure is not None
    except KeyboardInterrupt as interrupted:
        print(f"\n{interrupted or 'interrupted'}: ended, nothing is left behind", file=sys.stderr)
        return 130
    finally:
        if work is not None and keep:
            print(f"\nkept: {work}")
        elif work is not None:
            shutil.rmtree(work, ignore_errors=True)
    print(f"\nFAILED: {failure}" if failure else "\nAll answers are equal.")
    return 1 if failure else 0


if __name__ == "__main__":
    sys.exit(main())
