"""What a type of lines is: its shape, and how it goes out of an app and into one.

Each type is declared once, as a `Kind`, beside the two functions that read and write what it speaks of. All
of them are listed, in their order, in `declared.py`.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import BindParameter, bindparam, tuple_

from gameserver.admin.common import Server
from gameserver.admin.moving.lines import Line
from gameserver.apps import App
from gameserver.rpc import Context
from gameserver.storage import Row, Statement, Transaction
from gameserver.wire.shapes import RequestReader

Found = tuple[list[dict[str, Any]], list[Any] | None]
"""Lines, and where the next page begins: None when this was the last one."""


class NotTaken(Exception):
    """Nothing, or not all, of a line is taken; the text says why."""


class Page:
    """What a page of an export is told of: an app, at a moment, up to so many lines."""

    def __init__(self, app: App, most: int, now_ms: int, *, with_passwords: bool) -> None:
        self.app, self.most, self.now_ms = app, most, now_ms
        self.with_passwords = with_passwords

    async def rows(self, tx: Transaction, statement: Statement, after: Sequence[Any]) -> Sequence[Row]:
        """Return rows behind a place, which the statement knows as `after0`, `after1` and so on."""
        places = {f"after{place}": value for place, value in enumerate(after)}
        return await tx.all(statement, app=self.app.id, most=self.most, **places)

    def following(self, rows: Sequence[Row], *names: str) -> list[Any] | None:
        """Return the place of the last row; None when there are no more behind it."""
        return [rows[-1][name] for name in names] if len(rows) == self.most else None


class Taking:
    """An import, as far as the functions that take lines need it."""

    def __init__(
        self, server: Server, app: App, *, dry_run: bool = False, promised: Collection[str] = ()
    ) -> None:
        self.server, self.app = server, app
        self.promised = frozenset(promised) if dry_run else frozenset[str]()
        """Ids of what earlier lines of a dry run have brought, and which is not there."""
        self.owners: dict[str, str] = {}  # the apps of the players that lines name
        self.number = 0
        self.skipped: list[dict[str, Any]] = []

    def skip(self, reason: str) -> None:
        """Tell that this line, or a part of it, is not taken."""
        self.skipped.append({"line": self.number, "reason": reason[:REASON_MAX]})

    def is_here(self, profile_id: str) -> bool:
        """Tell whether somebody is a player of the app."""
        return self.owners.get(profile_id) == self.app.id

    def must_be_here(self, *profile_ids: str) -> None:
        """Raise `NotTaken` unless all these are players of the app."""
        for profile_id in profile_ids:
            if not self.is_here(profile_id):
                raise NotTaken(
                    f"app {self.app.id} has no player {profile_id}; a line of theirs comes before this"
                )


REASON_MAX = 500  # characters

Tell = Callable[[Page, Transaction, list[Any] | None], Awaitable[Found]]
"""From a place, None for the beginning, to the lines behind it."""
Take = Callable[[Taking, Context, Any], Awaitable[bool]]
"""Takes a line; False when it is there already. Raises `NotTaken`, `GameError`."""


class Kind:
    """A type of lines."""

    def __init__(
        self, name: str, shape: type[Line], place: tuple[tuple[type, ...], ...], tell: Tell, take: Take
    ) -> None:
        self.name = name
        self.shape = shape
        self.place = place
        """The types of what says where a page begins, for each way there is to say it."""
        self.tell, self.take = tell, take
        self.reader = RequestReader(shape)


class Span(NamedTuple):
    """When something was made and changed, as a line says it."""

    created_ms: int
    updated_ms: int


def span(ctx: Context, created: int | None, updated: int | None) -> Span:
    """Return when something was made and changed; what a line does not say is now, or the other one."""
    made = ctx.now_ms if created is None else created
    return Span(made, made if updated is None else updated)


def by_name(kinds: Sequence[Kind]) -> Mapping[str, Kind]:
    """Return types of lines by their names."""
    return {kind.name: kind for kind in kinds}


# What statements that read pages are made of

APP: BindParameter[str] = bindparam("app")
MOST: BindParameter[int] = bindparam("most")
IDS: BindParameter[str] = bindparam("ids", expanding=True)


def after(*types: Any) -> Any:
    """Return the place behind which a page begins, as a row of values of such types."""
    return tuple_(*(bindparam(f"after{place}", type_=kind) for place, kind in enumerate(types)))
