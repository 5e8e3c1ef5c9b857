"""How the app is defined, in the console: secrets stay hidden, comments stay, mistakes are refused."""

import dataclasses
import re
import tomllib
from pathlib import Path
from typing import Any

import msgspec
import msgspec.inspect
import pytest

from gameserver.admin.definitions import NOT_SHOWN, without_secrets
from gameserver.apps import App, load_apps
from tests.conftest import APP_ID, SECRET, Game
from tests.console.conftest import Desk, hired

COMMENTED = """
# Who may come in.
[web.profiles.players] # one way
create = true

[web.endpoints.login]   # the door
path = "/v1/login"
# Said to people.
description = "Log in."
[web.actions.log_in]
trigger = "login"
events = [
  { do = "login", profile = "players" }, # first
]
"""

OTHER = """
[web.endpoints.other]
path = "/v1/other"
[web.actions.taken]
trigger = "other"
events = [{ do = "logout" }]
"""


class Written:
    """The app's file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def text(self) -> str:
        return (self.folder / "test" / "app.toml").read_text()

    def write(self, text: str) -> None:
        (self.folder / "test" / "app.toml").write_text(text)


@pytest.fixture
def apps_folder(apps_folder: Path) -> Path:
    """An app whose file somebody has written with care."""
    with (apps_folder / "test" / "app.toml").open("a") as file:
        file.write(COMMENTED)
    return apps_folder


@pytest.fixture
def file(apps_folder: Path, game: Game) -> Written:
    """The app's file, on a server that lets it be edited."""
    game.server_app.settings = dataclasses.replace(game.server_app.settings, edit_apps=True)
    return Written(apps_folder)


def version_of(desk: Desk) -> str:
    found = re.search(r'name="version" value="([0-9a-f]*)"', desk.page)
    assert found is not None
    return found.group(1)


LOGIN = {
    "path": "/v1/login",
    "method": "POST",
    "description": "Log in.",
    "do.0": "login",
    "profile.0": "players",
}


async def test_what_is_saved_unchanged_stays_letter_by_letter(desk: Desk, file: Written) -> None:
    before = file.text()
    await desk.of_app("/endpoints/login")
    await desk.act("/endpoints/login", version=version_of(desk), **LOGIN)
    assert "Saved" in desk.text
    after = file.text()
    assert tomllib.loads(after) == tomllib.loads(before)
    for comment in ("# Who may come in.", "# one way", "# the door", "# Said to people."):
        assert comment in after


async def test_a_change_counts_at_once_and_is_in_the_journal(desk: Desk, file: Written) -> None:
    await desk.of_app("/endpoints/login")
    await desk.act("/endpoints/login", version=version_of(desk), **{**LOGIN, "path": "/v2/login"})
    assert "Saved" in desk.text
    body = {"login": desk.game.unique("ada"), "password": "correct horse"}
    assert (await desk.game.http.post("/v2/login", json=body)).status_code == 200
    assert (await desk.game.http.post("/v1/login", json=body)).status_code == 404
    assert "# the door" in file.text()


async def test_the_second_of_two_who_edit_is_told(desk: Desk, file: Written) -> None:
    await desk.of_app("/endpoints/login")
    version = version_of(desk)
    file.write(file.text() + "# somebody was here\n")
    await desk.act("/endpoints/login", version=version, **{**LOGIN, "path": "/v3/login"})
    assert (desk.status, "changed meanwhile" in desk.text) == (422, True)
    assert "/v3/login" in desk.page  # what was typed is not lost
    assert "/v3/login" not in file.text()


