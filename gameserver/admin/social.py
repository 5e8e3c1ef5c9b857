"""What staff do with what players say and how they band together: chat, and groups."""

from collections.abc import AsyncIterator, Mapping
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, String, and_, bindparam, literal_column, or_, select

from gameserver.admin.common import LIMIT_MAX, ORIGIN, Refused, Server, app_of, limit_of, reading
from gameserver.admin.declaring import Do, Rows, action, at_once, by_key
from gameserver.admin.operators import CLI, Operator, note
from gameserver.admin.rights import Right
from gameserver.domain.social import groups
from gameserver.domain.social.groups import members, social_groups
from gameserver.players.profiles import players
from gameserver.rpc import Context
from gameserver.services.chat import storage as chat
from gameserver.services.chat.base import ChatSettings, Kind, number_of
from gameserver.services.chat.posting import ChangeMessage
from gameserver.services.chat.system import system_delete
from gameserver.services.group.base import OfMember
from gameserver.services.group.changing import UpdateName, system_update_name
from gameserver.services.group.making import DeleteGroup, system_delete_group
from gameserver.services.group.managing import system_remove_member
from gameserver.storage import Row, locks
from gameserver.storage.beginnings import beginning, starts_with
from gameserver.storage.letters import behind, by_letters, not_before
from gameserver.wire.errors import GameError

LINES_MAX = 200
MEANT_MAX = 100_000  # groups that a name may mean where all of them are wanted
_ch, _m, _g, _in = chat.channels.c, chat.messages.c, social_groups.c, members.c
_CHANNELS = (
    select(_ch.channel_id, _ch.kind, _ch.used_ms)
    .where(_ch.app_id == bindparam("app"), _ch.kind == bindparam("kind"))
    .order_by(_ch.used_ms.desc(), _ch.channel_id.desc())
    .limit(bindparam("most"))
)
_CHANNELS_AFTER = _CHANNELS.where(
    _ch.used_ms <= bindparam("used"),
    or_(_ch.used_ms < bindparam("used"), _ch.channel_id < bindparam("last", type_=String)),
)
_CHANNEL = select(_ch.channel_id, _ch.used_ms).where(
    _ch.channel_id == bindparam("channel"), _ch.app_id == bindparam("app")
)
_LINES = (
    select(*chat.COLUMNS)
    .where(_m.channel_id == bindparam("channel"), _m.app_id.concat("") == bindparam("app", type_=String))
    .order_by(_m.number.desc())
    .limit(bindparam("most"))
)
_LINES_BEFORE = _LINES.where(_m.number < bindparam("before"))
_LINE = select(*chat.COLUMNS).where(
    _m.channel_id == bindparam("channel"), _m.number == bindparam("number"),
    _m.app_id.concat("") == bindparam("app", type_=String),
)  # fmt: skip
_LINES_OF = (
    select(*chat.COLUMNS)
    .where(_m.from_id == bindparam("profile"), _m.app_id.concat("") == bindparam("app", type_=String))
    .order_by(_m.created_ms.desc(), _m.number.desc())
    .limit(bindparam("most"))
)
_SHOWN = (
    _g.group_id, _g.name, _g.group_type, _g.owner_id, _g.is_open, _g.member_count, _g.invited_count,
    _g.requested_count, _g.version, _g.created_ms, _g.updated_ms,
)  # fmt: skip
_NEWEST = (_g.created_ms.desc(), _g.group_id.desc())
_GROUPS = select(*_SHOWN).where(_g.app_id == bindparam("app")).order_by(*_NEWEST).limit(bindparam("most"))
_GROUPS_AFTER = _GROUPS.where(
    _g.created_ms <= bindparam("created"),  # said so that an index begins there
    or_(
        _g.created_ms < bindparam("created"),
        and_(_g.created_ms == bindparam("created"), _g.group_id < bindparam("last", type_=String)),
    ),
)
_OLDEST_GROUPS = (
    select(*_SHOWN)
    .where(_g.app_id == bindparam("app"))
    .order_by(_g.created_ms, _g.group_id)
    .limit(bindparam("most"))
)
_OLDEST_GROUPS_AFTER = _OLDEST_GROUPS.where(
    _g.created_ms >= bindparam("created"),
    or_(
        _g.created_ms > bindparam("created"),
        and_(_g.created_ms == bindparam("created"), _g.group_id > bindparam("last", type_=String)),
    ),
)
_GROUPS_BY_NAME = (
    select(*_SHOWN)
    .where(_g.app_id == bindparam("app"))
    .order_by(by_letters(_g.name), _g.group_id)
    .limit(bindparam("most"))
)
_CALLED: ColumnElement[str] = bindparam("name", type_=String)
_GROUPS_BY_NAME_AFTER = _GROUPS_BY_NAME.where(
    not_before(_g.name, _CALLED),
    or_(behind(_g.name, _CALLED), _g.group_id > bindparam("last", type_=String)),
)
_SORTED = {
    "newest": (_GROUPS, _GROUPS_AFTER),
    "oldest": (_OLDEST_GROUPS, _OLDEST_GROUPS_AFTER),
    "name": (_GROUPS_BY_NAME, _GROUPS_BY_NAME_AFTER),
}
"""The first page of groups in an order, and a later one."""
_BY_NAME = select(*_SHOWN).where(_g.app_id == bindparam("app"), starts_with(_g.name)).limit(bindparam("most"))
_IDS_BY_NAME = (
    select(_g.group_id).where(_g.app_id == bindparam("app"), starts_with(_g.name)).limit(bindparam("most"))
)
_SOME = (
    select(*_SHOWN)
    .where(_g.group_id.in_(bindparam("ids", expanding=True)), groups.OF_APP)
    .order_by(_g.group_id)
)
_GROUP = select(*_SHOWN, _g.data, _g.summary_data, _g.acl_member, _g.acl_other).where(
    _g.group_id == bindparam("group"), groups.OF_APP
)
_MEMBERS = (
    select(_in.profile_id, _in.seat, _in.role, _in.since_ms, players.c.name)
    .select_from(members.outerjoin(players, players.c.profile_id == _in.profile_id))
    .where(groups.IN_GROUP, _in.profile_id > bindparam("after", type_=String))
    .order_by(_in.profile_id)
    .limit(bindparam("most"))
)
_OF_PLAYER = (
    select(_g.group_id, _g.name, _g.group_type, _in.seat, _in.role, _in.since_ms)
    .join(social_groups, _g.group_id == _in.group_id)
    .where(_in.profile_id == bindparam("profile"), groups.MEMBER_OF_APP)
    .order_by(_in.since_ms, _in.group_id)
    .limit(literal_column("500"))
)

