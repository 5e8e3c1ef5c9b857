"""Who gets into an account: mail for a new password, the end of all else, identities and names."""

import hashlib
import secrets
from typing import Any

from gameserver.admin.common import FACE, ORIGIN, Refused, Server, app_of, lock_player
from gameserver.admin.declaring import action
from gameserver.admin.operators import CLI, Operator, note
from gameserver.admin.rights import Right
from gameserver.apps import App, is_mail_address
from gameserver.players import identities, profiles, resets, tokens
from gameserver.players.resets import ResetRequest
from gameserver.players.termination import Actor
from gameserver.players.webhooks import IdentityDetached
from gameserver.rpc import Context, PacketFailed
from gameserver.scripts.trying import new_player
from gameserver.services.identity.base import opens_account
from gameserver.sessions import AllOf
from gameserver.storage import Row
from gameserver.wire.errors import InvalidParameterValue

SAMPLE_NAME = "Sample player"


def identity_ref(type_: str, key: str) -> str:
    """Return by what an identity is named to staff who may not see what the player logs in with."""
    return hashlib.sha256(f"{type_}\n{key}".encode("utf-8", "surrogatepass")).hexdigest()[:24]


@action(Right.PLAYERS_CHANGE, "POST /apps/{app}/players/{profile}/reset-mail")
async def player_reset_mail(server: Server, app: str, profile: str, *, by: Operator = CLI) -> dict[str, Any]:
    """Mail a player a link that sets a new password; the present one stays until the link is followed."""
    definition = app_of(server, app)
    asked = await _asked(server, definition, profile)
    if asked is None:
        raise Refused("there is no password that a mail could reset: no mail address, or nothing with one")
    if not asked.allowed:
        raise Refused("this address got several such mails in the last quarter of an hour; wait a little")

    async def work(ctx: Context) -> None:
        await lock_player(ctx.tx, app, profile)
        await _send(ctx, profile, asked)
        await note(server, ctx.tx, by, "player_reset_mail", app, profile=profile, target=asked.type)

    await server.runner.do(work, definition, ORIGIN)
    return {"profile_id": profile, "is_mailed": True, "type": asked.type}


@action(Right.PLAYERS_CHANGE, "POST /apps/{app}/players/{profile}/secure", dangerous=True)
async def player_secure(server: Server, app: str, profile: str, *, by: Operator = CLI) -> dict[str, Any]:
    """Take an account out of others' hands: end its sessions, and mail a link that sets a new password.

    The present passwords, and links and codes that are under way, open nothing any more. When no mail can be
    sent, sessions end and the passwords stay: `is_mailed` tells.
    """
    definition = app_of(server, app)
    asked = await _asked(server, definition, profile)
    mails = asked is not None and asked.allowed
    digest = await server.core.passwords.hash(secrets.token_urlsafe(32), "") if mails else ""

    async def work(ctx: Context) -> int:
        await lock_player(ctx.tx, app, profile)
        epoch = await profiles.raise_epoch(ctx.tx, app, profile)  # first: older links end with it
        if asked is not None and mails:
            await tokens.revoke_all(ctx.tx, app, profile)
            for row in await identities.all_of(ctx.tx, app, profile):
                if row["digest"] is not None:
                    key = row["external_key"]
                    await identities.set_digest(ctx.tx, app, profile, row["type"], key, digest)
            await _send(ctx, profile, asked)
        ctx.end_sessions(AllOf(app, profile), "revoked", epoch=epoch, why="secured")
        open_now = len(await server.core.sessions.list(app, profile))
        after = {"is_mailed": mails, "sessions_ended": open_now}
        await note(server, ctx.tx, by, "player_secure", app, profile=profile, after=after)
        return open_now

    ended = await server.runner.do(work, definition, ORIGIN)
    return {"profile_id": profile, "is_mailed": mails, "sessions_ended": ended}


