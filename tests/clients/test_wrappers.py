"""The wrappers of the C#, Java and C++ clients: how each writes its packets, and what it remembers.

Each client is a row of a table; the flows are theirs, step by step, with the ids that each sends in them.
"""

import gzip
import hashlib
import json
import math
import secrets
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jwt
import pytest

from tests.conftest import APP_ID, APP_TOML, SECRET, Game
from tests.protocol.dialect import check_bundle

KEY = "a-key-for-tokens-of-the-studio-0123456789"
STEAM_TOKEN = "a-token-for-tests"
PASSWORD = "correct horse"
OLD_APP = "10002"


@dataclass(frozen=True)
class Client:
    """How a client writes packets, and what its wrapper does otherwise than the others."""

    name: str
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()
    is_pretty: bool = False
    packs_from: float = math.inf  # bytes, before the server has said otherwise
    minds_compress_if_larger: bool = False
    end: str = ""
    capital_signature: bool = False
    compress_responses: bool = False
    empty_data: Any = None  # of a message without parameters; `...`: left out
    counts_anew: bool = False  # packetId is 0 again after a session has ended
    drops_profile_at_logout: bool = True  # the id in memory, which is sent without a wrapper's doing
    keeps_dead_session: bool = False  # after FULL_PLAYER_RESET: the next login is sent with it
    switch_sends: str = "nothing"  # as anonymousId at the end of a smart switch: or what is stored, or was
    handoff_prepares: str = "no"  # ids before a handoff's login: as for an account, or as for a guest
    handoff_is_stored: bool = True


CLIENTS = [
    Client(
        "csharp",
        content_type="application/json; charset=utf-8",
        capital_signature=True,
        packs_from=51_200,
        minds_compress_if_larger=True,
        compress_responses=True,
        drops_profile_at_logout=False,
        switch_sends="stored",
        handoff_prepares="guest",
    ),
    Client(
        "java",
        headers=(("charset", "utf-8"),),
        end="\r\n\r\n",
        empty_data=...,
        keeps_dead_session=True,
        switch_sends="forgotten",
    ),
    Client(
        "cpp",
        is_pretty=True,
        packs_from=0,
        end="\n\r\n\r\n",
        capital_signature=True,
        compress_responses=True,
        counts_anew=True,
        handoff_prepares="account",
        handoff_is_stored=False,
    ),
]


