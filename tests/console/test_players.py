"""A player's card in the console, and what support does with a player."""

import asyncio
import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text as sql_text

from gameserver.admin import actions
from gameserver.admin.actions import run
from gameserver.admin.common import Refused
from tests.conftest import APP_ID, APP_TOML, Client, Game
from tests.console.conftest import Desk, hired
from tests.plans import Plans
from tests.services.logins import Postbox, postbox, refused_login

__all__ = ["postbox"]  # a fixture
OLD, NEW = "correct horse", "battery staple"

APP = """
[virtualCurrency.currencies.coins]
[virtualCurrency.currencies.gems]
[playerStatistics]
create_unknown = true
[backendless]
roles = ["Moderator"]
[group.types.team]
"""


@pytest.fixture
def apps_folder(apps_folder: Path) -> Path:
    (apps_folder / "test" / "app.toml").write_text(APP_TOML + APP)
    return apps_folder


async def do(game: Game, name: str, client: Client | str, **more: Any) -> Any:
    profile = client if isinstance(client, str) else client.profile_id
    return await run(game.server_app, name, {"app": APP_ID, "profile": profile, **more})


async def named(game: Game, name: str, **login: Any) -> Client:
    player = await game.player(**login)
    await player.call("playerState", "UPDATE_NAME", playerName=name)
    return player


async def with_mail(game: Game, name: str) -> tuple[Client, str]:
    address = f"{game.unique('mail')}@example.com"
    login = {"authenticationType": "Email", "externalId": address, "authenticationToken": OLD}
    return await named(game, name, **login), address


def card(client: Client, path: str = "") -> str:
    return f"/players/{client.profile_id}{path}"


TABS = [
    "",
    "/timeline",
    "/timeline?of=all",
    "/currencies",
    "/progress",
    "/devices",
    "/mail",
    "/friends",
    "/notes",
]


async def test_each_tab_tells_of_nothing_and_of_something(game: Game, desk: Desk) -> None:
    ada, bob = await named(game, "Ada"), await named(game, "Bob")
    for path in TABS:
        await desk.of_app(card(ada, path))
        assert desk.status == 200, desk.text
    await ada.call("friend", "ADD_FRIENDS", profileIds=[bob.profile_id])
    await ada.call("group", "CREATE_GROUP", name="Blues", groupType="team")
    await ada.call("messaging", "SEND_MESSAGE_SIMPLE", toProfileIds=[bob.profile_id], text="hello you")
    token = {"deviceType": "IOS", "deviceToken": "a-device-token-of-ada"}
    await ada.call("pushNotification", "REGISTER", **token)
    await ada.call("playerStatistics", "UPDATE", statistics={"wins": 3})
    await game.server.call("virtualCurrency", "AWARD_VC", ada.profile_id, vcId="coins", vcAmount=7)
    expected = {
        "": ["Open sessions", "coins 7"],
        "/currencies": ["awarded", "7"],
        "/progress": ["wins 3"],
        "/devices": ["IOS"],
        "/friends": [bob.profile_id, "hello you"],
        "/timeline?of=all": ["login"],
    }
    for path, texts in expected.items():
        await desk.of_app(card(ada, path))
        for text in texts:
            assert text in desk.text, (path, text, desk.text)
    await desk.of_app(card(ada, "/devices"))
    assert "a-device-token-of-ada" not in desk.page


async def test_why_somebody_is_banned_stands_on_every_tab(game: Game, desk: Desk) -> None:
    ada = await named(game, "Ada")
    await desk.of_app(card(ada))
    await desk.act(card(ada, "/disable"), days="7", reason="sold <b>gold</b>")
    for path in TABS:
        await desk.of_app(card(ada, path))
        assert f"by {desk.name}" in desk.text
        assert "sold <b>gold</b>" in desk.text
    await desk.act(card(ada, "/enable"), reason="it was their brother")
    await desk.of_app(card(ada, "/timeline"))
    for text in ("player_disable", "player_enable", "it was their brother", "until_ms"):
        assert text in desk.text


