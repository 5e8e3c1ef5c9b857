"""Whoever reads `protocol/` alone learns what every parameter and every field of an answer means."""

from collections.abc import Iterator
from typing import Any

import pytest

from gameserver.protocol_export import INDEX, documents
from gameserver.rpc import Registry
from gameserver.services import ALL

# Services whose fields are not described yet. The list only gets shorter.
PARAMETERS_LATER = {
    "messaging",
    "profanity",
    "s2s",
}
ANSWERS_LATER = PARAMETERS_LATER


@pytest.fixture(scope="module")
def by_service() -> dict[str, dict[str, Any]]:
    return {
        document["methods"][0]["tags"][0]["name"]: document
        for name, document in documents(Registry(ALL)).items()
        if name != INDEX
    }


def test_every_parameter_is_described(by_service: dict[str, dict[str, Any]]) -> None:
    silent = {service: list(_silent_parameters(document)) for service, document in by_service.items()}
    _check(silent, PARAMETERS_LATER)


def test_every_field_of_an_answer_is_described(by_service: dict[str, dict[str, Any]]) -> None:
    """The shapes that parameters refer to are looked at as well."""
    silent = {service: list(_silent_fields(document)) for service, document in by_service.items()}
    _check(silent, ANSWERS_LATER)


def _check(silent: dict[str, list[str]], later: set[str]) -> None:
    missing = [
        f"{service}: {name} has no description"
        for service, names in silent.items()
        if service not in later
        for name in names
    ]
    assert not missing, "write Annotated[…, Meta(description=…)]:\n" + "\n".join(missing)
    done = [service for service in later & silent.keys() if not silent[service]]
    assert not done, f"take out of the list: {', '.join(sorted(done))}"


def _silent_parameters(document: dict[str, Any]) -> Iterator[str]:
    for method in document["methods"]:
        for param in method["params"]:
            if not param.get("description"):
                yield f"{method['name']} {param['name']}"


def _silent_fields(document: dict[str, Any]) -> Iterator[str]:
    for shape, schema in document["components"]["schemas"].items():
        for name, field in schema.get("properties", {}).items():
            if not field.get("description"):
                yield f"{shape} {name}"
