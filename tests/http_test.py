"""The HTTP door with requests and curl."""

import json
import subprocess
import time

import pytest
import requests

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def api(shared_server, wait_until):
    """A topic with a view over it, and a table."""
    shared_server.sql("CREATE TOPIC orders (id BIGINT, customer VARCHAR, amount DOUBLE)")
    shared_server.sql(
        "CREATE MATERIALIZED VIEW totals AS SELECT customer, count(*) AS orders, sum(amount) AS amount "
        "FROM orders GROUP BY customer"
    )
    shared_server.sql("INSERT INTO orders SELECT i, 'c' || (i % 5), i FROM range(100) t(i)")
    shared_server.sql("CREATE TABLE cities (name VARCHAR, people BIGINT, founded DATE)")
    shared_server.sql(
        "INSERT INTO cities VALUES ('Kisumu', 397957, DATE '1901-12-20'), ('Mwanza', 1104521, NULL), "
        "('O''Hare \"x\"', NULL, NULL)"
    )
    wait_until(
        lambda: rows(shared_server, "/v1/totals?select=orders") == [{"orders": 20}] * 5,
        what="the view",
    )
    return shared_server


def rows(server, path: str):
    answer = server.get(path)
    assert answer.status_code == 200, answer.text
    return answer.json()["rows"]


def post_sql(server, body: dict) -> requests.Response:
    url = f"http://127.0.0.1:{server.ports['http']}/v1/sql"
    return requests.post(url, json=body, timeout=30)


# -- reading


def test_a_view_by_key(api):
    assert rows(api, "/v1/totals?customer=c3") == [
        {"customer": "c3", "orders": 20, "amount": 1010.0}
    ]
    assert rows(api, "/v1/public/totals?customer=c3&select=orders") == [{"orders": 20}]
    assert rows(api, "/v1/totals?customer=nobody") == []


def test_filters(api):
    assert [r["name"] for r in rows(api, "/v1/cities?people=gte.500000")] == ["Mwanza"]
    assert [r["name"] for r in rows(api, "/v1/cities?founded=1901-12-20")] == ["Kisumu"]
    assert [r["name"] for r in rows(api, "/v1/cities?people=is.null")] == ['O\'Hare "x"']
    assert [r["name"] for r in rows(api, "/v1/cities?name=in.(Kisumu,Mwanza)&order=name.desc")] == [
        "Mwanza",
        "Kisumu",
    ]
    assert [r["name"] for r in rows(api, "/v1/cities?name=like.K%25")] == ["Kisumu"]
    assert [r["name"] for r in rows(api, "/v1/cities?name=not.eq.Kisumu&people=not.is.null")] == [
        "Mwanza"
    ]
    assert rows(api, "/v1/cities?name=O%27Hare%20%22x%22&select=people") == [{"people": None}]


def test_pages_by_cursor_give_every_row_once(api):
    seen, path = [], "/v1/totals?limit=2&order=amount.desc"
    while path:
        answer = api.get(path)
        seen += answer.json()["rows"]
        link = answer.links.get("next")
        path = link["url"] if link else None
    assert [r["customer"] for r in seen] == ["c4", "c3", "c2", "c1", "c0"]


def test_limit_and_offset(api):
    assert [r["customer"] for r in rows(api, "/v1/totals?limit=2&offset=1")] == ["c1", "c2"]


@pytest.fixture(scope="module")
def exact(shared_server):
    shared_server.sql(
        "CREATE TABLE exact (a BIGINT, h HUGEINT, u UTINYINT, d DECIMAL(9,2), t DATE, bl BLOB)"
    )
    shared_server.sql(
        "INSERT INTO exact VALUES (1, 1, 1, 1.20, DATE '2026-01-01', '\\x00\\xFF'::BLOB), "
        "(2, 99999999999999999999999999999999999999, 255, 2.00, DATE '2026-01-02', '\\x00ff'::BLOB), "
        "(3, -3, 0, -0.01, DATE '2026-01-03', 'abc'::BLOB), (NULL, NULL, NULL, NULL, NULL, NULL)"
    )
    return shared_server


