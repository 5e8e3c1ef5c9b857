"""What the server does just now, and did in the last two weeks: what needs attention, charts, processes."""

import asyncio
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, NamedTuple

from starlette.responses import JSONResponse, Response

from gameserver.admin.common import Refused
from gameserver.admin.rights import Right
from gameserver.console.web import HEADERS, View, declared, page

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
CODES_SHOWN = 8


class Span(NamedTuple):
    """How far back charts go, and in which steps."""

    label: str
    back_ms: int
    step_ms: int


SPANS = {
    "hour": Span("the last hour", HOUR_MS, MINUTE_MS),
    "day": Span("the last 24 hours", 24 * HOUR_MS, 10 * MINUTE_MS),
    "weeks": Span("the last 14 days", 14 * 24 * HOUR_MS, 2 * HOUR_MS),
}


class Line(NamedTuple):
    """A line of a chart: which of the metrics, its name, and its unit."""

    name: str
    label: str
    unit: str = ""


class Chart(NamedTuple):
    """A chart, and the same in a sentence."""

    title: str
    lines: Sequence[Line]
    note: str


CHARTS = (
    Chart(
        "Packets and errors",
        (Line("packets", "packets a minute"), Line("messages_failed", "errors of the server a minute")),
        "of all apps",
    ),
    Chart(
        "Latency",
        (Line("p50_ms", "half of the packets below", " ms"), Line("p95_ms", "95 % below", " ms")),
        "of all apps",
    ),
    Chart(
        "Players",
        (
            Line("online", "sessions open"),
            Line("logins", "logins a minute"),
            Line("refusals", "refusals a minute"),
        ),
        "of this app",
    ),
    Chart(
        "Sockets and jobs",
        (Line("sockets", "real-time connections"), Line("job_late_s", "latest job behind", " s")),
        "of all apps",
    ),
)


def told(chart: Chart, rows: Sequence[dict[str, Any]]) -> str:
    """Return what a chart shows as a sentence: each line's last value and its highest."""
    parts = []
    for line in chart.lines:
        values = [row[line.name] for row in rows if row[line.name] is not None]
        if values:
            parts.append(f"{line.label}: {values[-1]:g}{line.unit} now, {max(values):g}{line.unit} at most")
    return "; ".join(parts) or "nothing was counted"


async def around(view: View) -> dict[str, Any]:
    """Return what the first page shows beside players; what is away keeps none of the rest."""
    span = view.query.get("span", "hour")
    if span not in SPANS:
        raise Refused(f"span is one of {', '.join(SPANS)}")
    rows, attention, codes = None, None, None
    may = view.may(Right.SYSTEM_READ)
    if may:
        rows, attention = await asyncio.gather(
            view.tried("metrics_show", app=view.app_id, **_span(view, SPANS[span])),
            view.tried("attention_list", app=view.app_id),
        )
    if view.may(Right.RECORDS_READ):
        codes = await view.tried("refusal_codes", app=view.app_id, since_ms=view.now_ms - HOUR_MS)
    return {
        "may_system": may,
        "may_records": view.may(Right.RECORDS_READ),
        "attention": attention,
        "codes": None if codes is None else codes[:CODES_SHOWN],
        "metrics": rows,
        "charts": [(chart, told(chart, rows or [])) for chart in CHARTS],
        "spans": SPANS,
        "span": span,
    }


def _span(view: View, span: Span) -> dict[str, int]:
    return {"since_ms": view.now_ms - span.back_ms, "step_ms": span.step_ms}


@page("GET /apps/{app}/metrics", Right.SYSTEM_READ)
async def metrics(view: View) -> Response:
    """Give the charts of a page their numbers, as JSON."""
    span = SPANS.get(view.query.get("span", "hour"))
    if span is None:
        raise Refused(f"span is one of {', '.join(SPANS)}")
    rows = await view.tried("metrics_show", app=view.app_id, **_span(view, span))
    status = HTTPStatus.OK if rows is not None else HTTPStatus.SERVICE_UNAVAILABLE
    return JSONResponse({"step_ms": span.step_ms, "rows": rows or []}, status, HEADERS)


@page("GET /apps/{app}/live", Right.SYSTEM_READ)
async def live(view: View) -> Response:
    """Show the server: version, what is away, processes, sessions, and which limits were reached."""
    every = view.may(Right.SYSTEM_READ, "")
    shown = await view.tried("system_show") if every else None
    codes = None
    if view.may(Right.RECORDS_READ):
        codes = await view.tried("refusal_codes", app=view.app_id, since_ms=view.now_ms - 24 * HOUR_MS)
    limits = [code for code in codes or [] if code["is_limit"]]
    return view.render("live.html", every=every, shown=shown, limits=limits, known=codes is not None)


PAGES = declared(metrics, live)
