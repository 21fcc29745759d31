"""The flights project on a part of its events, with kills at random moments: the answers must be equal all the same.

`make demo` and `make demo CRASH=1` run the same driver on all three million.
"""

import os
import pathlib
import re
import shlex
import signal
import subprocess
import sys
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "examples/flights"))
import demo  # noqa: E402
import watch  # noqa: E402

BINARY = os.environ.get("ZIWA_BINARY", str(ROOT / "build/release/ziwa"))
EVENTS = 300_000


def run_demo(*arguments: str) -> str:
    # SIGTERM lets it end its processes.
    command = ["timeout", "300", sys.executable, str(ROOT / "examples/flights/demo.py")]
    command += ["--binary", BINARY]
    done = subprocess.run(
        [*command, "--limit", str(EVENTS), *arguments],
        capture_output=True,
        text=True,
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
    kills = re.findall(r"kill -9 with ([\d,]+) of 300,000 events", out)
    # The producer pauses at 210,000 to be measured: it was sending at both.
    assert len(kills) == 2 and all(30_000 < int(n.replace(",", "")) < 210_000 for n in kills)


@pytest.mark.e2e
@pytest.mark.slow
@pytest.mark.parametrize("after_s", [0.5, 4])
def test_an_interrupt_leaves_nothing_behind(tmp_path, after_s: float) -> None:
    command = [sys.executable, str(ROOT / "examples/flights/demo.py"), "--binary", BINARY]
    process = subprocess.Popen(
        [*command, "--seed", "1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"TMPDIR": str(tmp_path)},
    )
    assert process.stdout.readline().startswith("seed ")  # it runs: Python has read its modules
    time.sleep(after_s)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    out, error = process.communicate(timeout=30)
    assert process.returncode == 130, out + error
    assert list(tmp_path.iterdir()) == []
    assert (
        str(tmp_path)
        not in subprocess.run(["ps", "-eo", "args"], capture_output=True).stdout.decode()
    )


@pytest.mark.e2e
def test_what_up_tells_to_try_works(tmp_path) -> None:
    command = [sys.executable, str(ROOT / "examples/flights/up.py"), "--binary", BINARY]
    command += ["--data", str(tmp_path / "data")]
    for door in ("kafka", "postgres", "http"):
        command += ["--set", f"doors.{door}.port=0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    told = []
    while "Ctrl-C" not in (line := process.stdout.readline()):
        assert line, told
        told.append(line.rstrip("\n"))
    produce, psql, curl = [line for line in told if line.startswith("  ")]

    def shell(line: str) -> str:
        done = subprocess.run(
            ["bash", "-c", line], capture_output=True, text=True, cwd=ROOT, timeout=120
        )
        assert done.returncode == 0, (line, done.stderr)
        return done.stdout

    assert "30,000 records" in shell(f"{produce} --limit 30000")
    assert "10 rows" in shell(psql)
    assert '"origin":"ATL"' in shell(curl)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == 0
    assert [word for word in shlex.split(produce) if "~" in word or "flights-3m" in word]


@pytest.mark.unit
def test_the_number_of_an_avro_record() -> None:
    for encoded, number in [("0200", 0), ("0202", 1), ("028101", -65), ("028080808010ff", 2**31)]:
        assert demo.avro_seq(bytes.fromhex(encoded)) == number
    with pytest.raises(demo.Failure):
        demo.avro_seq(b"\x00")


class Answers:
    """Stands for a server whose views hold these answers."""

    running = staticmethod(lambda: True)


def check(*answers: tuple[int, ...]) -> None:
    watcher = watch.Watcher(Answers)
    watcher._looks = [(0, time.monotonic())]
    for answer in answers:
        watcher._check(answer)
    assert watcher.answers == len(answers)


@pytest.mark.unit
def test_the_watcher_sees_views_that_disagree() -> None:
    check((1, 100, 90, 90), (2, 200, 180, 180, 199, 1))
    for answers in [
        [(1, 100, 90, 91)],  # the join lost or repeated an event
        [(1, 100, 90, 90, 99, 0)],  # neither in an hour nor late
        [(1, 100, 90, 90, 100, 1)],  # both
        [(2, 200, 90, 90), (1, 100, 90, 90)],  # back in time
        [(2, 200, 90, 90), (3, 100, 90, 90)],  # lost events
    ]:
        with pytest.raises(demo.Failure):
            check(*answers)


@pytest.mark.unit
def test_the_end_of_the_topic_never_goes_back() -> None:
    ends = iter([100, 100, 200, 150])
    server = Answers()
    server.rows = lambda _: [(next(ends),)]
    watcher = watch.Watcher(server)
    for moment in (1.0, 2.0, 3.0):
        watcher._look(moment)
    assert watcher._looks == [(100, 2.0), (200, 3.0)]
    with pytest.raises(demo.Failure):
        watcher._look(4.0)


def judge_cpu(tmp_path, first: float, last: list[float], mean: float) -> list[tuple]:
    """CPU in us per event of the windows."""
    job = demo.Demo(BINARY, tmp_path / str(time.monotonic_ns()))
    ns = [0, int(first * job.small * 1000)]
    end = int(mean * job.events * 1000)
    spent = [int(us * job.small * 1000) for us in last]
    clock = end - sum(spent)
    ns.append(clock)
    for one in spent:
        clock += one
        ns.append(clock)
    job.tell_cpu(ns, 0)
    return job.figures


@pytest.mark.unit
def test_cpu_that_grows_with_the_events_fails(tmp_path) -> None:
    figures = judge_cpu(tmp_path, first=4, last=[5, 4.5, 9], mean=3)
    assert [figure[3] for figure in figures] == ["", "reached", "reached"]
    assert "4.00 us" in figures[0][1] and "5.00, 4.50, 9.00 us: 1.12x" in figures[1][1]
    assert "3.00 us: 0.75x" in figures[2][1]
    for last, mean in [([400, 400, 400], 3), ([9, 9, 9], 3), ([4, 4, 4], 9)]:
        with pytest.raises(demo.Failure, match="CPU per event grew"):
            judge_cpu(tmp_path, first=4, last=last, mean=mean)
