"""Activity: what has happened, in lists that are filtered alike: log, refusals, audit, journal and more."""

import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple

from starlette.responses import RedirectResponse, Response

from gameserver.admin.common import Refused
from gameserver.admin.rights import Right
from gameserver.console import moments
from gameserver.console.web import HEADERS, Page, View, declared, page
from gameserver.players.app_log import LEVELS
from gameserver.players.audit import KINDS

PAGE_ROWS = 50
AROUND_MS = 5 * 60_000
UNINDEXED_MS = 24 * 3_600_000
"""How far back is looked for what no index finds, when nobody has said from when on."""
DIFF_MAX = 200


class Column(NamedTuple):
    """A column of a list: what it shows of a row, and how."""

    name: str
    label: str
    kind: str = "text"
    """`text`, `code`, `number`, `time`, `player`, `badge` or `json`."""


class Field(NamedTuple):
    """A field of the filter. `arguments` of the action take some; the others pick by a column."""

    name: str
    label: str
    options: Sequence[str] = ()


class Records(NamedTuple):
    """A list of what has happened, and the action that gives its rows, the newest first."""

    label: str
    path: str
    action: str
    columns: Sequence[Column]
    fields: Sequence[Field]
    nothing: str
    arguments: frozenset[str] = frozenset()
    indexed: frozenset[str] = frozenset({"profile_id"})
    """What an index finds, or what is searched in a table of bounded length."""
    key: str = "id"
    """What the next page goes on from."""
    shows: bool = False
    """Whether a row has a page of its own."""


_PLAYER = Field("profile_id", "Profile id")
ALL = (
    Records(
        "Log",
        "",
        "log_list",
        (
            Column("at_ms", "When", "time"),
            Column("level", "Level", "badge"),
            Column("message", "Message"),
            Column("context", "With it", "json"),
            Column("source", "Source", "code"),
            Column("profile_id", "Player", "player"),
        ),
        (
            Field("level", "Level, or worse", LEVELS),
            Field("text", "Text"),
            _PLAYER,
            Field("source", "Source"),
        ),
        "Nothing is logged yet. Scripts and servers write here, and so does what goes wrong in them.",
        arguments=frozenset({"level", "text"}),
        indexed=frozenset({"level", "text", "profile_id", "source"}),
        shows=True,
    ),
    Records(
        "Refusals",
        "/refusals",
        "refusal_list",
        (
            Column("at_ms", "When", "time"),
            Column("reason_code", "Code", "code"),
            Column("meaning", "Meaning"),
            Column("operation", "Operation", "code"),
            Column("profile_id", "Player", "player"),
            Column("times", "Times", "number"),
            Column("face", "Through"),
            Column("request_id", "Request", "code"),
        ),
        (
            Field("reason_code", "Reason code"),
            _PLAYER,
            Field("operation", "Operation"),
            Field("request_id", "Request id"),
        ),
        "No message was refused, as far back as [refusals] keeps them.",
        indexed=frozenset({"profile_id", "reason_code", "operation", "request_id"}),
    ),
    Records(
        "Audit",
        "/audit",
        "audit_list",
        (
            Column("at_ms", "When", "time"),
            Column("kind", "Event", "badge"),
            Column("reason", "Reason", "code"),
            Column("profile_id", "Player", "player"),
            Column("face", "Through"),
            Column("address", "Address", "code"),
            Column("times", "Times", "number"),
        ),
        (
            Field("kind", "Event", KINDS),
            Field("reason", "Reason"),
            _PLAYER,
            Field("address", "Address"),
        ),
        "Nobody has logged in yet, as far back as [audit] keeps logins.",
        indexed=frozenset({"profile_id", "session"}),
    ),
    Records(
        "Journal of staff",
        "/journal",
        "journal_list",
        (
            Column("at_ms", "When", "time"),
            Column("staff", "Who"),
            Column("action", "What", "code"),
            Column("profile_id", "Player", "player"),
            Column("target", "Object"),
            Column("reason", "Why"),
            Column("outcome", "Outcome", "badge"),
            Column("via", "Through"),
        ),
        (
            Field("staff", "Who"),
            _PLAYER,
            Field("action", "What"),
            Field("target", "Object"),
            Field("outcome", "Outcome", ("done", "denied")),
        ),
        "Nobody of the studio has changed anything in this app yet.",
        indexed=frozenset({"profile_id", "staff", "action", "target", "outcome"}),
        shows=True,
    ),
    Records(
        "Reports of clients",
        "/reports",
        "datastream_list",
        (
            Column("at_ms", "When", "time"),
            Column("kind", "Kind", "badge"),
            Column("name", "Name"),
            Column("data", "Data", "json"),
            Column("platform", "Platform"),
            Column("game_version", "Version"),
            Column("profile_id", "Player", "player"),
        ),
        (
            Field("kind", "Kind"),
            Field("name", "Name"),
            _PLAYER,
            Field("platform", "Platform"),
            Field("game_version", "Version"),
        ),
        "No client has sent a report yet. They come by the service dataStream.",
    ),
    Records(
        "Mail",
        "/mail",
        "mail_list",
        (),
        (Field("state", "State"), Field("receiver_id", "Receiver"), Field("reason", "Reason")),
        "No letter was sent yet.",
        indexed=frozenset(),
        key="letter_id",
    ),
    Records(
        "Pushes",
        "/pushes",
        "push_list",
        (),
        (Field("state", "State"), _PLAYER, Field("kind", "Kind"), Field("reason", "Reason")),
        "No push notification was sent yet.",
        indexed=frozenset(),
        key="delivery",
    ),
)


