"""What is refused when web endpoints are declared, and the notation of values."""

from pathlib import Path
from typing import Any

import pytest

from gameserver.app import registry
from gameserver.apps import load_apps
from gameserver.faces.endpoints import values
from gameserver.faces.endpoints.declaration import RESERVED
from gameserver.wire.errors import GameError
from tests.conftest import APP_TOML, SECRET, Game
from tests.faces.web_endpoints import apps_folder

__all__ = ["apps_folder"]  # fixtures


# What is refused when definitions are checked


def problems(folder: Path, text: str) -> list[str]:
    (folder / "app").mkdir(exist_ok=True)
    (folder / "app" / "app.toml").write_text(APP_TOML + text)
    return [f"{p.line} {p.key}: {p.message}" for p in load_apps(folder, registry().sections()).problems]


def test_two_endpoints_claim_one_path(tmp_path: Path) -> None:
    text = """
[web.endpoints.one]
path = "/v1/clubs/{club}"
[web.endpoints.two]
path = "/v1/clubs/{other}"
[web.endpoints.three]
path = "/v1/clubs/{club}"
method = "GET"
"""
    first, second = problems(tmp_path, text)
    assert first.startswith("6 web.endpoints.one.path: another endpoint claims the same path")
    assert "web.endpoints.two.path" in first
    assert second.startswith("8 web.endpoints.two.path: another endpoint claims the same path")
    assert "web.endpoints.one.path" in second


def test_endpoints_of_two_apps_claim_one_path(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    endpoint = '[web.endpoints.{}]\npath = "/v1/clubs/{{{}}}"\n'
    text = f'id = "other"\nsecret = "{SECRET}"\n' + endpoint.format("theirs", "x")
    (tmp_path / "other" / "app.toml").write_text(text)
    first, second = problems(tmp_path, endpoint.format("mine", "y"))
    assert first.startswith("5 web.endpoints.mine.path: another app claims POST /v1/clubs/{}")
    assert f"{tmp_path / 'other' / 'app.toml'}:4 web.endpoints.theirs.path" in first
    assert f"{tmp_path / 'app' / 'app.toml'}:5 web.endpoints.mine.path" in second


def test_two_actions_have_one_trigger(tmp_path: Path) -> None:
    text = """
[web.endpoints.out]
path = "/v1/out"
[web.actions.one]
trigger = "out"
events = [{ do = "logout" }]
[web.actions.two]
trigger = "out"
events = []
"""
    first, second = problems(tmp_path, text)
    assert "web.actions.two.trigger" in first
    assert "web.actions.one.trigger" in second


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("v1/x", 'starts with "/"'),
        ("/", 'starts with "/"'),
        ("/v1/../x", "leads elsewhere"),
        ("/v1/./x", "leads elsewhere"),
        ("/..", "leads elsewhere"),
        ("/v1/%2e%2e/x", "neither letters"),
        ("/v1//x", "an empty segment"),
        ("/v1/x/", "an empty segment"),
        ("/v1/..\\\\x", "neither letters"),
        ("/v1/x?y", "neither letters"),
        ("/v1/{x}{y}", "neither letters"),
        ("/v1/a{x}", "neither letters"),
        ("/v1/{x}/{x}", "comes twice"),
        ("/{x}/y", "begins with a parameter"),
        ("/dispatcher", "belongs to the server"),
        ("/Metrics", "belongs to the server"),
        ("/oauth2/other", "belongs to the server"),
        ("/" + "x/" * 16 + "x", "more than 16 segments"),
    ],
)
def test_paths_that_will_not_do(tmp_path: Path, path: str, words: str) -> None:
    [problem] = problems(tmp_path, f'[web.endpoints.one]\npath = "{path}"\n')
    assert "web.endpoints.one.path" in problem
    assert words in problem


