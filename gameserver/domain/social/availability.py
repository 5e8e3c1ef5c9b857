"""Whether an app has real-time connections, on which chat and the presence of players lean."""

from typing import Annotated

from msgspec import Meta

from gameserver.apps import App, Settings
from gameserver.wire.errors import GameError

SAMPLE = """\
# Real-time connections: chat, presence, messages and events that arrive by themselves.
[rttRegistration]
#enabled = true
"""


class RealtimeSettings(Settings, kw_only=True):
    """Real-time connections."""

    enabled: Annotated[bool, Meta(description="Whether players and servers may have connections.")] = True


class RealtimeDisabled(GameError):
    """The app has no real-time connections."""

    reason_code = 40601


def check_enabled(app: App) -> None:
    """Raise `RealtimeDisabled` where the app has no real-time connections."""
    if not app.section(RealtimeSettings).enabled:
        raise RealtimeDisabled(f"app {app.id} has no real-time connections")
