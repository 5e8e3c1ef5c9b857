"""Work without a packet: jobs, webhooks and scripts; what waits, what failed, and how it is done again."""

import json
from typing import Any

from starlette.responses import Response

from gameserver.admin.common import Refused
from gameserver.admin.declaring import Forbidden
from gameserver.admin.rights import Right
from gameserver.console import moments
from gameserver.console.web import View, declared, page
from gameserver.players.webhooks.deliveries import STATES
from gameserver.storage import StorageError

PAGE_ROWS = 50
LINES = 20
FILTERS = ("target", "state", "event", "profile_id")
TABS = (("Jobs", ""), ("Webhooks", "/webhooks"), ("Scripts", "/scripts"))


def _render(view: View, template: str, tab: str, **known: Any) -> Response:
    return view.render(template, work_tabs=TABS, work_tab=tab, **known)


@page("GET /apps/{app}/jobs", Right.RECORDS_READ)
async def jobs(view: View) -> Response:
    """List jobs: how late they are, how they ended, what was given up."""
    every = view.may(Right.SYSTEM_READ, "")  # they are the whole server's
    if every and (file := await view.file("jobs", "job_list")):
        return file
    rows = await view.tried("job_list") if every else []
    trouble = view.query.get("trouble")
    shown = [row for row in rows or [] if not trouble or row["failures"] or row["given_up"] or row["late_ms"]]
    if rows is not None:
        rows = sorted(shown, key=lambda row: (not (row["failures"] or row["given_up"]), row["name"]))
    may_run = view.may(Right.JOBS_RUN, "")
    return _render(view, "jobs.html", "Jobs", rows=rows, every=every, may_run=may_run)


@page("POST /apps/{app}/jobs/run", Right.JOBS_RUN)
async def run_job(view: View) -> Response:
    """Run a job now, and say how it ended."""
    name = view.form.get("job", "")
    try:
        await view.do("job_run", job=name)
    except (Forbidden, StorageError):
        raise
    except Exception as error:  # noqa: BLE001 - whatever the job raises is what there is to tell
        words = str(error) if isinstance(error, Refused | TimeoutError) else type(error).__name__
        return view.to(view.url("/jobs"), f"{name} did not run to its end: {words}.")
    return view.to(view.url("/jobs"), f"{name} has run.")


@page("POST /apps/{app}/jobs/retry", Right.JOBS_RUN)
async def retry_job(view: View) -> Response:
    """Have work tried again that was given up."""
    done = await view.do("job_retry", job=view.form.get("job", ""))
    return view.to(view.url("/jobs"), f"{done['tried_again']} pieces of {done['job']} are tried again.")


# Webhooks


@page("GET /apps/{app}/webhooks", Right.RECORDS_READ)
async def webhooks(view: View) -> Response:
    """Show the targets of the app's webhooks, and what was delivered."""
    zone = moments.zone_of(view)
    since, until = (moments.read(view.query.get(name, ""), zone, view.now_ms) for name in ("since", "until"))
    if not all(moments.is_absolute(view.query.get(name, "")) for name in ("since", "until")):
        return view.to(view.here(since=moments.iso(since), until=moments.iso(until), zone=None))
    equal = {name: value for name in FILTERS if (value := view.query.get(name, "").strip())}
    asked = {"app": view.app_id, "since_ms": since, "until_ms": until, "equal": equal}
    asked["oldest"] = view.query.get("sort") == "oldest"
    if file := await view.file("deliveries", "webhook_deliveries", **asked):
        return file
    rows = await view.do("webhook_deliveries", **asked, limit=PAGE_ROWS, after=view.query.get("after", ""))
    return _render(
        view,
        "webhooks.html",
        "Webhooks",
        targets=await view.do("webhook_list", app=view.app_id),
        rows=rows,
        states=STATES,
        filtered=bool(equal or since or until),
        zone_name=getattr(zone, "key", "UTC"),
        after=rows[-1]["id"] if len(rows) == PAGE_ROWS else "",
    )


