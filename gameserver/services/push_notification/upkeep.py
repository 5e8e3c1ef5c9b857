"""Templates, what the server does by itself, and a player's life."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated
from uuid import NAMESPACE_OID, uuid5

from msgspec import Meta

from gameserver.domain.push import delivering, sending, storage
from gameserver.domain.push.providers import Providers
from gameserver.domain.push.settings import PushSettings, language_of
from gameserver.domain.social import notices
from gameserver.domain.social.notices import TOURNAMENT_OVER, TournamentOver
from gameserver.frame import Parts
from gameserver.jobs import forget_of_apps
from gameserver.rpc import Access, Context, Tx
from gameserver.services.push_notification.base import service
from gameserver.storage import Transaction
from gameserver.wire.clock import Clock
from gameserver.wire.outgoing import Outgoing
from gameserver.wire.shapes import Reply, Request

# Templates


class GetTemplates(Request):
    default_language_code: Annotated[
        Annotated[str, Meta(max_length=32)] | None,
        Meta(
            description="The language to show texts in. Null or nothing, and where a template does not have "
            "it: that of the app.",
        ),
    ] = None


class PushTemplate(Reply):
    notification_template_id: Annotated[int, Meta(description="The number of the template.")]
    name: Annotated[str, Meta(description="Its name, for people.")]
    default_message: Annotated[str, Meta(description="What it says, in the language asked for.")]
    message: Annotated[str, Meta(description="The same as `defaultMessage`.")]
    updated_at: Annotated[
        int, Meta(description="When the app's definition last changed: ms since 1970-01-01 UTC.")
    ]


class Templates(Reply):
    push_templates: Annotated[list[PushTemplate], Meta(description="The templates, by their number.")]


@service.operation("SYS_GET_NOTIFICATION_TEMPLATES", tx=Tx.NONE, access=Access.SERVER)
async def get_templates(ctx: Context, request: GetTemplates) -> Templates:
    """List the notification templates that the app declares, with their texts in a language."""
    usual = ctx.app.default_language
    wanted = request.default_language_code or usual
    shown = []
    for number, template in sorted(
        ctx.section(PushSettings).templates.items(), key=lambda item: int(item[0])
    ):
        language = language_of(template.texts, wanted) or language_of(template.texts, usual)
        text = template.texts[language or next(iter(template.texts))]
        shown.append(
            PushTemplate(
                notification_template_id=int(number),
                name=template.name,
                default_message=text,
                message=text,
                updated_at=_changed_ms(ctx),
            )
        )
    return Templates(push_templates=shown)


def _changed_ms(ctx: Context) -> int:
    try:
        return max(round(file.stat().st_mtime * 1000) for file in ctx.app.path.glob("*.toml"))
    except (OSError, ValueError):  # it is being replaced
        return ctx.now_ms


# What the server does by itself


@service.lifespan
@asynccontextmanager
async def providers(parts: Parts) -> AsyncIterator[Providers]:
    """Those who deliver."""
    yield Providers(parts.get(Outgoing), parts.get(Clock))


@service.on(TOURNAMENT_OVER)
async def tell_of_tournament(tx: Transaction, over: TournamentOver) -> list[str]:
    """Send players, or the members of groups, the template that the tournament names when it is over."""
    if over.push_id is None or not over.member_ids:
        return []
    of_member = await notices.players_of(tx, over)
    name = f"{over.app_id}/{over.board_id}/{over.version}/{over.code}/{over.member_ids[0]}"
    push_id, values = str(uuid5(NAMESPACE_OID, name)), {"0": over.board_id, "leaderboardId": over.board_id}
    everybody = [profile_id for profile_ids in of_member.values() for profile_id in profile_ids]
    reached = await sending.send_template(
        tx, over.app_id, push_id, everybody, over.push_id, values, over.now_ms
    )
    return [member for member, profile_ids in of_member.items() if not set(reached).isdisjoint(profile_ids)]


service.runs(
    sending.BEGIN,
    delivering.DELIVER,
    forget_of_apps("pushNotification.forget", storage.DELIVERIES_EXPIRY, storage.kept_ms),
    forget_of_apps("pushNotification.forgetContents", storage.PUSHES_EXPIRY, storage.kept_ms),
)

# A player's life

service.keeps(*storage.KEPT)
