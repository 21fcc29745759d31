"""Applying a project to a running server: files, refusals, and kill -9 at random moments."""

import json
import pathlib
import random
import subprocess
import threading
import time

import pytest


def write(project: pathlib.Path, **files: str) -> pathlib.Path:
    project.mkdir(exist_ok=True)
    (project / "ziwa.yaml").write_text("name: shop\n")
    for old in project.glob("*.sql"):
        old.unlink()
    for name, text in files.items():
        (project / name.replace("__", ".")).write_text(text)
    return project


def apply(server, project, *options: str) -> subprocess.CompletedProcess:
    return server.cli("apply", "--port", "{postgres}", "--project", str(project), *options)


def test_a_server_that_does_not_know_the_project_reads_its_files(server, tmp_path):
    project = write(
        tmp_path / "p", a__sql="CREATE TABLE d (a INT) WITH (file = 'd.csv');", d__csv="a\n1\n"
    )
    done = apply(server, project)
    assert done.returncode == 0, done.stderr
    assert server.sql("SELECT a FROM d") == [(1,)]
    (project / "d.csv").write_text("a\n1\nx\n")
    done = apply(server, project)
    assert done.returncode == 1
    assert "a.sql:1: d.csv, line 3" in done.stderr and "{" not in done.stderr
    assert server.sql("SELECT a FROM d") == [(1,)]
    (tmp_path / "secret.csv").write_text("a\n1\n")
    write(project, a__sql="CREATE TABLE s AS SELECT * FROM '../secret.csv';")
    done = apply(server, project, "--allow-drop")
    assert done.returncode == 1 and "outside of the project" in done.stderr
    assert server.sql("SELECT a FROM d") == [(1,)]


def test_files_whose_columns_change_kill_nobody(server, tmp_path):
    project = write(
        tmp_path / "p",
        a__sql="CREATE TABLE d WITH (file = 'd.csv') AS SELECT * FROM read_csv('d.csv');"
        "CREATE TABLE e (a INT, b VARCHAR) WITH (file = 'd.csv');",
        d__csv="a,b\n1,x\n",
    )
    assert apply(server, project).returncode == 0
    (project / "d.csv").write_text("a,b,c\n1.5,x,y\n")
    done = apply(server, project)
    assert done.returncode == 1 and 'column "c"' in done.stderr
    write(project, a__sql="CREATE TABLE d WITH (file = 'd.csv') AS SELECT * FROM read_csv('d.csv');")
    done = apply(server, project, "--allow-drop", "--json")
    assert done.returncode == 0, done.stderr
    changes = [json.loads(line) for line in done.stdout.splitlines()]
    assert {"action": "recreate", "name": "public.d"}.items() <= changes[-1].items()
    assert server.sql("SELECT * FROM d") == [(1.5, "x", "y")]


OLD = {
    "a__sql": "CREATE MATERIALIZED VIEW per_item AS SELECT item, count(*) AS n FROM sales GROUP BY item;"
    "CREATE SINK keep INTO kept FROM sales; CREATE MATERIALIZED VIEW gone AS SELECT name FROM items;",
    "b__sql": "CREATE TOPIC sales (item INT); CREATE TABLE kept (item INT);"
    "CREATE TABLE items (item INT, name VARCHAR) WITH (file = 'items.csv');"
    "CREATE TABLE more (item INT, name VARCHAR) WITH (file = 'more.csv');",
    "items__csv": "item,name\n" + "".join(f"{i},old\n" for i in range(100)),
    "more__csv": "item,name\n1,old\n",
}
NEW = {
    "a__sql": "CREATE MATERIALIZED VIEW per_item AS SELECT item, count(*) AS n FROM sales GROUP BY item;"
    "CREATE SINK keep INTO kept FROM sales;",
    "b__sql": "CREATE TOPIC sales (item INT) WITH (partitions = 2); CREATE TABLE kept (item INT);"
    "CREATE TABLE items (item INT, name VARCHAR) WITH (file = 'items.csv');"
    "CREATE TABLE more (item INT, name VARCHAR) WITH (file = 'more.csv');"
    "CREATE TABLE fresh AS SELECT count(*) AS n FROM items;",
    "items__csv": "item,name\n" + "".join(f"{i},new\n" for i in range(50)),
    "more__csv": "item,name\n1,new\n2,new\n",
}


def state(server) -> dict:
    objects = server.sql("SELECT kind, name, sql FROM ziwa.objects ORDER BY name")
    names = {name for _, name, _ in objects}
    return {
        "objects": objects,
        "items": server.sql("SELECT name, count(*) FROM items GROUP BY name"),
        "more": server.sql("SELECT name, count(*) FROM more GROUP BY name"),
        "fresh": server.sql("SELECT n FROM fresh") if "fresh" in names else None,
        "sales": server.sql("SELECT count(*) FROM sales"),
        "tables": sum(1 for kind, _, _ in objects if kind == "table"),
    }


@pytest.mark.crash
@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_a_killed_apply_is_all_or_nothing(make_server, tmp_path, seed):
    rng = random.Random(seed)
    server = make_server()
    project = tmp_path / "p"
    states = {}
    for name, version in (("old", OLD), ("new", NEW)):
        write(project, **version)
        began = time.monotonic()
        done = apply(server, project, "--allow-drop")
        assert done.returncode == 0, done.stderr
        took = time.monotonic() - began
        states[name] = state(server)
    now = "new"
    seen = set()
    for _ in range(4):
        goal = "old" if now == "new" else "new"
        write(project, **(OLD if goal == "old" else NEW))
        pause = rng.uniform(0, 1.2 * took)
        killer = threading.Timer(pause, server.kill)
        killer.start()
        apply(server, project, "--allow-drop")
        killer.join()
        server.start()
        after = state(server)
        assert after in states.values(), f"killed after {pause:.3f} s: neither old nor new: {after}"
        now = "old" if after == states["old"] else "new"
        seen.add(now == goal)
        lake = [entry for entry in (server.data / "lake").iterdir() if entry.name.isdigit()]
        assert len(lake) == after["tables"], "a table's directory that nobody knows stays"
    assert apply(server, project, "--allow-drop").returncode == 0
    assert state(server) == states[goal]
