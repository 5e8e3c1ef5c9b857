"""Outgoing webhooks: what is told, to whom, how it is signed, and what becomes of it."""

import asyncio
import base64
import hashlib
import hmac
import json
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete

from gameserver.admin import actions, webhooks
from gameserver.admin.common import Refused
from gameserver.app import registry
from gameserver.apps import load_apps
from gameserver.jobs.storage import jobs
from gameserver.players.webhooks import EventData, deliveries, delivering
from gameserver.players.webhooks.delivering import ATTEMPTS_MAX, DELIVER
from gameserver.players.webhooks.settings import WebhookSettings
from gameserver.wire.errors import PacketTooLarge
from tests.conftest import APP_ID, APP_TOML, Game
from tests.websites import Page, Seen, Website, website

KEY, FORMER, OTHER = b"k" * 24, b"f" * 32, b"o" * 24
DAY = 24 * 3600


def secret(key: bytes) -> str:
    return "whsec_" + base64.b64encode(key).decode()


@pytest.fixture
async def site() -> AsyncIterator[Website]:
    """The studio's server."""
    async with website(lambda _: Page(204)) as made:
        yield made


@pytest.fixture
def apps_folder(apps_folder: Path, site: Website) -> Path:
    address = f'url = "http://127.0.0.1:{site.port}'
    inside = 'allow_http = true\nnetworks = ["127.0.0.1"]\n'
    (apps_folder / "test" / "app.toml").write_text(f"""{APP_TOML}
[virtualCurrency]
clients_may_change = true
[virtualCurrency.currencies.coins]
[session]
life_seconds = 2592000
[group.types.team]
[tournament.templates.told]
entry_fee = {{ coins = 3 }}
payouts = [{{ rank = 1, rewards = {{ currency = {{ coins = 100 }} }} }}]
[leaderboard.boards.told]
rotation = "DAILY"
reset = 2023-01-05T00:00:00Z
tournament = {{ codes = ["told"], auto_claim = true }}
[webhooks.events."custom.boss_defeated"]
[webhooks.outgoing.all]
{address}/all"
secret = "{secret(KEY)}"
former_secret = "{secret(FORMER)}"
events = ["*"]
headers = {{ X-Game = "mine", Webhook-Id = "forged" }}
{inside}
[webhooks.outgoing.some]
{address}/some"
secret = "{secret(OTHER)}"
events = ["player.deleted", "custom.*"]
timeout_seconds = 20
{inside}
[webhooks.outgoing.guarded]
{address}/guarded"
secret = "{secret(OTHER)}"
events = ["player.reset"]
allow_http = true
""")
    return apps_folder


@pytest.fixture
async def game(game: Game) -> Game:
    """The server, without what other tests have left in a database that they share."""
    async with game.core.database.write() as tx:
        for table in (deliveries.deliveries, deliveries.targets):
            await tx.run(delete(table))
        await tx.run(delete(jobs).where(jobs.c.name == DELIVER.name))
    return game


async def deliver(game: Game, seconds: float = 1) -> None:
    """Let time go on, and send what is due."""
    game.clock.advance(seconds)
    await game.server_app.jobs.tick()
    await game.server_app.jobs.settled()


def verified(seen: Seen, *keys: bytes) -> Any:
    """Check the signatures of a request, as receivers do; returns its body."""
    content = f"{seen.headers['webhook-id']}.{seen.headers['webhook-timestamp']}.".encode() + seen.body
    wanted = [base64.b64encode(hmac.digest(key, content, hashlib.sha256)).decode() for key in keys]
    assert seen.headers["webhook-signature"] == " ".join(f"v1,{one}" for one in wanted)
    body = json.loads(seen.body)
    assert body["id"] == seen.headers["webhook-id"]
    return body


def told(site: Website, path: str = "/all") -> list[Any]:
    return [json.loads(seen.body) for seen in site.seen if seen.target == path]


