"""What becomes of channels and messages in time."""

from gameserver.apps import App
from gameserver.jobs import forget_of_apps
from gameserver.services.chat import storage
from gameserver.services.chat.base import ChatSettings, service
from gameserver.storage.timeline import DAY_MS


def kept_ms(app: App) -> int:
    """How long an app wants messages to be kept."""
    return app.section(ChatSettings).keep_days * DAY_MS


def idle_ms(app: App) -> int:
    """How long a dynamic channel stays to which nobody posts."""
    return app.section(ChatSettings).dynamic_idle_days * DAY_MS


service.keeps(storage.KEPT)
service.runs(
    forget_of_apps("chat.forget", storage.MESSAGES_EXPIRY, kept_ms),
    forget_of_apps("chat.forget_channels", storage.IDLE_EXPIRY, idle_ms),
)
