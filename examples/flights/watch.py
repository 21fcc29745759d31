"""Readers of a running server: what it answers while events stream in, and what an answer costs."""

import bisect
import datetime
import itertools
import random
import statistics
import threading
import time

import psycopg

from server import Failure, Server, require

TICK_S = 0.025  # how often the watcher looks at the end of the topic
ANSWER_S = 0.2  # and asks the views
DEAR_SHARE = 0.1  # of its time for the dear question, which adds up 400,000 groups
READS = 100  # in a batch
WARM_ROUNDS = 3
ROUNDS = 41  # a batch of each server

END_OF_TOPIC = "SELECT sum(high_watermark)::BIGINT FROM ziwa.partitions WHERE topic = 'flights'"

# One statement reads one epoch, so all of these stand at the same event.
ANSWER = """
SELECT (SELECT epoch FROM ziwa.epoch),
       (SELECT coalesce(sum(departures), 0)::BIGINT FROM routes),
       (SELECT coalesce(sum(departures), 0)::BIGINT FROM flights_per_state),
       (SELECT coalesce(sum(departures), 0)::BIGINT
        FROM routes JOIN airports ON origin = iata)"""
DEAR_ANSWER = f"""{ANSWER},
       (SELECT coalesce(sum(departures), 0)::BIGINT FROM departures_per_hour),
       (SELECT count(*) FROM ziwa.late_rows WHERE view = 'departures_per_hour')"""


class Watcher(threading.Thread):
    """Asks the views while events come in, and checks that they agree in every answer.

    Every event is in `routes`. It is in `flights_per_state` if its airport is in the table, and
    either in `departures_per_hour` or a late row. No answer is older than the one before it, not
    even when the server was killed between them.

    An answer's staleness: the time since the last look at the topic that found no more events
    than the answer has.
    """

    def __init__(self, server: Server):
        super().__init__(daemon=True)
        self.server = server
        self.answers = 0
        self.compared_by_hour = 0
        self.epochs: set[int] = set()
        self.stalest_s = 0.0
        self.without_answer = 0  # questions while the server was down
        self.failure: str | None = None
        self._ended = threading.Event()
        self._looks: list[tuple[int, float]] = []  # events in the topic, when we asked
        self._last = (0, 0)

    def run(self) -> None:
        next_answer = next_dear = 0.0
        while not self._ended.wait(TICK_S):
            begin = time.monotonic()
            try:
                self._look(begin)
                if begin < next_answer:
                    continue
                dear = begin >= next_dear
                self._check(self.server.rows(DEAR_ANSWER if dear else ANSWER)[0])
                took = time.monotonic() - begin
                next_answer = begin + took + ANSWER_S
                if dear:
                    next_dear = begin + took / DEAR_SHARE
            except psycopg.OperationalError as error:
                if self.server.running() and error.sqlstate:
                    self.failure = f"a view did not answer: {error}"
                    return
                self.without_answer += 1
            except (psycopg.Error, Failure) as error:
                self.failure = str(error)
                return

    def _look(self, begin: float) -> None:
        (events,) = self.server.rows(END_OF_TOPIC)[0]
        before = self._looks[-1][0] if self._looks else -1
        require(events >= before, f"the topic had {before:,} events, now {events:,}")
        if events == before:
            self._looks.pop()
        self._looks.append((events, begin))

    def _check(self, answer: tuple[int, ...]) -> None:
        epoch, events, with_state, should_have_state = answer[:4]
        require(
            with_state == should_have_state,
            f"epoch {epoch}: flights_per_state has {with_state:,} events, by routes and airports "
            f"{should_have_state:,}",
        )
        if len(answer) > 4:
            by_hour, late = answer[4:]
            require(
                by_hour + late == events,
                f"epoch {epoch}: routes has {events:,} events, departures_per_hour {by_hour:,} and "
                f"{late:,} are late",
            )
            self.compared_by_hour += 1
        require(
            (epoch, events) >= self._last and events >= self._last[1],
            f"epoch {epoch} with {events:,} events came after {self._last[0]} with {self._last[1]:,}",
        )
        self._last = (epoch, events)
        self.answers += 1
        self.epochs.add(epoch)
        seen = bisect.bisect_right(self._looks, events, key=lambda look: look[0])
        if seen:
            self.stalest_s = max(self.stalest_s, time.monotonic() - self._looks[seen - 1][1])

    def finish(self) -> None:
        """Ends it; fails when an answer was wrong."""
        self._ended.set()
        self.join()
        require(self.failure is None, self.failure or "")
        require(self.answers > 0, "the views gave no answer while events came in")


class KeyedReads:
    """Reads of single hours of airports by key, prepared, one after another on one connection."""

    def __init__(self, server: Server, keys: list[tuple[str, datetime.datetime]]):
        self.keys, self.connection = itertools.cycle(keys), server.connect()
        self.batches_us: list[float] = []  # median of a read, of each batch

    def batch(self) -> None:
        times = []
        for key in itertools.islice(self.keys, READS):
            begin = time.perf_counter()
            found = self.connection.execute(
                "SELECT departures FROM departures_per_hour WHERE origin = %s AND window_start = %s",
                key,
                prepare=True,
            ).fetchall()
            times.append(time.perf_counter() - begin)
            require(len(found) == 1, f"{len(found)} rows of {key}")
        self.batches_us.append(statistics.median(times) * 1e6)


def compare_keyed_reads(small: Server, large: Server) -> tuple[float, float, float]:
    """A read of each server in us, and how many times the small one's the large one's is.

    They are read in turns, so that both meet the same machine: it is slower after it was busy, and
    for longer than a batch takes. Each round compares its two batches; the median round counts.
    """
    # All that both have, one after another: what was read once helps no later read. After a kill an
    # event may be late that is not without one, so an hour of one airport may be in one only.
    hours = "SELECT origin, window_start FROM departures_per_hour"
    last = small.rows("SELECT max(window_start) FROM departures_per_hour")[0][0]
    of_large = set(large.rows(f"{hours} WHERE window_start <= TIMESTAMP '{last}'"))
    keys = sorted(of_large.intersection(small.rows(hours)))
    random.Random(len(keys)).shuffle(keys)
    sides = KeyedReads(small, keys), KeyedReads(large, keys)
    for round_ in range(WARM_ROUNDS + ROUNDS):
        for side in sides if round_ % 2 else sides[::-1]:
            side.batch()
    of_small, of_large = (side.batches_us[WARM_ROUNDS:] for side in sides)
    ratios = [large_us / small_us for small_us, large_us in zip(of_small, of_large)]
    return statistics.median(of_small), statistics.median(of_large), statistics.median(ratios)
