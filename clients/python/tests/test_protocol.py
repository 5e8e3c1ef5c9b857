"""The protocol core alone: no network, no clock, no threads."""

import gzip
import hashlib
import json
import pickle
from typing import Any, TypeVar

import pytest

from gameserver_client import (
    Call,
    GameServerError,
    Identity,
    KillSwitchError,
    NoAnswerError,
    PacketCore,
    Retry,
    SessionEndedError,
    Settings,
)
from gameserver_client.protocol import HttpRequest

T = TypeVar("T")

LOGIN = Call("authenticationV2", "AUTHENTICATE", {"externalId": "a"})
READ = Call("time", "READ")
LOGOUT = Call("playerState", "LOGOUT")
NAME = Call("playerState", "UPDATE_NAME", {"playerName": "Ada"})
LOGIN_DATA = {"sessionId": "s1", "profileId": "p1", "playerSessionExpiry": 100, "maxBundleMsgs": 3}


def there(value: T | None) -> T:
    assert value is not None
    return value


def make(secret: str = "", **settings: Any) -> PacketCore:
    return PacketCore("10001", secret, settings=Settings(**settings), random=lambda: 1.0)


def ok(data: Any = None) -> dict[str, Any]:
    return {"status": 200, "data": data}


def refused(code: int, status: int = 403) -> dict[str, Any]:
    return {"status": status, "reason_code": code, "status_message": "no", "severity": "ERROR"}


def plain(request: HttpRequest) -> dict[str, Any]:
    body = request.body
    sent: dict[str, Any] = json.loads(
        gzip.decompress(body) if "Content-Encoding" in request.headers else body
    )
    return sent


def answer(core: PacketCore, *responses: dict[str, Any], now: float = 0.0, **more: Any) -> dict[str, Any]:
    """Take the next request and answer it; what was sent."""
    request = there(core.next_request(now))
    body = json.dumps({"packetId": request.packet_id, "responses": responses, **more})
    core.on_response(now, 200, body.encode())
    return plain(request)


def signed_in(secret: str = "", data: Any = LOGIN_DATA, **settings: Any) -> PacketCore:
    core = make(secret, **settings)
    core.enqueue(LOGIN)
    answer(core, ok(data))
    core.take_outcomes()
    return core


def operations(packet: dict[str, Any]) -> list[str]:
    return [message["operation"] for message in packet["messages"]]


# Packets


def test_a_packet_is_compact_and_signed() -> None:
    core = make("hush")
    core.enqueue(LOGIN)
    request = there(core.next_request(0))
    assert request.body == (
        b'{"packetId":0,"sessionId":"","gameId":"10001","messages":'
        b'[{"service":"authenticationV2","operation":"AUTHENTICATE","data":{"externalId":"a"}}]}'
    )
    assert request.headers["X-SIG"] == hashlib.md5(request.body + b"hush").hexdigest()
    assert request.headers["X-APPID"] == "10001"


def test_without_a_secret_there_is_no_signature() -> None:
    core = make()
    core.enqueue(LOGIN)
    assert "X-SIG" not in there(core.next_request(0)).headers


def test_a_login_goes_first_and_alone() -> None:
    core = make()
    tokens = [core.enqueue(READ), core.enqueue(LOGIN), core.enqueue(NAME)]
    assert operations(answer(core, ok(LOGIN_DATA))) == ["AUTHENTICATE"]
    second = answer(core, ok({"t": 1}), ok())
    assert (operations(second), second["packetId"], second["sessionId"]) == (["READ", "UPDATE_NAME"], 1, "s1")
    outcomes = core.take_outcomes()
    assert [outcome.token for outcome in outcomes] == [tokens[1], tokens[0], tokens[2]]
    assert [outcome.data for outcome in outcomes[1:]] == [{"t": 1}, {}]


def test_a_packet_holds_as_many_calls_as_the_server_takes() -> None:
    core = signed_in()
    for _ in range(7):
        core.enqueue(READ)
    assert [len(answer(core, *[ok()] * n)["messages"]) for n in (3, 3, 1)] == [3, 3, 1]


def test_bundled_calls_stay_together() -> None:
    core = signed_in()
    core.enqueue(NAME)
    core.enqueue_bundle([READ, READ, READ])
    core.enqueue(NAME)
    assert operations(answer(core, ok())) == ["UPDATE_NAME"]
    assert operations(answer(core, ok(), ok(), ok())) == ["READ"] * 3


@pytest.mark.parametrize("calls", [[READ] * 4, [LOGIN, READ]])
def test_a_bundle_that_cannot_be_one_packet_is_refused(calls: list[Call]) -> None:
    core = signed_in()
    with pytest.raises(ValueError, match=r"packet|alone"):
        core.enqueue_bundle(calls)
    assert core.next_request(0) is None


