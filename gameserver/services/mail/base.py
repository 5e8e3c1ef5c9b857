"""The service, its refusals, and what a letter is to say."""

import base64
import binascii
import html
from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from gameserver.apps import App, is_mail_address
from gameserver.players import resets
from gameserver.players.mail import (
    LETTER_BYTES_MAX,
    SUBJECT_MAX,
    Attachment,
    Letter,
    MailRefused,
    compose,
    letter_of,
)
from gameserver.rpc import Service
from gameserver.wire.errors import GameError, InvalidParameterValue, PacketTooLarge

service = Service("mail")

CATEGORIES_MAX, CATEGORY_MAX = 10, 64
ATTACHMENTS_MAX, ATTACHMENT_BYTES_MAX = 10, 512 << 10  # together
COPIES_MAX = 20  # addresses in cc, and as many in bcc

# Errors


class InvalidEmailAddress(GameError):
    """The address is no mail address."""

    reason_code = 40221


class InvalidCopyAddress(GameError):
    """One of `cc` or `bcc` is no mail address."""

    reason_code = 40736


class TooManyCc(GameError):
    """More addresses in `cc` than a mail may have."""

    reason_code = 60201


class TooManyBcc(GameError):
    """More addresses in `bcc` than a mail may have."""

    reason_code = 60202


CONTENT_ERRORS: tuple[type[GameError], ...] = (
    *resets.RESET_ERRORS,
    InvalidCopyAddress,
    TooManyCc,
    TooManyBcc,
    PacketTooLarge,
)

# Shapes


class File(msgspec.Struct, rename="camel"):
    """A file that goes with a mail."""

    content: Annotated[str, Meta(description="Its bytes, as base64.")]
    filename: Annotated[str, Meta(min_length=1, max_length=128, description="What it is called.")]
    type: Annotated[str | None, Meta(description="Its media type. Null or nothing: that of any file.")] = None


class MailParams(resets.ServiceParams, rename="camel"):
    """What a mail says, and how. Fields that only some mail service knows are ignored."""

    cc: Annotated[list[str] | None, Meta(description="Addresses that get a copy, for all to see.")] = None
    bcc: Annotated[list[str] | None, Meta(description="Addresses that get a copy, which nobody sees.")] = None
    body: Annotated[str | None, Meta(description="What it says, where no template is named.")] = None
    use_html: Annotated[bool | None, Meta(description="Whether the body is HTML.")] = None
    categories: Annotated[
        list[str] | None, Meta(description="Words to sort mails by, in headers named X-Category.")
    ] = None
    attachments: Annotated[list[File] | None, Meta(description="Files that go with it.")] = None


class Stored(msgspec.Struct, omit_defaults=True):
    """What is kept of a letter until it is sent: its parameters, checked; or a template for each language."""

    params: MailParams | None = None
    templates: dict[str, str] = {}
    values: dict[str, str] = {}


# Rules


def check(app: App, params: MailParams, *, takes_sender: bool) -> MailParams:
    """Check what a mail is to say; only a server of the studio chooses who it is from (`takes_sender`).

    Raises what `CONTENT_ERRORS` list, and `InvalidParameterValue`.
    """
    resets.check_sender(params)
    if params.template_id:
        resets.check_template(app, params.template_id, "serviceParams.templateId")
    elif not params.subject or not params.body:
        raise InvalidParameterValue("serviceParams: expected a templateId, or a subject and a body")
    resets.placeholders(params.dynamic_data or {})
    resets.placeholders(params.substitutions or {})
    for addresses, error in ((params.cc, TooManyCc), (params.bcc, TooManyBcc)):
        if len(addresses or ()) > COPIES_MAX:
            raise error(f"serviceParams: at most {COPIES_MAX} addresses each in cc and bcc")
        if not all(is_mail_address(address) for address in addresses or ()):
            raise InvalidCopyAddress("serviceParams: cc and bcc are lists of e-mail addresses")
    if len((params.body or "").encode("utf-8", "replace")) > LETTER_BYTES_MAX:
        raise PacketTooLarge(f"serviceParams.body: at most {LETTER_BYTES_MAX} bytes")
    _check_categories(params.categories or [])
    attachments(params)
    if takes_sender:
        return params
    return msgspec.structs.replace(
        params, from_address=None, from_name=None, reply_to=None, reply_to_address=None, reply_to_name=None
    )


