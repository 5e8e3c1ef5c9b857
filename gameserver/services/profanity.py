"""profanity: texts that players write are checked for words that nobody wants to read."""

import tomllib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from importlib import resources
from typing import Annotated

from msgspec import Meta, field

from gameserver.apps import App, Settings
from gameserver.domain.social import profanity
from gameserver.domain.social.profanity import Span, WordFilter
from gameserver.frame import Parts
from gameserver.rpc import Context, Service, Tx
from gameserver.wire.errors import GameError
from gameserver.wire.shapes import Reply, Request

TEXT_MAX = 4096  # characters
WORDS_MAX = 5000  # of a language
SYMBOL_MAX = 16
SAMPLE = """\
# Words that nobody wants to read, by language; those that are declared here take the place of the server's
# own for the language. A star finds a word within others, too: at their beginning ("damn*"), their end, or
# anywhere. Words that are allowed are never found.
[profanity]
#enabled = true
#words.en = ["darn", "damn*"]
#allowed = ["Scunthorpe"]
"""

Word = Annotated[str, Meta(min_length=1, max_length=profanity.WORD_MAX)]


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


service = Service("profanity", section=ProfanitySettings, sample=SAMPLE)

# Errors


class NotConfigured(GameError):
    """There are no words for any of the languages."""

    reason_code = 40421


class NotEnabled(GameError):
    """The app does not check texts."""

    reason_code = 40424


# Operations

Text = Annotated[str, Meta(max_length=TEXT_MAX, description="What is checked.")]


class Check(Request):
    """`languages`: codes of two letters with commas between them; all there are words for if left out."""

    text: Text
    languages: (
        Annotated[
            str,
            Meta(
                max_length=256,
                description="Languages of the words: codes of two letters with commas between them. Null or"
                " nothing: all that there are words for.",
            ),
        ]
        | None
    ) = None
    flag_email: Annotated[bool | None, Meta(description="Whether mail addresses count, too.")] = None
    flag_phone: Annotated[bool | None, Meta(description="Whether phone numbers count, too.")] = None
    flag_urls: Annotated[bool | None, Meta(description="Whether web addresses count, too.")] = None


class Found(Reply):
    """How many were found, as text."""

    found_count: Annotated[str, Meta(description="How many words were found: a number, as text.")]


@service.operation("PROFANITY_CHECK", tx=Tx.NONE, errors=(NotConfigured, NotEnabled))
async def check(ctx: Context, request: Check) -> Found:
    """Count the words in a text that nobody wants to read."""
    return Found(found_count=str(len(find(ctx, request))))


class FoundWords(Found):
    """And what they are, as they stand in the text."""

    found_list: Annotated[list[str], Meta(description="The words, as they stand in the text.")]


@service.operation("PROFANITY_IDENTIFY_BAD_WORDS", tx=Tx.NONE, errors=(NotConfigured, NotEnabled))
async def identify(ctx: Context, request: Check) -> FoundWords:
    """List the words in a text that nobody wants to read."""
    spans = find(ctx, request)
    return FoundWords(
        found_count=str(len(spans)), found_list=[request.text[span.start : span.end] for span in spans]
    )


class Replace(Check, kw_only=True):
    replace_symbol: (
        Annotated[
            str,
            Meta(max_length=SYMBOL_MAX, description="What stands for each character that is hidden; a star."),
        ]
        | None
    ) = None


class Replaced(Found):
    replaced_string: Annotated[str, Meta(description="The text, with a symbol for each character of them.")]


@service.operation("PROFANITY_REPLACE_TEXT", tx=Tx.NONE, errors=(NotConfigured, NotEnabled))
async def replace(ctx: Context, request: Replace) -> Replaced:
    """Hide the words in a text that nobody wants to read: a symbol for each of their characters."""
    spans = find(ctx, request)
    symbol = "*" if request.replace_symbol is None else request.replace_symbol
    return Replaced(
        found_count=str(len(spans)), replaced_string=profanity.replaced(request.text, spans, symbol)
    )


# Rules


@cache
def own_words() -> dict[str, list[str]]:
    """The server's own words, by language."""
    text = resources.files("gameserver.domain.social").joinpath("profanity_words.toml").read_text("utf-8")
    return tomllib.loads(text)


class Filters:
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


def codes(languages: str) -> set[str]:
    """Return the languages of a list, without what is said of countries: `en-US` is `en`."""
    return {code.strip().lower().replace("_", "-").partition("-")[0] for code in languages.split(",")} - {""}


@service.lifespan
@asynccontextmanager
async def filters(_: Parts) -> AsyncIterator[Filters]:
    """Keep the filters as long as the server lives."""
    yield Filters()


def find(ctx: Context, request: Check) -> list[Span]:
    """Return what is found in a text. Raises `NotEnabled`, `NotConfigured`."""
    if not ctx.section(ProfanitySettings).enabled:
        raise NotEnabled("the app does not check texts")
    words = ctx.core.get(Filters).of(ctx.app)
    languages = words.languages & codes(request.languages) if request.languages else words.languages
    if not languages:
        raise NotConfigured("there are no words for any of the languages")
    spans = words.find(request.text, languages)
    spans += profanity.contacts(
        request.text,
        emails=bool(request.flag_email),
        phones=bool(request.flag_phone),
        urls=bool(request.flag_urls),
    )
    return profanity.merged(spans)
