import base64
import hashlib
import re
import secrets
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from gameserver.admin import actions
from gameserver.apps import load_apps
from gameserver.players import identities, links, tokens, users
from gameserver.players.tokens import Kind
from gameserver.sessions import SessionsUnavailable
from tests.conftest import APP_ID, APP_TOML, Client, Game, Refusal

Issue = Callable[..., Awaitable[str]]

OLD, NEW = "old password", "new password"


@pytest.fixture(autouse=True)
def own_address(game: Game) -> None:
    """Each test calls from its own network: failures are counted for it, and Redis outlives a test."""
    transport: Any = game.http._transport
    transport.client = (f"2001:db8:{secrets.token_hex(2)}:{secrets.token_hex(2)}::1", 1)


@pytest.fixture
async def ada(game: Game) -> Client:
    client = game.client()
    client.id = game.unique("ada")  # type: ignore[attr-defined]
    await client.log_in("Universal", client.id, OLD)  # type: ignore[attr-defined]
    return client


@pytest.fixture
def issue(game: Game, ada: Any) -> Issue:
    async def issue(kind: Kind = Kind.PASSWORD_RESET, minutes: int = 60) -> str:
        return await issue_link(game, kind, "Universal", ada.id, minutes)

    return issue


async def issue_link(game: Game, kind: Kind, type_: str, key: str, minutes: int = 60) -> str:
    async with game.core.database.write() as tx:
        contact = await identities.find_contact(tx, APP_ID, type_, key)
        return await links.issue(
            tx, kind, game.app, (type_, key), contact, now_ms=game.clock.ms(), minutes=minutes
        )


async def fails(client: Client, type_: str, id_: str, token: str) -> int:
    try:
        await client.log_in(type_, id_, token)
    except Refusal as refusal:
        return refusal.reason_code
    raise AssertionError("the login was not refused")


def is_guarded(response: httpx.Response) -> bool:
    policy = response.headers["content-security-policy"]
    return (
        "default-src 'none'" in policy
        and "frame-ancestors 'none'" in policy
        and "form-action 'self'" in policy
        and "unsafe-inline" not in policy
        and response.headers["cache-control"] == "no-store"
        and response.headers["referrer-policy"] == "no-referrer"
        and response.headers["content-type"].startswith("text/html")
    )


async def test_the_form_is_plain_and_accessible(game: Game, issue: Issue) -> None:
    response = await game.http.get(f"/reset/{await issue()}")
    assert response.status_code == 200
    assert is_guarded(response)
    page = response.text
    assert '<html lang="en">' in page
    assert "<title>Choose a new password" in page
    assert "Test" in page  # the app's title
    assert "<script" not in page
    fields = re.findall(r'<input id="(\w+)"', page)
    assert fields == re.findall(r'<label for="(\w+)"', page) == ["password", "repeat"]
    assert page.count('autocomplete="new-password"') == 2
    # nothing is loaded from elsewhere
    assert not re.search(r"""(src|href)=|url\(|@import""", page)


async def test_the_style_is_the_one_the_policy_allows(game: Game, issue: Issue) -> None:
    response = await game.http.get(f"/reset/{await issue()}")
    style = response.text.split("<style>")[1].split("</style>")[0]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"'sha256-{digest}'" in response.headers["content-security-policy"]


async def test_a_new_password(game: Game, ada: Any, issue: Issue) -> None:
    token, other = await issue(), await issue()
    assert (await game.http.get(f"/reset/{token}")).status_code == 200
    await ada.call("playerState", "READ")  # looking changes nothing
    response = await game.http.post(f"/reset/{token}", data={"password": NEW, "repeat": NEW})
    assert response.status_code == 200
    assert is_guarded(response)
    # every session has ended, the old password is dead, the new one works
    assert (await ada.refused("playerState", "READ")).reason_code == 40356
    assert await fails(game.client(), "Universal", ada.id, OLD) == 40307
    answer = await game.client().log_in("Universal", ada.id, NEW)
    assert answer["profileId"] == ada.profile_id
    # the link is used up, and so are the account's others
    for used in (token, other):
        for response in (
            await game.http.get(f"/reset/{used}"),
            await game.http.post(f"/reset/{used}", data={"password": "third", "repeat": "third"}),
        ):
            assert response.status_code == 410
            assert is_guarded(response)
    assert (await game.client().log_in("Universal", ada.id, NEW))["newUser"] == "false"


async def test_a_new_password_opens_a_locked_account(game: Game, ada: Any, issue: Issue) -> None:
    for _ in range(5):
        await fails(game.client(), "Universal", ada.id, "guess")
    assert await fails(game.client(), "Universal", ada.id, OLD) == 40788
    response = await game.http.post(f"/reset/{await issue()}", data={"password": NEW})
    assert response.status_code == 200
    await game.client().log_in("Universal", ada.id, NEW)


