"""Mail of logins: proven addresses, getting back in, and telling of changes."""

import asyncio
import time
from typing import Any

import pytest

from gameserver.players import links, resets
from gameserver.players.passwords import Busy
from tests.conftest import APP_ID, Client, Game
from tests.services.logins import (
    SERVICE,
    Define,
    Postbox,
    define,
    mails_are_out,
    outcome,
    own_address,
    postbox,
    refused_login,
)

__all__ = ["define", "own_address", "postbox"]  # fixtures


# Validated addresses


async def test_an_app_may_want_addresses_proven_first(game: Game, define: Define, postbox: Postbox) -> None:
    define("[login]\nvalidated_email_only = true\n")
    address = f"{game.unique('ada')}@example.com"
    refusal = await refused_login(game.client(), "Email", address, "secret")
    assert outcome(refusal) == (403, 40214)
    letter = await postbox.next()
    assert letter.to == address
    # not again for a wrong password, and no way around it
    assert (await refused_login(game.client(), "Email", address, "guess")).reason_code == 40307
    assert (await refused_login(game.client(), "Email", address, "secret")).reason_code == 40214
    link = postbox.link(letter)
    assert (await game.http.get(link)).status_code == 200
    assert (await refused_login(game.client(), "Email", address, "secret")).reason_code == 40214
    assert (await game.http.post(link)).status_code == 200
    answer = await game.client().log_in("Email", address, "secret", forceCreate=False)
    assert answer["emailAddress"] == address


async def test_two_first_logins_with_an_unproven_address(
    game: Game, define: Define, postbox: Postbox
) -> None:
    define("[login]\nvalidated_email_only = true\n")
    address = f"{game.unique('ada')}@example.com"
    refusals = await asyncio.gather(
        *(refused_login(game.client(), "Email", address, "secret") for _ in range(3))
    )
    assert {outcome(refusal) for refusal in refusals} == {(403, 40214)}
    link = postbox.link(await postbox.next())
    assert (await game.http.post(link)).status_code == 200
    assert (await game.client().log_in("Email", address, "secret"))["newUser"] == "false"


# Getting back in

EMAIL_RESETS = (
    "RESET_EMAIL_PASSWORD",
    "RESET_EMAIL_PASSWORD_ADVANCED",
    "RESET_EMAIL_PASSWORD_WITH_EXPIRY",
    "RESET_EMAIL_PASSWORD_ADVANCED_WITH_EXPIRY",
)
UNIVERSAL_RESETS = (
    "RESET_UNIVERSAL_ID_PASSWORD",
    "RESET_UNIVERSAL_ID_PASSWORD_ADVANCED",
    "RESET_UNIVERSAL_ID_PASSWORD_WITH_EXPIRY",
    "RESET_UNIVERSAL_ID_PASSWORD_ADVANCED_WITH_EXPIRY",
)


async def with_contact(game: Game, id_: str, address: str) -> Client:
    client = game.client()
    await client.log_in("Universal", id_, "old password")
    await client.call("playerState", "UPDATE_CONTACT_EMAIL", contactEmail=address)
    return client


@pytest.mark.parametrize("operation", EMAIL_RESETS)
async def test_email_resets_mail_a_link_and_change_nothing(
    game: Game, postbox: Postbox, operation: str
) -> None:
    address = f"{game.unique('ada')}@example.com"
    await game.client().log_in("Email", address, "old password")
    stranger = game.client()
    field = "emailAddress" if "ADVANCED" in operation else "externalId"
    data: dict[str, Any] = {field: address.upper(), "gameId": APP_ID}
    if "EXPIRY" in operation:
        data["tokenTtlInMinutes"] = 5
    if "ADVANCED" in operation:
        data["serviceParams"] = {"dynamicData": {"a": "b"}, "categories": ["c"], "attachments": None}
    assert await stranger.call(SERVICE, operation, **data) is None
    letter = await postbox.next()
    assert letter.to == address
    assert postbox.link(letter).startswith("http://127.0.0.1:8080/reset/")
    assert f"{5 if 'EXPIRY' in operation else 60} minutes" in letter.text
    assert (await game.client().log_in("Email", address, "old password"))["newUser"] == "false"
    # nobody else's mailbox, and the same answer
    unknown = {**data, field: f"{game.unique('nobody')}@example.com"}
    assert await stranger.call(SERVICE, operation, **unknown) is None
    await mails_are_out()
    assert postbox.letters.empty()