FILTERS = [
    ("a=1.5", []),
    ("a=2.0", [2]),
    ("a=neq.1.5", [1, 2, 3]),
    ("a=not.eq.1.5", [1, 2, 3]),
    ("a=gt.1.5", [2, 3]),
    ("a=gte.2.4", [3]),
    ("a=lt.2.4", [1, 2]),
    ("a=not.gt.1.5", [1]),
    ("a=in.(1.5,2,3.2)", [2]),
    ("a=not.in.(1.5,2.5)", [1, 2, 3]),
    ("a=lt.1e30", [1, 2, 3]),
    ("a=gt.1e30", []),
    ("a=gt.1.5&u=lt.300", [2, 3]),
    ("h=gt.99999999999999999999999999999999999998.5", [2]),
    ("h=1.4", []),
    ("u=gt.-1", [1, 2, 3]),
    ("u=300", []),
    ("d=1.204", []),
    ("d=1.2", [1]),
    ("d=gt.1.999", [2]),
    ("d=lt.-0.001", [3]),
    ("bl=%5Cx00ff", [1]),
    ("bl=eq.%5Cx006666", [2]),
    ("bl=eq.abc", [3]),
]


@pytest.mark.parametrize("filters, found", FILTERS, ids=[filters for filters, _ in FILTERS])
def test_filters_compare_exactly(exact, filters, found):
    assert [r["a"] for r in rows(exact, f"/v1/exact?{filters}&order=a")] == found


def test_what_is_no_value_is_refused(exact):
    for filters in ["a=x", "a=in.(1,x)", "d=1.2.3", "t=2026-01-02 10:00:00", "bl=%5Cx0"]:
        answer = exact.get(f"/v1/exact?{filters}")
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_argument"), filters


def test_a_blob_of_an_answer_can_be_sent_back(exact):
    for row in rows(exact, "/v1/exact?a=not.is.null"):
        found = rows(exact, f"/v1/exact?bl=eq.{row['bl']}")
        assert [r["a"] for r in found] == [row["a"]]
        sent = post_sql(exact, {"sql": "SELECT a FROM exact WHERE bl = $1", "parameters": [row["bl"]]})
        assert sent.json()["rows"] == [{"a": row["a"]}]


def test_without_a_key_an_answer_says_that_there_is_more(api, exact):
    api.sql("CREATE MATERIALIZED VIEW every AS SELECT id FROM orders WHERE id < 10")
    for path, count in [("every", 10), ("exact", 4), ("orders", 100), ("ziwa/settings", 20)]:
        cut = api.get(f"/v1/{path}?limit=3")
        assert len(cut.json()["rows"]) == 3
        assert cut.json()["more"] is True and "next" not in cut.json() and "Link" not in cut.headers
        if count > 20:
            continue
        whole = api.get(f"/v1/{path}?limit={count}").json()
        assert path == "ziwa/settings" or whole.keys() == {"rows"} and len(whole["rows"]) == count
    assert api.get("/v1/every?limit=3&offset=7").json().keys() == {"rows"}
    assert api.get("/v1/every?limit=0").json() == {"rows": []}
    assert "more" not in api.get("/v1/totals?limit=2").json()


def test_injection_finds_nothing(api):
    for path in [
        "/v1/cities?name=x'%20OR%20'1'='1",
        "/v1/cities?name=eq.'%3B%20DROP%20TABLE%20cities%3B--",
    ]:
        assert rows(api, path) == []
    for path in [
        "/v1/cities%22%3B%20DROP%20TABLE%20cities%3B--",
        "/v1/cities?select=name%22%20FROM%20x--",
        "/v1/cities?order=name%3BDROP",
        "/v1/cities?1%3D1=1",
    ]:
        assert api.get(path).status_code in (400, 404), path
    assert len(rows(api, "/v1/cities")) == 3


def test_system_tables(api):
    assert [r["name"] for r in rows(api, "/v1/ziwa/views?select=name&name=totals")] == ["totals"]


# -- versions


