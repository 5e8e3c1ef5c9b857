"""profanity: found by the usual ways around, and nowhere in ordinary words."""

import sys
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from gameserver.domain.social import profanity
from gameserver.domain.social.profanity import WordFilter
from gameserver.domain.social.word_filters import own_words
from tests.conftest import APP_TOML, Game

OPERATIONS = ("PROFANITY_CHECK", "PROFANITY_IDENTIFY_BAD_WORDS", "PROFANITY_REPLACE_TEXT")
OWN = WordFilter(own_words())

LISTS = Path(__file__).parent / "profanity"
EVASIONS = (LISTS / "evasions.txt").read_text("utf-8").splitlines()
ORDINARY = (LISTS / "ordinary.txt").read_text("utf-8").splitlines()


@pytest.mark.parametrize("text", EVASIONS)
def test_the_usual_ways_around_are_found(text: str) -> None:
    assert OWN.find(text), text
    assert OWN.find(f"well, {text} you"), text


@pytest.mark.parametrize("word", sorted(set(ORDINARY)))
def test_ordinary_words_are_not(word: str) -> None:
    plural = f"{word}s" if len(word) > 3 and word.isalpha() else word
    for text in (word, word.upper(), f"The {word}, and so on.", plural):
        assert OWN.find(text) == [], text


def test_ordinary_sentences_are_not() -> None:
    for text in (
        "I passed a class as an assistant at Scunthorpe; the basses were first class.",
        "Push it! Wash it! As soon as it is, I a m there. Is this title it?",
        "안녕하세요 반갑습니다", "こんにちは、元気ですか", "{}", "", " ", "🙂" * 50, "1 2 3 4 5 6 7 8 9",
        "Call 555-1234 at 4:55, gate A55B7.",
    ):  # fmt: skip
        assert OWN.find(text) == [], text


def test_stars_say_where_a_word_may_stand() -> None:
    words = WordFilter({"en": ["bad", "beg*", "*end", "*mid*", "日本*"]})
    for text, is_found in (
        ("bad", True), ("bads", False), ("abad", False), ("begin", True), ("abeg", False), ("weekend", True),
        ("ends", False), ("amidst", True), ("日本語", True), ("baaad", True), ("b a d", True), ("bd", False),
    ):  # fmt: skip
        assert bool(words.find(text)) == is_found, text


def test_double_letters_of_a_word_are_wanted() -> None:
    assert WordFilter({"en": ["ass"]}).find("as") == []
    assert WordFilter({"en": ["ass"]}).find("a s") == []


def steps(text: str) -> int:
    """How many lines of the filter a search runs: what others run meanwhile is not counted."""
    count = 0

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal count
        if frame.f_code.co_filename != profanity.__file__:
            return None
        count += 1
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        OWN.find(text)
    finally:
        sys.settrace(before)
    return count


@pytest.mark.parametrize(
    "piece",
    [
        "a",
        "fu",
        "f ",
        "f.",
        "s$",
        "1",
        "-",
        "\u0301",
        "x@",
        "www.",
        "1 ",
        "🙂",
        "as",
        "f u c k ",
        "fuc",
        "fuck ",
    ],
)
def test_the_work_grows_with_the_length_alone(piece: str) -> None:
    steps(piece)  # what is remembered of letters
    short, long = (steps((piece * count)[:count]) for count in (2000, 16_000))
    assert long <= 8 * short + 200
    assert long <= 40 * 16_000


def test_languages_are_those_that_are_asked_for() -> None:
    words = WordFilter({"en": ["bad"], "de": ["bad", "übel"], "fr": []})
    assert words.languages == {"en", "de"}
    for languages, found in ((None, 2), (["de"], 2), (["en"], 1), ([], 0), (["fr"], 0)):
        assert len(words.find("bad ü b e l", languages)) == found, languages


# The service


async def test_words_are_counted_listed_and_hidden(game: Game) -> None:
    ada = await game.player()
    text: dict[str, Any] = {"text": "Well, sh1t: f u c k it. Scunthorpe!"}
    assert await ada.call("profanity", "PROFANITY_CHECK", **text) == {"foundCount": "2"}
    listed = await ada.call("profanity", "PROFANITY_IDENTIFY_BAD_WORDS", **text)
    assert listed == {"foundCount": "2", "foundList": ["sh1t", "f u c k"]}
    hidden = await ada.call("profanity", "PROFANITY_REPLACE_TEXT", **text, replaceSymbol="#")
    assert hidden == {"foundCount": "2", "replacedString": "Well, ####: # # # # it. Scunthorpe!"}
    hidden = await ada.call("profanity", "PROFANITY_REPLACE_TEXT", **text)
    assert hidden["replacedString"] == "Well, ****: * * * * it. Scunthorpe!"


async def test_languages_are_those_of_the_call(game: Game) -> None:
    ada = await game.player()
    text = "shit merde Scheiße"
    for languages, count in (("en", 1), ("en,fr", 2), ("EN-us, fr_CA,de", 3), (None, 3), ("en,xx", 1)):
        answer = await ada.call("profanity", "PROFANITY_CHECK", text=text, languages=languages)
        assert answer["foundCount"] == str(count), languages
    for operation in OPERATIONS:
        assert (await ada.refused("profanity", operation, text=text, languages="xx")).reason_code == 40421


async def test_addresses_and_numbers_count_where_they_are_asked_for(game: Game) -> None:
    ada = await game.player()
    text = "mail me@example.com or call +1 (555) 123-4567, see https://example.com/x or example.org"
    for flags, words in (
        ({}, []),
        ({"flagEmail": True}, ["me@example.com"]),
        ({"flagPhone": True}, ["+1 (555) 123-4567"]),
        ({"flagUrls": True}, ["https://example.com/x", "example.org"]),
    ):
        listed = await ada.call("profanity", "PROFANITY_IDENTIFY_BAD_WORDS", text=text, **flags)
        assert listed["foundList"] == words


@pytest.fixture
def declared(apps_folder: Path) -> None:
    text = '[profanity]\nwords.en = ["darn", "damn*"]\nwords.de = []\nallowed = ["Damnation"]\n'
    (apps_folder / "test" / "app.toml").write_text(APP_TOML + text)


@pytest.mark.usefixtures("declared")
async def test_an_app_has_words_of_its_own(game: Game) -> None:
    ada = await game.player()
    text = "darn, damned damnation of shit and merde"
    listed = await ada.call("profanity", "PROFANITY_IDENTIFY_BAD_WORDS", text=text)
    assert listed["foundList"] == ["darn", "damned", "merde"]
    refusal = await ada.refused("profanity", "PROFANITY_CHECK", text=text, languages="de")
    assert refusal.reason_code == 40421


@pytest.fixture
def off(apps_folder: Path) -> None:
    (apps_folder / "test" / "app.toml").write_text(APP_TOML + "[profanity]\nenabled = false\n")


@pytest.mark.usefixtures("off")
async def test_an_app_may_check_nothing(game: Game) -> None:
    ada = await game.player()
    for operation in OPERATIONS:
        assert (await ada.refused("profanity", operation, text="x")).reason_code == 40424


async def test_texts_have_a_length(game: Game) -> None:
    ada = await game.player()
    for operation in OPERATIONS:
        assert (await ada.refused("profanity", operation, text="x" * 4097)).reason_code == 40660
        assert (await ada.refused("profanity", operation)).reason_code == 40358
        assert (await game.client().refused("profanity", operation, text="x")).reason_code == 40304
    refusal = await ada.refused("profanity", "PROFANITY_REPLACE_TEXT", text="x", replaceSymbol="*" * 17)
    assert refusal.reason_code == 40660
