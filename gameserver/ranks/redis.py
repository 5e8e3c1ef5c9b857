"""Ranks in Redis, for any number of processes."""

# ruff: noqa: D102 - what the methods promise stands at `Ranks`

import asyncio
from collections.abc import Awaitable, Sequence
from hashlib import sha1
from importlib import resources
from typing import Any, Protocol

from gameserver.ranks.interface import Change, Page, Place, RanksAway

SEQ_DIGITS = 16  # hexadecimal
CHANGES_PER_CALL_MAX = 500  # a script holds up everybody else

Arg = str | bytes | int


class Commands(Protocol):
    """What sends commands to Redis, many callers' in one pipeline. Whoever opened it closes it."""

    def command(self, *command: Arg) -> "asyncio.Future[Any]": ...

    def script(self, script: Any, keys: tuple[str, ...], *args: Arg) -> "asyncio.Future[Any]": ...


class _Script:
    def __init__(self) -> None:
        self.text = resources.files("gameserver.ranks").joinpath("ranks.lua").read_text("utf-8")
        self.sha = sha1(self.text.encode(), usedforsecurity=False).hexdigest()


_SCRIPT = _Script()


class RedisRanks:
    """All lists of all processes that share a Redis. A list's keys share one slot of a Redis Cluster."""

    def __init__(self, commands: Commands) -> None:
        self._commands = commands

    async def page(
        self, name: str, first: int, last: int, *, backwards: bool = False, pending: Sequence[Change] = ()
    ) -> Page | None:
        words = ("page", int(backwards), "", first, last, len(pending), *_words(pending))
        return _page(await self._run(name, *words))

    async def around(
        self,
        name: str,
        place: str,
        before: int,
        after: int,
        *,
        backwards: bool = False,
        pending: Sequence[Change] = (),
    ) -> Page | None:
        words = ("around", int(backwards), place, before, after, len(pending), *_words(pending))
        return _page(await self._run(name, *words))

    async def change(self, name: str, changes: Sequence[Change]) -> bool:
        taken = True
        for start in range(0, len(changes), CHANGES_PER_CALL_MAX):
            part = changes[start : start + CHANGES_PER_CALL_MAX]
            taken = bool(await self._run(name, "change", len(part), *_words(part))) and taken
        return taken

    async def repair(self, name: str, place: str, seen: int | None, truth: Place | None) -> None:
        put = ("", "") if truth is None else (_seq(truth.seq), str(truth.key))
        await self._run(name, "repair", place, "" if seen is None else _seq(seen), *put)

    async def begin(self, name: str, token: str, life_seconds: int) -> bool:
        return bool(await self._run(name, "begin", token, life_seconds))

    async def extend(self, name: str, token: str, life_seconds: int) -> bool:
        return bool(await self._run(name, "extend", token, life_seconds))

    async def finish(self, name: str, token: str) -> bool:
        return bool(await self._run(name, "finish", token))

    async def forget(self, name: str) -> None:
        await _reached(self._commands.command("UNLINK", *_keys(name)))

    async def identity(self) -> str:
        facts = await _reached(self._commands.command("INFO", "server"))
        return str(facts["run_id"]) if isinstance(facts, dict) else _run_id(facts)

    async def _run(self, name: str, *words: Arg) -> Any:
        return await _reached(self._commands.script(_SCRIPT, _keys(name), *words))


async def _reached(reply: Awaitable[Any]) -> Any:
    try:
        return await reply
    except Exception as error:
        raise RanksAway(f"Redis did not answer ({type(error).__name__})") from error


def _keys(name: str) -> tuple[str, str, str]:
    return f"ranks:{{{name}}}:set", f"ranks:{{{name}}}:hash", f"ranks:{{{name}}}:builder"


def _seq(seq: int) -> str:
    return f"{seq:0{SEQ_DIGITS}x}"


def _words(changes: Sequence[Change]) -> list[Arg]:
    return [
        word for place, seq, key in changes for word in (place, _seq(seq), "" if key is None else str(key))
    ]


def _page(reply: Any) -> Page | None:
    if reply is None:
        return None
    size, first, rows = reply
    places = [
        Place(member[SEQ_DIGITS:].decode(), int(member[:SEQ_DIGITS], 16), int(float(key)))
        for member, key in zip(rows[::2], rows[1::2], strict=True)
    ]
    return Page(size, first, places)


def _run_id(info: Any) -> str:
    text = info.decode() if isinstance(info, bytes) else str(info)
    return next((line[7:].strip() for line in text.splitlines() if line.startswith("run_id:")), "")
