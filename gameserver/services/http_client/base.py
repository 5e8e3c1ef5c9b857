"""The service, its part of `app.toml`, and its refusals."""

from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Annotated

from msgspec import Meta, field

from gameserver.apps import Mistake, Settings, file_inside
from gameserver.apps.fields import FileReference, Name, WebAddress
from gameserver.apps.headers import HeaderName, HeaderValue, SecretHeader
from gameserver.apps.networks import network_mistakes
from gameserver.rpc import Service
from gameserver.wire.errors import GameError

SAMPLE = """\
# Web services that your servers and scripts may call with httpClient, by the code that they name. Nothing
# else can be called; and no address of a private network or of this machine, unless a service lists it.
#[httpClient.services.partner]
#url = "https://api.example.com/v1"
# How long a call may take, and the bytes of its answer.
#timeout_seconds = 10.0
#answer_bytes = 1048576
# Headers that every call has, and such with secrets; a call that brings a header of its own goes before.
#headers = { X-Game = "mine" }
#secret_headers = { Authorization = { value_env = "PARTNER_KEY" } }
# Networks that are not public and may be called all the same, such as ["10.1.0.0/16"].
#networks = []
# With authorities_file = "partner.pem", a file beside this one, its certificates vouch for the service.
# false adds no Accept header, for services that check signatures of all headers.
#default_accept = true
"""


class WebService(Settings, kw_only=True):
    """A web service that servers and scripts may call."""

    url: Annotated[WebAddress, Meta(description="What the addresses of all calls begin with.")]
    timeout_seconds: Annotated[
        float, Meta(ge=0.1, le=60, description="A call that takes longer has no answer.")
    ] = 10.0
    answer_bytes: Annotated[
        int, Meta(ge=1, le=8 << 20, description="A call whose answer is larger has none.")
    ] = 1 << 20
    headers: Annotated[
        dict[HeaderName, HeaderValue], Meta(description="Headers of every call that has none of this name.")
    ] = field(default_factory=dict)
    secret_headers: Annotated[
        dict[HeaderName, SecretHeader], Meta(description="The same, for values that nobody should know.")
    ] = field(default_factory=dict)
    networks: Annotated[
        list[str],
        Meta(description="Networks that are not public and may be called, such as 10.1.0.0/16 or ::1."),
    ] = field(default_factory=list)
    authorities_file: Annotated[
        FileReference, Meta(description="Certificates (PEM) that vouch for the service.")
    ] = ""
    default_accept: Annotated[
        bool, Meta(description="Whether calls without an Accept header get one that fits the answer wanted.")
    ] = True

    def mistakes(self, folder: Path) -> Iterator[Mistake]:
        """Yield what is no base of addresses, and networks that are none."""
        if "?" in self.url or "#" in self.url or "@" in self.url.split("://")[1].split("/")[0]:
            yield "url", "expected an address without ?, # and credentials; calls add the rest"
        yield from network_mistakes("networks", self.networks)
        if self.authorities_file:
            try:
                self.authorities(folder)
            except (OSError, ValueError) as error:
                yield "authorities_file", f"no certificates: {error}"
        yield from super().mistakes(folder)

    def authorities(self, folder: Path) -> str:
        """Return the certificates that vouch for it; `folder` is the app's. Raises OSError or ValueError."""
        if not self.authorities_file:
            return ""
        text = file_inside(folder, self.authorities_file).read_text("ascii")
        if "-----BEGIN CERTIFICATE-----" not in text:
            raise ValueError("expected certificates in the PEM format")
        return text


class HttpClientSettings(Settings, kw_only=True):
    """Web services that servers and scripts may call."""

    services: Annotated[dict[Name, WebService], Meta(description="By the code that calls name.")] = field(
        default_factory=dict
    )


service = Service("httpClient", section=HttpClientSettings, sample=SAMPLE)

# Errors


class UnknownService(GameError):
    """The app declares no web service of this code."""

    reason_code = 40443


class NoAnswer(GameError):
    """The web service has not answered in time, with as much as fits, or at an address that may be called."""

    status = HTTPStatus.INTERNAL_SERVER_ERROR
    reason_code = 40370
