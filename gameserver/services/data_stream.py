"""dataStream: what clients report of pages, screens, other events and crashes, for operators to read."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta
from sqlalchemy import BigInteger, Column, Index, Integer, String, Table, bindparam, case, or_

from gameserver.apps import App, Settings
from gameserver.jobs import forget_of_apps
from gameserver.players.lifecycle import PlayerTable
from gameserver.rpc import Context, Service, Tx
from gameserver.storage import Json, excluded, insert_row, metadata, upsert
from gameserver.storage.tables import StoredBy
from gameserver.storage.timeline import DAY_MS, Timeline, first_id
from gameserver.wire.errors import GameError, PacketTooLarge
from gameserver.wire.shapes import FreeObject, Request

NAME_MAX = 256  # characters of an event's name or a crash's type
MESSAGE_MAX = 2000
LOG_MAX = 200_000
PERSON_MAX = 256
NOTES_MAX = 4000
FACT_MAX = 128
SAMPLE = """\
# What clients report of pages, screens, other events and crashes, for `gameserver datastream list`. It is
# kept for this many days; 0 takes reports and keeps none.
[dataStream]
#keep_days = 30
# How many events and crash reports a player may send in a day (UTC), and the bytes of JSON each may have.
#events_per_day = 500
#event_bytes = 4096
#crashes_per_day = 10
#crash_bytes = 65536
"""


class DataStreamSettings(Settings, kw_only=True):
    """Reports of clients: events and crashes."""

    keep_days: Annotated[
        int, Meta(ge=0, le=3650, description="Days that reports are kept; 0 takes them and keeps none.")
    ] = 30
    events_per_day: Annotated[
        int, Meta(ge=1, le=1_000_000, description="Events that a player may send in a day (UTC).")
    ] = 500
    event_bytes: Annotated[
        int, Meta(ge=2, le=64 << 10, description="Bytes of JSON that the properties of an event may have.")
    ] = 4 << 10
    crashes_per_day: Annotated[
        int, Meta(ge=1, le=100_000, description="Crash reports that a player may send in a day (UTC).")
    ] = 10
    crash_bytes: Annotated[
        int, Meta(ge=1 << 10, le=256 << 10, description="Bytes of JSON that a crash report may have.")
    ] = 64 << 10


service = Service("dataStream", section=DataStreamSettings, sample=SAMPLE)

# Errors


class TooManyReports(GameError):
    """The player has sent as many events, or crash reports, today (UTC) as the app takes in a day."""

    reason_code = 49101


# Operations

Kind = Literal["page", "screen", "track", "crash"]
KINDS: tuple[Kind, ...] = ("page", "screen", "track", "crash")
ReportName = Annotated[str, Meta(min_length=1, max_length=NAME_MAX)]
Person = Annotated[str, Meta(max_length=PERSON_MAX)] | None


class CustomEvent(Request):
    event_name: Annotated[ReportName, Meta(description="The kind of event, in words of the game's own.")]
    event_properties: Annotated[
        FreeObject | None, Meta(description="An object of the game's own, up to 4 KiB or what the app says.")
    ] = None


@service.operation("CUSTOM_PAGE_EVENT", tx=Tx.WRITE, errors=(TooManyReports, PacketTooLarge))
async def page_event(ctx: Context, request: CustomEvent) -> None:
    """Report that the caller has opened a page. Refused: more events in a day than the app takes."""
    await take_event(ctx, "page", request)


@service.operation("CUSTOM_SCREEN_EVENT", tx=Tx.WRITE, errors=(TooManyReports, PacketTooLarge))
async def screen_event(ctx: Context, request: CustomEvent) -> None:
    """Report that the caller has come to a screen. Refused: more events in a day than the app takes."""
    await take_event(ctx, "screen", request)


@service.operation("CUSTOM_TRACK_EVENT", tx=Tx.WRITE, errors=(TooManyReports, PacketTooLarge))
async def track_event(ctx: Context, request: CustomEvent) -> None:
    """Report something else that the caller has done. Refused: more events in a day than the app takes."""
    await take_event(ctx, "track", request)


class CrashReport(Request):
    """`crash_type` is a word of the game's own; people have filled in the form if `user_submitted`."""

    crash_type: Annotated[ReportName, Meta(description="The kind of crash, in words of the game's own.")]
    error_msg: Annotated[
        Annotated[str, Meta(max_length=MESSAGE_MAX)] | None, Meta(description="What the error says.")
    ] = None
    crash_json: Annotated[FreeObject | None, Meta(description="An object of the game's own.")] = None
    crash_log: Annotated[
        Annotated[str, Meta(max_length=LOG_MAX)] | None, Meta(description="The log before the crash.")
    ] = None
    user_name: Annotated[Person, Meta(description="Who reports it, in words of their own.")] = None
    user_email: Annotated[Person, Meta(description="Where to ask them.")] = None
    user_notes: Annotated[
        Annotated[str, Meta(max_length=NOTES_MAX)] | None, Meta(description="What they say of it.")
    ] = None
    user_submitted: Annotated[bool | None, Meta(description="true if the player has filled in the form.")] = (
        None
    )


