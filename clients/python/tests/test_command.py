"""The command line."""

import json
from collections.abc import Callable
from typing import TYPE_CHECKING

import httpx
import pytest

from gameserver_client.__main__ import main

if TYPE_CHECKING:  # a conftest cannot be imported by the tests beside it
    from conftest import StubServer

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(server: "StubServer", capsys: pytest.CaptureFixture[str]) -> Run:
    def run(*arguments: str) -> tuple[int, str, str]:
        http = httpx.Client(transport=httpx.MockTransport(server.handle))
        connection = ["--url", "http://stub.test", "--app", "10001", "--secret", "hush"]
        code = main([*connection, *arguments], http=http)
        return code, *capsys.readouterr()

    return run


def test_an_answer_is_printed_as_json(server: "StubServer", run: Run) -> None:
    code, out, err = run("--anonymous", "device-1", "echo", "E", '{"name":"Ада"}')
    assert (code, err) == (0, "")
    assert json.loads(out) == {"name": "Ада"}
    assert out.startswith('{\n  "name": "Ада"')
    assert [operation for _, operation in server.ran] == ["AUTHENTICATE", "E", "LOGOUT"]
    assert server.packets[0]["messages"][0]["data"]["externalId"] == "device-1"


def test_sign_in_by_name_and_only_if_it_exists(server: "StubServer", run: Run) -> None:
    assert run("--universal", "ada", "--password", "pw", "--no-create", "playerState", "LOGOUT")[0] == 0
    login = server.packets[0]["messages"][0]["data"]
    assert (login["externalId"], login["authenticationToken"], login["forceCreate"]) == ("ada", "pw", False)
    assert server.ran.count(("playerState", "LOGOUT")) == 1


def test_a_refusal_is_told_on_standard_error(server: "StubServer", run: Run) -> None:
    server.refusals["echo", "E"] = (409, 40910)
    assert run("--anonymous", "a", "echo", "E") == (1, "", "409/40910 refused by the stub\n")
    assert server.ran[-1] == ("playerState", "LOGOUT")


def test_a_refused_login_is_told_too(server: "StubServer", run: Run) -> None:
    server.refusals["authenticationV2", "AUTHENTICATE"] = (403, 40307)
    assert run("--anonymous", "a", "echo", "E") == (1, "", "403/40307 refused by the stub\n")


def test_a_server_that_is_not_there(server: "StubServer", run: Run) -> None:
    server.troubles.extend(["refused"] * 1000)
    code, out, err = run("--patience", "0.05", "--anonymous", "a", "echo", "E")
    assert (code, out) == (1, "")
    assert "connection refused" in err


@pytest.mark.parametrize(
    "arguments",
    [
        ["echo", "E", "[1]"],
        ["echo", "E", "{"],
        ["echo"],
        ["--patience", "0", "echo", "E"],
        ["--patience", "soon", "echo", "E"],
        ["--anonymous", "a", "--universal", "b", "echo", "E"],
    ],
)
def test_wrong_use_is_explained(server: "StubServer", run: Run, arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        run(*arguments)
    assert caught.value.code == 2
    assert server.packets == []


def test_an_address_that_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--url", "stub", "--app", "1", "time", "READ"]) == 1
    assert "not an http or https address" in capsys.readouterr().err


def test_help_teaches_by_example(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "--anonymous device-1 playerState READ" in capsys.readouterr().out
