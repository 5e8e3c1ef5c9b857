"""The app of these tests, and its clients."""

import secrets
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Game
from tests.faces.backendless.device import APPLICATION, SERVER, Device, app_toml


@pytest.fixture(autouse=True)
def definition(apps_folder: Path) -> Path:
    file = apps_folder / "test" / "app.toml"
    file.write_text(app_toml())
    return file


@pytest.fixture(autouse=True)
def own_address(game: Game) -> None:
    """Each test calls from its own network: failures are counted for it, and Redis outlives a test."""
    transport: Any = game.http._transport
    transport.client = (f"2001:db8:{secrets.token_hex(2)}:{secrets.token_hex(2)}::1", 1)


@pytest.fixture
def device(game: Game) -> Device:
    return Device(game)


@pytest.fixture
def studio(game: Game) -> Device:
    return Device(game, f"/{APPLICATION}/{SERVER}")
