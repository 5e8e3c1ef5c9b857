"""What apps say of each other, checked when they are loaded."""

from pathlib import Path

import pytest

from gameserver.apps import load_apps


def problems(folder: Path, **apps: str) -> list[str]:
    for app, text in apps.items():
        (folder / app).mkdir()
        (folder / app / "app.toml").write_text(f'id = "{app}"\nsecret = "{"s" * 20}"\n{text}')
    loaded = load_apps(folder)
    assert {app.id for app in loaded} == apps.keys() - (loaded.broken or set())
    return [str(problem).removeprefix(f"{folder}/") for problem in loaded.problems]


def below(app: str, level: str = "Master") -> str:
    return f'[parent]\napp = "{app}"\nlevel = "{level}"\n'


def beside(app: str, more: str = "") -> str:
    return f'[peers.other]\napp = "{app}"\n{more}'


def test_parents_and_peers_that_know_each_other_are_right(tmp_path: Path) -> None:
    assert (
        problems(
            tmp_path,
            top="",
            middle=below("top", "Top"),
            low=below("middle") + beside("peer", 'types = ["Email"]\nmay_create = true\n'),
            low2=below("middle"),
            peer=beside("low"),
        )
        == []
    )


@pytest.mark.parametrize(
    ("apps", "expected"),
    [
        (
            {"low": below("lov")},
            [
                (
                    'low/app.toml:4 parent.app: there is no app "lov", or it has mistakes itself; '
                    'did you mean "low"?'
                )
            ],
        ),
        (
            {"one": below("one")},
            ["one/app.toml:4 parent.app: apps are parents of each other in a circle: one > one"],
        ),
        (
            {"one": below("two"), "two": below("one"), "three": below("one", "Three")},
            [
                "one/app.toml:4 parent.app: apps are parents of each other in a circle: one > two > one",
                "two/app.toml:4 parent.app: apps are parents of each other in a circle: two > one > two",
            ],
        ),
        (
            {"top": "", "middle": below("top"), "low": below("middle", "MASTER")},
            [
                (
                    'low/app.toml:5 parent.level: the parent of "middle" is called "Master", too: '
                    "clients could not tell them apart"
                )
            ],
        ),
        (
            {f"app{n}": below(f"app{n - 1}", f"L{n}") if n else "" for n in range(6)},
            ["app5/app.toml:4 parent.app: apps have at most 5 levels; this one is below 5 others"],
        ),
        (
            {"one": beside("two"), "two": ""},
            [
                (
                    'one/app.toml:4 peers.other.app: the app "two" does not name this one among its peers: '
                    'add [peers.…] with app = "one" there'
                )
            ],
        ),
        ({"one": beside("one")}, ["one/app.toml:4 peers.other.app: an app is not its own peer"]),
        (
            {"one": beside("nobody")},
            [
                (
                    'one/app.toml:4 peers.other.app: there is no app "nobody", or it has mistakes itself; '
                    "there are one"
                )
            ],
        ),
    ],
)
def test_mistakes(tmp_path: Path, apps: dict[str, str], expected: list[str]) -> None:
    assert problems(tmp_path, **apps) == expected


def test_login_types_of_a_peer_exist(tmp_path: Path) -> None:
    [problem] = problems(tmp_path, one=beside("two", 'types = ["Emial"]\n'), two="")
    assert 'one/app.toml:5 peers.other.types[0]: unknown login type "Emial"' in problem
