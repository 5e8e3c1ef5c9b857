"""The asyncio client against the stub server."""

import asyncio
import gzip
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from gameserver_client import (
    AsyncClient,
    GameServerError,
    Identity,
    JsonFileStore,
    KillSwitchError,
    MemoryStore,
    NoAnswerError,
    Retry,
    SessionEndedError,
    Settings,
)

if TYPE_CHECKING:  # a conftest cannot be imported by the tests beside it
    from conftest import StubServer

NewClient = Callable[..., AsyncClient]
URL, APP, SECRET = "http://stub.test", "10001", "hush"
QUICK = Retry(first_pause_seconds=0.001, longest_pause_seconds=0.001)


@pytest.fixture
def new_client(server: "StubServer") -> NewClient:
    def new(**options: Any) -> AsyncClient:
        settings = options.pop("settings", Settings(retry=QUICK, heartbeats=False))
        http = httpx.AsyncClient(transport=httpx.MockTransport(server.handle))
        return AsyncClient(URL, APP, SECRET, settings=settings, http=http, clock=server.clock, **options)

    return new


async def test_sign_in_call_sign_out(server: "StubServer", new_client: NewClient) -> None:
    async with new_client() as client:
        login = await client.authenticate_universal("ada", "pw")
        assert client.session is not None
        assert login["profileId"] == client.session.profile_id == "profile-1"
        assert await client.call("entity", "CREATE", {"x": 1}) == {"x": 1}
        assert await client.player_state.logout() == {}
        with pytest.raises(SessionEndedError):
            await client.time.read()
    assert server.ran == [
        ("authenticationV2", "AUTHENTICATE"),
        ("entity", "CREATE"),
        ("playerState", "LOGOUT"),
    ]
    assert str(server.requests[0].url) == "http://stub.test/dispatcherv2"


async def test_calls_made_together_share_a_packet(server: "StubServer", new_client: NewClient) -> None:
    async with new_client() as client:
        calls: list[Awaitable[Any]] = [
            client.authenticate_anonymous(),
            client.time.read(),
            client.send("echo", "E", {"n": 1}),
        ]
        assert (await asyncio.gather(*calls))[2] == {"n": 1}
    assert [len(packet["messages"]) for packet in server.packets] == [1, 2]


async def test_a_bundle_is_one_packet(server: "StubServer", new_client: NewClient) -> None:
    async with new_client() as client:
        await client.authenticate_anonymous()
        with client.bundle() as bundle:
            first: Any = bundle.player_state.read()
            second = bundle.send("echo", "E", {"n": 2})
            await asyncio.sleep(0)  # other tasks may run, the bundle waits for its end
            assert len(server.packets) == 1
        assert (await first, await second) == ({}, {"n": 2})
    assert [len(packet["messages"]) for packet in server.packets] == [1, 2]


async def test_a_bundle_that_fails_sends_nothing(server: "StubServer", new_client: NewClient) -> None:
    async with new_client() as client:
        await client.authenticate_anonymous()
        with pytest.raises(ZeroDivisionError), client.bundle() as bundle:  # noqa: PT012
            future = bundle.time.read()
            raise ZeroDivisionError
        assert future.cancelled()
        with pytest.raises(ValueError, match="10 calls"), client.bundle() as bundle:  # noqa: PT012
            for _ in range(11):
                bundle.time.read()
        with pytest.raises(ValueError, match="alone"), client.bundle() as bundle:
            bundle.send("authenticationV2", "AUTHENTICATE")
    assert len(server.packets) == 1


@pytest.mark.parametrize("trouble", ["503", "lost", "deaf", "refused", "garbage"])
async def test_a_packet_that_went_astray_is_sent_again_and_runs_once(
    server: "StubServer", new_client: NewClient, trouble: str
) -> None:
    async with new_client() as client:
        await client.authenticate_anonymous()
        server.troubles.append(trouble)
        assert await client.call("echo", "E", {"n": 1}) == {"n": 1}
    assert server.ran.count(("echo", "E")) == 1
    assert server.requests[1].content == server.requests[2].content


async def test_time_outs_are_those_of_the_settings(server: "StubServer", new_client: NewClient) -> None:
    server.troubles.extend(["deaf"] * 4)
    async with new_client() as client:
        with pytest.raises(NoAnswerError) as caught:
            await client.authenticate_anonymous()
    assert caught.value.reason_code == 90001
    waited = [request.extensions["timeout"]["read"] for request in server.requests]
    assert waited == pytest.approx([15, 20, 35, 50], abs=1)