@pytest.mark.parametrize(
    ("form", "complaint"),
    [
        ({"name": "bad path", "path": "v1"}, "starts with"),
        ({"name": "dispatcher", "path": "/dispatcher/x"}, "belongs to the server itself"),
        ({"name": "twice", "path": "/v1/login"}, "claims the same path"),
        ({"name": "a/b", "path": "/v1/ab"}, "letters, digits"),
        ({"name": "no op", "path": "/v1/no", "do.0": "call", "operation.0": "no.SUCH"}, "no.SUCH"),
        (
            {"name": "no json", "path": "/v1/no", "do.0": "call", "operation.0": "time.READ", "data.0": "["},
            "JSON",
        ),
        (
            {
                "name": "null",
                "path": "/v1/no",
                "do.0": "call",
                "operation.0": "time.READ",
                "data.0": '{"a": null}',
            },
            "null",
        ),
        ({"name": "get", "path": "/v1/get", "method": "GET", "do.0": "logout"}, "get_changes_state"),
    ],
)
async def test_what_no_server_could_serve_is_refused_and_not_written(
    desk: Desk, file: Written, form: dict[str, str], complaint: str
) -> None:
    before = file.text()
    await desk.of_app("/new-endpoint")
    await desk.act("/new-endpoint", **form)
    assert (desk.status, complaint in desk.text) == (422, True), desk.text
    assert file.text() == before


async def test_nobody_edits_where_the_operator_does_not_allow_it(desk: Desk, apps_folder: Path) -> None:
    file = Written(apps_folder)
    before = file.text()
    await desk.of_app("/endpoints")
    assert "--edit-apps" in desk.text
    await desk.act("/new-endpoint", name="x", path="/v1/x")
    assert "start the server with --edit-apps" in desk.text
    assert file.text() == before


async def test_a_viewer_sees_and_does_not_edit(game: Game, file: Written) -> None:
    viewer = await hired(game, role="viewer", app=APP_ID)
    await viewer.of_app("/endpoints/login")
    assert viewer.status == 200
    await viewer.act("/endpoints/login", version=version_of(viewer), **LOGIN)
    assert viewer.status == 403
    await viewer.of_app("/definition")
    assert SECRET not in viewer.page
    assert "(hidden)" in viewer.text
    assert file.text()


async def test_mistakes_on_disk_are_shown_with_their_place(desk: Desk, file: Written) -> None:
    text = file.text()
    file.write(text + "\n[nothing]\nknown = true\n")
    desk.game.apps.replace(load_apps(file.folder, desk.game.server_app.registry.sections()))
    await desk.of_app("/definition")
    assert "app.toml:" in desk.text
    assert "nothing" in desk.text


def test_secrets_are_hidden_however_they_are_written() -> None:
    text = """secret = "one"
secret_env = "SHOWN"
password_field = "shown"
  app_secret = 'two'
a = { secret = "three", "b key" = "shown", key = "four\\"five" }
key = '''
six
'''
"rest.secret" = "seven"
x."api_key" = "eight" # shown
tokens = ["nine", "ten"]
[quotas]
shown = 1
"""
    hidden = without_secrets(text)
    for each in ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"):
        assert each not in hidden, (each, hidden)
    assert hidden.lower().count("shown") == 5
    assert tomllib.loads(hidden).keys() == tomllib.loads(text).keys()


@pytest.mark.parametrize(
    "text",
    [
        'providers.dev_tokens = { Google = { me = "one" } }',
        '[providers]\ndev_tokens.Google.me = "one"',
        '[providers.dev_tokens.Google] # for tests\nme = "one"\n',
        '[providers]\n  [providers.dev_tokens]\n  Google = { me = "one" }\n',
        'secret_headers = { Authorization = { value = "one" } }',
    ],
)
def test_all_of_a_table_of_secrets_is_hidden(text: str) -> None:
    assert "one" not in without_secrets(text)


@pytest.mark.parametrize("text", ['secret = "one\n', "password = '''\none\n", "key = one\n", "[a" * 999])
def test_nothing_is_shown_where_nobody_knows_what_is_secret(text: str) -> None:
    assert without_secrets(text) == NOT_SHOWN


def test_every_setting_that_is_declared_a_secret_is_hidden(game: Game) -> None:
    """By its name, or by the table that it stands in."""
    found = set[str]()
    seen = set[type]()

    def look(kind: Any, name: str) -> None:
        match kind:
            case msgspec.inspect.Metadata(type=inner, extra=extra):
                if "secret" in (extra or {}):
                    found.add(name)
                look(inner, name)
            case msgspec.inspect.StructType(cls=cls, fields=fields) if cls not in seen:
                seen.add(cls)
                for field in fields:
                    look(field.type, field.encode_name)
            case msgspec.inspect.UnionType(types=kinds):
                for each in kinds:
                    look(each, name)
            case msgspec.inspect.DictType(value_type=inner) | msgspec.inspect.ListType(item_type=inner):
                look(inner, name)

    for settings in (App, *game.server_app.registry.sections().values()):
        look(msgspec.inspect.type_info(settings), "")
    assert {"secret", "password", "client_secret"} <= found
    shown = {name for name in found if "sevenfold" in without_secrets(f'{name} = "sevenfold"')}
    assert shown == {"value"}, "which stands in secret_headers"


