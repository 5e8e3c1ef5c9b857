"""What the server counts about packets and messages, and how long SQL and Redis take.

Counting for real, behind a lock or in a file that all worker processes read, takes longer than many a message
does. So it is added up here, and `settle` passes the sums on: every second, and when somebody asks.
"""

from bisect import bisect_left
from collections import defaultdict
from typing import Any

from prometheus_client import Counter, Gauge, Histogram

_MESSAGE_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 30)
_PACKET_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_STORE_BUCKETS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)


class Seconds:
    """A histogram of durations, with one label or none: "" stands for none."""

    def __init__(self, name: str, words: str, bounds: tuple[float, ...], label: str = "") -> None:
        self._histogram = Histogram(name, words, [label] if label else [], buckets=bounds)
        self._bounds = bounds
        self.counted: list[float] = [0] * (len(bounds) + 2)
        """What was passed on so far by this process, whatever the label: buckets, and last the seconds."""
        # How many there were in each bucket, and last the seconds that they took together.
        self._noted: defaultdict[Any, list[float]] = defaultdict(lambda: [0] * (len(bounds) + 2))

    def observe(self, label: Any, seconds: float) -> None:
        """Note one duration."""
        noted = self._noted[label]
        noted[bisect_left(self._bounds, seconds)] += 1
        noted[-1] += seconds

    def settle(self) -> None:
        """Pass on what was noted."""
        while self._noted:  # taken away first: what cannot be passed on is lost, and not counted twice
            label, (*counts, seconds) = self._noted.popitem()
            for place, count in enumerate((*counts, seconds)):
                self.counted[place] += count
            self._pass_on(label, counts, seconds)

    @property
    def bounds(self) -> tuple[float, ...]:
        """Where one bucket ends and the next begins, in seconds."""
        return self._bounds

    def _pass_on(self, label: Any, counts: list[float], seconds: float) -> None:
        child: Any = self._histogram.labels(label) if label else self._histogram
        # The library's own way in, `observe`, takes one duration at a time.
        buckets, total = child._buckets, child._sum  # noqa: SLF001 - see above
        for bucket, count in zip(buckets, counts, strict=True):
            if count:
                bucket.inc(count)
        total.inc(seconds)


class Outcomes(Seconds):
    """Durations of what has an outcome, noted with a tuple: the label, if there is one, and the outcome.

    A counter with these labels goes with the histogram.
    """

    def __init__(
        self, counter: Counter, name: str, words: str, bounds: tuple[float, ...], label: str = ""
    ) -> None:
        super().__init__(name, words, bounds, label)
        self._counter = counter
        self.outcomes: defaultdict[str, float] = defaultdict(float)
        """How often each outcome was passed on by this process."""

    def _pass_on(self, label: Any, counts: list[float], seconds: float) -> None:
        self.outcomes[str(label[-1])] += sum(counts)
        self._counter.labels(*label).inc(sum(counts))
        super()._pass_on("".join(label[:-1]), counts, seconds)


class Counts:
    """A counter whose labels are a tuple."""

    def __init__(self, name: str, words: str, labels: list[str]) -> None:
        self._counter = Counter(name, words, labels)
        self._counts: defaultdict[tuple[str, ...], int] = defaultdict(int)

    def count(self, labels: tuple[str, ...]) -> None:
        """Count one."""
        self._counts[labels] += 1

    def settle(self) -> None:
        """Pass on what was counted."""
        while self._counts:
            labels, count = self._counts.popitem()
            self._counter.labels(*labels).inc(count)


PACKETS = Outcomes(  # noted with the HTTP status alone
    Counter("gameserver_packets", "Packets answered, by HTTP status.", ["status"]),
    "gameserver_packet_seconds",
    "Time from the first byte of a packet to its answer.",
    _PACKET_BUCKETS,
)
MESSAGES = Outcomes(  # noted with "service.OPERATION" and "ok", a reason code, "aborted" or "failed"
    Counter("gameserver_messages", "Messages run, by operation and outcome.", ["operation", "outcome"]),
    "gameserver_message_seconds",
    "Time an operation took, without the packet's commit.",
    _MESSAGE_BUCKETS,
    "operation",
)
SQL_SECONDS = Seconds("gameserver_sql_seconds", "Time of SQL work, by kind.", _STORE_BUCKETS, "kind")
REDIS_SECONDS = Seconds(
    "gameserver_redis_seconds", "Time of round trips to Redis, each for many packets.", _STORE_BUCKETS
)
HTTP_TROUBLES = Counts(
    "gameserver_http_troubles", "Requests and connections that broke rules of HTTP or limits.", ["kind"]
)
RUNNING = Gauge(
    "gameserver_packets_running", "Packets being run, sampled every few seconds.", multiprocess_mode="livesum"
)


def settle() -> None:
    """Pass on everything that was noted since the last time."""
    for each in (
        PACKETS,
        MESSAGES,
        SQL_SECONDS,
        REDIS_SECONDS,
        HTTP_TROUBLES,
    ):
        each.settle()
