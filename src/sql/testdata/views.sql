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
error unsupported @45

CREATE MATERIALIZED VIEW bad AS SELECT a.id FROM t a LEFT JOIN t b ON a.id > b.id
----
error unsupported @58

CREATE MATERIALIZED VIEW bad AS SELECT id FROM t WHERE id > ALL (SELECT id FROM t)
----
error unsupported @60

CREATE MATERIALIZED VIEW joined AS
SELECT a.id, b.name FROM t a LEFT JOIN t b ON a.id = b.id WHERE a.id IN (SELECT id FROM t) OR NOT EXISTS (FROM t)
----

DROP MATERIALIZED VIEW joined
----

CREATE MATERIALIZED VIEW bad AS SELECT name, string_agg(id::VARCHAR, ',') FROM t GROUP BY name
----
error unsupported @45

CREATE MATERIALIZED VIEW bad AS SELECT name, first(v) FROM t GROUP BY name
----
error unsupported @45

CREATE MATERIALIZED VIEW ordered AS
SELECT name, median(v) AS middle, count(DISTINCT v) AS n, string_agg(id::VARCHAR, ', ' ORDER BY id DESC) AS ids
FROM t GROUP BY name
----

DROP MATERIALIZED VIEW ordered
----

CREATE MATERIALIZED VIEW bad AS SELECT name, row_number() OVER () FROM t
----
error unsupported @58

CREATE MATERIALIZED VIEW several AS
SELECT name, sum(v) OVER (ORDER BY id) AS total, unnest([id, 1]) AS one FROM t INTERSECT SELECT name, count(*), 1 FROM t
GROUP BY ROLLUP (name)
----

DROP MATERIALIZED VIEW several
----

CREATE MATERIALIZED VIEW bad AS WITH RECURSIVE r AS (SELECT id FROM t UNION ALL SELECT id + 1 FROM r WHERE id < 9) SELECT * FROM r
----
error unsupported @37

CREATE MATERIALIZED VIEW bad AS SELECT * FROM range(3)
----
error unsupported @46

CREATE MATERIALIZED VIEW bad AS SELECT id FROM tumble(t, id, INTERVAL 1 MINUTE)
----
error invalid_argument @57

CREATE MATERIALIZED VIEW bad AS SELECT window_start, count(*) FROM tumble(t, ts, CAST(v AS INTEGER) * INTERVAL 1 DAY) GROUP BY ALL
----
error unsupported @100

SELECT id FROM tumble(t, ts, 5)
----
error invalid_argument @29

SELECT id FROM tumble(t, ts::DATE, INTERVAL 1 DAY)
----

EXPLAIN STREAM SELECT a.id FROM t a LEFT JOIN t b ON a.id > b.id
----
error unsupported

CREATE MATERIALIZED VIEW bad AS SELECT * FROM nothing
----
error not_found @46

CREATE MATERIALIZED VIEW bad AS SELECT * FROM t LIMIT 5
----
error unsupported @48

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

-- rows of views follow the records
CREATE TOPIC e (id BIGINT, ts TIMESTAMP, name VARCHAR, v DOUBLE, WATERMARK FOR ts AS ts - INTERVAL 1 MINUTE)
----

CREATE MATERIALIZED VIEW sums AS SELECT name, count(*) AS n, sum(v) AS total FROM e GROUP BY name
----

CREATE MATERIALIZED VIEW minutes AS
SELECT window_start, window_end, count(*) AS n FROM tumble(e, ts, INTERVAL 1 MINUTE) GROUP BY window_start, window_end
----

INSERT INTO e VALUES (1, '2001-01-01 00:00:30', 'a', 1), (2, '2001-01-01 00:01:30', 'a', 2), (3, '2001-01-01 00:00:40', 'b', 4)
----

SELECT * FROM sums ORDER BY name
----
a | 2 | 3.0
b | 1 | 4.0

SELECT * FROM minutes ORDER BY window_start
----
2001-01-01 00:00:00 | 2001-01-01 00:01:00 | 2
2001-01-01 00:01:00 | 2001-01-01 00:02:00 | 1

-- a point read by the view's key
SELECT n FROM sums WHERE name = 'b'
----
1

-- the watermark passes the first minutes, then one of them gets a late record
INSERT INTO e VALUES (4, '2001-01-01 00:10:00', 'c', 0)
----

INSERT INTO e VALUES (5, '2001-01-01 00:00:10', 'c', 8)
----

SELECT sum(n) FROM minutes
----
4

SELECT view, partition, "offset", window_start, window_end, watermark FROM ziwa.late_rows
----
minutes | 0 | 4 | 2001-01-01 00:00:00 | 2001-01-01 00:01:00 | 2001-01-01 00:09:00

SELECT name, state, rows, late_rows, watermark FROM ziwa.views ORDER BY name
----
minutes | running | 3 | 1 | 2001-01-01 00:09:00
sums | running | 3 | 0 | 2001-01-01 00:09:00

-- deleting the records changes no view
CALL ziwa.delete_records('e')
----
0 | 5

SELECT count(*) FROM e
----
0

SELECT sum(n), sum(total) FROM sums
----
5 | 15.0

-- views over views and joins with a table
CREATE TABLE names AS SELECT 'a' AS name, 'Anna' AS full_name UNION ALL SELECT 'b', 'Bob'
----

CREATE MATERIALIZED VIEW joined AS SELECT n.full_name, s.n FROM sums s JOIN names n ON s.name = n.name
----

SELECT * FROM joined ORDER BY 1
----
Anna | 2
Bob | 1

INSERT INTO names VALUES ('c', 'Carla')
----

SELECT * FROM joined ORDER BY 1
----
Anna | 2
Bob | 1
Carla | 2
