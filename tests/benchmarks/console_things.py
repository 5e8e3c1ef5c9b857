"""What an app of a size has beside players: boards, documents, what happened, messages, groups.

Everything grows with the number of players; one player, one board, one group and one channel have much.
"""

import json
import time
import uuid
from collections.abc import Iterator
from typing import Any

from sqlalchemy import Boolean, Float, Integer, Table

from gameserver.app import GameServer
from gameserver.domain.leaderboards import Leaderboards
from gameserver.domain.leaderboards.ranked_pages import list_name
from gameserver.storage import Json, insert_row, metadata
from gameserver.storage.timeline import first_id

CHUNK = 5000
SPREAD_MS = 14 * 24 * 3_600_000
BOARD, CHANNEL_KIND = "arena", "gl"
OF_ONE = 5000
"""Rows of the player, and members of the group, that are looked at."""
LARGE = json.dumps({"level": 1, "map": ["grass and stone"] * (1_000_000 // 19)})
"""A document of 1 MB."""
CODES = (40304, 40307, 40206, 40332, 40601)
SMALL = json.dumps({"level": 7, "gold": 1e16, "bag": ["rope", "lamp", "a letter"], "at": {"x": 1, "y": 2}})


def uid_of(kind: str, number: int) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f"{kind} {number}"))


def blank(table: Table) -> dict[str, Any]:
    """A row in which each column says nothing."""
    row: dict[str, Any] = {}
    for column in table.c:
        kind = column.type
        if column.nullable:
            row[column.name] = None
        elif isinstance(kind, Json):
            row[column.name] = "{}"
        elif isinstance(kind, Boolean):
            row[column.name] = False
        else:
            row[column.name] = 0 if isinstance(kind, Integer | Float) else ""
    return row


class Things:
    """Makes rows of an app, between two weeks ago and now."""

    def __init__(self, server: GameServer, app_id: str, players: list[str], whose: str) -> None:
        self.server, self.app_id, self.players, self.whose = server, app_id, players, whose
        self.count = len(players)
        self.now_ms = server.core.clock.ms()

    def at(self, number: int, of: int) -> int:
        """When a row of so many came: the first one two weeks ago."""
        return self.now_ms - SPREAD_MS + number * SPREAD_MS // of

    def player(self, number: int) -> str:
        return self.players[number % self.count]

    async def add(self, name: str, rows: Iterator[dict[str, Any]]) -> None:
        table = metadata.tables[name]
        statement, empty, some = insert_row(table), blank(table), []
        if "app_id" in table.c:
            empty["app_id"] = self.app_id
        for row in rows:
            some.append(empty | row)
            if len(some) == CHUNK:
                await self._write(statement, some)
                some = []
        if some:
            await self._write(statement, some)

    async def _write(self, statement: Any, rows: list[dict[str, Any]]) -> None:
        async with self.server.core.database.write() as tx:
            await tx.run_many(statement, rows)

    def timeline(self, count: int, **columns: Any) -> Iterator[dict[str, Any]]:
        """Rows of what has happened."""
        for number in range(count):
            at_ms = self.at(number, count)
            row = {name: value(number) if callable(value) else value for name, value in columns.items()}
            yield {"id": f"{first_id(at_ms)}{number:016x}", "at_ms": at_ms} | row

    async def fill(self) -> None:
        count, began = self.count, time.perf_counter()
        await self.add("audit_events", self.timeline(
            count, kind=lambda n: "refusal" if n % 20 == 0 else "login", reason=lambda n: "40307" if n % 20 == 0 else "Universal",
            profile_id=self.player, face="dispatcher", address=lambda n: f"10.0.{n % 250}.{n % 199}", times=1,
        ))  # fmt: skip
        await self.add("refusals", self.timeline(
            min(count, 100_000), profile_id=self.player, face="dispatcher", operation="playerState.READ", status=403,
            reason_code=lambda n: CODES[n % len(CODES)], request_id=lambda n: f"{n:032x}", times=1,
        ))  # fmt: skip
        await self.add("staff_actions", self.timeline(
            count // 10, staff=lambda n: f"ada-{n % 9}", via="console", action="player_disable", outcome="done",
            profile_id=self.player, reason="because of a complaint", before='{"is_disabled":false}', after='{"is_disabled":true}',
        ))  # fmt: skip
        await self.add("app_log_lines", self.timeline(
            min(count // 2, 100_000), level=lambda n: ("info", "warn", "error")[n % 50 // 24], message=lambda n: f"the shop sold {n}",
            context=SMALL, face="script", source=lambda n: f"shop/Buy{n % 30}", profile_id=self.player,
        ))  # fmt: skip
        await self.add("data_stream_reports", self.timeline(
            count // 2, kind=lambda n: ("EVENT", "PAGE", "CRASH")[n % 50 // 24], name=lambda n: f"level {n % 99}",
            platform="IOS", game_version="1.2.3", data=SMALL, profile_id=self.player,
        ))  # fmt: skip
        await self.add("letters", (
            {"letter_id": uid_of("letter", n), "sender_id": "", "receiver_id": self.player(n), "state": "failed" if n % 40 == 0 else "sent",
             "created_ms": self.at(n, count // 4), "ended_ms": self.at(n, count // 4)} for n in range(count // 4)
        ))  # fmt: skip
        await self.add("push_deliveries", (
            {"push_id": uid_of("push", n // 100), "device": f"{n:064x}", "profile_id": self.player(n), "kind": "IOS", "provider": "apple",
             "state": "failed" if n % 40 == 0 else "sent", "created_ms": self.at(n, count // 2)} for n in range(count // 2)
        ))  # fmt: skip
        await self.documents()
        await self.boards()
        await self.social()
        await self.minutes()
        print(f"everything else made in {time.perf_counter() - began:.0f} s", flush=True)

    async def documents(self) -> None:
        def one(kind: str, number: int, of: int) -> dict[str, Any]:
            at_ms = self.at(number, of)
            return {
                "entity_id": uid_of(kind, number), "entity_type": f"save{number % 5}", "version": 1,
                "data": LARGE if number == 0 else SMALL, "created_ms": at_ms, "updated_ms": at_ms,
            }  # fmt: skip

        count = self.count
        await self.add(
            "entities", ({**one("entity", n, OF_ONE), "owner_id": self.whose} for n in range(OF_ONE))
        )
        await self.add("entities", (
            {**one("other", n + 1, count), "owner_id": self.player(n)} for n in range(count) if self.player(n) != self.whose
        ))  # fmt: skip
        await self.add("global_entities", (
            {**one("global", n, count // 2), "indexed_id": f"i{n % 1000}", "life_ms": -1, "expires_ms": 2**63 - 1} for n in range(count // 2)
        ))  # fmt: skip

    async def boards(self) -> None:
        count = max(self.count // 500, 100)
        await self.add("leaderboards", (
            {"uid": uid_of("board", n), "board_id": BOARD if n == 0 else f"level-{n:05}", "entry_type": "PLAYER", "board_type": "HIGH_VALUE",
             "rotation": "NEVER", "version": 1, "db_version": 1, "created_ms": self.now_ms, "started_ms": self.now_ms} for n in range(count)
        ))  # fmt: skip
        scores = self.count // 5
        await self.add("leaderboard_entries", (
            {"board_uid": uid_of("board", 0), "version": 1, "entry_id": self.player(n), "member_id": self.player(n),
             "rank_key": -(n * 7919 % 1_000_003), "seq": n + 1, "created_ms": self.now_ms, "updated_ms": self.now_ms} for n in range(scores)
        ))  # fmt: skip
        await self.add("leaderboard_entries", (
            {"board_uid": uid_of("board", n), "version": 1, "entry_id": self.whose, "member_id": self.whose, "rank_key": -n,
             "seq": scores + n, "created_ms": self.now_ms, "updated_ms": self.now_ms} for n in range(1, 100)
        ))  # fmt: skip
        await self.server.core.get(Leaderboards).index.build(list_name(uid_of("board", 0), 1))

    async def social(self) -> None:
        count, groups, channels = self.count, max(self.count // 50, 100), max(self.count // 100, 100)

        def channel(number: int) -> str:
            return f"{self.app_id}:{CHANNEL_KIND}:room{number}"

        await self.add("chat_channels", (
            {"channel_id": channel(n), "kind": CHANNEL_KIND, "number": 1000, "used_ms": self.at(n, channels)} for n in range(channels)
        ))  # fmt: skip
        content = json.dumps({"text": "Anybody here who would come along to the moon tonight?"})
        await self.add("chat_messages", (
            {"channel_id": channel(n // 1000), "number": n % 1000, "from_id": self.whose if n % 10 == 0 and n < 10 * OF_ONE else self.player(n), "from_name": "Ada",
             "content": content, "version": 1, "created_ms": self.at(n, count)} for n in range(count)
        ))  # fmt: skip
        await self.add("social_groups", (
            {"group_id": uid_of("group", n), "owner_id": self.player(n), "name": f"Moon Miners {n}", "group_type": "clan", "is_open": True,
             "version": 1, "data": LARGE if n == 0 else SMALL, "member_count": OF_ONE if n == 0 else 1,
             "created_ms": self.at(n, groups), "updated_ms": self.at(n, groups)} for n in range(groups)
        ))  # fmt: skip
        await self.add("group_members", (
            {"group_id": uid_of("group", 0), "profile_id": self.player(n), "seat": "member", "role": "OWNER" if n == 0 else "MEMBER"}
            for n in range(min(OF_ONE, count))
        ))  # fmt: skip
        await self.add("messages", (
            {"msg_id": uid_of("message", n), "from_id": self.player(n), "message": SMALL, "version": 1, "created_ms": self.at(n, count // 2)}
            for n in range(count // 2)
        ))  # fmt: skip
        await self.add("message_boxes", (
            {"owner_id": self.whose if n < OF_ONE else self.player(n), "entry_id": f"m{n}", "msg_id": uid_of("message", n), "msgbox": "inbox",
             "version": 1, "created_ms": self.at(n, count // 2), "is_first": True} for n in range(count // 2)
        ))  # fmt: skip
        await self.add("friendships", (
            {"owner_id": self.whose, "friend_id": self.player(n), "ways": 1, "created_ms": self.now_ms}
            for n in range(min(OF_ONE, count)) if self.player(n) != self.whose
        ))  # fmt: skip

    async def minutes(self) -> None:
        """What two processes have counted in 14 days."""
        minutes = SPREAD_MS // 60_000
        first = self.now_ms // 60_000 - minutes
        each = [(process, first + n) for process in ("one/1/aa", "two/2/bb") for n in range(minutes)]
        await self.add("server_minutes", (
            {"process": process, "minute_ms": 60_000 * minute, "version": "1", "packets": 60_000, "messages": 90_000, "bucket_3": 60_000}
            for process, minute in each
        ))  # fmt: skip
        await self.add("app_minutes", (
            {"process": process, "minute_ms": 60_000 * minute, "logins": 100, "refusals": 3, "online": 5000} for process, minute in each
        ))  # fmt: skip
        first_day = self.now_ms // 86_400_000 - 400
        await self.add("app_days", (
            {"day_ms": 86_400_000 * (first_day + n), "new_players": 100, "active": 5000, "active_month": 9000, "of_1": 100, "back_1": 41}
            for n in range(400)
        ))  # fmt: skip
