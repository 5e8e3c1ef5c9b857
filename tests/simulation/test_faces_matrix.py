"""Log in through one face and out through another, on two processes: a third refuses the session at once."""

import hashlib
import itertools
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from gameserver.sessions import digest_of
from tests.cli.running import command
from tests.conftest import APP_ID, BACKENDS, SECRET
from tests.faces.web_app import PASSWORD, app_toml
from tests.processes import Process, request, serve

APPLICATION, KEY = "MATRIX-APP", "js-key"
DEFINITION = f"""
[session]
most = 100

[login]
failures_per_address = 100000

[backendless]
identity = "nickname"

[backendless.login]
multiple_logins = "up_to"
most = 100

[backendless.versions.release]
application_id = "{APPLICATION}"
keys = {{ js = "{KEY}" }}
server_key = "a-server-key-0123456789"
"""
PACKET_IDS = itertools.count(1)


@dataclass(frozen=True)
class Servers:
    """Two processes over the same services; one, twice, where there are none."""

    folder: Path
    options: list[str]
    one: Process
    other: Process


@pytest.fixture(scope="module")
def servers(
    tmp_path_factory: pytest.TempPathFactory, services: dict[str, str], migrated: object
) -> Iterator[Servers]:
    folder = tmp_path_factory.mktemp("matrix")
    (folder / "apps" / "test").mkdir(parents=True)
    (folder / "apps" / "test" / "app.toml").write_text(app_toml(DEFINITION))
    options = [part for name, url in services.items() for part in (f"--{name}", url)]
    with ExitStack() as stack:
        one = stack.enter_context(serve(folder, *options))
        other = one if BACKENDS == "embedded" else stack.enter_context(serve(folder, *options))
        yield Servers(folder, options, one, other)


def packet(server: Process, session_id: str, service: str, operation: str, **data: Any) -> dict[str, Any]:
    """Send one message; returns the entry of the answer."""
    message = {"service": service, "operation": operation, "data": data}
    body = msgspec.json.encode(
        {"packetId": next(PACKET_IDS), "sessionId": session_id, "gameId": APP_ID, "messages": [message]}
    )
    headers = {"X-SIG": hashlib.md5(body + SECRET.encode()).hexdigest()}
    response = request("POST", f"{server.url}/dispatcherv2", content=body, headers=headers)
    [entry] = response.json()["responses"]
    return dict(entry)


def cookie(session_id: str) -> dict[str, str]:
    return {"Cookie": f"test_session={session_id}"}


def backendless(server: Process, method: str, path: str, token: str = "", **more: Any) -> httpx.Response:
    headers = {"user-token": token} if token else {}
    return request(method, f"{server.url}/{APPLICATION}/{KEY}{path}", headers=headers, **more)


# Logging in; each gives the id of the session, which is what every face carries in its own way


def by_packet(server: Process, user: str) -> str:
    entry = packet(
        server,
        "",
        "authenticationV2",
        "AUTHENTICATE",
        authenticationType="Universal",
        externalId=user,
        authenticationToken=PASSWORD,
    )
    return str(entry["data"]["sessionId"]) if entry["status"] == 200 else ""


def by_backendless(server: Process, user: str) -> str:
    response = backendless(server, "POST", "/users/login", json={"login": user, "password": PASSWORD})
    return str(response.json().get("user-token", ""))


def by_endpoint(server: Process, user: str) -> str:
    response = request("POST", f"{server.url}/v1/login", json={"user": user, "secret": PASSWORD})
    return response.cookies.get("test_session") or ""


LOGINS = (by_packet, by_backendless, by_endpoint)

# Asking whether a session is good


def for_packets(server: Process, session_id: str) -> bool:
    entry = packet(server, session_id, "playerState", "READ")
    assert entry["status"] == 200 or entry["reason_code"] in (40304, 40356), entry
    return bool(entry["status"] == 200)


def for_backendless(server: Process, session_id: str) -> bool:
    valid = backendless(server, "GET", f"/users/isvalidusertoken/{session_id}").json()
    roles = backendless(server, "GET", "/users/userroles", session_id)
    assert (roles.status_code == 200) is valid
    assert valid or roles.json()["code"] == 3064
    return bool(valid)


def for_endpoints(server: Process, session_id: str) -> bool:
    status = request("GET", f"{server.url}/v1/me", headers=cookie(session_id)).status_code
    assert status in (200, 401)
    return status == 200


ACCEPTANCES = (for_packets, for_backendless, for_endpoints)