async def test_a_receipt_counts_once(game: Game, desk: Desk) -> None:
    ada, bob = await named(game, "Ada"), await named(game, "Bob")
    receipt = game.unique("GPA")
    form = {"currency": "coins", "amount": "100", "receipt": receipt, "reason": "the shop was away"}
    await desk.of_app(card(ada))
    await desk.act(card(ada, "/balance"), **form)
    assert f"coins: 0 → 100, for receipt {receipt}" in desk.text
    assert f"receipt/{receipt}" in desk.text
    for somebody in (ada, bob):
        await desk.of_app(card(somebody))
        await desk.act(card(somebody, "/balance"), **form)
        assert desk.status == 422
        assert "used already" in desk.text
        assert desk.name in desk.text
    assert (await do(game, "player_balances", ada))["coins"]["balance"] == 100
    assert (await do(game, "player_balances", bob))["coins"]["balance"] == 0
    [entry] = await do(game, "player_history", ada)
    assert (entry["action"], entry["target"], entry["reason"]) == (
        "player_balance_adjust", receipt, "the shop was away",
    )  # fmt: skip
    assert (entry["before"], entry["after"]) == ({"coins": 0}, {"coins": 100})


async def test_two_clicks_at_once_adjust_once(game: Game) -> None:
    ada = await named(game, "Ada")
    words = {"currency": "coins", "amount": 5, "receipt": game.unique("r")}
    tries = [do(game, "player_balance_adjust", ada, **words) for _ in range(5)]
    done = await asyncio.gather(*tries, return_exceptions=True)
    assert [type(each) for each in done].count(Refused) == 4, done
    assert (await do(game, "player_balances", ada))["coins"]["balance"] == 5


async def test_a_balance_is_taken_back_and_bad_amounts_are_refused(game: Game) -> None:
    ada = await named(game, "Ada")
    words = {"currency": "coins", "receipt": game.unique("r")}
    assert (await do(game, "player_balance_adjust", ada, amount=-5, **words))["balance"] == -5
    cases: list[dict[str, Any]] = [
        {"amount": 0},
        {"amount": 2**53 + 1},
        {"amount": 1, "receipt": " "},
        {"amount": 1, "receipt": "x" * 201},
        {"amount": 1, "receipt": "a\nb"},
        {"amount": 1, "currency": "shells", "receipt": game.unique("r")},
    ]
    for case in cases:
        with pytest.raises(Refused):
            await do(game, "player_balance_adjust", ada, **(words | case))
    with pytest.raises(Refused, match="no player"):
        await do(game, "player_balance_adjust", "nobody", amount=1, **words | {"receipt": game.unique("r")})
    too_much = {**words, "receipt": game.unique("r"), "amount": 2**53}
    await do(game, "player_balance_adjust", ada, **too_much)
    free = game.unique("r")
    with pytest.raises(Refused, match="2\\^53"):
        await do(game, "player_balance_adjust", ada, **{**too_much, "receipt": free})
    await do(game, "player_balance_adjust", ada, amount=-1, currency="coins", receipt=free)


async def test_the_ledger_has_pages(game: Game, desk: Desk) -> None:
    ada = await named(game, "Ada")
    for number in range(53):
        await game.server.call(
            "virtualCurrency", "AWARD_VC", ada.profile_id, vcId="coins", vcAmount=number + 1
        )
        game.clock.advance(number % 3)  # some at the same time
    seen: list[str] = []
    while True:
        rows = await do(game, "player_ledger", ada, after=seen[-1] if seen else "")
        seen += [row["key"] for row in rows]
        if len(rows) < 50:
            break
    assert len(seen) == len(set(seen)) == 53
    await desk.of_app(card(ada, "/currencies"))
    following = re.search(r'rel="next" href="([^"]+)"', desk.page)
    assert following is not None
    await desk.go(following[1].replace("&amp;", "&"))
    assert "First page" in desk.text
    table = list(csv.DictReader(io.StringIO(await desk.of_app(card(ada, "/currencies"), **{"as": "csv"}))))
    assert {row["amount"] for row in table[:2]} == {"52", "53"}  # at the same time
    assert [*table[-1].values()][:2] == ["# count", "53"]
    await desk.of_app(card(ada, "/currencies"), currency="gems")
    assert "has not changed yet" in desk.text


async def test_a_reset_is_mailed_and_the_password_stays(game: Game, desk: Desk, postbox: Postbox) -> None:
    ada, address = await with_mail(game, "Ada")
    await desk.of_app(card(ada))
    await desk.act(card(ada, "/reset-mail"))
    assert "is on its way" in desk.text
    assert (await postbox.next()).to == address
    assert (await game.client().log_in("Email", address, OLD))["newUser"] == "false"
    for _ in range(3):
        await desk.of_app(card(ada))
        await desk.act(card(ada, "/reset-mail"))
    assert desk.status == 422
    assert "quarter of an hour" in desk.text