async def test_a_login(game: Game, site: Website) -> None:
    player = await game.player()
    assert site.seen == []
    await deliver(game)
    bodies = [verified(seen, KEY, FORMER) for seen in site.seen]
    assert {body["type"] for body in bodies} == {"player.created", "player.logged_in"}
    [login] = [body for body in bodies if body["type"] == "player.logged_in"]
    assert login["data"] == {
        "profileId": player.profile_id,
        "authenticationType": "Anonymous",
        "newUser": True,
    }
    await deliver(game)
    assert len(site.seen) == 2


# What is sent


async def test_what_a_request_says(game: Game, site: Website) -> None:
    await game.player()
    await deliver(game)
    seen = site.seen[0]
    assert (seen.method, seen.headers["content-type"]) == ("POST", "application/json")
    assert (seen.headers["user-agent"], seen.headers["x-game"]) == ("gameserver", "mine")
    assert seen.headers["webhook-timestamp"] == str(game.clock.ms() // 1000)
    body = verified(seen, KEY, FORMER)
    assert set(body) == {"id", "type", "timestamp", "appId", "apiVersion", "data"}
    assert (body["appId"], body["apiVersion"]) == (APP_ID, 1)
    at = datetime.fromtimestamp(game.clock.ms() / 1000 - 1, UTC)
    assert body["timestamp"] == at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03}Z"
    assert "." not in body["id"]


async def test_each_event_is_told(game: Game, site: Website) -> None:
    """Those of tournaments have a test of their own."""
    ada, bob, eve = await game.player(), await game.player(), await game.player()
    await deliver(game)
    site.seen.clear()
    wanted: list[dict[str, Any]] = []

    def expect(event: str, profile_id: str = ada.profile_id, **data: Any) -> None:
        wanted.append({"type": event, "data": {"profileId": profile_id, **data}})

    universal = {"authenticationType": "Universal", "externalId": game.unique("u")}
    await ada.call("identity", "ATTACH", **universal, authenticationToken="correct horse battery")
    expect("identity.attached", authenticationType="Universal")
    await ada.call("identity", "DETACH", **universal, confirmAnonymous=True)
    expect("identity.detached", authenticationType="Universal")
    await ada.call("identity", "ATTACH_NONLOGIN_UNIVERSAL", externalId=game.unique("n"))
    expect("identity.attached", authenticationType="Universal")
    await ada.call("virtualCurrency", "AWARD_VC", vcId="coins", vcAmount=9)
    await ada.call("virtualCurrency", "CONSUME_VC", vcId="coins", vcAmount=2)
    await game.server.call("virtualCurrency", "REVOKE_VC", ada.profile_id, vcId="coins", vcAmount=1)
    for event, amount in (("awarded", 9), ("consumed", 2), ("revoked", 1)):
        expect(f"currency.{event}", currency="coins", amount=amount)
    await ada.call("virtualCurrency", "RESET_PLAYER_VC")
    expect("currency.reset")
    await ada.call("friend", "ADD_FRIENDS", profileIds=[bob.profile_id])
    expect("friend.added", friendIds=[bob.profile_id])
    sent = await ada.call("messaging", "SEND_MESSAGE_SIMPLE", toProfileIds=[bob.profile_id], text="hi")
    expect("message.sent", messageId=sent["msgId"], toProfileIds=[bob.profile_id])
    new = {"name": "Us", "groupType": "team", "isOpenGroup": True}
    group = (await ada.call("group", "CREATE_GROUP", **new))["groupId"]
    expect("group.created", groupId=group, groupType="team")
    await bob.call("group", "JOIN_GROUP", groupId=group)
    await bob.call("group", "LEAVE_GROUP", groupId=group)
    await ada.call("group", "DELETE_GROUP", groupId=group, version=-1)
    for player, event in ((ada, "joined"), (bob, "joined"), (bob, "left")):
        expect(f"group.{event}", player.profile_id, groupId=group)
    expect("group.deleted", "", groupId=group, memberIds=[ada.profile_id])
    await ada.call("playerState", "GAME_DATA_RESET")
    expect("player.reset")
    await ada.call("playerState", "LOGOUT")
    expect("session.ended", reason="logged_out", sessions=1, face="dispatcher")
    await actions.player_merge(game.server_app, APP_ID, bob.profile_id, ada.profile_id)
    expect("player.merged", bob.profile_id, intoProfileId=ada.profile_id)
    expect("session.ended", bob.profile_id, reason="merged_into", sessions=1, face="cli")
    await actions.player_delete(game.server_app, APP_ID, eve.profile_id)
    expect("player.deleted", eve.profile_id)
    expect("session.ended", eve.profile_id, reason="deleted", sessions=1, face="cli")
    await deliver(game)
    found = [{"type": body["type"], "data": body["data"]} for body in told(site)]
    for one in found:
        one["data"].pop("entry", None)
    assert sorted(map(json.dumps, found)) == sorted(map(json.dumps, wanted))
    [deleted] = told(site, "/some")
    assert deleted["data"] == {"profileId": eve.profile_id}


