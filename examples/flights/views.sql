-- Departures and delays per airport and hour. A flight that comes after its hour has closed is late: see ziwa.late_rows.
CREATE MATERIALIZED VIEW departures_per_hour AS
SELECT origin, window_start, count(*) AS departures, avg(delay) AS mean_delay, max(delay) AS max_delay
FROM tumble(flights, time, INTERVAL 1 HOUR)
GROUP BY origin, window_start;

-- The same per route, over all time.
CREATE MATERIALIZED VIEW routes AS
SELECT origin, destination, count(*) AS departures, avg(delay) AS mean_delay, max(delay) AS max_delay
FROM flights
GROUP BY origin, destination;

-- The ten worst airports of each day, among those with at least twenty departures.
CREATE MATERIALIZED VIEW worst_airports AS
SELECT day, place, origin, departures, mean_delay
FROM (
  SELECT day, origin, departures, mean_delay,
         row_number() OVER (PARTITION BY day ORDER BY mean_delay DESC, origin) AS place
  FROM (
    SELECT CAST(time AS DATE) AS day, origin, count(*) AS departures, avg(delay) AS mean_delay
    FROM flights
    GROUP BY day, origin
  )
  WHERE departures >= 20
)
WHERE place <= 10;

-- Departures per state: a stream joined with a table; both sides may change.
CREATE MATERIALIZED VIEW flights_per_state AS
SELECT a.state, count(*) AS departures, avg(f.delay) AS mean_delay
FROM flights f JOIN airports a ON f.origin = a.iata
GROUP BY a.state;