# Chat


@action(Right.DATA_READ, "GET /apps/{app}/chat", pages=by_key("channel"))
async def chat_list(
    server: Server, app: str, kind: str = "gl", limit: int = 50, after: str = ""
) -> list[dict[str, Any]]:
    """Return channels of a kind to which somebody has posted, the last used first.

    `kind`: `gl` of all players, `gr` of a group, `dy` made by players, `sy` of servers. `after` is the id of
    the last one already seen.
    """
    definition, most = app_of(server, app), limit_of(limit)
    if kind not in Kind._value2member_map_:
        raise Refused("kinds of channels are gl, gr, dy and sy")
    async with reading(server, definition) as ctx:
        asked: dict[str, Any] = {"app": app, "kind": kind, "most": most}
        if after:
            last = await _channel(ctx, after)
            rows = await ctx.tx.all(_CHANNELS_AFTER, **asked, used=last["used_ms"], last=after)
        else:
            rows = await ctx.tx.all(_CHANNELS, **asked)
        named = [row["channel_id"].rpartition(":")[2] for row in rows] if kind == Kind.GROUP else []
        names = await groups.some(ctx.tx, app, named)
    declared = definition.section(ChatSettings).channels
    shown = []
    for row in rows:
        code = row["channel_id"].rpartition(":")[2]
        name = names[code].name if code in names else ""
        if kind == Kind.GLOBAL and code in declared:
            name = declared[code].name
        shown.append({"channel": row["channel_id"], "code": code, "name": name, "used_ms": row["used_ms"]})
    return shown


@action(Right.DATA_READ, "GET /apps/{app}/chat/{channel}", pages=by_key("line"))
async def chat_read(
    server: Server, app: str, channel: str, limit: int = 50, after: str = ""
) -> list[dict[str, Any]]:
    """Return lines of a channel, the newest first; `after` is the id of the last one already seen."""
    definition, most = app_of(server, app), limit_of(limit)
    async with reading(server, definition) as ctx:
        await _channel(ctx, channel)
        asked = {"channel": channel, "app": app, "most": most}
        if after:
            rows = await ctx.tx.all(_LINES_BEFORE, **asked, before=number_of(after))
        else:
            rows = await ctx.tx.all(_LINES, **asked)
    return [_line(row) for row in rows]


@action(Right.DATA_READ, "GET /apps/{app}/players/{profile}/chat", pages=at_once)
async def player_chat(server: Server, app: str, profile: str, limit: int = LINES_MAX) -> list[dict[str, Any]]:
    """Return what a player has said in chat, on all channels, the newest first: the last 200 lines."""
    definition, most = app_of(server, app), min(limit_of(limit), LINES_MAX)
    async with reading(server, definition) as ctx:
        rows = await ctx.tx.all(_LINES_OF, profile=profile, app=app, most=most)
    return [_line(row) for row in rows]


