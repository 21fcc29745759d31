"""Scalar expressions in views: what a view keeps is what the query says, or it is refused with the true reason."""

import psycopg
import pytest

pytestmark = pytest.mark.e2e

# Kept: the view is compared with the query. One place per kind of bind data, cast, operator and spelling.
KEPT = r"""
list_sort(l, 'DESC', 'NULLS LAST'); list_aggr(l, 'max'); list_distinct(l); array_slice(l, 1, 2); l[1:2]
regexp_extract(b, '([a-z])', 1); regexp_extract('ab1', '([a-z]+)([0-9])', ['x', 'y'])
regexp_replace('aXbX', 'x', '_', 'gi'); regexp_split_to_array('a1b', '[0-9]'); strptime('2024', ['%Y', '%Y-%m'])
try_strptime(b, '%Y'); round(d, 1); list_reverse_sort(l); json_extract(j, '$.k'); json_value(j, '$.k')
json_keys(j); json_transform(j, '{"k":"INT"}'); to_json(st); printf('%05.2f', f); map_extract(map{'k': a}, 'k')
map_keys(map{'k': a}); array_value(a, 1); list_where(l, [true, false, true]); list_resize(l, 5, 9)
flatten([l, l]); to_years(a); trunc(f); a::DECIMAL(4,1); t::TIMESTAMP_MS; contains(l, 1); contains(b, 'a')
list_has_any(l, [1]); a IS NOT DISTINCT FROM 3; b LIKE 'a|%' ESCAPE '|'; b NOT ILIKE 'x%'; b GLOB 'a*'; -a
[d, 1]; json_structure(j); json_contains(j, '1'); format('{:05d}', a); bin(a); to_base(a, 7)
translate(b, 'a', 'z'); starts_with(b, 'a'); unicode(b); hamming('a', 'b'); century(t); isodow(dt); yearweek(t)
julian(t); datesub('day', t, TIMESTAMP '2027-01-01'); make_time(1, 2, a); strftime(t, '%-d.%m'); t < tz
st."X y"; st.b.c; l[1]; list_sum(l); "select" + c1; j->>'$.s'; j->'k'; (j->>'k')::INT; md5(b); sha256(bl)
bl::VARCHAR; octet_length(bl); d * d; d / 3; d // 1; d % 2; floor(d); f::DECIMAL(10,2); f::VARCHAR; sqrt(a)
power(a, 2); a / 2; a // 2; a % -3; a << 2; xor(a, 3); ~a; hour(t); dayname(t); t::DATE; epoch_ms(t)
date_diff('day', t, TIMESTAMP '2027-01-01'); t - TIMESTAMP '2026-11-01'; t + INTERVAL 1 MONTH
date_part('year', t); date_trunc('week', tz); tz AT TIME ZONE 'Europe/Berlin'; dt + 1; last_day(dt)
extract(minute FROM tm); upper(b); b || NULL; concat(b, NULL, 'x'); concat_ws(',', b, 'x'); substr(b, 1, 1)
split_part('a,' || b, ',', 2); lpad(b, 3, '*'); b SIMILAR TO '[aA]'; b ~ 'a'; levenshtein(b, 'a')
coalesce(b, 'n'); nullif(a, 3); greatest(a, 3); CASE a WHEN 1 THEN 'x' ELSE b END; if(a > 3, 1, 0)
a BETWEEN 2 AND 5; a IN (1, 2, NULL); NOT (b = 'a'); list_contains(l, 1); len(l); l || [5]
struct_extract(st, 'b'); st; typeof(a); hash(b); to_base64(bl); hex(a); chr(65 + a % 20); reverse(b)
trim(' ' || b); strip_accents(b); a::UTINYINT; try_cast(b AS INT); make_date(2024, 1 + a % 12, 1)
age(t, TIMESTAMP '2026-01-01'); time_bucket(INTERVAL 2 DAY, t); map{'a': a}['a']; generate_series(1, a % 3)
json_object('a', a); json_array_length('[1,2]'); url_encode(b); isnan(f); gcd(a, 6); factorial(a % 5); a ** 2
@a; a::VARCHAR::JSON; {'x': a, 'Y z': b}; {'x': a}.x; {'o': {'i': a}}.o.i; [{'x': a}]
"""

# Refused: their calls are more than a name and arguments, or ask the clock or the session.
REFUSED = r"""
array_to_string(l, '-'); list_aggregate(l, 'string_agg', '|'); list_transform(l, x -> x + 1)
list_filter(l, lambda x: x > 2); list_reduce(l[1:2], (x, y) -> x + y); [x * 2 FOR x IN l]
struct_insert(st, z := a); union_value(k := a); row(a, b); list_zip(l, l); json_extract(j, ['$.k', '$.s'])
now(); random(); uuid(); localtimestamp; localtime; current_localtimestamp(); age(t)
current_setting('TimeZone'); current_date; current_timestamp
"""


