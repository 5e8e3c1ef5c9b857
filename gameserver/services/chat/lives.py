"""What becomes of channels and messages in time, and when somebody leaves a group."""

from collections.abc import Collection, Sequence

import structlog

from gameserver.apps import App
from gameserver.domain.social import friends, groups
from gameserver.domain.social.groups import GROUP_DELETE, MEMBER_GONE, GroupWork
from gameserver.frame import Parts
from gameserver.jobs import Job, JobRun, enqueue, forget_of_apps
from gameserver.realtime import Channels
from gameserver.services.chat import storage
from gameserver.services.chat.base import ChatSettings, Kind, channel_of, kept_ms, service
from gameserver.sessions import SessionsUnavailable
from gameserver.storage.timeline import DAY_MS

log = structlog.get_logger(__name__)


async def expel(run: JobRun) -> None:
    """See to it that nobody listens to the channel of a group who is no member.

    That is done right after the commit, too; but then a crash may forget it, or Redis may be away.
    """
    app_id, group_id, profile_id = (run.payload[name] for name in ("app", "group", "profile"))
    async with run.database.read() as tx:
        role = await groups.role_of(tx, app_id, group_id, profile_id)
    if role is None:
        room = channel_of(app_id, Kind.GROUP, group_id).room
        await run.get(Channels).expel(app_id, profile_id, room)


EXPEL = Job("chat.expel", expel, at_once=10)


@service.on(MEMBER_GONE)
async def leave_channel(work: GroupWork, group_id: str, profile_id: str) -> None:
    """Let a player who leaves a group listen to its channel no longer, in any process."""
    app_id = work.app.id
    room = channel_of(app_id, Kind.GROUP, group_id).room
    gone = {"app": app_id, "group": group_id, "profile": profile_id}
    await enqueue(work.tx, EXPEL, f"{group_id}/{profile_id}", gone, at_ms=work.now_ms)

    async def expel_now() -> None:
        try:
            await work.core.get(Channels).expel(app_id, profile_id, room)
        except SessionsUnavailable as error:  # a process that hangs is asked again by the job
            log.info("expel_postponed", reason=str(error))

    work.after_commit(expel_now)


@service.on(GROUP_DELETE)
async def delete_channel(work: GroupWork, group_id: str, _: Sequence[str]) -> None:
    """Delete the channel of a group that goes."""
    channel = channel_of(work.app.id, Kind.GROUP, group_id)
    await work.tx.run(storage.DELETE_CHANNEL, channel=channel.id)

    async def disband() -> None:
        work.core.get(Channels).disband(channel.room)

    work.after_commit(disband)


@service.on(friends.PLAYER_BLOCKED)
async def mute(parts: Parts, app_id: str, profile_id: str, others: Collection[str]) -> None:
    """Let a player hear nothing more of those whom they block, in any channel."""
    await parts.get(Channels).mute(app_id, profile_id, list(others))


@service.on(friends.PLAYER_UNBLOCKED)
async def unmute(parts: Parts, app_id: str, profile_id: str, others: Collection[str]) -> None:
    """Let a player hear those again whom they block no longer."""
    await parts.get(Channels).unmute(app_id, profile_id, list(others))


def idle_ms(app: App) -> int:
    """How long a dynamic channel stays to which nobody posts."""
    return app.section(ChatSettings).dynamic_idle_days * DAY_MS


service.keeps(storage.KEPT)
service.runs(
    EXPEL,
    forget_of_apps("chat.forget", storage.MESSAGES_EXPIRY, kept_ms),
    forget_of_apps("chat.forget_channels", storage.IDLE_EXPIRY, idle_ms),
)