async def test_another_players_sessions_and_links_stay(game: Game, issue: Issue) -> None:
    bob, name = game.client(), game.unique("bob")
    await bob.log_in("Universal", name, OLD)
    link = await issue_link(game, Kind.PASSWORD_RESET, "Universal", name)
    await game.http.post(f"/reset/{await issue()}", data={"password": NEW})
    await bob.call("playerState", "READ")
    assert (await game.http.get(f"/reset/{link}")).status_code == 200


async def change_contact(game: Game, ada: Any) -> None:
    await ada.call("playerState", "UPDATE_CONTACT_EMAIL", contactEmail="new@example.com")


async def disable(game: Game, ada: Any) -> None:
    async with game.core.database.write() as tx:
        await users.set_disabled(tx, APP_ID, ada.profile_id, disabled=True)
        await users.set_disabled(tx, APP_ID, ada.profile_id, disabled=False)


async def delete(game: Game, ada: Any) -> None:
    assert await actions.player_delete(game.server_app, APP_ID, ada.profile_id)


async def merge(game: Game, ada: Any) -> None:
    other = await game.player()
    assert await actions.player_merge(game.server_app, APP_ID, ada.profile_id, other.profile_id)


async def hand_over(game: Game, ada: Any) -> None:
    """The identity is renamed, and somebody else registers its name."""
    async with game.core.database.write() as tx:
        await users.rename_identity(tx, APP_ID, ada.profile_id, "Universal", ada.id, game.unique("ada"))
    await game.client().log_in("Universal", ada.id, OLD)


async def rename_and_back(game: Game, ada: Any) -> None:
    other = game.unique("ada")
    async with game.core.database.write() as tx:
        await users.rename_identity(tx, APP_ID, ada.profile_id, "Universal", ada.id, other)
        await users.rename_identity(tx, APP_ID, ada.profile_id, "Universal", other, ada.id)


@pytest.mark.parametrize("change", [change_contact, disable, delete, merge, hand_over, rename_and_back])
async def test_a_link_dies_when_the_account_changes(
    game: Game, ada: Any, issue: Issue, change: Callable[[Game, Any], Awaitable[None]]
) -> None:
    reset, validation = await issue(), await issue(Kind.EMAIL_VALIDATION)
    assert (await game.http.get(f"/reset/{reset}")).status_code == 200
    await change(game, ada)
    assert (await game.http.get(f"/reset/{reset}")).status_code == 410
    assert (await game.http.post(f"/reset/{reset}", data={"password": NEW})).status_code == 410
    assert (await game.http.post(f"/validate/{validation}")).status_code == 410
    with pytest.raises(Refusal):
        await game.client().log_in("Universal", ada.id, NEW, forceCreate=False)
    async with game.core.database.read() as tx:
        row = await identities.find(tx, APP_ID, "Universal", ada.id)
    assert row is None or not row["is_validated"]


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ({"password": "long enough", "repeat": "different"}, "The two passwords differ."),
        ({"password": "short", "repeat": "short"}, "A password has at least 8 characters."),
        ({"password": "", "repeat": ""}, "Enter a new password."),
        ({}, "Enter a new password."),
        ({"password": "x" * 1025}, "A password has at most 1024 bytes."),
    ],
)
async def test_passwords_that_will_not_do(
    game: Game, ada: Any, issue: Issue, apps_folder: Path, form: dict[str, str], words: str
) -> None:
    (apps_folder / "test" / "app.toml").write_text(APP_TOML + "[login]\npassword_min_length = 8\n")
    game.apps.replace(load_apps(apps_folder, game.server_app.registry.sections()))
    token = await issue()
    response = await game.http.post(f"/reset/{token}", data=form)
    assert response.status_code == 422
    assert words in response.text
    assert 'role="alert"' in response.text
    assert 'minlength="8"' in response.text
    assert is_guarded(response)
    await ada.call("playerState", "READ")
    await game.client().log_in("Universal", ada.id, OLD)
    response = await game.http.post(f"/reset/{token}", data={"password": NEW, "repeat": NEW})
    assert response.status_code == 200  # a mistake does not use the link up


async def test_links_that_do_not_work(game: Game, issue: Issue) -> None:
    expiring = await issue(minutes=1)
    validation = await issue(Kind.EMAIL_VALIDATION)
    game.clock.advance(60)
    for token in (expiring, validation, "unknown", "x" * 3000, "%00", "%F0%9F%92%A9"):
        response = await game.http.get(f"/reset/{token}")
        assert response.status_code == 410, token
        assert is_guarded(response)
        assert token not in response.text
        response = await game.http.post(f"/reset/{token}", data={"password": NEW})
        assert response.status_code == 410, token


