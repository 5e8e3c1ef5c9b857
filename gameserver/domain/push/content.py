"""What a notification says, and the form in which each provider takes it."""

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from gameserver.domain.push.settings import TemplateSettings, language_of
from gameserver.wire.errors import GameError, InvalidParameterValue, PacketTooLarge

PAYLOAD_MAX = 4096  # bytes that Apple and Firebase take, in UTF-8
WEB_PAYLOAD_MAX = 3993  # what fits into one encrypted record of 4096 bytes
SUBSTITUTIONS_MAX = 64
_FORMAT = re.compile(r"''|'([{}][^']*)(?:'|$)|\{([A-Za-z0-9_]{1,64})\}")
_OF_V1 = {"notification", "data", "android", "apns", "webpush", "fcm_options"}
_BARE = {"title", "body", "image"}  # of a notification for all platforms; the rest is Android's
_ANDROID = {
    "icon": "icon",
    "color": "color",
    "sound": "sound",
    "tag": "tag",
    "click_action": "click_action",
    "body_loc_key": "body_loc_key",
    "body_loc_args": "body_loc_args",
    "title_loc_key": "title_loc_key",
    "title_loc_args": "title_loc_args",
    "android_channel_id": "channel_id",
}


class MissingBody(GameError):
    """The notification says nothing."""

    reason_code = 40442


class Alert(msgspec.Struct, omit_defaults=True):
    """What people read."""

    body: str
    title: str = ""


class Content(msgspec.Struct, omit_defaults=True):
    """A notification: an alert by language with data of the game, or what is ready for each provider.

    The alert under "" is for whoever has none in their language.
    """

    alerts: dict[str, Alert] = {}
    custom: dict[str, Any] = {}
    fcm: dict[str, Any] | None = None
    ios: dict[str, Any] | None = None
    web: dict[str, Any] | None = None

    def alert(self, language: str) -> Alert:
        """Return the alert in a language, or the usual one."""
        found = language_of({name: name for name in self.alerts if name}, language)
        return self.alerts[found or ""]


# Making


def of_text(body: str, title: str = "", custom: Mapping[str, Any] | None = None) -> Content:
    """Make a notification of a text. Raises `MissingBody`, `PacketTooLarge`."""
    if not body.strip():
        raise MissingBody("the notification says nothing")
    return checked(Content(alerts={"": Alert(body, title)}, custom=dict(custom or {})))


def of_alert(alert: Mapping[str, Any], custom: Mapping[str, Any] | None) -> Content:
    """Make a notification of `{body, title}`. Raises `MissingBody`, `InvalidParameterValue`, and the like."""
    body, title = alert.get("body"), alert.get("title")
    if not all(text is None or isinstance(text, str) for text in (body, title)):
        raise InvalidParameterValue("data.alertContent: expected texts under body and title")
    return of_text(body or "", title or "", custom)


def of_template(template: TemplateSettings, language: str, values: Mapping[str, Any] | None) -> Content:
    """Fill a template in all its languages; `language` is the app's own.

    Raises `MissingBody` where it says nothing in one of them, `PacketTooLarge`, `InvalidParameterValue`.
    """
    values = values or {}
    if len(values) > SUBSTITUTIONS_MAX:
        raise InvalidParameterValue(f"data.substitutions: at most {SUBSTITUTIONS_MAX}")
    if not all(isinstance(value, (str, int, float)) for value in values.values()):
        raise InvalidParameterValue("data.substitutions: expected texts and numbers")
    texts = {name: filled(text, values) for name, text in template.texts.items()}
    if not all(text.strip() for text in texts.values()):
        raise MissingBody("filled with these substitutions, the notification says nothing")
    titles = {name: filled(text, values) for name, text in template.titles.items()}
    usual = language_of(template.texts, language) or next(iter(template.texts))
    alerts = {name: Alert(text, _title(titles, name, usual)) for name, text in texts.items()}
    return checked(Content(alerts={**alerts, "": alerts[usual]}))


def _title(titles: dict[str, str], language: str, usual: str) -> str:
    name = language_of(titles, language) or language_of(titles, usual)
    return "" if name is None else titles[name]


def filled(text: str, values: Mapping[str, Any]) -> str:
    """Put values into a text, as Java's MessageFormat does: {0} is a value, '' an apostrophe, '{' a brace.

    A placeholder without a value stays. An apostrophe that stands before no brace is itself.
    """

    def value(found: re.Match[str]) -> str:
        quoted, name = found[1], found[2]
        if name is not None:
            return _text(values[name]) if name in values else found[0]
        return "'" if quoted is None else quoted

    return _FORMAT.sub(value, text)