class Device:
    """A device with a client and its wrapper. What is stored outlives the process of the game."""

    def __init__(self, game: Game, client: Client) -> None:
        self.game, self.client = game, client
        self.app_id, self.secret = APP_ID, SECRET
        self.stored = {"profile": "", "anonymous": ""}
        self.start()

    def start(self) -> None:
        """Start the game anew."""
        self.session, self.packet_id = "", 0
        self.profile = self.anonymous = ""
        self.packs_from = self.client.packs_from
        self.last: tuple[bytes, dict[str, str]] = b"", {}

    def write(self, service: str, operation: str, data: Any) -> tuple[bytes, dict[str, str]]:
        """Body and headers of the next packet."""
        client = self.client
        message = {"service": service, "operation": operation, "data": data}
        if data is None:
            message["data"] = client.empty_data
        packet = {
            "messages": [{key: value for key, value in message.items() if value is not ...}],
            "gameId": self.app_id,
            "sessionId": self.session,
            "packetId": self.packet_id,
        }
        if client.is_pretty:
            text = json.dumps(packet, indent=3, separators=(",", " : "), sort_keys=True)
        else:
            text = json.dumps(packet, separators=(",", ":"))
        body = (text + client.end).encode()
        signature = hashlib.md5(body + self.secret.encode()).hexdigest()
        headers = {
            "Content-Type": client.content_type,
            "X-APPID": self.app_id,
            "X-SIG": signature.upper() if client.capital_signature else signature,
            **dict(client.headers),
        }
        if len(body) < self.packs_from:
            return body, headers
        return gzip.compress(body), {**headers, "Accept-Encoding": "gzip", "Content-Encoding": "gzip"}

    async def send(self, service: str, operation: str, data: Any = None) -> dict[str, Any]:
        """Send one call as a packet; returns its entry of the answer."""
        self.last = self.write(service, operation, data)
        answer = await self.repeat()
        assert answer["packetId"] == self.packet_id
        self.packet_id += 1
        entry: dict[str, Any] = answer["responses"][0]
        if service in ("authenticationV2", "identity") and entry["status"] == 200:
            self.session = entry["data"].get("sessionId", self.session)
            self.profile = entry["data"].get("profileId", self.profile)
        if operation == "AUTHENTICATE" and entry["status"] == 200 and self.client.minds_compress_if_larger:
            self.packs_from = entry["data"]["compressIfLarger"]
        if operation in ("LOGOUT", "FULL_PLAYER_RESET") and entry["status"] == 200:
            if operation == "LOGOUT" or not self.client.keeps_dead_session:
                self.session = ""
            if self.client.drops_profile_at_logout:
                self.profile = ""
            if self.client.counts_anew:
                self.packet_id = 0
        return entry

    async def repeat(self) -> dict[str, Any]:
        """Send the last packet, again if it was sent already; returns the answer."""
        body, headers = self.last
        response = await self.game.packet(body, **headers)
        assert response.status_code == 200
        answer: dict[str, Any] = check_bundle(response.content)
        return answer

    async def authenticate(
        self, type_: str, id_: str, token: str, *, force_create: bool, name: str = ""
    ) -> dict[str, Any]:
        """The login of the client below the wrapper."""
        data = {
            "externalId": id_,
            "authenticationToken": token,
            "authenticationType": type_,
            "forceCreate": force_create,
            "compressResponses": self.client.compress_responses,
            "profileId": self.profile,
            "anonymousId": self.anonymous,
            "gameId": self.app_id,
            "releasePlatform": "WINDOWS",
            "gameVersion": "1.0.0",
            "clientLibVersion": "5.8.1",
            "countryCode": "CA",
            "languageCode": "en",
            "timeZoneOffset": -3.5,
            "clientLib": self.client.name,
        }
        if name:
            data["externalAuthName"] = name
        return await self.send("authenticationV2", "AUTHENTICATE", data)

    # The wrapper

    def initialize_identity(self, *, is_guest: bool = False) -> None:
        """Take the stored ids, or make a new device's id where they are not whole."""
        if not self.stored["anonymous"] or not self.stored["profile"]:
            self.stored = {"profile": "", "anonymous": str(uuid.uuid4())}
        self.anonymous = self.stored["anonymous"]
        self.profile = self.stored["profile"] if is_guest else ""

    async def log_in(self, type_: str, id_: str, token: str, name: str = "") -> dict[str, Any]:
        """Log in to an account, or make one."""
        self.initialize_identity()
        return self._store(await self.authenticate(type_, id_, token, force_create=True, name=name))

    async def log_in_as_guest(self, *, force_create: bool = True) -> dict[str, Any]:
        """Log in with the device's id alone."""
        self.initialize_identity(is_guest=True)
        answer = await self.authenticate("Anonymous", self.anonymous, "", force_create=force_create)
        return self._store(answer)

    async def reconnect(self) -> dict[str, Any]:
        """Come back as the player who was here last."""
        return await self.log_in_as_guest(force_create=False)

    async def hand_off(self, type_: str, id_: str, token: str) -> dict[str, Any]:
        """Log in with what another device has got."""
        if self.client.handoff_prepares != "no":
            self.initialize_identity(is_guest=self.client.handoff_prepares == "guest")
        answer = await self.authenticate(type_, id_, token, force_create=False)
        return self._store(answer) if self.client.handoff_is_stored else answer

    async def smart_switch(self, type_: str, id_: str, token: str, name: str = "") -> dict[str, Any]:
        """Leave the present player, who is deleted if they are a guest, for an account."""
        identities = await self.send("identity", "GET_IDENTITIES")
        operation = "LOGOUT" if identities["data"]["identities"] else "FULL_PLAYER_RESET"
        left = await self.send("playerState", operation)
        assert left == {"status": 200, "data": None}
        if self.client.switch_sends == "stored":
            return await self.log_in(type_, id_, token, name)
        self.stored = {"profile": "", "anonymous": ""}
        self.profile = ""
        if self.client.switch_sends == "nothing":
            self.anonymous = ""
        return await self.authenticate(type_, id_, token, force_create=True, name=name)

    def _store(self, entry: dict[str, Any]) -> dict[str, Any]:
        if entry["status"] == 200:
            self.stored["profile"] = entry["data"]["profileId"]
        return entry


