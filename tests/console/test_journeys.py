"""What support does most, in Chromium: each within the clicks that it may cost. Typing and Enter are free.

`pytest tests/console/test_journeys.py --screenshots` writes pictures of it into docs/images.
"""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from tests.browser import Browser
from tests.console.test_browser import Console, _player, console
from tests.warm import ROOT

__all__ = ["console"]  # a fixture
IMAGES = ROOT / "docs" / "images"
BOX = "#search"


@pytest.fixture
def take(pytestconfig: pytest.Config, browser: Browser) -> Any:
    """Take a picture of the page for the documents, if pictures are wanted."""

    def picture(name: str) -> None:
        if pytestconfig.getoption("--screenshots"):
            IMAGES.mkdir(exist_ok=True)
            browser.size(1120, 860)
            browser.run("scrollTo(0, 0)")
            (IMAGES / f"console-{name}.png").write_bytes(browser.picture())

    return picture


@contextmanager
def clicks(browser: Browser, most: int) -> Iterator[None]:
    """What happens inside takes at most so many clicks."""
    browser.clicks = 0
    yield
    assert browser.clicks <= most, f"{browser.clicks} clicks"


def newcomer(console: Console, name: str) -> str:
    """Another player; returns the profile id."""
    return _player(console.game, console.app_id, name)


def with_mail(console: Console) -> tuple[str, str]:
    """A player with a mail address; returns it and the profile id."""
    address = f"eve-{uuid.uuid4().hex[:8]}@example.com"
    login = {"authenticationType": "Email", "externalId": address, "authenticationToken": "correct horse"}
    message = {
        "service": "authenticationV2",
        "operation": "AUTHENTICATE",
        "data": login | {"forceCreate": True},
    }
    packet = {"packetId": 0, "gameId": console.app_id, "messages": [message]}
    [answer] = httpx.post(f"{console.game}/dispatcher", json=packet).json()["responses"]
    return address, str(answer["data"]["profileId"])


def find(console: Console, browser: Browser, text: str, shows: str) -> None:
    """Look for a player from the app's first page, by typing."""
    browser.go(console.of_app())
    browser.write(BOX, text, enter=True)
    browser.shows("Timeline")  # the card is open; the first page names the newest players, too
    browser.shows(shows)


def test_who_cannot_log_in_gets_mail_in_two(console: Console, browser: Browser) -> None:
    address, profile = with_mail(console)
    with clicks(browser, 2):
        find(console, browser, address, profile)
        browser.click("summary", "Reset mail")
        browser.click("button", "Send")
        browser.shows("is on its way")


def test_why_somebody_is_banned_takes_none_and_a_ban_three(
    console: Console, browser: Browser, take: Any
) -> None:
    profile = newcomer(console, "Mallory")
    with clicks(browser, 3):
        find(console, browser, "mallory", profile)
        browser.click("summary", "Disable")
        browser.click("label", "7 days")
        browser.write("details[open] input[name=reason]", "cheated in the arena", enter=True)
        browser.shows("Disabled 7 days")
    with clicks(browser, 0):
        find(console, browser, "MALL", "cheated in the arena")
        browser.shows("Disabled until")
        take("player")
    with clicks(browser, 2):  # and back: the day after they are let in again
        browser.click("summary", "Enable")
        browser.write("details[open] input[name=reason]", "it was a sibling", enter=True)
        browser.shows("can log in again")


def test_a_stolen_account_is_safe_in_three(console: Console, browser: Browser) -> None:
    address, profile = with_mail(console)
    with clicks(browser, 3):
        find(console, browser, address.upper(), profile)
        browser.click("summary", "Secure")
        browser.write("details[open] input[name=reason]", "somebody else plays", enter=True)
        browser.shows("1 session ended. The old password opens nothing")
    browser.shows("None: the player is logged out.")


def test_a_missing_purchase_is_made_good_in_three(console: Console, browser: Browser, take: Any) -> None:
    profile, receipt = newcomer(console, "Pat"), f"GPA.{uuid.uuid4().hex[:12]}"
    with clicks(browser, 3):
        find(console, browser, profile[:8], profile)
        browser.click("summary", "Adjust balance")
        browser.write("details[open] input[name=amount]", "500")
        browser.write("details[open] input[name=receipt]", receipt)
        browser.write("details[open] input[name=reason]", "the shop was away", enter=True)
        browser.shows(f"coins: 0 → 500, for receipt {receipt}")
    take("currencies")
    browser.click("summary", "Adjust balance")
    browser.write("details[open] input[name=amount]", "500")
    browser.write("details[open] input[name=receipt]", receipt)
    browser.write("details[open] input[name=reason]", "again", enter=True)
    browser.shows("This receipt was used already")


def test_data_are_sent_and_erased_in_three_each(console: Console, browser: Browser) -> None:
    profile = newcomer(console, "Robin")
    with clicks(browser, 3):
        find(console, browser, "robin", profile)
        browser.click("summary", "Export")
        browser.write("details[open] input[name=reason]", "asked by mail", enter=True)
        assert profile.encode() in browser.saves(f"*{profile}*.json")
    browser.go(console.of_app(f"/players/{profile}/timeline"))
    browser.shows("player_export")
    with clicks(browser, 3):
        find(console, browser, "robin", profile)
        browser.click("a", "Reset or delete")
        browser.shows("What is kept of this player")
        browser.write("form[action$='/delete'] input[name=reason]", "asked by mail")
        browser.write("form[action$='/delete'] input[name=confirm]", "Robin", enter=True)
        browser.shows("Robin is deleted")


def test_two_accounts_become_one_in_three(console: Console, browser: Browser, take: Any) -> None:
    old, new = newcomer(console, "Old Sam"), newcomer(console, "New Sam")
    with clicks(browser, 3):
        find(console, browser, "new sam", new)
        browser.click("summary", "Merge")
        browser.write("details[open] input[name=other]", "old s", enter=True)
        browser.shows("Rows that move, and rows that are lost")
        take("merge")
        browser.write("form[action$='/merge'][method=post] input[name=reason]", "same person")
        browser.write("form[action$='/merge'][method=post] input[name=confirm]", "Old Sam", enter=True)
        browser.shows("is one with this player now")
    browser.write(BOX, old, enter=True)
    browser.shows("No player has this profile id")


def test_a_name_is_put_back_with_one_click(console: Console, browser: Browser) -> None:
    profile = newcomer(console, "Rude Word")
    find(console, browser, "rude w", profile)
    with clicks(browser, 2):
        browser.click("summary", "Rename")
        browser.write("details[open] input[name=name]", "Player 7", enter=True)
        browser.shows("The player is called Player 7")
        browser.click("button", "Undo")
        browser.shows("The player is called Rude Word")