@pytest.mark.parametrize("operation", UNIVERSAL_RESETS)
async def test_universal_resets_go_to_the_contact_address(
    game: Game, postbox: Postbox, operation: str
) -> None:
    id_, address = game.unique("ada"), f"{game.unique('ada')}@example.com"
    client = await with_contact(game, id_, address)
    data: dict[str, Any] = {"universalId": id_, "gameId": APP_ID, "tokenTtlInMinutes": 7}
    if "ADVANCED" in operation:
        data["serviceParams"] = {}
    for caller in (client, game.client()):
        assert await caller.call(SERVICE, operation, **data) is None
        letter = await postbox.next()
        assert letter.to == address
        assert "7 minutes" in letter.text
    without = game.unique("bob")
    await game.client().log_in("Universal", without, "secret")
    for other in (without, game.unique("nobody")):
        assert await client.call(SERVICE, operation, **{**data, "universalId": other}) is None
    await mails_are_out()
    assert postbox.letters.empty()


@pytest.mark.parametrize("operation", EMAIL_RESETS + UNIVERSAL_RESETS)
async def test_resets_refuse_what_makes_no_sense(game: Game, operation: str) -> None:
    client = game.client()
    who = {"emailAddress": "a@example.com"} if "EMAIL" in operation else {"universalId": "a"}
    for params, reason in (
        ({"fromAddress": "fromAddress", "templateId": "d-none"}, 40485),
        ({"fromAddress": "a@example.com", "fromName": "a\nb"}, 40486),
        ({"fromName": "Ada"}, 40489),
        ({"replyToAddress": "nobody"}, 40487),
        ({"replyToName": "\x07"}, 40488),
        ({"templateId": "d-none"}, 40375),
        ({"subject": "a\r\nBcc: b@example.com"}, 40660),
        ({"dynamicData": {"list": [1]}}, 40359),
        ({"dynamicData": {str(n): n for n in range(51)}}, 40660),
        ({"dynamicData": {"a": {"b": {"c": {"d": {"e": 1}}}}}}, 40660),
        ({"dynamicData": "text"}, 40359),
    ):
        refusal = await client.refused(SERVICE, operation, **who, serviceParams=params)
        assert outcome(refusal) == (400, reason), params
    for minutes in (0, resets.LIFE_MINUTES_MAX + 1):
        refusal = await client.refused(SERVICE, operation, **who, tokenTtlInMinutes=minutes)
        assert outcome(refusal) == (400, 40660)
    assert outcome(await client.refused(SERVICE, operation)) == (400, 40358)
    if "EMAIL" in operation:
        assert outcome(await client.refused(SERVICE, operation, externalId="no address")) == (400, 40221)


async def test_strangers_cannot_make_a_link_last(game: Game, postbox: Postbox) -> None:
    id_, address = game.unique("ada"), f"{game.unique('ada')}@example.com"
    client = await with_contact(game, id_, address)
    data: dict[str, Any] = {"universalId": id_, "tokenTtlInMinutes": resets.LIFE_MINUTES_MAX}
    usual, longest = game.app.mail.reset.minutes, resets.LIFE_MINUTES_MAX
    letters = []
    for caller, minutes in ((game.client(), usual), (client, longest), (game.server, longest)):
        await caller.call(SERVICE, "RESET_UNIVERSAL_ID_PASSWORD_WITH_EXPIRY", **data)
        letters.append(await postbox.next())
        assert f"{minutes} minutes" in letters[-1].text
    game.clock.advance(60 * usual)
    pages = [await game.http.get(postbox.link(letter)) for letter in letters]
    assert [page.status_code for page in pages] == [410, 200, 200]