@pytest.mark.parametrize("data", [{"x": float("nan")}, {"x": object()}, {"x": b"raw"}])
def test_data_that_is_not_json_is_refused_at_once(data: Any) -> None:
    core = signed_in()
    with pytest.raises((ValueError, TypeError)):
        core.enqueue(Call("entity", "CREATE", data))
    assert core.next_request(0) is None


def test_data_is_taken_as_it_is_when_the_call_is_queued() -> None:
    core = signed_in()
    data = {"playerName": "Ada"}
    core.enqueue(Call("playerState", "UPDATE_NAME", data))
    data["playerName"] = "Bob"
    assert answer(core, ok())["messages"][0]["data"] == {"playerName": "Ada"}


def test_large_packets_are_compressed_and_the_signature_covers_the_plain_body() -> None:
    core = signed_in("hush", LOGIN_DATA | {"compressIfLarger": 500}, compress_requests=True)
    core.enqueue(Call("entity", "CREATE", {"text": "x" * 600}))
    request = there(core.next_request(0))
    assert request.headers["Content-Encoding"] == "gzip"
    assert request.headers["X-SIG"] == hashlib.md5(gzip.decompress(request.body) + b"hush").hexdigest()
    core.on_failure(15, TimeoutError())
    assert there(core.next_request(15)).body == request.body


@pytest.mark.parametrize(("wanted", "limit"), [(False, 500), (True, 5000), (True, -1)])
def test_packets_stay_plain_below_the_limit_and_unless_asked_for(wanted: bool, limit: int) -> None:
    core = signed_in(data=LOGIN_DATA | {"compressIfLarger": limit}, compress_requests=wanted)
    core.enqueue(Call("entity", "CREATE", {"text": "x" * 600}))
    assert "Content-Encoding" not in there(core.next_request(0)).headers


def test_a_call_can_be_taken_back_until_its_packet_left() -> None:
    core = signed_in()
    first, second = core.enqueue(READ), core.enqueue(NAME)
    assert core.cancel(first)
    request = there(core.next_request(0))
    assert operations(plain(request)) == ["UPDATE_NAME"]
    assert not core.cancel(second)


# Tries


def test_time_outs_grow_and_every_try_is_the_same() -> None:
    core = signed_in(heartbeats=False)
    token = core.enqueue(READ)
    now, sent = 10.0, []
    while request := core.next_request(now):
        sent.append(request)
        now += request.timeout_seconds
        core.on_failure(now, TimeoutError("silence"))
    assert [request.timeout_seconds for request in sent] == [15, 20, 35, 50]
    assert len({(request.body, request.packet_id) for request in sent}) == 1
    (outcome,) = core.take_outcomes()
    assert outcome.token == token
    assert isinstance(outcome.error, NoAnswerError)
    assert (there(outcome.error).status, there(outcome.error).reason_code) == (900, 90001)
    assert "silence" in str(outcome.error)
    core.enqueue(READ)
    assert there(core.next_request(now)).packet_id == sent[0].packet_id + 1


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_a_packet_in_progress_is_asked_for_again_later(status: int) -> None:
    core = signed_in()
    core.enqueue(READ)
    first = core.next_request(0)
    core.on_response(0.0, status, b"{}")
    assert core.next_request(0.4) is None
    assert core.next_wakeup(0.4) == 0.5
    assert core.next_request(0.5) == first
    core.on_response(0.6, status, b"{}")
    assert core.next_wakeup(0.6) == pytest.approx(1.6)
    answer(core, ok({"t": 1}), now=2)
    assert [outcome.data for outcome in core.take_outcomes()] == [{"t": 1}]


def test_pauses_are_shortened_by_chance() -> None:
    core = PacketCore("10001", random=lambda: 0.0)
    core.enqueue(LOGIN)
    core.next_request(0)
    core.on_failure(0, ConnectionError("refused"))
    assert core.next_wakeup(0) == 0.25


def test_a_server_that_stays_away_is_given_up_after_all_time_outs_together() -> None:
    core = signed_in(heartbeats=False)
    core.enqueue(READ)
    now, tries = 0.0, 0
    while core.next_request(now) is not None:
        tries += 1
        core.on_failure(now, ConnectionError("refused"))
        now = core.next_wakeup(now) or now
    (outcome,) = core.take_outcomes()
    assert "refused" in str(outcome.error)
    assert 100 < now < 120
    assert 15 < tries < 25


