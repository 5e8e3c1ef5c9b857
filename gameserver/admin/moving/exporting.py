"""Telling all there is of an app in lines: each page says where the next one begins."""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import BigInteger, BindParameter, String, Text, bindparam, desc, select, tuple_

from gameserver.admin.common import Refused, Server, app_of, limit_of
from gameserver.admin.declaring import action
from gameserver.admin.operators import CLI, Operator, note
from gameserver.admin.rights import Right
from gameserver.apps import App
from gameserver.documents.documents import acl_of
from gameserver.domain.economy.wallet import wallets
from gameserver.domain.leaderboards import EntryType, Rotation
from gameserver.domain.leaderboards.boards import boards, entries, read_board
from gameserver.domain.progress.experience import player_progress
from gameserver.domain.progress.statistics import read_global
from gameserver.players import accounts
from gameserver.players.identities import identities
from gameserver.players.profiles import players
from gameserver.players.users import user_properties
from gameserver.services.entity.storage import entities
from gameserver.services.global_entity.rules import NEVER_MS
from gameserver.services.global_entity.storage import entities as global_entities
from gameserver.storage import Row, Transaction
from gameserver.wire import json

_PLACES: Mapping[str, tuple[tuple[type, ...], ...]] = {
    "globalStatistics": (),
    "player": ((int, str),),
    "entity": ((int, str, str),),
    "globalEntity": ((int, str),),
    "leaderboard": ((str,),),
    "score": ((str,), (str, int, int, str)),
}
PARTS = tuple(_PLACES)
"""In this order: what a line names has come before it."""
NUMBER_MAX = 2**63 - 1


def check_place(part: str, after: Sequence[Any]) -> None:
    """Raise `Refused` for what is no place in a part that a page has told."""
    fits = tuple(map(type, after)) in _PLACES[part]
    if not fits or any(isinstance(value, int) and abs(value) > NUMBER_MAX for value in after):
        raise Refused("after is what the page before has told, or nothing")


_APP: BindParameter[str] = bindparam("app")
_MOST: BindParameter[int] = bindparam("most")


def _after(*types: Any) -> Any:
    return tuple_(*(bindparam(f"after{place}", type_=kind) for place, kind in enumerate(types)))


_p = players.c
_AGE = (_p.created_ms, _p.profile_id)
PLAYERS = (
    select(players)
    # The first condition finds the place in the index; the second one alone would not on every database.
    .where(_p.app_id == _APP, _p.created_ms >= bindparam("after0", type_=BigInteger()))
    .where(tuple_(*_AGE) > _after(BigInteger(), String()))
    .order_by(*_AGE)
    .limit(_MOST)
)
_e = entities.c
ENTITIES = (
    select(*entities.c, _p.created_ms.label("player_ms"))
    .select_from(players.join(entities, _e.owner_id == _p.profile_id))
    .where(_p.app_id == _APP, _e.app_id == _APP, _p.created_ms >= bindparam("after0", type_=BigInteger()))
    .where(tuple_(*_AGE, _e.entity_id) > _after(BigInteger(), String(), String()))
    .order_by(*_AGE, _e.entity_id)
    .limit(_MOST)
)
_g = global_entities.c
GLOBAL_ENTITIES = (
    select(global_entities)
    .where(_g.app_id == _APP, tuple_(_g.created_ms, _g.entity_id) > _after(BigInteger(), String()))
    .order_by(_g.created_ms, _g.entity_id)
    .limit(_MOST)
)
BOARDS = (
    select(boards)
    .where(boards.c.app_id == _APP, boards.c.board_id > bindparam("after0", type_=Text()))
    .order_by(boards.c.board_id)
    .limit(_MOST)
)
_s = entries.c
_PLACE = (_s.rank_key, _s.seq, _s.entry_id)
_OF_BOARD = select(entries).where(_s.board_uid == bindparam("uid"), _s.version == bindparam("version"))
# The last one first: who takes them in this order has equal scores in the same order again.
LAST_SCORES = _OF_BOARD.order_by(*map(desc, _PLACE)).limit(_MOST)
SCORES = LAST_SCORES.where(tuple_(*_PLACE) < _after(BigInteger(), BigInteger(), Text()))

_IDS: BindParameter[str] = bindparam("ids", expanding=True)
IDENTITIES = (
    select(identities)
    .where(identities.c.app_id == _APP, identities.c.profile_id.in_(_IDS))
    .order_by(identities.c.created_ms, identities.c.type, identities.c.external_key)
)
PROGRESS = select(player_progress).where(player_progress.c.profile_id.in_(_IDS))
BALANCES = select(wallets).where(wallets.c.profile_id.in_(_IDS)).order_by(wallets.c.currency)
PROPERTIES = select(user_properties).where(user_properties.c.profile_id.in_(_IDS))


