-- Statements that are refused, each with its code.

ATTACH 'x.db' AS y
----
error permission @?

INSTALL httpfs
----
error permission @0

SET threads = 4
----
error permission @4

PRAGMA threads = 4
----
error permission

CREATE VIEW v AS SELECT 1
----
error unsupported @7

CREATE INDEX i ON t (a)
----
error unsupported @7

CREATE SECRET s (TYPE S3)
----
error unsupported @7

CREATE OR REPLACE TABLE t AS SELECT 1
----
error unsupported @7

VACUUM
----
error unsupported @0

SELECT * FROM read_csv('/etc/passwd')
----
error permission

SELECT 'never closed
----
error invalid_argument @7

SELECT 1 FROM (SELECT 2
----
error invalid_argument

CALL ziwa.wait('x')
----
error invalid_argument @15

CALL ziwa.wait()
----
error invalid_argument @10

CALL ziwa.nothing()
----
error invalid_argument @10

SELECT 1 +
  wrong
----
error invalid_argument @13
