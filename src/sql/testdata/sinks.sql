-- Sinks: a topic or a view flows into a lake table, each row once.

CREATE TOPIC t (id BIGINT, ts TIMESTAMP, name VARCHAR) WITH (partitions = 2, partition_by = 'id')
----

CREATE TABLE kept (name VARCHAR, id BIGINT, ts TIMESTAMP) PARTITIONED BY (month(ts))
----

INSERT INTO t SELECT range, TIMESTAMP '2001-01-01' + INTERVAL (range) HOUR, 'n' || (range % 3) FROM range(1000)
----

CREATE SINK keep INTO kept FROM t WITH (commit_interval = '100 ms')
----

DROP TABLE kept
----
error conflict @11

CREATE SINK bad INTO kept FROM t WITH (interval = '1 second')
----
error invalid_argument @39

CALL ziwa.flush('nothing')
----
error not_found @16

CALL ziwa.flush('keep')
----
*

SELECT count(*), count(DISTINCT id), min(ts), max(name) FROM kept
----
1000 | 1000 | 2001-01-01 00:00:00 | n2

INSERT INTO t VALUES (1000, NULL, 'late')
----

CALL ziwa.flush()
----
*

SELECT count(*), count(ts) FROM kept
----
1001 | 1000

SELECT name, state, from_object, into_table, rows FROM ziwa.sinks
----
keep | running | public.t | public.kept | 1001

DROP SINK keep
----

DROP TABLE kept
----

CREATE MATERIALIZED VIEW odd AS SELECT id % 4 AS rest, upper(name) AS name FROM t WHERE id % 2 = 1
----

CREATE TABLE odd_kept (rest BIGINT, name VARCHAR)
----

CREATE SINK odd_keep INTO odd_kept FROM odd WITH (commit_interval = '100 ms')
----

INSERT INTO t VALUES (2001, NULL, 'x'), (2001, NULL, 'x'), (2001, NULL, 'x'), (2002, NULL, 'y')
----

CALL ziwa.flush('odd_keep')
----
*

SELECT rest, count(*), count(DISTINCT name), count_if(name = 'X') FROM odd_kept GROUP BY rest ORDER BY rest
----
1 | 253 | 4 | 3
3 | 250 | 3 | 0

CREATE MATERIALIZED VIEW by_rest AS SELECT rest, count(*) AS n FROM odd GROUP BY rest
----

CREATE TABLE counts_kept (rest BIGINT, n BIGINT)
----

CREATE SINK no INTO counts_kept FROM by_rest
----
error unsupported @37

CREATE SINK no INTO odd_kept FROM counts_kept
----
error unsupported @34

DROP MATERIALIZED VIEW odd
----
error conflict @23

DROP SINK odd_keep
----