async def test_an_account_is_secured_in_one_step(game: Game, desk: Desk, postbox: Postbox) -> None:
    ada, address = await with_mail(game, "Ada")
    thief = game.client()
    await thief.log_in("Email", address, OLD)
    await desk.of_app(card(ada))
    await desk.act(card(ada, "/secure"), reason="somebody else plays")
    assert "1 session ended. The old password opens nothing" in desk.text
    for client in (ada, thief):
        assert (await client.refused("time", "READ")).reason_code == 40356
    assert (await refused_login(thief, "Email", address, OLD)).reason_code == 40307
    token = postbox.link(await postbox.next()).rpartition("/")[2]
    answer = await game.http.post(f"/reset/{token}", data={"password": NEW, "repeat": NEW})
    assert answer.status_code == 200
    assert (await game.client().log_in("Email", address, NEW))["profileId"] == ada.profile_id
    [entry] = await do(game, "player_history", ada)
    assert (entry["reason"], entry["after"]["is_mailed"]) == ("somebody else plays", True)


async def test_without_a_mail_address_sessions_end_and_the_password_stays(game: Game, desk: Desk) -> None:
    ada = await named(game, "Ada")
    await desk.of_app(card(ada))
    await desk.act(card(ada, "/reset-mail"))
    assert desk.status == 422
    await desk.of_app(card(ada))
    await desk.act(card(ada, "/secure"), reason="somebody else plays")
    assert "1 session ended. No mail could be sent" in desk.text
    await ada.refused("time", "READ")


async def test_identities_are_unlinked_one_by_one(game: Game, desk: Desk) -> None:
    ada, address = await with_mail(game, "Ada")
    name = game.unique("ada")
    await ada.call(
        "identity", "ATTACH", externalId=name, authenticationType="Universal", authenticationToken="x" * 12
    )
    shown = await do(game, "player_show", ada)
    refs = {each["type"]: each["identity"] for each in shown["identities"]}
    await desk.of_app(card(ada))
    await desk.act(card(ada, "/identities/remove"), identity=refs["Email"], reason="left the address")
    assert "no longer logs in with Email" in desk.text
    game.clock.advance(1)
    await desk.act(card(ada, "/identities/remove"), identity=refs["Universal"], reason="x")
    assert (desk.status, "It is the last" in desk.text) == (422, True)
    await desk.of_app(card(ada))
    await desk.act(card(ada, "/identities/remove"), identity=refs["Universal"], reason="x", last="1")
    assert "nobody can log in as this player" in desk.text
    history = await do(game, "player_history", ada)
    assert (history[1]["before"], history[1]["after"]) == (["Email", "Universal"], ["Universal"])
    assert address not in json.dumps(history)


async def test_a_new_name_a_role_and_a_pin_are_undone_with_one_click(game: Game, desk: Desk) -> None:
    ada = await named(game, "Rude")
    await desk.of_app(card(ada))
    await desk.act(card(ada, "/name"), name="Player 5")
    assert "<h1><bdi>Player 5" in desk.page
    await undo(desk)
    assert "<h1><bdi>Rude" in desk.page
    assert [each["before"] for each in await do(game, "player_history", ada)] == ["Player 5", "Rude"]
    await desk.act(card(ada, "/name"), name="a\u202eb")
    assert desk.status == 422
    await desk.of_app(card(ada))
    await desk.act(card(ada, "/roles"), role="Moderator")
    assert await do(game, "player_role_list", ada) == ["Moderator"]
    await undo(desk)
    assert await do(game, "player_role_list", ada) == []
    await desk.act(card(ada, "/notes"), text="always kind", pinned="1")
    assert desk.page.count("always kind") == 2  # pinned, and in the list
    [kept] = await do(game, "player_note_list", ada)
    await desk.act(card(ada, "/notes/pin"), note=kept["note_id"], pinned="")
    assert desk.page.count("always kind") == 1
    await undo(desk)
    assert desk.page.count("always kind") == 2


async def undo(desk: Desk) -> None:
    """Click Undo."""
    desk.game.clock.advance(1)
    form = re.search(r'<form method="post" action="([^"]+)">(?:(?!</form>).)*Undo', desk.page, re.DOTALL)
    assert form is not None, desk.text
    fields = dict(re.findall(r'name="(\w+)" value="([^"]*)"', form[0]))
    await desk.post(form[1], **fields)
    assert desk.status == 200, desk.text


