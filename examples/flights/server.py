"""A server of its own for the demo, `make up` and bench/flights_bench.py."""

import json
import os
import pathlib
import subprocess
import threading
import time
import urllib.error
import urllib.request

import psycopg

HERE = pathlib.Path(__file__).resolve().parent
SOURCES = pathlib.Path.home() / ".cache/ziwa/deps/vega-datasets-3.2.1"
START_SECONDS_MAX = 120
STOP_SECONDS_MAX = 60
CATCH_UP_SECONDS_MAX = 120
QUIET_SECONDS_MAX = 10
QUIET_TICK_S = 0.2
QUIET_SHARE = 0.05  # of a core


class Failure(Exception):
    """Something is not as it has to be."""


def require(condition: bool, message: str) -> None:
    if not condition:
        raise Failure(message)


def produce_command(
    binary: str, kafka: str, sources: pathlib.Path, record_format: str, seed: int
) -> list[str]:
    """Sends the flights in event-time order, most within 10 minutes, 0.1 % days too late."""
    options = {
        "--kafka": kafka,
        "--file": str(sources / "flights-3m.parquet"),
        "--format": record_format,
        "--key": "origin",
        "--rename": "date=time",
        "--seq": "seq",
        "--order-by": "time",
        "--disorder": "10min",
        "--late-fraction": "0.001",
        "--late-by": "3d",
        "--seed": str(seed),
    }
    return [binary, "produce", "flights", *(word for pair in options.items() for word in pair)]


def environment() -> dict[str, str]:
    """Without settings for a server that somebody else runs here."""
    return {name: value for name, value in os.environ.items() if not name.startswith("ZIWA_")}


class Server:
    """One `ziwa up` process on free ports that stay the same across restarts."""

    def __init__(self, binary: str, data: pathlib.Path, project: pathlib.Path):
        self.binary, self.data, self.project = binary, data, project
        self.ports: dict[str, int] = {"kafka": 0, "postgres": 0, "http": 0}
        self.process: subprocess.Popen | None = None
        self.log_path = data.parent / "server.log"
        self._cpu_ns = 0  # of processes that are gone, their start-up left out
        self._start_up_ns = 0  # of this one
        self._peak_mib = 0  # of processes that are gone
        self._local = threading.local()

    def start(self) -> float:
        """Seconds until the doors answer."""
        begin = time.monotonic()
        command = [self.binary, "up", "--json", "--strict"]
        command += ["--data", str(self.data), "--project", str(self.project)]
        for door, port in self.ports.items():
            command += ["--set", f"doors.{door}.port={port}"]
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=log, text=True, env=environment()
            )
        watchdog = threading.Timer(START_SECONDS_MAX, self.process.kill)
        watchdog.start()
        try:
            for line in self.process.stdout:
                event = json.loads(line)
                if event["event"] == "door":
                    self.ports[event["door"]] = int(event["port"])
                if event["event"] == "ready":
                    seconds = time.monotonic() - begin
                    self._start_up_ns = self._process_ns()
                    return seconds
        finally:
            watchdog.cancel()
        self.process.wait()
        told = self.log_path.read_text().strip().splitlines()[-1:]
        raise Failure(f"the server did not start: {' '.join(told)} (see {self.log_path})")

    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def kill(self) -> None:
        """As a power cut of the process: no chance to say goodbye."""
        self._forget_process()
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def stop(self) -> None:
        require(self.running(), f"the server is gone (see {self.log_path})")
        self._forget_process()
        self.process.terminate()
        require(self.process.wait(STOP_SECONDS_MAX) == 0, "the server did not stop cleanly")
        self.process.stdout.close()

    def _process_ns(self) -> int:
        # The kernel's CPU clock of another process: all its threads, also those that ended.
        return time.clock_gettime_ns(((~self.process.pid) << 3) | 2)

    def _forget_process(self) -> None:
        if self.running():
            self._cpu_ns, self._peak_mib = self.cpu_ns(), self.peak_mib()
            self._start_up_ns = self._process_ns()

    def cpu_ns(self) -> int:
        """CPU time that the server has used, of all its processes, without their start-up."""
        return self._cpu_ns + self._process_ns() - self._start_up_ns

    def wait_until_quiet(self) -> None:
        """Until it does next to nothing, in the background neither (or for QUIET_SECONDS_MAX)."""
        end = time.monotonic() + QUIET_SECONDS_MAX
        used, before = 1.0, self.cpu_ns()
        while used > QUIET_SHARE and time.monotonic() < end:
            time.sleep(QUIET_TICK_S)
            now = self.cpu_ns()
            used, before = (now - before) / 1e9 / QUIET_TICK_S, now

    def wait_for_views(self) -> None:
        """Until readers see what the topics have now."""
        end = self.rows("SELECT journal FROM ziwa.epoch")[0][0]
        self.rows(f"CALL ziwa.wait({end}, {CATCH_UP_SECONDS_MAX * 1000})")

    def settle(self) -> int:
        """The CPU clock when everything is done, also what it puts off."""
        self.rows("CALL ziwa.checkpoint()")
        self.wait_until_quiet()
        return self.cpu_ns()

    def peak_mib(self) -> int:
        """Memory, of the greatest of its processes."""
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return max(self._peak_mib, int(status.split("VmHWM:")[1].split()[0]) // 1024)

    def address(self, door: str) -> str:
        return f"127.0.0.1:{self.ports[door]}"

    def connect(self) -> psycopg.Connection:
        return psycopg.connect(
            host="127.0.0.1",
            port=self.ports["postgres"],
            user="demo",
            dbname="db",
            autocommit=True,
            connect_timeout=30,
        )

    def rows(self, statement: str) -> list[tuple]:
        """Through a connection of this thread's own to the process that runs now."""
        local = self._local
        if getattr(local, "process", None) is not self.process or local.connection.closed:
            local.process, local.connection = self.process, self.connect()
        try:
            cursor = local.connection.execute(statement)
            return cursor.fetchall() if cursor.description else []
        except psycopg.OperationalError:
            local.connection.close()
            raise

    def csv(self, statement: str) -> str:
        """What `ziwa sql` prints."""
        done = subprocess.run(
            [self.binary, "sql", "--port", str(self.ports["postgres"]), "--csv", "-c", statement],
            capture_output=True,
            text=True,
            env=environment(),
        )
        require(done.returncode == 0, f"{statement}: {done.stderr.strip()}")
        return done.stdout

    def http(self, path: str, if_none_match: str = ""):
        """The answer, also when it is an error or 304."""
        headers = {"If-None-Match": if_none_match} if if_none_match else {}
        request = urllib.request.Request(f"http://{self.address('http')}{path}", headers=headers)
        try:
            return urllib.request.urlopen(request, timeout=30)
        except urllib.error.HTTPError as answer:
            return answer
