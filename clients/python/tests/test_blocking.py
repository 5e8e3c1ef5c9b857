"""The client for threads against the stub server; what both share is tested with the other one."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from gameserver_client import Client, GameServerError, NoAnswerError, Retry, SessionEndedError, Settings

if TYPE_CHECKING:  # a conftest cannot be imported by the tests beside it
    from conftest import StubServer

NewClient = Callable[..., Client]
URL, APP, SECRET = "http://stub.test", "10001", "hush"
QUICK = Retry(first_pause_seconds=0.001, longest_pause_seconds=0.001)


@pytest.fixture
def new_client(server: "StubServer") -> NewClient:
    def new(**options: Any) -> Client:
        settings = options.pop("settings", Settings(retry=QUICK, heartbeats=False))
        http = httpx.Client(transport=httpx.MockTransport(server.handle))
        options.setdefault("clock", server.clock)
        return Client(URL, APP, SECRET, settings=settings, http=http, **options)

    return new


def test_sign_in_call_sign_out(server: "StubServer", new_client: NewClient) -> None:
    with new_client() as client:
        assert client.authenticate_universal("ada", "pw")["profileId"] == "profile-1"
        assert client.call("entity", "CREATE", {"x": 1}) == {"x": 1}
        assert client.player_state.logout() == {}
        with pytest.raises(SessionEndedError):
            client.time.read()
    assert [operation for _, operation in server.ran] == ["AUTHENTICATE", "CREATE", "LOGOUT"]


def test_a_bundle_is_one_packet(server: "StubServer", new_client: NewClient) -> None:
    with new_client() as client:
        client.authenticate_anonymous()
        with client.bundle() as bundle:
            first, second = bundle.player_state.read(), bundle.send("echo", "E", {"n": 2})
        state: Any = first.result()
        assert (state, second.result()) == ({}, {"n": 2})
    assert [len(packet["messages"]) for packet in server.packets] == [1, 2]


@pytest.mark.parametrize("trouble", ["503", "lost", "deaf", "refused", "garbage"])
def test_a_packet_that_went_astray_is_sent_again_and_runs_once(
    server: "StubServer", new_client: NewClient, trouble: str
) -> None:
    with new_client() as client:
        client.authenticate_anonymous()
        server.troubles.append(trouble)
        assert client.call("echo", "E", {"n": 1}) == {"n": 1}
    assert server.ran.count(("echo", "E")) == 1
    assert server.requests[1].content == server.requests[2].content


def test_time_outs_are_those_of_the_settings(server: "StubServer", new_client: NewClient) -> None:
    server.troubles.extend(["deaf"] * 4)
    with new_client() as client, pytest.raises(NoAnswerError):
        client.authenticate_anonymous()
    waited = [request.extensions["timeout"]["read"] for request in server.requests]
    assert waited == pytest.approx([15, 20, 35, 50], abs=1)


def test_refusals_are_exceptions(server: "StubServer", new_client: NewClient) -> None:
    server.refusals["echo", "E"] = (409, 40910)
    with new_client() as client:
        client.authenticate_anonymous()
        with pytest.raises(GameServerError, match="409/40910"):
            client.call("echo", "E")
        with pytest.raises(GameServerError, match="409/40910"):
            client.send("echo", "E").result()


def test_many_threads_share_a_client(server: "StubServer", new_client: NewClient) -> None:
    with new_client() as client, ThreadPoolExecutor(8) as pool:
        client.authenticate_anonymous()
        answers = list(pool.map(lambda n: client.call("echo", "E", {"n": n}), range(200)))
    assert answers == [{"n": n} for n in range(200)]
    assert server.ran.count(("echo", "E")) == 200


def test_flush_returns_when_all_is_settled(server: "StubServer", new_client: NewClient) -> None:
    with new_client() as client:
        futures = [client.send("time", "READ")]  # refused: nobody is signed in
        client.flush()
        client.authenticate_anonymous()
        futures += [client.send("echo", "E", {"n": n}) for n in range(30)]
        client.flush()
        assert all(future.done() for future in futures)


def test_a_cancelled_call_is_never_sent_and_nobody_waits_for_it(
    server: "StubServer", new_client: NewClient
) -> None:
    busy, go_on = threading.Event(), threading.Event()

    def hold() -> None:
        busy.set()
        assert go_on.wait(10)

    with new_client() as client:
        client.authenticate_anonymous()
        server.on_request = hold
        first = client.send("echo", "E", {"n": 1})
        assert busy.wait(10)
        unwanted = client.send("echo", "E", {"n": 2})
        assert unwanted.cancel()
        assert not wait([unwanted], timeout=10).not_done
        go_on.set()
        client.flush()
        assert first.result() == {"n": 1}
    assert len(server.packets) == 2


def test_closing_does_not_wait_for_a_request_under_way(server: "StubServer", new_client: NewClient) -> None:
    busy, go_on, over = threading.Event(), threading.Event(), threading.Event()
    let_go = []

    def hold() -> None:
        busy.set()
        let_go.append(go_on.wait(10))
        over.set()

    client = new_client()
    server.on_request = hold
    future = client.send("authenticationV2", "AUTHENTICATE")
    assert busy.wait(10)
    client.close()
    with pytest.raises(NoAnswerError, match="closed"):
        future.result(timeout=0)
    go_on.set()
    assert over.wait(10)
    assert let_go == [True]
    with pytest.raises(RuntimeError, match="closed"):
        client.time.read()
    client.close()


def test_heartbeats_come_by_themselves(server: "StubServer", new_client: NewClient) -> None:
    server.login_extras["playerSessionExpiry"] = 0.02
    beaten = threading.Event()
    with Client(URL, APP, SECRET, http=httpx.Client(transport=httpx.MockTransport(server.handle))) as client:
        client.authenticate_anonymous()
        server.on_request = beaten.set
        assert beaten.wait(10)
    assert server.packets[1]["messages"][0]["service"] == "heartbeat"


def test_callbacks_may_send_but_not_wait(server: "StubServer", new_client: NewClient) -> None:
    outcomes: list[Any] = []
    told = threading.Event()

    def on_event(event: dict[str, Any]) -> None:
        try:
            client.call("time", "READ")
        except RuntimeError as error:
            outcomes.append(str(error))
        outcomes.append(client.send("echo", "E", event))
        told.set()

    with new_client(on_event=on_event) as client:
        client.authenticate_anonymous()
        server.events = [{"evId": "1"}]
        client.time.read()
        assert told.wait(10)
        assert outcomes[0] == "a callback cannot wait for an answer: use send()"
        assert outcomes[1].result(10) == {"evId": "1"}


def test_a_client_that_sent_nothing_closes() -> None:
    with Client("https://stub.test", APP) as client:
        assert client.session is None