async def test_a_mailbox_is_not_flooded(game: Game, postbox: Postbox) -> None:
    address = f"{game.unique('ada')}@example.com"
    await game.client().log_in("Email", address, "secret")
    for _ in range(links.MAILS_PER_ACCOUNT + 2):
        assert await game.client().call(SERVICE, "RESET_EMAIL_PASSWORD", externalId=address) is None
    await mails_are_out()
    assert postbox.letters.qsize() == links.MAILS_PER_ACCOUNT
    game.clock.advance(links.MAILS_WINDOW_SECONDS + 1)
    await game.client().call(SERVICE, "RESET_EMAIL_PASSWORD", externalId=address)
    await mails_are_out()
    assert postbox.letters.qsize() == links.MAILS_PER_ACCOUNT + 1


async def test_templates_of_the_app_and_values_of_the_caller(
    game: Game, define: Define, postbox: Postbox
) -> None:
    define(
        '[mail]\nfrom_address = "us@example.com"\n[mail.templates]\nwarm = "warm.txt"\n',
        warm__txt="Subject: Hi {user_name}\n\n"
        "Hello {user_name}, {link} for {minutes} minutes. {other}. Your {app}\n",
    )
    address = f"{game.unique('ada')}@example.com"
    await game.client().log_in("Email", address, "secret")
    params = {
        "templateId": "warm",
        "dynamicData": {
            "user": {"name": "Ada\r\nLovelace"},
            "link": "http://evil.example.com",
            "other": 1.5,
            "app": "evil",
        },
        "fromAddress": "evil@example.org",
        "subject": "Win a prize",
    }
    await game.client().call(
        SERVICE, "RESET_EMAIL_PASSWORD_ADVANCED", emailAddress=address, serviceParams=params
    )
    letter = await postbox.next()
    assert letter.subject == "Hi Ada Lovelace"
    assert letter.from_address == "us@example.com"
    assert "evil" not in letter.text
    assert "for 60 minutes. 1.5. Your Test" in letter.text
    # a server of the studio may choose sender and subject
    await game.server.call(
        SERVICE, "RESET_EMAIL_PASSWORD_ADVANCED", emailAddress=address, serviceParams=params
    )
    letter = await postbox.next()
    assert (letter.subject, letter.from_address) == ("Win a prize", "evil@example.org")


async def test_the_link_may_lead_to_a_page_of_the_operator(
    game: Game, define: Define, postbox: Postbox
) -> None:
    define('[mail.reset]\nurl = "https://example.com/reset?lang=en"\nminutes = 15\n')
    address = f"{game.unique('ada')}@example.com"
    await game.client().log_in("Email", address, "secret")
    await game.client().call(SERVICE, "RESET_EMAIL_PASSWORD", externalId=address)
    letter = await postbox.next()
    assert postbox.link(letter).startswith("https://example.com/reset?lang=en&token=")
    assert "15 minutes" in letter.text


async def test_the_mail_does_not_delay_the_answer(game: Game, monkeypatch: pytest.MonkeyPatch) -> None:
    sent = asyncio.Event()

    class Slow:
        async def send(self, *_: Any) -> None:
            await sent.wait()

    monkeypatch.setattr(game.core, "mailer", Slow())
    address = f"{game.unique('ada')}@example.com"
    await game.client().log_in("Email", address, "secret")
    started = time.monotonic()
    async with asyncio.timeout(10):
        await game.client().call(SERVICE, "RESET_EMAIL_PASSWORD", externalId=address)
    assert links._posting, f"the mail is still on its way after {time.monotonic() - started} s"
    sent.set()
    await mails_are_out()


