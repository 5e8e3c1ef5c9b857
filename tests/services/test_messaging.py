"""messaging: one content, a place in the box of each who has it, deleted and read on each side alone."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import APP_TOML, Client, Game
from tests.plans import Plans
from tests.services.listening import ear

DAY = 24 * 3600


def declare(apps_folder: Path, text: str) -> None:
    (apps_folder / "test" / "app.toml").write_text(APP_TOML + text)


async def send(sender: Client, *to: Client, **content: Any) -> str:
    ids = [each.profile_id for each in to]
    sent = await sender.call(
        "messaging", "SEND_MESSAGE", toProfileIds=ids, contentJson=content or {"text": "hi"}
    )
    assert sent["actual"] == len(set(ids))
    msg_id: str = sent["msgId"]
    return msg_id


async def page(player: Client, **context: Any) -> list[dict[str, Any]]:
    answer = await player.call("messaging", "GET_MESSAGES_PAGE", context=context)
    items: list[dict[str, Any]] = answer["results"]["items"]
    return items


async def in_box(player: Client, box: str = "inbox") -> list[str]:
    return [item["msgId"] for item in await page(player, searchCriteria={"msgbox": box})]


async def counts(player: Client) -> tuple[int, int, int, int]:
    found = await player.call("messaging", "GET_MESSAGE_COUNTS")
    return (*found["inbox"].values(), *found["sent"].values())


async def named(game: Game, name: str) -> Client:
    player = await game.player()
    await player.call("playerState", "UPDATE_NAME", playerName=name)
    return player


# Sending and reading


async def test_a_message_lies_in_the_boxes_of_both(game: Game) -> None:
    ada, bob = await named(game, "Ada"), await game.player()
    content = {"subject": "s", "text": "Grüße \U0001f600"}
    sent = await ada.call(
        "messaging", "SEND_MESSAGE", toProfileIds=[bob.profile_id, bob.profile_id], contentJson=content
    )
    assert sent == {"requested": 1, "actual": 1, "msgId": sent["msgId"]}
    now, wanted = game.clock.ms(), [sent["msgId"]]
    got = await bob.call("messaging", "GET_MESSAGES", msgbox="inbox", msgIds=wanted)
    item = {
        "msgbox": "inbox",
        "msgId": sent["msgId"],
        "mbVer": 1,
        "mbCr": now,
        "mbUp": now,
        "msgVer": 1,
        "msgCr": now,
        "msgUp": now,
        "read": False,
        "message": {
            "from": {"id": ada.profile_id, "name": "Ada", "pic": None},
            "to": [bob.profile_id],
            "sentAt": now,
            "content": content,
        },
    }
    assert got == {"requested": 1, "actual": 1, "items": [item]}
    mine = await ada.call("messaging", "GET_MESSAGES", msgbox="sent", msgIds=wanted)
    assert mine["items"] == [{**item, "msgbox": "sent"}]
    assert (await counts(ada), await counts(bob)) == ((0, 0, 1, 0), (1, 1, 0, 0))
    assert (await ada.call("messaging", "GET_MESSAGE_BOXES"))["items"] == ["inbox", "sent"]


async def test_a_text_is_a_message_as_well(game: Game) -> None:
    ada = await game.player()
    sent = await ada.call("messaging", "SEND_MESSAGE_SIMPLE", toProfileIds=[ada.profile_id], text="to myself")
    assert sent["actual"] == 1
    both = await page(ada, sortCriteria={"msgbox": 1})
    assert [item["msgbox"] for item in both] == ["inbox", "sent"]
    assert both[0]["message"]["content"] == {"text": "to myself"}


async def test_real_time_connections_of_the_receivers_hear_of_it(game: Game) -> None:
    ada, bob = await named(game, "Ada"), await game.player()
    adas, bobs = await ear(ada), await ear(bob)
    msg_id = await send(ada, bob, text="hi")
    heard = await bobs.next()
    assert (heard["service"], heard["operation"]) == ("messaging", "INCOMING")
    [item] = (await bob.call("messaging", "GET_MESSAGES", msgbox="inbox", msgIds=[msg_id]))["items"]
    assert heard["data"].items() <= item.items()
    assert adas.heard.empty()


async def test_the_largest_message_fits_into_a_frame(game: Game) -> None:
    ada, others = await game.player(), [await game.player() for _ in range(5)]
    heard = await ear(others[0])
    text = "\U0001f600" * 2556
    await send(ada, *others, text=text)
    assert (await heard.next())["data"]["message"]["content"] == {"text": text}


async def test_content_may_come_as_text(game: Game) -> None:
    ada = await game.player()
    mine = [ada.profile_id]
    await ada.call("messaging", "SEND_MESSAGE", toProfileIds=mine, contentJson='{"text": "x"}')
    assert (await page(ada))[0]["message"]["content"] == {"text": "x"}
    for content in ("no json", "[1]", ""):
        refusal = await ada.refused("messaging", "SEND_MESSAGE", toProfileIds=mine, contentJson=content)
        assert refusal.reason_code == 40614
    assert (await ada.refused("messaging", "SEND_MESSAGE", toProfileIds=mine)).reason_code == 40358
    refusal = await ada.refused("messaging", "SEND_MESSAGE", toProfileIds=mine, contentJson=[1])
    assert refusal.reason_code == 40359


async def test_reading_marks_as_read_where_it_is_asked_for(game: Game) -> None:
    ada, bob = await game.player(), await game.player()
    first, second = await send(ada, bob), await send(ada, bob)
    for name, msg_id in (("markAsRead", first), ("markMessageRead", second)):
        read = {"msgbox": "inbox", "msgIds": [msg_id]}
        [item] = (await bob.call("messaging", "GET_MESSAGES", **read, **{name: False}))["items"]
        assert not item["read"]
        game.clock.advance(1)
        [item] = (await bob.call("messaging", "GET_MESSAGES", **read, **{name: True}))["items"]
        assert (item["read"], item["mbVer"], item["mbUp"]) == (True, 2, game.clock.ms())
        game.clock.advance(1)
        [again] = (await bob.call("messaging", "GET_MESSAGES", **read, **{name: True}))["items"]
        assert again == item
    assert await counts(bob) == (2, 0, 0, 0)


async def test_marking_and_deleting_count_what_is_there(game: Game) -> None:
    ada, bob = await game.player(), await game.player()
    msg_id = await send(ada, bob)
    named = {"msgbox": "inbox", "msgIds": [msg_id, "unknown", msg_id]}
    for _ in range(2):
        marked = await bob.call("messaging", "MARK_MESSAGES_READ", **named)
        assert marked == {"requested": 2, "actual": 1}
    assert await counts(bob) == (1, 0, 0, 0)
    assert await bob.call("messaging", "DELETE_MESSAGES", **named) == {"requested": 2, "actual": 1}
    assert await bob.call("messaging", "DELETE_MESSAGES", **named) == {"requested": 2, "actual": 0}
    assert await bob.call("messaging", "MARK_MESSAGES_READ", **named) == {"requested": 2, "actual": 0}
    assert await counts(bob) == (0, 0, 0, 0)
    refusal = await bob.refused("messaging", "GET_MESSAGES", msgbox="inbox", msgIds=[msg_id])
    assert (refusal.status, refusal.reason_code) == (400, 40595)
    assert await in_box(bob) == []


async def test_who_deletes_takes_nothing_from_others(game: Game) -> None:
    ada, bob = await game.player(), await game.player()
    msg_id = await send(ada, bob)
    await ada.call("messaging", "DELETE_MESSAGES", msgbox="sent", msgIds=[msg_id])
    assert (await in_box(ada, "sent"), await in_box(bob)) == ([], [msg_id])
    other = await send(ada, bob)
    await bob.call("messaging", "DELETE_MESSAGES", msgbox="inbox", msgIds=[msg_id, other])
    assert (await in_box(ada, "sent"), await in_box(bob)) == ([other], [])
    # What nobody has any more is gone.
    left = await game.server.call("messaging", "SYS_GET_MESSAGES", msgIds=[msg_id, other])
    assert [item["msgId"] for item in left["items"]] == [other]


async def test_nobody_reads_marks_or_deletes_what_is_in_others_boxes(game: Game) -> None:
    ada, bob, cyd = await game.player(), await game.player(), await game.player()
    msg_id = await send(ada, bob)
    for player, box in ((cyd, "inbox"), (cyd, "sent"), (ada, "inbox"), (bob, "sent")):
        these = {"msgbox": box, "msgIds": [msg_id]}
        assert (await player.refused("messaging", "GET_MESSAGES", **these)).reason_code == 40595
        for operation in ("MARK_MESSAGES_READ", "DELETE_MESSAGES"):
            assert (await player.call("messaging", operation, **these))["actual"] == 0
    assert await page(cyd) == []
    assert len(await page(bob)) == 1
    for operation in ("GET_MESSAGES", "MARK_MESSAGES_READ", "DELETE_MESSAGES"):
        refusal = await bob.refused("messaging", operation, msgbox="outbox", msgIds=[msg_id])
        assert refusal.reason_code == 40660
    for operation in ("GET_MESSAGE_COUNTS", "GET_MESSAGE_BOXES"):
        assert (await game.client().refused("messaging", operation)).reason_code == 40304


# Words that nobody wants to read


@pytest.fixture
def masking(apps_folder: Path) -> None:
    declare(apps_folder, '[profanity]\nmessages = "mask"\nwords.en = ["darn"]\n')


@pytest.mark.usefixtures("masking")
async def test_words_are_hidden_where_the_app_wants_that(game: Game) -> None:
    ada, bob = await game.player(), await game.player()
    await send(ada, bob, subject="d.a.r.n", text="oh darn it", rich={"text": "darn"})
    await game.server.call(
        "messaging",
        "SYS_SEND_MESSAGE_SIMPLE",
        toProfileIds=[bob.profile_id],
        text="darn",
        fromJson={"name": "x"},
    )
    of_ada, of_system = sorted(await page(bob), key=lambda item: item["message"]["from"]["id"] is None)
    assert of_ada["message"]["content"]["text"] == "oh **** it"
    assert "a" not in of_ada["message"]["content"]["subject"]
    assert of_ada["message"]["content"]["rich"] == {"text": "darn"}
    assert of_system["message"]["content"] == {"text": "darn"}


@pytest.fixture
def refusing(apps_folder: Path) -> None:
    declare(apps_folder, '[profanity]\nmessages = "refuse"\nwords.en = ["darn"]\n')


@pytest.mark.usefixtures("refusing")
async def test_words_are_refused_where_the_app_wants_that(game: Game) -> None:
    ada, bob = await game.player(), await game.player()
    to = {"toProfileIds": [bob.profile_id]}
    for operation, what in (
        ("SEND_MESSAGE", {"contentJson": {"text": "d4rn"}}),
        ("SEND_MESSAGE_SIMPLE", {"text": "darn"}),
    ):
        assert (await ada.refused("messaging", operation, **to, **what)).reason_code == 40425
    assert await counts(bob) == (0, 0, 0, 0)
    await send(ada, bob, text="darning socks, \uc548\ub155")


# Limits


async def test_a_message_goes_to_so_many_and_only_to_players_who_want_it(game: Game) -> None:
    ada, bob, cyd = await game.player(), await game.player(), await game.player()
    many = [game.unique("p") for _ in range(6)]
    for operation, what in (("SEND_MESSAGE", {"contentJson": {}}), ("SEND_MESSAGE_SIMPLE", {"text": "x"})):
        refusal = await ada.refused("messaging", operation, toProfileIds=many, **what)
        assert (refusal.status, refusal.reason_code) == (400, 40621)
    await bob.call("friend", "BLOCK_USERS", profileIds=[ada.profile_id])
    sent = await ada.call(
        "messaging",
        "SEND_MESSAGE_SIMPLE",
        toProfileIds=[bob.profile_id, cyd.profile_id, "nobody"],
        text="x",
    )
    assert (sent["requested"], sent["actual"]) == (3, 1)
    assert (await in_box(bob), await in_box(cyd)) == ([], [sent["msgId"]])
    assert (await page(ada))[0]["message"]["to"] == [cyd.profile_id]


async def test_content_has_a_size(game: Game) -> None:
    ada = await game.player()
    text = "x" * (10 << 10)
    for operation, what in (
        ("SEND_MESSAGE", {"contentJson": {"text": text}}),
        ("SEND_MESSAGE_SIMPLE", {"text": text}),
    ):
        refusal = await ada.refused("messaging", operation, toProfileIds=[ada.profile_id], **what)
        assert refusal.reason_code == 40600


@pytest.fixture
def few(apps_folder: Path) -> None:
    declare(apps_folder, "[quotas]\nmessages = 2\nmessages_per_minute = 5\n")


@pytest.mark.usefixtures("few")
async def test_a_full_box_takes_no_more(game: Game) -> None:
    ada, bob = await game.player(), await game.player()
    mine = [await send(ada, bob) for _ in range(2)]
    refusal = await ada.refused("messaging", "SEND_MESSAGE_SIMPLE", toProfileIds=[bob.profile_id], text="x")
    assert refusal.reason_code == 40371
    cyd = await game.player()
    sent = await cyd.call("messaging", "SEND_MESSAGE_SIMPLE", toProfileIds=[bob.profile_id], text="x")
    assert (sent["requested"], sent["actual"]) == (1, 0)
    await bob.call("messaging", "DELETE_MESSAGES", msgbox="inbox", msgIds=mine[:1])
    await send(cyd, bob)
    # The system's come whatever there is.
    system = {"toProfileIds": [bob.profile_id], "text": "x", "fromJson": {"name": "Admin"}}
    assert (await game.server.call("messaging", "SYS_SEND_MESSAGE_SIMPLE", None, **system))["actual"] == 1
    assert await counts(bob) == (3, 3, 0, 0)


@pytest.mark.usefixtures("few")
async def test_a_player_sends_so_many_messages_in_a_minute(game: Game) -> None:
    ada, bob = await game.player(), await game.player()
    for _ in range(5):
        msg_id = await send(ada, bob)
        for player, box in ((ada, "sent"), (bob, "inbox")):
            await player.call("messaging", "DELETE_MESSAGES", msgbox=box, msgIds=[msg_id])
    for operation, what in (("SEND_MESSAGE", {"contentJson": {}}), ("SEND_MESSAGE_SIMPLE", {"text": "x"})):
        refusal = await ada.refused("messaging", operation, toProfileIds=[bob.profile_id], **what)
        assert refusal.reason_code == 40823
    game.clock.advance(60)
    await send(ada, bob)


# Pages


async def test_pages_are_searched_by_box_by_sender_and_by_receiver(game: Game) -> None:
    ada, bob, cyd = await game.player(), await game.player(), await game.player()
    to_bob, from_cyd = await send(ada, bob, text="one"), await send(cyd, ada, text="two")
    game.clock.advance(1)
    to_both = await send(ada, bob, cyd, text="three")
    assert {item["msgId"] for item in await page(ada)} == {to_bob, from_cyd, to_both}
    assert (await page(ada))[0]["msgId"] == to_both  # the newest first
    with_bob = {"$or": [{"message.from.id": bob.profile_id}, {"message.to": bob.profile_id}]}
    found = await page(ada, searchCriteria=with_bob, sortCriteria={"mbCr": 1, "mbUp": -1})
    assert [item["msgId"] for item in found] == [to_bob, to_both]
    [unread] = await page(ada, searchCriteria={"msgbox": "inbox", "read": False})
    assert unread["msgId"] == from_cyd
    [said] = await page(ada, searchCriteria={"message.content.text": "one"})
    assert said["msgId"] == to_bob


async def test_pages_follow_each_other(game: Game) -> None:
    ada = await game.player()
    for n in range(3):
        await ada.call("messaging", "SEND_MESSAGE", toProfileIds=[], contentJson={"n": n})
        game.clock.advance(1)
    first = await ada.call("messaging", "GET_MESSAGES_PAGE", context={"pagination": {"rowsPerPage": 2}})
    assert [item["message"]["content"]["n"] for item in first["results"]["items"]] == [2, 1]
    assert (first["results"]["count"], first["results"]["moreAfter"]) == (3, True)
    second = await ada.call("messaging", "GET_MESSAGES_PAGE_OFFSET", context=first["context"], pageOffset=1)
    assert [item["message"]["content"]["n"] for item in second["results"]["items"]] == [0]
    bob = await game.player()
    others = await bob.call("messaging", "GET_MESSAGES_PAGE_OFFSET", context=first["context"], pageOffset=1)
    assert others["results"]["items"] == []


@pytest.mark.parametrize(
    ("operation", "more"),
    [
        ("GET_MESSAGES_PAGE", {}),
        ("GET_MESSAGES_PAGE_OFFSET", {}),
        ("SYS_GET_MESSAGES_PAGE", {}),
        ("SYS_GET_MESSAGES_PAGE_OFFSET", {}),
        ("SYS_GET_MESSAGES_FOR_OWNER_PAGE", {"ownerId": "x"}),
        ("SYS_GET_MESSAGES_FOR_OWNER_PAGE_OFFSET", {"ownerId": "x"}),
    ],
)
async def test_contexts_and_searches_that_are_none_are_refused(
    game: Game, operation: str, more: dict[str, Any]
) -> None:
    ada = await game.player()
    for context, code in (
        ("no context", 40383),
        ({"pagination": 5}, 40384),
        ({"searchCriteria": {"read": {"$x": 1}}}, 40349),
        ({"searchCriteria": {"message.$x": 1}}, 40347),
    ):
        if operation.startswith("SYS_"):
            refusal = await game.server.refused("messaging", operation, None, context=context, **more)
        else:
            refusal = await ada.refused("messaging", operation, context=context)
        assert refusal.reason_code == code
    if operation.startswith("SYS_"):
        assert (await ada.refused("messaging", operation, **more)).reason_code == 40346


# The system


async def test_the_system_writes_to_players(game: Game) -> None:
    ada, bob = await game.player(), await game.player()
    heard = await ear(bob)
    to = {"toProfileIds": [ada.profile_id, bob.profile_id, "nobody"]}
    sender = {"fromJson": {"id": None, "name": "Admin", "pic": "https://host.example/a.png"}}
    sent = await game.server.call(
        "messaging", "SYS_SEND_MESSAGE", None, **to, contentJson={"text": "news"}, **sender
    )
    assert (sent["requested"], sent["actual"]) == (3, 2)
    assert (await heard.next())["data"]["msgId"] == sent["msgId"]
    [item] = await page(bob)
    assert item["message"]["from"] == {"id": None, "name": "Admin", "pic": "https://host.example/a.png"}
    assert await page(ada, searchCriteria={"message.from.id": None}) != []
    assert await counts(ada) == (1, 1, 0, 0)
    for operation, what in (
        ("SYS_SEND_MESSAGE", {"contentJson": {"text": "x"}}),
        ("SYS_SEND_MESSAGE_SIMPLE", {"text": "x"}),
    ):
        for from_json, code in (({"id": "x", "name": "A"}, 40617), ({"name": ""}, 40618), ({}, 40618)):
            refusal = await game.server.refused(
                "messaging", operation, None, **to, **what, fromJson=from_json
            )
            assert refusal.reason_code == code
        many: dict[str, Any] = {"toProfileIds": [game.unique("p") for _ in range(6)], **what, **sender}
        assert (await game.server.refused("messaging", operation, None, **many)).reason_code == 40621
        long: Any = "x" * (10 << 10)
        large = {**to, **sender, "text": long, "contentJson": {"text": long}}
        assert (await game.server.refused("messaging", operation, None, **large)).reason_code == 40600
        assert (await ada.refused("messaging", operation, **to, **what, **sender)).reason_code == 40346
    refusal = await game.server.refused(
        "messaging", "SYS_SEND_MESSAGE", None, **to, **sender, contentJson="no json"
    )
    assert refusal.reason_code == 40614


async def test_servers_change_and_delete_what_all_have(game: Game) -> None:
    ada, bob = await game.player(), await game.player()
    msg_id = await send(ada, bob, text="old")
    one: dict[str, Any] = {"msgId": msg_id, "msgVer": 1}
    game.clock.advance(1)
    changed = await game.server.call(
        "messaging", "SYS_UPDATE_MESSAGE", None, **one, contentJson={"text": "new"}
    )
    assert changed == {"requested": 1, "actual": 1, "msgId": msg_id}
    for player in (ada, bob):
        [item] = await page(player)
        assert (item["message"]["content"], item["msgVer"], item["mbVer"]) == ({"text": "new"}, 2, 1)
        assert item["msgUp"] == game.clock.ms()
    no_content: dict[str, Any] = {"contentJson": {}}
    for operation, more in (("SYS_UPDATE_MESSAGE", no_content), ("SYS_DELETE_MESSAGE", {})):
        refusal = await game.server.refused("messaging", operation, None, **one, **more)
        assert refusal.reason_code == 40598
        assert (await ada.refused("messaging", operation, **one, **more)).reason_code == 40346
    for content, code in (("no json", 40614), ({"text": "x" * (10 << 10)}, 40600)):
        refusal = await game.server.refused(
            "messaging", "SYS_UPDATE_MESSAGE", None, msgId=msg_id, contentJson=content
        )
        assert refusal.reason_code == code
    unknown = {"msgId": "unknown", "msgVer": -1}
    changed = await game.server.call("messaging", "SYS_UPDATE_MESSAGE", None, **unknown, contentJson={})
    assert changed["actual"] == 0
    refusal = await game.server.refused("messaging", "SYS_DELETE_MESSAGE", None, **unknown)
    assert refusal.reason_code == 40595
    assert await game.server.call("messaging", "SYS_DELETE_MESSAGE", None, msgId=msg_id, msgVer=-1) == {}
    assert await page(ada) == await page(bob) == []
    assert await counts(bob) == (0, 0, 0, 0)


async def test_servers_read_and_delete_several(game: Game) -> None:
    ada, bob = await game.player(), await game.player()
    sent = [await send(ada, bob, n=n) for n in range(2)]
    got = await game.server.call("messaging", "SYS_GET_MESSAGES", None, msgIds=[*sent, "unknown"])
    assert (got["requested"], got["actual"]) == (3, 2)
    assert {item["msgId"] for item in got["items"]} == set(sent)
    assert got["items"][0]["message"]["from"]["id"] == ada.profile_id
    deleted = await game.server.call("messaging", "SYS_DELETE_MESSAGES", None, msgIds=[*sent, "unknown"])
    assert deleted == {"requested": 3, "actual": 2}
    assert await page(bob) == []
    for operation in ("SYS_GET_MESSAGES", "SYS_DELETE_MESSAGES"):
        assert (await ada.refused("messaging", operation, msgIds=sent)).reason_code == 40346
        many = [str(n) for n in range(501)]
        refusal = await game.server.refused("messaging", operation, None, msgIds=many)
        assert refusal.reason_code == 40660


async def test_servers_read_pages_of_a_player_and_of_all(game: Game) -> None:
    ada, bob, word = await game.player(), await game.player(), game.unique("word")
    for n in range(3):
        await send(ada, bob, word=word, n=n)
        game.clock.advance(1)
    context: dict[str, Any] = {
        "pagination": {"rowsPerPage": 2},
        "searchCriteria": {"message.content.word": word},
        "sortCriteria": {"mbCr": 1},
    }
    for operation, more in (
        ("SYS_GET_MESSAGES_PAGE", {}),
        ("SYS_GET_MESSAGES_FOR_OWNER_PAGE", {"ownerId": bob.profile_id}),
    ):
        first = await game.server.call("messaging", operation, None, context=context, **more)
        assert [item["message"]["content"]["n"] for item in first["results"]["items"]] == [0, 1]
        assert first["results"]["count"] == 3  # each once, though it is in two boxes
        second = await game.server.call(
            "messaging", f"{operation}_OFFSET", None, context=first["context"], pageOffset=1, **more
        )
        assert [item["message"]["content"]["n"] for item in second["results"]["items"]] == [2]


@pytest.fixture
def owners_only(apps_folder: Path) -> None:
    declare(apps_folder, "[messaging]\nowner_pages_only = true\n")


@pytest.mark.usefixtures("owners_only")
async def test_an_app_may_let_servers_read_one_player_at_a_time(game: Game) -> None:
    for operation in ("SYS_GET_MESSAGES_PAGE", "SYS_GET_MESSAGES_PAGE_OFFSET"):
        assert (await game.server.refused("messaging", operation, None)).reason_code == 40001
    ada = await game.player()
    found = await game.server.call(
        "messaging", "SYS_GET_MESSAGES_FOR_OWNER_PAGE", None, ownerId=ada.profile_id
    )
    assert found["results"]["items"] == []


@pytest.fixture
def off(apps_folder: Path) -> None:
    declare(apps_folder, "[messaging]\nenabled = false\n")


@pytest.mark.usefixtures("off")
async def test_an_app_may_have_no_messages(game: Game) -> None:
    ada = await game.player()
    box: dict[str, Any] = {"msgbox": "inbox", "msgIds": []}
    to: dict[str, Any] = {"toProfileIds": [], "contentJson": {}, "text": "", "fromJson": {"name": "A"}}
    for operation, data in (
        ("GET_MESSAGE_BOXES", {}),
        ("GET_MESSAGE_COUNTS", {}),
        ("GET_MESSAGES", box),
        ("MARK_MESSAGES_READ", box),
        ("DELETE_MESSAGES", box),
        ("GET_MESSAGES_PAGE", {}),
        ("GET_MESSAGES_PAGE_OFFSET", {}),
        ("SEND_MESSAGE", to),
        ("SEND_MESSAGE_SIMPLE", to),
    ):
        assert (await ada.refused("messaging", operation, **data)).reason_code == 40601
    for operation, data in (
        ("SYS_SEND_MESSAGE", to),
        ("SYS_SEND_MESSAGE_SIMPLE", to),
        ("SYS_UPDATE_MESSAGE", {"msgId": "x", "contentJson": {}}),
        ("SYS_DELETE_MESSAGE", {"msgId": "x"}),
        ("SYS_DELETE_MESSAGES", {"msgIds": []}),
        ("SYS_GET_MESSAGES", {"msgIds": []}),
        ("SYS_GET_MESSAGES_PAGE", {}),
        ("SYS_GET_MESSAGES_PAGE_OFFSET", {}),
        ("SYS_GET_MESSAGES_FOR_OWNER_PAGE", {"ownerId": "x"}),
        ("SYS_GET_MESSAGES_FOR_OWNER_PAGE_OFFSET", {"ownerId": "x"}),
    ):
        assert (await game.server.refused("messaging", operation, None, **data)).reason_code == 40601


# Time, and players who go


async def test_old_messages_are_forgotten(game: Game) -> None:
    ada, bob = await game.player(), await game.player()
    msg_id = await send(ada, bob)
    game.clock.advance(365 * DAY + 1)
    await game.run_jobs("messaging.forget_boxes", "messaging.forget")
    assert (await game.server.call("messaging", "SYS_GET_MESSAGES", None, msgIds=[msg_id]))["actual"] == 0
    found = await game.server.call(
        "messaging", "SYS_GET_MESSAGES_FOR_OWNER_PAGE", None, ownerId=bob.profile_id
    )
    assert found["results"]["items"] == []


async def test_the_messages_of_a_deleted_player_are_gone_and_name_them_no_more(game: Game) -> None:
    ada, bob, cyd = await game.player(), await game.player(), await game.player()
    await send(ada, bob)
    kept = await send(cyd, ada, bob)
    await ada.call("playerState", "FULL_PLAYER_RESET")
    [item] = await page(bob)
    assert (item["msgId"], item["message"]["to"]) == (kept, [bob.profile_id])
    assert await counts(bob) == (1, 1, 0, 0)


async def test_messages_go_with_a_player_who_becomes_another(game: Game) -> None:
    name = game.unique("name")
    ada, bob, cyd = await game.player(), game.client(), await game.player()
    await bob.log_in("Universal", name, "password")
    sent, got = await send(bob, cyd), await send(cyd, bob)
    await ada.call(
        "identity",
        "MERGE",
        authenticationType="Universal",
        externalId=name,
        authenticationToken="password",
    )
    assert (await in_box(ada, "sent"), await in_box(ada)) == ([sent], [got])
    [item] = await page(cyd, searchCriteria={"msgbox": "inbox"})
    assert item["message"]["from"]["id"] == ada.profile_id
    [item] = await page(cyd, searchCriteria={"msgbox": "sent"})
    assert item["message"]["to"] == [ada.profile_id]


async def from_system(game: Game, *to: Client) -> str:
    sent = await game.server.call(
        "messaging",
        "SYS_SEND_MESSAGE_SIMPLE",
        None,
        toProfileIds=[each.profile_id for each in to],
        text="hello",
        fromJson={"id": None, "name": "Town hall"},
    )
    msg_id: str = sent["msgId"]
    return msg_id


async def of_all(game: Game, msg_id: str) -> int:
    """How often a message is on the pages of all messages."""
    context = {"searchCriteria": {"msgId": msg_id}}
    found = await game.server.call("messaging", "SYS_GET_MESSAGES_PAGE", None, context=context)
    return len(found["results"]["items"])


async def test_servers_still_read_messages_of_whose_receivers_some_are_gone(game: Game) -> None:
    players = [await game.player() for _ in range(3)]
    players.sort(key=lambda player: player.profile_id)
    msg_id = await from_system(game, *players)
    for player in players[:2]:
        assert await of_all(game, msg_id) == 1
        await player.call("playerState", "FULL_PLAYER_RESET")
    assert await of_all(game, msg_id) == 1
    await players[2].call("messaging", "DELETE_MESSAGES", msgbox="inbox", msgIds=[msg_id])
    assert await of_all(game, msg_id) == 0


async def test_a_message_that_only_the_deleted_had_is_gone(game: Game) -> None:
    ada, bob = await game.player(), await game.player()
    msg_id = await from_system(game, ada, bob)
    await bob.call("messaging", "DELETE_MESSAGES", msgbox="inbox", msgIds=[msg_id])
    await ada.call("playerState", "FULL_PLAYER_RESET")
    assert (await game.server.call("messaging", "SYS_GET_MESSAGES", None, msgIds=[msg_id]))["actual"] == 0


@pytest.mark.parametrize("is_lower", [True, False])
async def test_a_message_to_two_who_become_one_is_there_once(game: Game, *, is_lower: bool) -> None:
    name = game.unique("name")
    ada, bob = await game.player(), game.client()
    await bob.log_in("Universal", name, "password")
    while (bob.profile_id < ada.profile_id) != is_lower:
        ada = await game.player()
    msg_id = await from_system(game, ada, bob)
    login = {"authenticationType": "Universal", "externalId": name, "authenticationToken": "password"}
    await ada.call("identity", "MERGE", **login)
    assert await in_box(ada) == [msg_id]
    assert await of_all(game, msg_id) == 1


async def test_two_who_write_to_each_other_at_once_do_not_wait_for_each_other(game: Game) -> None:
    ada, bob = await game.player(), await game.player()
    both = [(ada, bob), (bob, ada)]
    for _ in range(10):
        await asyncio.gather(
            *(
                sender.packet(
                    *(
                        ("messaging", "SEND_MESSAGE_SIMPLE", {"toProfileIds": [to.profile_id], "text": "x"})
                        for to in (receiver, sender)
                    )
                )
                for sender, receiver in both
            )
        )
    assert await counts(ada) == await counts(bob) == (20, 20, 20, 0)


async def test_no_call_of_a_player_reads_rows_of_others(game: Game, monkeypatch: pytest.MonkeyPatch) -> None:
    if game.core.database.dialect != "sqlite":
        pytest.skip("PostgreSQL chooses by the size of the table")
    ada, bob = await game.player(), await game.player()
    plans = Plans(game, monkeypatch)
    these: dict[str, Any] = {"msgbox": "inbox", "msgIds": [await send(ada, bob)]}
    await counts(bob)
    await page(bob, searchCriteria={"msgbox": "inbox"})
    for operation in ("MARK_MESSAGES_READ", "GET_MESSAGES", "DELETE_MESSAGES"):
        await bob.call("messaging", operation, **these)
    await bob.call("event", "SEND", toId=bob.profile_id, eventType="a")
    await ada.call("event", "SEND", toId=bob.profile_id, eventType="a")
    await bob.call("event", "GET_EVENTS")
    for operation in ("DELETE_INCOMING_EVENTS_OLDER_THAN", "DELETE_INCOMING_EVENTS_BY_TYPE_OLDER_THAN"):
        await bob.call("event", operation, dateMillis=game.clock.ms(), eventType="a")
    await bob.call("event", "DELETE_INCOMING_EVENTS", evIds=["x"])
    await bob.call("playerState", "READ")
    slow = plans.slow()
    assert not slow, "\n".join(slow)
