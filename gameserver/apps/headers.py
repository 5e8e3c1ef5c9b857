"""Headers that definitions add to calls of others."""

from typing import Annotated

from msgspec import Meta

from gameserver.apps.definition import Settings
from gameserver.apps.fields import END, EnvironmentName

HeaderName = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}" + END,
        extra={"expected": "the name of a header such as X-Key"},
    ),
]
HeaderValue = Annotated[
    str,
    Meta(pattern=r"^[\t\x20-\x7e]*" + END, max_length=4096, extra={"expected": "the value of a header"}),
]


class SecretHeader(Settings, kw_only=True):
    """The value of a header that nobody else should know."""

    value: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=4096,
            pattern=r"^[\t\x20-\x7e]*" + END,
            description="The whole value. Or name an environment variable in value_env.",
            extra={"secret": "required"},
        ),
    ] = ""
    value_env: EnvironmentName = ""
