"""What the server counts about packets and messages."""

from prometheus_client import Counter, Gauge, Histogram

PACKETS = Counter("gameserver_packets", "Packets answered, by HTTP status.", ["status"])
PACKET_SECONDS = Histogram(
    "gameserver_packet_seconds",
    "Time from the first byte of a packet to its answer.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
)
MESSAGES = Counter("gameserver_messages", "Messages run, by operation and outcome.", ["operation", "outcome"])
MESSAGE_SECONDS = Histogram(
    "gameserver_message_seconds",
    "Time an operation took, without the packet's commit.",
    ["operation"],
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 30),
)
RUNNING = Gauge(
    "gameserver_packets_running", "Packets being run, sampled every few seconds.", multiprocess_mode="livesum"
)

_message_children: dict[tuple[str, str], Counter] = {}
_second_children: dict[str, Histogram] = {}


def message(operation: str, outcome: str, seconds: float) -> None:
    """Count one message. Children are kept: looking them up by label costs more than counting."""
    key = (operation, outcome)
    counter = _message_children.get(key)
    if counter is None:
        counter = _message_children[key] = MESSAGES.labels(operation, outcome)
        _second_children.setdefault(operation, MESSAGE_SECONDS.labels(operation))
    counter.inc()
    _second_children[operation].observe(seconds)


_packet_children: dict[int, Counter] = {}


def packet(status: int, seconds: float) -> None:
    """Count one packet."""
    counter = _packet_children.get(status)
    if counter is None:
        counter = _packet_children[status] = PACKETS.labels(str(status))
    counter.inc()
    PACKET_SECONDS.observe(seconds)
