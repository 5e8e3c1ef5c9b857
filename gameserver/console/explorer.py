"""The API explorer: every operation with a form, run here, and copied as code."""

import json
import shlex
from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from gameserver.admin.common import Refused
from gameserver.admin.rights import Right
from gameserver.console.web import View, declared, page

FIELD = "f."
_PLAIN = {"string", "integer", "number", "boolean"}


@page("GET /apps/{app}/explorer", Right.APP_READ)
async def operations(view: View) -> Response:
    """List operations by service, or those that a text finds."""
    text = view.query.get("q", "").strip().casefold()
    rows = await view.do("operation_list", app=view.app_id)
    found = [row for row in rows if text in row["name"].casefold() or text in row["summary"].casefold()]
    services: dict[str, list[Any]] = {}
    for row in found:
        services.setdefault(row["name"].partition(".")[0], []).append(row)
    return view.render("explorer.html", services=services, text=view.query.get("q", ""), count=len(rows))


@page("GET /apps/{app}/explorer/{operation}", Right.APP_READ)
async def operation(view: View) -> Response:
    """Show an operation with a form, filled in with its example."""
    shown = await view.do("operation_show", app=view.app_id, operation=view.part("operation"))
    example = (shown["example"] or {}).get("data") or {}
    texts = {**_texts(shown, example), **_given(view.query)}
    trial = _trial(view)
    profile = view.query.get("profile", "") or (trial["profile"] if trial else "")
    return _shown(view, shown, texts, who="player" if trial else "server", profile=profile)


@page("POST /apps/{app}/explorer/{operation}", Right.OPERATIONS_CALL)
async def run(view: View) -> Response:
    """Run an operation, and show what comes of it."""
    shown = await view.do("operation_show", app=view.app_id, operation=view.part("operation"))
    texts = {name.removeprefix(FIELD): value for name, value in view.form.items() if name.startswith(FIELD)}
    who, profile = view.form.get("who", "server"), view.form.get("profile", "").strip()
    if who == "player" and (trial := _trial(view)):
        profile = trial["profile"]
    problem, data, answer = "", None, None
    try:
        data = _values(shown, texts)
        answer = await view.do(
            "call",
            app=view.app_id,
            operation=shown["name"],
            data=data,
            profile=profile,
            as_player=who == "player",
        )
    except Refused as error:
        problem = f"{str(error)[0].upper()}{str(error)[1:]}"
    return _shown(view, shown, texts, who=who, profile=profile, problem=problem, data=data, answer=answer)


def _shown(
    view: View,
    shown: Mapping[str, Any],
    texts: Mapping[str, str],
    *,
    who: str,
    profile: str,
    problem: str = "",
    data: Any = None,
    answer: Any = None,
) -> Response:
    fields = [
        {
            "name": each["name"],
            "kind": _kind(each["schema"]),
            "description": each.get("description", ""),
            "required": each["required"],
            "text": texts.get(each["name"], ""),
            "choices": each["schema"].get("enum", []),
        }
        for each in shown["params"]
    ]
    sent = data if data is not None else _leniently(shown, texts)
    return view.render(
        "operation.html",
        operation=shown,
        fields=fields,
        who=who,
        profile=profile,
        problem=problem,
        answer=answer,
        trial=_trial(view),
        code=code_of(view.app_id, shown["name"], sent),
    )


def _trial(view: View) -> dict[str, Any] | None:
    """Return as which player of this app whoever looks tries things."""
    return view.trial if view.trial and view.trial["app"] == view.app_id else None


def _given(query: Mapping[str, str]) -> dict[str, str]:
    """Return what a link fills in: `?f.score=5`."""
    return {name.removeprefix(FIELD): value for name, value in query.items() if name.startswith(FIELD)}


def _kind(schema: Mapping[str, Any]) -> str:
    """Return what a value is, in a word or two."""
    if "type" in schema and isinstance(schema["type"], str):
        return str(schema["type"])
    kinds = [_kind(each) for each in schema.get("anyOf", ())]
    return " or ".join(dict.fromkeys(kinds)) or "JSON"


def _texts(shown: Mapping[str, Any], data: Mapping[str, Any]) -> dict[str, str]:
    """Return what the fields of the form hold."""
    kinds = {each["name"]: _kind(each["schema"]) for each in shown["params"]}
    return {
        name: value if isinstance(value, str) and "string" in kinds.get(name, "") else json.dumps(value)
        for name, value in data.items()
    }


def _values(shown: Mapping[str, Any], texts: Mapping[str, str]) -> dict[str, Any]:
    """Return the data of a call; fields that are empty are left out. Raises `Refused`."""
    data = {}
    for each in shown["params"]:
        text = texts.get(each["name"], "")
        if not text.strip():
            continue
        kind = _kind(each["schema"])
        try:
            data[each["name"]] = text if kind == "string" else json.loads(text)
        except (ValueError, RecursionError):
            if "string" not in kind:
                raise Refused(f"{each['name']} is no JSON: write {kind}") from None
            data[each["name"]] = text
    return data


def _leniently(shown: Mapping[str, Any], texts: Mapping[str, str]) -> dict[str, Any]:
    try:
        return _values(shown, texts)
    except Refused:
        return {}


def code_of(app_id: str, name: str, data: Any) -> dict[str, str]:
    """Return a call as each client writes it."""
    service, _, operation_name = name.partition(".")
    compact, readable = json.dumps(data, ensure_ascii=False), json.dumps(data, ensure_ascii=False, indent=2)
    call = f'"{service}", "{operation_name}"'
    packet = {
        "packetId": 1,
        "sessionId": "SESSION",
        "gameId": app_id,
        "messages": [{"service": service, "operation": operation_name, "data": data}],
    }
    return {
        "curl": f"curl -s http://HOST/dispatcher -d {shlex.quote(json.dumps(packet, ensure_ascii=False))}",
        "JavaScript": f"const answer = await client.call({call}, {readable});",
        "C#": f"var answer = await client.CallAsync({call}, {_csharp(data)});",
        "Python": f"answer = client.call({call}, {data!r})",
        "gameserver": f"gameserver call {app_id} {name} {shlex.quote(compact)}",
    }


def _csharp(value: Any) -> str:
    """Return a value as C# writes it."""
    match value:
        case dict():
            members = ", ".join(f"{{ {json.dumps(name)}, {_csharp(each)} }}" for name, each in value.items())
            return f"new Dictionary<string, object> {{ {members} }}"
        case list():
            return f"new object[] {{ {', '.join(_csharp(each) for each in value)} }}"
        case _:
            return json.dumps(value)


PAGES = declared(operations, operation, run)