async def test_a_tournament_its_fee_and_its_prize_are_told(game: Game, site: Website) -> None:
    player = await game.player()
    await player.call("virtualCurrency", "AWARD_VC", vcId="coins", vcAmount=3)
    joining = {"leaderboardId": "told", "tournamentCode": "told", "initialScore": 7}
    await player.call("tournament", "JOIN_TOURNAMENT", **joining)
    await deliver(game)
    [fee] = [body["data"] for body in told(site) if body["type"] == "currency.consumed"]
    assert (fee["profileId"], fee["currency"], fee["amount"]) == (player.profile_id, "coins", 3)
    site.seen.clear()
    game.clock.advance(DAY)
    await game.run_jobs()
    await game.run_jobs()
    await deliver(game)
    [paid] = [body["data"] for body in told(site) if body["type"] == "currency.awarded"]
    assert (paid["profileId"], paid["amount"]) == (player.profile_id, 100)
    [over] = [body["data"] for body in told(site) if body["type"] == "tournament.over"]
    assert over["startedAt"] < over["endedAt"] <= game.clock.ms()
    assert (over["leaderboardId"], over["participants"]) == ("told", {"told": 1})


async def test_what_is_not_committed_is_not_told(game: Game, site: Website) -> None:
    player = await game.player()
    await deliver(game)
    site.seen.clear()
    award = ("virtualCurrency", "AWARD_VC", {"vcId": "coins", "vcAmount": 5})
    consume = ("virtualCurrency", "CONSUME_VC", {"vcId": "coins", "vcAmount": 50})
    entries = await player.packet(award, consume, award)
    assert [entry["status"] for entry in entries] == [200, 400, 200]
    again = await player.send(player.last_body)
    assert [entry["status"] for entry in again.json()["responses"]] == [200, 400, 200]
    await deliver(game)
    assert [body["type"] for body in told(site)] == ["currency.awarded"] * 2
    assert len({body["data"]["entry"] for body in told(site)}) == 2


async def test_events_of_the_app_itself(game: Game, site: Website) -> None:
    player = await game.player()
    await deliver(game)
    site.seen.clear()
    name, values = "custom.boss_defeated", {"boss": "Smaug", "tries": 3}
    sent = await game.server.call("webhook", "SEND_EVENT", player.profile_id, name=name, values=values)
    assert sent == {"targets": 2}
    await game.server.call("webhook", "SEND_EVENT", name=name)
    await deliver(game)
    found = sorted(told(site, "/some"), key=lambda body: len(body["data"]["values"]))
    assert [body["type"] for body in found] == [name, name]
    assert [body["data"] for body in found] == [
        {"profileId": "", "values": {}},
        {"profileId": player.profile_id, "values": values},
    ]
    refusal = await game.server.refused("webhook", "SEND_EVENT", name="custom.boss_defeted")
    assert refusal.reason_code == 49130
    refusal = await game.server.refused("webhook", "SEND_EVENT", name=name, values={"a": "x" * (16 << 10)})
    assert refusal.reason_code == PacketTooLarge.reason_code
    refusal = await player.refused("webhook", "SEND_EVENT", name=name)
    assert refusal.status == 403


