"""The README and the quick start do what they say: their commands are run as they stand, on free ports."""

import os
import pathlib
import re
import subprocess

import deltalake
import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page: str, section: str) -> list[tuple[str, str]]:
    """(language, text) of the fenced blocks between `## section` and the next heading of that level."""
    text = (ROOT / page).read_text()
    begin = text.index(f"\n## {section}\n")
    end = text.find("\n## ", begin + 1)
    return FENCED.findall(text[begin : end if end > 0 else len(text)])


def run(server, command: str) -> str:
    """Runs a shell command of the manual against this server's ports."""
    for door, port in {"kafka": 9092, "http": 8080, "postgres": 5432}.items():
        command = command.replace(f"localhost:{port}", f"localhost:{server.ports[door]}")
        command = command.replace(f"-p {port}", f"-p {server.ports[door]}")
    environment = os.environ | {"PGPORT": str(server.ports["postgres"])}
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60, env=environment)
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return done.stdout


def test_the_first_look_of_the_readme(server, wait_until):
    session = re.sub(r"\n {4,}", " ", blocks("README.md", "A first look")[0][1])  # a statement's lines, joined
    statements = [line[len("ziwa> ") :] for line in session.splitlines() if line.startswith("ziwa> ")]
    assert len(statements) == 2
    for statement in statements:
        done = server.cli("sql", "--port", str(server.ports["postgres"]), "-c", statement)
        assert done.returncode == 0, done.stderr
    produce, ask, rest = [line[len("$ ") :] for line in session.splitlines() if line.startswith("$ ")][-3:]
    run(server, produce)
    wait_until(lambda: "2026-01-01 10:00:00" in run(server, ask), what="the hit in the view")
    assert '"page":"/"' in run(server, rest).replace(" ", "")


def test_the_quick_start(server, wait_until):
    (_, create), (_, produce), (_, read), (_, keep), (language, _) = blocks(
        "docs/quickstart.md", "Your own server"
    )[1:]
    with server.connect() as connection:
        connection.execute(create)
        run(server, produce)
        insert = re.search(r"`(INSERT INTO payments .*?)`", (ROOT / "docs/quickstart.md").read_text())
        connection.execute(insert.group(1))
        ask, rest = read.strip().splitlines()
        wait_until(lambda: re.search(r"ada +\| +20.00 +\| +2", run(server, ask)), what="the balance")
        assert "ETag:" in run(server, rest)
        connection.execute(keep)
        connection.execute("CALL ziwa.flush('keep')")
        (location,) = connection.execute("SELECT location FROM ziwa.tables").fetchone()
        for name in re.findall(r"`(?:SELECT \* FROM )?(ziwa\.(?!yaml)\w+)`", (ROOT / "docs/quickstart.md").read_text()):
            connection.execute(f"SELECT * FROM {name}").fetchall()
    assert language == "python"
    assert sorted(deltalake.DeltaTable(location).to_pyarrow_table()["id"].to_pylist()) == [1, 2]


def test_every_system_table_can_be_read_whole(server):
    """With one object of each kind: a row narrower than its table once went unnoticed."""
    with server.connect() as connection:
        connection.execute("CREATE TOPIC t (id BIGINT, ts TIMESTAMP, WATERMARK FOR ts AS ts)")
        connection.execute("CREATE TABLE h (id BIGINT, ts TIMESTAMP)")
        connection.execute("CREATE SINK k INTO h FROM t")
        connection.execute(
            "CREATE MATERIALIZED VIEW v AS SELECT window_start, count(*) AS n "
            "FROM tumble(t, ts, INTERVAL 1 MINUTE) GROUP BY ALL"
        )
        connection.execute("INSERT INTO t VALUES (1, TIMESTAMP '2026-01-02'), (2, TIMESTAMP '2026-01-01')")
        names = connection.execute(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = 'ziwa'"
        ).fetchall()
        assert len(names) >= 16
        for (name,) in names:
            connection.execute(f"SELECT * FROM ziwa.{name}").fetchall()
        (view,) = connection.execute("SELECT name, state, query FROM ziwa.views").fetchall()
    assert view[:2] == ("v", "running") and "count" in view[2]


@pytest.mark.parametrize("page", sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("**/*.md")
                                        if not {"build", ".venv"} & set(path.parts)))
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#\s]+)", (ROOT / page).read_text()):
        if "://" not in target:
            assert (ROOT / page).parent.joinpath(target).exists(), f"{page}: {target}"