async def test_a_server_busy_with_passwords_says_try_again(
    game: Game, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def busy(*_: str) -> str:
        raise Busy

    monkeypatch.setattr(game.core.passwords, "hash", busy)
    refusal = await game.client().refused(
        "authenticationV2",
        "AUTHENTICATE",
        authenticationType="Universal",
        externalId=game.unique("busy"),
        authenticationToken="secret",
        forceCreate=True,
    )
    assert refusal.reason_code == 40823


# Telling of changes


async def test_a_reset_tells_the_mailbox_of_it(game: Game, postbox: Postbox) -> None:
    address = f"{game.unique('ada')}@example.com"
    await game.client().log_in("Email", address, "old password", languageCode="fr")
    await game.client().call(SERVICE, "RESET_EMAIL_PASSWORD", externalId=address)
    page = postbox.link(await postbox.next())
    assert (await game.http.post(page, data={"password": "new password"})).status_code == 200
    letter = await postbox.next()
    assert (letter.to, letter.subject) == (address, "Test: your password was changed")
    assert "http" not in letter.text  # mail that says such things and has a link is what thieves send


async def test_a_new_contact_address_is_told_to_the_old_one(game: Game, postbox: Postbox) -> None:
    old, new = (f"{game.unique('ada')}@example.com" for _ in range(2))
    ada = await with_contact(game, game.unique("ada"), old)
    await mails_are_out()
    assert postbox.letters.empty()  # there was none before
    await ada.call("playerState", "UPDATE_CONTACT_EMAIL", contactEmail=old)
    await mails_are_out()
    assert postbox.letters.empty()
    await ada.call("playerState", "UPDATE_CONTACT_EMAIL", contactEmail=new)
    letter = await postbox.next()
    assert (letter.to, letter.subject) == (old, "Test: your mail address was changed")
    assert new not in letter.text
    await ada.call("playerState", "UPDATE_CONTACT_EMAIL", contactEmail="")
    assert (await postbox.next()).to == new


async def test_a_contact_address_may_follow_the_login_of_its_packet(game: Game) -> None:
    login = {"authenticationType": "Anonymous", "externalId": game.unique("ada"), "forceCreate": True}
    update = {"contactEmail": f"{game.unique('ada')}@example.com"}
    entries = await game.client().packet(
        (SERVICE, "AUTHENTICATE", login), ("playerState", "UPDATE_CONTACT_EMAIL", update)
    )
    assert [entry["status"] for entry in entries] == [200, 200]


async def test_changes_back_and_forth_fill_nobodys_mailbox(game: Game, postbox: Postbox) -> None:
    victim, own = (f"{game.unique('ada')}@example.com" for _ in range(2))
    ada = await with_contact(game, game.unique("ada"), victim)
    for _ in range(links.MAILS_PER_ACCOUNT + 2):
        for address in (own, victim):
            await ada.call("playerState", "UPDATE_CONTACT_EMAIL", contactEmail=address)
    await mails_are_out()
    told = [postbox.letters.get_nowait().to for _ in range(postbox.letters.qsize())]
    assert told.count(victim) == links.MAILS_PER_ACCOUNT


async def test_identities_tell_their_old_address(game: Game, postbox: Postbox) -> None:
    old, new = (f"{game.unique('ada')}@example.com" for _ in range(2))
    ada = game.client()
    await ada.log_in("Email", old, "old password")
    await ada.call(
        "identity",
        "CHANGE_EMAIL_IDENTITY",
        oldEmailAddress=old,
        authenticationToken="old password",
        newEmailAddress=new,
        updateContactEmail=True,
    )
    letter = await postbox.next()
    assert (letter.to, letter.subject) == (old, "Test: your mail address was changed")
    await game.server.call(
        "identity",
        "UPDATE_EMAIL_IDENTITY_PASSWORD",
        ada.profile_id,
        oldPassword="old password",
        newPassword="new password",
    )
    letter = await postbox.next()
    assert (letter.to, letter.subject) == (new, "Test: your password was changed")
