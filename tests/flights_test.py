"""The flights project on a part of its events, with kills at random moments: the answers must be equal all the same.

`make demo` and `make demo CRASH=1` run the same driver on all three million.
"""

import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
BINARY = os.environ.get("ZIWA_BINARY", str(ROOT / "build/release/ziwa"))
EVENTS = 300_000


def run_demo(*arguments: str) -> str:
    command = [sys.executable, str(ROOT / "examples/flights/demo.py"), "--binary", BINARY]
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("ZIWA_")
    }
    done = subprocess.run(
        [*command, "--limit", str(EVENTS), *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        env=environment,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    return done.stdout


@pytest.mark.e2e
@pytest.mark.slow
@pytest.mark.parametrize("record_format", ["json", "avro"])
def test_all_answers_are_equal(record_format: str) -> None:
    out = run_demo("--seed", "7", "--format", record_format)
    assert out.count("equal") >= 8  # topic, table, four views, late rows, and the closing line


@pytest.mark.crash
@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_answers_are_equal_after_two_kills(seed: int) -> None:
    out = run_demo("--crash", "--seed", str(seed))
    assert out.count("kill -9 at") == 2
