"""Runs queries of Nexmark on a server of our own, each over the warm-up alone and over the whole."""

import os
import pathlib
import re
import signal
import subprocess
import time

import psycopg
import queries

START_SECONDS_MAX = 120
WARM, WHOLE = "nexmark_warm", "nexmark"


class TooFewEvents(Exception):
    """The whole took no longer than its first three quarters: nothing can be said."""


class Server:
    """One `ziwa up` on free ports, on the cores `cores`; a context manager."""

    def __init__(self, binary: str, folder: pathlib.Path, cores: str, checkpoint: str) -> None:
        settings = {"doors.kafka.port": "0", "doors.postgres.port": "0", "doors.http.port": "0",
                    "sql.files": str(folder), "stream.checkpoint.interval": checkpoint,
                    "sql.statement.timeout": "0", "log.level": "warn"}
        self.command = ["taskset", "-c", cores, binary, "up", "--data", str(folder / "ziwa")]
        for name, value in settings.items():
            self.command += ["--set", f"{name}={value}"]
        self.log = folder / "ziwa.log"

    def __enter__(self) -> "Server":
        environment = {name: value for name, value in os.environ.items() if not name.startswith("ZIWA_")}
        with self.log.open("w") as log:
            self.process = subprocess.Popen(self.command, stdout=log, stderr=subprocess.STDOUT,
                                            env=environment)
        deadline = time.monotonic() + START_SECONDS_MAX
        while not re.search(r"^ready", self.log.read_text(), re.MULTILINE):
            assert self.process.poll() is None and time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.02)
        port = int(re.search(r"postgres\s+127\.0\.0\.1:(\d+)", self.log.read_text())[1])
        self.session = psycopg.connect(host="127.0.0.1", port=port, user="bench", dbname="db",
                                       autocommit=True)
        return self

    def __exit__(self, *_) -> None:
        self.session.close()
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def rows(self, statement: str) -> list[tuple]:
        cursor = self.session.execute(statement)
        return cursor.fetchall() if cursor.description else []

    def cpu_s(self) -> float:
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def peak_mib(self) -> float:
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmHWM:\s+(\d+)", status)[1]) / 1024


def load(server: Server, dump: pathlib.Path, events: int, disorder: int) -> None:
    """Dumps the events into one file, and fills a topic with all and one with three quarters."""
    server.rows(f"COPY (FROM nexmark(events => {events}, disorder => {disorder})) TO '{dump}' "
                "(FORMAT parquet)")
    columns = ", ".join(f'"{name}" {type_}' for name, type_ in queries.COLUMNS.items())
    for topic, rows in ((WARM, events - events // 4), (WHOLE, events)):
        server.rows(f"CREATE TOPIC {topic} ({columns}, WATERMARK FOR dateTime AS dateTime - INTERVAL 4 "
                    "SECOND) WITH (format = 'avro', partitions = 2, retention = 'forever')")
        server.rows(f"INSERT INTO {topic} SELECT * FROM read_parquet('{dump}') LIMIT {rows}")
        have = server.rows(f"SELECT sum(records) FROM ziwa.partitions WHERE topic = '{topic}'")
        assert have[0][0] == rows, f"{topic} has {have} of {rows} records"
    server.rows("CREATE TABLE side_input AS SELECT range AS key, CAST(range AS VARCHAR) AS value "
                "FROM range(10000)")


def sums(server: Server, query: queries.Query, topic: str) -> str:
    """The query under a sink that keeps nothing: how many rows it gives and the sum of their hashes."""
    text = re.sub(r"\bFROM nexmark\b", f"FROM {topic}", query.ziwa)
    hashed = []
    for column, type_, *_ in server.rows(f"DESCRIBE {text}"):
        if query.columns and column not in query.columns:
            continue
        cast = queries.CASTS.get(type_.split("(")[0], ("{}", ""))[0]
        hashed.append(cast.format(f'"{column}"'))
    return (f"SELECT count(*) AS rows, sum(hash({', '.join(hashed)})) AS hashes, "
            f"{f'sum({query.summed})' if query.summed else 'sum(0)'} AS summed FROM ({text})")


def fill(server: Server, name: str, query: queries.Query, topic: str) -> dict:
    """What it costs to take all of `topic`, and to make the state durable; and what the sums are."""
    text = sums(server, query, topic)
    begin, cpu = time.monotonic(), server.cpu_s()
    server.rows(f"CREATE MATERIALIZED VIEW {name} AS {text}")
    server.rows("CALL ziwa.checkpoint()")
    spent = {"seconds": time.monotonic() - begin, "cpu_s": server.cpu_s() - cpu,
             "peak_mib": server.peak_mib()}
    state = server.rows("SELECT state, late_rows, row_errors, state_bytes FROM ziwa.views "
                        f"WHERE name = '{name}'")
    assert state[0][:3] == ("running", 0, 0), f"{name}: {state}"
    rows, hashes, summed = server.rows(f"SELECT * FROM {name}")[0]
    return spent | {"state_mib": state[0][3] / 2**20, "rows": rows,
                    "hash": str(int(hashes or 0) % 2**64), "sum": int(summed or 0)}


def run(start, name: str, query: queries.Query, events: int) -> dict:
    """The cost of the last quarter is what all events cost more than the first three quarters do.

    `start` makes a Server; each of the two parts has one of its own.
    """
    parts = []
    for topic in (WARM, WHOLE):
        with start() as server:
            parts.append(fill(server, name, query, topic))
            server.rows(f"DROP MATERIALIZED VIEW {name}")
    warm, whole = parts
    if whole["seconds"] <= warm["seconds"]:
        raise TooFewEvents(f"{name}: all events took {whole['seconds']:.2f} s, three quarters of them "
                           f"{warm['seconds']:.2f} s")
    quarter = events // 4
    return whole | {"seconds": whole["seconds"] - warm["seconds"], "cpu_s": whole["cpu_s"] - warm["cpu_s"],
                    "events_per_s": quarter / (whole["seconds"] - warm["seconds"]),
                    "total_s": whole["seconds"], "total_cpu_s": whole["cpu_s"]}