async def test_an_action_of_the_same_name_that_is_anothers_stays(desk: Desk, file: Written) -> None:
    file.write(file.text() + OTHER)
    desk.game.apps.replace(load_apps(file.folder, desk.game.server_app.registry.sections()))
    await desk.of_app("/new-endpoint")
    await desk.act("/new-endpoint", name="taken", path="/v1/taken", **{"do.0": "logout"})
    assert "Saved" in desk.text
    actions = tomllib.loads(file.text())["web"]["actions"]
    assert {name: each["trigger"] for name, each in actions.items()} == {
        "log_in": "login",
        "taken": "other",
        "taken do": "taken",
    }


async def test_a_part_of_a_path_leads_nowhere_else(desk: Desk, file: Written) -> None:
    file.write(file.text() + '\n[web.endpoints.club]\npath = "/v1/clubs/{club}"\nmethod = "GET"\n')
    desk.game.apps.replace(load_apps(file.folder, desk.game.server_app.registry.sections()))
    await desk.of_app("/endpoints/club")
    await desk.act("/endpoints/club/run", **{"path.club": "../../../healthz?x="})
    assert "Answer 404" in desk.text
    assert '"alive"' not in desk.text
    await desk.act("/endpoints/club/run", **{"path.club": "moon & miners?"})
    assert "Answer 404" not in desk.text


async def test_what_runs_is_told_from_what_lies_on_disk(desk: Desk, file: Written) -> None:
    await desk.of_app("/definition")
    assert "The files say the same now." in desk.text
    secret = 'secret = "a-new-secret-that-nobody-may-read"'
    old = re.search(r"^secret = .*$", file.text(), re.MULTILINE)
    assert old is not None
    file.write(file.text().replace(old[0], secret).replace('path = "/v1/login"', 'path = "/v2/login"'))
    (file.folder / "test" / "chat.toml").write_text("[chat]\n# how much is kept\n")
    await desk.of_app("/definition")
    assert "reload this page" in desk.text
    assert re.search(r"web.endpoints.login.path \"/v1/login\" \"/v2/login\"", desk.text), desk.text
    assert re.search(r'secret "\(hidden \d\)" "\(hidden \d\)"', desk.text), "that it has changed can be seen"
    assert '+ path = "/v2/login"' in desk.text
    assert "chat.toml is new" in desk.text
    assert "nobody-may-read" not in desk.page
    assert SECRET not in desk.page
    file.write(file.text() + '\n[session]\nlife_seconds = "soon"\n')
    await desk.of_app("/definition")
    assert ("life_seconds" in desk.text, "as soon as the mistakes above are mended" in desk.text) == (
        True,
        True,
    )
    file.write(file.text() + '\nsecret = "not closed')
    await desk.of_app("/definition")
    assert (desk.status, "not TOML" in desk.text, "not closed" in desk.text) == (200, True, False)


async def test_when_it_was_loaded_is_told_and_the_same_again_is_no_news(desk: Desk, file: Written) -> None:
    apps, server = desk.game.apps, desk.game.server_app

    def reload() -> int:
        desk.game.clock.advance(60)
        apps.replace(load_apps(file.folder, server.registry.sections()))
        return apps.loaded(desk.game.app).at_ms

    began = apps.loaded(desk.game.app).at_ms
    assert reload() == began
    file.write(file.text() + "# seen by nobody\n")
    assert reload() == began + 120_000
    file.write(file.text() + "[session]\nlife_seconds = 1\n")
    assert reload() == began + 120_000, "what has mistakes is not taken over"
    assert "life_seconds" not in "".join(apps.loaded(desk.game.app).texts.values())


async def test_how_files_differ_is_shown_to_who_may_see_them(game: Game) -> None:
    viewer = await hired(game, "viewer", APP_ID)
    await viewer.of_app("/definition")
    assert viewer.status == 200