@action(Right.PLAYERS_ERASE, "POST /apps/{app}/export", dangerous=True)
async def export_page(
    server: Server,
    app: str,
    part: str,
    limit: int,
    after: list[Any] | None = None,
    *,
    with_passwords: bool = False,
    by: Operator = CLI,
) -> dict[str, Any]:
    """Return some lines of a part of an app, and where the next ones begin: `after`, null at the end.

    Parts are globalStatistics, player, entity, globalEntity, leaderboard and score. Digests of passwords are
    told on the command line alone.
    """
    definition, most = app_of(server, app), limit_of(limit)
    if part not in PARTS:
        raise Refused(f"an export has the parts {', '.join(PARTS)}")
    if with_passwords and by is not CLI:
        raise Refused("digests of passwords are told on the command line alone")
    if after is not None:
        check_place(part, after)
    async with server.core.database.write() as tx:  # each page: whoever says where to begin begins anywhere
        await note(server, tx, by, "export_page", app, target=part, after={"after": after})
    page = _Page(definition, most, server.core.clock.ms(), with_passwords=with_passwords)
    async with server.core.database.read() as tx:
        found, following = await page.parts[part](tx, after)
    return {
        "lines": [json.encode_free({"type": part, **line}).decode() for line in found],
        "after": following,
    }


_Found = tuple[list[dict[str, Any]], list[Any] | None]
_Part = Callable[[Transaction, list[Any] | None], Awaitable[_Found]]


