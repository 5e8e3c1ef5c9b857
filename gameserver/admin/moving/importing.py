"""Taking the lines of an export into an app.

Each line is taken whole or not at all, and what is there already stays as it is: a file may be taken twice,
or from its beginning after a crash. Lines come in batches, each a transaction.
"""

import re
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any, TypeVar

import msgspec
from sqlalchemy import bindparam, select

from gameserver.admin.common import ORIGIN, Refused, Server, app_of
from gameserver.admin.declaring import action
from gameserver.admin.moving import lines
from gameserver.admin.operators import CLI, Operator, note
from gameserver.admin.rights import Right
from gameserver.apps import App
from gameserver.documents import documents
from gameserver.domain.economy import wallet
from gameserver.domain.economy.wallet import CurrencySettings
from gameserver.domain.leaderboards import (
    RECURRING,
    BoardConfig,
    EntryType,
    Leaderboards,
    Rotation,
    Stale,
)
from gameserver.domain.leaderboards.boards import check_config
from gameserver.domain.progress import experience
from gameserver.domain.progress.experience import PlayerStatisticsSettings
from gameserver.domain.progress.statistics import global_statistics
from gameserver.players import accounts, identities, profiles, users
from gameserver.players.profiles import players
from gameserver.rpc import Caller, Context
from gameserver.services.entity import storage as entities
from gameserver.services.global_entity import rules as global_rules
from gameserver.services.global_entity import storage as global_entities
from gameserver.storage import Aborted, insert_row
from gameserver.wire import json
from gameserver.wire.errors import GameError, UnreadableJson

REASON_MAX = 500  # characters
DIGEST = re.compile(
    r"\$argon2id\$v=19\$m=([0-9]{1,6}),t=([0-9]{1,2}),p=([0-9]{1,2})\$[A-Za-z0-9+/]{11,86}\$[A-Za-z0-9+/]{22,86}"
)
MEMORY_KIB_MAX, PASSES_MAX, LANES_MAX = 65_536, 10, 4  # that a digest may cost at each login

_c = players.c
OWNERS = select(_c.profile_id, _c.app_id).where(_c.profile_id.in_(bindparam("ids", expanding=True)))
ADD_PLAYER = insert_row(players)
ADD_PROGRESS = insert_row(experience.player_progress)
ADD_BALANCE = insert_row(wallet.wallets)
ADD_ENTITY = insert_row(entities.entities)
ADD_GLOBAL_ENTITY = insert_row(global_entities.entities)
ADD_STATISTIC = insert_row(global_statistics)


class _Kind(msgspec.Struct):
    type: str = ""


_read_kind = msgspec.json.Decoder(_Kind).decode
T = TypeVar("T")


NAME_MAX = 256
"""Characters of a player's name: longer ones than players give themselves here came from elsewhere."""


class NotTaken(Exception):
    """Nothing, or not all, of a line is taken; the text says why."""


class DryRun(Exception):
    """All has been tried, and nothing is to stay."""


class Report(msgspec.Struct):
    """What became of some lines: how many of each type were new, and were there; and what was not taken."""

    taken: Counter[str] = msgspec.field(default_factory=Counter)
    there: Counter[str] = msgspec.field(default_factory=Counter)
    skipped: list[dict[str, Any]] = msgspec.field(default_factory=list)


@action(Right.PLAYERS_ERASE, "POST /apps/{app}/import", dangerous=True)
async def import_lines(
    server: Server,
    app: str,
    texts: list[str],
    first: int = 1,
    *,
    dry_run: bool = False,
    promised: list[str] | None = None,
    by: Operator = CLI,
) -> dict[str, Any]:
    """Take lines into an app; the first one has the number `first`. Returns what became of them.

    A dry run changes nothing. `promised` are players and boards that earlier lines of it have brought.
    """
    definition = app_of(server, app)
    if len(texts) > lines.LINES_MAX:
        raise Refused(f"at most {lines.LINES_MAX} lines at once")
    importer = Importer(server, definition, dry_run=dry_run, promised=promised or (), by=by)
    report = await importer.take(texts, first)
    told: dict[str, Any] = msgspec.to_builtins(report)
    return told


