-- Lake tables.

CREATE TABLE o (id BIGINT NOT NULL, ts TIMESTAMP, country VARCHAR) PARTITIONED BY (month(ts), country)
----

INSERT INTO o VALUES (1, '2001-01-31', 'KE'), (2, '2001-02-01', 'TZ'), (3, NULL, NULL)
----

SELECT * FROM o ORDER BY id
----
1 | 2001-01-31 00:00:00 | KE
2 | 2001-02-01 00:00:00 | TZ
3 | NULL | NULL

SELECT name, rows, files, partitioned_by FROM ziwa.tables
----
o | 3 | 3 | month(ts), country

INSERT INTO o VALUES (NULL, NULL, NULL)
----
error invalid_argument

CREATE TABLE big AS SELECT id * 10 AS ten, country FROM o WHERE id < 3
----

SELECT * FROM big ORDER BY ten
----
10 | KE
20 | TZ

COPY o TO '${files}/o.parquet' (FORMAT parquet)
----

COPY o FROM '${files}/o.parquet' (FORMAT parquet)
----

SELECT count(*), count(DISTINCT id) FROM o
----
6 | 3

CREATE TABLE x (a INT) WITH (format = 'orc')
----
error unsupported @29

CREATE TABLE x (a INT) WITH (fromat = 'parquet')
----
error invalid_argument @29

CREATE TABLE x (a INT DEFAULT 1)
----
error unsupported @22

DELETE FROM o WHERE id = 1
----
error unsupported

DROP TABLE o
----

SELECT name FROM ziwa.tables
----
big
