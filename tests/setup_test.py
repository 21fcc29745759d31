"""What tools/setup promises before it installs, and what it does with files that are not what they should be."""

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def setup(tmp_path):
    """Runs tools/setup for a home of its own, with an npm that packs nonsense."""
    tools = tmp_path / "bin"
    tools.mkdir()
    npm = tools / "npm"
    npm.write_text('#!/bin/sh\necho "$@" >> "$HOME/npm-calls"\necho nonsense > "$4/package.tgz"\n')
    npm.chmod(0o755)
    home = tmp_path / "home"
    home.mkdir()

    def run(*arguments):
        environment = {**os.environ, "HOME": str(home), "PATH": f"{tools}:{os.environ['PATH']}"}
        return subprocess.run(
            [ROOT / "tools" / "setup", *arguments], env=environment, capture_output=True, text=True, timeout=120
        )

    run.home = home
    return run


def test_the_plan_says_what_how_much_and_how_to_undo_it(setup):
    done = setup("--plan")
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines() if line.startswith("  ")]
    assert {("24", "MB"), ("18", "MB")} <= {(line[0], line[1]) for line in lines}
    total = sum(int(line[0]) for line in lines)
    assert f"at most {total} MB" in done.stdout and "make uninstall" in done.stdout
    assert list(setup.home.iterdir()) == [], "a plan installs nothing"


def test_a_download_with_a_wrong_checksum_is_never_used(setup):
    downloads = setup.home / ".cache" / "ziwa" / "downloads"
    downloads.mkdir(parents=True)
    (downloads / "duckdb-library.tgz").write_bytes(b"cut off")
    done = setup()
    assert done.returncode == 1, done.stdout
    assert "duckdb-library.tgz in ~/.cache/ziwa/downloads has a wrong checksum: fetching it again" in done.stdout
    assert "checksum of @duckdb/node-bindings-linux-x64" in done.stderr and "expected sha512" in done.stderr
    assert "duckdb/node-bindings" in (setup.home / "npm-calls").read_text()
    assert list((setup.home / ".cache" / "ziwa" / "deps").rglob("*.so")) == []
    assert not list((setup.home / ".cache" / "ziwa").glob("scratch.*")), "it cleans up behind itself"


def test_it_goes_on_where_an_earlier_run_ended(setup):
    """What that run has put in place is not fetched again."""
    deps = setup.home / ".cache" / "ziwa" / "deps"
    deps.mkdir(parents=True)
    [duckdb] = (Path.home() / ".cache" / "ziwa" / "deps").glob("duckdb-*")
    (deps / duckdb.name).symlink_to(duckdb)
    done = setup()
    assert done.returncode == 1, "the example's data cannot be had from this npm"
    assert "checksum of vega-datasets" in done.stderr
    assert "duckdb" not in (setup.home / "npm-calls").read_text()
