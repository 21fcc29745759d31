-- Sinks: a topic flows into a lake table, each record once.

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