class Importer:
    """Takes lines into an app."""

    def __init__(
        self,
        server: Server,
        app: App,
        *,
        dry_run: bool = False,
        promised: Collection[str] = (),
        by: Operator = CLI,
    ) -> None:
        self._server = server
        self._app = app
        self._by = by
        self._dry_run = dry_run
        self._promised = frozenset(promised)
        self._boards = server.core.get(Leaderboards)
        self._report = Report()
        self._number = 0
        self._owners: dict[str, str] = {}
        self._ways: Mapping[str, Callable[[Context, Any], Awaitable[bool]]] = {
            "globalStatistics": self._global_statistics,
            "player": self._player,
            "entity": self._entity,
            "globalEntity": self._global_entity,
            "leaderboard": self._leaderboard,
            "score": self._score,
        }

    async def take(self, texts: Sequence[str], first: int = 1) -> Report:
        """Take lines, in one transaction; each of them or nothing of it."""
        read = [(number, *self._read(text)) for number, text in enumerate(texts, first)]

        async def work(ctx: Context) -> Report:
            self._report = Report()
            self._owners = await self._owners_of(ctx, read)
            for number, kind, line in read:
                self._number = number
                if isinstance(line, str):
                    self._skip(line)
                elif line is not None:
                    await self._take_one(ctx, kind, line)
            if self._dry_run:
                raise DryRun
            if taken := self._report.taken:
                after = {"firstLine": first, "taken": dict(taken)}
                await note(self._server, ctx.tx, self._by, "import_lines", self._app.id, after=after)
            return self._report

        try:
            return await self._server.runner.do(work, self._app, ORIGIN, caller=Caller.SERVER)
        except DryRun:
            return self._report

    def _read(self, text: str) -> tuple[str, Any]:
        """Return the type and the shape of a line; a text in its place says what is wrong; None: nothing."""
        raw = text.encode(errors="surrogatepass")
        if not raw.strip():
            return "", None
        if len(raw) > lines.LINE_BYTES_MAX:
            return "", f"a line has at most {lines.LINE_BYTES_MAX} bytes"
        try:
            kept = json.checked(raw)
            kind = _read_kind(kept).type
            if kind in {lines.HEADER, lines.END}:
                return kind, None
            if kind in lines.ELSEWHERE:
                return kind, lines.ELSEWHERE[kind]
            if kind not in lines.READERS:
                return kind, f"type: expected one of {', '.join(lines.READERS)}, got {kind[:64]!r}"
            return kind, lines.READERS[kind].read_long_numbers(raw, kept)
        except (msgspec.MsgspecError, UnicodeError, RecursionError, UnreadableJson) as error:
            return "", f"this is no JSON object: {error}"
        except GameError as error:
            return "", str(error).removeprefix("data.")

    async def _owners_of(self, ctx: Context, read: Sequence[tuple[int, str, Any]]) -> dict[str, str]:
        """Return the apps of the players that lines name, by profile id."""
        named = set()
        for _, _, line in read:
            for field in ("profile_id", "owner_id"):
                if (profile_id := getattr(line, field, None)) is not None:
                    named.add(profile_id)
        rows = await ctx.tx.all(OWNERS, ids=sorted(named)) if named else []
        found = {row["profile_id"]: row["app_id"] for row in rows}
        return {**dict.fromkeys(self._promised & named, self._app.id), **found}

    def _skip(self, reason: str) -> None:
        self._report.skipped.append({"line": self._number, "reason": reason[:REASON_MAX]})

    async def _take_one(self, ctx: Context, kind: str, line: Any) -> None:
        skipped = len(self._report.skipped)
        try:
            async with ctx.tx.savepoint():
                is_new = await self._ways[kind](ctx, line)
        except (GameError, NotTaken) as refusal:
            del self._report.skipped[skipped:]
            self._skip(str(refusal).removeprefix("data."))
        else:
            if isinstance(line, lines.Player):
                self._owners[line.profile_id] = self._app.id
            (self._report.taken if is_new else self._report.there)[kind] += 1

    def _must_be_here(self, profile_id: str) -> None:
        if self._owners.get(profile_id) != self._app.id:
            raise NotTaken(
                f"app {self._app.id} has no player {profile_id}; a line of theirs comes before this"
            )

    # Players

    async def _player(self, ctx: Context, line: lines.Player) -> bool:
        owner = self._owners.get(line.profile_id)
        if owner is not None:
            if owner != self._app.id:
                raise NotTaken(f"{line.profile_id} is a player of another app")
            return False
        created = ctx.now_ms if line.created_at is None else line.created_at
        profiles.check_line("playerName", line.player_name, NAME_MAX)
        row = {
            "profile_id": line.profile_id,
            "app_id": self._app.id,
            "name": line.player_name,
            "picture_url": line.picture_url,
            "contact_email": line.contact_email,
            "language_code": line.language_code,
            "country_code": line.country_code,
            "time_zone_offset": line.time_zone_offset,
            "created_ms": created,
            "last_login_ms": created if line.last_login is None else line.last_login,
            "previous_login_ms": line.previous_login,
            "login_count": line.login_count,
            "active_day": None,
            "active_days": None,
            "is_tester": line.is_tester,
            "is_disabled": line.is_disabled,
            "disabled_through": None,
            # Above any that a player of this id had here before: sessions that ended with it are remembered.
            "session_epoch": ctx.now_ms,
            "ab_testing_id": profiles.ab_testing_id(line.profile_id),
            "summary_friend_data": _text(line.summary_friend_data),
            "statuses": None,
            "attributes": _text(line.attributes),
        }
        if not await ctx.tx.unless_taken(ADD_PLAYER, **row):
            return False
        for place, identity in enumerate(line.identities):
            await self._identity(ctx, line.profile_id, f"identities[{place}]", identity, created)
        await self._progress(ctx, line)
        for currency, counts in line.currency.items():
            await self._balance(ctx, line.profile_id, currency, counts)
        if line.properties is not None:
            try:
                await users.change_properties(ctx.tx, line.profile_id, None, line.properties, ctx.now_ms)
            except users.TooManyProperties as error:
                raise NotTaken(f"properties: {error}") from None
        return True

    async def _identity(
        self, ctx: Context, profile_id: str, where: str, identity: lines.Identity, created: int
    ) -> None:
        type_ = accounts.canonical_type(identity.authentication_type)
        key = accounts.identity_key(type_, identity.external_id, identity.external_auth_name)
        digest = identity.password_digest
        if digest is not None and not _is_bearable(digest):
            self._skip(f"{where}.passwordDigest: no argon2id digest of a bearable cost; taken without it")
            digest = None
        row = identities.new_row(
            self._app.id,
            profile_id,
            type_,
            key,
            accounts.stored_id(type_, identity.external_id),
            created if identity.created_at is None else identity.created_at,
            digest=digest,
        )
        row["is_validated"] = identity.is_validated
        if not await ctx.tx.unless_taken(identities.ADD, **row):
            self._skip(f"{where}: another player has this identity; the player is taken without it")

    async def _progress(self, ctx: Context, line: lines.Player) -> None:
        if not (line.statistics or line.experience_points):
            return
        settings = self._app.section(PlayerStatisticsSettings)
        points = min(line.experience_points, settings.experience_maximum)
        level = settings.reached(points)
        await ctx.tx.run(
            ADD_PROGRESS,
            profile_id=line.profile_id,
            statistics=msgspec.json.encode(line.statistics).decode(),
            experience=points,
            level=level,
            paid=level,  # where they come from, they were rewarded
            round=0,
            version=1,
        )

    async def _balance(self, ctx: Context, profile_id: str, currency: str, counts: lines.Counts) -> None:
        if currency not in self._app.section(CurrencySettings).currencies:
            self._skip(f"currency: app {self._app.id} declares no currency {currency!r}; taken without it")
            return
        # What does not add up is told by the balance: the rest of it was awarded, or taken back.
        beyond = counts.balance - (counts.purchased + counts.awarded - counts.consumed - counts.revoked)
        awarded, revoked = counts.awarded + max(beyond, 0), counts.revoked + max(-beyond, 0)
        if awarded + counts.purchased > wallet.AMOUNT_MAX or revoked > wallet.AMOUNT_MAX:
            raise NotTaken(f"currency.{currency}: a balance ends at 2^53")
        if counts.balance < 0 and not revoked:
            raise NotTaken(f"currency.{currency}: below zero, and nothing was taken back")
        await ctx.tx.run(
            ADD_BALANCE,
            profile_id=profile_id,
            currency=currency,
            purchased=counts.purchased,
            balance=counts.balance,
            consumed=counts.consumed,
            awarded=awarded,
            revoked=revoked,
        )
        await ctx.tx.run(
            wallet.ENTER,
            profile_id=profile_id,
            key=f"import/{currency}",
            currency=currency,
            kind=wallet.Kind.AWARDED.value,
            amount=counts.balance,
            at_ms=ctx.now_ms,
        )

    # Documents

    async def _entity(self, ctx: Context, line: lines.Entity) -> bool:
        self._must_be_here(line.profile_id)
        created = ctx.now_ms if line.created_at is None else line.created_at
        return await ctx.tx.unless_taken(
            ADD_ENTITY,
            owner_id=line.profile_id,
            entity_id=line.entity_id,
            app_id=self._app.id,
            entity_type=line.entity_type,
            version=line.version,
            acl_other=documents.read_acl(line.acl),
            is_singleton=line.is_singleton,
            data=documents.data_text(line.data, bytes_max=3 << 20),
            created_ms=created,
            updated_ms=created if line.updated_at is None else line.updated_at,
        )

    async def _global_entity(self, ctx: Context, line: lines.GlobalEntity) -> bool:
        if line.owner_id is not None:
            self._must_be_here(line.owner_id)
        created = ctx.now_ms if line.created_at is None else line.created_at
        life = line.time_to_live if line.time_to_live > 0 else global_rules.NO_LIFE
        expires = global_rules.expiry_ms(ctx.now_ms, life) if line.expires_at is None else line.expires_at
        if expires <= ctx.now_ms:
            raise NotTaken("expiresAt: its time to live is over")
        return await ctx.tx.unless_taken(
            ADD_GLOBAL_ENTITY,
            entity_id=line.entity_id,
            app_id=self._app.id,
            owner_id=line.owner_id,
            entity_type=line.entity_type,
            indexed_id=line.entity_indexed_id or None,
            version=line.version,
            acl_other=documents.read_acl(line.acl),
            data=documents.data_text(line.data, bytes_max=3 << 20),
            life_ms=life,
            expires_ms=expires,
            created_ms=created,
            updated_ms=created if line.updated_at is None else line.updated_at,
        )

    # Shared statistics, leaderboards

    async def _global_statistics(self, ctx: Context, line: lines.GlobalStatistics) -> bool:
        added = [
            await ctx.tx.unless_taken(ADD_STATISTIC, app_id=self._app.id, name=name, value=value, cut=0)
            for name, value in sorted(line.statistics.items())
        ]
        return any(added)

    async def _leaderboard(self, ctx: Context, line: lines.Leaderboard) -> bool:
        if line.rotation_type is Rotation.ADHOC:
            raise NotTaken("rotationType: boards of tournaments that were scheduled one by one are not taken")
        if line.rotation_type in RECURRING and line.reset_at is None:
            raise NotTaken("resetAt: a board that rotates needs a moment to count from")
        if await self._boards.boards.find(ctx, line.leaderboard_id) is not None:
            return False
        config = BoardConfig(
            entry_type=line.entry_type,
            board_type=line.leaderboard_type,
            rotation=line.rotation_type,
            days=line.num_days_to_rotate if line.rotation_type is Rotation.DAYS else 0,
            reset_ms=line.reset_at,
            retained=line.retained_count,
            data=_text(line.data),
        )
        await self._boards.boards.create(ctx, line.leaderboard_id, check_config(config, "data"))
        return True

    async def _score(self, ctx: Context, line: lines.Score) -> bool:
        self._must_be_here(line.profile_id)
        board = await self._boards.boards.find(ctx, line.leaderboard_id)
        if board is None:
            if self._dry_run and line.leaderboard_id in self._promised:
                return True
            raise NotTaken(f"there is no leaderboard {line.leaderboard_id!r}; its line comes before this")
        if board.entry_type is not EntryType.PLAYER:
            raise NotTaken("on this leaderboard groups have scores, and groups are not taken")
        if not board.uid:
            board = await self._boards.boards.store(ctx, line.leaderboard_id)
        try:
            board = await self._boards.boards.rotate(ctx.tx, board, ctx.now_ms)
        except Stale:
            raise Aborted("the board has just changed") from None
        place = line.profile_id
        if board.board_type.is_arcade:
            if line.entry_id is None:
                raise NotTaken("entryId: players have many scores on this leaderboard; say which one it is")
            place = f"{line.profile_id}:{line.entry_id}"
        created = ctx.now_ms if line.created_at is None else line.created_at
        return await self._boards.place(
            ctx,
            board,
            line.profile_id,
            place,
            line.score,
            _text(line.data),
            created_ms=created,
            updated_ms=created if line.updated_at is None else line.updated_at,
        )


def _text(data: Mapping[str, Any] | None) -> str | None:
    return None if data is None else documents.data_text(data, bytes_max=documents.DATA_BYTES_MAX)


def _is_bearable(digest: str) -> bool:
    """Tell whether logins may be checked against a digest: none may take all memory."""
    found = DIGEST.fullmatch(digest)
    if found is None:
        return False
    memory, passes, lanes = map(int, found.groups())
    return memory <= MEMORY_KIB_MAX and passes <= PASSES_MAX and lanes <= LANES_MAX
