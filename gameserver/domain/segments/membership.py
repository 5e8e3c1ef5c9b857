"""Working out to which segments players belong, and who belongs to a segment."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from gameserver.apps import App
from gameserver.domain.economy import wallet
from gameserver.domain.progress.experience import PlayerStatisticsSettings
from gameserver.domain.progress.statistics import read_values
from gameserver.domain.segments import storage
from gameserver.domain.segments.criteria import Facts, fits
from gameserver.domain.segments.settings import SegmentSettings
from gameserver.storage import Database, Row, Transaction, locks
from gameserver.storage.timeline import DAY_MS
from gameserver.wire.errors import GameError


class UnknownSegment(GameError):
    """The app has no such segment, or the list names none."""

    reason_code = 40793


class Client(NamedTuple):
    """What a login tells of the game that logs in."""

    platform: str
    version: str

    @classmethod
    def of(cls, facts: Mapping[str, object]) -> "Client":
        """Read it from what a session remembers of its login."""
        platform, version = (str(facts.get(name) or "") for name in ("releasePlatform", "gameVersion"))
        return cls(platform[: storage.FACT_MAX], version[: storage.FACT_MAX])


class Member(NamedTuple):
    """A player of a segment; `time_zone` in hours east of UTC."""

    profile_id: str
    time_zone: float


class _Change(NamedTuple):
    """What is to be written of a player."""

    profile_id: str
    leave: list[int]
    join: dict[int, str]
    client: Client | None


# Refreshing


async def refresh(
    database: Database, app: App, profile_ids: Collection[str], now_ms: int, client: Client | None = None
) -> int:
    """Work out anew to which segments some players belong; returns of how many that has changed.

    Reads without a lock first: mostly nothing has changed, and nothing is written then. `client`: of the
    login that has just taken place.
    """
    async with database.read() as tx:
        changed = [change.profile_id for change in await _changes(tx, app, profile_ids, now_ms, client)]
    if not changed:
        return 0

    async def write(tx: Transaction) -> int:
        return await refresh_in(tx, app, changed, now_ms, client)

    return await database.transact(write)


async def refresh_in(
    tx: Transaction, app: App, profile_ids: Collection[str], now_ms: int, client: Client | None = None
) -> int:
    """Work out anew to which segments some players belong, in a transaction; returns of how many it changed.

    Whoever is deleted meanwhile waits for the end of the transaction.
    """
    await locks.take(tx, map(locks.player_lock, profile_ids))
    changes = await _changes(tx, app, profile_ids, now_ms, client)
    for change in changes:
        for number in change.leave:
            await tx.defer(storage.LEAVE, profile=change.profile_id, segment=number)
        for number, definition in change.join.items():
            await tx.defer(
                storage.JOIN,
                profile_id=change.profile_id,
                segment_id=number,
                app_id=app.id,
                definition=definition,
                since_ms=now_ms,
            )
        if change.client is not None:
            await tx.defer(
                storage.SET_CLIENT, profile_id=change.profile_id, app_id=app.id, **change.client._asdict()
            )
    return len(changes)


async def _changes(
    tx: Transaction, app: App, profile_ids: Collection[str], now_ms: int, client: Client | None
) -> list[_Change]:
    """Return what of players is not as it is stored, in the order of their ids."""
    settings = app.section(SegmentSettings)
    if not settings.ask_client:
        client = None
    rows = await tx.all(storage.FACTS, app=app.id, profiles=sorted(profile_ids))
    changes = []
    for row in rows:
        facts = _facts(app, row, now_ms, client)
        stored = dict(_read_members(row["members"])) if row["members"] else {}
        wanted = {
            number: settings.definitions[number]
            for number, (_, segment) in settings.by_id.items()
            if (facts.is_tester or not segment.testers_only) and fits(segment.criteria, facts)
        }
        leave = [number for number in stored if number not in wanted]
        join = {number: said for number, said in wanted.items() if stored.get(number) != said}
        is_other = client is not None and client != (row["platform"], row["version"])
        if leave or join or is_other:
            changes.append(_Change(row["profile_id"], leave, join, client if is_other else None))
    return sorted(changes)


_read_members = msgspec.json.Decoder(list[tuple[int, str]]).decode
_read_attributes = msgspec.json.Decoder(dict[str, str]).decode


def _facts(app: App, row: Row, now_ms: int, client: Client | None) -> Facts:
    progress = app.section(PlayerStatisticsSettings)
    has_progress = row["statistics"] is not None
    values = read_values(row["statistics"]) if has_progress else {}
    return Facts(
        account_days=(now_ms - row["created_ms"]) / DAY_MS,
        away_days=(now_ms - row["last_login_ms"]) / DAY_MS,
        logins=row["login_count"],
        ab_test=row["ab_testing_id"],
        is_tester=row["is_tester"],
        country=row["country_code"] or "",
        language=row["language_code"] or "",
        platform=(row["platform"] or "") if client is None else client.platform,
        version=(row["version"] or "") if client is None else client.version,
        level=row["level"] if has_progress else progress.reached(0),
        experience=row["experience"] if has_progress else 0,
        statistics=progress.shown(values),
        balances={name: each.balance for name, each in wallet.from_state(row["balances"]).items()},
        attributes=_read_attributes(row["attributes"]) if row["attributes"] else {},
    )


# Looking


async def of_player(tx: Transaction, app: App, profile_id: str) -> dict[int, int]:
    """Return the segments that a player belongs to, by number, and since when."""
    current = app.section(SegmentSettings).definitions
    rows = await tx.all(storage.OF_PLAYER, profile=profile_id, app=app.id)
    return {row[0]: row[2] for row in rows if current.get(row[0]) == row[1]}


def check(app: App, segment_ids: Iterable[int]) -> list[int]:
    """Return numbers of segments, each once and in order. Raises `UnknownSegment`, also for none."""
    settings, found = app.section(SegmentSettings), sorted(set(segment_ids))
    if not found:
        raise UnknownSegment("the list names no segment; leave it out to mean all players")
    for number in found:
        if number not in settings.by_id:
            raise UnknownSegment(f"the app has no segment {number}")
    return found


def definitions(app: App, segment_ids: Iterable[int]) -> list[str]:
    """Return what memberships of segments bear at present. Segments that are gone have no members."""
    current = app.section(SegmentSettings).definitions
    return [current[number] for number in segment_ids if number in current]


async def next_members(
    tx: Transaction, app: App, segment_ids: Sequence[int], after: str, most: int, named: Sequence[str] = ()
) -> list[Member]:
    """Return players who belong to any of some segments, or are named, by their ids: the next behind one.

    Each comes once. Reading goes on behind the last one, however many there are.
    """
    current = definitions(app, segment_ids)
    if not current and not named:
        return []
    params: dict[str, Any] = {f"definition_{place}": each for place, each in enumerate(current)}
    if named:
        params["profiles"] = list(named)
    statement = storage.next_members(len(current), named=bool(named))
    return [Member(*row) for row in await tx.all(statement, app=app.id, after=after, most=most, **params)]


async def count_members(tx: Transaction, app: App, segment_ids: Sequence[int], most: int) -> int:
    """Count who belongs to any of some segments, up to a number."""
    current = definitions(app, segment_ids)
    if not current:
        return 0
    row = await tx.one(storage.COUNT_ANY, app=app.id, definitions=current, most=most)
    return 0 if row is None else int(row[0])
