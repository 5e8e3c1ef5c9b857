"""What messages say and who they are from, be they lines of a chat or letters in a box."""

from typing import Annotated, Any, NamedTuple

from msgspec import Meta

from gameserver.apps import App
from gameserver.domain.social.word_filters import Screening, WordFilters, screened
from gameserver.wire import json
from gameserver.wire.errors import GameError, PacketTooLarge, UnreadableJson
from gameserver.wire.shapes import FreeObject, FreeObjectOrText

CONTENT_BYTES_MAX = 16 << 10  # written as ASCII a message stays below the 64 KiB of a frame
NAME_MAX = 256  # characters of the name of who a message of the system is from
PICTURE_MAX = 2048  # characters of the address of a picture
SHOWN_TEXTS = ("text", "subject")  # members of a content that clients show as they are, by convention


class MessageNotFound(GameError):
    """There is no such message."""

    reason_code = 40595


class MessageVersionMismatch(GameError):
    """The message has changed since the caller read it. Nothing was written."""

    reason_code = 40598


class InvalidContent(GameError):
    """The content is text that is no JSON object."""

    reason_code = 40614


class SenderIdNotNull(GameError):
    """A message of the system is from nobody who has an id."""

    reason_code = 40617


class SenderNameMissing(GameError):
    """A message of the system names who it is from."""

    reason_code = 40618


CONTENT_ERRORS = (InvalidContent, PacketTooLarge)
SENDER_ERRORS = (SenderIdNotNull, SenderNameMissing)

Content = Annotated[
    FreeObjectOrText,
    Meta(description="What the message says: an object, by convention with `text`, and maybe `subject`."),
]
SystemSender = Annotated[
    FreeObject, Meta(description="Who the message is from: `{name, pic}`; an `id` is null.")
]


class Sender(NamedTuple):
    """Who a message is from. The system has no id."""

    id: str | None
    name: str | None
    pic: str | None


def read_content(content: Any, bytes_max: int, where: str) -> dict[str, Any]:
    """Return content that may have come as text. Raises `InvalidContent`, `PacketTooLarge`."""
    if isinstance(content, str):
        try:
            content = json.read_text(content.encode())
        except UnreadableJson:
            content = None
    if not isinstance(content, dict):
        raise InvalidContent(f"{where}: expected an object")
    if (size := len(json.encode_free(content))) > bytes_max:
        raise PacketTooLarge(f"{where}: at most {bytes_max} bytes of JSON, got {size}")
    return content


def screen(app: App, filters: WordFilters, content: dict[str, Any], how: Screening) -> dict[str, Any]:
    """Return content in which the words of the app's filter are hidden, where it wants that.

    That is done to what clients show as it is: `text` and `subject`. Raises `ProfaneText`.
    """
    if how == "off":
        return content
    shown = {name: content[name] for name in SHOWN_TEXTS if isinstance(content.get(name), str)}
    return content | {name: screened(app, filters, text, how) for name, text in shown.items()}


def system_sender(given: dict[str, Any], where: str) -> Sender:
    """Return who a message of the system is from. Raises `SenderIdNotNull`, `SenderNameMissing`."""
    name, picture = given.get("name"), given.get("pic")
    if given.get("id") is not None:
        raise SenderIdNotNull(f"{where}.id: expected null")
    if not isinstance(name, str) or not 0 < len(name) <= NAME_MAX:
        raise SenderNameMissing(f"{where}.name: expected text of 1 to {NAME_MAX} characters")
    return Sender(None, name, picture[:PICTURE_MAX] if isinstance(picture, str) else None)
