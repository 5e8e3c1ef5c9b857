"""API hooks: scripts that run before operations, after them, and where they were refused."""

import json
from pathlib import Path
from typing import Any

import pytest

from gameserver.admin import actions
from gameserver.app import registry
from gameserver.apps import load_apps
from gameserver.players.tokens import Kind
from gameserver.scripts import hooks as api_hooks
from tests.conftest import APP_ID, APP_TOML, Client, Game
from tests.faces.test_pages import issue_link
from tests.services.test_script import write_script

AUTH = "authenticationV2"
EVERY = "Dispatcher.ProcessMessage"
LINK = "EmailAuth.VALIDATE"
SAY = "data.parms.say;"
SPY = "bridge.logInfoJson('spy ' + data.parms.mark, data); data.parms.say;"
KEY = "a-secret-of-a-server-0123456789"


class Setup:
    """Declares hooks and scripts while the server runs."""

    def __init__(self, game: Game, folder: Path) -> None:
        self.game = game
        self.folder = folder
        self.hooks = ""

    def script(self, path: str, source: str, **facts: Any) -> None:
        write_script(self.folder / "test", path, source, **facts)
        self.load()

    def hook(self, operation: str, kind: str, script: str = "say", **parms: Any) -> None:
        """Declare a hook; `parms` are what its script finds."""
        values = ", ".join(f"{name} = {toml(value)}" for name, value in parms.items())
        self.hooks += f'[[scripts.hooks]]\noperation = "{operation}"\nkind = "{kind}"\n'
        self.hooks += f'script = "{script}"\nparms = {{ {values} }}\n'
        self.load()

    def load(self) -> None:
        servers = f'[servers.room]\nsecret = "{KEY}"\n'
        (self.folder / "test" / "app.toml").write_text(APP_TOML + servers + self.hooks)
        loaded = load_apps(self.folder, registry().sections())
        assert not loaded.problems, loaded.problems
        self.game.apps.replace(loaded)

    async def seen(self, mark: str) -> list[Any]:
        """What a spy has found in its data, the oldest first."""
        found = await actions.log_list(self.game.server_app, APP_ID, 100, text=f"spy {mark}")
        return [line["context"] for line in reversed(found)]