async def test_an_answer_that_trickles_is_a_time_out() -> None:
    stuck = asyncio.Event()

    async def never(_: httpx.Request) -> httpx.Response:
        await stuck.wait()
        raise AssertionError

    settings = Settings(retry=Retry((0.01,), first_pause_seconds=0.001, longest_pause_seconds=0.001))
    http = httpx.AsyncClient(transport=httpx.MockTransport(never))
    async with AsyncClient(URL, APP, settings=settings, http=http) as client:
        with pytest.raises(NoAnswerError, match="in time"):
            await client.authenticate_anonymous()


async def test_refusals_are_exceptions(server: "StubServer", new_client: NewClient) -> None:
    server.refusals["playerState", "UPDATE_NAME"] = (409, 40910)
    async with new_client() as client:
        await client.authenticate_anonymous()
        with pytest.raises(GameServerError) as caught:
            await client.call("playerState", "UPDATE_NAME", {"playerName": "Ada"})
    error = caught.value
    assert (error.status, error.reason_code, error.message) == (409, 40910, "refused by the stub")
    assert error.raw["severity"] == "ERROR"


async def test_an_expired_session_needs_a_new_login(server: "StubServer", new_client: NewClient) -> None:
    async with new_client() as client:
        await client.authenticate_anonymous()
        server.refusals["time", "READ"] = (403, 40303)
        for _ in range(2):
            with pytest.raises(SessionEndedError) as caught:
                await client.time.read()
            assert caught.value.reason_code == 40303
        assert server.ran.count(("time", "READ")) == 1
        del server.refusals["time", "READ"]
        await client.reconnect()
        answer: Any = await client.time.read()
        assert answer == {}
    login = server.packets[-2]["messages"][0]["data"]
    assert (login["forceCreate"], login["profileId"]) == (False, "profile-1")


async def test_the_kill_switch_stops_an_operation_that_keeps_failing(
    server: "StubServer", new_client: NewClient
) -> None:
    server.login_extras["maxKillCount"] = 3
    server.refusals["echo", "E"] = (400, 40000)
    async with new_client() as client:
        await client.authenticate_anonymous()
        for _ in range(3):
            with pytest.raises(GameServerError, match="40000"):
                await client.call("echo", "E")
        with pytest.raises(KillSwitchError, match="900/90200"):
            await client.time.read()
        client.reset_kill_switch()
        await client.time.read()
    assert len(server.packets) == 5


async def test_large_packets_travel_compressed(server: "StubServer", new_client: NewClient) -> None:
    settings = Settings(retry=QUICK, compress_requests=True, compress_above_bytes=2000, heartbeats=False)
    async with new_client(settings=settings) as client:
        await client.authenticate_anonymous()
        assert await client.call("echo", "E", {"text": "x" * 5000}) == {"text": "x" * 5000}
    assert gzip.decompress(server.requests[1].content).startswith(b'{"packetId":1,')
    assert len(server.requests[1].content) < 500


async def test_heartbeats_come_by_themselves(server: "StubServer", new_client: NewClient) -> None:
    server.login_extras["playerSessionExpiry"] = 0.02  # so that the wait for it is 17 ms
    beaten = asyncio.Event()
    http = httpx.AsyncClient(transport=httpx.MockTransport(server.handle))
    async with AsyncClient(URL, APP, SECRET, http=http) as client:
        await client.authenticate_anonymous()
        server.on_request = beaten.set
        await asyncio.wait_for(beaten.wait(), 10)
    assert server.packets[1]["messages"][0]["service"] == "heartbeat"


async def test_events_reach_the_callback_and_its_mistakes_stop_nothing(
    server: "StubServer", new_client: NewClient, caplog: pytest.LogCaptureFixture
) -> None:
    seen = []

    def on_event(event: dict[str, Any]) -> None:
        seen.append(event)
        raise ZeroDivisionError

    async with new_client(on_event=on_event) as client:
        await client.authenticate_anonymous()
        server.events = [{"evId": "1"}, {"evId": "2"}]
        await client.time.read()
        await client.time.read()
    assert seen == [{"evId": "1"}, {"evId": "2"}]
    assert "on_event failed" in caplog.text


async def test_a_cancelled_call_is_never_sent(server: "StubServer", new_client: NewClient) -> None:
    async with new_client() as client:
        await client.authenticate_anonymous()
        unwanted = client.send("echo", "E", {"n": 1})
        unwanted.cancel()
        await client.call("echo", "E", {"n": 2})
    assert [packet["messages"][0]["data"] for packet in server.packets[1:]] == [{"n": 2}]


