#!/usr/bin/env python3
"""Starts the flights project and leaves it running; says where it is and what to try. `make up`."""

import argparse
import json
import os
import pathlib
import shlex
import shutil
import signal
import subprocess
import sys

from server import HERE, SOURCES, environment, produce_command


def start(options: argparse.Namespace) -> subprocess.Popen:
    (HERE / "data").mkdir(exist_ok=True)
    shutil.copy(SOURCES / "airports.csv", HERE / "data")
    command = [options.binary, "up", "--json", "--data", options.data, "--project", str(HERE)]
    for setting in options.set:
        command += ["--set", setting]
    # In a session of its own: Ctrl-C then reaches it once, through us.
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env=environment(), start_new_session=True
    )


def commands(binary: str, addresses: dict[str, str]) -> list[str]:
    """What to try at the doors that are open, in this order."""
    found = []
    if kafka := addresses.get("kafka"):
        # Relative to the checkout and the home directory, to be readable.
        words = produce_command(binary, kafka, SOURCES, "json", seed=1)
        home = str(pathlib.Path.home()) + "/"
        found.append(shlex.join(words).replace(f"--file {home}", "--file ~/"))
    if postgres := addresses.get("postgres"):
        host, port = postgres.rsplit(":", 1)
        query = "SELECT * FROM worst_airports ORDER BY day DESC, place LIMIT 10"
        found.append(f'psql -h {host} -p {port} -c "{query}"')
    if http := addresses.get("http"):
        found.append(f"curl 'http://{http}/v1/routes?origin=ATL&order=departures.desc&limit=3'")
    return found


def say_where(server: subprocess.Popen, options: argparse.Namespace) -> None:
    addresses: dict[str, str] = {}
    for line in server.stdout:
        event = json.loads(line)
        if event["event"] == "door":
            addresses[event["door"]] = f"{event['address']}:{event['port']}"
        if event["event"] != "ready":
            continue
        for door, address in addresses.items():
            print(f"{door:<9} {'http://' if door == 'http' else ''}{address}")
        for door, why in event["blocked"].items():
            print(f"{door:<9} blocked: {why}")
        print(f"data      {options.data}\n\nTry, in another terminal in this directory:\n")
        print("\n".join(f"  {command}\n" for command in commands(options.binary, addresses)))
        print("Ctrl-C stops the server.", flush=True)
        return


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--binary", default="build/release/ziwa")
    parser.add_argument("--data", default=".ziwa")
    parser.add_argument("--set", action="append", default=[], help="name=value: a setting")
    options = parser.parse_args()
    if os.sep not in options.binary:
        options.binary = os.path.join(".", options.binary)
    server = start(options)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: server.poll() is None and server.terminate())
    say_where(server, options)
    code = server.wait()
    if code == 0:
        print("\nstopped")
    return code


if __name__ == "__main__":
    sys.exit(main())