def raw(
    fcm: Mapping[str, Any] | None, ios: Mapping[str, Any] | None, web: Mapping[str, Any] | None = None
) -> Content:
    """Make a notification of what is ready for providers. Raises `InvalidParameterValue` and the like."""
    content = Content(
        fcm=None if fcm is None else dict(fcm),
        ios=None if ios is None else dict(ios),
        web=None if web is None else dict(web),
    )
    if fcm is not None:
        _of_legacy(content.fcm or {})
    return checked(content)


def checked(content: Content) -> Content:
    """Return a notification that all providers take. Raises `PacketTooLarge` for one that is too large."""
    for language in content.alerts or ("",):
        sizes = {
            "FCM": (_size(for_fcm(content, language)), PAYLOAD_MAX),
            "iOS": (_size(for_apns(content, language)), PAYLOAD_MAX),
            "web": (_size(for_web(content, language)), WEB_PAYLOAD_MAX),
        }
        for what, (size, most) in sizes.items():
            if size > most:
                raise PacketTooLarge(f"the {what} form of the notification has {size} bytes, at most {most}")
    return content


def _size(form: Any) -> int:
    return 0 if form is None else len(msgspec.json.encode(form))


# The forms


def for_fcm(content: Content, language: str, tag: str = "") -> dict[str, Any] | None:
    """Return the message that Firebase takes, without its token; None where there is none for it.

    `tag` lets a notification that comes twice take the place of the first, where it has no tag of its own.
    """
    if not content.alerts:
        return None if content.fcm is None else _of_legacy(content.fcm)
    message: dict[str, Any] = {"notification": _alert(content.alert(language))}
    if content.custom:
        message["data"] = {name: _text(value) for name, value in content.custom.items()}
    if tag:
        message["android"] = {"notification": {"tag": tag}}
    return message


def for_apns(content: Content, language: str) -> dict[str, Any] | None:
    """Return the payload that Apple takes; None where there is none for it."""
    if not content.alerts:
        return content.ios
    own = {name: value for name, value in content.custom.items() if name != "aps"}
    return {**own, "aps": {"alert": _alert(content.alert(language)), "sound": "default"}}


def for_web(content: Content, language: str) -> dict[str, Any] | None:
    """Return what a service worker gets: `notification` and `data`; None where there is nothing for it."""
    if content.alerts:
        shown: dict[str, Any] = {"notification": _alert(content.alert(language))}
        return {**shown, "data": content.custom} if content.custom else shown
    if content.web is not None:
        return content.web
    if content.fcm is None:
        return None
    return {name: content.fcm[name] for name in ("notification", "data") if name in content.fcm}


def _alert(alert: Alert) -> dict[str, str]:
    return {"title": alert.title, "body": alert.body} if alert.title else {"body": alert.body}


def _of_legacy(given: dict[str, Any]) -> dict[str, Any]:
    """Write the older form of a message, which SDKs document, as today's; what names receivers is left out.

    Raises `InvalidParameterValue` for members of the wrong kind.
    """
    message = {name: value for name, value in given.items() if name in _OF_V1}
    for name, value in message.items():
        if not isinstance(value, dict):
            raise InvalidParameterValue(f"data.fcmContent.{name}: expected an object")
    android: dict[str, Any] = dict(message.get("android", {}))
    if not isinstance(android.get("notification", {}), dict):
        raise InvalidParameterValue("data.fcmContent.android.notification: expected an object")
    if "notification" in message:
        shown = message["notification"]
        message["notification"] = {name: value for name, value in shown.items() if name in _BARE}
        if own := {_ANDROID[name]: value for name, value in shown.items() if name in _ANDROID}:
            android["notification"] = {**own, **android.get("notification", {})}
    if "data" in message:
        message["data"] = {name: _text(value) for name, value in message["data"].items()}
    if str(given.get("priority", "")).lower() in ("high", "normal"):
        android.setdefault("priority", str(given["priority"]).upper())
    if isinstance(given.get("collapse_key"), str):
        android.setdefault("collapse_key", given["collapse_key"])
    if isinstance(given.get("time_to_live"), int):
        android.setdefault("ttl", f"{given['time_to_live']}s")
    return {**message, "android": android} if android else message


def _text(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
