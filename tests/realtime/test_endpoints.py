"""Where clients are told to connect to."""

import httpx
import pytest

from gameserver.realtime import BadEndpoints, Endpoint, Endpoints
from tests.conftest import Game

LISTENING = "http://127.0.0.1:8080"


def told(
    declared: str = "", public: str = "", reached: str = "", listening: str = LISTENING
) -> list[Endpoint]:
    return list(Endpoints(declared, public, listening).told(reached))


@pytest.mark.parametrize(
    ("declared", "public", "reached", "expected"),
    [
        # As the client has reached the server, in both forms: WebSocket first.
        ("", "", "http://10.0.0.7:8080", [("ws", "10.0.0.7", 8080, False), ("tcp", "10.0.0.7", 8080, False)]),
        ("", "", "http://play.test", [("ws", "play.test", 80, False), ("tcp", "play.test", 80, False)]),
        ("", "", "http://[::1]:9", [("ws", "::1", 9, False), ("tcp", "::1", 9, False)]),
        # With TLS, which clients do not speak in the bare form.
        ("", "", "https://localhost:8443", [("ws", "localhost", 8443, True)]),
        # What a client claims is no address.
        ("", "", "http://", [("ws", "127.0.0.1", 8080, False), ("tcp", "127.0.0.1", 8080, False)]),
        ("", "", 'http://a b"<x>', [("ws", "127.0.0.1", 8080, False), ("tcp", "127.0.0.1", 8080, False)]),
        ("", "", "http://x:99999", [("ws", "127.0.0.1", 8080, False), ("tcp", "127.0.0.1", 8080, False)]),
        # What stands before a server that has a public URL forwards HTTP.
        ("", "https://play.test", "http://10.0.0.7:8080", [("ws", "play.test", 443, True)]),
        ("", "http://play.test:81", "http://10.0.0.7:8080", [("ws", "play.test", 81, False)]),
        # What the operator declares wins, in that order.
        (
            "wss://rt.test, tcp://rt.test:9000",
            "https://play.test",
            "http://10.0.0.7:8080",
            [("ws", "rt.test", 443, True), ("tcp", "rt.test", 9000, False)],
        ),
        ("ws://rt.test/", "", "http://x", [("ws", "rt.test", 80, False)]),
        ("tcps://rt.test:1", "", "http://x", [("tcp", "rt.test", 1, True)]),
    ],
)
def test_endpoints(
    declared: str, public: str, reached: str, expected: list[tuple[str, str, int, bool]]
) -> None:
    assert told(declared, public, reached) == [Endpoint(*each) for each in expected]


@pytest.mark.parametrize(
    "declared", ["play.test", "https://play.test", "tcp://x", "ws://x/path", "ws://x:no", "ws://"]
)
def test_what_is_no_endpoint_is_refused_with_an_example(declared: str) -> None:
    with pytest.raises(BadEndpoints, match=r"wss://play\.example\.com|port is missing"):
        told(declared)


async def test_an_answer_names_the_server_as_the_client_called_it(game: Game) -> None:
    player = await game.player()
    body = player.body(("rttRegistration", "REQUEST_CLIENT_CONNECTION", None))
    answer: httpx.Response = await player.send(body, Host="my-laptop.local:8080")
    data = answer.json()["responses"][0]["data"]
    assert data["endpoints"] == [
        {"protocol": "ws", "host": "my-laptop.local", "port": 8080, "ssl": False},
        {"protocol": "tcp", "host": "my-laptop.local", "port": 8080, "ssl": False},
    ]
    assert data["auth"].keys() == {"X-APPID", "X-RTT-SECRET"}