def toml(value: Any) -> str:
    """A value as TOML has it; what TOML cannot say is left to a script."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{json.dumps(k)} = {toml(v)}" for k, v in value.items()) + " }"
    return json.dumps(value)


@pytest.fixture
def setup(game: Game, apps_folder: Path) -> Setup:
    made = Setup(game, apps_folder)
    made.script("say", SAY)
    made.script("spy", SPY)
    made.script("throws", "throw new Error('no such luck');")
    made.script("null", "null;")
    made.load()
    return made


async def create(player: Client, **data: Any) -> Any:
    return await player.call("entity", "CREATE", entityType="thing", data=data, acl={"other": 0})


async def things(player: Client) -> list[Any]:
    found = await player.call("entity", "READ_BY_TYPE", entityType="thing")
    return [one["data"] for one in found["entities"]]


# Before


@pytest.mark.parametrize("say", [{"status": 200}, {"status": "200"}, True, {}, {"message": "hi"}])
async def test_a_hook_before_lets_the_operation_go_on(game: Game, setup: Setup, say: Any) -> None:
    setup.hook("entity.CREATE", "pre", say=say)
    player = await game.player()
    assert (await create(player, a=1))["version"] == 1
    assert await things(player) == [{"a": 1}]


async def test_a_hook_that_says_neither_yes_nor_no_counts_as_yes_and_is_told_of(
    game: Game, setup: Setup
) -> None:
    setup.hook("entity.CREATE", "pre", "null")
    player = await game.player()
    await create(player)
    [line] = await actions.log_list(game.server_app, APP_ID, 10, equal={"profile_id": player.profile_id})
    assert (line["level"], line["source"]) == ("warning", "null")


async def test_what_a_hook_finds(game: Game, setup: Setup) -> None:
    mark = game.unique("m")
    setup.hook("entity.CREATE", "pre", "spy", mark=mark, say={"status": 200})
    setup.hook("entity.CREATE", "post", "spy", mark=mark, say={})
    setup.hook("entity.DELETE", "post_fail", "spy", mark=mark, say={})
    player = await game.player()
    made = await create(player, a=[1, None, "ä"])
    sent = {"entityType": "thing", "data": {"a": [1, None, "ä"]}, "acl": {"other": 0}, "ccCall": False}
    named = {"service": "entity", "operation": "CREATE"}
    before, after = await setup.seen(mark)
    parms = {"mark": mark, "say": {"status": 200}}
    assert before == {**named, "parms": parms, "message": sent}
    assert after == {**named, "parms": {"mark": mark, "say": {}}, "callingMessage": sent, "message": made}
    refusal = await player.refused("entity", "DELETE", entityId="nowhere", version=-1)
    failed = (await setup.seen(mark))[-1]
    assert failed["errorData"] == {
        "status": refusal.status,
        "reasonCode": refusal.reason_code,
        "errorMessage": refusal.message,
    }
    assert failed["callingMessage"] == {"entityId": "nowhere", "version": -1, "ccCall": False}


async def test_a_hook_before_puts_something_else_in_its_place(game: Game, setup: Setup) -> None:
    setup.script(
        "clone", "data.message.data.b = data.parms.b; ({status: 200, messageOverride: data.message});"
    )
    setup.hook("entity.CREATE", "pre", "clone", b=2)
    mark = game.unique("m")
    setup.hook("entity.CREATE", "pre", "spy", mark=mark, say={"status": 200})
    player = await game.player()
    await create(player, a=1)
    assert await things(player) == [{"a": 1, "b": 2}]
    [second] = await setup.seen(mark)  # sees what the one before it has made
    assert second["message"]["data"] == {"a": 1, "b": 2}


async def test_what_a_hook_changes_without_saying_so_stays_as_it_was(game: Game, setup: Setup) -> None:
    setup.script("sly", "data.message.data.b = 2; ({status: 200});")
    setup.hook("entity.CREATE", "pre", "sly")
    player = await game.player()
    await create(player, a=1)
    assert await things(player) == [{"a": 1}]


async def test_what_a_hook_puts_in_its_place_is_read_as_everything_is(game: Game, setup: Setup) -> None:
    setup.hook("entity.CREATE", "pre", say={"status": 200, "messageOverride": {"entityType": 5}})
    refusal = await (await game.player()).refused("entity", "CREATE", entityType="thing", data={}, acl=None)
    assert refusal.status == 400


@pytest.mark.parametrize(("status", "reason"), [(400, 50000), (99, 1), (500, 49999), (202, 40000)])
async def test_a_hook_before_refuses_with_numbers_of_its_own(
    game: Game, setup: Setup, status: int, reason: int
) -> None:
    setup.hook(
        "entity.CREATE", "pre", say={"status": status, "reasonCode": reason, "errorMessage": "not today"}
    )
    setup.hook("entity.CREATE", "pre", "throws")  # does not run any more
    setup.hook("entity.CREATE", "post_fail", say={"status": 200})  # the operation was not even tried
    player = await game.player()
    body = player.body(("entity", "CREATE", {"entityType": "thing", "data": {}, "acl": None}))
    [entry] = (await player.send(body)).json()["responses"]
    assert entry == {
        "status": status,
        "reason_code": reason,
        "status_message": "not today",
        "severity": "ERROR",
    }
    assert await things(player) == []


@pytest.mark.parametrize("script", ["throws", "nowhere", "broken", "endless"])
async def test_a_hook_before_that_fails_refuses_the_operation(game: Game, setup: Setup, script: str) -> None:
    setup.script("broken", "var = 1;")
    setup.script("endless", "while (true) {}", scriptTimeout=0.3)
    setup.hook("entity.CREATE", "pre", script)
    player = await game.player()
    body = player.body(
        ("entity", "CREATE", {"entityType": "thing", "data": {}, "acl": None}), ("time", "READ", {})
    )
    refused, other = (await player.send(body)).json()["responses"]
    assert (refused["status"], refused["reason_code"]) == (500, 40357)
    assert "luck" not in json.dumps(refused)
    assert other["status"] == 200
    assert await things(player) == []


# After


async def test_a_hook_after_puts_other_data_into_the_answer(game: Game, setup: Setup) -> None:
    setup.hook("time.READ", "post", say={"status": 200, "data": {"server_time": 5}})
    setup.hook("time.READ", "post", say={"data": {"server_time": 6}})
    mark = game.unique("m")
    setup.hook("time.READ", "post", "spy", mark=mark, say={})
    player = await game.player()
    assert await player.call("time", "READ") == {"server_time": 6}
    assert [seen["message"] for seen in await setup.seen(mark)] == [{"server_time": 6}]


async def test_a_hook_after_that_refuses_leaves_what_was_done(game: Game, setup: Setup) -> None:
    setup.hook("entity.CREATE", "post", say={"status": 418, "reasonCode": 7, "errorMessage": "tea"})
    player = await game.player()
    body = player.body(("entity", "CREATE", {"entityType": "thing", "data": {"a": 1}, "acl": None}))
    [entry] = (await player.send(body)).json()["responses"]
    assert (entry["status"], entry["reason_code"], entry["status_message"]) == (418, 7, "tea")
    assert await things(player) == [{"a": 1}]


async def test_a_hook_after_that_fails_refuses(game: Game, setup: Setup) -> None:
    setup.hook("entity.CREATE", "post", "throws")
    player = await game.player()
    body = player.body(("entity", "CREATE", {"entityType": "thing", "data": {}, "acl": None}))
    [entry] = (await player.send(body)).json()["responses"]
    assert (entry["status"], entry["reason_code"]) == (500, 40357)
    assert await things(player) == [{}]


# Where it was refused


async def test_a_hook_makes_something_of_a_refusal(game: Game, setup: Setup) -> None:
    player = await game.player()

    async def answer() -> Any:
        body = player.body(("entity", "DELETE", {"entityId": "nowhere", "version": -1}))
        [entry] = (await player.send(body)).json()["responses"]
        return entry

    was = await answer()
    setup.hook("entity.DELETE", "post_fail", "throws")
    setup.hook("entity.DELETE", "post_fail", "null")
    assert await answer() == was
    setup.hook("entity.DELETE", "post_fail", say={"status": 409, "reasonCode": 3, "errorMessage": "gone"})
    assert (await answer())["reason_code"] == 3
    setup.hook("entity.DELETE", "post_fail", say={"status": 199})  # means something for logins alone
    assert (await answer())["status"] == 199
    setup.hook("entity.DELETE", "post_fail", say={"status": 200, "data": {"fine": True}})
    assert await answer() == {"status": 200, "data": {"fine": True}}


# Before every message


async def test_a_hook_before_every_message(game: Game, setup: Setup) -> None:
    setup.script("gate", "data.operation !== 'CREATE' && data.service !== 'heartbeat';")
    setup.hook(EVERY, "pre", "gate")
    player = await game.player()  # logins are not subject to it
    data: dict[str, Any] = {"entityType": "thing", "data": {}, "acl": None}
    body = player.body(("entity", "CREATE", data), ("time", "READ", {}), ("heartbeat", "HEARTBEAT", None))
    entries = (await player.send(body)).json()["responses"]
    assert [(e["status"], e.get("reason_code")) for e in entries] == [
        *((500, 40639), (200, None)),
        (500, 40639),
    ]


# Who has hooks


async def test_hooks_run_for_what_scripts_call_and_not_for_servers(game: Game, setup: Setup) -> None:
    mark = game.unique("m")
    setup.hook("entity.CREATE", "pre", "spy", mark=mark, say={"status": 200})
    setup.hook("log.LOG_WARNING", "pre", say={"status": 400, "reasonCode": 1, "errorMessage": "quiet"})
    setup.script("make", "bridge.getEntityServiceProxy().createEntity('thing', {s: 1}, null).status;")
    player = await game.player()
    ran = await player.call("script", "RUN", scriptName="make", scriptData={})
    assert ran["response"] == 200
    assert [seen["message"]["ccCall"] for seen in await setup.seen(mark)] == [True]
    simple = {
        "appId": APP_ID,
        "serverName": "room",
        "serverSecret": KEY,
        "service": "log",
        "operation": "LOG_WARNING",
        "data": {"errorMessage": "x"},
    }
    assert (await game.http.post("/s2sdispatcher", json=simple)).json()["status"] == 200


async def test_a_hook_that_calls_its_own_operation_does_not_call_itself(game: Game, setup: Setup) -> None:
    setup.script(
        "more", "({status: bridge.getEntityServiceProxy().createEntity('thing', {more: 1}, null).status});"
    )
    setup.hook("entity.CREATE", "post", "more")
    player = await game.player()
    await create(player, a=1)
    assert sorted(map(str, await things(player))) == ["{'a': 1}", "{'more': 1}"]


async def test_hooks_that_call_each_other_end_somewhere(game: Game, setup: Setup) -> None:
    mark = game.unique("deep")
    operations = [
        "READ",
        "GET_ATTRIBUTES",
        "UPDATE_NAME",
        "UPDATE_LANGUAGE_CODE",
        "UPDATE_PICTURE_URL",
        "LOGOUT",
    ]
    for number, name in enumerate(operations[:-1]):
        after = operations[number + 1]
        sent = "{playerName: 'x', languageCode: 'en', playerPictureUrl: ''}"
        source = (
            f"var told = bridge.callAPI('playerState', '{after}', {sent});"
            f"bridge.logInfoJson('spy {mark}', {{at: {number}, is: told.status, why: told.reasonCode}});"
            "({status: 200});"
        )
        setup.script(f"to{number}", source)
        setup.hook(f"playerState.{name}", "pre", f"to{number}")
    player = await game.player()
    assert (await player.call("playerState", "READ"))["profileId"] == player.profile_id
    found = [(told["at"], told["is"], told.get("why")) for told in await setup.seen(mark)]
    assert found == [(3, 500, 40357), (2, 200, None), (1, 200, None), (0, 200, None)]
    await player.call("time", "READ")  # nobody was logged out


async def test_an_app_without_hooks_looks_for_none(game: Game, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: Any) -> Any:
        raise AssertionError("nobody has asked for hooks")

    monkeypatch.setattr(api_hooks.ApiHooks, "of", never)
    player = await game.player()
    await create(player)


# Once


async def test_a_repeated_packet_runs_neither_the_operation_nor_its_hooks_again(
    game: Game, setup: Setup
) -> None:
    setup.script(
        "also", "bridge.getEntityServiceProxy().createEntity('thing', {hook: data.parms.n}, null); null;"
    )
    setup.hook("playerState.UPDATE_NAME", "pre", "also", n=1)
    setup.hook("playerState.UPDATE_NAME", "post", "also", n=2)
    player = await game.player()
    body = player.body(("playerState", "UPDATE_NAME", {"playerName": "Ada"}))
    answers = [(await player.send(body)).content for _ in range(3)]
    assert len(set(answers)) == 1
    assert sorted(one["hook"] for one in await things(player)) == [1, 2]


class Died(BaseException):
    """The process is no more."""


@pytest.mark.parametrize("step", range(1, 5))
async def test_a_packet_that_was_cut_off_goes_on_where_it_was(
    game: Game, setup: Setup, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """Whichever step was the last that a process committed, the next run does the rest, and that once."""
    setup.script(
        "also",
        "bridge.getEntityServiceProxy().createEntity('thing', {hook: data.parms.n, by: Math.random()}, null);"
        "bridge.getEntityServiceProxy().createEntity('thing', {hook: data.parms.n + 0.5}, null); null;",
    )
    setup.hook("playerState.UPDATE_NAME", "pre", "also", n=1)
    setup.hook("playerState.UPDATE_NAME", "post", "also", n=2)
    player = await game.player()
    runner = game.server_app.runner
    real, writes = runner.commit, 0

    async def commit(ctx: Any, plan: Any, record: Any = None) -> Any:
        nonlocal writes
        outcome = await real(ctx, plan, record)
        if outcome.wrote:
            writes += 1
            if writes == step:
                raise Died
        return outcome

    body = player.body(("playerState", "UPDATE_NAME", {"playerName": "Ada"}))
    with monkeypatch.context() as patch:
        patch.setattr(runner, "commit", commit)
        patch.setattr(game.core.sessions, "release", _nothing)
        with pytest.raises(Died):
            await player.send(body)
    game.clock.advance(60)  # the claim of the process that died lapses
    for _ in range(20):
        answer = await player.send(body)
        if answer.status_code == 200:
            break
    assert answer.json()["responses"][0]["status"] == 200
    assert writes == step
    found = await things(player)
    assert sorted(one["hook"] for one in found) == [1, 1.5, 2, 2.5]


async def _nothing(*_: Any) -> bool:
    return True


# Logins


async def test_hooks_on_a_login(game: Game, setup: Setup) -> None:
    mark = game.unique("m")
    setup.hook(f"{AUTH}.AUTHENTICATE", "pre", "spy", mark=f"{mark} pre", say={"status": 200})
    setup.script(
        "post",
        "bridge.logInfoJson('spy ' + data.parms.mark, data);"
        "var named = bridge.getPlayerStateServiceProxy().updateUserName('Named by a hook').status;"
        "data.message.named = [named, bridge.getProfileId()]; ({status: 200, data: data.message});",
    )
    setup.hook(f"{AUTH}.AUTHENTICATE", "post", "post", mark=f"{mark} post")
    player = game.client()
    told = await player.log_in(extraJson='{"token": "t"}')
    assert told["named"] == [200, player.profile_id]
    assert (await player.call("playerState", "READ"))["playerName"] == "Named by a hook"
    [before] = await setup.seen(f"{mark} pre")
    assert before["message"]["extraJson"] == {"token": "t"}
    assert before["message"]["ccCall"] is False
    [after] = await setup.seen(f"{mark} post")
    assert after["message"]["profileId"] == player.profile_id
    assert after["callingMessage"]["gameId"] == APP_ID


@pytest.mark.parametrize(
    ("kind", "creates", "status"), [("pre", True, 200), ("post", True, 200), ("post_fail", False, 202)]
)
async def test_hooks_on_a_login_know_the_client(
    game: Game, setup: Setup, kind: str, creates: bool, status: int
) -> None:
    mark = game.unique("m")
    setup.hook(f"{AUTH}.AUTHENTICATE", kind, "spy", mark=mark, say={"status": 200 if creates else 202})
    data = {"authenticationType": "Anonymous", "externalId": game.unique("id"), "forceCreate": creates}
    client = game.client()
    body = client.body((AUTH, "AUTHENTICATE", data))
    [entry] = (await client.send(body, **{"User-Agent": "Build/7 (x)"})).json()["responses"]
    assert entry["status"] == status
    [asked] = await setup.seen(mark)
    assert asked["clientRequest"] == {
        "clientIp": "127.0.0.1",
        "host": "game.test",
        "userAgent": "Build/7 (x)",
    }


async def test_a_login_that_a_hook_refuses_opens_no_session(game: Game, setup: Setup) -> None:
    no = {"status": 403, "reasonCode": 45000, "errorMessage": "banned"}
    setup.hook(f"{AUTH}.AUTHENTICATE", "pre", say=no)
    before = await game.core.sessions.count(APP_ID)
    data = {"authenticationType": "Anonymous", "externalId": game.unique("id"), "forceCreate": True}
    for kind in ("pre", "post"):
        setup.hooks = ""
        setup.hook(f"{AUTH}.AUTHENTICATE", kind, say=no)
        client = game.client()
        [entry] = (await client.send(client.body((AUTH, "AUTHENTICATE", data)))).json()["responses"]
        assert (entry["status"], entry["reason_code"]) == (403, 45000)
        assert await game.core.sessions.count(APP_ID) == before


async def test_a_hook_ends_the_session_that_a_login_has_opened(game: Game, setup: Setup) -> None:
    setup.script("ban", "bridge.invalidateSession(); ({status: 200, data: {banned: true}});")
    setup.hook(f"{AUTH}.AUTHENTICATE", "post", "ban")
    before = await game.core.sessions.count(APP_ID)
    client = game.client()
    data = {"authenticationType": "Anonymous", "externalId": game.unique("id"), "forceCreate": True}
    assert await client.call(AUTH, "AUTHENTICATE", **data) == {"banned": True}
    assert await game.core.sessions.count(APP_ID) == before


async def test_a_login_that_was_refused_is_tried_once_more(game: Game, setup: Setup) -> None:
    name, mark = game.unique("migrated"), game.unique("m")
    setup.script(
        "migrate",
        "bridge.logInfoJson('spy ' + data.parms.mark, data.errorData);"
        "var sent = data.callingMessage;"
        "bridge.getUserServiceProxy().sysCreateUserUniversalId("
        "sent.externalId, sent.authenticationToken, null, null, null); ({status: 199});",
    )
    setup.hook(f"{AUTH}.AUTHENTICATE", "post_fail", "migrate", mark=mark)
    login = {"authenticationType": "Universal", "externalId": name, "authenticationToken": "secret"}
    told = await game.client().call(AUTH, "AUTHENTICATE", **login, forceCreate=False)
    assert told["newUser"] in ("true", "false")
    wrong = {**login, "authenticationToken": "wrong"}
    refusal = await game.client().refused(AUTH, "AUTHENTICATE", **wrong, forceCreate=False)
    assert refusal.reason_code == 40307
    assert [seen["reasonCode"] for seen in await setup.seen(mark)] == [40208, 40307, 40307]


# The page that proves a mail address


async def test_hooks_on_the_link_that_proves_an_address(game: Game, setup: Setup) -> None:
    client, address = game.client(), f"{game.unique('ada')}@example.com"
    await client.log_in("Email", address, "secret")
    mark = game.unique("link")
    button = {
        "action": "continue",
        "label": "<Play>",
        "hover": "go",
        "targetUrl": "https://game.example/?a&b",
    }
    setup.hook(LINK, "post", "spy", mark=mark)
    setup.hook(LINK, "post", "say", say=button)
    setup.hook(LINK, "post", "throws")
    setup.hook(LINK, "post_fail", "spy", mark=mark)
    setup.hook(LINK, "post_fail", "say", say={**button, "targetUrl": "javascript:alert(1)"})
    first, late = [await issue_link(game, Kind.EMAIL_VALIDATION, "Email", address) for _ in range(2)]
    looked = await game.http.get(f"/validate/{first}")
    assert (looked.status_code, await setup.seen(mark)) == (200, [])  # mail programs open links by themselves
    page = (await game.http.post(f"/validate/{first}")).text
    assert '<a href="https://game.example/?a&amp;b" title="go">&lt;Play&gt;</a>' in page
    owner = {"profileId": client.profile_id, "emailAddress": address}
    about = {"service": "EmailAuth", "operation": "VALIDATE", "parms": {"mark": mark}}
    assert await setup.seen(mark) == [{**about, "message": owner}]
    assert (await game.http.post(f"/validate/{late}")).status_code == 410  # nobody knows whose it was
    assert len(await setup.seen(mark)) == 1
    expired = await issue_link(game, Kind.EMAIL_VALIDATION, "Email", address, minutes=-1)
    page = (await game.http.get(f"/validate/{expired}")).text
    assert "does not work any more" in page
    assert "<a" not in page
    [_, told] = await setup.seen(mark)
    assert (told["callingMessage"], told["errorData"]["status"]) == (owner, 400)


# Declaring


@pytest.mark.parametrize(
    ("operation", "kind", "complaint"),
    [
        ("entity.CRATE", "pre", "entity.CREATE"),
        ("heartbeat.HEARTBEAT", "pre", "no "),
        (EVERY, "post", "expected pre"),
        (LINK, "pre", "expected post"),
        ("entity.CREATE", "before", "expected"),
    ],
)
def test_hooks_that_cannot_be(apps_folder: Path, operation: str, kind: str, complaint: str) -> None:
    text = f'[[scripts.hooks]]\noperation = "{operation}"\nkind = "{kind}"\nscript = "x"\n'
    (apps_folder / "test" / "app.toml").write_text(APP_TOML + text)
    [problem] = load_apps(apps_folder, registry().sections()).problems
    assert complaint in str(problem)


def test_a_hook_without_a_script_is_told_of(apps_folder: Path) -> None:
    text = '[[scripts.hooks]]\noperation = "entity.CREATE"\nkind = "pre"\nscript = "nowhere"\n'
    (apps_folder / "test" / "app.toml").write_text(APP_TOML + text)
    loaded = load_apps(apps_folder, registry().sections())
    assert not loaded.problems
    assert any("there is no script 'nowhere'" in str(remark) for remark in loaded.remarks)