def _page_of(records: Records) -> Page:
    async def show(view: View) -> Response:
        return await _show(view, records)

    return Page(show, "GET", f"/apps/{{app}}/activity{records.path}", Right.RECORDS_READ)


async def _show(view: View, records: Records) -> Response:
    zone = moments.zone_of(view)
    since, until = (moments.read(view.query.get(name, ""), zone, view.now_ms) for name in ("since", "until"))
    if not all(moments.is_absolute(view.query.get(name, "")) for name in ("since", "until")):
        return view.to(view.here(since=moments.iso(since), until=moments.iso(until), zone=None))
    wanted = _wanted(view, records)
    unindexed = wanted.keys() - records.indexed
    cut_ms = view.now_ms - UNINDEXED_MS if unindexed and since is None else None
    asked = _arguments(view, records, wanted, since or cut_ms, until)
    if file := await view.file(records.action.partition("_")[0], records.action, **asked):
        return file
    rows = await view.do(records.action, **asked, limit=PAGE_ROWS, after=view.query.get("after", ""))
    newest = str(rows[0][records.key]) if rows else ""  # where the newest come first, as they are followed
    if view.request.headers.get("hx-request") and newest == view.query.get("newest", ""):
        return Response(status_code=204, headers=HEADERS)
    return view.render(
        "activity_rows.html" if view.request.headers.get("hx-request") else "activity.html",
        records=records,
        all=ALL,
        rows=rows,
        columns=records.columns
        or [Column(name, _label(name), _kind(name)) for name in (rows[:1] or [{}])[0] if name != "delivery"],
        filtered=bool(wanted or since or until),
        newest=newest,
        cut_ms=cut_ms,
        after=str(rows[-1][records.key]) if len(rows) == PAGE_ROWS else "",
        zone_name=getattr(zone, "key", "UTC"),
    )


def _rows_of(records: Records) -> Callable[[View, int], Awaitable[list[dict[str, Any]]]]:
    async def rows(view: View, limit: int) -> list[dict[str, Any]]:
        zone = moments.zone_of(view)
        since, until = (moments.read(_value(view, name), zone, view.now_ms) for name in ("since", "until"))
        wanted = _wanted(view, records)
        if wanted.keys() - records.indexed and since is None:
            since = view.now_ms - UNINDEXED_MS
        asked = _arguments(view, records, wanted, since, until)
        found: list[dict[str, Any]] = await view.do(records.action, **asked, limit=limit)
        return found

    return rows


