"""The cookie that carries a session for browsers, and which pages may use it.

A browser sends the cookie along whoever asks it to, so what changes something looks at where a request comes
from: the server's own pages, and those of the origins an app names.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from msgspec import Meta, field

from gameserver.apps import Mistake, Settings
from gameserver.sessions import digest_of

_END = r"$(?!\n)"  # a bare $ also matches before a last line feed

CookieName = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9_-]{1,64}" + _END,
        description="Name of the cookie. One that begins with __Host- cannot be set by neighbouring domains.",
        extra={"expected": "1 to 64 letters, digits, - or _"},
    ),
]
WebOrigin = Annotated[
    str,
    Meta(
        pattern=r"^https?://[a-z0-9.\[\]:_-]{1,253}" + _END,
        extra={"expected": "an origin such as https://play.example.com, in small letters, without a path"},
    ),
]

_GUARDED_PREFIXES = ("__host-", "__secure-")

SAMPLE = """\
# The cookie that a login over a web endpoint sets, and that logging out takes away.
[cookie]
#name = "gameserver_session"
# "auto": browsers send it over TLS only if it was set over TLS. "always" is for a proxy that does the TLS,
# and for names that begin with "__Host-".
#secure = "auto"
# Pages of other origins that may use the cookie. Those of the server itself always may.
#origins = ["https://play.example.com"]
"""


class CookieSettings(Settings, kw_only=True):
    """The cookie that carries a session for browsers."""

    name: CookieName = "gameserver_session"
    secure: Annotated[
        Literal["auto", "always"],
        Meta(
            description="auto: the cookie is Secure when the login came over TLS. "
            "always: also when this server cannot see that it did."
        ),
    ] = "auto"
    origins: Annotated[
        list[WebOrigin],
        Meta(description="Origins, besides the server's own, whose pages may send requests with the cookie."),
    ] = field(default_factory=list)

    def mistakes(self, folder: Path) -> Iterator[Mistake]:
        """Yield a name that browsers accept on secure cookies only."""
        if self.name.lower().startswith(_GUARDED_PREFIXES) and self.secure != "always":
            yield "name", 'browsers take a cookie of this name only with secure = "always"'
        yield from super().mistakes(folder)


def read_session_id(headers: Mapping[str, str], settings: CookieSettings) -> str:
    """The session id in a request's cookie; empty when there is none. Other texts are passed over."""
    for pair in headers.get("cookie", "").split(";"):
        name, _, value = pair.strip().partition("=")
        if name == settings.name and digest_of(value) is not None:
            return value
    return ""


def set_cookie(settings: CookieSettings, session_id: str, *, tls: bool) -> str:
    """The header that hands a session to a browser, until it is closed. Scripts cannot read it."""
    return _header(settings, session_id, tls=tls)


def clear_cookie(settings: CookieSettings, *, tls: bool) -> str:
    """The header that takes the cookie away."""
    return _header(settings, "", tls=tls) + "; Max-Age=0"


def _header(settings: CookieSettings, value: str, *, tls: bool) -> str:
    secure = "; Secure" if tls or settings.secure == "always" else ""
    return f"{settings.name}={value}; Path=/; HttpOnly; SameSite=Lax{secure}"


def is_from_browser(headers: Mapping[str, str]) -> bool:
    """Tell whether a page sent the request, as far as its headers show."""
    return "origin" in headers or "sec-fetch-site" in headers


def is_foreign(headers: Mapping[str, str], settings: CookieSettings) -> bool:
    """Tell whether a page of somebody else had the browser send this request.

    Browsers say so in `Sec-Fetch-Site`, on TLS and on this machine, and in `Origin`, except with GET. A
    request with neither comes from a program, or is a GET of an old browser.
    """
    origin = headers.get("origin", "")
    if origin and origin in settings.origins:
        return False
    site = headers.get("sec-fetch-site", "")
    if site:
        return site not in ("same-origin", "none")
    # The scheme is not compared: behind a proxy that does the TLS it differs.
    return bool(origin) and urlsplit(origin).netloc != headers.get("host", "")


def cors_headers(headers: Mapping[str, str], settings: CookieSettings) -> dict[str, str]:
    """What lets a page of an origin that the app names read the answer; nothing for others."""
    origin = headers.get("origin", "")
    if not settings.origins:
        return {}
    if origin not in settings.origins:
        return {"Vary": "Origin"}
    return {
        "Vary": "Origin",
        "Access-Control-Allow-Origin": origin,
        "Access-Control-Allow-Credentials": "true",
    }
