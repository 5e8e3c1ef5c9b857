"""Mail with a link that sets a new password: what may be asked for, the token, and the letter.

Who may ask, and whether they learn of an account that is not there, is up to the operations.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from gameserver.apps import App, is_mail_address
from gameserver.players import links
from gameserver.players.mail import SUBJECT_MAX, Letter, Mailer
from gameserver.players.tokens import Kind
from gameserver.sessions import SessionStore
from gameserver.storage import Row, Transaction
from gameserver.wire import json
from gameserver.wire.errors import GameError, InvalidParameterType, InvalidParameterValue

# Errors


class InvalidFromAddress(GameError):
    """The sender is no mail address."""

    reason_code = 40485


class InvalidFromName(GameError):
    """The sender's name is not one short line."""

    reason_code = 40486


class InvalidReplyToAddress(GameError):
    """The address for answers is no mail address."""

    reason_code = 40487


class InvalidReplyToName(GameError):
    """The name for answers is not one short line."""

    reason_code = 40488


class FromNameWithoutAddress(GameError):
    """A sender's name came without the sender's address."""

    reason_code = 40489


class UnknownTemplate(GameError):
    """The app declares no mail template of that name."""

    reason_code = 40375


RESET_ERRORS: tuple[type[GameError], ...] = (
    InvalidFromAddress,
    InvalidFromName,
    InvalidReplyToAddress,
    InvalidReplyToName,
    FromNameWithoutAddress,
    UnknownTemplate,
)

# Asking

LIFE_MINUTES_MAX = 7 * 24 * 60
VALUES_MAX = 50
VALUE_LENGTH_MAX = 256
VALUES_DEPTH_MAX = 4
NAME_LENGTH_MAX = 128

Minutes = Annotated[int, Meta(ge=1, le=LIFE_MINUTES_MAX)]


class ServiceParams(msgspec.Struct, rename="camel"):
    """How the mail is to look. Fields that only some mail service knows are ignored."""

    from_address: Annotated[
        str | None, Meta(description="The address that the mail comes from; when a server asks.")
    ] = None
    from_name: Annotated[
        str | None, Meta(description="The name that the mail comes from; when a server asks.")
    ] = None
    reply_to: Annotated[str | None, Meta(description="Another name of `replyToAddress`.")] = None
    reply_to_address: Annotated[
        str | None, Meta(description="The address that answers go to; when a server asks.")
    ] = None
    reply_to_name: Annotated[
        str | None, Meta(description="The name that answers go to; when a server asks.")
    ] = None
    subject: Annotated[str | None, Meta(description="The subject of the mail; when a server asks.")] = None
    template_id: Annotated[str | None, Meta(description="A mail template that the app declares.")] = None
    dynamic_data: Annotated[dict[str, Any] | None, Meta(description="Values for the template, by name.")] = (
        None
    )
    substitutions: Annotated[dict[str, Any] | None, Meta(description="Another name of `dynamicData`.")] = None


MailParams = Annotated[
    ServiceParams | None,
    Meta(description="How the mail looks. Null or nothing: as the app's template for resets of passwords."),
]
LinkMinutes = Annotated[
    Minutes | None,
    Meta(description="How long the link works, in minutes. Null or nothing: as the app says."),
]


@dataclass(frozen=True, slots=True)
class ResetRequest:
    """A reset that was asked for properly. `allowed` is False when too many were asked for of late."""

    type: str
    key: str
    template: str
    values: dict[str, str]
    minutes: int
    allowed: bool
    sender: ServiceParams


async def prepare(
    sessions: SessionStore,
    app: App,
    identity: tuple[str, str],
    params: ServiceParams | None,
    minutes: int,
    *,
    address: str,
    takes_sender: bool,
) -> ResetRequest:
    """Check what is asked for, and whether the mailbox has had enough. Raises what `RESET_ERRORS` list.

    `identity` is a type and a key, `address` where the caller is, empty for a server of the studio; only such
    a one chooses sender and subject (`takes_sender`).
    """
    params = params or ServiceParams()
    check_sender(params)
    if params.template_id:
        check_template(app, params.template_id, "serviceParams.templateId")
    values = placeholders(params.dynamic_data or params.substitutions or {})
    type_, key = identity
    return ResetRequest(
        type=type_,
        key=key,
        template=params.template_id or "password_reset",
        values=values,
        minutes=minutes,
        allowed=await links.may_mail(sessions, app, f"reset/{type_}", key, address),
        sender=params if takes_sender else ServiceParams(),
    )


