-- What a view tells those who read it is what it keeps: equal values in one form.

CREATE TABLE x (id BIGINT, d DOUBLE, i INTERVAL)
----

CREATE TABLE gone (id BIGINT)
----

CREATE MATERIALIZED VIEW a AS SELECT x.id, x.d, x.i FROM x ANTI JOIN gone ON x.id = gone.id
----

CREATE MATERIALIZED VIEW early AS SELECT id, d, i, count(*) OVER () AS n FROM a
----

INSERT INTO x VALUES (1, '-0.0'::DOUBLE, INTERVAL 30 DAY), (2, 5, INTERVAL 40 DAY), (3, 'nan', NULL), (4, NULL, INTERVAL '-1 day')
----

CREATE MATERIALIZED VIEW late AS SELECT id, d, i, count(*) OVER () AS n FROM a
----

CREATE MATERIALIZED VIEW computed AS SELECT id, 1 / d AS reciprocal, DATE '2024-01-31' + i AS day FROM a
----

SELECT id, 1 / d, i FROM a ORDER BY id
----
1 | inf | 1 month
2 | 0.2 | 1 month 10 days
3 | nan | NULL
4 | NULL | -1 day

INSERT INTO gone VALUES (1), (3)
----

SELECT * FROM late ORDER BY id
----
2 | 5.0 | 1 month 10 days | 2
4 | NULL | -1 day | 2

SELECT * FROM early ORDER BY id
----
2 | 5.0 | 1 month 10 days | 2
4 | NULL | -1 day | 2

SELECT id, reciprocal FROM computed ORDER BY id
----
2 | 0.2
4 | NULL

-- A query says what a view says, also of NaN.

CREATE TOPIC readings (d DOUBLE) WITH (format = 'avro')
----

INSERT INTO readings VALUES (2.5), ('nan'), ('-inf')
----

CREATE MATERIALIZED VIEW least AS SELECT d, r FROM (SELECT d, row_number() OVER (ORDER BY d) AS r FROM (SELECT DISTINCT d FROM readings)) WHERE r < 4
----

SELECT d, r FROM (SELECT d, row_number() OVER (ORDER BY d) AS r FROM (SELECT DISTINCT d FROM readings)) WHERE r < 4 ORDER BY r
----
-inf | 1
2.5 | 2
nan | 3

SELECT d, r FROM least ORDER BY r
----
-inf | 1
2.5 | 2
nan | 3
