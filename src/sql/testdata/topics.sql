-- Topics: what CREATE TOPIC accepts and refuses, and how a topic reads.

CREATE TOPIC clicks (
  id BIGINT NOT NULL,
  "at" TIMESTAMP,  -- when
  price DECIMAL(10, 2),
  tags VARCHAR[],
  WATERMARK FOR "at" AS "at" - INTERVAL 5 SECOND
) WITH (partitions = 1, partition_by = 'id', retention = '30 days')
----

INSERT INTO clicks VALUES
  (1, '2001-01-01 00:00:00', 1.50, ['a', 'b']),
  (2, '2001-01-01 00:00:01.25', -0.01, []),
  (3, NULL, NULL, NULL)
----

SELECT * FROM clicks ORDER BY id
----
1 | 2001-01-01 00:00:00 | 1.50 | [a, b]
2 | 2001-01-01 00:00:01.25 | -0.01 | []
3 | NULL | NULL | NULL

SELECT _partition, _offset, id FROM clicks WHERE _offset BETWEEN 1 AND 2 ORDER BY _offset
----
0 | 1 | 2
0 | 2 | 3

SELECT name, partitions, format, partition_by, watermark_column, watermark_delay, retention_ms, records FROM ziwa.topics
----
clicks | 1 | json | id | at | 00:00:05 | 2592000000 | 3

-- the error stands where the mistake is
CREATE TOPIC x (id BIGINT) WITH (partitions = 0)
----
error invalid_argument @33

CREATE TOPIC x (id BIGINT) WITH (partition_by = 'nothing')
----
error invalid_argument @33

CREATE TOPIC x (id BIGINT) WITH (format = 'xml')
----
error unsupported

CREATE TOPIC x (id BIGINT) WITH (retention = 'soon')
----
error invalid_argument @33

CREATE TOPIC x (id BIGINT, WATERMARK FOR id AS id - INTERVAL 1 SECOND)
----
error invalid_argument @41

CREATE TOPIC x (id NOTHING)
----
error invalid_argument @19

CREATE TOPIC x (id BIGINT PRIMARY KEY)
----
error unsupported @26

CREATE TOPIC x (_entry BIGINT)
----
error invalid_argument @16

SELECT count(*) FROM ziwa.topics
----
1

DROP TOPIC clicks
----

SELECT * FROM clicks
----
error not_found @14