@action(Right.SOCIAL_MODERATE, "POST /apps/{app}/chat/{channel}/{line}/delete", dangerous=True)
async def chat_delete(
    server: Server, app: str, channel: str, line: str, *, by: Operator = CLI
) -> dict[str, Any]:
    """Delete a line of a chat; all who listen to the channel are told. The journal keeps what it said."""

    async def work(ctx: Context) -> dict[str, Any]:
        row = await ctx.tx.one(_LINE, channel=channel, number=number_of(line), app=app)
        if row is None:
            raise Refused("there is no such line any more")
        try:
            await system_delete(ctx, ChangeMessage(channel_id=channel, msg_id=line))
        except GameError as error:
            raise Refused(str(error)) from error
        await note(
            ctx,
            ctx.tx,
            by,
            "chat_delete",
            app,
            profile=row["from_id"],
            target=f"{channel} {line}",
            before=_line(row),
        )
        return {"deleted": line, "profile": row["from_id"]}

    return await server.runner.do(work, app_of(server, app), ORIGIN)


async def _channel(ctx: Context, channel: str) -> Row:
    row = await ctx.tx.one(_CHANNEL, channel=channel, app=ctx.app.id)
    if row is None:
        raise Refused("nobody has posted to this channel, or it is gone")
    return row


def _line(row: Row) -> dict[str, Any]:
    return {
        "channel": row["channel_id"],
        "line": str(row["number"]),
        "profile": row["from_id"],
        "name": row["from_name"],
        "content": row["content"],
        "version": row["version"],
        "at_ms": row["created_ms"],
        "updated_ms": row["updated_ms"],
    }


# Groups


async def _pages_of_groups(ask: Do, server: Server, arguments: Mapping[str, Any]) -> AsyncIterator[Rows]:
    """Read all groups, or those that a name finds; where these are many, in the order of their names."""
    name = arguments.get("name", "").strip()
    if not name:
        async for rows in by_key("group_id")(ask, server, arguments):
            yield rows
        return
    rows = await ask(limit=LIMIT_MAX)
    if len(rows) < LIMIT_MAX:
        yield rows
        return
    found: set[str] = set()
    async with server.core.database.read() as tx:
        asked = {"app": arguments["app"], "most": MEANT_MAX + 1}
        for spelt in _spelt(name):
            found |= {row["group_id"] for row in await tx.all(_IDS_BY_NAME, **asked, **beginning(spelt))}
    if len(found) > MEANT_MAX:
        raise Refused(f"more than {MEANT_MAX} groups have such a name: say more of it")
    ids = sorted(found)
    for start in range(0, len(ids), LIMIT_MAX):
        async with server.core.database.read() as tx:
            some = await tx.all(_SOME, app=arguments["app"], ids=ids[start : start + LIMIT_MAX])
        yield [{str(column.name): row[column.name] for column in _SHOWN} for row in some]


def _spelt(name: str) -> list[str]:
    """Return how a name may be spelt that somebody has typed."""
    return list(dict.fromkeys((name, name.lower(), name.capitalize(), name.title())))


@action(Right.DATA_READ, "GET /apps/{app}/groups", pages=_pages_of_groups)
async def group_list(
    server: Server, app: str, name: str = "", limit: int = 50, after: str = "", sort: str = "newest"
) -> list[dict[str, Any]]:
    """Return groups, the newest first; `after` is the id of the last one already seen.

    `sort`: `newest` or `oldest` first, or by `name`, in the order of letters' numbers. With `name`: those
    whose id it is, or whose name begins with it, as it is typed or with capital letters; these come by name.
    """
    definition, most, wanted = app_of(server, app), limit_of(limit), name.strip()
    if sort not in _SORTED:
        raise Refused(f"sort is one of {', '.join(_SORTED)}")
    async with reading(server, definition) as ctx:
        if wanted:
            one = await ctx.tx.one(_GROUP, group=wanted[:64], app=app)
            found = {} if one is None else {one["group_id"]: one}
            for spelt in _spelt(wanted):
                for row in await ctx.tx.all(_BY_NAME, app=app, most=most, **beginning(spelt)):
                    found.setdefault(row["group_id"], row)
            rows = sorted(found.values(), key=lambda row: (row["name"].casefold(), row["group_id"]))[:most]
        else:
            first, further = _SORTED[sort]
            if after:
                last = await _group(ctx, after)
                begun = {"name": last["name"]} if sort == "name" else {"created": last["created_ms"]}
                rows = list(await ctx.tx.all(further, app=app, most=most, last=after, **begun))
            else:
                rows = list(await ctx.tx.all(first, app=app, most=most))
    return [{str(column.name): row[column.name] for column in _SHOWN} for row in rows]


