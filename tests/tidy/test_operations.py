"""Every operation is called with success and is refused, somewhere in the tests."""

from collections import defaultdict

import pytest
from prometheus_client import REGISTRY

from gameserver.rpc import Registry, metrics
from gameserver.services import ALL
from gameserver.wire.errors import GameError
from tests.protocol.examples import REFUSED_ONLY

OUR_CODES = 49_000


def outcomes() -> dict[str, set[str]]:
    """What the messages this process has run ended in, by operation: the server counts them anyway."""
    found: dict[str, set[str]] = defaultdict(set)
    metrics.settle()  # what was counted is passed on once a second
    for family in REGISTRY.collect():
        for sample in family.samples:
            if sample.name == "gameserver_messages_total" and sample.value > 0:
                found[sample.labels["operation"]].add(sample.labels["outcome"])
    return found


@pytest.mark.usefixtures("whole_suite")
def test_every_operation_has_been_called_and_has_been_refused() -> None:
    seen = outcomes()
    spellings: dict[object, list[str]] = defaultdict(list)
    for operation in Registry(ALL):
        spellings[operation.handler].append(operation.wire_name)
    missing = [
        f"no test calls {operation.wire_name} with success"
        for operation in Registry(ALL)
        if "ok" not in seen[operation.wire_name] and operation.wire_name not in REFUSED_ONLY
    ]
    missing += [
        f"no test shows a refusal of {' or '.join(names)}"
        for names in spellings.values()
        if not any(seen[name] - {"ok", "aborted", "failed"} for name in names)
    ]
    assert not missing, "\n".join(missing)


@pytest.mark.usefixtures("whole_suite")
def test_every_refusal_that_an_operation_lists_has_been_seen() -> None:
    seen = outcomes()
    missing = []
    for operation in Registry(ALL):
        of_handler = set().union(
            *(seen[other.wire_name] for other in Registry(ALL) if other.handler is operation.handler)
        )
        missing += [
            f"no test shows {kind.__name__} ({kind.reason_code}) of {operation.wire_name}"
            for kind in operation.errors
            if str(kind.reason_code) not in of_handler
        ]
    assert not missing, "\n".join(missing)


def test_reason_codes_of_our_own_mean_one_thing() -> None:
    """The reference's codes are shared as it shares them; those from 49000 on are this server's."""
    names: dict[int, set[str]] = defaultdict(set)
    kinds = [GameError]
    while kinds:
        kind = kinds.pop()
        kinds += kind.__subclasses__()
        if kind.__module__.startswith("gameserver.") and getattr(kind, "reason_code", 0) >= OUR_CODES:
            names[kind.reason_code].add(f"{kind.__module__}.{kind.__name__}")
    assert {code: found for code, found in names.items() if len(found) > 1} == {}


@pytest.mark.usefixtures("whole_suite")
def test_no_operation_has_failed() -> None:
    """A refusal is an outcome; a failure is a mistake of ours that a test has provoked and not noticed."""
    assert [name for name, ends in outcomes().items() if "failed" in ends] == []