async def test_notes_are_of_whoever_wrote_them(game: Game, desk: Desk) -> None:
    ada, bob = await named(game, "Ada"), await named(game, "Bob")
    friend, other = await hired(game, "support"), await hired(game, "support")
    viewer = await hired(game, "viewer")
    await friend.of_app(card(ada))
    await friend.act(card(ada, "/notes"), text="<script>x</script> called twice")
    assert friend.name in friend.text
    assert "<script>x" not in friend.page
    [kept] = await do(game, "player_note_list", ada)
    await other.of_app(card(ada, "/notes"))
    assert "Remove" not in other.text
    await other.act(card(ada, "/notes/remove"), note=kept["note_id"])
    assert (other.status, "only they remove it" in other.text) == (422, True)
    await viewer.of_app(card(ada, "/notes"))
    assert "called twice" in viewer.text
    assert 'class="toolbar"' not in viewer.page
    exported = await do(game, "player_export", ada)
    assert "called twice" not in json.dumps(exported)
    await do(game, "player_merge", ada, target=bob.profile_id)
    assert [each["text"] for each in await do(game, "player_note_list", bob)] == [kept["text"]]
    await friend.of_app(card(bob, "/notes"))
    await friend.act(card(bob, "/notes/remove"), note=kept["note_id"])
    assert "The note is gone" in friend.text
    for text in ("", "x" * 4001):
        with pytest.raises(Refused):
            await do(game, "player_note_add", bob, text=text)


async def test_an_export_is_the_players_whole_document(game: Game, desk: Desk) -> None:
    ada = await named(game, "Ada")
    await desk.of_app(card(ada))
    told = json.loads(await desk.act(card(ada, "/export"), reason="asked by mail"))
    assert told["profileId"] == ada.profile_id
    assert told["services"]["playerState"]["players"]["playerName"] == "Ada"


async def test_nothing_is_deleted_before_the_name_is_typed(game: Game, desk: Desk) -> None:
    ada = await named(game, "Ada")
    await game.server.call("virtualCurrency", "AWARD_VC", ada.profile_id, vcId="coins", vcAmount=7)
    await game.core.audit.flush()
    await desk.of_app(card(ada, "/erase"))
    assert re.search(r"walletEntries\s+1\s+leaves\s+removes", desk.text)
    assert re.search(r"auditEvents\s+\d+\s+leaves\s+leaves: who got in", desk.text)
    for what in ("delete", "reset"):
        await desk.act(card(ada, f"/{what}"), reason="asked", confirm="ada")
        assert (desk.status, "nothing was done" in desk.text) == (422, True)
    assert (await do(game, "player_balances", ada))["coins"]["balance"] == 7
    await desk.of_app(card(ada, "/erase"))
    await desk.act(card(ada, "/reset"), reason="asked", confirm="Ada")
    assert "game data is gone" in desk.text
    await desk.act(card(ada, "/delete"), reason="asked", confirm="Ada")
    assert "is deleted" in desk.text
    with pytest.raises(Refused, match="no player"):
        await do(game, "player_show", ada)


async def test_a_merge_is_tried_out_and_changes_nothing_yet(game: Game, desk: Desk) -> None:
    old, new = await named(game, "Old"), await named(game, "New")
    third = await named(game, "Third")
    for player, amount in ((old, 30), (new, 12)):
        await game.server.call(
            "virtualCurrency", "AWARD_VC", player.profile_id, vcId="coins", vcAmount=amount
        )
        await player.call("friend", "ADD_FRIENDS", profileIds=[third.profile_id])
        await player.call("playerStatistics", "UPDATE", statistics={"wins": amount})
    await old.call("entity", "CREATE", entityType="hat", data={"a": 1}, acl={"other": 0})
    before = [await do(game, "player_size", each) for each in (old, new)]
    await desk.of_app(card(new, "/merge"), other=old.profile_id)
    assert desk.status == 200, desk.text
    for text in (
        r"coins 12 42",
        r"wins 12 42",
        r"friendships friend \d+ \d+ \d+ \d+",
        r"entities entity 1 0 1 0",
    ):
        assert re.search(text.replace(" ", r"\s+"), desk.text), (text, desk.text)
    assert [await do(game, "player_size", each) for each in (old, new)] == before
    assert await old.call("time", "READ")
    await desk.act(card(new, "/merge"), other=old.profile_id, reason="same person", confirm="New")
    assert desk.status == 422
    await desk.of_app(card(new, "/merge"), other=old.profile_id)
    preview = await do(game, "player_merge_preview", old, target=new.profile_id)
    await desk.act(card(new, "/merge"), other=old.profile_id, reason="same person", confirm="Old")
    assert "is one with this player" in desk.text
    after = {each["table"]: each["rows"] for each in await do(game, "player_size", new)}
    assert {each["table"]: each["after"] for each in preview["tables"]}.items() <= after.items()
    assert (await do(game, "player_balances", new))["coins"]["balance"] == 42
    await old.refused("time", "READ")