async def issue(
    tx: Transaction,
    app: App,
    asked: ResetRequest,
    contact: Row | None,
    mailer: Mailer,
    public_url: str,
    *,
    now_ms: int,
) -> Callable[[], Awaitable[None]] | None:
    """Make the token of a link; returns what mails it once that is committed, None when nobody gets mail.

    `contact` is where the mail goes, as `identities.find_contact` found it.
    """
    if not asked.allowed:
        return None
    # An account that does not exist gets a token as well, one that nobody is told: the work is the same.
    token = await links.issue(
        tx,
        Kind.PASSWORD_RESET,
        app,
        (asked.type, asked.key),
        contact,
        now_ms=now_ms,
        minutes=asked.minutes,
    )
    to = links.mailbox(contact, asked.type)
    if contact is None or to is None:
        return None
    url = links.link(app.mail.reset, public_url, links.RESET_PATH, token)
    values = {**asked.values, "link": url, "minutes": str(asked.minutes)}
    address, language = to, contact["language_code"] or ""

    async def send() -> None:
        links.post(
            mailer,
            app,
            asked.template,
            address,
            values,
            language=language,
            change=lambda letter: with_sender(letter, asked.sender),
        )

    return send


# Rules


def check_template(app: App, name: str, where: str) -> None:
    """Refuse the name of a mail template that the app does not declare."""
    if name not in app.mail.templates:
        raise UnknownTemplate(f"{where}: the app has no mail template {name[:64]!r}")


def check_sender(params: ServiceParams) -> None:
    """Refuse senders and addresses for answers that are none."""
    if params.from_address and not is_mail_address(params.from_address):
        raise InvalidFromAddress("serviceParams.fromAddress: not an e-mail address")
    if params.from_name and not _is_line(params.from_name, NAME_LENGTH_MAX):
        raise InvalidFromName(
            f"serviceParams.fromName: expected one line of at most {NAME_LENGTH_MAX} characters"
        )
    if params.from_name and not params.from_address:
        raise FromNameWithoutAddress("serviceParams.fromName: a name comes with a fromAddress")
    reply_to = params.reply_to_address or params.reply_to
    if reply_to and not is_mail_address(reply_to):
        raise InvalidReplyToAddress("serviceParams.replyToAddress: not an e-mail address")
    if params.reply_to_name and not _is_line(params.reply_to_name, NAME_LENGTH_MAX):
        raise InvalidReplyToName(
            f"serviceParams.replyToName: expected one line of at most {NAME_LENGTH_MAX} characters"
        )
    if params.subject and not _is_line(params.subject, SUBJECT_MAX):
        raise InvalidParameterValue(
            f"serviceParams.subject: expected one line of at most {SUBJECT_MAX} characters"
        )


def _is_line(text: str, most: int) -> bool:
    return len(text) <= most and text.isprintable()


def placeholders(data: dict[str, Any], prefix: str = "", depth: int = 1) -> dict[str, str]:
    """Flatten `dynamicData` for a template: `{"user": {"name": "Ada"}}` is read as `{user_name}`.

    Players choose these texts, so each is one short line, and none replaces what the server itself fills in.
    """
    if depth > VALUES_DEPTH_MAX:
        raise InvalidParameterValue(f"serviceParams.dynamicData: at most {VALUES_DEPTH_MAX} levels")
    values: dict[str, str] = {}
    for name, value in data.items():
        match value:
            case dict():
                values |= placeholders(value, f"{prefix}{name}_", depth + 1)
            case str() | int() | float():
                values[prefix + name] = _short(value)
            case None:
                values[prefix + name] = ""
            case _:
                raise InvalidParameterType(
                    f"serviceParams.dynamicData.{name[:64]}: expected text, number or object"
                )
    if len(values) > VALUES_MAX:
        raise InvalidParameterValue(f"serviceParams.dynamicData: at most {VALUES_MAX} values")
    values.pop("app", None)  # the others are filled in last
    return values


def _short(value: str | float) -> str:
    text = value if isinstance(value, str) else json.encode(value).decode()
    return " ".join("".join(c if c.isprintable() else " " for c in text[:VALUE_LENGTH_MAX]).split())


def with_sender(letter: Letter, wanted: ServiceParams) -> Letter:
    """Give a letter the sender and subject that a server of the studio asks for."""
    letter.from_address = wanted.from_address or letter.from_address
    letter.from_name = wanted.from_name or letter.from_name
    letter.reply_to = wanted.reply_to_address or wanted.reply_to or letter.reply_to
    letter.subject = wanted.subject or letter.subject
    return letter