def test_etag_changes_only_when_the_view_does(api, wait_until):
    first = api.get("/v1/totals")
    etag = first.headers["ETag"]
    assert first.headers["Ziwa-Epoch"].isdigit()
    again = api.get("/v1/totals", headers={"If-None-Match": etag})
    assert (again.status_code, again.text, again.headers["ETag"]) == (304, "", etag)
    api.sql("INSERT INTO cities VALUES ('Entebbe', 69958, NULL)")  # not what the view reads
    time.sleep(0.2)
    assert api.get("/v1/totals", headers={"If-None-Match": etag}).status_code == 304
    api.sql("INSERT INTO orders VALUES (1000, 'c9', 1)")
    wait_until(
        lambda: api.get("/v1/totals", headers={"If-None-Match": etag}).status_code == 200,
        what="a new ETag",
    )
    fresh = api.get("/v1/totals", headers={"If-None-Match": etag})
    assert fresh.headers["ETag"] != etag
    assert len(fresh.json()["rows"]) == 6


@pytest.mark.parametrize("path", ["/v1/totals?select=orders", "/v1/cities?select=name"])
def test_a_304_comes_after_all_that_was_acknowledged(api, path):
    what = "orders VALUES (1, 'c8', 1)" if "totals" in path else "cities VALUES ('Jinja', 1, NULL)"
    for _ in range(30):
        etag = api.get(path).headers["ETag"]
        assert post_sql(api, {"sql": f"INSERT INTO {what}"}).status_code == 200
        answer = api.get(path, headers={"If-None-Match": etag})
        assert (answer.status_code, answer.headers.get("ETag") != etag) == (200, True)
        tag = answer.headers.get("ETag")
        assert tag is None or api.get(path, headers={"If-None-Match": tag}).status_code == 304


def test_min_epoch_waits_or_says_503(api):
    now = int(api.get("/v1/totals").headers["Ziwa-Epoch"])
    assert api.get(f"/v1/totals?min_epoch={now}").status_code == 200
    begin = time.monotonic()
    late = api.get(f"/v1/totals?min_epoch={now + 10**12}&wait=300ms")
    assert late.status_code == 503 and late.json()["code"] == "unavailable"
    assert 0.25 < time.monotonic() - begin < 5


# -- errors and protection


def test_errors_are_json_with_a_code(api):
    unknown = api.get("/v1/nowhere")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "not_found")
    column = api.get("/v1/totals?custmer=c1")
    assert (column.status_code, column.json()["hint"]) == (400, 'did you mean "customer"?')
    assert api.get("/v1/totals?orders=many").status_code == 400
    assert api.get("/v1/totals?limit=many").status_code == 400
    assert api.get("/elsewhere").status_code == 404
    url = f"http://127.0.0.1:{api.ports['http']}/v1/totals"
    assert requests.delete(url, timeout=10).status_code == 405


@pytest.mark.parametrize(
    "statement, code, cause, position",
    [
        ("SELECT 1/", "invalid_argument", "syntax_error", None),
        ("SELECT nowhere", "invalid_argument", "undefined_column", "nowhere"),
        ("  \n SELECT 'é', nowhere ;", "invalid_argument", "undefined_column", "nowhere"),
        ("SELECT * FROM nowhere", "not_found", None, "nowhere"),
        ("SELECT 'x'::INTEGER", "invalid_argument", "invalid_text", "::"),
        ("BEGIN; COMMIT", "invalid_argument", None, None),
    ],
)
def test_errors_of_statements_have_cause_and_position(api, statement, code, cause, position):
    error = post_sql(api, {"sql": statement}).json()
    assert (error["code"], error.get("cause")) == (code, cause)
    if position:
        assert error["position"] == statement.index(position)


def test_positions_in_sql_of_ours_are_not_shown(api):
    error = api.get("/v1/totals?orders=many").json()
    assert (error["cause"], "position" in error) == ("invalid_text", False)


def test_foreign_hosts_and_pages_are_refused(api):
    assert api.get("/status", headers={"Host": "evil.example"}).status_code == 403
    assert (
        api.get("/status", headers={"Host": f"evil.example:{api.ports['http']}"}).status_code == 403
    )
    assert api.get("/status", headers={"Origin": "http://evil.example"}).status_code == 403
    assert api.get("/status", headers={"Origin": "null"}).status_code == 403
    assert (
        api.get(
            "/status", headers={"Host": "localhost", "Origin": "http://localhost:3000"}
        ).status_code
        == 200
    )


