"""What the end-to-end tests share: a server of their own, on free ports, in a directory that goes away.

`server` is fresh for each test; `shared_server` is one per file, for tests that only need some server. Both fail the
test when the server logged an ERROR or did not stop cleanly. ZIWA_BINARY names another program than build/release/ziwa.
"""

import json
import os
import pathlib
import re
import signal
import subprocess
import threading
import time
from collections.abc import Iterator

import psycopg
import pytest
import requests

ROOT = pathlib.Path(__file__).resolve().parent.parent
START_SECONDS_MAX = 60
STOP_SECONDS_MAX = 30
ERROR_LINE = re.compile(r"^\S+Z error |\"level\":\"error\"", re.MULTILINE)


class Server:
    """One `ziwa up` process. Ports chosen at the first start stay the same across restarts."""

    def __init__(
        self,
        binary: str,
        directory: pathlib.Path,
        settings: dict[str, str] | None = None,
        project: pathlib.Path | None = None,
    ):
        self.binary = binary
        self.directory = directory
        self.data = directory / "data"
        self.log_path = directory / "server.log"
        self.project = project
        self.settings = {
            "doors.kafka.port": "0",
            "doors.postgres.port": "0",
            "doors.http.port": "0",
        } | (settings or {})
        self.ports: dict[str, int] = {}
        self.process: subprocess.Popen | None = None
        self.expected_errors: list[str] = []  # parts of ERROR lines that a test provokes

    def command(self) -> list[str]:
        command = [self.binary, "up", "--json", "--strict", "--data", str(self.data)]
        if self.project:
            command += ["--project", str(self.project)]
        for name, value in self.settings.items():
            command += ["--set", f"{name}={value}"]
        return command

    @staticmethod
    def environment() -> dict[str, str]:
        return {name: value for name, value in os.environ.items() if not name.startswith("ZIWA_")}

    def start(self) -> "Server":
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                self.command(),
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=self.environment(),
            )
        watchdog = threading.Timer(START_SECONDS_MAX, self.process.kill)
        watchdog.start()
        try:
            for line in self.process.stdout:
                event = json.loads(line)
                if event["event"] == "door":
                    self.ports[event["door"]] = event["port"]
                    self.settings[f"doors.{event['door']}.port"] = str(event["port"])
                if event["event"] == "ready":
                    threading.Thread(target=self.process.stdout.read, daemon=True).start()
                    return self
        finally:
            watchdog.cancel()
        raise AssertionError(f"the server did not start:\n{self.log()[-4000:]}")

    def log(self) -> str:
        return self.log_path.read_text() if self.log_path.exists() else ""

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """Ctrl-C; the server must leave with code 0."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGINT)
        try:
            code = self.process.wait(timeout=STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise AssertionError(f"the server does not stop:\n{self.log()[-4000:]}") from None
        assert code == 0, f"the server ended with {code}:\n{self.log()[-4000:]}"

    def restart(self) -> "Server":
        self.stop()
        return self.start()

    def check_log(self) -> None:
        for line in self.log().splitlines():
            if ERROR_LINE.search(line) and not any(part in line for part in self.expected_errors):
                raise AssertionError(f"the server logged an error: {line}")

    def connect(self, **options) -> psycopg.Connection:
        options = {
            "host": "127.0.0.1",
            "port": self.ports["postgres"],
            "user": "test",
            "dbname": "db",
            "autocommit": True,
            "connect_timeout": 10,
        } | options
        return psycopg.connect(**options)

    def sql(self, statement: str, parameters=None) -> list[tuple]:
        """Runs one statement in a connection of its own; its rows, or an empty list."""
        with self.connect() as connection:
            cursor = connection.execute(statement, parameters)
            return cursor.fetchall() if cursor.description else []

    def get(self, path: str, **options) -> requests.Response:
        return requests.get(f"http://127.0.0.1:{self.ports['http']}{path}", timeout=30, **options)

    @property
    def kafka(self) -> str:
        return f"127.0.0.1:{self.ports['kafka']}"

    def cli(self, *arguments: str, **options) -> subprocess.CompletedProcess:
        """Runs `ziwa` with these arguments; `{kafka}`, `{postgres}` and `{http}` in them become ports."""
        command = [
            self.binary,
            *(
                argument.format(**self.ports) if "{" in argument else argument
                for argument in arguments
            ),
        ]
        options = {
            "capture_output": True,
            "text": True,
            "timeout": 120,
            "env": self.environment(),
        } | options
        return subprocess.run(command, **options)


@pytest.fixture(scope="session")
def wait_until():
    """A function that polls until `condition()` is true."""

    def wait(condition, seconds: float = 30, what: str = "the condition") -> None:
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, f"{what} did not come true within {seconds} s"
            time.sleep(0.02)

    return wait


@pytest.fixture(scope="session")
def binary() -> str:
    path = pathlib.Path(os.environ.get("ZIWA_BINARY", ROOT / "build/release/ziwa")).resolve()
    assert path.exists(), f"{path} is not built"
    return str(path)


@pytest.fixture
def make_server(binary: str, tmp_path: pathlib.Path) -> Iterator:
    """A function that starts servers: make_server(settings=..., project=..., name=...)."""
    made: list[Server] = []

    def make(
        settings: dict[str, str] | None = None,
        project: pathlib.Path | None = None,
        name: str = "server",
        start: bool = True,
    ) -> Server:
        directory = tmp_path / name
        directory.mkdir()
        made.append(Server(binary, directory, settings, project))
        return made[-1].start() if start else made[-1]

    yield make
    finish(made)


@pytest.fixture
def server(make_server) -> Server:
    return make_server()


@pytest.fixture(scope="module")
def shared_server(binary: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    one = Server(binary, tmp_path_factory.mktemp("shared"))
    yield one.start()
    finish([one])


def finish(servers: list[Server]) -> None:
    """Stops all, whatever goes wrong with one, then judges them."""
    problems = []
    for one in servers:
        try:
            one.stop()
            one.check_log()
        except AssertionError as error:
            problems.append(str(error))
        finally:
            if one.process and one.process.poll() is None:
                one.kill()
    assert not problems, "\n".join(problems)
