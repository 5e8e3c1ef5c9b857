"""Exports the form of `app.toml` as JSON Schema, so that editors complete, explain and check it."""

from typing import Any

from gameserver.apps.loading import Sections, definition_type
from gameserver.wire.shapes import json_schemas

SCHEMA_NAME = "app.schema.json"


def app_schema(sections: Sections | None = None) -> dict[str, Any]:
    """Describe `app.toml`, with the parts that services declared, as JSON Schema 2020-12."""
    whole = definition_type(sections or {})
    (reference,), definitions = json_schemas([whole], "#/$defs/")
    # Files of sections have the same form, and no id: the loader tells of what is missing.
    definitions[whole.__name__].pop("required", None)
    for definition in definitions.values():
        _offer_environment(definition)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "App definition",
        **reference,
        "$defs": definitions,
    }


def _offer_environment(definition: dict[str, Any]) -> None:
    """Say that a secret may be named by an environment variable, but not be given twice.

    An empty default is dropped: it means absent, and would not pass the limits of its own key.
    """
    properties: dict[str, dict[str, Any]] = definition.get("properties", {})
    for name, described in properties.items():
        if described.get("default") == "":
            del described["default"]
        if f"{name}_env" in properties:
            pair = {"not": {"required": [name, f"{name}_env"]}}
            definition.setdefault("allOf", []).append(pair)