# Logging out


def end_by_packet(servers: Servers, session_id: str) -> None:
    assert packet(servers.other, session_id, "playerState", "LOGOUT") == {"status": 200, "data": None}


def end_by_backendless(servers: Servers, session_id: str) -> None:
    assert backendless(servers.other, "GET", "/users/logout", session_id).status_code == 200


def end_by_endpoint(servers: Servers, session_id: str) -> None:
    response = request("GET", f"{servers.other.url}/v1/logout_user", headers=cookie(session_id))
    assert response.status_code == 200


def end_by_sap(servers: Servers, session_id: str) -> None:
    url = f"{servers.other.url}/mobileservices/sessions/logout"
    assert request("POST", url, headers=cookie(session_id)).status_code == 204


def end_everything_by_sap(servers: Servers, session_id: str) -> None:
    url = f"{servers.other.url}/mobileservices/sessions/v2"
    assert request("DELETE", url, headers=cookie(session_id)).status_code == 204


def end_by_revocation(servers: Servers, session_id: str) -> None:
    form = {"token": session_id}
    assert request("POST", f"{servers.other.url}/oauth2/revoke", data=form).status_code == 200


def end_by_operator(servers: Servers, session_id: str) -> None:
    words = ("session", "end", APP_ID, digest_of(session_id) or "")
    done = command(servers.folder, *words, *servers.options)
    assert done.returncode == 0, done.stderr


ENDS = (
    end_by_packet,
    end_by_backendless,
    end_by_endpoint,
    end_by_sap,
    end_everything_by_sap,
    end_by_revocation,
    end_by_operator,
)


@pytest.fixture
def user(servers: Servers) -> str:
    name = f"matrix-{uuid.uuid4()}"
    response = request("POST", f"{servers.one.url}/v1/login", json={"user": name, "secret": PASSWORD})
    assert response.status_code == 200, response.text
    return name


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("log_in", LOGINS)
def test_logged_out_through_one_face_is_logged_out_of_all(
    servers: Servers,
    user: str,
    log_in: Callable[[Process, str], str],
    end: Callable[[Servers, str], None],
) -> None:
    session_id, bystander = log_in(servers.one, user), log_in(servers.other, user)
    assert session_id
    for process in (servers.one, servers.other):
        assert [accepts(process, session_id) for accepts in ACCEPTANCES] == [True, True, True]
    end(servers, session_id)
    for process in (servers.one, servers.other):
        assert [accepts(process, session_id) for accepts in ACCEPTANCES] == [False, False, False]
    rest = [accepts(servers.one, bystander) for accepts in ACCEPTANCES]
    assert rest == [end is not end_everything_by_sap] * 3


def test_a_disabled_player_is_out_everywhere(servers: Servers, user: str) -> None:
    sessions = [log_in(servers.one, user) for log_in in LOGINS]
    profile_id = packet(servers.one, sessions[0], "playerState", "READ")["data"]["profileId"]
    for word in ("disable", "enable"):
        done = command(servers.folder, "player", word, APP_ID, profile_id, *servers.options)
        assert done.returncode == 0, done.stderr
        for session_id in sessions:
            for process in (servers.one, servers.other):
                assert not any(accepts(process, session_id) for accepts in ACCEPTANCES)
        got_in = [bool(log_in(servers.other, user)) for log_in in LOGINS]
        assert got_in == [word == "enable"] * 3


def test_a_process_that_starts_later_refuses_too(servers: Servers, user: str) -> None:
    if BACKENDS == "embedded":
        pytest.skip("sessions in memory end with their process")
    session_id, bystander = by_packet(servers.one, user), by_packet(servers.one, user)
    end_by_sap(servers, session_id)
    with serve(servers.folder, *servers.options) as late:
        assert not any(accepts(late, session_id) for accepts in ACCEPTANCES)
        assert all(accepts(late, bystander) for accepts in ACCEPTANCES)


def test_the_audit_knows_which_way_somebody_left(servers: Servers, user: str) -> None:
    session_id = by_backendless(servers.one, user)
    end_by_packet(servers, session_id)
    words = ("audit", "list", APP_ID, "--session", digest_of(session_id) or "", "--json")
    for _ in range(50):  # the processes write what they noted within a second or so
        listed = msgspec.json.decode(command(servers.folder, *words, *servers.options).stdout)
        if len(listed) == 2:
            break
    assert [(event["kind"], event["face"]) for event in listed] == [
        ("logout", "dispatcher"),
        ("login", "backendless"),
    ]
