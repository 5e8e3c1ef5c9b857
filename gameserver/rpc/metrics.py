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
        self._counts: defaultdict[str, list[int]] = defaultdict(lambda: [0] * (len(bounds) + 1))
        self._sums: defaultdict[str, float] = defaultdict(float)

    def observe(self, label: str, seconds: float) -> None:
        """Note one duration."""
        self._counts[label][bisect_left(self._bounds, seconds)] += 1
        self._sums[label] += seconds

    def settle(self) -> None:
        """Pass on what was noted."""
        while self._counts:  # taken away first: what cannot be passed on is lost, and not counted twice
            label, counts = self._counts.popitem()
            child: Any = self._histogram.labels(label) if label else self._histogram
            # The library's own way in, `observe`, takes one duration at a time.
            buckets, total = child._buckets, child._sum  # noqa: SLF001 - see above
            for bucket, count in zip(buckets, counts, strict=True):
                if count:
                    bucket.inc(count)
            total.inc(self._sums.pop(label))


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


PACKETS = Counts("gameserver_packets", "Packets answered, by HTTP status.", ["status"])
PACKET_SECONDS = Seconds(
    "gameserver_packet_seconds", "Time from the first byte of a packet to its answer.", _PACKET_BUCKETS
)
MESSAGES = Counts("gameserver_messages", "Messages run, by operation and outcome.", ["operation", "outcome"])
MESSAGE_SECONDS = Seconds(
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
        PACKET_SECONDS,
        MESSAGES,
        MESSAGE_SECONDS,
        SQL_SECONDS,
        REDIS_SECONDS,
        HTTP_TROUBLES,
    ):
        each.settle()


def packet(status: int, seconds: float) -> None:
    """Count one packet."""
    PACKETS.count((str(status),))
    PACKET_SECONDS.observe("", seconds)


def message(operation: str, outcome: str, seconds: float) -> None:
    """Count one message."""
    MESSAGES.count((operation, outcome))
    MESSAGE_SECONDS.observe(operation, seconds)
