"""Taking the lines of an export into an app.

Each line is taken whole or not at all, and what is there already stays as it is: a file may be taken twice,
or from its beginning after a crash. Lines come in batches, each a transaction.
"""

from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any

import msgspec
from sqlalchemy import bindparam, select

from gameserver.admin.common import ORIGIN, Refused, Server, app_of
from gameserver.admin.declaring import action
from gameserver.admin.moving import lines
from gameserver.admin.moving.declared import KINDS, PARTS
from gameserver.admin.moving.kinds import NotTaken, Taking
from gameserver.admin.moving.lines import Line
from gameserver.admin.operators import CLI, Operator, note
from gameserver.admin.rights import Right
from gameserver.apps import App
from gameserver.players.profiles import players
from gameserver.rpc import Caller, Context
from gameserver.wire import json
from gameserver.wire.errors import GameError, UnreadableJson

_c = players.c
OWNERS = select(_c.profile_id, _c.app_id).where(_c.profile_id.in_(bindparam("ids", expanding=True)))


class _Kind(msgspec.Struct):
    type: str = ""


_read_kind = msgspec.json.Decoder(_Kind).decode


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

    A dry run changes nothing. `promised` are ids of players, groups and boards that earlier
    lines of it have brought.
    """
    definition = app_of(server, app)
    if len(texts) > lines.LINES_MAX:
        raise Refused(f"at most {lines.LINES_MAX} lines at once")
    importer = Importer(server, definition, dry_run=dry_run, promised=promised or (), by=by)
    report = await importer.take(texts, first)
    told: dict[str, Any] = msgspec.to_builtins(report)
    return told


def read_line(text: str) -> tuple[str, Line | str | None]:
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
        if kind not in KINDS:
            return kind, f"type: expected one of {', '.join(PARTS)}, got {kind[:64]!r}"
        return kind, KINDS[kind].reader.read_long_numbers(raw, kept)
    except (msgspec.MsgspecError, UnicodeError, RecursionError, UnreadableJson) as error:
        return "", f"this is no JSON object: {error}"
    except GameError as error:
        return "", str(error).removeprefix("data.")


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
        self._promised = promised

    async def take(self, texts: Sequence[str], first: int = 1) -> Report:
        """Take lines, in one transaction; each of them or nothing of it."""
        read = [(number, *read_line(text)) for number, text in enumerate(texts, first)]
        report = Report()

        async def work(ctx: Context) -> Report:
            nonlocal report
            taking = Taking(self._server, self._app, dry_run=self._dry_run, promised=self._promised)
            report = Report(skipped=taking.skipped)
            taking.owners = await self._owners_of(ctx, taking, [line for _, _, line in read])
            for taking.number, kind, line in read:
                if isinstance(line, str):
                    taking.skip(line)
                elif line is not None:
                    await _take_one(ctx, taking, report, kind, line)
            if self._dry_run:
                raise DryRun
            if taken := report.taken:
                after = {"firstLine": first, "taken": dict(taken)}
                await note(self._server, ctx.tx, self._by, "import_lines", self._app.id, after=after)
            return report

        try:
            return await self._server.runner.do(work, self._app, ORIGIN, caller=Caller.SERVER)
        except DryRun:
            return report

    async def _owners_of(
        self, ctx: Context, taking: Taking, read: Sequence[Line | str | None]
    ) -> dict[str, str]:
        """Return the apps of the players that lines name, by profile id."""
        named: set[str] = set()
        for line in read:
            if isinstance(line, Line):
                named.update(line.players())
        rows = await ctx.tx.all(OWNERS, ids=sorted(named)) if named else []
        found = {row["profile_id"]: row["app_id"] for row in rows}
        return {**dict.fromkeys(taking.promised & named, self._app.id), **found}


async def _take_one(ctx: Context, taking: Taking, report: Report, kind: str, line: Line) -> None:
    skipped = len(taking.skipped)
    try:
        async with ctx.tx.savepoint():
            is_new = await KINDS[kind].take(taking, ctx, line)
    except (GameError, NotTaken) as refusal:
        del taking.skipped[skipped:]
        taking.skip(str(refusal).removeprefix("data."))
    else:
        if isinstance(line, lines.Player):
            taking.owners[line.profile_id] = taking.app.id
        (report.taken if is_new else report.there)[kind] += 1
