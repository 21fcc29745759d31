#!/usr/bin/env python3
"""Renders bench/results/*.jsonl as docs/benchmarks.md, with one SVG chart a benchmark in docs/benchmarks/.

The output depends on nothing but the records, so that it can be committed and compared. `--check` writes nothing and
fails if the committed report is not what the records say.
"""

import json
import sys
from pathlib import Path
from xml.sax.saxutils import escape

import bench_record

ROOT = Path(__file__).resolve().parent.parent
WIDTH, LABEL, BAR, LINE = 760, 250, 400, 18  # pixels
LABEL_LETTERS_MAX = 38
OURS, PEER, AIM, TEXT = "#1f77b4", "#b0b7bf", "#d62728", "#57606a"


class BadRecord(Exception):
    """A line that is no record."""


def load(directory: Path) -> dict[str, list[dict]]:
    """The records of each benchmark, in file order."""
    benches = {}
    for path in sorted(directory.glob("*.jsonl")):
        entries = []
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if not line.strip():
                continue
            try:
                entry = json.loads(line)
                bench_record.validate(entry)
            except ValueError as error:
                raise BadRecord(f"{path.name}:{number}: {error}") from None
            entries.append(entry)
        if entries:
            benches[path.stem] = entries
    return benches


def by_name(entries: list[dict]) -> dict[str, list[dict]]:
    """The history of each figure, oldest first."""
    histories: dict[str, list[dict]] = {}
    for entry in entries:
        histories.setdefault(entry["name"], []).append(entry)
    return {name: sorted(history, key=lambda entry: entry["date"]) for name, history in histories.items()}


def number(value: float | None) -> str:
    """Four significant digits, with thousands separated."""
    if value is None:
        return "–"
    if value != 0 and abs(value) < 1000:
        return f"{value:.4g}"
    return f"{value:,.0f}"


def is_ratio(entry: dict) -> bool:
    return entry["value"] != entry["ours"]


def judged(entry: dict, field: str) -> str:
    """`value` or `aim` with its unit: a ratio to the peer, or the record's own."""
    if entry[field] is None:
        return "–"
    return f"{number(entry[field])}×" if is_ratio(entry) else f"{number(entry[field])} {entry['unit']}"


def shortened(label: str) -> str:
    """What fits beside a bar; the table has all of it."""
    return label if len(label) <= LABEL_LETTERS_MAX else label[:LABEL_LETTERS_MAX - 1].rstrip() + "…"


def chart(histories: dict[str, list[dict]]) -> str:
    """Bars of the newest figures: ours, the peer, and a line at the aim; each figure on its own scale from zero."""
    parts, y = [], 10
    for name, history in histories.items():
        entry = history[-1]
        bars = [("Ziwa", entry["ours"], OURS)]
        if entry["peer"] is not None:
            bars.append((entry.get("peer_name", "peer"), entry["peer"], PEER))
        aim = entry["aim"] * entry["peer"] if entry["aim"] is not None and is_ratio(entry) else entry["aim"]
        top = max([abs(value) for _, value, _ in bars] + [abs(aim or 0)]) or 1
        parts.append(f'<text x="0" y="{y + 12}" font-weight="bold">{escape(name)}</text>')
        y += LINE + 2
        first = y
        for label, value, colour in bars:
            length = BAR * abs(value) / top
            parts.append(f'<text x="{LABEL - 8}" y="{y + 12}" text-anchor="end">'
                         f'{escape(shortened(label))}</text>')
            parts.append(f'<rect x="{LABEL}" y="{y}" width="{length:.1f}" height="{LINE - 4}" fill="{colour}"/>')
            text = f"{number(value)} {entry['unit']}"
            parts.append(f'<text x="{LABEL + length + 6:.1f}" y="{y + 12}">{escape(text)}</text>')
            y += LINE
        if aim is not None:
            x = LABEL + BAR * abs(aim) / top
            parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{first - 2}" y2="{y}" stroke="{AIM}" '
                         'stroke-width="2"/>')
        y += 12
    head = (f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{y}" viewBox="0 0 {WIDTH} {y}" '
            f'font-family="sans-serif" font-size="12" fill="{TEXT}">')
    return "\n".join([head, *parts, "</svg>"]) + "\n"


