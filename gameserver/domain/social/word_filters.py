"""The words of each app that nobody wants to read, and what becomes of texts that hold them."""

import tomllib
from functools import cache
from importlib import resources
from typing import Annotated, Literal

from msgspec import Meta, field

from gameserver.apps import App, Settings
from gameserver.domain.social import profanity
from gameserver.domain.social.profanity import WordFilter
from gameserver.wire.errors import GameError

WORDS_MAX = 5000  # of a language
MASK = "*"
SAMPLE = """\
# Words that nobody wants to read, by language; those that are declared here take the place of the server's
# own for the language. A star finds a word within others, too: at their beginning ("damn*"), their end, or
# anywhere. Words that are allowed are never found.
[profanity]
#enabled = true
#words.en = ["darn", "damn*"]
#allowed = ["Scunthorpe"]
# What becomes of `text` and `subject` of what players write: "off" lets it pass, "mask" puts stars in the
# place of words, "refuse" refuses it.
#chat = "off"
#messages = "off"
"""

Word = Annotated[str, Meta(min_length=1, max_length=profanity.WORD_MAX)]
Screening = Literal["off", "mask", "refuse"]


class ProfaneText(GameError):
    """The text holds words that the app does not want to be read."""

    reason_code = 40425


class ProfanitySettings(Settings, kw_only=True):
    """Words that nobody wants to read."""

    enabled: Annotated[bool, Meta(description="Whether texts are checked at all.")] = True
    words: Annotated[
        dict[
            Annotated[str, Meta(pattern="^[a-z]{2,3}$")],
            Annotated[list[Word], Meta(max_length=WORDS_MAX)],
        ],
        Meta(description="Words by language, two letters, instead of the server's own for that language."),
    ] = field(default_factory=dict)
    allowed: Annotated[list[Word], Meta(max_length=WORDS_MAX, description="Words that are never found.")] = (
        field(default_factory=list)
    )
    chat: Annotated[
        Screening,
        Meta(description="What becomes of lines of a chat with such words: off, mask, refuse."),
    ] = "off"
    messages: Annotated[
        Screening,
        Meta(description="What becomes of messages between players with such words: off, mask, refuse."),
    ] = "off"


@cache
def own_words() -> dict[str, list[str]]:
    """The server's own words, by language."""
    text = resources.files("gameserver.domain.social").joinpath("profanity_words.toml").read_text("utf-8")
    return tomllib.loads(text)


class WordFilters:
    """The filters of a server's apps."""

    def __init__(self) -> None:
        self._made: dict[str, tuple[ProfanitySettings, WordFilter]] = {}

    def of(self, app: App) -> WordFilter:
        """Return the filter of an app, with the words of all languages."""
        settings = app.section(ProfanitySettings)
        kept = self._made.get(app.id)
        if kept is None or kept[0] is not settings:
            made = WordFilter({**own_words(), **settings.words}, settings.allowed)
            kept = self._made[app.id] = (settings, made)
        return kept[1]


def screened(app: App, filters: WordFilters, text: str, how: Screening) -> str:
    """Return a text as others may read it, with a star for each letter of a word. Raises `ProfaneText`."""
    if how == "off" or not app.section(ProfanitySettings).enabled:
        return text
    spans = filters.of(app).find(text)
    if spans and how == "refuse":
        raise ProfaneText("the text holds words that nobody wants to read")
    return profanity.replaced(text, spans, MASK) if spans else text