@pytest.mark.parametrize("status", [204, 302, 400, 404, 500])
def test_other_http_answers_end_the_packet(status: int) -> None:
    core = signed_in()
    core.enqueue(READ)
    core.next_request(0)
    core.on_response(0, status, b"")
    (outcome,) = core.take_outcomes()
    assert there(outcome.error).reason_code == 90001
    assert str(status) in there(outcome.error).message


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b"\xff",
        b"[" * 100_000,
        b'{"packetId":7,"responses":[{"status":200}]}',
        b'{"packetId":"1","responses":[{"status":200}]}',
        b'{"packetId":1}',
        b'{"packetId":1,"responses":[]}',
        b'{"packetId":1,"responses":[{"status":200},{"status":200}]}',
        b'{"packetId":1,"responses":[{"status":"200"}]}',
        b'{"packetId":1,"responses":[{"status":200,"data":3}]}',
        b'{"packetId":1,"responses":[null]}',
    ],
)
def test_an_answer_that_is_none_is_asked_for_again_four_times_at_most(body: bytes) -> None:
    core = signed_in(heartbeats=False)
    core.enqueue(READ)
    now, bodies = 0.0, []
    while request := core.next_request(now):
        bodies.append(request.body)
        core.on_response(now, 200, body)
        now = core.next_wakeup(now) or now
    assert len(bodies) == 4
    assert len(set(bodies)) == 1
    (outcome,) = core.take_outcomes()
    assert (there(outcome.error).status, there(outcome.error).reason_code) == (900, 40408)


def test_a_login_without_a_session_is_no_answer() -> None:
    core = make()
    core.enqueue(LOGIN)
    answer(core, ok({"profileId": "p1"}))
    assert core.session is None
    assert core.take_outcomes() == []


def test_one_error_for_an_unreadable_request_is_everybodys() -> None:
    core = signed_in()
    core.enqueue(READ)
    core.enqueue(NAME)
    core.next_request(0)
    core.on_response(0, 200, json.dumps({"packetId": -1, "responses": [refused(40408, 400)]}).encode())
    assert [there(outcome.error).reason_code for outcome in core.take_outcomes()] == [40408, 40408]


def test_a_machine_that_slept_through_the_deadline_gives_one_more_try() -> None:
    core = signed_in()
    core.enqueue(READ)
    core.next_request(0)
    core.on_failure(0, ConnectionError())
    assert there(core.next_request(10_000)).timeout_seconds == 15


# Sessions


def test_calls_without_a_session_never_leave() -> None:
    core = make()
    core.enqueue(READ)
    assert core.next_request(0) is None
    (outcome,) = core.take_outcomes()
    assert isinstance(outcome.error, SessionEndedError)
    assert (there(outcome.error).status, there(outcome.error).reason_code) == (403, 40304)


def test_open_operations_need_no_session() -> None:
    core = PacketCore("10001", open_operations=[("authenticationV2", "GET_SERVER_VERSION")])
    core.enqueue(Call("authenticationV2", "GET_SERVER_VERSION"))
    assert answer(core, ok({"serverVersion": "1"}))["sessionId"] == ""
    assert core.take_outcomes()[0].data == {"serverVersion": "1"}


@pytest.mark.parametrize("code", [40303, 40304, 40356])
def test_session_errors_end_the_session_here_too(code: int) -> None:
    core = signed_in()
    core.enqueue(READ)
    answer(core, refused(code))
    assert core.session is None
    core.enqueue(NAME)
    assert core.next_request(0) is None
    assert [there(outcome.error).reason_code for outcome in core.take_outcomes()] == [code, code]
    assert core.next_wakeup(0) is None
    core.enqueue(LOGIN)
    core.enqueue(NAME)
    answer(core, ok(LOGIN_DATA | {"sessionId": "s2"}))
    assert answer(core, ok())["sessionId"] == "s2"


def test_other_errors_leave_the_session_alone() -> None:
    core = signed_in()
    core.enqueue(NAME)
    answer(core, refused(40306))
    assert there(core.session).id == "s1"
    assert type(core.take_outcomes()[0].error) is GameServerError


def test_a_refused_login_leaves_the_session_alone() -> None:
    core = signed_in()
    core.enqueue(LOGIN)
    assert answer(core, refused(40207, 202))["sessionId"] == ""
    assert there(core.take_outcomes()[0].error).status == 202
    assert there(core.session).id == "s1"


def test_logout_ends_the_session_and_keeps_the_ids() -> None:
    core = signed_in()
    core.enqueue_bundle([LOGOUT, READ])
    answer(core, ok(), refused(40304))
    core.enqueue(READ)
    assert core.next_request(0) is None
    assert [outcome.error is None for outcome in core.take_outcomes()] == [True, False, False]
    assert core.identity.profile_id == "p1"


def test_a_deleted_player_is_forgotten() -> None:
    core = PacketCore("10001", identity=Identity("p1", "anon"))
    core.enqueue(LOGIN)
    answer(core, ok(LOGIN_DATA))
    core.enqueue(Call("playerState", "FULL_PLAYER_RESET"))
    answer(core, ok())
    assert core.session is None
    assert core.identity == Identity("", "anon")


