"""The bridge: what scripts may ask of the server, and what they get."""

import asyncio
import base64
import hashlib
import hmac
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from gameserver.scripts.proxies import proxies
from tests.conftest import APP_ID, APP_TOML, Game
from tests.services.test_script import run, write_script

APP = (
    APP_TOML
    + """
[virtualCurrency.currencies.coins]
[playerStatistics.statistics.wins]
[scripts]
calls = 5000
"""
)


@pytest.fixture
def apps_folder(apps_folder: Path) -> Path:
    (apps_folder / "test" / "app.toml").write_text(APP)
    write_script(apps_folder / "test", "do", "eval(data.code);")
    write_script(apps_folder / "test", "deep/do", "eval(data.code);")
    return apps_folder


async def do(caller: Any, code: str, **data: Any) -> Any:
    """Run the code of a script; its result."""
    return await run(caller, "do", code=code, **data)


async def test_a_script_passes_a_login_on_to_another_device(game: Game) -> None:
    player, proxy = await game.player(), "bridge.getIdentityServiceProxy()"
    made = await do(player, f"{proxy}.createHandoffId().data")
    pool = '8, 60, {"room": 7}, "ABCD2345"'
    code = await do(player, f"{proxy}.createSettopHandoffCode({pool}).data.handoffCode")
    told = await game.client().log_in("Handoff", made["handoffId"], made["securityToken"], forceCreate=False)
    assert told["profileId"] == player.profile_id
    told = await game.client().log_in("SettopHandoff", code, "", forceCreate=False)
    assert (told["profileId"], told["handoffJson"]) == (player.profile_id, {"room": 7})


async def thrown(caller: Any, code: str) -> str:
    """Run code that the bridge throws at, and return the message."""
    told = await do(caller, f"var told = null; try {{ {code} }} catch (e) {{ told = e.message; }} told;")
    assert isinstance(told, str), f"nothing was thrown by {code}"
    return told


class Servers:
    """Runs scripts as a server does."""

    def __init__(self, game: Game) -> None:
        self.game = game

    async def call(self, service: str, operation: str, **data: Any) -> Any:
        return await self.game.server.call(service, operation, **data)


# Proxies


def test_arguments_are_members_that_operations_take(game: Game) -> None:
    """Of every documented call of an operation that there is."""
    operations = game.server_app.registry.operations
    known = 0
    for name, calls in proxies().calls.items():
        for call in calls:
            operation = operations.get((call.service, call.operation))
            if operation is None:
                continue
            known += 1
            fields = {field.encode_name for field in msgspec.structs.fields(operation.request)}
            named = {*call.names, *(name for name, _ in call.fixed)}
            assert named <= fields, f"{name}: {named - fields} are no fields of {operation.wire_name}"
    assert known > 200


async def test_every_method_of_every_proxy_is_there(game: Game) -> None:
    """Whatever is passed: too few arguments are refused, or not needed; none throws."""
    table = msgspec.json.decode(proxies().surface.table)["proxies"]
    operations = game.server_app.registry.operations
    wanted = [
        [getter, method, label]
        for getter, (label, methods) in table.items()
        for method in methods
        if getter != "utils" and label != "script"
    ]
    code = """
        data.wanted.map(function (each) {
            try {
                var method = bridge[each[0].toUpperCase()]()[each[1].toLowerCase()];
                var answer = method();
                return [answer.status, answer.reasonCode || null];
            } catch (e) { return e.message; }
        });
    """
    for start in range(0, len(wanted), 200):
        some = wanted[start : start + 200]
        player = await game.player()  # one of the calls deletes its player
        answers = await do(player, code, wanted=some)
        for (_, method, label), answer in zip(some, answers, strict=True):
            assert isinstance(answer, list), f"{label}.{method}: {answer}"
            status, reason = answer
            call = proxies().calls[f"{label}.{method}"][0]
            assert isinstance(status, int | float)
            there = (call.service, call.operation) in operations
            assert (reason == 40333) is not there, f"{label}.{method}: {answer}"
            assert status != 500 or reason == 40499, f"{label}.{method}: {answer}"


async def test_overloads_missing_and_surplus_arguments(game: Game) -> None:
    player = await game.player()
    code = """
        var proxy = bridge.getEntityServiceProxy();
        var one = proxy.updateSingleton("s", {n: 1}, {other: 0});
        var two = proxy.updateSingleton("s", {n: 2}, null, 1, "surplus", 7);
        var three = proxy.updateSingleton("s", {n: 3}, undefined, 1);
        [one.data.version, two.data.version, three.reasonCode, proxy.getSingleton().reasonCode];
    """
    assert await do(player, code) == [1, 2, 40344, 40358]


