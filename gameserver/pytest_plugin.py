"""Fixtures for tests of games; they are there wherever `gameserver` is installed.

`emulator` is a server of its own, put back before each test that asks for it. `gameserver_apps` in the
configuration of pytest names the folder of apps, `gameserver_options` further options of `gameserver serve`.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:  # every run of pytest reads this file, also one that has no use for it
    from gameserver.testing import Emulator


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare what the configuration may say."""
    parser.addini(
        "gameserver_apps", "Folder of app definitions for the emulator; absent: the sample app.", type="paths"
    )
    parser.addini("gameserver_options", "Further options of the emulator's server.", type="args")


@pytest.fixture(scope="session")
def running_emulator(pytestconfig: pytest.Config) -> "Iterator[Emulator]":
    """The server of the emulator, for the whole run; nothing puts it back."""
    from gameserver.testing import emulator  # noqa: PLC0415 - see above

    folders = pytestconfig.getini("gameserver_apps")
    with emulator(folders[0] if folders else None, pytestconfig.getini("gameserver_options")) as running:
        yield running


@pytest.fixture
def emulator(running_emulator: "Emulator") -> "Emulator":
    """A server in which nothing has happened yet. It is one process for the run, put back for each test."""
    running_emulator.reset()
    return running_emulator
