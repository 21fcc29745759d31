"""What psql's backslash commands and drivers ask pg_catalog, asked by psql and in the words of the drivers."""

import subprocess

import psycopg
import pytest

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def server(shared_server):
    shared_server.sql(
        "CREATE TOPIC clicks (page VARCHAR NOT NULL, price DECIMAL(10, 2), tags VARCHAR[], at TIMESTAMP)"
    )
    shared_server.sql("CREATE TABLE orders (id BIGINT, note VARCHAR)")
    shared_server.sql("CREATE TABLE other.orders (id BIGINT)")
    shared_server.sql(
        "CREATE MATERIALIZED VIEW per_page AS SELECT page, count(*) AS n FROM clicks GROUP BY page"
    )
    return shared_server


def psql(server, command: str, *options: str) -> str:
    """What psql prints; an error of any of its statements fails the test."""
    arguments = ["-X", "-h", "127.0.0.1", "-p", str(server.ports["postgres"]), "-U", "me"]
    done = subprocess.run(
        ["psql", *arguments, "-d", "db", *options, "-c", command],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "ERROR" not in done.stderr, f"{command}: {done.stderr}"
    return done.stdout


def rows(server, command: str) -> list[list[str]]:
    return [line.split("|") for line in psql(server, command, "-At").splitlines()]


def test_lists_of_relations(server):
    clicks = ["public", "clicks", "table", "ziwa"]
    orders = ["public", "orders", "table", "ziwa"]
    view = ["public", "per_page", "materialized view", "ziwa"]
    assert rows(server, "\\d") == [clicks, orders, view]
    assert rows(server, "\\dt") == [clicks, orders]
    assert rows(server, "\\dm") == [view]
    assert rows(server, "\\dt *.orders") == [["other", "orders", "table", "ziwa"], orders]
    assert ["ziwa", "views", "view", "ziwa"] in rows(server, "\\dv ziwa.*")
    assert [row[1:3] + row[-1:] for row in rows(server, "\\dt+")] == [
        ["clicks", "table", "topic"],
        ["orders", "table", "table"],
    ]


def test_description_of_a_relation(server):
    shown = psql(server, "\\d clicks")
    assert 'Table "public.clicks"' in shown
    lines = [[cell.strip() for cell in line.split("|")] for line in shown.splitlines()]
    assert ["page", "text", "", "not null", ""] in lines
    assert ["price", "numeric(10,2)", "", "", ""] in lines
    assert ["tags", "text[]", "", "", ""] in lines
    assert ["at", "timestamp without time zone", "", "", ""] in lines
    assert 'Materialized view "public.per_page"' in psql(server, "\\d per_page")
    assert "count(*)" in psql(server, "\\d+ per_page")
    assert 'View "ziwa.topics"' in psql(server, "\\d ziwa.topics")
    assert 'Did not find any relation named "nowhere"' in psql_error(server, "\\d nowhere")


def psql_error(server, command: str) -> str:
    arguments = ["-X", "-h", "127.0.0.1", "-p", str(server.ports["postgres"]), "-d", "db"]
    return subprocess.run(
        ["psql", *arguments, "-c", command], capture_output=True, text=True, timeout=60
    ).stderr


@pytest.mark.parametrize(
    "command,part",
    [
        ("\\l", "db|ziwa|UTF8"),
        ("\\dn", "public|ziwa"),
        ("\\du", "ziwa|Superuser"),
        ("\\df lower", "pg_catalog|lower|varchar"),
        ("\\d public.*", "Table"),
        ("\\dT int*", "integer"),
        ("\\db", "pg_default"),
    ],
)
def test_other_lists(server, command, part):
    assert part in psql(server, command, "-At") or part in psql(server, command)


@pytest.mark.parametrize(
    "command",
    "\\dv|\\di|\\ds|\\df|\\dn+|\\l+|\\dS|\\dp|\\dx|\\dT|\\d+|\\dy|\\dRp|\\des|\\ddp|\\dc|\\dO|\\dL".split("|"),
)
def test_commands_that_find_nothing_or_much_do_not_fail(server, command):
    psql(server, command)


def test_gdesc(server):
    done = subprocess.run(
        ["psql", "-XAt", "-h", "127.0.0.1", "-p", str(server.ports["postgres"]), "-d", "db"],
        input="SELECT 1 AS a, 'x' AS b, CAST(1.5 AS DECIMAL(5, 2)) AS c \\gdesc\n",
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.stdout, done.stderr) == ("a|integer\nb|text\nc|numeric(5,2)\n", "")


def test_who_and_what(server):
    with server.connect(user="amina") as connection:
        version, *users = connection.execute(
            "SELECT version(), current_user, session_user, user"
        ).fetchone()
    assert version.startswith("PostgreSQL 15.0 (Ziwa ")
    assert users == ["amina"] * 3


def test_information_schema_has_the_kinds(server):
    kinds = server.sql(
        "SELECT table_schema, table_name, table_type FROM information_schema.tables "
        "WHERE table_schema IN ('public', 'other') OR table_name = 'topics' ORDER BY ALL"
    )
    assert kinds == [
        ("other", "orders", "BASE TABLE"),
        ("public", "clicks", "BASE TABLE"),
        ("public", "orders", "BASE TABLE"),
        ("public", "per_page", "VIEW"),
        ("ziwa", "topics", "VIEW"),
    ]


def test_numbers_of_relations_stay_when_others_are_made(server):
    query = "SELECT oid FROM pg_class WHERE relname = 'clicks'"
    before = server.sql(query)
    server.sql("CREATE TABLE made_later (a INTEGER)")
    assert server.sql(query) == before
    server.sql("DROP TABLE made_later")


def test_sqlalchemy_connects(server):
    """What its psycopg dialect sends when an engine connects the first time, and its look for tables."""
    with server.connect(autocommit=False) as connection:
        version = connection.execute("select pg_catalog.version()").fetchone()[0]
        assert version.startswith("PostgreSQL 15.0")
        assert connection.execute("select current_schema()").fetchone() == ("public",)
        assert connection.execute("show standard_conforming_strings").fetchone() == ("on",)
        assert connection.execute("show transaction isolation level").fetchone()
        assert psycopg.types.TypeInfo.fetch(connection, "hstore") is None
        assert psycopg.types.TypeInfo.fetch(connection, "numeric").oid == 1700
        found = connection.execute(
            "SELECT pg_catalog.pg_class.relname FROM pg_catalog.pg_class JOIN pg_catalog.pg_namespace "
            "ON pg_catalog.pg_namespace.oid = pg_catalog.pg_class.relnamespace "
            "WHERE pg_catalog.pg_class.relname = %(table)s "
            "AND pg_catalog.pg_class.relkind = ANY (ARRAY['r', 'p', 'f', 'v', 'm']) "
            "AND pg_catalog.pg_table_is_visible(pg_catalog.pg_class.oid) "
            "AND pg_catalog.pg_namespace.nspname != 'pg_catalog'",
            {"table": "clicks"},
        )
        assert found.fetchall() == [("clicks",)]
        connection.rollback()


def test_first_statements_of_jdbc_and_dbeaver(server):
    with server.connect() as connection:
        for statement in [
            "SET extra_float_digits = 3",
            "SET application_name = 'PostgreSQL JDBC Driver'",
            "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE",
        ]:
            connection.execute(statement)
        assert connection.execute("SHOW search_path").fetchone() == ("public",)
        assert connection.execute("SELECT current_schema(), session_user").fetchone()[0] == "public"
        databases = connection.execute("SELECT db.oid, db.* FROM pg_catalog.pg_database db")
        assert databases.fetchone()[2] == "db"
        described = connection.execute(
            "SELECT n.oid, n.*, d.description FROM pg_catalog.pg_namespace n LEFT OUTER JOIN "
            "pg_catalog.pg_description d ON d.objoid = n.oid AND d.objsubid = 0 AND "
            "d.classoid = 'pg_namespace'::regclass ORDER BY nspname"
        )
        assert "public" in [row[2] for row in described]
        columns = connection.execute(
            "SELECT attname, format_type(atttypid, atttypmod), attnotnull FROM pg_attribute "
            "WHERE attrelid = 'public.clicks'::regclass AND attnum > 0 AND NOT attisdropped "
            "ORDER BY attnum"
        )
        assert columns.fetchall()[:2] == [("page", "text", True), ("price", "numeric(10,2)", False)]
        names = connection.execute("SELECT oid::regclass FROM pg_class WHERE relname = 'orders'")
        assert sorted(names.fetchall()) == [("orders",), ("other.orders",)]
        connection.execute("SELECT typinput = 'array_in'::regproc, typtype FROM pg_type")