@pytest.fixture
def apps_folder(apps_folder: Path) -> Path:
    """An app with every kind of login, and one that has moved to it."""
    external = f'[external.studio]\nkind = "token"\nissuer = "i"\naudience = "a"\nkey = "{KEY}"\n'
    external += 'algorithm = "HS256"\n'
    ids = ", ".join(f'"{id_}" = "{STEAM_TOKEN}"' for id_ in STEAM_IDS)
    accounts = f"[providers]\ndev_tokens = {{ Steam = {{ {ids} }} }}\n"
    (apps_folder / "test" / "app.toml").write_text(APP_TOML + external + accounts)
    (apps_folder / "moved").mkdir()
    moved = f'id = "{OLD_APP}"\nsecret = "{SECRET}"\ntitle = "Moved"\n'
    redirect = f'[redirect]\nurl = "https://new.example.com/dispatcherv2"\napp_id = "{APP_ID}"\n'
    (apps_folder / "moved" / "app.toml").write_text(moved + redirect)
    return apps_folder


STEAM_IDS = [str(76561190000000000 + secrets.randbelow(10**9)) for _ in range(8)]
_unused_steam_ids = iter(STEAM_IDS)


def credentials(game: Game, type_: str) -> tuple[str, ...]:
    """Type, id, token, and the name of an external login, of somebody new."""
    name = game.unique("ada")
    match type_:
        case "Email":
            return type_, f"{name}@example.com", PASSWORD
        case "External":
            expires = game.clock.ms() // 1000 + 600
            token = jwt.encode({"iss": "i", "aud": "a", "sub": name, "exp": expires}, KEY, algorithm="HS256")
            return type_, name, token, "studio"
        case "Steam":
            return type_, next(_unused_steam_ids), STEAM_TOKEN
        case _:
            return type_, name, PASSWORD


async def log_in(device: Device, type_: str, *account: str) -> dict[str, Any]:
    """Log in as a guest or to an account."""
    entry = await (device.log_in_as_guest() if type_ == "Anonymous" else device.log_in(type_, *account))
    assert entry["status"] == 200, entry
    data: dict[str, Any] = entry["data"]
    return data


clients = pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.name)
LOGINS = ("Anonymous", "Universal", "Email", "External", "Steam")


@clients
@pytest.mark.parametrize("type_", LOGINS)
async def test_every_login_is_reconnected_to(game: Game, client: Client, type_: str) -> None:
    device = Device(game, client)
    first = await log_in(device, *credentials(game, type_))
    assert first["newUser"] == "true"
    assert await device.send("heartbeat", "READ") == {"status": 200, "data": None}
    assert await device.send("playerState", "LOGOUT") == {"status": 200, "data": None}
    again = await device.reconnect()
    assert again["status"] == 200, again
    assert (again["data"]["profileId"], again["data"]["newUser"]) == (first["profileId"], "false")
    device.start()  # without a logout: its session is left behind
    again = await device.reconnect()
    assert again["data"]["profileId"] == first["profileId"]
    assert (await device.send("time", "READ"))["status"] == 200


@clients
async def test_a_logout_that_is_sent_again_gets_the_first_answer(game: Game, client: Client) -> None:
    device = Device(game, client)
    await log_in(device, "Anonymous")
    await device.send("playerState", "LOGOUT")
    assert (await device.repeat())["responses"] == [{"status": 200, "data": None}]


@clients
async def test_a_large_packet_is_read(game: Game, client: Client) -> None:
    device = Device(game, client)
    await log_in(device, "Anonymous")
    assert (await device.send("time", "READ", {"note": "\u00e4 " * 40_000}))["status"] == 200
    assert ("Content-Encoding" in device.last[1]) == (client.packs_from < math.inf)


@clients
@pytest.mark.parametrize("to", ["Universal", "Email", "External"])
async def test_a_smart_switch_from_a_guest_leaves_no_guest(game: Game, client: Client, to: str) -> None:
    device = Device(game, client)
    guest = await log_in(device, "Anonymous")
    old = dict(device.stored)
    dead = device.session
    account = await device.smart_switch(*credentials(game, to))
    assert account["status"] == 200, account
    assert account["data"]["newUser"] == "true"
    assert account["data"]["profileId"] != guest["profileId"]
    assert (await device.send("playerState", "READ"))["data"]["profileId"] == account["data"]["profileId"]
    await comes_back(device, account["data"]["profileId"])
    ghost = Device(game, client)
    ghost.stored = old
    answer = await ghost.reconnect()
    assert (answer["status"], answer["reason_code"]) in {(202, 40206), (202, 40207)}
    ghost.session = dead
    assert (await ghost.send("heartbeat", "READ"))["reason_code"] in {40303, 40304, 40356}