def cut(text):
    return [one.strip() for line in text.strip().splitlines() for one in line.split(";")]


@pytest.fixture(scope="module")
def rows(shared_server):
    shared_server.sql(
        """CREATE TOPIC fn (a INT, b VARCHAR, t TIMESTAMP, st STRUCT("X y" INT, b STRUCT(c INT)), l INT[],
           "select" INT, c1 INT, j VARCHAR, bl BLOB, d DECIMAL(18,6), f DOUBLE, tz TIMESTAMPTZ, dt DATE, tm TIME)"""
    )
    shared_server.sql(
        """INSERT INTO fn SELECT i, (['A','a','B','b',NULL,'E','','ä'])[(1 + i % 8)::INT],
           TIMESTAMP '2026-11-01' + to_hours((i * 7)::INT), {'X y': i, 'b': {'c': i % 3}}, [i, i % 2, NULL],
           i % 4, i % 5, '{"k":' || i || ',"s":"v' || (i % 3) || '"}', ('b' || i)::BLOB, i / 7, i / 3,
           TIMESTAMPTZ '2026-03-28 22:00:00+00' + INTERVAL (i) HOUR, DATE '2024-02-27' + i::INT,
           TIME '23:00:00' + INTERVAL (i) MINUTE FROM range(60) r(i)"""
    )
    with shared_server.connect(prepare_threshold=None) as connection:
        yield connection


@pytest.mark.parametrize("expression", cut(KEPT))
def test_a_view_says_what_the_query_says(rows, expression):
    query = f"SELECT a, {expression} AS x FROM fn"
    rows.execute(f"CREATE MATERIALIZED VIEW fn_view AS {query}")
    try:
        kept = sorted(map(str, rows.execute("SELECT * FROM fn_view").fetchall()))
        assert kept == sorted(map(str, rows.execute(query).fetchall()))
        errors = rows.execute("SELECT row_errors FROM ziwa.views WHERE name = 'fn_view'").fetchone()
        assert errors == (0,)
    finally:
        rows.execute("DROP MATERIALIZED VIEW fn_view")


@pytest.mark.parametrize("expression", cut(REFUSED))
def test_what_a_view_cannot_keep_is_refused(rows, expression):
    with pytest.raises(psycopg.errors.FeatureNotSupported, match="view"):
        rows.execute(f"CREATE MATERIALIZED VIEW fn_view AS SELECT a, {expression} AS x FROM fn")


# What is there without arguments and always the same.
CONSTANTS = """
+ add array_cat array_concat json_array json_object list_cat list_concat list_pack list_value map pi unpivot_list
version current_role getdatabaseencoding inet_client_addr inet_client_port inet_server_addr inet_server_port
pg_client_encoding pg_is_in_recovery pg_my_temp_schema
""".split()


def test_no_function_without_arguments_brings_the_clock_or_the_session_in(rows):
    names = rows.execute(
        """SELECT DISTINCT function_name FROM duckdb_functions()
           WHERE function_type IN ('scalar', 'macro') AND len(parameter_types) = 0
           UNION SELECT DISTINCT function_name FROM duckdb_functions()
           WHERE function_type = 'macro' AND len(parameters) = 0"""
    ).fetchall()
    assert len(names) > 40
    for (name,) in names:
        try:
            rows.execute(f'CREATE MATERIALIZED VIEW fn_view AS SELECT a, "{name}"() AS x FROM fn')
        except psycopg.Error:
            continue
        rows.execute("DROP MATERIALIZED VIEW fn_view")
        assert name in CONSTANTS, "a view keeps it"


def test_collated_columns_are_not_made_distinct(rows):
    for query in (
        "SELECT DISTINCT b COLLATE NOCASE AS k FROM fn",
        "SELECT b COLLATE NOCASE AS k FROM fn UNION SELECT b COLLATE NOCASE FROM fn",
    ):
        with pytest.raises(psycopg.errors.FeatureNotSupported, match="collation"):
            rows.execute(f"CREATE MATERIALIZED VIEW fn_view AS {query}")


def test_a_view_with_any_id_can_be_read(rows):
    """Ids that end in 0xFF have no next prefix of their length."""
    newest = 0
    while newest < 256:
        rows.execute("CREATE MATERIALIZED VIEW fn_view AS SELECT a, count(*) AS n FROM fn GROUP BY a")
        newest = rows.execute("SELECT max(id) FROM ziwa.objects").fetchone()[0]
        if newest % 256 > 252 or newest % 256 < 2:
            assert rows.execute("SELECT sum(n) FROM fn_view").fetchone() == (60,), newest
        rows.execute("DROP MATERIALIZED VIEW fn_view")
