"""What the flights project must contain, computed by a stock DuckDB from outside.

Inputs are the source Parquet file, the producer's send log (seq, partition, offset of every
acknowledged record) and, of the server, only which journal entry each offset belongs to (the
topic's `_entry`) and the idle marks. Nothing that is compared is read through Ziwa's own scans: the
Delta table is read by the `deltalake` package, the views as the CSV that a client gets.
"""

import bisect
import dataclasses

import duckdb

DELAY_US = 15 * 60 * 1_000_000
HOUR_US = 3600 * 1_000_000

VIEWS = {
    "departures_per_hour": """
        SELECT origin, time_bucket(INTERVAL 1 HOUR, time) AS window_start, count(*) AS departures,
               avg(delay) AS mean_delay, max(delay) AS max_delay
        FROM on_time GROUP BY ALL""",
    "routes": """
        SELECT origin, destination, count(*) AS departures, avg(delay) AS mean_delay,
               max(delay) AS max_delay
        FROM sent GROUP BY ALL""",
    "worst_airports": """
        SELECT day, place, origin, departures, mean_delay FROM (
          SELECT *, row_number() OVER (PARTITION BY day ORDER BY mean_delay DESC, origin) AS place
          FROM (
            SELECT CAST(time AS DATE) AS day, origin, count(*) AS departures,
                   avg(delay) AS mean_delay
            FROM sent GROUP BY ALL) WHERE departures >= 20)
        WHERE place <= 10""",
    "flights_per_state": """
        SELECT a.state, count(*) AS departures, avg(f.delay) AS mean_delay
        FROM sent f JOIN airports a ON f.origin = a.iata GROUP BY ALL""",
}

COLUMNS = {
    "departures_per_hour": {
        "origin": "VARCHAR",
        "window_start": "TIMESTAMP",
        "departures": "BIGINT",
        "mean_delay": "DOUBLE",
        "max_delay": "INTEGER",
    },
    "routes": {
        "origin": "VARCHAR",
        "destination": "VARCHAR",
        "departures": "BIGINT",
        "mean_delay": "DOUBLE",
        "max_delay": "INTEGER",
    },
    "worst_airports": {
        "day": "DATE",
        "place": "BIGINT",
        "origin": "VARCHAR",
        "departures": "BIGINT",
        "mean_delay": "DOUBLE",
    },
    "flights_per_state": {"state": "VARCHAR", "departures": "BIGINT", "mean_delay": "DOUBLE"},
}


@dataclasses.dataclass
class Finding:
    """One comparison: what was compared, how many rows, and how many differ on either side."""

    what: str
    rows: int
    missing: int
    unexpected: int

    @property
    def ok(self) -> bool:
        return self.missing == 0 and self.unexpected == 0


