"""The messages in the pages of `protocol/` are sent to the server, and answered as the pages say."""

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.conftest import APP_TOML, Game

FOLDER = Path(__file__).parents[2] / "protocol"
FENCE = re.compile(r"```(?P<kind>toml|json message|json answer|json refusal)\n(?P<text>.*?)```", re.DOTALL)
PAGES = [page for page in sorted(FOLDER.glob("*.md")) if "```json message" in page.read_text("utf-8")]
ANYTHING = "…"
KEPT = re.compile(r"<(\w+)>")


@pytest.fixture(params=PAGES, ids=lambda page: str(page.name))
def fences(request: pytest.FixtureRequest) -> list[tuple[str, str]]:
    """What a page shows, in order."""
    return [(found["kind"], found["text"]) for found in FENCE.finditer(request.param.read_text("utf-8"))]


@pytest.fixture
def apps_folder(apps_folder: Path, fences: list[tuple[str, str]]) -> Path:
    """The usual app, with what the page declares."""
    declared = [text for kind, text in fences if kind == "toml"]
    (apps_folder / "test" / "app.toml").write_text("\n".join([APP_TOML, *declared]))
    return apps_folder


async def test_the_messages_of_a_page_are_answered_as_it_says(
    game: Game, fences: list[tuple[str, str]]
) -> None:
    player = await game.player()
    kept: dict[str, str] = {}
    entry: dict[str, Any] | None = None
    for kind, text in fences:
        if kind == "json message":
            assert entry is None, "every message has its answer behind it"
            message = msgspec.json.decode(KEPT.sub(lambda found: kept[found[1]], text))
            [entry] = await player.packet((message["service"], message["operation"], message["data"]))
        elif kind != "toml":
            assert entry is not None, "no message stands before this"
            expected = msgspec.json.decode(text)
            found = entry.get("data") if kind == "json answer" else entry
            assert (entry["status"] == 200) == (kind == "json answer"), entry
            compare(expected, found, kept, kind)
            entry = None
    assert entry is None
    assert len(fences) > 2


def compare(expected: Any, found: Any, kept: dict[str, str], place: str) -> None:
    """What is expected is there; an object may hold more."""
    if expected == ANYTHING:
        assert found is not None, place
    elif isinstance(expected, str) and (name := KEPT.fullmatch(expected)):
        assert isinstance(found, str), place
        kept[name[1]] = found
    elif isinstance(expected, dict):
        assert isinstance(found, dict), place
        for key, value in expected.items():
            assert key in found, f"{place}.{key} is not in {found}"
            compare(value, found[key], kept, f"{place}.{key}")
    elif isinstance(expected, list):
        assert isinstance(found, list), place
        assert len(expected) == len(found), f"{place}: {found}"
        for index, (one, other) in enumerate(zip(expected, found, strict=True)):
            compare(one, other, kept, f"{place}[{index}]")
    else:
        assert expected == found, f"{place}: {found}"
        assert type(expected) is type(found), place