@action(Right.DATA_READ, "GET /apps/{app}/groups/{group}", pages=by_key("profile_id", "members"))
async def group_show(
    server: Server, app: str, group: str, limit: int = 100, after: str = ""
) -> dict[str, Any]:
    """Return a group with its members, and whom it has invited or who has asked to be let in.

    They come by their ids; `after` is the id of the last one already seen.
    """
    definition, most = app_of(server, app), limit_of(limit)
    async with reading(server, definition) as ctx:
        row = await _group(ctx, group)
        there = await ctx.tx.all(_MEMBERS, group=group, app=app, after=after, most=most)
    shown: dict[str, Any] = {str(column.name): row[column.name] for column in _SHOWN}
    shown |= {name: row[name] for name in ("data", "summary_data", "acl_member", "acl_other")}
    columns = ("profile_id", "name", "seat", "role", "since_ms")
    shown["members"] = [{name: each[name] for name in columns} for each in there]
    return shown


@action(Right.DATA_READ, "GET /apps/{app}/players/{profile}/groups", pages=at_once)
async def player_groups(server: Server, app: str, profile: str) -> list[dict[str, Any]]:
    """Return the groups that a player is in, is invited to, or has asked to be let into."""
    async with reading(server, app_of(server, app)) as ctx:
        rows = await ctx.tx.all(_OF_PLAYER, profile=profile, app=app)
    columns = ("group_id", "name", "group_type", "seat", "role", "since_ms")
    return [{name: row[name] for name in columns} for row in rows]


@action(Right.SOCIAL_MODERATE, "PUT /apps/{app}/groups/{group}/name", dangerous=True)
async def group_rename(
    server: Server, app: str, group: str, name: str, *, by: Operator = CLI
) -> dict[str, Any]:
    """Give a group another name, as for one that nobody should read. Returns the one before too."""
    if not name.strip():
        raise Refused("a group needs a name")

    async def work(ctx: Context) -> dict[str, Any]:
        await locks.take(ctx.tx, [groups.group_lock(app, group)])
        row = await _group(ctx, group)
        try:
            await system_update_name(ctx, msgspec.convert({"groupId": group, "name": name}, UpdateName))
        except (GameError, msgspec.ValidationError) as error:
            raise Refused(str(error)) from error
        await note(
            ctx, ctx.tx, by, "group_rename", app,
            target=group, before={"name": row["name"]}, after={"name": name},
        )  # fmt: skip
        return {"group": group, "name": name, "before": row["name"]}

    return await server.runner.do(work, app_of(server, app), ORIGIN)


@action(Right.SOCIAL_MODERATE, "DELETE /apps/{app}/groups/{group}", dangerous=True)
async def group_delete(server: Server, app: str, group: str, *, by: Operator = CLI) -> dict[str, Any]:
    """Delete a group with everything that belongs to it: its chat, its entities, its scores."""

    async def work(ctx: Context) -> dict[str, Any]:
        row = await _group(ctx, group)
        try:
            await system_delete_group(ctx, DeleteGroup(group_id=group))
        except GameError as error:
            raise Refused(str(error)) from error
        before = {str(column.name): row[column.name] for column in _SHOWN}
        await note(ctx, ctx.tx, by, "group_delete", app, target=group, before=before)
        return {"deleted": group, "name": row["name"], "members": row["member_count"]}

    return await server.runner.do(work, app_of(server, app), ORIGIN)


@action(Right.SOCIAL_MODERATE, "POST /apps/{app}/groups/{group}/members/{profile}/remove", dangerous=True)
async def group_member_remove(
    server: Server, app: str, group: str, profile: str, *, by: Operator = CLI
) -> dict[str, Any]:
    """Remove a member from a group. Its owner stays: the group is deleted, or handed over, instead."""

    async def work(ctx: Context) -> dict[str, Any]:
        role = await groups.role_of(ctx.tx, app, group, profile)
        try:
            await system_remove_member(ctx, OfMember(group_id=group, profile_id=profile))
        except GameError as error:
            raise Refused(str(error)) from error
        await note(
            ctx, ctx.tx, by, "group_member_remove", app,
            profile=profile, target=group, before={"role": None if role is None else str(role)},
        )  # fmt: skip
        return {"group": group, "removed": profile}

    return await server.runner.do(work, app_of(server, app), ORIGIN)


async def _group(ctx: Context, group: str) -> Row:
    row = await ctx.tx.one(_GROUP, group=group, app=ctx.app.id)
    if row is None:
        raise Refused("there is no such group any more")
    return row


ACTIONS = (
    chat_list,
    chat_read,
    player_chat,
    chat_delete,
    group_list,
    group_show,
    player_groups,
    group_rename,
    group_delete,
    group_member_remove,
)
