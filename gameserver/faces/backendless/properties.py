"""What users look like from outside, and what they may say of themselves."""

import re
from collections.abc import Mapping
from typing import Any

from gameserver.apps import App, is_mail_address
from gameserver.faces.backendless.errors import Code, Refused
from gameserver.faces.backendless.settings import (
    SYSTEM_PROPERTIES,
    BackendlessSettings,
    Property,
)
from gameserver.players import users
from gameserver.players.passwords import PASSWORD_BYTES_MAX
from gameserver.storage import Row
from gameserver.wire import json

CLASS = "Users"
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
_TYPES: Mapping[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "object": (dict, list, str, int, float, bool),
}
_COLUMN_TYPES = {
    "string": "STRING",
    "integer": "INT",
    "number": "DOUBLE",
    "boolean": "BOOLEAN",
    "object": "JSON",
}
_SYSTEM_COLUMNS = {
    "objectId": "STRING_ID",
    "userStatus": "STRING",
    "blUserLocale": "STRING",
    "created": "DATETIME",
    "updated": "DATETIME",
    "lastLogin": "DATETIME",
    "ownerId": "STRING",
}


def view(app: App, row: Row) -> dict[str, Any]:
    """A user as they themselves and servers see them."""
    settings = app.section(BackendlessSettings)
    contact = row["external_id"] if settings.identity == "email" else None
    return {
        **dict.fromkeys(settings.properties),
        **_kept(settings, row),
        settings.identity: row["external_id"],
        "email": contact or row["contact_email"],
        "objectId": row["profile_id"],
        "ownerId": row["profile_id"],
        "userStatus": _status(app, settings, row),
        "blUserLocale": row["language_code"],
        "created": row["created_ms"],
        "updated": row["updated_ms"],
        "lastLogin": row["last_login_ms"],
        "___class": CLASS,
    }


def public_view(app: App, row: Row) -> dict[str, Any]:
    """A user as other users see them."""
    whole, settings = view(app, row), app.section(BackendlessSettings)
    shown = [name for name, declared in settings.properties.items() if declared.public]
    return {name: whole[name] for name in (*shown, "objectId", "___class")}


def view_for(app: App, row: Row, viewer: str | None) -> dict[str, Any]:
    """A user as seen by another user, by themselves, or (None) by a server."""
    whole = viewer is None or viewer == row["profile_id"]
    return view(app, row) if whole else public_view(app, row)


def _kept(settings: BackendlessSettings, row: Row) -> dict[str, Any]:
    """The stored properties; those that were declared differently once are still the user's."""
    kept = users.properties_of(row["properties"])
    return {
        name: value
        for name, value in kept.items()
        if settings.dynamic_properties or name in settings.properties
    }


def _status(app: App, settings: BackendlessSettings, row: Row) -> str:
    if row["is_disabled"]:
        return "DISABLED"
    if row["is_guest"]:
        return "GUEST"
    unproven = (
        settings.identity == "email" and app.login.validated_email_only and row["is_validated"] is False
    )
    return "EMAIL_CONFIRMATION_PENDING" if unproven else "ENABLED"


def accept(settings: BackendlessSettings, given: Mapping[str, Any], misfit: Code) -> dict[str, Any]:
    """Take the properties that are kept as such out of what a client sent; None removes one.

    Raises `Refused`: for a value that is too long with its own code, for other mistakes with `misfit`.
    """
    accepted: dict[str, Any] = {}
    for name, value in given.items():
        if name in SYSTEM_PROPERTIES or name in (settings.identity, "email", "password"):
            continue
        declared = settings.properties.get(name)
        if declared is None and not settings.dynamic_properties:
            continue
        if _NAME.fullmatch(name) is None:
            raise Refused(
                misfit,
                f"'{name[:64]}' is no name of a property: letters, digits and _, at most 64 characters.",
            )
        check_value(name, value, declared or Property(type="object"), misfit)
        accepted[name] = value
    return accepted


def check_value(name: str, value: Any, declared: Property, misfit: Code) -> None:
    """Raise `Refused` for a value that is not of the declared type, or too long."""
    if value is None:
        return
    fits = isinstance(value, _TYPES[declared.type])
    if not fits or (isinstance(value, bool) and declared.type in ("integer", "number")):
        raise Refused(misfit, f"Property '{name}': expected a value of type {declared.type}.")
    text = value if isinstance(value, str) else json.encode(value).decode()
    check_length(name, text, declared.max_length)


def check_length(name: str, text: str, most: int) -> None:
    """Raise `Refused` for text with too many characters."""
    if len(text) > most:
        raise Refused(Code.VALUE_TOO_LONG, f"The value of '{name}' is too long: at most {most} characters.")


def check_password(password: str) -> None:
    """Raise `Refused` for a text that is too long to be anybody's password."""
    if len(password.encode("utf-8", "replace")) > PASSWORD_BYTES_MAX:
        raise Refused(
            Code.VALUE_TOO_LONG, f"The value of 'password' is too long: at most {PASSWORD_BYTES_MAX} bytes."
        )


def as_text(name: str, value: Any, misfit: Code) -> str:
    """Read a value that is text, or a number that stands for it. Empty when it is absent or null."""
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise Refused(misfit, f"Property '{name}': expected a value of type string.")
    return str(value)


def read_identity(settings: BackendlessSettings, given: Mapping[str, Any], misfit: Code) -> str:
    """Read what the user logs in with; empty when it is not given. Raises `Refused`."""
    text = as_text(settings.identity, given.get(settings.identity), misfit).strip()
    check_length(settings.identity, text, settings.identity_length)
    if text and settings.identity == "email":
        check_mail_address(text)
    return text


def read_email(given: Mapping[str, Any], misfit: Code) -> str:
    """Read where mail goes, where that is not what the user logs in with. Raises `Refused`."""
    text = as_text("email", given.get("email"), misfit).strip()
    if text:
        check_mail_address(text)
    return text


def check_mail_address(text: str) -> None:
    """Raise `Refused` for text that is no mail address."""
    if not is_mail_address(text):
        raise Refused(Code.BAD_EMAIL, "The email address is in the wrong format.")


def check_required(settings: BackendlessSettings, given: Mapping[str, Any]) -> None:
    """Raise `Refused` when a property is missing that whoever registers must give."""
    for name, declared in settings.properties.items():
        if declared.required and given.get(name) is None:
            raise Refused(Code.NO_REQUIRED_PROPERTY, f"The property '{name}' is required.")


def kind_of(value: Any) -> str:
    """Return the type of an undeclared property, as its first value shows it."""
    match value:
        case str():
            return "string"
        case bool():
            return "boolean"
        case int():
            return "integer"
        case float():
            return "number"
        case _:
            return "object"


def columns(settings: BackendlessSettings, undeclared: Mapping[str, str]) -> list[dict[str, Any]]:
    """Describe the properties of users, the way clients expect columns of a table.

    `undeclared` are the types of properties that users have without a declaration, by name.
    """
    declared = {name: _COLUMN_TYPES[p.type] for name, p in settings.properties.items()}
    required = {name for name, p in settings.properties.items() if p.required}
    found = {
        **{name: _COLUMN_TYPES[kind] for name, kind in undeclared.items()},
        **_SYSTEM_COLUMNS,
        "email": "STRING",
        settings.identity: "STRING",
        "password": "STRING",
        **declared,
    }
    return [
        {
            "name": name,
            "type": kind,
            "required": name in required or name in (settings.identity, "password"),
            "identity": name == settings.identity,
            "isPrimaryKey": name == "objectId",
            "defaultValue": None,
        }
        for name, kind in found.items()
    ]
