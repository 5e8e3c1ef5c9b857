"""Beginning bulk actions, seeing how far they are, cancelling and undoing them."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from gameserver.admin.bounded import BoundedServer
from gameserver.admin.bulk.kinds import KINDS, Given, check
from gameserver.admin.bulk.running import JOB
from gameserver.admin.bulk.storage import (
    ADD,
    ADD_PART,
    CANCELLED,
    CHANGED,
    DONE,
    END,
    FORGET_PARTS,
    IDS_AFTER,
    LIST,
    OF_OUTCOME,
    PLAYERS,
    READ,
    RUNNING,
    SET_UNDONE,
)
from gameserver.admin.common import Changed, Refused, Server, app_of, limit_of
from gameserver.admin.declaring import action, by_key
from gameserver.admin.operators import CLI, Operator, note
from gameserver.admin.players import MEANT_MAX, meant
from gameserver.admin.rights import Right
from gameserver.admin.segments import current_segment
from gameserver.apps import App
from gameserver.domain.segments import refreshing, storage
from gameserver.jobs import enqueue
from gameserver.storage import Row, Transaction
from gameserver.storage.timeline import first_id
from gameserver.wire import json
from gameserver.wire.ids import new_id

PART_PLAYERS = 50
NAMED_MAX = 5_000  # players that are named one by one
ID_MAX = 36
READ_ROWS = 5_000


class OtherCount(Changed):
    """There are other players than whoever began had counted. Nothing was done."""

    def __init__(self, expected: int, count: int) -> None:
        Refused.__init__(self, f"{expected} players were expected and there are {count}; nothing was done")
        self.data, self.version, self.count = str(count), count, count


class Whom(NamedTuple):
    """Which players are meant: in one of four ways."""

    profiles: list[str] | None
    text: str
    segment: int | None
    everybody: bool

    def check(self) -> None:
        """Refuse what is none of the four ways, or several of them."""
        ways = (self.profiles is not None, bool(self.text), self.segment is not None, self.everybody)
        if sum(ways) != 1:
            raise Refused("say who is meant, in one way: profiles, a text, a segment, or everybody")

    def told(self, ids: Sequence[str]) -> dict[str, Any]:
        """Return what is noted of it."""
        if self.text:
            return {"text": self.text}
        if self.segment is not None:
            return {"segment": self.segment}
        return {"everybody": True} if self.everybody else {"named": len(ids)}


@action(Right.PLAYERS_READ, "GET /apps/{app}/bulk/count")
async def bulk_count(server: Server, app: str, text: str = "", segment: int | None = None) -> dict[str, Any]:
    """Count the players whom a text finds, as a search does, or of a segment, or all.

    More than 100 000 are refused.
    """
    app_of(server, app)
    whom = Whom(None, text.strip(), segment, not text.strip() and segment is None)
    whom.check()
    return {"text": whom.text, "segment": segment, "players": len(await _found(server, app, whom))}


@action(Right.PLAYERS_CHANGE, "POST /apps/{app}/bulk", dangerous=True)
async def bulk_start(
    server: Server,
    app: str,
    kind: str,
    expected: int,
    profiles: list[str] | None = None,
    text: str = "",
    segment: int | None = None,
    *,
    everybody: bool = False,
    given: dict[str, Any] | None = None,
    by: Operator = CLI,
) -> dict[str, Any]:
    """Begin to do something for many players, as a job.

    `profiles` names them, 5000 at most; or they are those whom `text` finds, the members of a `segment`, or
    `everybody`, 100 000 at most. `expected` is how many there are: with another number nothing is done, and
    the answer is 409. `kind` and what it takes in `given`: `balance` (`currency`, `amount`, below zero to
    take back), `disable` (`until_ms` or nothing), `enable`, `message` (`text`, `sender`), `push` (`text`),
    `mail` (`title`, `text`).
    """
    if kind == "delete":
        raise Refused("players are deleted by bulk_delete, which needs another right")
    whom = Whom(profiles, text.strip(), segment, everybody)
    return await _begin(server, app, kind, expected, whom, given or {}, by)


@action(Right.PLAYERS_ERASE, "POST /apps/{app}/bulk/delete", dangerous=True)
async def bulk_delete(
    server: Server,
    app: str,
    expected: int,
    profiles: list[str] | None = None,
    text: str = "",
    segment: int | None = None,
    *,
    everybody: bool = False,
    by: Operator = CLI,
) -> dict[str, Any]:
    """Begin to delete many players with all that is kept of them; arguments as those of `bulk_start`."""
    whom = Whom(profiles, text.strip(), segment, everybody)
    return await _begin(server, app, "delete", expected, whom, {}, by)


async def _begin(
    server: Server, app: str, kind: str, expected: int, whom: Whom, given: dict[str, Any], by: Operator
) -> dict[str, Any]:
    checked = check(app_of(server, app), kind, given)
    whom.check()
    if whom.profiles is not None:
        ids = sorted(set(whom.profiles))
        if not 0 < len(ids) <= NAMED_MAX or not all(0 < len(each) <= ID_MAX for each in ids):
            raise Refused(f"profiles are 1 to {NAMED_MAX} profile ids")
    else:
        ids = await _found(BoundedServer(server, by.name), app, whom)
    if len(ids) != expected:
        raise OtherCount(expected, len(ids))
    return await _store(server, app, kind, checked, ids, whom.told(ids), by)


async def _found(server: Any, app: str, whom: Whom) -> list[str]:
    """Return the ids of the players whom a text finds, of those of a segment, or of all."""
    if whom.text:
        return await meant(server, app, whom.text)
    found: list[str] = []
    created, last, definition = -1, "", ""
    while True:
        async with server.core.database.read() as tx:
            if whom.segment is None:
                asked = {"app": app, "created": created, "last": last, "most": READ_ROWS}
                rows = await tx.all(IDS_AFTER, **asked)
            else:
                definition = definition or await _whole_segment(tx, app_of(server, app), whom.segment)
                asked = {"app": app, "definition": definition, "after": last, "most": READ_ROWS}
                rows = await tx.all(storage.LISTED, **asked)
        found += [row["profile_id"] for row in rows]
        if len(found) > MEANT_MAX:
            raise Refused(
                f"there are more than {MEANT_MAX} players: do it by segments, or by how their names begin"
            )
        if len(rows) < READ_ROWS:
            return found
        last = rows[-1]["profile_id"]
        created = rows[-1]["created_ms"] if whom.segment is None else -1


async def _whole_segment(tx: Transaction, app: App, segment: int) -> str:
    """Return what its members bear, once all players were looked at since the segments last changed."""
    definition = current_segment(app, segment)
    if not await refreshing.is_whole(tx, app):
        raise Refused("it is still being worked out who belongs to which segment; wait until that is done")
    return definition


async def _store(
    server: Server, app: str, kind: str, given: Given, ids: Sequence[str], what: dict[str, Any], by: Operator,
    undoes: str = "",
) -> dict[str, Any]:  # fmt: skip
    now = server.core.clock.ms()
    bulk_id = f"{first_id(now)}{new_id()[:8]}"
    parts = [
        {
            "app_id": app,
            "bulk_id": bulk_id,
            "number": number,
            "ids": json.encode(list(ids[start : start + PART_PLAYERS])).decode(),
        }
        for number, start in enumerate(range(0, len(ids), PART_PLAYERS))
    ]
    row = {
        "app_id": app,
        "id": bulk_id,
        "at_ms": now,
        "ended_ms": None if ids else now,
        "staff": by.name[:64],
        "address": by.address[:64],
        "reason": by.reason[:500],
        "kind": kind,
        "given": json.encode(given).decode(),
        "what": json.encode(what).decode(),
        "state": RUNNING if ids else DONE,
        "total": len(ids),
        "changed": 0,
        "skipped": 0,
        "refused": 0,
        "undoes": undoes,
        "undone_by": "",
    }
    async with server.core.database.write() as tx:
        if undoes and not await tx.run(SET_UNDONE, app=app, id=undoes, undo=bulk_id):
            raise Refused("this was undone already")
        await tx.run(ADD, **row)
        if parts:
            await tx.run_many(ADD_PART, parts)
            await enqueue(
                tx, JOB, f"{bulk_id}/0/0", {"app": app, "bulk": bulk_id, "part": 0}, at_ms=now, lane=app
            )
        after = {"kind": kind, "players": len(ids), **what, "given": msgspec.to_builtins(given)}
        await note(server, tx, by, "bulk_start", app, target=bulk_id, after=after)
    return _told(row)


@action(Right.PLAYERS_READ, "GET /apps/{app}/bulk", pages=by_key("id"))
async def bulk_list(server: Server, app: str, limit: int = 50, after: str = "") -> list[dict[str, Any]]:
    """Return bulk actions of an app, the newest first; `after` is the id of the last one already seen."""
    app_of(server, app)
    most = limit_of(limit)
    async with server.core.database.read() as tx:
        return [_told(row) for row in await tx.all(LIST, app=app, most=most, after=after or "~")]


@action(Right.PLAYERS_READ, "GET /apps/{app}/bulk/{bulk}")
async def bulk_show(server: Server, app: str, bulk: str) -> dict[str, Any]:
    """Return a bulk action, and how far it is."""
    app_of(server, app)
    async with server.core.database.read() as tx:
        return _told(await _bulk(tx, app, bulk))


@action(Right.PLAYERS_READ, "GET /apps/{app}/bulk/{bulk}/players", pages=by_key("profile_id"))
async def bulk_players(
    server: Server, app: str, bulk: str, outcome: str = "", limit: int = 50, after: str = ""
) -> list[dict[str, Any]]:
    """Return what came of a bulk action for each player who had their turn, by profile id.

    `outcome` is `changed`, `skipped` or `refused`; `after` is the id of the last one already seen.
    """
    app_of(server, app)
    most = limit_of(limit)
    async with server.core.database.read() as tx:
        await _bulk(tx, app, bulk)
        asked = {"app": app, "bulk": bulk, "after": after, "most": most}
        rows = await (tx.all(OF_OUTCOME, **asked, outcome=outcome) if outcome else tx.all(PLAYERS, **asked))
    return [{name: row[name] for name in ("profile_id", "outcome", "why", "at_ms")} for row in rows]


@action(Right.PLAYERS_CHANGE, "POST /apps/{app}/bulk/{bulk}/cancel")
async def bulk_cancel(server: Server, app: str, bulk: str, *, by: Operator = CLI) -> dict[str, Any]:
    """Stop a bulk action: whoever had their turn keeps what was done."""
    app_of(server, app)
    async with server.core.database.write() as tx:
        await _bulk(tx, app, bulk)
        if not await tx.run(END, app=app, id=bulk, new_state=CANCELLED, now=server.core.clock.ms()):
            raise Refused("it has ended already")
        await tx.run(FORGET_PARTS, app=app, bulk=bulk)
        await note(server, tx, by, "bulk_cancel", app, target=bulk)
        return _told(await _bulk(tx, app, bulk))


@action(Right.PLAYERS_CHANGE, "POST /apps/{app}/bulk/{bulk}/undo")
async def bulk_undo(server: Server, app: str, bulk: str, *, by: Operator = CLI) -> dict[str, Any]:
    """Undo a bulk action that has ended, for those players for whom it changed something, as another one.

    What cannot be undone: what was sent, and players who are deleted.
    """
    app_of(server, app)
    async with server.core.database.read() as tx:
        row = await _bulk(tx, app, bulk)
        undo = KINDS[row["kind"]].undo
        if row["state"] == RUNNING:
            raise Refused("it runs still: cancel it first")
        if not undo or row["undoes"]:
            raise Refused(f"{row['kind']} cannot be undone")
        ids: list[str] = []
        while True:
            more = {"app": app, "bulk": bulk, "after": ids[-1] if ids else "", "most": READ_ROWS}
            some = [each["profile_id"] for each in await tx.all(OF_OUTCOME, **more, outcome=CHANGED)]
            ids += some
            if len(some) < READ_ROWS:
                break
    given = msgspec.json.decode(row["given"], type=Given)
    given = msgspec.structs.replace(given, amount=-given.amount, until_ms=None)
    if not by.reason:
        by = msgspec.structs.replace(by, reason="undone")
    return await _store(server, app, undo, given, ids, {"undoes": bulk}, by, undoes=bulk)


ACTIONS = (
    bulk_count,
    bulk_start,
    bulk_delete,
    bulk_list,
    bulk_show,
    bulk_players,
    bulk_cancel,
    bulk_undo,
)


async def _bulk(tx: Transaction, app: str, bulk: str) -> Row:
    row = await tx.one(READ, app=app, id=bulk)
    if row is None:
        raise Refused("there is no such bulk action")
    return row


def _told(row: Any) -> dict[str, Any]:
    names = (
        "id", "at_ms", "ended_ms", "staff", "reason", "kind", "state", "total", "changed", "skipped",
        "refused", "undoes", "undone_by",
    )  # fmt: skip
    told = {name: row[name] for name in names}
    is_over = row["state"] != RUNNING
    told["can_undo"] = (
        is_over and bool(KINDS[row["kind"]].undo) and not row["undoes"] and not row["undone_by"]
    )
    return told | {name: json.read_stored(row[name]) for name in ("given", "what")}
