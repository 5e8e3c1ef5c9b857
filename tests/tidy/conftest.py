"""Some checks look at what the whole test run has done, so they come last, and only when all of it ran."""

from pathlib import Path

import pytest

from tests.conftest import found_before

TESTS = Path(__file__).parents[1]
_deselected = pytest.StashKey[bool]()


def pytest_deselected(items: list[pytest.Item]) -> None:
    if items:
        items[0].config.stash[_deselected] = True


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: "whole_suite" in getattr(item, "fixturenames", ()))


@pytest.fixture
def whole_suite(request: pytest.FixtureRequest) -> None:
    """Skip unless all tests of the server were asked for, none was left out, and this process ran them.

    Or ran before: `pytest --read-found` looks at what the processes of that run have written. With `--judge`
    it is about a few services alone, whose tests run.
    """
    config = request.config
    if config.getoption("--judge"):
        return
    if name := config.getoption("--read-found"):
        found_before(config.invocation_params.dir / name)
        return
    asked_for = {(config.invocation_params.dir / argument).resolve() for argument in config.args}
    left_out = (
        config.stash.get(_deselected, False)
        or config.getoption("ignore")
        or config.getoption("ignore_glob")
        or hasattr(config, "workerinput")
        or not any(TESTS.is_relative_to(path) for path in asked_for)
    )
    if left_out:
        pytest.skip("says something only about a run of the whole suite")
