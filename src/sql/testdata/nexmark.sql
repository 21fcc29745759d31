-- The table function nexmark().

SELECT event_type, count(*), count(person_id), count(auction_id), count(bid_auction), count(dateTime)
FROM nexmark(events => 5000) GROUP BY event_type ORDER BY event_type
----
0 | 100 | 100 | 0 | 0 | 100
1 | 300 | 0 | 300 | 0 | 300
2 | 4600 | 0 | 0 | 4600 | 4600

SELECT count(*) FROM nexmark(events => 12345)
----
12345

SELECT count(*) FROM nexmark(events => 0)
----
0

SELECT person_id, auction_id, bid_auction >= 1000, dateTime FROM nexmark(events => 5, first => 100, rate => 1)
----
1002 | NULL | NULL | 2015-07-15 00:01:40
NULL | 1006 | NULL | 2015-07-15 00:01:41
NULL | 1007 | NULL | 2015-07-15 00:01:42
NULL | 1008 | NULL | 2015-07-15 00:01:43
NULL | NULL | true | 2015-07-15 00:01:44

-- A part of a stream is the same in whatever part it is read.
SELECT count(*) FROM (
  (FROM nexmark(events => 9000, first => 1000, seed => 5, disorder => 100) UNION ALL
   FROM nexmark(events => 11000, first => 10000, seed => 5, disorder => 100))
  EXCEPT ALL FROM nexmark(events => 20000, first => 1000, seed => 5, disorder => 100))
----
0

SELECT count(*) FROM (FROM nexmark(events => 1000, seed => 1) INTERSECT FROM nexmark(events => 1000, seed => 2))
----
0

SELECT min(dateTime), max(dateTime), max(auction_expires) > max(dateTime)
FROM nexmark(events => 1000, rate => 1000, disorder => 100, start => TIMESTAMP '2026-01-01 12:00:00')
----
2026-01-01 12:00:00 | 2026-01-01 12:00:00.999 | true

COPY (FROM nexmark(events => 1000)) TO '${files}/nexmark.parquet' (FORMAT parquet)
----

SELECT count(*) FROM (FROM '${files}/nexmark.parquet' EXCEPT ALL FROM nexmark(events => 1000))
----
0

SELECT * FROM nexmark()
----
error invalid_argument

SELECT * FROM nexmark(events => -1)
----
error invalid_argument

SELECT * FROM nexmark(events => NULL)
----
error invalid_argument

SELECT * FROM nexmark(events => 10, rate => 0)
----
error invalid_argument

SELECT * FROM nexmark(events => 10, disorder => 1000001)
----
error invalid_argument

SELECT * FROM nexmark(events => 10, first => 1125899906842620)
----
error invalid_argument

SELECT * FROM nexmark(events => 10, start => TIMESTAMP '1969-12-31 00:00:00')
----
error invalid_argument

SELECT * FROM nexmark(events => 10, start => 'infinity')
----
error invalid_argument

SELECT * FROM nexmark(events => 10, sead => 1)
----
error invalid_argument

CREATE MATERIALIZED VIEW v AS SELECT count(*) AS n FROM nexmark(events => 10)
----
error unsupported
