"""Describes an app's endpoints as an OpenAPI document."""

from typing import Any

from gameserver.apps import App
from gameserver.faces.endpoints import values
from gameserver.faces.endpoints.declaration import (
    Action,
    CallEvent,
    Endpoint,
    LoginEvent,
    Profile,
    Web,
)
from gameserver.players.cookies import CookieSettings

Object = dict[str, Any]

_ANSWER = {
    "type": "object",
    "required": ["status"],
    "properties": {"status": {"type": "integer"}, "data": {}},
}
_REFUSAL = {
    "type": "object",
    "required": ["status", "reason_code", "status_message"],
    "properties": {
        "status": {"type": "integer"},
        "reason_code": {"type": "integer"},
        "status_message": {"type": "string"},
    },
}
_TYPES: dict[str, Object] = {
    "number": {"type": "number"},
    "bool": {"type": "boolean"},
    "text": {"type": "string"},
}
_TEXT = {"type": "string"}


def document(app: App, web: Web, server_url: str) -> Object:
    """Return the OpenAPI 3.1 document of an app's endpoints."""
    by_trigger = {action.trigger: action for action in web.actions.values()}
    paths: Object = {}
    for name, endpoint in web.endpoints.items():
        described = _operation(name, endpoint, by_trigger.get(name), web)
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = described
    return {
        "openapi": "3.1.0",
        "info": {"title": app.title or app.name, "version": "1"},
        "servers": [{"url": server_url}],
        "paths": paths,
        "components": {
            "schemas": {"Answer": _ANSWER, "Refusal": _REFUSAL},
            "securitySchemes": {
                "cookie": {"type": "apiKey", "in": "cookie", "name": app.section(CookieSettings).name},
                "bearer": {"type": "http", "scheme": "bearer"},
            },
        },
    }


def _operation(name: str, endpoint: Endpoint, action: Action | None, web: Web) -> Object:
    events = action.events if action is not None else []
    calls = [event for event in events if isinstance(event, CallEvent)]
    logins = [web.profiles[event.profile] for event in events if isinstance(event, LoginEvent)]
    taken = [place for call in calls for place in values.placeholders(call.data)]
    operation: Object = {"operationId": name, "responses": _responses(endpoint, events != [])}
    if endpoint.description:
        operation["description"] = endpoint.description
    if parameters := [*_path_parameters(endpoint, taken), *_query_parameters(taken)]:
        operation["parameters"] = parameters
    if body := _body(logins, taken):
        operation["requestBody"] = body
    if endpoint.requires_login:
        operation["security"] = [{"cookie": []}, {"bearer": []}]
    return operation


def _responses(endpoint: Endpoint, has_events: bool) -> Object:
    def answer(description: str, schema: str) -> Object:
        content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}
        return {"description": description, "content": content}

    responses = {"200": answer("Done.", "Answer")}
    if endpoint.requires_login:
        responses["401"] = answer("Nobody is logged in.", "Refusal")
    if has_events:
        responses["default"] = answer("Refused; reason_code says why.", "Refusal")
    return responses


def _path_parameters(endpoint: Endpoint, taken: list[values.Placeholder]) -> list[Object]:
    kinds = {place.name: place.kind for place in taken if place.source == "path"}
    return [
        {"name": name, "in": "path", "required": True, "schema": _TYPES.get(kinds.get(name, ""), _TEXT)}
        for name in endpoint.parameters
    ]


def _query_parameters(taken: list[values.Placeholder]) -> list[Object]:
    found: dict[str, Object] = {}
    for place in taken:
        if place.source == "query":
            required = not place.is_optional or found.get(place.name, {}).get("required", False)
            found[place.name] = {
                "name": place.name,
                "in": "query",
                "required": required,
                "schema": _TYPES.get(place.kind, _TEXT),
            }
    return list(found.values())


def _body(logins: list[Profile], taken: list[values.Placeholder]) -> Object:
    root: Object = {}
    for profile in logins:
        for field in (profile.login_field, profile.password_field):
            _add(root, [field], _TEXT, required=True)
    for place in taken:
        if place.source == "body":
            _add(root, place.name.split("."), _TYPES.get(place.kind, {}), required=not place.is_optional)
    if not root:
        return {}
    return {"required": "required" in root, "content": {"application/json": {"schema": root}}}


def _add(schema: Object, names: list[str], leaf: Object, *, required: bool) -> None:
    """Add a field to the schema of an object, and the objects on the way to it."""
    first, *rest = names
    schema["type"] = "object"
    if required and first not in schema.get("required", []):
        schema.setdefault("required", []).append(first)
    properties = schema.setdefault("properties", {})
    if not rest:
        properties.setdefault(first, dict(leaf))
    else:
        _add(properties.setdefault(first, {}), rest, leaf, required=required)