class _Page:
    def __init__(self, app: App, most: int, now_ms: int, *, with_passwords: bool) -> None:
        self._app, self._most, self._now_ms = app, most, now_ms
        self._with_passwords = with_passwords
        self.parts: Mapping[str, _Part] = {
            "globalStatistics": self._global_statistics,
            "player": self._players,
            "entity": self._entities,
            "globalEntity": self._global_entities,
            "leaderboard": self._leaderboards,
            "score": self._scores,
        }

    def _next(self, rows: Sequence[Row], *names: str) -> list[Any] | None:
        return [rows[-1][name] for name in names] if len(rows) == self._most else None

    async def _rows(self, tx: Transaction, statement: Any, after: Sequence[Any]) -> Sequence[Row]:
        places = {f"after{place}": value for place, value in enumerate(after)}
        return await tx.all(statement, app=self._app.id, most=self._most, **places)

    async def _global_statistics(self, tx: Transaction, _: list[Any] | None) -> _Found:
        found = await read_global(tx, self._app.id)
        return ([{"statistics": found}] if found else []), None

    async def _players(self, tx: Transaction, after: list[Any] | None) -> _Found:
        rows = await self._rows(tx, PLAYERS, after or [-1, ""])
        ids = [row["profile_id"] for row in rows]
        if not ids:
            return [], None
        logins: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for row in await tx.all(IDENTITIES, app=self._app.id, ids=ids):
            logins[row["profile_id"]].append(self._identity(row))
        balances: dict[str, dict[str, Any]] = defaultdict(dict)
        for row in await tx.all(BALANCES, ids=ids):
            names = ("balance", "purchased", "awarded", "consumed", "revoked")
            balances[row["profile_id"]][row["currency"]] = {name: row[name] for name in names}
        progress = {row["profile_id"]: row for row in await tx.all(PROGRESS, ids=ids)}
        properties = {row["profile_id"]: row["properties"] for row in await tx.all(PROPERTIES, ids=ids)}
        found = []
        for row in rows:
            profile_id = row["profile_id"]
            line = _player(row)
            if profile_id in properties:
                line["properties"] = json.read_stored(properties[profile_id])
            line["identities"] = logins[profile_id]
            if (own := progress.get(profile_id)) is not None:
                line["statistics"] = json.read_stored(own["statistics"])
                line["experiencePoints"] = own["experience"]
            if balances[profile_id]:
                line["currency"] = balances[profile_id]
            found.append(line)
        return found, self._next(rows, "created_ms", "profile_id")

    def _identity(self, row: Row) -> dict[str, Any]:
        type_, external_id = row["type"], row["external_id"]
        told = {
            "authenticationType": type_,
            "externalId": external_id,
            "isValidated": bool(row["is_validated"]),
            "createdAt": row["created_ms"],
        }
        if row["external_key"] != accounts.identity_key(type_, external_id):
            told["externalAuthName"] = row["external_key"].removesuffix(f"/{external_id}")
        if self._with_passwords and row["digest"] is not None:
            told["passwordDigest"] = row["digest"]
        return told

    async def _entities(self, tx: Transaction, after: list[Any] | None) -> _Found:
        rows = await self._rows(tx, ENTITIES, after or [-1, "", ""])
        found = [
            {
                "profileId": row["owner_id"],
                **_document(row),
                **({"isSingleton": True} if row["is_singleton"] else {}),
            }
            for row in rows
        ]
        return found, self._next(rows, "player_ms", "owner_id", "entity_id")

    async def _global_entities(self, tx: Transaction, after: list[Any] | None) -> _Found:
        rows = await self._rows(tx, GLOBAL_ENTITIES, after or [-1, ""])
        found = [
            {
                "ownerId": row["owner_id"],
                "entityIndexedId": row["indexed_id"],
                **_document(row),
                "timeToLive": row["life_ms"],
                **({"expiresAt": row["expires_ms"]} if row["expires_ms"] < NEVER_MS else {}),
            }
            for row in rows
            if row["expires_ms"] > self._now_ms
        ]
        return found, self._next(rows, "created_ms", "entity_id")

    async def _leaderboards(self, tx: Transaction, after: list[Any] | None) -> _Found:
        rows = await self._rows(tx, BOARDS, after or [""])
        return [self._board(row) for row in rows if self._is_told(row)], self._next(rows, "board_id")

    def _is_told(self, row: Row) -> bool:
        """What tournaments and groups make of boards is theirs, and not told."""
        is_over = row["expires_ms"] is not None and row["expires_ms"] <= self._now_ms
        is_of_players = row["entry_type"] == EntryType.PLAYER and row["div_set"] is None
        return is_of_players and not is_over and row["rotation"] != Rotation.ADHOC

    def _board(self, row: Row) -> dict[str, Any]:
        board = read_board(row).at(self._now_ms)[0]
        return {
            "leaderboardId": board.board_id,
            "leaderboardType": board.board_type.value,
            "rotationType": board.rotation.value,
            "numDaysToRotate": board.days,
            "resetAt": board.reset_ms,
            "retainedCount": board.retained,
            "data": None if board.data is None else json.read_stored(board.data),
        }

    async def _scores(self, tx: Transaction, after: list[Any] | None) -> _Found:
        """Tell scores of one board; after its last ones comes the next board."""
        board_id, *place = after or [""]
        if not place:
            rows = await tx.all(BOARDS, app=self._app.id, most=1, after0=board_id)
        else:
            rows = await tx.all(_BOARD, app=self._app.id, board=board_id)
        if not rows:
            return [], None
        board = read_board(rows[0]).at(self._now_ms)[0]
        if not self._is_told(rows[0]):
            return [], [board.board_id]
        where = {"uid": board.uid, "version": board.version, "most": self._most}
        if place:
            where |= {f"after{number}": value for number, value in enumerate(place)}
        scores = await tx.all(SCORES if place else LAST_SCORES, **where)
        found = []
        for row in scores:
            line = {
                "leaderboardId": board.board_id,
                "profileId": row["member_id"],
                "score": board.key(row["rank_key"]),
                "data": None if row["data"] is None else json.read_stored(row["data"]),
                "createdAt": row["created_ms"],
                "updatedAt": row["updated_ms"],
            }
            if board.board_type.is_arcade:
                line["entryId"] = row["entry_id"].removeprefix(f"{row['member_id']}:")
            found.append(line)
        following = self._next(scores, "rank_key", "seq", "entry_id")
        return found, [board.board_id, *(following or [])]


_BOARD = select(boards).where(boards.c.app_id == _APP, boards.c.board_id == bindparam("board"))


def _player(row: Row) -> dict[str, Any]:
    told = {
        "profileId": row["profile_id"],
        "playerName": row["name"],
        "pictureUrl": row["picture_url"],
        "contactEmail": row["contact_email"],
        "languageCode": row["language_code"],
        "countryCode": row["country_code"],
        "timeZoneOffset": row["time_zone_offset"],
        "createdAt": row["created_ms"],
        "lastLogin": row["last_login_ms"],
        "previousLogin": row["previous_login_ms"],
        "loginCount": row["login_count"],
        "isTester": bool(row["is_tester"]),
        "isDisabled": bool(row["is_disabled"]),
    }
    for name, column in (("summaryFriendData", "summary_friend_data"), ("attributes", "attributes")):
        if row[column] is not None:
            told[name] = json.read_stored(row[column])
    return told


def _document(row: Row) -> Mapping[str, Any]:
    return {
        "entityId": row["entity_id"],
        "entityType": row["entity_type"],
        "data": json.read_stored(row["data"]),
        "acl": acl_of(row["acl_other"]),
        "version": row["version"],
        "createdAt": row["created_ms"],
        "updatedAt": row["updated_ms"],
    }