def _check_categories(categories: list[str]) -> None:
    if len(categories) > CATEGORIES_MAX or not all(
        0 < len(each) <= CATEGORY_MAX and each.isascii() and each.isprintable() for each in categories
    ):
        raise InvalidParameterValue(
            f"serviceParams.categories: at most {CATEGORIES_MAX} of 1 to {CATEGORY_MAX} ASCII characters"
        )


def attachments(params: MailParams) -> list[Attachment]:
    """Read the files of a mail. Raises `InvalidParameterValue`, `PacketTooLarge`."""
    files = params.attachments or []
    if len(files) > ATTACHMENTS_MAX:
        raise PacketTooLarge(f"serviceParams.attachments: at most {ATTACHMENTS_MAX}")
    if sum(len(file.content) for file in files) > ATTACHMENT_BYTES_MAX * 4 // 3:
        raise PacketTooLarge(f"serviceParams.attachments: at most {ATTACHMENT_BYTES_MAX} bytes together")
    try:
        return [
            Attachment(file.filename, base64.b64decode(file.content, validate=True), file.type or "")
            for file in files
            if _is_file(file)
        ]
    except (binascii.Error, ValueError):
        raise InvalidParameterValue("serviceParams.attachments: expected base64") from None


def _is_file(file: File) -> bool:
    if not file.filename.isprintable() or "/" in file.filename or "\\" in file.filename:
        raise InvalidParameterValue("serviceParams.attachments: expected names of files")
    return True


def write(app: App, to: str, stored: Stored, language: str, known: Mapping[str, str]) -> Letter:
    """Write a letter: from a template in a language, or what the sender says.

    `known` is what placeholders may say of the receiver.

    Reads files, so call it in a thread. Raises `MailRefused`.
    """
    params = stored.params
    if params is None:
        name = next((stored.templates[key] for key in _keys(language) if key in stored.templates), "")
        return compose(
            app, name or next(iter(stored.templates.values())), to, {**known, **stored.values}, language
        )
    values = {**known, **_values(params)}
    if params.template_id:
        letter = compose(app, params.template_id, to, values, language)
    else:
        body = _replaced(params.body or "", params.substitutions or {}, is_html=bool(params.use_html))
        text, page = (text_of(body), body) if params.use_html else (body, "")
        letter = letter_of(app, to, "", text, page)
    resets.with_sender(letter, params)
    letter.subject = _line(_replaced(letter.subject, params.substitutions or {}, is_html=False))
    letter.reply_to_name = params.reply_to_name or ""
    letter.categories = params.categories or []
    letter.attachments = attachments(params)
    return letter


def _keys(language: str) -> list[str]:
    short = language.replace("_", "-").split("-")[0].lower()
    return [language, short]


def _values(params: MailParams) -> dict[str, str]:
    """Return what placeholders stand for: nested names joined by _, and names without what marks them."""
    given = {**(params.dynamic_data or {}), **(params.substitutions or {})}
    return {name.strip(":-%{} "): value for name, value in resets.placeholders(given).items()}


def _replaced(text: str, substitutions: Mapping[str, Any], *, is_html: bool) -> str:
    """Put values into a text. Raises `MailRefused` before it grows beyond what a letter may hold."""
    for name, value in sorted(substitutions.items(), key=lambda item: -len(item[0])):
        if name and isinstance(value, (str, int, float)):
            new = html.escape(str(value)) if is_html else str(value)
            if len(text) + text.count(name) * (len(new) - len(name)) > LETTER_BYTES_MAX:
                raise MailRefused(f"a mail has at most {LETTER_BYTES_MAX} bytes")
            text = text.replace(name, new)
    return text


def _line(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text)[:SUBJECT_MAX]


def text_of(page: str) -> str:
    """Return about what HTML says, for mail programs that show none: without what is between < and >."""
    parts = []
    for part in page.split("<"):
        _, closed, rest = part.partition(">")
        parts.append(rest if closed else part)
    return html.unescape("".join(parts)).strip()