def test_a_switched_session_uses_the_other_app_and_its_secret() -> None:
    core = signed_in("hush", secrets={"20002": "child"})
    core.enqueue(Call("identity", "SWITCH_TO_CHILD_PROFILE", {}))
    answer(core, ok({"switchToAppId": "20002", "profileId": "p-child"}))
    core.enqueue(READ)
    request = there(core.next_request(0))
    assert (plain(request)["gameId"], plain(request)["sessionId"]) == ("20002", "s1")
    assert request.headers["X-SIG"] == hashlib.md5(request.body + b"child").hexdigest()
    assert there(core.session).profile_id == "p-child"
    assert core.identity.profile_id == "p1"


def test_heartbeats_come_only_when_nothing_else_did() -> None:
    core = signed_in()
    assert core.next_wakeup(0) == 85
    core.enqueue(READ)
    answer(core, ok(), now=80)
    assert core.next_request(164) is None
    assert core.next_wakeup(164) == 165
    assert answer(core, ok(), now=165)["messages"] == [
        {"service": "heartbeat", "operation": "READ", "data": {}}
    ]
    assert core.next_wakeup(165) == 250
    assert [outcome.token for outcome in core.take_outcomes()] == [1]


def test_heartbeats_can_be_switched_off() -> None:
    core = signed_in(heartbeats=False)
    assert core.next_wakeup(0) is None
    assert core.next_request(10_000) is None


def test_a_refused_heartbeat_ends_the_session() -> None:
    core = signed_in()
    answer(core, refused(40303), now=85)
    assert core.session is None
    assert core.take_outcomes() == []


def test_a_failing_heartbeat_makes_way_for_a_call() -> None:
    core = signed_in()
    heartbeat = there(core.next_request(85))
    core.on_response(85, 503, b"{}")
    core.enqueue(READ)
    assert core.next_wakeup(85.1) == 85.1
    assert there(core.next_request(85.1)).packet_id == heartbeat.packet_id + 1


# Kill switch


def fail(core: PacketCore, call: Call, times: int) -> None:
    for _ in range(times):
        core.enqueue(call)
        answer(core, refused(40000, 400))


def test_an_operation_that_keeps_failing_stops_the_client() -> None:
    core = signed_in(data=LOGIN_DATA | {"maxKillCount": 3})
    fail(core, NAME, 2)
    core.enqueue(READ)
    answer(core, ok())
    fail(core, NAME, 2)
    fail(core, READ, 2)
    assert not core.kill_switch_engaged
    fail(core, READ, 1)
    core.take_outcomes()
    for call in (NAME, LOGIN):
        core.enqueue(call)
    assert core.next_request(0) is None
    errors = [there(outcome.error) for outcome in core.take_outcomes()]
    assert [(error.status, error.reason_code) for error in errors] == [(900, 90200)] * 2
    assert isinstance(errors[0], KillSwitchError)
    assert "time.READ" in errors[0].message
    core.reset_kill_switch()
    core.enqueue(NAME)
    assert operations(answer(core, ok())) == ["UPDATE_NAME"]


def test_heartbeats_are_not_counted() -> None:
    core = signed_in(data=LOGIN_DATA | {"maxKillCount": 2})
    for now in (85, 170, 255):
        answer(core, refused(40823), now=now)
    assert not core.kill_switch_engaged


def test_the_kill_switch_can_be_left_out() -> None:
    core = signed_in(data=LOGIN_DATA | {"maxKillCount": 1}, kill_switch=False)
    fail(core, NAME, 20)
    assert not core.kill_switch_engaged


# The rest


def test_events_come_out_once_and_in_order() -> None:
    core = signed_in()
    core.enqueue(READ)
    answer(core, ok(), events=[{"evId": "1"}, {"evId": "2"}])
    assert core.take_events() == [{"evId": "1"}, {"evId": "2"}]
    assert core.take_events() == []


def test_closing_settles_everything() -> None:
    core = signed_in()
    core.enqueue(READ)
    core.next_request(0)
    core.enqueue(NAME)
    core.close()
    assert [there(outcome.error).reason_code for outcome in core.take_outcomes()] == [90001, 90001]


def test_errors_carry_the_whole_object_and_survive_pickling() -> None:
    core = signed_in()
    core.enqueue(NAME)
    answer(core, refused(40308, 202) | {"redirect_appid": "20002"})
    error = there(core.take_outcomes()[0].error)
    assert error.raw["redirect_appid"] == "20002"
    assert str(pickle.loads(pickle.dumps(error))) == str(error) == "202/40308 no"


@pytest.mark.parametrize(
    "wrong",
    [
        {"timeouts_seconds": ()},
        {"timeouts_seconds": (0,)},
        {"first_pause_seconds": 0},
        {"longest_pause_seconds": 0.1},
    ],
)
def test_impossible_retries_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"time-out|pause"):
        Retry(**wrong)