@clients
@pytest.mark.parametrize("start", ["Email", "Universal"])
async def test_a_smart_switch_from_an_account_leaves_the_account(
    game: Game, client: Client, start: str
) -> None:
    device, account = Device(game, client), credentials(game, start)
    first = await log_in(device, *account)
    other = await device.smart_switch(*credentials(game, "Universal" if start == "Email" else "Email"))
    assert other["status"] == 200, other
    assert other["data"]["profileId"] != first["profileId"]
    back = await device.smart_switch(*account)
    assert (back["data"]["profileId"], back["data"]["newUser"]) == (first["profileId"], "false")
    await comes_back(device, first["profileId"])


@clients
async def test_a_stored_profile_that_was_reset_is_forgotten_by_the_device(game: Game, client: Client) -> None:
    device, account = Device(game, client), credentials(game, "Universal")
    first = await log_in(device, *account)
    await device.send("playerState", "LOGOUT")
    device.stored["profile"] = ""
    refused = await device.reconnect()
    assert (refused["status"], refused["reason_code"]) == (202, 40208)
    guest = await log_in(device, "Anonymous")
    assert guest["profileId"] != first["profileId"]
    await device.send("playerState", "LOGOUT")
    assert (await log_in(device, *account))["profileId"] == first["profileId"]


async def comes_back(device: Device, profile_id: str) -> None:
    """The player of a smart switch is reconnected to by the client that has stored them, by no other."""
    await device.send("playerState", "LOGOUT")
    again = await device.reconnect()
    if device.client.switch_sends == "stored":
        assert again["data"]["profileId"] == profile_id
    else:
        assert (again["status"], again["reason_code"]) == (202, 40208)


async def made_by_a_server(game: Game, profile_id: str, type_: str) -> tuple[str, str]:
    """What a device logs in with that takes over: id and token."""
    data = {"numChars": 6} if type_ == "SettopHandoff" else {}
    made = await game.server.call("identity", "CREATE_HANDOFF_ID", profile_id, **data)
    return (made["handoffCode"], "") if data else (made["handoffId"], made["securityToken"])


@clients
@pytest.mark.parametrize("type_", ["Handoff", "SettopHandoff"])
async def test_a_handoff_is_taken_up(game: Game, client: Client, type_: str) -> None:
    player = await game.player()
    device = Device(game, client)
    id_, token = await made_by_a_server(game, player.profile_id, type_)
    answer = await device.hand_off(type_, id_, token)
    assert answer["status"] == 200, answer
    assert (answer["data"]["profileId"], answer["data"]["newUser"]) == (player.profile_id, "false")
    assert (await device.send("time", "READ"))["status"] == 200
    other = await Device(game, client).hand_off(type_, id_, token)
    gone = (202, 40208) if type_ == "Handoff" else (403, 40307)
    assert (other["status"], other["reason_code"]) == gone, "it works once"
    # One client alone stores both a device's id and the profile, and so can come back.
    await device.send("playerState", "LOGOUT")
    again = await device.reconnect()
    expected = (200, None) if client.handoff_prepares == "guest" else (202, 40208)
    assert (again["status"], again.get("reason_code")) == expected


@clients
@pytest.mark.parametrize("type_", ["Handoff", "SettopHandoff"])
async def test_a_handoff_to_a_device_of_another_player(game: Game, client: Client, type_: str) -> None:
    """A client that names the stored profile must drop it first; the others just change players."""
    player = await game.player()
    device = Device(game, client)
    own = await log_in(device, "Anonymous")
    await device.send("playerState", "LOGOUT")
    id_, token = await made_by_a_server(game, player.profile_id, type_)
    answer = await device.hand_off(type_, id_, token)
    if client.handoff_prepares == "guest":
        assert (answer["status"], answer["reason_code"]) == (202, 40207)
        assert (await device.reconnect())["data"]["profileId"] == own["profileId"]
        device.stored["profile"] = ""
        answer = await device.hand_off(type_, id_, token)
    assert answer["status"] == 200, answer
    assert answer["data"]["profileId"] == player.profile_id


@clients
async def test_a_redirect_is_followed(game: Game, client: Client) -> None:
    """The C# client leaves it to the game; the other two start anew and repeat the login."""
    device = Device(game, client)
    device.app_id = OLD_APP
    account = credentials(game, "Universal")
    answer = await device.log_in(*account)
    assert (answer["status"], answer["reason_code"]) == (202, 40308)
    assert answer["redirect_url"] == "https://new.example.com/dispatcherv2"
    device.app_id = answer["redirect_appid"]
    device.start()
    device.initialize_identity(is_guest=True)
    again = await device.authenticate(*account, force_create=True)
    assert again["status"] == 200, again
    assert again["data"]["newUser"] == "true"
