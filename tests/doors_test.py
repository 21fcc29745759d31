"""Clients that lie about sizes, send halves, nest deeply or leave: the others are served as before."""

import socket
import struct
import time

import psycopg
import pytest
import requests
from confluent_kafka.admin import AdminClient

pytestmark = pytest.mark.e2e


def alive(server) -> None:
    assert server.sql("SELECT 1") == [(1,)]
    assert server.get("/healthz").status_code == 200
    assert server.process.poll() is None


def post_sql(server, body: str, **options) -> requests.Response:
    options = {"timeout": 30, "headers": {"Content-Type": "application/json"}} | options
    return requests.post(f"http://127.0.0.1:{server.ports['http']}/v1/sql", data=body, **options)


def hung_up(connection: socket.socket, seconds: float) -> bool:
    """Does the server close it within the time?"""
    connection.settimeout(seconds)
    try:
        while connection.recv(65536):
            pass
        return True
    except ConnectionError:
        return True
    except TimeoutError:
        return False


# -- deep JSON


@pytest.mark.parametrize("depth", [65, 30_000, 1_000_000])
def test_a_body_that_nests_deeply(shared_server, depth):
    nested = "[" * depth + "]" * depth
    for body in (
        '{"sql":"SELECT 1","parameters":[' + nested + "]}",
        '{"sql":"SELECT 1","x":' + nested + "}",
        nested,
        "[" * depth,
    ):
        answer = post_sql(shared_server, body)
        assert answer.status_code == 400
        assert "deeper than 64" in answer.json()["message"]
    alive(shared_server)


def test_nested_parameters_still_work(shared_server):
    answer = post_sql(
        shared_server, '{"sql":"SELECT ($1::JSON)->>\'$.a[1]\' AS x","parameters":[{"a":[1,2]}]}'
    )
    assert answer.json()["rows"] == [{"x": "2"}]


# -- memory and half messages of the Kafka door


def test_sizes_that_are_only_announced_keep_nobody_out(shared_server):
    liars = []
    for size in [100 << 20] * 20:
        liar = socket.create_connection(("127.0.0.1", shared_server.ports["kafka"]), timeout=5)
        liar.sendall(struct.pack(">i", size) + b"\x00\x03\x00\x09")
        liars.append(liar)
    try:
        admin = AdminClient({"bootstrap.servers": shared_server.kafka})
        assert admin.list_topics(timeout=10).brokers
        for liar in liars:
            liar.sendall(b"\x00")
        assert AdminClient({"bootstrap.servers": shared_server.kafka}).list_topics(timeout=10).brokers
    finally:
        for liar in liars:
            liar.close()


def test_a_kafka_request_that_drips_is_ended(make_server):
    server = make_server(settings={"kafka.request.timeout": "1s"})
    with socket.create_connection(("127.0.0.1", server.ports["kafka"]), timeout=5) as slow:
        slow.sendall(struct.pack(">i", 1000) + b"\x00\x03")
        slow.settimeout(0.2)
        for _ in range(100):
            try:
                slow.sendall(b"\x00")
                if slow.recv(1) == b"":
                    break
            except TimeoutError:
                continue
            except ConnectionError:
                break
        else:
            raise AssertionError("a request that takes 20 s was not ended")
    assert "kafka.request.timeout" in server.log()
    alive(server)