async def test_a_link_of_an_app_that_is_gone(game: Game, issue: Issue) -> None:
    token = await issue()
    app = game.app
    game.apps._by_id.pop(APP_ID)
    assert (await game.http.get(f"/reset/{token}")).status_code == 410
    game.apps._by_id[APP_ID] = app
    assert (await game.http.get(f"/reset/{token}")).status_code == 200


@pytest.mark.parametrize(
    "body", [b"x" * 9000, b"\xff\xfe", b"password=%FF", b"&".join([b"a=1"] * 11), b"no form"]
)
async def test_forms_that_are_none(game: Game, issue: Issue, body: bytes) -> None:
    response = await game.http.post(f"/reset/{await issue()}", content=body)
    assert response.status_code == 400
    assert is_guarded(response)


async def test_unicode_passwords_survive_the_form(game: Game, ada: Any, issue: Issue) -> None:
    password = "pässwörd 🦊 %+&="
    await game.http.post(f"/reset/{await issue()}", data={"password": password, "repeat": password})
    await game.client().log_in("Universal", ada.id, password)


async def test_other_methods_are_refused(game: Game, issue: Issue) -> None:
    assert (await game.http.put(f"/reset/{await issue()}")).status_code == 405


async def test_nothing_changes_when_the_sessions_cannot_be_ended(
    game: Game, ada: Any, issue: Issue, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: Any, **__: Any) -> Any:
        raise SessionsUnavailable("away")

    token = await issue()
    with monkeypatch.context() as patch:
        patch.setattr(type(game.core.sessions), "end", away)
        response = await game.http.post(f"/reset/{token}", data={"password": NEW})
    assert response.status_code == 503
    assert is_guarded(response)
    await game.client().log_in("Universal", ada.id, OLD)
    assert (await game.http.post(f"/reset/{token}", data={"password": NEW})).status_code == 200


async def test_a_title_is_text_and_not_html(game: Game, issue: Issue, apps_folder: Path) -> None:
    text = APP_TOML.replace('title = "Test"', 'title = "<b>Bold</b> & \\"brave\\""')
    assert text != APP_TOML
    (apps_folder / "test" / "app.toml").write_text(text)
    game.apps.replace(load_apps(apps_folder, game.server_app.registry.sections()))
    page = (await game.http.get(f"/reset/{await issue()}")).text
    assert "<b>" not in page
    assert "&lt;b&gt;Bold&lt;/b&gt; &amp; &quot;brave&quot;" in page


# Proving an address


async def test_proving_an_address(game: Game) -> None:
    client, address = game.client(), f"{game.unique('ada')}@example.com"
    await client.log_in("Email", address, OLD)

    async def is_validated() -> bool:
        async with game.core.database.read() as tx:
            row = await identities.find(tx, APP_ID, "Email", address)
        assert row is not None
        return bool(row["is_validated"])

    tokens = [await issue_link(game, Kind.EMAIL_VALIDATION, "Email", address) for _ in range(2)]
    response = await game.http.get(f"/validate/{tokens[0]}")
    assert response.status_code == 200
    assert is_guarded(response)
    assert '<button type="submit">' in response.text
    assert not await is_validated()  # mail programs open links by themselves
    response = await game.http.post(f"/validate/{tokens[0]}")
    assert response.status_code == 200
    assert await is_validated()
    for token in tokens:
        assert (await game.http.get(f"/validate/{token}")).status_code == 410
        assert (await game.http.post(f"/validate/{token}")).status_code == 410
    await client.call("playerState", "READ")  # nobody is logged out


async def test_a_reset_by_mail_proves_the_address(game: Game) -> None:
    client, address = game.client(), f"{game.unique('ada')}@example.com"
    await client.log_in("Email", address, OLD)
    token = await issue_link(game, Kind.PASSWORD_RESET, "Email", address)
    assert (await game.http.post(f"/reset/{token}", data={"password": NEW})).status_code == 200
    async with game.core.database.read() as tx:
        row = await identities.find(tx, APP_ID, "Email", address)
    assert row is not None
    assert row["is_validated"] is True


async def token_count(game: Game) -> int:
    async with game.core.database.read() as tx:
        return len(await tx.all(select(tokens.one_time_tokens.c.digest)))


async def test_expired_tokens_are_forgotten(game: Game, issue: Issue) -> None:
    await issue(minutes=1)
    kept = await issue(minutes=2)
    game.clock.advance(60.001)
    before = await token_count(game)
    await game.run_jobs("tokens.forget")
    assert await token_count(game) < before
    assert (await game.http.get(f"/reset/{kept}")).status_code == 200
