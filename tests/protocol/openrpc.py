"""The structure of an OpenRPC 1.3 document, as far as this project uses it, as a JSON Schema.

JSON Schemas inside the document are checked on their own, against the schema of their dialect.
"""

from typing import Any

_TEXT = {"type": "string", "minLength": 1}
_DESCRIPTOR = {
    "type": "object",
    "required": ["name", "schema"],
    "additionalProperties": False,
    "properties": {
        "name": _TEXT,
        "summary": _TEXT,
        "description": _TEXT,
        "required": {"type": "boolean"},
        "schema": {"type": ["object", "boolean"]},
        "deprecated": {"type": "boolean"},
    },
}
_ERROR = {
    "type": "object",
    "required": ["code", "message"],
    "additionalProperties": False,
    "properties": {
        "code": {"type": "integer"},
        "message": _TEXT,
        "data": {
            "type": "object",
            "required": ["status", "name"],
            "additionalProperties": False,
            "properties": {"status": {"type": "integer", "minimum": 202, "maximum": 599}, "name": _TEXT},
        },
    },
}
_REFERENCE = {
    "type": "object",
    "required": ["$ref"],
    "additionalProperties": False,
    "properties": {"$ref": {"type": "string", "pattern": r"^#/components/errors/[A-Za-z0-9]+$"}},
}
_METHOD = {
    "type": "object",
    "required": ["name", "params", "result", "summary", "description", "errors", "x-access"],
    "additionalProperties": False,
    "properties": {
        "name": {"type": "string", "pattern": r"^[a-z][A-Za-z0-9]*\.[A-Z][A-Z0-9_]*$"},
        "summary": {"type": "string", "minLength": 1, "pattern": r"^[^\n]*$"},
        "description": _TEXT,
        "tags": {
            "type": "array",
            "items": {"type": "object", "required": ["name"], "properties": {"name": _TEXT}},
        },
        "paramStructure": {"enum": ["by-name", "by-position", "either"]},
        "params": {"type": "array", "items": _DESCRIPTOR},
        "result": _DESCRIPTOR,
        "errors": {"type": "array", "items": _REFERENCE},
        "x-access": {"enum": ["player", "open", "server"]},
        "x-same-as": _TEXT,
        "x-server-without-player": {"const": True},
    },
}
DOCUMENT: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "required": ["openrpc", "info", "methods"],
    "additionalProperties": False,
    "properties": {
        "openrpc": {"type": "string", "pattern": r"^1\.3\.\d+$"},
        "info": {
            "type": "object",
            "required": ["title", "version"],
            "additionalProperties": False,
            "properties": {"title": _TEXT, "version": _TEXT, "description": _TEXT},
        },
        "methods": {"type": "array", "items": _METHOD},
        "components": {
            "type": "object",
            "additionalProperties": False,
            "properties": {
                "schemas": {
                    "type": "object",
                    "propertyNames": {"pattern": r"^[a-zA-Z0-9._-]+$"},
                    "additionalProperties": {"type": ["object", "boolean"]},
                },
                "errors": {"type": "object", "additionalProperties": _ERROR},
            },
        },
    },
}