async def test_who_is_the_other_is_asked_when_many_fit(game: Game, desk: Desk) -> None:
    name = game.unique("Twin")
    one, two = await named(game, f"{name} a"), await named(game, f"{name} b")
    three = await named(game, f"{name} c")
    await desk.of_app(card(one, "/merge"), other=name)
    assert "Which of these" in desk.text
    assert two.profile_id in desk.page
    assert three.profile_id in desk.page
    await desk.of_app(card(one, "/merge"), other=one.profile_id)
    assert "Nobody else fits" in desk.text
    with pytest.raises(Refused, match="themself"):
        await do(game, "player_merge_preview", one, target=one.profile_id)


@pytest.mark.parametrize("typed", ["åda löv", "ÅDA LÖV", "Åda Löv", "åDA lÖV"])
async def test_a_name_is_found_in_any_case(game: Game, desk: Desk, typed: str) -> None:
    end = game.unique("x")[-6:]
    ada = await named(game, f"{end} Åda Lövelace")
    await desk.of_app("/search", q=f"{end.upper()} {typed}")
    assert ada.profile_id in desk.page


async def test_players_are_read_by_name_page_by_page(game: Game, desk: Desk) -> None:
    mark = game.unique("zz")
    ids = {}
    for name in ("c", "B", "a", "Ä", "b", ""):
        player = await game.player()
        if name:
            await player.call("playerState", "UPDATE_NAME", playerName=f"{mark}{name}")
        ids[str(player.profile_id)] = f"{mark}{name}" if name else ""
    for _ in range(2):
        player = await game.player()
        await player.call("playerState", "UPDATE_NAME", playerName=f"{mark}b0")
        ids[str(player.profile_id)] = f"{mark}b0"
    first = next(each for each, name in ids.items() if name == f"{mark}a")
    read = [first]
    while len(read) < 7:
        asked = {"app": APP_ID, "limit": 2, "after": read[-1]}
        rows = await actions.run(game.server_app, "player_by_name", asked)
        assert rows
        read += [row["profile_id"] for row in rows]
    named = [ids[each].removeprefix(mark) for each in read[:7] if each in ids]
    assert [name.lower() for name in named] == ["a", "b", "b", "b0", "b0", "c", "ä"]
    assert len(set(read[:7])) == 7
    await desk.of_app("/players", sort="name", after=first)
    assert desk.text.index(f"{mark}b0") < desk.text.index(f"{mark}c")
    assert desk.status == 200


async def test_a_mail_address_a_login_and_an_id_lead_straight_to_the_player(game: Game, desk: Desk) -> None:
    ada, address = await with_mail(game, "Ada")
    for text in (address, address.upper(), ada.profile_id, ada.profile_id[:13]):
        await desk.of_app("/search", q=text)
        assert "Open sessions" in desk.text, text


async def test_what_pages_ask_is_found_by_an_index(
    game: Game, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    if game.core.database.dialect != "sqlite":
        pytest.skip("the next test asks PostgreSQL")
    ada, bob = await named(game, "Ada"), await named(game, "Bob")
    await desk.of_app(card(ada))
    plans = Plans(game, monkeypatch)
    visits: list[tuple[str, dict[str, str]]] = [
        ("/search", {"q": "ad"}),
        ("/search", {"q": ada.profile_id[:6]}),
        ("/players", {"after": ada.profile_id}),
        *((card(ada, path), {}) for path in TABS),
        (card(ada, "/erase"), {}),
        (card(ada, "/merge"), {"other": bob.profile_id}),
    ]
    for path, query in visits:
        await desk.of_app(path, **query)
        assert desk.status == 200, desk.text
    assert len(plans.statements) > 50
    slow = plans.slow()
    assert not slow, "\n".join(slow)
    assert any("players_by_start_of_lower_name" in step for step in plans.steps())


async def test_a_name_in_any_case_is_found_by_an_index_of_postgresql(game: Game) -> None:
    if game.core.database.dialect == "sqlite":
        pytest.skip("the test before asks SQLite")
    sql = (
        "EXPLAIN SELECT profile_id FROM players WHERE app_id = 'x' AND name != '' "
        "AND lower(name) ~>=~ 'ad' AND lower(name) ~<~ 'ae' LIMIT 50"
    )
    async with game.core.database.write() as tx:
        await tx.run(sql_text("SET LOCAL enable_seqscan = off"))
        await tx.run(sql_text("SET LOCAL enable_bitmapscan = off"))
        rows = await tx.all(sql_text(sql))
    told = " ".join(str(row[0]) for row in rows)
    assert "players_by_start_of_lower_name" in told
    assert re.search(r"Index Cond: .*lower\(name\) ~>=~ 'ad'", told)