async def test_answers_are_plain_values_of_the_script(game: Game) -> None:
    player = await game.player()
    code = """
        var proxy = bridge.getEntityServiceProxy();
        proxy.createEntity("t", {list: [1, 2], at: new Date(0), none: null}, {other: 0});
        var got = proxy.getEntitiesByType("t").data.entities;
        var list = got[0].data.list;
        var own = got instanceof Array && got[0].data.hasOwnProperty("list") && list instanceof Array;
        got[0].added = true;
        delete got[0].acl;
        [own, got[0].data, "acl" in got[0], got[0].added];
    """
    data = {"list": [1, 2], "at": "1970-01-01T00:00:00.000Z", "none": None}
    assert await do(player, code) == [True, data, False, True]


async def test_retired_names_and_other_names_of_proxies(game: Game) -> None:
    player = await game.player()
    code = """
        bridge.getPlayerStateServiceProxy().updatePlayerName("Old");
        [bridge.getplayerstateserviceproxy().readPlayerState().data.playerName,
         typeof bridge.getProductMgmtServiceProxy()];
    """
    assert (await do(player, code))[0] == "Old"


async def test_any_operation_is_called_by_its_name(game: Game) -> None:
    player, other = await game.player(), await game.player()
    code = """
        var session = bridge.getSessionForProfile(data.other);
        [bridge.callAPI("playerState", "READ", {}).data.profileId,
         bridge.callAPIForSession(session, "playerState", "READ", {}).data.profileId,
         bridge.callAPI("nowhere", "NOTHING", {}).reasonCode,
         bridge.callAPI("authenticationV2", "AUTHENTICATE", {}).reasonCode];
    """
    found = await do(player, code, other=other.profile_id)
    assert found == [player.profile_id, other.profile_id, 40333, 40346]


async def test_scripts_may_do_what_servers_may(game: Game) -> None:
    player = await game.player()
    code = "bridge.getVirtualCurrencyServiceProxy().awardCurrency('coins', 5).data.currencyMap.coins.balance;"
    assert await do(player, code) == 5
    assert (
        await player.refused("virtualCurrency", "AWARD_VC", vcId="coins", vcAmount=5)
    ).reason_code == 40491


# Sessions that scripts make


async def test_two_players_in_one_run(game: Game) -> None:
    """Each proxy acts for its own session; none of them is a login."""
    player, friend = await game.player(), await game.player()
    code = """
        var session = bridge.getSessionForProfile(data.friend);
        bridge.getPlayerStateServiceProxy(session).updateUserName("Friend");
        bridge.getPlayerStateServiceProxy().updateUserName("Me");
        var read = bridge.getPlayerStateServiceProxy(session).readUserState();
        ({id: session.playerId, app: session.gameId, session: session.sessionId,
          system: session.systemCreated, names: [bridge.getName(), read.data.playerName]});
    """
    told = await do(player, code, friend=friend.profile_id)
    assert (told["id"], told["app"], told["system"]) == (friend.profile_id, APP_ID, True)
    assert told["names"] == ["Me", "Friend"]
    assert told["session"].startswith("scriptSession_")
    assert (await friend.call("playerState", "READ"))["playerName"] == "Friend"
    stranger = game.client()
    stranger.session_id = told["session"]
    assert (await stranger.refused("time", "READ")).reason_code == 40304


async def test_sessions_of_credentials(game: Game) -> None:
    player, name = await game.player(), game.unique("name")
    known = game.client()
    await known.log_in("Universal", name, "a-password-0")
    code = """
        [bridge.getSessionForCredential(data.name, "Universal").playerId,
         bridge.getSessionForValidatedCredential(data.name, "Universal", null, "a-password-0").playerId];
    """
    assert await do(player, code, name=name) == [known.profile_id, known.profile_id]
    for wrong in (
        f"bridge.getSessionForValidatedCredential('{name}', 'Universal', null, 'wrong')",
        "bridge.getSessionForCredential('nobody', 'Universal')",
        "bridge.getSessionForProfile('nobody')",
        "bridge.getSessionForProfile(7)",
        "bridge.getPlayerStateServiceProxy(null)",
        "bridge.getPlayerStateServiceProxy({sessionId: 'made up'}).readUserState()",
        r"bridge.getPlayerStateServiceProxy('\ud800').readUserState()",
        "bridge.callAPIForSession(null, 'playerState', 'READ', {})",
        "bridge.noSuchFunction()",
        "bridge.getEntityServiceProxy().noSuchMethod()",
    ):
        assert await thrown(player, wrong)