def test_every_event_is_declared() -> None:
    def kinds(base: type[EventData]) -> set[type[EventData]]:
        return {base, *(kind for each in base.__subclasses__() for kind in kinds(each))}

    named = {kind for kind in kinds(EventData) if getattr(kind, "event", "")}
    assert named == set(registry().events.values())
    assert all(re.fullmatch(r"[a-z]+\.([a-z_]+|\*)", event) for event in registry().events)


# What becomes of it


async def listed(game: Game, **equal: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = await webhooks.webhook_deliveries(game.server_app, APP_ID, 100, equal=equal)
    return rows


async def states(game: Game) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in await webhooks.webhook_list(game.server_app, APP_ID)}


async def custom(game: Game, profile_id: str | None = None, **values: Any) -> str:
    """Send an event of the app's own; returns its id."""
    sent = {"name": "custom.boss_defeated", "values": values}
    await game.server.call("webhook", "SEND_EVENT", profile_id, **sent)
    return str((await listed(game, target="some"))[0]["id"].partition("/")[0])


async def test_a_delivery_is_tried_again_under_the_same_id(game: Game, site: Website) -> None:
    site.serve = lambda _: Page(503, b"not today" * 1000)
    event = await custom(game)
    delivery = f"{event}/some"
    await deliver(game)
    shown = await webhooks.webhook_show(game.server_app, APP_ID, delivery)
    assert (shown["state"], shown["attempts"], shown["status"]) == ("pending", 1, 503)
    assert shown["answer"].startswith("not today")
    assert len(shown["answer"]) == 500
    assert (await states(game))["some"]["state"] == "failing"
    await deliver(game, 0)
    assert len(told(site, "/some")) == 1  # not before its time
    site.serve = lambda _: Page(200)
    await deliver(game, 2)
    first, second = [seen for seen in site.seen if seen.target == "/some"]
    assert first.headers["webhook-id"] == second.headers["webhook-id"] == event
    assert first.body == second.body
    assert first.headers["webhook-timestamp"] != second.headers["webhook-timestamp"]
    verified(second, OTHER)
    [row] = await listed(game, target="some", state="delivered")
    assert (row["id"], row["attempts"], row["status"], row["error"]) == (delivery, 2, 200, "")
    assert (await states(game))["some"]["state"] == "ok"


async def test_a_delivery_is_given_up_after_three_days(game: Game, site: Website) -> None:
    site.serve = lambda seen: Page(500 if seen.target == "/some" else 200)
    began = game.clock.ms()
    await custom(game)
    for failures in range(ATTEMPTS_MAX):
        assert len(await listed(game, target="some", state="pending")) == 1
        await deliver(game, 1.25 * min(2.0**failures, 6 * 3600))  # a quarter is left to chance
    assert len(told(site, "/some")) == ATTEMPTS_MAX
    assert 3 < (game.clock.ms() - began) / 1000 / DAY < 4.3
    assert (await states(game))["some"]["failed"] == 1
    assert await webhooks.webhook_replay(game.server_app, APP_ID, equal={"target": "some"}) == {"replayed": 1}
    site.serve = lambda _: Page(200)
    await deliver(game)
    assert len({seen.headers["webhook-id"] for seen in site.seen if seen.target == "/some"}) == 1
    assert (await states(game))["some"] | {"failed": 0, "waiting": 0} == (await states(game))["some"]


