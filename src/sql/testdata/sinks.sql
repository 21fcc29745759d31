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
