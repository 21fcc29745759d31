"""The queries of Nexmark beside Apache Flink, on the same two cores and the same dump of events.

The dump is made by the table function nexmark(): 100,000 events of 10 us of event time each, in
order or not. Both sides run one query at a time in a process of its own. Measured is the last
quarter of the events, after a warm-up of three quarters:

- Ours reads a topic (Avro, two partitions) from the log into a materialized view, as CREATE does,
  and makes it durable with a checkpoint. Once over a topic with three quarters of the events, once
  over all: the difference is the last quarter. Unlike Flink's sink the view keeps all its rows.
- Flink's two source tasks read the dump from two Parquet files; the clock starts when they have
  read three quarters of the events and stops when the job has ended. Its sink reads every column of
  every row and keeps only sums. The cluster is inside one process, so nothing goes over sockets;
  RocksDB, exactly once, mini-batches and the rest as in Flink's Nexmark guide (flink_side.SETTINGS).

Both give the number of rows of the net result and the sum of their hashes, which must be equal
(queries.py lists what is rewritten, cast and left out). q6 runs on ours only: Flink cannot.
Flink is installed by tools/setup-flink. A run of some queries adds to build/nexmark/*.json; means
are recorded once all are there, by the run that measures the last.
"""

import argparse
import json
import math
import os
import pathlib
import shutil
import signal
import statistics
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tools"), str(ROOT / "bench/nexmark")]
import bench_record  # noqa: E402
import flink_side  # noqa: E402
import queries  # noqa: E402
import ziwa_side  # noqa: E402

EVENTS = 20_000_000
FLINK_MEMORY_MIB = 4096
JAVA = "-XX:+UseParallelGC"  # q4 took 5.1 s of CPU with it, 8.0 s with G1, on two cores
MEMORIES_MIB = (8192, 4096, 3072, 2048, 1536, 1024)
MEMORY_SLACK = 0.95  # of the best rate: the smallest memory that reaches it is taken
PEER = f"Apache Flink {flink_side.VERSION}"


