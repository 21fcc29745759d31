"""Runs queries of Nexmark on Apache Flink: one process for each, its cluster inside it."""

import json
import pathlib
import shutil
import subprocess

import duckdb
import queries

VERSION = "2.3.0"
HERE = pathlib.Path(__file__).resolve().parent
JARS = pathlib.Path.home() / f".cache/ziwa/deps/flink-{VERSION}"
QUERY_SECONDS_MAX = 3000
SPLIT_ROWS = 1_000  # rows of the dump that stay together

FACTORIES = {
    "org.apache.flink.table.factories.Factory": ["ziwa.nexmark.NetHash", "ziwa.nexmark.SideInput"],
    "org.apache.flink.metrics.reporter.MetricReporterFactory": ["ziwa.nexmark.Progress"],
}
LOGGING = """rootLogger.level = WARN
rootLogger.appenderRef.console.ref = Console
appender.console.name = Console
appender.console.type = CONSOLE
appender.console.target = SYSTEM_ERR
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %p %c{1} %m%n
"""
# What Flink's own Nexmark guide sets, and object reuse.
SETTINGS = {
    "execution.runtime-mode": "STREAMING",
    "parallelism.default": "2",
    "taskmanager.numberOfTaskSlots": "2",
    "state.backend.type": "rocksdb",
    "execution.checkpointing.incremental": "true",
    "execution.checkpointing.mode": "EXACTLY_ONCE",
    "execution.checkpointing.checkpoints-after-tasks-finish.enabled": "false",
    "table.exec.mini-batch.enabled": "true",
    "table.exec.mini-batch.allow-latency": "2 s",
    "table.exec.mini-batch.size": "50000",
    "table.optimizer.distinct-agg.split.enabled": "true",
    "pipeline.object-reuse": "true",
    "table.local-time-zone": "UTC",
}


class FlinkFailed(Exception):
    """The job ended without a result: its output is the text."""


def prepare(dump: pathlib.Path, folder: pathlib.Path) -> None:
    """Compiles our classes, and splits the dump into two files, one for each source task to read in order."""
    assert (JARS / f"flink-dist-{VERSION}.jar").exists(), "Flink is not installed: tools/setup-flink"
    classes = folder / "classes"
    services = classes / "META-INF/services"
    services.mkdir(parents=True, exist_ok=True)
    sources = sorted(str(path) for path in (HERE / "flink").glob("*.java"))
    subprocess.run(["javac", "-proc:none", "-d", str(classes), "-cp", f"{JARS}/*", *sources], check=True)
    for service, names in FACTORIES.items():
        (services / service).write_text("\n".join(names) + "\n")
    (folder / "log4j.properties").write_text(LOGGING)
    parts = folder / "parts"
    shutil.rmtree(parts, ignore_errors=True)
    parts.mkdir()
    db = duckdb.connect()
    for part in range(2):
        db.execute(f"""SET enable_progress_bar = false;
            COPY (SELECT * EXCLUDE (file_row_number)
                  FROM read_parquet('{dump}', file_row_number = true)
                  WHERE file_row_number // {SPLIT_ROWS} % 2 = {part})
            TO '{parts}/{part}.parquet' (FORMAT parquet)""")


def statements(folder: pathlib.Path) -> list[str]:
    """What a query needs before it."""
    types = {"TIMESTAMP": "TIMESTAMP(3)"}
    columns = ", ".join(f"`{name}` {types.get(type_, type_)}" for name, type_ in queries.COLUMNS.items())
    return [
        f"""CREATE TABLE nexmark ({columns}, WATERMARK FOR `dateTime` AS `dateTime` - INTERVAL '4' SECOND)
            WITH ('connector' = 'filesystem', 'path' = 'file://{folder}/parts', 'format' = 'parquet')""",
        *(f"CREATE VIEW {kind} AS {view}" for kind, view in queries.VIEWS.items()),
        "CREATE VIEW timed_bid AS SELECT *, PROCTIME() AS p_time FROM bid",
        "CREATE TABLE side_input (key BIGINT, `value` VARCHAR) WITH ('connector' = 'side-input')",
        "CREATE FUNCTION count_char AS 'ziwa.nexmark.CountChar'",
    ]


def run(folder: pathlib.Path, name: str, query: queries.Query, events: int, *, cores: str, checkpoint: str,
        memory_mib: int, java: str, retract: bool) -> dict:
    """What the last quarter cost, from the moment the sources have read the rest until all rows are out.

    `memory_mib`: half of it for the heap, four tenths managed (RocksDB); the rest is for the virtual
    machine itself, which takes the options `java`. Errors: FlinkFailed.
    """
    text = folder / "query.sql"
    text.write_text("\n;\n".join([*statements(folder), query.flink]))
    for old in ("checkpoints", "scratch"):
        shutil.rmtree(folder / old, ignore_errors=True)
    settings = SETTINGS | {
        "execution.checkpointing.dir": f"file://{folder}/checkpoints",
        "execution.checkpointing.interval": checkpoint,
        "io.tmp.dirs": str(folder / "scratch"),
        "taskmanager.memory.managed.size": f"{memory_mib * 4 // 10}m",
        "sink.columns": ";".join(query.columns),
        "sink.summed": query.summed or "",
        "sink.retract": str(retract).lower(),
    }
    command = ["taskset", "-c", cores, "java", f"-Xmx{memory_mib // 2}m", *java.split(),
               f"-Dlog4j.configurationFile={folder}/log4j.properties",
               "--add-opens=java.base/java.util=ALL-UNNAMED", "--add-opens=java.base/java.lang=ALL-UNNAMED",
               "-cp", f"{folder}/classes:{JARS}/*", "ziwa.nexmark.Run", str(text), str(events)]
    command += [f"{key}={value}" for key, value in settings.items() if value]
    log = folder / f"flink-{name}.log"
    try:
        with log.open("w") as errors:
            done = subprocess.run(command, stdout=subprocess.PIPE, stderr=errors, text=True,
                                  timeout=QUERY_SECONDS_MAX)
    except subprocess.TimeoutExpired:
        raise FlinkFailed(f"{name} took longer than {QUERY_SECONDS_MAX} s") from None
    if done.returncode != 0 or not done.stdout.strip():
        raise FlinkFailed(f"{name} failed, see {log}: {log.read_text()[-1500:]}")
    measured = json.loads(done.stdout.splitlines()[-1])
    return measured | {"events_per_s": (events - measured["warm_events"]) / measured["seconds"]}
