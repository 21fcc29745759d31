-- One record per flight. Keyed by origin, so all flights of an airport stay in order in one partition.
CREATE TOPIC flights (
  seq         BIGINT NOT NULL,   -- number of the event, given by the producer
  time        TIMESTAMP,         -- scheduled departure
  delay       INTEGER,           -- minutes, negative = early
  distance    INTEGER,           -- miles
  origin      VARCHAR,
  destination VARCHAR,
  WATERMARK FOR time AS time - INTERVAL 15 MINUTE
) WITH (partitions = 4, partition_by = 'origin', format = 'json');
