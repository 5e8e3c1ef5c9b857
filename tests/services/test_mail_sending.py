"""The service mail: what is sent, to whom, and to whom not."""

import base64
import email
import email.policy
import logging
from email.message import EmailMessage
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import delete

from gameserver.admin import actions
from gameserver.domain.social.notices import TournamentOver, tell_over
from gameserver.jobs.storage import jobs
from gameserver.players.mail import Letter, Mail, MailNotSent, MailRefused, message_of
from gameserver.services.mail.base import MailParams, Stored, write
from tests.conftest import APP_ID, APP_TOML, Client, Game

MAIL = "mail"
SETTINGS = """
[mail]
from_address = "support@example.com"
from_name = "Support"
[mail.templates]
greeting = "mail/greeting.txt"
[group.types.club]
"""
FILE = base64.b64encode(b"text").decode()
PUBLIC = "https://game.example.com"


@pytest.fixture
def apps_folder(apps_folder: Path) -> Path:
    home = apps_folder / "test"
    (home / "mail").mkdir()
    (home / "mail" / "greeting.txt").write_text("Subject: Hi {user_name}\n\nHello {name}! {link}\n")
    (home / "mail" / "greeting.fr.txt").write_text("Subject: Salut {user_name}\n\nBonjour {name}\n")
    (home / "mail" / "greeting.html").write_text("<p>Hello {user_name}</p>")
    (home / "app.toml").write_text(APP_TOML + SETTINGS)
    return apps_folder


@pytest.fixture(autouse=True)
async def nothing_waits(game: Game) -> None:
    """Other tests on the same database may have left work behind."""
    async with game.core.database.write() as tx:
        await tx.run(delete(jobs).where(jobs.c.name == "mail.send"))


async def player(game: Game, address: str = "", **facts: Any) -> Client:
    """A player with a contact address, if one is given."""
    made = await game.player(**facts)
    if address:
        await made.call("playerState", "UPDATE_CONTACT_EMAIL", contactEmail=address)
    return made


async def work(game: Game) -> None:
    await game.run_jobs("mail.send")


def letters(tmp_path: Path) -> list[EmailMessage]:
    """What lies in the outbox, the oldest first."""
    found = [
        email.message_from_bytes(file.read_bytes(), policy=email.policy.default)
        for file in sorted((tmp_path / "data" / "outbox").glob("*.eml"))
    ]
    return sorted(found, key=lambda letter: (str(letter["Date"]), str(letter["To"])))


def text(letter: EmailMessage) -> str:
    part = letter.get_body(("plain",))
    assert part is not None
    return str(part.get_content()).replace("\r\n", "\n").strip()


async def states(game: Game, sender: Client) -> list[tuple[str, str]]:
    """What became of what a player has sent."""
    equal = {"sender_id": str(sender.profile_id)}
    rows = await actions.mail_list(game.server_app, APP_ID, 100, equal=equal)
    return [(row["state"], row["reason"]) for row in rows]


