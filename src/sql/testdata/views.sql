-- Views: what is planned, and what is refused with the reason.

CREATE TOPIC t (id BIGINT, ts TIMESTAMP, name VARCHAR, v DOUBLE)
----

CREATE MATERIALIZED VIEW per_name AS SELECT name, count(*) AS n, sum(v) AS total FROM t GROUP BY name
----

CREATE MATERIALIZED VIEW IF NOT EXISTS per_name AS SELECT 1
----

CREATE MATERIALIZED VIEW per_name AS SELECT name, count(*) AS n FROM t GROUP BY name
----
error already_exists @25

CREATE MATERIALIZED VIEW windows AS
SELECT name, window_start, count(*) AS n FROM tumble(t, ts, INTERVAL 1 MINUTE) GROUP BY name, window_start EMIT CHANGES
----

SELECT name, kind, depends_on FROM ziwa.objects ORDER BY name
----
per_name | view | [public.t]
t | topic | []
windows | view | [public.t]

CREATE MATERIALIZED VIEW bad AS SELECT name, count(*) FROM t
----
error invalid_argument

CREATE MATERIALIZED VIEW bad AS SELECT name, now() AS n FROM t
----
error unsupported

CREATE MATERIALIZED VIEW bad AS SELECT * FROM nothing
----
error not_found @46

CREATE MATERIALIZED VIEW bad AS SELECT * FROM t LIMIT 5
----
error unsupported

CREATE MATERIALIZED VIEW bad WITH (target_lag = '1 second') AS SELECT name FROM t
----
error invalid_argument @35

CREATE MATERIALIZED VIEW bad AS DELETE FROM t
----
error unsupported

DROP TOPIC t
----
error conflict @11

DROP MATERIALIZED VIEW windows
----

DROP TOPIC t CASCADE
----

SELECT count(*) FROM ziwa.objects
----
0
