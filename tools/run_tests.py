#!/usr/bin/env python3
"""Builds and runs every test, phase by phase, says how long each took and counts what passed.

Phases: clang-format, release build, unit tests, sanitizer build, unit tests and fuzz targets under it, end-to-end
tests. A failed build ends the run; failed tests do not keep later tests from running. Arguments are handed to pytest.
What failed is told after its phase and once more at the end, so that it need not be looked for. The last line,
"N passed, N failed", is also left in build/test-results/summary.
"""

import os
import shutil
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "build" / "test-results"
FAILURE_LINES = 12
FAILURE_WIDTH = 300


@dataclass
class Count:
    """How many tests ended how."""

    passed: int = 0
    failures: list[str] = field(default_factory=list)  # what failed and what it said
    skipped: int = 0

    @property
    def failed(self) -> int:
        return len(self.failures)

    def __add__(self, other: "Count") -> "Count":
        return Count(self.passed + other.passed, self.failures + other.failures, self.skipped + other.skipped)


def failure_of(case: ElementTree.Element) -> str:
    """The name of a failed test case and the first lines that it said."""
    said = "\n".join(part.get("message") or part.text or ""
                     for part in case if part.tag in ("failure", "error")).strip().splitlines()
    lines = [f"{case.get('classname')}.{case.get('name')}"] + said[:FAILURE_LINES]
    return "\n  ".join(line[:FAILURE_WIDTH] for line in lines)


def count_cases(path: Path) -> Count:
    """Counts the test cases of one JUnit file (GoogleTest's, CTest's or pytest's)."""
    count = Count()
    for case in ElementTree.parse(path).getroot().iter("testcase"):
        if case.find("failure") is not None or case.find("error") is not None:
            count.failures.append(failure_of(case))
        elif (case.find("skipped") is not None or case.get("result") == "skipped"
              or case.get("status") in ("disabled", "notrun")):
            count.skipped += 1
        else:
            count.passed += 1
    return count


def count_ctest(report: Path, gtest_directory: Path) -> Count:
    """Counts CTest's entries, each by its GoogleTest cases if it has some.

    An executable that failed without a failed case (it crashed, or a sanitizer spoke at its end) is one failure more.
    """
    count = Count()
    for entry in ElementTree.parse(report).getroot().iter("testcase"):
        failed = entry.get("status") == "fail" or entry.find("failure") is not None
        cases = gtest_directory / f"ziwa_{entry.get('name').replace('/', '_')}_test.xml"
        inner = Count()
        if cases.exists():
            try:
                inner = count_cases(cases)
            except ElementTree.ParseError:  # killed while it wrote
                failed = True
        elif not failed:
            skipped = entry.get("status") in ("notrun", "disabled") or entry.find("skipped") is not None
            inner = Count(skipped=1) if skipped else Count(passed=1)
        if failed and not inner.failures:
            output = entry.findtext("system-out") or ""
            last = "\n  ".join(line[:FAILURE_WIDTH] for line in output.strip().splitlines()[-FAILURE_LINES:])
            inner.failures.append(f"{entry.get('name')}, outside of its test cases; its last lines:\n  {last}")
        count += inner
    return count


def tell(phase: str, count: Count) -> None:
    for failure in count.failures:
        print(f"\nFAILED ({phase}): {failure}", flush=True)


class Run:
    """The phases so far, their times and counts."""

    def __init__(self) -> None:
        self.phases: list[tuple[str, float, Count | None, bool]] = []

    def phase(self, name: str, command: list[str], env: dict[str, str] | None = None) -> int:
        print(f"== {name}", flush=True)
        started = time.monotonic()
        code = subprocess.run(command, cwd=ROOT, env={**os.environ, **(env or {})}, check=False).returncode
        seconds = time.monotonic() - started
        self.phases.append((name, seconds, None, code == 0))
        print(f"== {name}: {'ok' if code == 0 else f'exit code {code}'}, {seconds:.1f} s", flush=True)
        return code

    def counted(self, count: Count, code: int) -> None:
        """Adds counts to the last phase; if it failed without a failed test (a bad option, no tests), that is one."""
        name, seconds, _, ok = self.phases[-1]
        if code != 0 and not count.failures:
            count.failures.append(f"{name}: exit code {code} without a failed test")
        self.phases[-1] = (name, seconds, count, ok)
        tell(name, count)

    def finish(self) -> int:
        total = sum((count for _, _, count, _ in self.phases if count), Count())
        for name, _, count, _ in self.phases:
            if count:
                tell(name, count)
        print("\nphase                        seconds   passed   failed  skipped")
        for name, seconds, count, ok in self.phases:
            numbers = f"{count.passed:9}{count.failed:9}{count.skipped:9}" if count else "" if ok else "   FAILED"
            print(f"{name:26}{seconds:10.1f}{numbers}")
        broken = sum(1 for _, _, count, ok in self.phases if not ok and count is None)
        line = f"{total.passed} passed, {total.failed + broken} failed"
        RESULTS.mkdir(parents=True, exist_ok=True)
        (RESULTS / "summary").write_text(line + "\n")
        print(line, flush=True)
        return 0 if all(ok for *_, ok in self.phases) else 1


def test_targets(preset: str) -> list[str]:
    """The unit test and fuzz executables of a configured build directory: what the sanitizer run needs, and no more."""
    listing = subprocess.run(["ninja", "-C", f"build/{preset}", "-t", "targets", "all"], cwd=ROOT, check=True,
                             capture_output=True, text=True).stdout
    outputs = (line.split(": ") for line in listing.splitlines() if "EXECUTABLE_LINKER" in line)
    return [output for output, *_ in outputs if output.endswith(("_test", "_fuzz"))]


def run_ctest(run: Run, preset: str, name: str, extra: list[str]) -> None:
    directory = RESULTS / preset
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    report = directory / "ctest.junit"
    code = run.phase(name, ["ctest", "--preset", preset, "-j", str(os.cpu_count()), "--no-tests=error",
                            "--output-junit", str(report), *extra],
                     {"GTEST_OUTPUT": f"xml:{directory}/"})
    run.counted(count_ctest(report, directory) if report.exists() else Count(), code)


def main(arguments: list[str]) -> int:
    # A log is read from its end: what went well needs no lines there.
    quiet = ["--", "--quiet"] if os.environ.get("CI") else []
    run = Run()
    run.phase("format", ["tools/lint", "--format"])
    for preset, labels in (("release", []), ("asan", ["-L", "unit|fuzz"])):
        if run.phase(f"configure {preset}", ["cmake", "--preset", preset, "-Wno-dev", "--log-level=WARNING"]) != 0:
            return run.finish()
        targets = test_targets(preset) if preset == "asan" else ["all"]
        if run.phase(f"build {preset}", ["cmake", "--build", "--preset", preset, "--target", *targets, *quiet]) != 0:
            return run.finish()
        run_ctest(run, preset, f"unit tests {preset}", labels)
    report = RESULTS / "pytest.junit"
    report.unlink(missing_ok=True)
    code = run.phase("end to end", [sys.executable, "-m", "pytest", f"--junit-xml={report}", *(arguments or ["tests"])])
    run.counted(count_cases(report) if report.exists() else Count(), code)
    return run.finish()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
