"""profanity: texts that players write are checked for words that nobody wants to read."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from msgspec import Meta

from gameserver.domain.social import profanity
from gameserver.domain.social.profanity import Span
from gameserver.domain.social.word_filters import SAMPLE, ProfanitySettings, WordFilters
from gameserver.frame import Parts
from gameserver.rpc import Context, Service, Tx
from gameserver.wire.errors import GameError
from gameserver.wire.shapes import Reply, Request

TEXT_MAX = 4096  # characters
SYMBOL_MAX = 16

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


def codes(languages: str) -> set[str]:
    """Return the languages of a list, without what is said of countries: `en-US` is `en`."""
    return {code.strip().lower().replace("_", "-").partition("-")[0] for code in languages.split(",")} - {""}


@service.lifespan
@asynccontextmanager
async def filters(_: Parts) -> AsyncIterator[WordFilters]:
    """Keep the filters as long as the server lives."""
    yield WordFilters()


def find(ctx: Context, request: Check) -> list[Span]:
    """Return what is found in a text. Raises `NotEnabled`, `NotConfigured`."""
    if not ctx.section(ProfanitySettings).enabled:
        raise NotEnabled("the app does not check texts")
    words = ctx.core.get(WordFilters).of(ctx.app)
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