@page("GET /apps/{app}/webhooks/delivery", Right.RECORDS_READ)
async def delivery(view: View) -> Response:
    """Show a delivery: what it tells, and how the last answer began."""
    shown = await view.do("webhook_show", app=view.app_id, delivery=view.query.get("delivery", ""))
    return _render(view, "delivery.html", "Webhooks", row=shown)


@page("POST /apps/{app}/webhooks/replay", Right.JOBS_RUN)
async def replay(view: View) -> Response:
    """Have one delivery sent again, or all of a target that have failed."""
    one = view.form.get("delivery", "")
    failed = {"state": "failed", "target": view.form.get("target", "")}
    which = {"delivery": one} if one else {"equal": failed}
    done = await view.do("webhook_replay", app=view.app_id, **which)
    return view.to(view.url("/webhooks"), f"{done['replayed']} deliveries are sent again.")


@page("POST /apps/{app}/webhooks/test", Right.JOBS_RUN)
async def test(view: View) -> Response:
    """Send a target an event for trying, and say what it answers."""
    done = await view.do("webhook_test", app=view.app_id, target=view.form.get("target", ""))
    outcome = f"answered {done['status']}" if done["delivered"] else f"did not take it: {done['error']}"
    return view.to(view.url("/webhooks"), f"{done['target']} {outcome}.")


@page("POST /apps/{app}/webhooks/enable", Right.JOBS_RUN)
async def enable(view: View) -> Response:
    """Tell a target again that was disabled."""
    done = await view.do("webhook_enable", app=view.app_id, target=view.form.get("target", ""))
    return view.to(
        view.url("/webhooks"), f"{done['target']} is told again. What failed meanwhile can be replayed."
    )


# Scripts


@page("GET /apps/{app}/scripts", Right.APP_READ)
async def scripts(view: View) -> Response:
    """List the scripts of the app, their schedules, and what they logged last."""
    lines = None
    if view.may(Right.RECORDS_READ):
        lines = await view.tried("log_list", app=view.app_id, limit=LINES, equal={"face": "script"})
    return _render(
        view,
        "scripts.html",
        "Scripts",
        rows=await view.do("script_list", app=view.app_id),
        schedules=await view.tried("schedule_list", app=view.app_id),
        lines=lines,
    )


@page("GET /apps/{app}/scripts/source", Right.APP_READ)
async def source(view: View) -> Response:
    """Show a script, and a form that runs it."""
    shown = await view.do("script_show", app=view.app_id, script=view.query.get("script", ""))
    return await _script(view, shown)


async def _script(view: View, shown: dict[str, Any], **known: Any) -> Response:
    lines = None
    if view.may(Right.RECORDS_READ):
        lines = await view.tried("log_list", app=view.app_id, limit=LINES, equal={"source": shown["path"]})
    return _render(
        view,
        "script.html",
        "Scripts",
        script=shown,
        lines=lines,
        **{"ran": None, "data": json.dumps(shown["test_data"] or {}, indent=2), "profile": "", **known},
    )


@page("POST /apps/{app}/scripts/run", Right.OPERATIONS_CALL)
async def run_script(view: View) -> Response:
    """Run a script with a fixture, as a player or for nobody, and show what came of it."""
    path, text, profile = (view.form.get(name, "").strip() for name in ("script", "data", "profile"))
    try:
        data = json.loads(text or "{}")
    except ValueError as error:
        raise Refused(f"the parameters are no JSON: {error}") from None
    if not isinstance(data, dict):
        raise Refused("the parameters are an object: {…}")
    ran = await view.do("script_run", app=view.app_id, script=path, data=data, profile=profile)
    shown = await view.do("script_show", app=view.app_id, script=path)
    return await _script(view, shown, ran=ran, data=text, profile=profile)


PAGES = declared(
    jobs,
    run_job,
    retry_job,
    webhooks,
    delivery,
    replay,
    test,
    enable,
    scripts,
    source,
    run_script,
)