def history_line(history: list[dict]) -> str:
    """The judged values over time as a line of blocks, lowest to highest."""
    values = [entry["value"] for entry in history[-24:]]
    low, span = min(values), max(values) - min(values)
    return "".join("▁▂▃▄▅▆▇█"[round((value - low) / span * 7) if span else 3] for value in values)


def table(histories: dict[str, list[dict]]) -> list[str]:
    lines = ["| figure | ours | peer | judged | aim | reached | history | commit | date |",
             "|---|---:|---:|---:|---:|---|---|---|---|"]
    for name, history in histories.items():
        entry = history[-1]
        peer = "–"
        if entry["peer"] is not None:
            peer = f"{number(entry['peer'])} {entry['unit']}"
            if "peer_name" in entry:
                peer += f" ({entry['peer_name']})"
        reached = {None: "–", True: "yes", False: "**no**"}[bench_record.reached(entry)]
        sign = "≥ " if entry["better"] == "higher" else "≤ "
        aim = sign + judged(entry, "aim") if entry["aim"] is not None else "–"
        cells = [name, f"{number(entry['ours'])} {entry['unit']}", peer, judged(entry, "value"), aim, reached,
                 history_line(history) if len(history) > 1 else "–", f"`{entry['commit']}`", entry["date"][:10]]
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return lines


def render(benches: dict[str, list[dict]]) -> dict[str, str]:
    """The files of the report: path relative to docs/ and content."""
    lines = ["<!-- Written by tools/bench_report.py (make bench-report) from bench/results/*.jsonl: do not edit. -->",
             "# Benchmarks", "",
             "The newest figure of each measurement, beside its peer in the same run where it has one. The red line of",
             "a chart is the aim; each figure has its own scale. How figures are made and read: `bench/README.md`.", ""]
    files = {}
    if not benches:
        lines.append("Nothing has been measured yet: `make bench`.")
    for bench, entries in benches.items():
        histories = by_name(entries)
        files[f"benchmarks/{bench}.svg"] = chart(histories)
        newest = max(entries, key=lambda entry: entry["date"])
        lines += [f"## {bench}", "", f"![{bench}](benchmarks/{bench}.svg)", "", *table(histories), "",
                  f"Machine of the newest run: {newest['machine']}; load before it {newest['load']}."]
        lines += [f"- {name}: {history[-1]['note']}" for name, history in histories.items() if "note" in history[-1]]
        dirty = sorted({entry["name"] for history in histories.values() for entry in history[-1:]
                        if entry["commit"].endswith("-dirty")})
        if dirty:
            lines.append(f"Measured with uncommitted changes: {', '.join(dirty)}.")
        lines.append("")
    files["benchmarks.md"] = "\n".join(lines).rstrip("\n") + "\n"
    return files


def main(arguments: list[str], root: Path = ROOT) -> int:
    try:
        files = render(load(root / "bench" / "results"))
    except BadRecord as error:
        print(f"bench-report: {error}", file=sys.stderr)
        return 1
    docs = root / "docs"
    if "--check" in arguments:
        stale = [name for name, content in files.items()
                 if not (docs / name).exists() or (docs / name).read_text() != content]
        for name in stale:
            print(f"bench-report: docs/{name} is not what bench/results says: make bench-report", file=sys.stderr)
        return 1 if stale else 0
    for name, content in files.items():
        (docs / name).parent.mkdir(parents=True, exist_ok=True)
        (docs / name).write_text(content)
    for path in (docs / "benchmarks").glob("*.svg") if (docs / "benchmarks").exists() else []:
        if f"benchmarks/{path.name}" not in files:
            path.unlink()
    print(f"bench-report: docs/benchmarks.md, {len(files) - 1} charts")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