def _wanted(view: View, records: Records) -> dict[str, str]:
    return {field.name: value for field in records.fields if (value := _value(view, field.name))}


def _value(view: View, name: str) -> str:
    return view.query.get(name, "").strip()


def _arguments(
    view: View, records: Records, wanted: dict[str, str], since: int | None, until: int | None
) -> dict[str, Any]:
    arguments: dict[str, Any] = {"app": view.app_id, "since_ms": since, "until_ms": until}
    arguments |= {name: value for name, value in wanted.items() if name in records.arguments}
    equal = {name: value for name, value in wanted.items() if name not in records.arguments}
    return arguments | {"equal": equal, "oldest": view.query.get("sort") == "oldest"}


def _label(name: str) -> str:
    return name.removesuffix("_ms").removesuffix("_id").replace("_", " ").capitalize()


def _kind(name: str) -> str:
    if name.endswith("_ms"):
        return "time"
    if name in ("profile_id", "sender_id", "receiver_id"):
        return "player"
    return "badge" if name == "state" else "text"


@page("GET /apps/{app}/activity/log/{line}", Right.RECORDS_READ)
async def line(view: View) -> Response:
    """Show one line of the log."""
    return await _one(view, ALL[0], view.part("line"))


@page("GET /apps/{app}/activity/journal/{line}", Right.RECORDS_READ)
async def entry(view: View) -> Response:
    """Show what somebody did: why, and how it was before and after."""
    return await _one(view, ALL[3], view.part("line"))


async def _one(view: View, records: Records, row_id: str) -> Response:
    # What comes before the first id that is greater.
    rows = await view.do(records.action, app=view.app_id, limit=1, after=f"{row_id}0")
    if not rows or rows[0]["id"] != row_id:
        raise Refused("this line is not there any more")
    row = rows[0]
    changed = differences(row["before"], row["after"]) if "before" in row else None
    return view.render("activity_line.html", records=records, all=ALL, row=row, changed=changed)


def differences(before: Any, after: Any) -> list[tuple[str, Any, Any]]:
    """Return what differs between two JSON values: where, how it was, and how it is."""
    was, now = dict(_leaves(before, "")), dict(_leaves(after, ""))
    places = dict.fromkeys([*was, *now])
    different = [
        (place, was.get(place), now.get(place)) for place in places if was.get(place) != now.get(place)
    ]
    return different[:DIFF_MAX]


def _leaves(value: Any, place: str) -> list[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        return [
            leaf
            for name, part in value.items()
            for leaf in _leaves(part, f"{place}.{name}" if place else name)
        ]
    if isinstance(value, list) and value:
        return [leaf for index, part in enumerate(value) for leaf in _leaves(part, f"{place}[{index}]")]
    return [] if value is None and not place else [(place or "value", value)]


# The search box

_ASKED = re.compile(
    r"(?:error|code)?\s*(\d{5})(?:\s+(?:at\s+)?(\d{1,2}:\d{2}(?::\d{2})?|\d{4}-\d{2}-\d{2}\S*(?:\s\S+)?))?"
)


def refusals_meant(view: View, text: str) -> RedirectResponse | None:
    """Return the way to the refusals that a search means, such as `error 40304 at 14:05`."""
    asked = _ASKED.fullmatch(text.strip().lower())
    if asked is None or not view.may(Right.RECORDS_READ):
        return None
    code, time = asked.groups()
    at_ms = moments.read((time or "").upper(), moments.zone_of(view), view.now_ms)
    span = (
        {}
        if at_ms is None
        else {"since": moments.iso(at_ms - AROUND_MS), "until": moments.iso(at_ms + AROUND_MS + 60_000)}
    )
    return RedirectResponse(view.url("/activity/refusals", reason_code=code, **span), 303, HEADERS)


Show = Callable[[View], Awaitable[Response]]
ROWS = {f"/activity{records.path}": _rows_of(records) for records in ALL}
"""What lists find, by their paths."""
PAGES = [*map(_page_of, ALL), *declared(line, entry)]