async def test_a_live_session_is_found_by_its_id(game: Game) -> None:
    player, other = await game.player(), await game.player()
    code = """
        var found = bridge.getSessionForSessionIdAndProfileId(data.session, data.profile);
        var wrong = bridge.getSessionForSessionIdAndProfileId(data.session, data.me);
        [found.playerId, bridge.getPlayerStateServiceProxy(found).readUserState().data.profileId, wrong,
         bridge.getSessionForSessionIdAndProfileId("gone", data.profile)];
    """
    found = await do(player, code, session=other.session_id, profile=other.profile_id, me=player.profile_id)
    assert found == [other.profile_id, other.profile_id, None, None]


async def test_a_script_ends_the_session_of_its_caller(game: Game) -> None:
    player = await game.player()
    body = player.body(
        ("script", "RUN", {"scriptName": "do", "scriptData": {"code": "bridge.invalidateSession(); 7;"}})
    )
    answer = await player.send(body)
    assert answer.json()["responses"][0]["data"]["response"] == 7
    assert (await player.refused("time", "READ")).reason_code == 40304
    assert (await player.send(body)).content == answer.content


async def test_objects_that_a_session_keeps(game: Game) -> None:
    player = await game.player()
    code = """
        bridge.setSessionCacheObject("address", {street: "Main"});
        bridge.setSessionCacheObject("n", 1);
    """
    await do(player, code)
    code = """
        [bridge.getSessionCacheObject("address"), bridge.getSessionCacheObject("none"),
         bridge.deleteSessionCacheObject("n"), bridge.deleteSessionCacheObject("n")];
    """
    assert await do(player, code) == [{"street": "Main"}, None, 1, None]
    assert "40650" in await thrown(player, "bridge.setSessionCacheObject('big', 'x'.repeat(511));")
    many = "for (var i = 0; i < 6; i++) bridge.setSessionCacheObject('k' + i, i);"
    assert "40654" in await thrown(player, many)
    await player.log_in()
    assert await do(player, "bridge.getSessionCacheObject('address');") is None
    assert "without" in await thrown(Servers(game), "bridge.setSessionCacheObject('a', 1);")


# Facts


async def test_facts_in_a_clients_script(game: Game) -> None:
    player = await game.player(gameVersion="1.2.3")
    game.clock.advance(5)
    code = """
        ({app: bridge.getAppId(), name: bridge.getAppName(), version: bridge.getAppVersion(),
          script: bridge.getScriptName(), profile: bridge.getProfileId(),
          session: bridge.getClientSessionId(), server: bridge.getServerSessionId(),
          age: bridge.getSessionAgeSecs(), email: bridge.getEmail(),
          is: [bridge.isClientBridge(), bridge.isServerBridge(), bridge.isPeerBridge()],
          team: typeof bridge.getTeamInfo().teamName, clientTeam: typeof bridge.getClientTeamInfo().teamId,
          environment: typeof bridge.getEnvironmentName(), created: bridge.getSessionCreatedAt(),
          property: bridge.getGlobalProperty("none"), include: typeof bridge.include("x")});
    """
    facts = await run(player, "deep/do", code=code)
    created = facts.pop("created")
    assert game.clock.ms() - created == 5000
    assert facts == {
        "app": APP_ID,
        "name": "Test",
        "version": "1.2.3",
        "script": "deep/do",
        "profile": player.profile_id,
        "session": player.session_id,
        "server": None,
        "age": 5,
        "email": None,
        "is": [True, False, False],
        "team": "string",
        "clientTeam": "string",
        "environment": "string",
        "property": None,
        "include": "undefined",
    }


async def test_facts_in_a_servers_script(game: Game) -> None:
    code = """
        [bridge.getProfileId(), bridge.getName(), bridge.getClientSessionId(), bridge.getAppVersion(),
         bridge.getSessionCreatedAt(), bridge.getSessionAgeSecs(), typeof bridge.getServerSessionId(),
         bridge.isClientBridge(), bridge.isServerBridge(), bridge.invalidateSession()];
    """
    facts = await do(Servers(game), code)
    assert facts == [None, None, None, None, -1, -1, "string", False, True, None]