class Oracle:
    """The expected answers. `entries`: partition, entry, first_offset, last_offset of the topic."""

    def __init__(
        self, parquet: str, airports_csv: str, send_log: str, entries_csv: str, idle_marks_csv: str
    ):
        self.db = duckdb.connect()
        self.db.execute("SET threads = 2")
        self.db.execute(f"""
            CREATE TABLE source AS
            SELECT row_number() OVER () - 1 AS seq, date AS time, delay, distance, origin, destination
            FROM read_parquet('{parquet}')""")
        self.db.execute(f"CREATE TABLE log AS FROM read_csv('{send_log}')")
        self.db.execute(f"""
            CREATE TABLE airports AS SELECT iata, state FROM read_csv('{airports_csv}')
            WHERE country = 'USA' AND state NOT IN ('AK', 'HI', 'PR', 'VI')""")
        self.db.execute(f"CREATE TABLE entries AS FROM read_csv('{entries_csv}')")
        self.db.execute(
            f"CREATE TABLE idle AS FROM read_csv('{idle_marks_csv}', columns = "
            "{'entry': 'BIGINT', 'partition': 'INTEGER'}, header = true)"
        )
        self.db.execute(
            """
            CREATE TABLE sent AS
            SELECT s.*, l."partition" AS part, l."offset" AS off, e.entry
            FROM source s JOIN log l USING (seq)
            ASOF JOIN entries e ON l."partition" = e."partition" AND l."offset" >= e.first_offset"""
        )
        self._mark_late()

    def _mark_late(self) -> None:
        """A row is late when its hour had closed: window end <= the watermark before its entry.

        The watermark is the least, over the partitions that are not idle, of the greatest time
        seen less 15 minutes.
        """
        maxima = self.db.execute(
            """
            SELECT entry, part, max(epoch_us(time)) FROM sent GROUP BY ALL ORDER BY entry"""
        ).fetchall()
        idle = self.db.execute("""SELECT entry, "partition", NULL FROM idle""").fetchall()
        seen: dict[int, int] = {}
        left: set[int] = set()
        merged = None
        watermark_after: list[tuple[int, int | None]] = []
        for entry, part, greatest in sorted(maxima + idle, key=lambda row: (row[0], row[1])):
            if greatest is None:
                left.add(part)
            else:
                left.discard(part)
                seen[part] = max(seen.get(part, greatest), greatest)
            active = [seen[p] for p in seen if p not in left]
            if len(seen.keys() | left) == 4 and active:
                candidate = min(active) - DELAY_US
                merged = candidate if merged is None else max(merged, candidate)
            watermark_after.append((entry, merged))
        numbers = [entry for entry, _ in watermark_after]
        before = []
        for entry in sorted(set(numbers)):
            at = bisect.bisect_left(numbers, entry)
            before.append((entry, watermark_after[at - 1][1] if at else None))
        self.db.execute("CREATE TABLE watermark_before (entry BIGINT, watermark BIGINT)")
        self.db.executemany("INSERT INTO watermark_before VALUES (?, ?)", before)
        late = f"(epoch_us(s.time) // {HOUR_US} + 1) * {HOUR_US} <= coalesce(w.watermark, -1)"
        self.db.execute(
            "CREATE TABLE late AS SELECT s.* FROM sent s JOIN watermark_before w USING (entry) "
            f"WHERE {late}"
        )
        self.db.execute(
            "CREATE TABLE on_time AS SELECT * FROM sent WHERE seq NOT IN (SELECT seq FROM late)"
        )

    def count(self, table: str) -> int:
        return self.db.execute(f"SELECT count(*) FROM {table}").fetchone()[0]

    def compare(self, what: str, got: str, expected: str) -> Finding:
        """Both sides as SQL; every row of one must be in the other as often."""
        rows, missing, unexpected = self.db.execute(f"""
            WITH got AS MATERIALIZED ({got}), expected AS MATERIALIZED ({expected})
            SELECT (SELECT count(*) FROM expected),
                   (SELECT count(*) FROM (FROM expected EXCEPT ALL FROM got)),
                   (SELECT count(*) FROM (FROM got EXCEPT ALL FROM expected))""").fetchone()
        return Finding(what, rows, missing, unexpected)

    def compare_view(self, name: str, csv: str) -> Finding:
        got = f"SELECT * FROM read_csv('{csv}', header = true, columns = {COLUMNS[name]})"
        return self.compare(f"view {name}", got, VIEWS[name])

    def compare_late(self, csv: str) -> Finding:
        columns = "{'partition': 'INTEGER', 'offset': 'BIGINT'}"
        got = f"SELECT * FROM read_csv('{csv}', header = true, columns = {columns})"
        return self.compare("late rows", got, "SELECT part::INTEGER, off::BIGINT FROM late")

    def compare_topic(self, csv: str) -> Finding:
        """`csv`: seq, partition, offset of every record, as a Kafka consumer saw them."""
        got = f'SELECT seq, "partition", "offset" FROM read_csv(\'{csv}\', header = true)'
        return self.compare("topic flights", got, "SELECT seq, part, off FROM sent")

    def compare_delta(self, files: list[str]) -> Finding:
        paths = ", ".join(f"'{path}'" for path in files) or "''"
        got = f"""SELECT seq, time, delay, distance, origin, destination
            FROM read_parquet([{paths}], union_by_name = true)"""
        return self.compare(
            "table flight_history",
            got,
            "SELECT seq, time, delay::INTEGER, distance::INTEGER, origin, destination FROM sent",
        )
