-- Airports of Alaska, Hawaii and the islands are left out on purpose: their flights find no partner in the join below.
CREATE TABLE airports WITH (file = 'data/airports.csv') AS
SELECT iata, name, city, state, country, latitude, longitude
FROM read_csv('data/airports.csv')
WHERE country = 'USA' AND state NOT IN ('AK', 'HI', 'PR', 'VI');

-- Every flight, for ever, as Parquet in a Delta table with one partition a month.
CREATE TABLE flight_history (
  seq BIGINT, time TIMESTAMP, delay INTEGER, distance INTEGER, origin VARCHAR, destination VARCHAR
) PARTITIONED BY (month(time));

CREATE SINK keep_history INTO flight_history FROM flights WITH (commit_interval = '2 seconds');
