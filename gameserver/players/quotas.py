"""What one player, or one network address, may take of a server that all share.

The limits are those of the app's `[quotas]`. They are for clients; what servers of the studio do is not
counted.
"""

from typing import Annotated

from msgspec import Meta

from gameserver.apps import App, Settings
from gameserver.storage import Payer

SECTION = "quotas"
SAMPLE = """\
# What one player, or one network address, may take of the server. Who takes more is refused, with the name
# of the limit. Servers of yours have no such limits.
[quotas]
# Seconds of the database's time that a player's searches may take in a minute.
#search_seconds = 10.0
"""


class QuotaSettings(Settings, kw_only=True):
    """What one player, or one network address, may take of the server."""

    search_seconds: Annotated[
        float,
        Meta(
            ge=0.1,
            le=3600,
            description="Seconds of the database's time that a player's searches may take in a minute.",
        ),
    ] = 10.0


_UNLIMITED = 1e9


def payer(app: App, profile_id: str | None, address: str, *, is_server: bool) -> Payer:
    """Return who pays for what a packet reads: the player, who is at the address, or the app's servers."""
    if is_server:
        return Payer(f"{app.id}/servers", _UNLIMITED)
    return Payer(profile_id or f"{app.id}/{address}", app.section(QuotaSettings).search_seconds)