async def test_leaving_waits_for_what_was_sent(server: "StubServer", new_client: NewClient) -> None:
    async with new_client() as client:
        await client.authenticate_anonymous()
        future = client.send("echo", "E", {"n": 1})
    assert future.result() == {"n": 1}
    with pytest.raises(RuntimeError, match="closed"):
        client.send("echo", "E")


async def test_closing_fails_what_is_not_answered(server: "StubServer", new_client: NewClient) -> None:
    client = new_client()
    future = client.authenticate_anonymous()
    await client.close()
    with pytest.raises(NoAnswerError, match="closed"):
        await future


async def test_the_ids_outlive_the_client(
    server: "StubServer", new_client: NewClient, tmp_path: Path
) -> None:
    store = JsonFileStore(tmp_path / "identity.json")
    async with new_client(store=store) as client:
        await client.authenticate_anonymous()
    saved = store.load()
    assert saved.profile_id == "profile-1"
    assert saved.anonymous_id == server.packets[0]["messages"][0]["data"]["externalId"] != ""
    async with new_client(store=store) as client:
        await client.authenticate_anonymous()
        await client.logout(forget_user=True)
    again = server.packets[1]["messages"][0]["data"]
    assert (again["externalId"], again["profileId"]) == (saved.anonymous_id, "profile-1")
    assert store.load() == Identity()


async def test_the_anonymous_id_is_stored_before_it_is_used(
    server: "StubServer", new_client: NewClient
) -> None:
    store = MemoryStore()
    server.troubles.append("404")
    async with new_client(store=store) as client:
        with pytest.raises(NoAnswerError):
            await client.authenticate_anonymous()
    saved = store.load().anonymous_id
    assert saved == server.packets[0]["messages"][0]["data"]["anonymousId"]
    async with new_client(store=store) as client:  # the server may know the id, and wants a profile with it
        await client.authenticate_anonymous()
    assert server.packets[1]["messages"][0]["data"]["externalId"] != saved


async def test_an_anonymous_id_of_ones_own_choice_drops_the_other_profile(
    server: "StubServer", new_client: NewClient
) -> None:
    async with new_client(store=MemoryStore(Identity("p9", "old"))) as client:
        await client.authenticate_anonymous("new")
    login = server.packets[0]["messages"][0]["data"]
    assert (login["externalId"], login["anonymousId"], login["profileId"]) == ("new", "new", "")


@pytest.mark.parametrize(
    ("sign_in", "expected"),
    [
        (lambda c: c.authenticate_universal("ada", "pw"), ("Universal", "ada", "pw", True)),
        (lambda c: c.authenticate_email("a@b.c", "pw"), ("Email", "a@b.c", "pw", True)),
        (lambda c: c.authenticate_handoff("h", "t"), ("Handoff", "h", "t", False)),
        (lambda c: c.authenticate_settop_handoff("c"), ("SettopHandoff", "c", "", False)),
        (
            lambda c: c.authenticate_external("x", "t", "studio", force_create=False),
            ("External", "x", "t", False),
        ),
    ],
)
async def test_every_way_to_sign_in(
    server: "StubServer",
    new_client: NewClient,
    sign_in: Callable[[AsyncClient], Any],
    expected: tuple[str, str, str, bool],
) -> None:
    async with new_client() as client:
        await sign_in(client)
    data = server.packets[0]["messages"][0]["data"]
    keys = ("authenticationType", "externalId", "authenticationToken", "forceCreate")
    assert tuple(data[key] for key in keys) == expected
    assert data["profileId"] == ""
    assert data.get("externalAuthName") == ("studio" if expected[0] == "External" else None)


async def test_a_broken_transport_is_no_endless_wait(
    new_client: NewClient, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(_: httpx.Request) -> httpx.Response:
        raise ZeroDivisionError("a mistake in the transport")

    settings = Settings(retry=Retry((0.01,), 0.001, 0.001))
    http = httpx.AsyncClient(transport=httpx.MockTransport(broken))
    async with AsyncClient(URL, APP, settings=settings, http=http) as client:
        with pytest.raises(NoAnswerError, match="a mistake"):
            await client.authenticate_anonymous()
    assert "a mistake" in caplog.text


@pytest.mark.parametrize("url", ["stub.test", "ftp://stub.test", "http://", ""])
def test_addresses_that_are_none_are_refused(url: str) -> None:
    with pytest.raises(ValueError, match="address"):
        AsyncClient(url, APP)


@pytest.mark.parametrize(
    "url", ["http://h:1", "http://h:1/", "http://h:1/dispatcherv2", "http://h:1/dispatcherv2/"]
)
async def test_addresses_lead_to_the_dispatcher(url: str) -> None:
    async with AsyncClient(url, APP) as client:
        assert client.url == "http://h:1/dispatcherv2"
