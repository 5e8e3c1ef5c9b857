"""Figures as people read them: lines while it is measured, tables in floors for the page, two runs side by side."""

from collections.abc import Iterator
from statistics import geometric_mean

from tests.benchmarks.figures import FLOOR, FLOOR_AGAIN, TEN, Measured, Open, Result
from tests.benchmarks.packets import EITHER_ORDER, EMPTY, ONE_ORDER, TEN_CALLS

SETUPS = {"embedded": "Embedded", "services": "PostgreSQL and Redis"}
READ = "read an entity"
WANTED = {  # floors at most: embedded, and over PostgreSQL and Redis
    "log in, new": (9.5, 18),
    "log in, existing": (3.6, 6.8),
    "no-op": (2.0, 2.5),
    "read state": (3.7, 7.2),
    READ: (3.3, 6.1),
    "write an entity": (6.5, 12),
    "post a score": (5.3, 10),
    "top 10": (4.7, 8.8),
    "around me": (7.5, 13),
    EMPTY: (4.2, 4.7),
}
WANTED_OF_TEN = {  # floors at most for each of ten messages
    READ: (1.0, 2),
    "write an entity": (2.0, 4),
    "post a score": (1.3, 2.8),
    "top 10": (1.5, 3),
}
CALL_MAX = 1  # floors that a call of a script takes above the same packet
EITHER_ORDER_MAX = 10  # times as long as in one order
TAIL_MAX, SESSION_BYTES_MAX = 1.5, 1024  # of the 99th percentile without sessions; embedded

HEAD = (
    f"{'packet':<34}{'req/s':>8}{'msg/s':>8}{'p50 ms':>8}{'p99 ms':>8}"
    f"{'server':>8}{'redis':>7}{'sql':>7}{'µs':>7}  errors"
)


def line(r: Result) -> str:
    """What was measured of a packet, while its floors are not known yet."""
    return (
        f"{r.name:<34}{r.rate:>8.0f}{r.message_rate:>8.0f}{r.p50:>8.1f}{r.p99:>8.1f}"
        f"{r.server:>8.0f}{r.redis:>7.0f}{r.sql:>7.0f}{r.total:>7.0f}  {r.errors}"
    )


def table(setup: str, measured: Measured) -> str:
    """A set-up for the page: a line a packet, its floors first. Bold is what takes more than is wanted."""
    parts = setup == "services"
    head = "| packet | floors | wanted | of ten, each | wanted | packets/s | p50 / p99 ms |"
    rows = [
        f"**{SETUPS[setup]}**",
        "",
        head + (" server + Redis + SQL |" if parts else ""),
        "|---|--:|--:|--:|--:|--:|--:|" + ("--:|" if parts else ""),
    ]
    rows += _rows(setup, measured, parts=parts)
    return "\n".join([*rows, "", " ".join(_remarks(setup, measured)), ""])


def _rows(setup: str, measured: Measured, *, parts: bool) -> Iterator[str]:
    packets = {each.name: each for each in measured.packets if each.name != FLOOR_AGAIN}
    for name in dict.fromkeys(name.removesuffix(TEN) for name in packets):
        alone, ten = packets.get(name), packets.get(name + TEN)
        cells = [
            name,
            *_beside(setup, WANTED, name, alone.total / measured.floor if alone else None),
            *_beside(setup, WANTED_OF_TEN, name, ten.total / ten.messages / measured.floor if ten else None),
            *((f"{alone.rate:,.0f}", f"{alone.p50:.1f} / {alone.p99:.0f}") if alone else ("", "")),
        ]
        if parts:
            each = (alone.server, alone.redis, alone.sql) if alone else ()
            cells.append(" + ".join(f"{part / measured.floor:.1f}" for part in each))
        yield f"| {' | '.join(cells)} |"


def _beside(
    setup: str, table: dict[str, tuple[float, float]], name: str, floors: float | None
) -> tuple[str, str]:
    """A figure and what is wanted of it."""
    wanted = table[name][list(SETUPS).index(setup)] if name in table else None
    if floors is None:
        return "", ""
    if wanted is None:
        return f"{floors:.1f}", ""
    over = round(floors, 1) > wanted
    return (f"**{floors:.1f}**" if over else f"{floors:.1f}"), f"≤ {wanted:.1f}"


def _remarks(setup: str, measured: Measured) -> Iterator[str]:
    memory = measured.memory
    rates = {each.name: each.rate for each in measured.packets}
    if measured.drift is not None:
        yield f"The floor changed by {measured.drift:.0%} meanwhile."
    if measured.errors:
        yield f"**{measured.errors} packets were refused or not answered.**"
    if ONE_ORDER in rates and EITHER_ORDER in rates:
        times = rates[ONE_ORDER] / max(1, rates[EITHER_ORDER])
        yield f"Two shared rows in either order: {times:.1f} × the time of one order (wanted: ≤ {EITHER_ORDER_MAX})."
    floors = measured.floors()
    if {EMPTY, TEN_CALLS, READ} <= floors.keys():
        call = (floors[TEN_CALLS] - floors[EMPTY]) / 10
        yield (
            f"A call that reads takes {call:.1f} floors of a script's time "
            f"(wanted: ≤ {floors[READ] + CALL_MAX:.1f}, the packet that reads and {CALL_MAX})."
        )
    if measured.sessions:
        yield sessions(measured.sessions)
    elif memory.session_bytes > 0:
        yield f"An idle session takes {memory.session_bytes} bytes of the server" + (
            f" and {memory.session_redis_bytes} of Redis." if setup == "services" else "."
        )
    yield (
        f"Ready after {memory.start_seconds:.1f} s; {memory.fresh_bytes >> 20} MiB when fresh, "
        f"{memory.loaded_bytes >> 20} MiB after the load."
    )


def sessions(steps: list[Open]) -> str:
    """What open sessions cost, in a sentence."""
    counts = ", ".join(f"{step.sessions:,}" for step in steps)
    tails = ", ".join(f"{step.p99_ms / steps[0].p99_ms:.1f}" for step in steps)
    each = max(step.bytes_each for step in steps)
    return (
        f"With {counts} open sessions the 99th percentile of writes is {tails} × that of none (wanted: ≤ {TAIL_MAX}), "
        f"and a session takes {each:.0f} bytes (wanted: ≤ {SESSION_BYTES_MAX})."
    )


def compared(before: dict[str, Measured], now: dict[str, Measured]) -> str:
    """Two runs packet by packet, in floors; what only one of them has is left out."""
    lines: list[str] = []
    for setup in (setup for setup in SETUPS if setup in before and setup in now):
        old, new = before[setup].floors(), now[setup].floors()
        names = [name for name in new if name in old and name not in (FLOOR, FLOOR_AGAIN)]
        lines += ["", SETUPS[setup], f"{'packet, in floors':<34}{'before':>8}{'now':>8}{'ratio':>8}"]
        lines += [
            f"{name:<34}{old[name]:>8.1f}{new[name]:>8.1f}{new[name] / old[name]:>8.2f}" for name in names
        ]
        if names:
            mean = geometric_mean([new[name] / old[name] for name in names])
            lines.append(f"{f'mean of {len(names)}':<50}{mean:>8.2f}")
        drift = max(before[setup].drift or 0, now[setup].drift or 0)
        lines.append(f"the floor changed by up to {drift:.0%} within a run: smaller differences mean nothing")
    return "\n".join(lines) or "the two runs have no set-up in common"