def test_limits_on_what_a_client_sends(api):
    assert api.get("/status", headers={"X-Large": "x" * 100_000}).status_code == 431
    assert api.get("/v1/totals?a=" + "x" * 10_000).status_code in (400, 429)
    url = f"http://127.0.0.1:{api.ports['http']}/v1/sql"
    large = requests.post(
        url, data=b"x" * (9 << 20), headers={"Content-Type": "application/json"}, timeout=30
    )
    assert large.status_code == 413


# -- statements, operations


def test_sql_over_http(api):
    url = f"http://127.0.0.1:{api.ports['http']}/v1/sql"
    answer = requests.post(
        url, json={"sql": "SELECT $1::BIGINT + 1 AS n, 'x' AS t", "parameters": [41]}, timeout=10
    )
    assert answer.status_code == 200, answer.text
    assert answer.json()["rows"] == [{"n": 42, "t": "x"}]
    assert [c["name"] for c in answer.json()["columns"]] == ["n", "t"]
    assert requests.post(url, json={"sql": "SELECT 1; SELECT 2"}, timeout=10).status_code == 400
    assert requests.post(url, json={"sql": "SELECT 1 AS a, 2 AS a"}, timeout=10).status_code == 400
    unknown = requests.post(url, json={"sql": "SELECT $1", "params": [1]}, timeout=10)
    assert unknown.status_code == 400 and '\\"params\\"' in unknown.text
    assert requests.post(url, data="sql=SELECT 1", timeout=10).status_code == 415
    assert requests.post(url, json={"sql": "SELEC"}, timeout=10).status_code == 400


def test_number_parameters_keep_their_digits(api):
    answer = requests.post(
        f"http://127.0.0.1:{api.ports['http']}/v1/sql",
        data="""{"sql": "SELECT $1::HUGEINT a, $2::DECIMAL(38,2) b, $3 + 1 AS c, $4 AS d, typeof($5) e, $6::INT[] AS f",
                 "parameters": [123456789012345678901234567890, 12345678901234567890.12, 5, 0.10, 1e3, [1, 5]]}""",
        headers={"Content-Type": "application/json"},
        timeout=10,
    )
    assert answer.status_code == 200, answer.text
    row = json.loads(answer.text, parse_int=str, parse_float=str)["rows"][0]
    assert row == {"a": "123456789012345678901234567890", "b": "12345678901234567890.12", "c": "6",
                   "d": "0.10", "e": "DOUBLE", "f": ["1", "5"]}


def test_health_metrics_status(api):
    assert api.get("/healthz").text == "ok\n"
    metrics = api.get("/metrics")
    assert metrics.headers["Content-Type"].startswith("text/plain")
    assert "# TYPE ziwa_http_requests_total counter" in metrics.text
    status = api.get("/status").json()
    assert {door["name"] for door in status["doors"]} == {"kafka", "postgres", "http"}
    view = next(view for view in status["views"] if view["name"] == "totals")
    assert view["state"] == "running" and view["rows"] >= 5
    assert next(topic for topic in status["topics"] if topic["name"] == "orders")["records"] >= 100


def test_curl(api):
    base = f"http://localhost:{api.ports['http']}"
    done = subprocess.run(
        ["curl", "-sSi", f"{base}/v1/totals?customer=c1"],
        capture_output=True,
        text=True,
        timeout=30,
    )
    head, body = done.stdout.split("\n\n", 1)
    assert head.startswith("HTTP/1.1 200 OK") and "ETag:" in head
    assert json.loads(body)["rows"][0]["customer"] == "c1"
    head_only = subprocess.run(
        ["curl", "-sSI", f"{base}/v1/totals"], capture_output=True, text=True, timeout=30
    )
    assert "Content-Length:" in head_only.stdout


def test_keep_alive(api):
    with requests.Session() as session:
        for _ in range(20):
            assert (
                session.get(f"http://127.0.0.1:{api.ports['http']}/healthz", timeout=10).text
                == "ok\n"
            )