@service.operation("SEND_CRASH_REPORT", tx=Tx.WRITE, errors=(TooManyReports, PacketTooLarge))
async def crash_report(ctx: Context, request: CrashReport) -> None:
    """Report a crash. The whole report has a size in bytes beyond which the app does not take it.

    Refused: a larger one, and more reports in a day than the app takes.
    """
    settings = ctx.section(DataStreamSettings)
    data = {
        "errorMsg": request.error_msg or "",
        "crashJson": request.crash_json or {},
        "crashLog": request.crash_log or "",
        "userName": request.user_name or "",
        "userEmail": request.user_email or "",
        "userNotes": request.user_notes or "",
        "userSubmitted": bool(request.user_submitted),
    }
    text = data_text(data, "data", settings.crash_bytes)
    await keep(ctx, "crash", request.crash_type, text, settings.crashes_per_day)


# Rules


async def take_event(ctx: Context, kind: Kind, request: CustomEvent) -> None:
    """Keep an event. Raises `TooManyReports`, `PacketTooLarge`."""
    settings = ctx.section(DataStreamSettings)
    text = data_text(request.event_properties or {}, "data.eventProperties", settings.event_bytes)
    await keep(ctx, kind, request.event_name, text, settings.events_per_day)


def data_text(data: dict[str, Any], where: str, bytes_max: int) -> str:
    """Return data as the JSON text that is stored. Raises `PacketTooLarge`."""
    text = msgspec.json.encode(data)
    if len(text) > bytes_max:
        raise PacketTooLarge(f"{where}: at most {bytes_max} bytes of JSON, got {len(text)}")
    return text.decode()


async def keep(ctx: Context, kind: Kind, name: str, text: str, most: int) -> None:
    """Keep a report, with what is known of the game that sends it. Raises `TooManyReports`."""
    if not ctx.section(DataStreamSettings).keep_days:
        return
    sort = "crash" if kind == "crash" else "event"
    today = ctx.now_ms // DAY_MS
    counted = await ctx.tx.one(
        COUNT, profile_id=ctx.player_id, app_id=ctx.app.id, sort=sort, day=today, reports=1, most=most
    )
    if counted is None:
        what = "crash reports" if kind == "crash" else "events"
        raise TooManyReports(f"at most {most} {what} a day (UTC); the next one tomorrow")
    facts = ctx.session.facts if ctx.session is not None else {}
    # Events of one packet have one time; the count keeps them in their order.
    report_id = f"{first_id(ctx.now_ms)}{counted['reports']:06x}{ctx.core.random_bytes(7).hex()}"
    await ctx.tx.defer(
        ADD,
        id=report_id,
        app_id=ctx.app.id,
        profile_id=ctx.player_id,
        at_ms=ctx.now_ms,
        kind=kind,
        name=name,
        platform=fact(facts, "releasePlatform"),
        game_version=fact(facts, "gameVersion"),
        data=text,
    )


def fact(facts: dict[str, Any], name: str) -> str:
    """What the login has told of the game; nothing where it has not."""
    return str(facts.get(name) or "")[:FACT_MAX]


# Storage

data_stream_reports = Table(
    "data_stream_reports",
    metadata,
    Column("app_id", String(64), primary_key=True),
    Column("id", String(32), primary_key=True),
    Column("profile_id", String(36), nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("kind", String(8), nullable=False),
    Column("name", String(NAME_MAX), nullable=False),
    Column("platform", String(FACT_MAX), nullable=False),
    Column("game_version", String(FACT_MAX), nullable=False),
    Column("data", Json, nullable=False),
    Index("data_stream_reports_by_kind", "app_id", "kind", "id"),
    Index("data_stream_reports_by_profile", "app_id", "profile_id", "id"),
    info={"stored_by": StoredBy.APP},
)
data_stream_counts = Table(
    "data_stream_counts",
    metadata,
    Column("profile_id", String(36), primary_key=True),
    Column("sort", String(8), primary_key=True),
    Column("app_id", String(64), nullable=False),
    Column("day", BigInteger, nullable=False),
    Column("reports", Integer, nullable=False),
    info={"stored_by": StoredBy.PLAYER},
)
_r, _n = data_stream_reports.c, data_stream_counts.c
_TODAY = excluded(data_stream_counts).day

service.keeps(
    PlayerTable(
        data_stream_reports,
        "profile_id",
        {
            "at": _r.at_ms,
            "kind": _r.kind,
            "name": _r.name,
            "platform": _r.platform,
            "gameVersion": _r.game_version,
            "data": _r.data,
        },
    ),
    # A reset leaves the counts alone, or it would be a way around the limits.
    PlayerTable(
        data_stream_counts,
        "profile_id",
        {"day": _n.day, "sort": _n.sort, "reports": _n.reports},
        moves=False,
    ),
)

timeline = Timeline(data_stream_reports)


def kept_ms(app: App) -> int:
    """How long an app wants reports to be kept."""
    return app.section(DataStreamSettings).keep_days * DAY_MS


service.runs(forget_of_apps("dataStream.forget", timeline.expiry, kept_ms))

ADD = insert_row(data_stream_reports)
# One statement, so that packets at the same time do not get past the limit. The day of a process whose clock
# is behind is the one that others have begun already.
COUNT = upsert(
    data_stream_counts,
    ["profile_id", "sort"],
    {
        "day": case((_n.day < _TODAY, _TODAY), else_=_n.day),
        "reports": case((_n.day < _TODAY, 1), else_=_n.reports + 1),
    },
    where=or_(_n.day < _TODAY, _n.reports < bindparam("most", type_=Integer)),
    returning=[_n.reports],
)
