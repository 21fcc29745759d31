"""The Kafka door with Apache's own Java client, which `tools/setup-java` installs."""

import pathlib
import shutil
import subprocess

import pytest

JARS = pathlib.Path.home() / ".cache/ziwa/deps/java"
TOUR = pathlib.Path(__file__).parent / "java/KafkaTour.java"

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.external,
    pytest.mark.skipif(
        shutil.which("java") is None or not list(JARS.glob("kafka-clients-*.jar")),
        reason="tools/setup-java installs the Java client",
    ),
]

STEPS = [
    "topics",
    "produce",
    "consume",
    "offsets",
    "group range",
    "group cooperative",
    "group administration",
    "delete records",
    "refusals",
    "delete topic",
]


def test_the_java_client(make_server):
    server = make_server()
    done = subprocess.run(
        ["java", "-cp", f"{JARS}/*", TOUR, server.kafka],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines() == [f"ok {step}" for step in STEPS]