async def test_a_target_that_takes_nothing_for_days_is_told_no_more(game: Game, site: Website) -> None:
    site.serve = lambda seen: Page(404 if seen.target == "/some" else 200)
    await custom(game)
    await deliver(game)
    await deliver(game, 5 * DAY)
    found = (await states(game))["some"]
    assert (found["state"], found["failed"]) == ("disabled", 1)
    assert found["reason"] == "it has taken nothing for 5 days; last: it answered 404"
    lines = await actions.log_list(game.server_app, APP_ID, 10, text="webhook target some")
    assert [line["level"] for line in lines] == ["error"]
    asked = len(site.seen)
    await custom(game)
    await deliver(game)
    assert len(site.seen) == asked + 1  # the other target
    assert {row["error"] for row in await listed(game, target="some")} == {
        "it answered 404",
        "the target is disabled",
    }
    site.serve = lambda _: Page(200)
    assert (await webhooks.webhook_test(game.server_app, APP_ID, "some"))["delivered"]
    await webhooks.webhook_enable(game.server_app, APP_ID, "some")
    assert (await webhooks.webhook_replay(game.server_app, APP_ID))["replayed"] == 2
    await deliver(game)
    assert [row["state"] for row in await listed(game, target="some")] == ["delivered"] * 2


async def test_a_target_that_takes_something_meanwhile_is_told_further(
    game: Game, site: Website, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.serve = lambda seen: Page(404 if seen.target == "/some" else 200)
    await custom(game)
    await deliver(game)

    async def send(*which: Any) -> delivering.Outcome:
        outcome = await told_before(*which)
        async with game.core.database.write() as tx:  # another delivery, under way at the same time, is taken
            await tx.run(deliveries.WORKS, app=APP_ID, target="some")
        return outcome

    told_before = delivering.send
    monkeypatch.setattr(delivering, "send", send)
    await deliver(game, 5 * DAY)
    assert (await states(game))["some"]["state"] != "disabled"
    monkeypatch.undo()
    site.serve = lambda _: Page(200)
    await deliver(game, DAY)
    assert [row["state"] for row in await listed(game, target="some")] == ["delivered"]


async def test_a_target_that_is_gone_is_told_no_more_at_once(game: Game, site: Website) -> None:
    site.serve = lambda _: Page(410)
    await custom(game)
    await deliver(game)
    assert {name: row["state"] for name, row in (await states(game)).items()} == {
        "all": "disabled",
        "some": "disabled",
        "guarded": "ok",
    }


async def test_no_address_inside_is_called_and_no_redirect_followed(game: Game, site: Website) -> None:
    player = await game.player()
    await player.call("playerState", "GAME_DATA_RESET")
    await deliver(game)
    assert told(site, "/guarded") == []
    [row] = await listed(game, target="guarded")
    assert (row["state"], row["error"]) == (
        "pending",
        "no answer: the host has no address that may be called",
    )
    site.serve = lambda _: Page(302, headers={"Location": f"http://127.0.0.1:{site.port}/elsewhere"})
    await custom(game)
    await deliver(game)
    assert {seen.target for seen in site.seen} == {"/all", "/some"}
    assert (await listed(game, target="some"))[0]["error"] == "it answered 302"


async def test_a_silent_target_keeps_no_other_waiting(game: Game, site: Website) -> None:
    site.serve = lambda seen: Page(200) if seen.target == "/all" else None
    for number in range(10):  # more than may wait for one target at once
        await custom(game, number=number)
    game.clock.advance(1)
    await game.server_app.jobs.tick()
    async with asyncio.timeout(10):
        while len(told(site)) < 10:  # without a further tick
            site.reached.clear()
            await site.reached.wait()
    assert len(told(site, "/some")) <= 8
    site.closing.set()  # it hangs up on whoever waits, and on whoever comes
    await game.server_app.jobs.settled()
    errors = [row["error"].partition(":")[0] for row in await listed(game, target="some")]
    assert errors == ["no answer"] * 10


async def test_what_is_told_of_a_player_who_is_gone(game: Game, site: Website) -> None:
    player = await game.player()
    await custom(game, player.profile_id, note="hers")
    exported = await actions.player_export(game.server_app, APP_ID, player.profile_id)
    kept = exported["services"]["webhook"]["webhookDeliveries"]
    assert {"profileId": player.profile_id, "values": {"note": "hers"}} in [row["data"] for row in kept]
    await deliver(game)
    assert len(told(site, "/some")) == 1
    await custom(game, player.profile_id, note="hers")
    await actions.player_delete(game.server_app, APP_ID, player.profile_id)
    waiting = await listed(game, profile_id=player.profile_id)
    assert {row["state"] for row in waiting} == {"pending"}
    await deliver(game)
    bodies = {body["type"]: body["data"] for body in told(site, "/some")[1:]}
    assert bodies == {
        "custom.boss_defeated": {"profileId": player.profile_id, "values": {}},
        "player.deleted": {"profileId": player.profile_id},
    }


async def test_deliveries_are_forgotten(game: Game, site: Website) -> None:
    await custom(game)
    await deliver(game)
    game.clock.advance(6.9 * DAY)
    await game.run_jobs("webhook.forget")
    assert len(await listed(game)) == 2
    game.clock.advance(0.2 * DAY)
    await game.run_jobs("webhook.forget")
    assert await listed(game) == []
    assert site.seen


async def test_a_target_that_is_no_longer_declared(game: Game, site: Website) -> None:
    await custom(game)
    del game.app.section(WebhookSettings).outgoing["some"]
    await deliver(game)
    assert told(site, "/some") == []
    assert (await states(game))["some"]["state"] == "not declared"
    assert (await states(game))["some"]["failed"] == 1


async def test_what_is_not_there_is_refused(game: Game) -> None:
    server = game.server_app
    for ask in (
        webhooks.webhook_show(server, APP_ID, "none"),
        webhooks.webhook_replay(server, APP_ID, "none"),
        webhooks.webhook_replay(server, APP_ID, equal={"data": "x"}),
        webhooks.webhook_deliveries(server, APP_ID, 10, equal={"state": "lost"}),
        webhooks.webhook_test(server, APP_ID, "none"),
        webhooks.webhook_enable(server, APP_ID, "none"),
    ):
        with pytest.raises(Refused):
            await ask


# Settings


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        (
            'events = ["player.creatd"]',
            'there is no webhook event "player.creatd"; did you mean "player.created"?',
        ),
        ('events = ["custom.none"]', 'there is no webhook event "custom.none"'),
        ("events = []", "expected"),
        ('url = "http://example.com"', "https://"),
        ('url = "https://me:secret@example.com"', "credentials"),
        ('secret = "short"', "expected whsec_"),
        ('secret = "whsec_###"', "is no base64"),
        ('secret = "whsec_c2hvcnQ="', "24 to 64 random bytes"),
        ('former_secret = "x"', "expected whsec_"),
        ('networks = ["here"]', "expected an address or a network"),
        ("timeout_seconds = 31", "30"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, line: str, complaint: str) -> None:
    good = {
        "url": 'url = "https://example.com/hooks"',
        "secret": f'secret = "{secret(KEY)}"',
        "events": 'events = ["player.*", "custom.known", "*"]',
    }
    name = line.partition(" ")[0]
    lines = "\n".join((good | {name: line}).values())
    (tmp_path / "test").mkdir()
    text = f'{APP_TOML}[webhooks.events."custom.known"]\n[webhooks.outgoing.crm]\n{lines}\n'
    (tmp_path / "test" / "app.toml").write_text(text)
    [problem] = load_apps(tmp_path, registry().sections()).problems
    assert f"webhooks.outgoing.crm.{name}" in str(problem)
    assert complaint in str(problem)
