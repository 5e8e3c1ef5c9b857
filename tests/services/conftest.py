"""What tests of services share that change an app, or a limit, while the server runs."""

from collections.abc import Callable
from pathlib import Path

import pytest

from gameserver.apps import load_apps
from tests.conftest import Game

Define = Callable[[str], None]
"""Adds a text to what the app has declared at first, in place of the one before."""


@pytest.fixture
def define(game: Game, apps_folder: Path) -> Define:
    """Give the app more settings while it runs."""
    file = apps_folder / "test" / "app.toml"
    known = file.read_text()

    def change(text: str) -> None:
        file.write_text(known + text)
        apps = load_apps(apps_folder, game.server_app.registry.sections())
        assert not apps.problems, apps.problems
        game.apps.replace(apps)

    return change


@pytest.fixture
def little(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """From then on an answer holds a character of data."""
    return lambda: monkeypatch.setattr("gameserver.rpc.context.ANSWER_MAX", 1)
