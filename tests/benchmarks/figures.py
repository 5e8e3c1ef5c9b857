"""The figures of a run, in microseconds of CPU and in floors, as they are kept in results.json.

A *floor* is what bare uvicorn takes to answer the bytes of a no-op, in the same run. Machines differ by a factor of two
and more, and so does one machine from hour to hour: a packet's floors stay, its microseconds do not.
"""

import json
import os
import platform
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

import msgspec

FLOOR, FLOOR_AGAIN, SQL_FLOOR = "bare uvicorn", "bare uvicorn, again", "bare asyncpg, a write"
TEN = " ×10"


@dataclass(frozen=True)
class Result:
    """One packet; CPU in microseconds a packet, latencies in milliseconds."""

    name: str
    messages: int
    rate: float
    message_rate: float
    p50: float
    p99: float
    server: float
    redis: float
    sql: float
    total: float
    errors: int


@dataclass
class Memory:
    """Seconds to the first packet, and bytes: server when fresh and after the load, an idle session in each."""

    start_seconds: float
    fresh_bytes: int
    session_bytes: int
    session_redis_bytes: int
    loaded_bytes: int = 0


@dataclass(frozen=True)
class Open:
    """With so many sessions open: bytes of one, times of a write in milliseconds, CPU of a full garbage collection."""

    sessions: int
    bytes_each: float
    median_ms: float
    p99_ms: float
    collection_ms: float


@dataclass
class Measured:
    """All of one set-up. `growth` has microseconds at each size; `sessions` is known of the embedded one."""

    memory: Memory
    packets: list[Result] = field(default_factory=list)
    growth: dict[str, list[float]] = field(default_factory=dict)
    sessions: list[Open] = field(default_factory=list)
    growth_errors: int = 0
    complaints: list[str] = field(default_factory=list)

    @property
    def errors(self) -> int:
        """Packets that were refused or not answered."""
        return sum(each.errors for each in self.packets) + self.growth_errors

    @property
    def floor(self) -> float:
        """Microseconds of the floor: the mean of before and after, as a machine changes while it is measured."""
        return fmean(self._floors())

    @property
    def drift(self) -> float | None:
        """How far the floors before and after lie apart, as a share: no difference below it means anything.

        None when the floor was measured once.
        """
        floors = self._floors()
        return max(floors) / min(floors) - 1 if len(floors) > 1 else None

    def _floors(self) -> list[float]:
        return [each.total for each in self.packets if each.name in (FLOOR, FLOOR_AGAIN)]

    def floors(self) -> dict[str, float]:
        """What each packet takes in floors, those with ten messages as a whole."""
        return {each.name: each.total / self.floor for each in self.packets}


def machine() -> dict[str, Any]:
    """What it ran on, in general words."""
    gibibytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    return {
        "processors": os.cpu_count(),
        "memory_gib": round(gibibytes),
        "system": platform.system(),
        "python": ".".join(platform.python_version_tuple()[:2]),
    }


def save(path: Path, measured: dict[str, Measured], scale: dict[str, Any]) -> None:
    """Write a run to a file."""
    told = {setup: asdict(each) for setup, each in measured.items()}
    for setup, each in told.items():
        del each["complaints"]
        floors = measured[setup].floors()
        for packet in each["packets"]:
            packet["floors"] = floors[packet["name"]]
    everything = {"machine": machine(), "scale": scale, "setups": told}
    path.write_text(json.dumps(_rounded(everything), indent=1, ensure_ascii=False) + "\n")


def load(path: Path) -> dict[str, Measured]:
    """Read a run that `save` has written."""
    return msgspec.convert(json.loads(path.read_text())["setups"], dict[str, Measured])


def _rounded(value: Any) -> Any:
    match value:
        case float():
            return round(value, 3)
        case dict():
            return {name: _rounded(each) for name, each in value.items()}
        case list() | tuple():
            return [_rounded(each) for each in value]
        case _:
            return value
