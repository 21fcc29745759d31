"""Appends one benchmark figure to bench/results/<bench>.jsonl, checked, with machine, load, commit and date filled in.

    from bench_record import record
    record("flights", name="end to end, JSON", unit="events/s", ours=231_000, peer=58_000, peer_name="...",
           better="higher", aim=200_000)

The fields of a record:
    name    what was measured; a name keeps its meaning for ever, so that its history can be drawn
    unit    of `ours` and `peer`
    ours    our figure: the median of the runs
    peer    the figure of the peer in the same run, or null when there is none
    value   the figure that `aim` judges: `ours` (default), or ours / peer with judge="ratio"
    better  "higher" or "lower"
    aim     what `value` should reach, or null
    machine, load (one-minute average before the measurement), commit ("-dirty" if tracked files differ), date (UTC)
Optional: peer_name, note.
"""

import datetime
import json
import math
import os
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REQUIRED = ("name", "unit", "ours", "peer", "value", "better", "aim", "machine", "load", "commit", "date")
OPTIONAL = ("peer_name", "note")


def machine() -> str:
    """The processor, its cores and the memory, as one line."""
    model = "unknown processor"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = re.sub(r"\s+", " ", line.split(":", 1)[1]).strip()
            break
    gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{model}, {len(os.sched_getaffinity(0))} cores, {gib:.0f} GiB"


def load_average() -> float:
    """Over one minute; to be asked before a measurement, which makes load itself."""
    return round(os.getloadavg()[0], 2)


def commit(root: Path = ROOT) -> str:
    """The commit that is checked out, marked when tracked files outside bench/results and the report differ from it."""
    git = ["git", "-C", str(root)]
    head = subprocess.run([*git, "rev-parse", "--short=12", "HEAD"], check=True, capture_output=True, text=True)
    changed = subprocess.run([*git, "status", "--porcelain", "--untracked-files=no", "--", ".", ":!bench/results",
                              ":!docs/benchmarks*"], check=True, capture_output=True, text=True)
    return head.stdout.strip() + ("-dirty" if changed.stdout.strip() else "")


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def validate(entry: dict) -> None:
    """Raises ValueError naming the first field that is missing, unknown or wrong."""
    for field in REQUIRED:
        if field not in entry:
            raise ValueError(f"field {field!r} is missing")
    for field in entry:
        if field not in REQUIRED + OPTIONAL:
            raise ValueError(f"field {field!r} is unknown")
    for field in ("name", "unit", "machine", "commit"):
        if not isinstance(entry[field], str) or not entry[field].strip():
            raise ValueError(f"field {field!r} must be a text that is not empty")
    for field in ("ours", "value", "load"):
        if not _is_number(entry[field]):
            raise ValueError(f"field {field!r} must be a finite number")
    for field in ("peer", "aim"):
        if entry[field] is not None and not _is_number(entry[field]):
            raise ValueError(f"field {field!r} must be a finite number or null")
    if entry["better"] not in ("higher", "lower"):
        raise ValueError("field 'better' must be \"higher\" or \"lower\"")
    try:
        datetime.datetime.fromisoformat(entry["date"].replace("Z", "+00:00"))
    except (AttributeError, ValueError):
        raise ValueError("field 'date' must be an ISO 8601 time") from None


def reached(entry: dict) -> bool | None:
    """Whether `value` reaches `aim`; None without an aim."""
    if entry["aim"] is None:
        return None
    return entry["value"] >= entry["aim"] if entry["better"] == "higher" else entry["value"] <= entry["aim"]


def record(bench: str, *, name: str, unit: str, ours: float, better: str, peer: float | None = None,
           aim: float | None = None, judge: str = "ours", peer_name: str | None = None, note: str | None = None,
           load: float | None = None, root: Path = ROOT) -> dict:
    """Appends one figure to <root>/bench/results/<bench>.jsonl and returns it. Errors: ValueError, nothing written.

    `load`: load_average() before the measurement; as it is now when not given.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]*", bench):
        raise ValueError(f"bench name {bench!r} must be snake_case")
    if judge not in ("ours", "ratio"):
        raise ValueError("judge must be \"ours\" or \"ratio\"")
    if judge == "ratio" and not peer:
        raise ValueError("a ratio needs a peer other than zero")
    entry = {
        "name": name, "unit": unit, "ours": ours, "peer": peer, "value": ours / peer if judge == "ratio" else ours,
        "better": better, "aim": aim, "machine": machine(), "load": load_average() if load is None else load,
        "commit": commit(root),
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    if peer_name is not None:
        entry["peer_name"] = peer_name
    if note is not None:
        entry["note"] = note
    validate(entry)
    path = root / "bench" / "results" / f"{bench}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.write(json.dumps(entry, ensure_ascii=False) + "\n")
    return entry