async def test_a_text_reaches_the_contact_address(
    game: Game, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    address = f"{game.unique('bob')}@example.com"
    ada, bob = await player(game), await player(game, address)
    sent = {"profileId": bob.profile_id, "subject": "Grüße", "body": "line\nanother ü"}
    assert await ada.call(MAIL, "SEND_BASIC_EMAIL", **sent) == {}
    await work(game)
    await work(game)
    [letter] = letters(tmp_path)
    assert (letter["To"], letter["Subject"]) == (address, "Grüße")
    assert letter["From"] == "Support <support@example.com>"
    assert text(letter) == "line\nanother ü"
    assert UUID(str(letter["Message-ID"])[1:37])
    [row] = await actions.mail_list(game.server_app, APP_ID, 1, equal={"receiver_id": str(bob.profile_id)})
    assert (row["state"], row["sender_id"]) == ("sent", ada.profile_id)
    assert address not in caplog.text
    told = await actions.player_export(game.server_app, APP_ID, str(bob.profile_id))
    assert told["services"]["mail"]["letters"][0]["content"] == {}  # it is sent, and not kept


async def test_an_advanced_mail_is_filled_and_dressed(game: Game, tmp_path: Path) -> None:
    address = f"{game.unique('bob')}@example.com"
    bob = await player(game, address, languageCode="fr-CA")
    await bob.call("playerState", "UPDATE_NAME", playerName="Bob")
    params = {
        "fromAddress": "email@example.com",
        "fromName": "Jane Doe",
        "replyToAddress": "optional@example.com",
        "replyToName": "Optional ReplyTo",
        "cc": ["copy@example.com"],
        "templateId": "greeting",
        "dynamicData": {"user": {"name": "<John>"}},
        "categories": ["category1", "category2"],
        "attachments": [
            {"content": base64.b64encode(b"text").decode(), "filename": "a.txt", "type": "text/plain"}
        ],
        "unheardOf": 1,
    }
    assert (
        await game.server.call(
            MAIL, "SEND_ADVANCED_EMAIL", profileId=str(bob.profile_id), serviceParams=params
        )
        == {}
    )
    await work(game)
    [letter] = letters(tmp_path)
    assert letter["From"] == "Jane Doe <email@example.com>"
    assert letter["Reply-To"] == "Optional ReplyTo <optional@example.com>"
    assert (letter["To"], letter["Cc"], letter["Subject"]) == (address, "copy@example.com", "Salut <John>")
    assert text(letter) == "Bonjour Bob"
    assert letter.get_all("X-Category") == ["category1", "category2"]
    [file] = letter.iter_attachments()
    assert (file.get_filename(), file.get_content()) == ("a.txt", "text")


async def test_clients_do_not_choose_who_it_is_from(game: Game, tmp_path: Path) -> None:
    ada, to = await player(game), [f"{game.unique('x')}@example.com" for _ in range(2)]
    params = {
        "fromAddress": "boss@example.com",
        "subject": "Hi :name",
        "body": "<p>Hi :name, <a href='https://host.example'>here</a> &amp; now</p>",
        "useHtml": True,
        "substitutions": {":name": "<b>\nJohn"},
    }
    sent = {"emailAddresses": [*to, to[0]], "serviceParams": params}
    assert await ada.call(MAIL, "SEND_ADVANCED_EMAIL_BY_ADDRESSES", **sent) == {}
    await work(game)
    found = letters(tmp_path)
    assert sorted(str(letter["To"]) for letter in found) == sorted(to)  # each by itself
    assert {str(letter["From"]) for letter in found} == {"Support <support@example.com>"}
    assert {str(letter["Subject"]) for letter in found} == {"Hi <b> John"}
    page = found[0].get_body(("html",))
    assert page is not None
    assert "Hi &lt;b&gt;\nJohn, <a href" in page.get_content().replace("\r\n", "\n")
    assert text(found[0]) == "Hi <b>\nJohn, here & now"


async def test_what_cannot_be_mailed_is_refused(game: Game) -> None:
    ada = await player(game)
    me, good = ada.profile_id, {"subject": "s", "body": "b"}
    far = ["x@example.com"] * 21
    for params, code in (
        ({}, 40660),
        ({**good, "templateId": "none"}, 40375),
        ({**good, "cc": ["x"]}, 40736),
        ({**good, "cc": far}, 60201),
        ({**good, "bcc": far}, 60202),
        ({**good, "fromAddress": "x"}, 40485),
        ({**good, "fromName": "x"}, 40489),
        ({**good, "fromAddress": "a@example.com", "fromName": "x\r\nBcc: y"}, 40486),
        ({**good, "replyToAddress": "x"}, 40487),
        ({**good, "replyToName": "x\ny"}, 40488),
        ({**good, "subject": "x\r\nBcc: y@example.com"}, 40660),
        ({**good, "categories": ["x\ny"]}, 40660),
        ({**good, "attachments": [{"content": "?", "filename": "x"}]}, 40660),
        ({**good, "attachments": [{"content": "", "filename": "../x"}]}, 40660),
        ({**good, "attachments": [{"content": "A" * 800_000, "filename": "x"}]}, 40600),
        ({**good, "body": "x" * 300_000}, 40600),
    ):
        for operation, where in (
            ("SEND_ADVANCED_EMAIL", {"profileId": me}),
            ("SEND_ADVANCED_EMAIL_BY_ADDRESS", {"emailAddress": "x@example.com"}),
            ("SEND_ADVANCED_EMAIL_BY_ADDRESSES", {"emailAddresses": ["x@example.com"]}),
        ):
            refusal = await game.server.refused(MAIL, operation, serviceParams=params, **where)
            assert refusal.reason_code == code, (operation, params)
    for operation, data, code in (
        ("SEND_BASIC_EMAIL", {"profileId": "nobody", **good}, 40374),
        ("SEND_BASIC_EMAIL", {"profileId": me, "subject": "x\ny", "body": "b"}, 40660),
        ("SEND_BASIC_EMAIL", {"profileId": me, "subject": "s", "body": "x" * 300_000}, 40600),
        ("SEND_ADVANCED_EMAIL", {"profileId": "nobody", "serviceParams": good}, 40374),
        ("SEND_ADVANCED_EMAIL_BY_ADDRESS", {"emailAddress": "x\n@y", "serviceParams": good}, 40221),
        ("SEND_ADVANCED_EMAIL_BY_ADDRESSES", {"emailAddresses": ["x"], "serviceParams": good}, 40221),
    ):
        assert (await ada.refused(MAIL, operation, **data)).reason_code == code, (operation, data)


def test_substitutions_do_not_make_a_mail_grow_without_limit(game: Game) -> None:
    tenfold = {letter: after * 10 for letter, after in pairwise("abcdefghijk")}  # each in what the last left
    for params in (
        MailParams(subject="s", body="a", substitutions=tenfold),
        MailParams(subject="a", body="b", substitutions=dict(sorted(tenfold.items()))),
        MailParams(subject="s", body="x" * 200_000, substitutions={"x": "y" * 100_000}),
    ):
        with pytest.raises(MailRefused):
            write(game.app, "x@example.com", Stored(params=params), "en", {})


async def test_who_wants_no_mail_gets_none(game: Game, tmp_path: Path) -> None:
    address = f"{game.unique('bob')}@example.com"
    bob = await player(game, address)
    mine = {"profileId": bob.profile_id, "subject": "s", "body": "b"}
    await bob.call(MAIL, "SEND_BASIC_EMAIL", **mine)
    await work(game)
    [letter] = letters(tmp_path)
    link = str(letter["List-Unsubscribe"])[1:-1]
    path = link[link.index("/unsubscribe/") :]
    one_click = {"List-Unsubscribe": "One-Click"}
    assert (await game.http.get(path)).status_code == 200  # a look changes nothing
    assert (await game.http.post(path, data={"x": "y"})).status_code == 400
    for wrong in (path + "x", path.replace(APP_ID, "none"), "/unsubscribe/x/y"):
        assert (await game.http.get(wrong)).status_code == 410
        assert (await game.http.post(wrong, data=one_click)).status_code == 410
    await bob.call(MAIL, "SEND_BASIC_EMAIL", **mine)
    await work(game)
    assert len(letters(tmp_path)) == 2
    for _ in range(2):
        assert (await game.http.post(path, data=one_click)).status_code == 200
    await bob.call(MAIL, "SEND_BASIC_EMAIL", **mine)
    copied = {"subject": "s", "body": "b", "cc": [address.upper(), "other@example.com"]}
    await game.server.call(
        MAIL, "SEND_ADVANCED_EMAIL_BY_ADDRESS", emailAddress="third@example.com", serviceParams=copied
    )
    await work(game)
    assert len(letters(tmp_path)) == 3
    assert str(letters(tmp_path)[-1]["Cc"]) == "other@example.com"
    assert ("not_sent", "Unsubscribed") in await states(game, bob)


def test_one_click_is_offered_where_the_link_is_safe() -> None:
    letter = Letter(to="a@example.com", subject="s", text="t", from_address="b@example.com")
    letter.unsubscribe_url = f"{PUBLIC}/unsubscribe/1/x"
    message = message_of(letter, 0)
    assert message["List-Unsubscribe"] == f"<{PUBLIC}/unsubscribe/1/x>"
    assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"


async def test_nobody_is_flooded(game: Game, tmp_path: Path) -> None:
    address = f"{game.unique('bob')}@example.com"
    ada, bob, eve = await player(game), await player(game, address), await player(game)
    good = {"subject": "s", "body": "b"}
    for _ in range(12):
        assert await ada.call(MAIL, "SEND_BASIC_EMAIL", profileId=bob.profile_id, **good) == {}
    await eve.call(MAIL, "SEND_BASIC_EMAIL", profileId=eve.profile_id, **good)  # without an address
    await bob.call("friend", "BLOCK_USERS", profileIds=[eve.profile_id])
    await eve.call(MAIL, "SEND_BASIC_EMAIL", profileId=bob.profile_id, **good)
    for _ in range(4):
        await work(game)
    assert len(letters(tmp_path)) == 10
    assert ("not_sent", "NoAddress") in await states(game, eve)
    many = [f"{number}@example.com" for number in range(9)]
    params = {**good, "bcc": ["copy@example.com"]}
    for operation, where in (
        ("SEND_ADVANCED_EMAIL_BY_ADDRESSES", {"emailAddresses": many}),
        ("SEND_ADVANCED_EMAIL_BY_ADDRESS", {"emailAddress": "x@example.com"}),
        ("SEND_ADVANCED_EMAIL", {"profileId": bob.profile_id}),
    ):
        refusal = await ada.refused(MAIL, operation, **where, serviceParams=params)
        assert refusal.reason_code == 40823
    refusal = await ada.refused(
        MAIL, "SEND_ADVANCED_EMAIL_BY_ADDRESSES", emailAddresses=many, serviceParams=params
    )
    assert refusal.reason_code == 40823
    assert (
        await ada.refused(MAIL, "SEND_BASIC_EMAIL", profileId=bob.profile_id, **good)
    ).reason_code == 40823


async def test_copies_flood_nobody_either(game: Game, tmp_path: Path) -> None:
    eve = f"{game.unique('eve')}@example.com"
    for number in range(6):
        ada = await player(game)
        params = {"subject": "s", "body": "b", "bcc": [eve], "cc": [eve]}
        to = [f"{game.unique('x')}{number}@example.com", f"{game.unique('y')}{number}@example.com"]
        await ada.call(MAIL, "SEND_ADVANCED_EMAIL_BY_ADDRESSES", emailAddresses=to, serviceParams=params)
    for _ in range(4):
        await work(game)
    found = letters(tmp_path)
    assert len(found) == 12
    assert sum(eve in str(letter["Cc"]) for letter in found) == 10


async def test_a_mail_server_that_is_away_is_tried_again(
    game: Game, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bob = await player(game, f"{game.unique('bob')}@example.com")
    real, ids = Mail.send, []

    async def send(self: Mail, app: Any, letter: Any) -> None:
        ids.append(letter.message_id)
        if len(ids) < 3:
            raise MailNotSent("away for the test")
        await real(self, app, letter)

    monkeypatch.setattr(Mail, "send", send)
    await bob.call(MAIL, "SEND_BASIC_EMAIL", profileId=bob.profile_id, subject="s", body="b")
    for _ in range(3):
        await work(game)
        game.clock.advance(60)
    assert (len(ids), len(set(ids))) == (3, 1)
    assert len(letters(tmp_path)) == 1
    monkeypatch.setattr(Mail, "send", lambda *_: _away())
    await bob.call(MAIL, "SEND_BASIC_EMAIL", profileId=bob.profile_id, subject="s", body="b")
    for _ in range(10):
        await work(game)
        game.clock.advance(1100)
    assert ("failed", "NotTaken") in await states(game, bob)


async def _away() -> None:
    raise MailNotSent("away for the test")


async def test_a_tournament_that_is_over_is_mailed(game: Game, tmp_path: Path) -> None:
    address = f"{game.unique('bob')}@example.com"
    ada, bob = await player(game), await player(game, address, languageCode="fr")
    over = TournamentOver(
        app_id=APP_ID, board_id="race", version=3, code="t", of_groups=False,
        member_ids=[str(ada.profile_id), str(bob.profile_id)], push_id=None, mail={"en": "greeting"},
        now_ms=game.clock.ms(),
    )  # fmt: skip
    async with game.core.database.write() as tx:
        assert str(bob.profile_id) in await tell_over(game.core.hooks, tx, over)
    await work(game)
    [letter] = letters(tmp_path)
    assert (letter["To"], letter["Subject"]) == (address, "Salut {user_name}")
    club = (await bob.call("group", "CREATE_GROUP", name="Club", groupType="club"))["groupId"]
    of_clubs = over._replace(of_groups=True, member_ids=[club, "gone"], version=4)
    async with game.core.database.write() as tx:
        assert await tell_over(game.core.hooks, tx, of_clubs) == {club}
    await work(game)
    assert len(letters(tmp_path)) == 2
