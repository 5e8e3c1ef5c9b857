"""Whoever reads `protocol/` alone learns what every parameter and every field of an answer means."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from gameserver.protocol_export import INDEX, documents
from gameserver.rpc import Registry
from gameserver.services import ALL

# Services whose fields are not described yet. The list only gets shorter.
PARAMETERS_LATER = {
    "s2s",
}
ANSWERS_LATER = PARAMETERS_LATER
UNWRITTEN = "write me"  # as the scaffold of a service leaves it


@pytest.fixture(scope="module")
def by_service() -> dict[str, dict[str, Any]]:
    return {
        document["methods"][0]["tags"][0]["name"]: document
        for name, document in documents(Registry(ALL)).items()
        if name != INDEX
    }


def test_every_parameter_is_described(by_service: dict[str, dict[str, Any]]) -> None:
    silent = {service: list(silent_parameters(document)) for service, document in by_service.items()}
    _check(silent, PARAMETERS_LATER)


def test_every_field_of_an_answer_is_described(by_service: dict[str, dict[str, Any]]) -> None:
    """The shapes that parameters refer to are looked at as well."""
    silent = {service: list(silent_fields(document)) for service, document in by_service.items()}
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


def silent_parameters(document: dict[str, Any]) -> Iterator[str]:
    for method in document["methods"]:
        for param in method["params"]:
            if param.get("description", UNWRITTEN) == UNWRITTEN:
                yield f"{method['name']} {param['name']}"


def silent_fields(document: dict[str, Any]) -> Iterator[str]:
    for shape, schema in document["components"]["schemas"].items():
        for name, field in schema.get("properties", {}).items():
            if field.get("description", UNWRITTEN) == UNWRITTEN:
                yield f"{shape} {name}"


def test_times_and_durations_say_their_unit(by_service: dict[str, dict[str, Any]]) -> None:
    missing = [
        f"{service}: {where} {name}: {said}"
        for service, document in by_service.items()
        for where, name, schema, said in _fields(document)
        if _is_number(schema) and said and not said.startswith(("Another name of", "Always "))
        for names, unit in UNITS
        if names.search(name) and not unit.search(said)
    ]
    assert not missing, "say the unit:\n" + "\n".join(missing)


UNITS = (
    (
        re.compile(r"(At|Epoch|Millis|_?[tT]ime|[lL]ogin|(?<!Up)Until|Start|End|UTC)$"),
        re.compile(r"ms since 1970-01-01 UTC"),
    ),
    (
        re.compile(r"(Secs|Seconds|Minutes|Mins|Days|Hours|Offset|ToLive|Expiry|Larger|BeforeReset)$"),
        re.compile(r"\b(ms|milliseconds?|seconds?|minutes?|days?|hours?|bytes?|pages)\b", re.IGNORECASE),
    ),
)


def _fields(document: dict[str, Any]) -> Iterator[tuple[str, str, Any, str]]:
    for method in document["methods"]:
        for param in method["params"]:
            yield method["name"], param["name"], param["schema"], param.get("description", "")
    for shape, schema in document["components"]["schemas"].items():
        for name, field in schema.get("properties", {}).items():
            yield shape, name, field, field.get("description", "")


def _is_number(schema: dict[str, Any]) -> bool:
    kinds = {option.get("type") for option in (schema, *schema.get("anyOf", ()))}
    return bool(kinds & {"integer", "number"})