ENDPOINT = '[web.endpoints.one]\npath = "/v1/{id}"\n[web.actions.one]\ntrigger = "one"\n'


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[web.actions.one]\ntrigger = "one"\nevents = []\n', 'no endpoint "one"'),
        (ENDPOINT + 'events = [{ do = "login", profile = "x" }]\n', 'no profile "x"'),
        (
            ENDPOINT + 'events = [{ do = "call", operation = "playerState.UPDATE_NAM" }]\n',
            'no operation "playerState.UPDATE_NAM"; did you mean "playerState.UPDATE_NAME"?',
        ),
        ('[web.profiles.one]\ntype = "External"\nexternal_name = "guild"\n', 'no external login "guild"'),
        (ENDPOINT + 'events = [{ do = "dance" }]\n', 'expected "login" or "logout" or "call"'),
        (ENDPOINT + 'events = [{ do = "call", operation = "x" }]\n', "service and operation"),
        (
            ENDPOINT + 'events = [{ do = "call", operation = "time.READ", data = { a = "{path.x}" } }]\n',
            "no such parameter",
        ),
        (
            ENDPOINT + 'events = [{ do = "call", operation = "time.READ", data = { a = ["{body}"] } }]\n',
            "{body} is no placeholder",
        ),
        (
            ENDPOINT.replace("[web.actions", 'method = "GET"\n[web.actions')
            + 'events = [{ do = "call", operation = "time.READ", data = { a = "{body.x}" } }]\n',
            "a GET has no body",
        ),
        (
            ENDPOINT.replace("[web.actions", 'method = "GET"\n[web.actions')
            + 'events = [{ do = "logout" }]\n',
            "get_changes_state",
        ),
        (
            ENDPOINT.replace("[web.actions", 'method = "GET"\n[web.actions')
            + 'events = [{ do = "login", profile = "p" }]\n[web.profiles.p]\n',
            "a login is sent with POST",
        ),
        ('[web.endpoints.one]\npath = "/v1/x"\nget_changes_state = true\n', "is for GET"),
        ('[web.profiles.one]\ntype = "Paper"\n', 'unknown login type "Paper"'),
        ('[web.profiles.one]\ntype = "External"\n', "external login"),
        ('[web.profiles.one]\nlogin_field = "password"\n', "another name than login_field"),
        ('[web.endpoints.one]\npath = "/v1/x"\nmethod = "TRACE"\n', "GET, POST, PUT, PATCH or DELETE"),
        ('[cookie]\nname = "a b"\n', "letters, digits"),
        ('[cookie]\nname = "__Host-x"\n', 'secure = "always"'),
        ('[cookie]\norigins = ["https://x.example/path"]\n', "an origin such as"),
        ('[cookie]\norigins = ["*"]\n', "an origin such as"),
    ],
)
def test_declarations_that_will_not_do(tmp_path: Path, text: str, words: str) -> None:
    [problem] = problems(tmp_path, text)
    assert words in problem


def test_the_servers_own_paths_are_reserved(game: Game) -> None:
    mounted = [*game.server_app.site._mounted, *(r.path for r in game.server_app.site._pages.routes)]  # type: ignore[attr-defined]
    firsts = {path.split("/")[1] for path in mounted if path != "/"}  # which no endpoint can have
    # Another contract's paths may begin with "api"; an operator who wants them goes first.
    assert {first for first in firsts if "{" not in first} - RESERVED == {"api"}


def test_the_samples_are_right_when_they_are_uncommented(tmp_path: Path) -> None:
    samples = registry().samples()
    lines = [line for name in ("web", "oauth", "cookie") for line in samples[name].splitlines()]
    text = "\n".join(line[1:] for line in lines if line.startswith("#") and not line.startswith("# "))
    assert (
        problems(
            tmp_path,
            text.replace('name = "game', '[cookie]\nname = "game').replace("enabled", "[oauth]\nenabled"),
        )
        == []
    )


# The notation

SOURCES: values.Sources = {
    "path": {"id": "7"},
    "query": {"n": "12", "x": "1.5", "b": "true", "t": "text"},
    "body": {"score": 9, "deep": {"er": [1]}, "nothing": None, "flag": False, "9": "nine"},
}


@pytest.mark.parametrize(
    ("value", "filled"),
    [
        ("plain", "plain"),
        (5, 5),
        ("{path.id}", "7"),
        ("{path.id:number}", 7),
        ("{query.n:number}", 12),
        ("{query.x:number}", 1.5),
        ("{query.b:bool}", True),
        ("{body.flag:bool}", False),
        ("{body.score}", 9),
        ("{body.score:text}", "9"),
        ("{body.deep.er}", [1]),
        ("{body.nothing}", None),
        ("{body.9}", "nine"),
        ("{path.id}-{body.score}/{query.t}", "7-9/text"),
        ("{{{path.id}}}", "{7}"),
        ("{{path.id}}", "{path.id}"),
        ({"a": "{body.none?}", "b": ["{body.none?}", 1]}, {"b": [1]}),
        ("a{body.none?}b", "ab"),
        ("{body.flag}!", "false!"),
    ],
)
def test_values_are_filled_in(value: Any, filled: Any) -> None:
    assert values.fill(value, SOURCES) == filled


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("{body.none}", "body.none: required"),
        ("{body.deep.none}", "body.deep.none: required"),
        ("{body.score.x}", "body.score.x: required"),
        ("{query.t:number}", "query.t: expected a number"),
        ("{body.flag:number}", "body.flag: expected a number"),
        ("{query.t:bool}", "query.t: expected true or false"),
        ("{body.deep:text}", "body.deep: expected text"),
        ("x{body.deep}", "body.deep: expected text or a number"),
    ],
)
def test_values_that_do_not_fit(value: str, words: str) -> None:
    with pytest.raises(GameError) as refusal:
        values.fill(value, SOURCES)
    assert str(refusal.value) == words


@pytest.mark.parametrize(
    "text", ["{", "}", "{x}", "{path}", "{path.}", "{path.x:int}", "{ path.x }", "{header.x}"]
)
def test_placeholders_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match="is no placeholder"):
        values.parse(text)