async def test_tools(game: Game) -> None:
    player = await game.player()
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    forms = (serialization.PrivateFormat.TraditionalOpenSSL, serialization.PrivateFormat.PKCS8)
    none = serialization.NoEncryption()
    pems = [key.private_bytes(serialization.Encoding.PEM, form, none).decode() for form in forms]
    code = """
        var utils = bridge.utils();
        [utils.generateGuid(), utils.getCurrentTimeZoneOffset("Etc/GMT+12"),
         utils.getCurrentTimeZoneOffset("Asia/Kolkata"),
         utils.signHMACSha1(data.key, data.text), utils.signHMACSha256(data.key, data.text),
         utils.signRSASha256(data.pems[0], data.text), utils.signRSASha256(data.pems[1], data.text)];
    """
    text = "Zu signieren: ä"
    guid, pacific, kolkata, sha1, sha256, one, two = await do(player, code, key="k", text=text, pems=pems)
    assert len(guid) == 36
    assert (pacific, kolkata) == (-12, 5.5)
    for made, digest in ((sha1, "sha1"), (sha256, "sha256")):
        assert base64.b64decode(made) == hmac.digest(b"k", text.encode(), digest)
    assert one == two
    key.public_key().verify(base64.b64decode(one), text.encode(), padding.PKCS1v15(), hashes.SHA256())
    for wrong in (
        "bridge.utils().getCurrentTimeZoneOffset('Nowhere/Land')",
        "bridge.utils().getCurrentTimeZoneOffset('../../etc/passwd')",
        "bridge.utils().signRSASha256('no key', 'text')",
        "bridge.utils().signHMACSha1(null, 'text')",
        "bridge.sleep('long')",
    ):
        assert await thrown(player, wrong)
    assert hashlib.sha1(b"").digest_size == 20  # what the digests above are of


async def test_sleeping_ends_with_the_run(game: Game) -> None:
    player = await game.player()
    began = asyncio.get_running_loop().time()
    assert await do(player, "bridge.sleep(30); 'awake';") == "awake"
    assert asyncio.get_running_loop().time() - began >= 0.03


async def test_lines_of_the_log(game: Game) -> None:
    player = await game.player()
    code = """
        [bridge.logInfo("one"), bridge.logWarning("two", "text"), bridge.logErrorJson("three", {n: 3}),
         bridge.logDebug("unseen"), bridge.logInfoJson({a: 1}, [2]), bridge.logError("four", null)];
    """
    assert await do(player, code) == [{"status": 200, "data": None}] * 6


async def test_scripts_call_each_other_only_so_deep(game: Game) -> None:
    player = await game.player()
    code = "var code = data.code; bridge.callScript('do', {code: code, n: (data.n || 0) + 1}).data;"
    told = await do(player, code, n=0)
    depth = 0
    while told is not None and told.get("success"):
        told, depth = told["response"], depth + 1
    assert 4 <= depth <= 10
    assert told["success"] is False
    assert told["reasonCode"] == 40912


async def test_a_player_may_not_read_what_is_not_shared(game: Game) -> None:
    """A script has the rights of whom it acts for where ACLs speak."""
    owner, other = await game.player(), await game.player()
    made = await owner.call("entity", "CREATE", entityType="t", data={}, acl={"other": 0})
    code = "bridge.getEntityServiceProxy().getSharedEntityForProfileId(data.owner, data.id).reasonCode;"
    assert await do(other, code, owner=owner.profile_id, id=made["entityId"]) is not None


async def test_half_a_surrogate_pair_spoils_one_call(game: Game) -> None:
    player = await game.player()
    code = """
        var wrong = bridge.getPlayerStateServiceProxy().updateUserName("\\ud800");
        [wrong.reasonCode, bridge.getPlayerStateServiceProxy().updateUserName("fine").status];
    """
    assert await do(player, code) == [40408, 200]


async def test_events_to_oneself_come_with_the_answer_and_others_do_not(game: Game) -> None:
    player, other = await game.player(), await game.player()
    code = """
        bridge.getEventServiceProxy().sendEvent(bridge.getProfileId(), "mine", {n: 1});
        bridge.getEventServiceProxy(bridge.getSessionForProfile(data.other))
            .sendEvent(data.other, "others", {n: 2}).status;
    """
    data = {"scriptName": "do", "scriptData": {"code": code, "other": other.profile_id}}
    body = player.body(("script", "RUN", data))
    answer = (await player.send(body)).json()
    assert [event["eventType"] for event in answer["events"]] == ["mine"]
    assert (await player.send(body)).json() == answer
    assert "events" not in (await player.send(player.body(("time", "READ", {})))).json()
    told = (await other.send(other.body(("time", "READ", {})))).json()
    assert [event["eventType"] for event in told["events"]] == ["others"]


async def test_a_server_with_a_session_has_no_clients_session(game: Game) -> None:
    player = await game.player()
    code = """
        [bridge.getProfileId(), bridge.getClientSessionId(), bridge.getSessionCreatedAt(), bridge.getName()];
    """
    data = {"code": code}
    answer = await game.server.call("script", "RUN", player.profile_id, scriptName="do", scriptData=data)
    assert answer["response"] == [player.profile_id, None, -1, ""]
