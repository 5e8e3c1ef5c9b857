"""Sections in files of their own, beside `app.toml`."""

from pathlib import Path
from typing import Annotated

import pytest
from msgspec import Meta, field

from gameserver.apps import Declares, Refers, Settings, load_apps

HEAD = f'id = "1"\nsecret = "{"s" * 20}"\n'


class Item(Settings):
    """A thing."""

    price: Annotated[int, Meta(ge=0)] = 0
    parts: list[Annotated[str, Refers("item")]] = field(default_factory=list)


class ItemSettings(Settings):
    """Things by name."""

    items: Annotated[dict[str, Item], Declares("item")] = field(default_factory=dict)
    most: int = 10


SECTIONS = {"items": ItemSettings}
Files = dict[str, str]


def load(folder: Path, files: Files) -> tuple[ItemSettings | None, list[str]]:
    """Write the files of an app; returns its section and the problems, as "file:line key: message"."""
    home = folder / "apps" / "demo"
    for name, text in {"app.toml": HEAD, **files}.items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(text)
    apps = load_apps(folder / "apps", SECTIONS)
    app = apps.find("1")
    section = None if app is None else app.section(ItemSettings)
    return section, [str(p).removeprefix(f"{home}/") for p in apps.problems]


@pytest.mark.parametrize(
    "files",
    [
        {"app.toml": HEAD + "[items.items.sword]\nprice = 5\n[items.items.axe]\n"},
        {"items.toml": "[items.items.sword]\nprice = 5\n[items.items.axe]\n"},
        {"items/a.toml": "[items.items.sword]\nprice = 5\n", "items/b.toml": "[items.items.axe]\n"},
        {"items.toml": "[items.items.sword]\n", "items/b.toml": "[items.items]\nsword.price = 5\naxe = {}"},
        {"app.toml": HEAD + "[items.items.axe]\n", "items.toml": "# mine\n[items.items.sword]\nprice = 5"},
    ],
)
def test_where_a_section_may_stand(tmp_path: Path, files: Files) -> None:
    section, problems = load(tmp_path, files)
    assert problems == []
    assert section is not None
    assert section.items == {"sword": Item(price=5), "axe": Item()}


@pytest.mark.parametrize(
    ("files", "problem"),
    [
        (
            {"items.toml": "[items.items.sword]\n\nprice = -5\n"},
            "items.toml:3 items.items.sword.price: expected a whole number of at least 0, got -5",
        ),
        (
            {"items/weapons.toml": "items.most = 5\n[items.items.sword]\nprize = 5\n"},
            'items/weapons.toml:3 items.items.sword.prize: unknown key; did you mean "price"?',
        ),
        (
            {"items/a.toml": "[items.items.sword]\n", "items/b.toml": '[items]\nitems.axe.parts = ["swort"]'},
            'items/b.toml:2 items.items.axe.parts[0]: there is no item "swort"; did you mean "sword"?',
        ),
        (
            {"items/a.toml": "items.items.sword.price = 1", "items/b.toml": "[items.items.sword]\nprice = 2"},
            "items/b.toml:2 items.items.sword.price: stands in items/a.toml:1 too; keep one of them",
        ),
        (
            {"items.toml": 'id = "2"\n[items]\nmost = 3\n'},
            "items.toml:1 id: stands in app.toml:1 too; keep one of them",
        ),
        ({"items.toml": "most = 5\n"}, "items.toml:1: expected [items] above its keys, as in app.toml"),
        ({"itmes.toml": ""}, 'itmes.toml:1: no section is called "itmes"; did you mean "items"?'),
        ({"items.toml": "[items\n"}, "items.toml:1: not TOML: "),
        ({"items.toml": "[items]\n[items]\n"}, "items.toml:2: [items] begins on line 1 already"),
        ({"items/a.toml": "\udcff"}, "items/a.toml:1: this is not UTF-8 text"),
    ],
)
def test_mistakes_are_told_with_their_file(tmp_path: Path, files: Files, problem: str) -> None:
    if "\udcff" in files.get("items/a.toml", ""):
        (tmp_path / "apps/demo/items").mkdir(parents=True)
        (tmp_path / "apps/demo/items/a.toml").write_bytes(b"\xff")
        files = {}
    _, [found] = load(tmp_path, files)
    assert found.startswith(problem)


def test_files_that_are_passed_over(tmp_path: Path) -> None:
    files = {
        "_draft.toml": "x",
        "scripts/x.toml": "y",
        "items/notes.txt": "z",
        "items.toml": "# empty\n",
    }
    section, problems = load(tmp_path, files)
    assert problems == []
    assert section == ItemSettings()


def test_an_unreadable_file_is_the_only_complaint(tmp_path: Path) -> None:
    """What it would have declared is missing elsewhere, and nobody needs to hear of that."""
    files = {"items/a.toml": "[items.items.sword\n", "items/b.toml": '[items]\nitems.axe.parts = ["sword"]'}
    _, problems = load(tmp_path, files)
    assert len(problems) == 1