@action(Right.PLAYERS_CHANGE, "DELETE /apps/{app}/players/{profile}/identities/{identity}", dangerous=True)
async def player_identity_remove(
    server: Server, app: str, profile: str, identity: str, *, last: bool = False, by: Operator = CLI
) -> dict[str, Any]:
    """Take from a player one of what they log in with; it is nobody's from then on.

    `identity` is as `player_show` names it. The last one goes only with `last`: then nobody can log in but
    from a device that knows the player. Open sessions stay.
    """

    async def work(ctx: Context) -> str:
        await lock_player(ctx.tx, app, profile)
        owned = await identities.all_of(ctx.tx, app, profile)
        named = {identity_ref(row["type"], row["external_key"]): row for row in owned}
        row = named.pop(identity, None)
        if row is None:
            raise Refused("the player has no such identity")
        if opens_account(row) and not last and not any(map(opens_account, named.values())):
            raise Refused("it is the last that the player can log in with; say that you mean it")
        await identities.remove(ctx.tx, app, profile, row["type"], row["external_key"])
        await tokens.revoke_all(ctx.tx, app, profile)
        await ctx.emit(IdentityDetached(profile_id=profile, authentication_type=row["type"]))
        types = sorted(each["type"] for each in owned)
        left = sorted(each["type"] for each in named.values())
        await note(
            server, ctx.tx, by, "player_identity_remove", app, profile=profile, target=row["type"],
            before=types, after=left,
        )  # fmt: skip
        return str(row["type"])

    type_ = await server.runner.do(work, app_of(server, app), ORIGIN)
    return {"profile_id": profile, "type": type_, "is_removed": True}


@action(Right.PLAYERS_CHANGE, "POST /apps/{app}/players/{profile}/name")
async def player_rename(
    server: Server, app: str, profile: str, name: str, *, by: Operator = CLI
) -> dict[str, Any]:
    """Give a player another name, in place of one that offends; empty: none."""
    try:
        name = profiles.check_line("the name", name.strip(), profiles.TEXT_MAX)
    except InvalidParameterValue as error:
        raise Refused(str(error)) from None

    async def work(ctx: Context) -> str:
        await lock_player(ctx.tx, app, profile)
        row = await profiles.read(ctx.tx, app, profile)
        before = "" if row is None else str(row["name"])
        await profiles.set_value(ctx.tx, app, profile, "name", name)
        await note(server, ctx.tx, by, "player_rename", app, profile=profile, before=before, after=name)
        return before

    before = await server.runner.do(work, app_of(server, app), ORIGIN)
    return {"profile_id": profile, "name": name, "before": before}


@action(Right.PLAYERS_CHANGE, "POST /apps/{app}/players/sample")
async def player_sample(server: Server, app: str, *, by: Operator = CLI) -> dict[str, Any]:
    """Make a player as a first login does, called "Sample player", to try things with."""
    definition = app_of(server, app)
    try:
        profile = await new_player(server.runner, definition)
    except PacketFailed as error:
        raise Refused(str(error)) from None
    await server.core.endings.end(definition, AllOf(app, profile), "revoked", Actor(FACE))
    return await player_rename(server, app, profile, SAMPLE_NAME, by=by)


ACTIONS = (player_sample, player_reset_mail, player_secure, player_identity_remove, player_rename)


async def _asked(server: Server, app: App, profile: str) -> ResetRequest | None:
    """Return the reset of the first password that a mail can set, counted; None when there is none."""
    async with server.core.database.read() as tx:
        row = await profiles.read(tx, app.id, profile)
        if row is None:
            raise Refused(f"app {app.id} has no player {profile}")
        owned = await identities.all_of(tx, app.id, profile)
    found = next((each for each in owned if _is_reached(each, row["contact_email"])), None)
    if found is None:
        return None
    identity = (found["type"], found["external_key"])
    return await resets.prepare(
        server.core.sessions, app, identity, None, app.mail.reset.minutes, address="", takes_sender=False
    )


def _is_reached(identity: Row, contact: str | None) -> bool:
    match identity["type"]:
        case "Email":
            return is_mail_address(identity["external_id"])
        case "Universal":
            return identity["digest"] is not None and bool(contact) and is_mail_address(contact or "")
        case _:
            return False


async def _send(ctx: Context, profile: str, asked: ResetRequest) -> None:
    core = ctx.core
    contact = await identities.find_contact(ctx.tx, ctx.app.id, asked.type, asked.key)
    if contact is None or contact["profile_id"] != profile:
        raise Refused("what the player logs in with has just changed; look again")
    send = await resets.issue(
        ctx.tx, ctx.app, asked, contact, core.mailer, core.public_url, now_ms=ctx.now_ms
    )
    if send is not None:
        ctx.after_commit(send)
