"""How many connections there may be, and what strangers do wrong on them."""

import contextlib
import ipaddress
from collections import Counter
from collections.abc import Callable

import structlog

from gameserver.rpc import metrics

log = structlog.get_logger(__name__)

CONNECTIONS_MAX = 50_000  # of one process; fewer when it may open fewer descriptors
CONNECTIONS_PER_ADDRESS_MAX = 4096
DESCRIPTORS_RESERVED = 256  # for databases, files and what else is not a client
TELL_SECONDS = 60  # between two lines of the log about the same trouble


class Incidents:
    """What strangers do wrong, counted by kind; the log hears of each kind once a minute at most."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._told: dict[str, float] = {}

    def count(self, kind: str) -> None:
        """Count one."""
        self._counts[kind] += 1
        metrics.HTTP_TROUBLES.count((kind,))

    def tell(self, now: float) -> None:
        """Log what was not told yet, if it is time to. `now` is the event loop's time."""
        for kind, times in list(self._counts.items()):
            if now - self._told.get(kind, -TELL_SECONDS) >= TELL_SECONDS:
                self._told[kind] = now
                del self._counts[kind]
                log.warning("http_trouble", kind=kind, times=times)


class Places:
    """How many connections there may be, in all and from one address. IPv6 addresses count by their /64."""

    def __init__(
        self, most: int, most_per_address: int, is_unlimited: Callable[[str], bool] = lambda _: False
    ) -> None:
        """`is_unlimited` tells addresses that stand for many clients, such as a proxy's."""
        self.most = most
        self.most_per_address = most_per_address
        self._is_unlimited = is_unlimited
        self._taken = 0
        self._by_network: Counter[str] = Counter()

    def take(self, address: str) -> str:
        """Take a place, whether there is one or not; returns what is wrong, or "". Each is left later."""
        self._taken += 1
        network = _network(address)
        self._by_network[network] += 1
        if self._taken > self.most:
            return "too many connections"
        if self._by_network[network] > self.most_per_address and not self._is_unlimited(address):
            return "too many connections of one address"
        return ""

    def leave(self, address: str) -> None:
        """Give a place back."""
        self._taken -= 1
        network = _network(address)
        self._by_network[network] -= 1
        if not self._by_network[network]:
            del self._by_network[network]


def _network(address: str) -> str:
    if ":" not in address:
        return address
    try:
        return str(ipaddress.ip_network((address.partition("%")[0], 64), strict=False))
    except ValueError:
        return address


def raise_descriptor_limit() -> int:
    """Let this process open as many descriptors as it may; returns how many that are."""
    try:
        import resource  # noqa: PLC0415 - absent on Windows, which has no such limit
    except ImportError:
        return CONNECTIONS_MAX + DESCRIPTORS_RESERVED
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = CONNECTIONS_MAX + DESCRIPTORS_RESERVED
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(ValueError, OSError):  # a system with a limit of its own
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            return wanted
        return soft
    return wanted


def connections_max(descriptors: int) -> int:
    """Return how many connections leave enough descriptors for everything else."""
    return min(CONNECTIONS_MAX, max(descriptors - DESCRIPTORS_RESERVED, descriptors // 2))
