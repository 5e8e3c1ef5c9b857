"""Every operation has an example that is right."""

from collections import defaultdict

import pytest

from gameserver.rpc import Registry
from gameserver.services import ALL
from tests.protocol import examples

HOW = "run `pytest --record-examples tests/services tests/faces` and look at what it writes"


@pytest.mark.parametrize("service", [service.name for service in ALL])
def test_every_operation_has_an_example_that_is_right(service: str) -> None:
    kept = examples.read(examples.FOLDER / f"{service}.json")
    spellings: dict[object, list[str]] = defaultdict(list)
    for operation in Registry(ALL):
        spellings[operation.handler].append(operation.wire_name)
    names = {
        next((name for name in alike if name in kept), alike[0])
        for alike in spellings.values()
        if alike[0].partition(".")[0] == service and alike[0] not in examples.REFUSED_ONLY
    }
    wrong = {
        name: examples.mistakes(name, kept[name]) if name in kept else ["there is none"] for name in names
    }
    assert not {name: found for name, found in wrong.items() if found}, HOW
    assert kept.keys() <= {op.wire_name for op in Registry(ALL)}, "an operation is gone"


def test_the_best_example_is_short_plain_and_full() -> None:
    seen = examples.Examples()
    answers = [None, {"x": "ä"}, {"x": "y" * 2000}, {"x": "y"}, {"x": "y", "z": [{"a": 1}]}]
    for answer in answers:
        seen.note("time", "READ", {}, answer)
    assert seen._best["time.READ"][1]["answer"] == answers[-1]


def test_an_example_of_what_an_operation_was_is_wrong() -> None:
    good = {"data": {}, "answer": {"server_time": 1}}
    assert examples.mistakes("time.READ", good) == []
    assert examples.mistakes("time.READ", {**good, "data": {"none": 1}}) == ["no parameter none"]
    assert examples.mistakes("time.READ", {**good, "answer": {}}) == ["'server_time' is a required property"]