class Bench:
    """One set of options, its folder and what was measured in it."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.folder = ROOT / f"build/nexmark/{options.events}-{options.disorder}"
        self.dump = self.folder / "dump.parquet"
        self.cores = ",".join(map(str, sorted(os.sched_getaffinity(0))[:2]))
        self.kept = self.folder.with_suffix(".json")
        self.load = bench_record.load_average()
        self.commit = bench_record.commit()

    def server(self) -> ziwa_side.Server:
        return ziwa_side.Server(self.options.binary, self.folder, self.cores, self.options.checkpoint)

    def prepare(self) -> None:
        if not (self.options.keep and self.dump.exists()):
            shutil.rmtree(self.folder, ignore_errors=True)
            self.folder.mkdir(parents=True)
            with self.server() as server:
                ziwa_side.load(server, self.dump, self.options.events, self.options.disorder)
        if "flink" in self.options.sides:
            flink_side.prepare(self.dump, self.folder)

    def flink(self, name: str, memory_mib: int) -> dict:
        return flink_side.run(self.folder, name, queries.QUERIES[name], self.options.events,
                              cores=self.cores, checkpoint=self.options.checkpoint,
                              memory_mib=memory_mib, java=self.options.java,
                              retract=self.options.sink == "retract")

    def measure(self, name: str) -> dict[str, dict]:
        """Of each side, by its name."""
        query, sides = queries.QUERIES[name], {}
        if "ziwa" in self.options.sides:
            sides["ziwa"] = ziwa_side.run(self.server, name, query, self.options.events)
        if "flink" in self.options.sides and query.flink:
            sides["flink"] = self.flink(name, self.options.flink_memory)
        return sides

    def merged(self, measured: dict[str, dict]) -> dict[str, dict]:
        """With what runs before this one measured, of the same commit; kept for the next."""
        before = json.loads(self.kept.read_text()) if self.kept.exists() else {}
        known = before.get("queries", {}) if before.get("commit") == self.commit else {}
        for name, sides in measured.items():
            known[name] = known.get(name, {}) | sides
        self.kept.write_text(json.dumps({"commit": self.commit, "queries": known}, indent=1))
        return known


def check(name: str, sides: dict[str, dict], retract: bool) -> str:
    """What comparing the results says; exits if they differ."""
    query = queries.QUERIES[name]
    if len(sides) < 2:
        return "no peer"
    ours, flink = sides["ziwa"], sides["flink"]
    if query.summed:
        # Windows that are open when the input ends are never closed.
        if ours["sum"] < flink["sum"]:
            sys.exit(f"{name}: the counts add up to {ours['sum']}, Flink's to {flink['sum']}")
        return f"sum of {query.summed} {ours['sum']:,}, Flink {flink['sum']:,} in closed windows"
    if not retract:
        return "not compared"
    if (ours["rows"], ours["hash"]) != (flink["rows"], flink["hash"]):
        sys.exit(f"{name}: the results differ:\n  ours  {ours}\n  Flink {flink}")
    return f"{ours['rows']:,} rows, hash {ours['hash']}"


def net_of_q0(known: dict[str, dict], name: str, side: str) -> float | None:
    """Microseconds per event beyond those of q0; None if it is not there or they are none."""
    if "q0" not in known or side not in known["q0"] or name == "q0":
        return None
    net = 1e6 / known[name][side]["events_per_s"] - 1e6 / known["q0"][side]["events_per_s"]
    return net if net > 0 else None


def cost(side: dict, events: int) -> str:
    return f"{side['cpu_s'] / events * 1e6:.2f} us CPU an event, peak {side['peak_mib']:,.0f} MiB"


def line(known: dict[str, dict], name: str, events: int) -> list[str]:
    """The row of a query in the printed table."""
    cells = [name]
    for side in ("ziwa", "flink"):
        of = known[name].get(side)
        net = net_of_q0(known, name, side) if of else None
        cells += [f"{of['events_per_s']:,.0f}", f"{of['cpu_s']:.1f}", f"{of['peak_mib']:,.0f}",
                  f"{net:.2f}" if net else "-"] if of else ["-"] * 4
    ours, flink = known[name].get("ziwa"), known[name].get("flink")
    cells.append(f"{ours['events_per_s'] / flink['events_per_s']:.2f}" if ours and flink else "-")
    return cells


HEADER = ["query", "ours ev/s", "CPU s", "MiB", "net us", "Flink ev/s", "CPU s", "MiB", "net us", "ratio"]


def print_table(rows: list[list[str]]) -> None:
    widths = [max(map(len, column)) for column in zip(*rows)]
    for row in rows:
        print("  ".join(cell.rjust(width) for cell, width in zip(row, widths)), flush=True)


def figure(known: dict[str, dict], name: str, options: argparse.Namespace) -> dict:
    """The record of a query that ours has run."""
    ours, flink = known[name]["ziwa"], known[name].get("flink")
    quarter = options.events // 4
    compared = check(name, known[name], options.sink == "retract")
    note = f"{cost(ours, quarter)}; {compared}"
    if flink is None:
        return dict(name=f"{options.prefix}.{name}.events_per_s", unit="events/s", better="higher",
                    ours=ours["events_per_s"], note=note)
    note += f"; Flink {cost(flink, quarter)}"
    net = [net_of_q0(known, name, side) for side in ("ziwa", "flink")]
    if all(net):
        note += f"; net of q0 {net[0]:.2f} and {net[1]:.2f} us an event, ratio {net[1] / net[0]:.3g}"
    return dict(name=f"{options.prefix}.{name}.ratio_flink", unit="events/s", ours=ours["events_per_s"],
                peer=flink["events_per_s"], judge="ratio", peer_name=PEER, better="higher", note=note)


def means(known: dict[str, dict], prefix: str) -> list[dict]:
    """The records of all queries together; none while some are missing."""
    paired = [name for name, query in queries.QUERIES.items() if query.flink]
    if not all({"ziwa", "flink"} <= known.get(name, {}).keys() for name in paired):
        return []
    found = []
    for name, field, unit, better in (("geomean_ratio_flink", "events_per_s", "events/s", "higher"),
                                      ("memory_ratio_flink", "peak_mib", "MiB", "lower")):
        ours, flink = (statistics.geometric_mean(known[query][side][field] for query in paired)
                       for side in ("ziwa", "flink"))
        found.append(dict(name=f"{prefix}.{name}", unit=unit, ours=ours, peer=flink, judge="ratio",
                          better=better, peer_name=PEER, note=f"geometric means over {len(paired)} queries"))
    return found


def search_memory(bench: Bench, names: list[str]) -> None:
    """The smallest memory with which Flink is within 5 % of its best."""
    rates = {}
    for memory in MEMORIES_MIB:
        rates[memory] = []
        for name in names:
            try:
                rates[memory].append(bench.flink(name, memory)["events_per_s"])
            except flink_side.FlinkFailed as failure:
                print(f"{memory} MiB: {str(failure).splitlines()[0]}", flush=True)
                rates[memory].append(math.nan)
        print(f"{memory} MiB: {', '.join(f'{name} {rate:,.0f}/s' for name, rate in zip(names, rates[memory]))}",
              flush=True)
    best = [max(rate for rate in column if not math.isnan(rate)) for column in zip(*rates.values())]
    fits = [memory for memory, of in rates.items()
            if all(rate >= MEMORY_SLACK * most for rate, most in zip(of, best))]
    print(f"smallest within 5 % of the best for each: {min(fits, default='none')} MiB (--flink-memory)")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", default=str(ROOT / "build/release/ziwa"))
    parser.add_argument("--events", type=int, default=EVENTS, help="fewer only with --dry")
    parser.add_argument("--disorder", type=int, default=0, help="events of a group whose order is shuffled")
    parser.add_argument("--queries", default="", help="such as q0,q4; all if not given")
    parser.add_argument("--sides", default="ziwa,flink")
    parser.add_argument("--checkpoint", default="30 s", help="interval, of both")
    parser.add_argument("--flink-memory", type=int, default=FLINK_MEMORY_MIB, metavar="MIB")
    parser.add_argument("--java", default=JAVA, help="options of Flink's Java machine: --java=-XX:+UseG1GC")
    parser.add_argument("--search-memory", action="store_true", help="only find Flink's smallest memory")
    parser.add_argument("--sink", choices=("retract", "upsert"), default="retract",
                        help="upsert: Flink does not send rows that an update replaces; results are not compared")
    parser.add_argument("--keep", action="store_true", help="use the dump and the topics of an earlier run")
    parser.add_argument("--dry", action="store_true", help="print, do not record")
    options = parser.parse_args()
    options.binary = str(pathlib.Path(options.binary).resolve())
    options.sides = options.sides.split(",")
    options.prefix = f"nexmark.disorder{options.disorder}" if options.disorder > 1 else "nexmark"
    options.queries = options.queries.split(",") if options.queries else list(queries.QUERIES)
    unknown = set(options.queries) - queries.QUERIES.keys()
    if unknown or not set(options.sides) <= {"ziwa", "flink"}:
        parser.error(f"there is no {', '.join(unknown) or 'such side'}")
    if (options.events < EVENTS or options.sink == "upsert") and not options.dry:
        parser.error(f"records are of {EVENTS:,} events and with retractions: use --dry")
    return options


def main() -> None:
    options = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended"))  # leave through every `finally`
    bench = Bench(options)
    bench.prepare()
    if options.search_memory:
        return search_memory(bench, [name for name in options.queries if queries.QUERIES[name].flink])
    known, failed = {}, []

    def record(figure: dict) -> None:
        print(json.dumps(figure), flush=True)
        if not options.dry:
            bench_record.record("nexmark", **figure, load=bench.load)

    for name in options.queries:
        try:
            measured = {name: bench.measure(name)}
        except (flink_side.FlinkFailed, ziwa_side.TooFewEvents) as failure:
            print(failure, flush=True)
            failed.append(name)
            continue
        known = known | measured if options.dry else bench.merged(measured)
        print_table([HEADER, line(known, name, options.events)])
        if "ziwa" in known[name]:
            record(figure(known, name, options))
    print_table([HEADER, *(line(known, name, options.events) for name in queries.QUERIES if name in known)])
    for mean in means(known, options.prefix):
        record(mean)
    if not options.keep:
        shutil.rmtree(bench.folder)
    if failed:
        sys.exit(f"not measured: {', '.join(failed)}")


if __name__ == "__main__":
    main()
