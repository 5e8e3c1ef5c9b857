"""How an action is declared: the right it needs, and where the API offers it."""

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from gameserver.admin.bounded import BoundedServer
from gameserver.admin.common import LIMIT_MAX, Refused, Server
from gameserver.admin.operators import CLI, Operator, note
from gameserver.admin.rights import Right
from gameserver.storage import QueryTooSlow

Do = Callable[..., Awaitable[Any]]
Rows = Sequence[Mapping[str, Any]]
Pages = Callable[[Do, Server, Mapping[str, Any]], AsyncIterator[Rows]]
"""Gives all rows of a list page by page, by asking for it again and again; at least one page, be it empty."""
F = TypeVar("F", bound=Do)


@dataclass(frozen=True)
class Action:
    """Something that staff and operators may do.

    - `right`: what one has to have, in the app that the argument `app` names.
    - `method`, `path`: where the API offers it. Parts in braces are arguments; the others are the query of a
      GET, or members of a JSON body.
    - `dangerous`: staff have to say why.
    - `pages`: of a list, how all its rows are read; with it the list can be had as a file.
    """

    do: Do
    right: Right
    method: str
    path: str
    dangerous: bool
    pages: Pages | None = None

    @property
    def name(self) -> str:
        """What it is called: a noun and what is done with it."""
        return self.do.__name__

    @property
    def changes(self) -> bool:
        """Whether it does more than look."""
        return self.method != "GET"

    @property
    def parameters(self) -> Mapping[str, inspect.Parameter]:
        """The arguments that whoever acts gives."""
        return {
            name: parameter
            for name, parameter in inspect.signature(self.do).parameters.items()
            if name not in ("server", "by")
        }

    @property
    def summary(self) -> str:
        """What it does, in a sentence."""
        return (inspect.getdoc(self.do) or "").partition("\n")[0]


_ACTIONS: dict[Do, Action] = {}
"""What is declared of functions, by them."""


class Forbidden(Exception):
    """Whoever acts has not the right; `right` is what they would need."""

    def __init__(self, right: Right, app_id: str) -> None:
        super().__init__(f"this needs the right {right}" + (f" in app {app_id}" if app_id else ""))
        self.right = right


class TooSlow(Refused):
    """What somebody looks for takes the database longer than looking may."""


def action(
    right: Right, where: str, *, dangerous: bool = False, pages: Pages | None = None
) -> Callable[[F], F]:
    """Declare a function as an action. `where` is the API's method and path, such as `GET /apps/{app}/logs`.

    Its first argument is the server; a keyword argument `by` is filled in with whoever acts. What changes
    something notes it (`operators.note`) in the transaction of the change.
    """
    method, _, path = where.partition(" ")

    def declare(function: F) -> F:
        _ACTIONS[function] = Action(function, right, method, path, dangerous, pages)
        return function

    return declare


def declared(*functions: Do) -> dict[str, Action]:
    """Return actions by their names."""
    return {function.__name__: _ACTIONS[function] for function in functions}


async def perform(server: Server, chosen: Action, arguments: Mapping[str, Any], by: Operator = CLI) -> Any:
    """Do an action. Raises `Forbidden`, which the journal keeps, and `Refused`."""
    app_id = str(arguments.get("app", ""))
    if not by.may(chosen.right, app_id):
        if chosen.changes:
            await _note_denied(server, chosen, app_id, arguments, by)
        raise Forbidden(chosen.right, app_id)
    if chosen.dangerous and by is not CLI and not by.reason.strip():
        raise Refused("say why: this needs a reason")
    if "by" in inspect.signature(chosen.do).parameters:
        arguments = {**arguments, "by": by}
    if chosen.changes or by is CLI:
        return await chosen.do(server, **arguments)
    try:
        return await chosen.do(BoundedServer(server, by.name), **arguments)
    except QueryTooSlow:
        raise TooSlow("this takes the database too long; narrow it down, or try again in a minute") from None


async def _note_denied(
    server: Server, chosen: Action, app_id: str, arguments: Mapping[str, Any], by: Operator
) -> None:
    async with server.core.database.write() as tx:
        await note(
            server,
            tx,
            by,
            chosen.name,
            app_id if server.apps.find(app_id) else "",
            profile=str(arguments.get("profile", "")),
            outcome="denied",
        )


# How all rows of a list are read


async def at_once(ask: Do, _: Server, __: Mapping[str, Any]) -> AsyncIterator[Rows]:
    """Read a list that has one page."""
    yield await ask()


def by_key(key: str, of: str = "", limit: bool = True) -> Pages:
    """Read a list whose argument `after` is the `key` of the last row seen.

    `of` names the rows where the list gives more than them. Without `limit` the list decides how many rows it
    gives at once, and gives none at its end.
    """

    async def pages(ask: Do, _: Server, arguments: Mapping[str, Any]) -> AsyncIterator[Rows]:
        more: dict[str, Any] = {"limit": LIMIT_MAX} if limit else {}
        after = arguments.get("after", "")
        while True:
            found = await ask(**more, after=after)
            rows = found[of] if of else found
            yield rows
            if len(rows) < (LIMIT_MAX if limit else 1):
                return
            after = str(rows[-1][key])

    return pages


def by_count(name: str, of: str = "", keep: str = "") -> Pages:
    """Read a list whose argument `name` is how many rows come before.

    `keep` names an argument that stays as the first page tells it: which version it is of.
    """

    async def pages(ask: Do, _: Server, arguments: Mapping[str, Any]) -> AsyncIterator[Rows]:
        seen, more = int(arguments.get(name, 0)), dict[str, Any]()
        while True:
            found = await ask(limit=LIMIT_MAX, **{name: seen}, **more)
            rows = found[of] if of else found
            yield rows
            if len(rows) < LIMIT_MAX:
                return
            seen += len(rows)
            more = {keep: found[keep]} if keep else {}

    return pages
