"""How the app is defined: its files, what is wrong with them, and web endpoints made without code."""

import json
import re
from http import HTTPMethod
from typing import Any

from starlette.responses import Response

from gameserver.admin.common import Refused
from gameserver.admin.rights import Right
from gameserver.console.web import View, declared, page

METHODS = (HTTPMethod.GET, HTTPMethod.POST, HTTPMethod.PUT, HTTPMethod.PATCH, HTTPMethod.DELETE)
EMPTY_EVENTS = 2  # rows of a form that wait to be filled in
EVENTS_MAX = 20
NEW = {
    "name": "",
    "path": "/v1/",
    "method": "POST",
    "description": "",
    "requires_login": False,
    "get_changes_state": False,
    "events": [],
    "actions": [],
    "version": "",
}


@page("GET /apps/{app}/definition", Right.APP_READ)
async def definition(view: View) -> Response:
    """Show the files that define the app, and what is wrong with them."""
    shown = await view.do("definition_show", app=view.app_id)
    changes = await view.tried("definition_changes", app=view.app_id)
    sections: dict[str, list[dict[str, Any]]] = {}
    for each in changes["keys"] if changes else ():
        sections.setdefault(each["section"], []).append(each)
    return view.render("definition.html", shown=shown, changes=changes, sections=sections)


@page("GET /apps/{app}/endpoints", Right.APP_READ)
async def endpoints(view: View) -> Response:
    """List the web endpoints."""
    rows = await view.do("endpoint_list", app=view.app_id)
    return view.render("endpoints.html", rows=rows, may_edit=_may_edit(view))


@page("GET /apps/{app}/new-endpoint", Right.APP_CHANGE)
async def new_endpoint(view: View) -> Response:
    """Show the form for another endpoint."""
    rows = await view.do("endpoint_list", app=view.app_id)
    profiles = {event["profile"] for row in rows for event in row["events"] if event["do"] == "login"}
    return await _shown(view, {**NEW, "profiles": sorted(profiles)})


@page("GET /apps/{app}/endpoints/{endpoint}", Right.APP_READ)
async def endpoint(view: View) -> Response:
    """Show an endpoint: its form, and how it answers."""
    return await _shown(view, await _found(view))


@page("POST /apps/{app}/new-endpoint", Right.APP_CHANGE)
async def add_endpoint(view: View) -> Response:
    """Write a new endpoint."""
    return await _save(view, view.form.get("name", "").strip())


@page("POST /apps/{app}/endpoints/{endpoint}", Right.APP_CHANGE)
async def save_endpoint(view: View) -> Response:
    """Write an endpoint that is there."""
    return await _save(view, view.part("endpoint"))


@page("POST /apps/{app}/endpoints/{endpoint}/run", Right.OPERATIONS_CALL)
async def run_endpoint(view: View) -> Response:
    """Ask the endpoint, with the cookies that this page has collected."""
    shown, form = await _found(view), view.form
    values = {name.removeprefix("path."): value for name, value in form.items() if name.startswith("path.")}
    query = _object(form.get("query", ""), "the query")
    cookies = _object(form.get("cookies", ""), "the cookies")
    answer = await view.do(
        "endpoint_run",
        app=view.app_id,
        name=shown["name"],
        body=form.get("body", ""),
        query={key: str(value) for key, value in query.items()},
        values=values,
        cookies={key: str(value) for key, value in cookies.items()},
    )
    return await _shown(view, shown, answer=answer, asked=form)


async def _found(view: View) -> dict[str, Any]:
    shown: dict[str, Any] = await view.do("endpoint_show", app=view.app_id, name=view.part("endpoint"))
    return shown


async def _shown(
    view: View,
    shown: dict[str, Any],
    *,
    answer: dict[str, Any] | None = None,
    asked: dict[str, str] | None = None,
    problem: str = "",
) -> Response:
    asked = asked or {}
    operations = await view.do("operation_list", app=view.app_id)
    names = [row["name"] for row in await view.do("endpoint_list", app=view.app_id)]
    rows = [*shown["events"], *({"do": ""} for _ in range(EMPTY_EVENTS))][:EVENTS_MAX]
    return view.render(
        "endpoint.html",
        status=422 if problem else 200,
        shown=shown,
        rows=rows,
        names=names,
        parameters=re.findall(r"{([A-Za-z][A-Za-z0-9_]*)}", shown["path"]),
        methods=METHODS,
        operations=operations,
        may_edit=_may_edit(view),
        answer=answer,
        asked=asked,
        cookies=json.dumps(answer["cookies"]) if answer else asked.get("cookies", "{}"),
        problem=problem,
    )


async def _save(view: View, name: str) -> Response:
    form = view.form
    wanted: dict[str, Any] = {
        "path": form.get("path", "").strip(),
        "method": form.get("method", "POST"),
        "description": form.get("description", "").strip(),
        "requires_login": bool(form.get("requires_login")),
        "get_changes_state": bool(form.get("get_changes_state")),
    }
    version = form.get("version", "")
    try:
        wanted["events"] = _events(form)
        await view.do("endpoint_save", app=view.app_id, name=name, version=version, **wanted)
    except Refused as error:
        profiles = form.get("profiles", "").split(",") if form.get("profiles") else []
        kept = {**NEW, "events": [], **wanted, "name": name, "version": version, "profiles": profiles}
        return await _shown(view, kept, problem=f"{str(error)[0].upper()}{str(error)[1:]}.")
    return view.to(view.url(f"/endpoints/{name}"), "Saved. It answers as of now.")


def _events(form: dict[str, str]) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = []
    for number in range(EVENTS_MAX):
        match form.get(f"do.{number}", ""):
            case "login":
                events.append(
                    {"do": "login", "profile": form.get(f"profile.{number}", "").strip() or "players"}
                )
            case "logout":
                events.append({"do": "logout"})
            case "call":
                authority = "server" if form.get(f"authority.{number}") == "server" else ""
                events.append(
                    {
                        "do": "call",
                        "operation": form.get(f"operation.{number}", "").strip(),
                        "data": _object(form.get(f"data.{number}", ""), f"the data of event {number + 1}"),
                        "authority": authority,
                    }
                )
    return events


def _object(text: str, what: str) -> dict[str, Any]:
    if not text.strip():
        return {}
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise Refused(f"{what} is a JSON object, such as {{}}")
    return value


def _may_edit(view: View) -> bool:
    return view.server.settings.edit_apps and view.may(Right.APP_CHANGE)


PAGES = declared(definition, endpoints, new_endpoint, endpoint, add_endpoint, save_endpoint, run_endpoint)
