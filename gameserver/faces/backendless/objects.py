"""Users as objects: finding and changing them, their roles, and who is locked out."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Literal

import msgspec

from gameserver.faces.backendless import properties
from gameserver.faces.backendless.call import FACE, Call, LoggedIn
from gameserver.faces.backendless.errors import Code, Refused
from gameserver.faces.backendless.settings import AUTHENTICATED, NOT_AUTHENTICATED, SYSTEM_ROLES
from gameserver.players import accounts, identities, links, profiles, roles, users
from gameserver.players.accounts import WeakPassword
from gameserver.sessions import AllBut, AllOf, Selector
from gameserver.storage import Row, Transaction

PAGE_SIZE, PAGE_SIZE_MAX = 10, 100
OFFSET_MAX = 10_000


class RoleChange(msgspec.Struct, rename="camel"):
    """Whose role changes: an identity or an objectId."""

    user: str | int | None = None
    role_name: str | None = None


class StatusChange(msgspec.Struct, rename="camel"):
    """What becomes of an account."""

    user_status: Literal["ENABLED", "DISABLED"]


# Finding


async def find_by_id(call: Call) -> dict[str, Any]:
    """A user: all of themselves, and what is public of others."""
    viewer = await call.may_look()
    if viewer is not None and viewer.profile_id == call.path["id"]:
        return properties.view(call.app, viewer.row)
    row = await call.read_user(call.path["id"])
    if row is None:
        raise Refused(Code.NO_SUCH_OBJECT, "There is no user with this objectId.")
    return properties.view(call.app, row) if viewer is None else properties.public_view(call.app, row)


async def find_by_role(call: Call) -> list[dict[str, Any]]:
    """The users with a role, a page at a time, in order of their objectIds."""
    user = await call.may_look()
    viewer = user.profile_id if user is not None else None
    role = _known_role(call, call.path["role"])
    most = _number(call, "pageSize", PAGE_SIZE, 1, PAGE_SIZE_MAX)
    offset = _number(call, "offset", 0, 0, OFFSET_MAX)
    if unknown := set(call.query) - {"loadRoles", "pageSize", "offset"}:
        raise Refused(Code.UNREADABLE, f"Users with a role cannot be queried by '{min(unknown)[:64]}'.")
    async with call.core.database.read() as tx:
        rows = await roles.users_with(
            tx, call.app.id, role, call.settings.identity_type, most=most, offset=offset
        )
        found = [properties.view_for(call.app, row, viewer) for row in rows]
        if call.query.get("loadRoles") == "true":
            given = await roles.of_players(tx, call.app.id, [shown["objectId"] for shown in found])
            for shown in found:
                shown["roles"] = _declared(call, given[shown["objectId"]])
    return found


async def describe_class(call: Call) -> list[dict[str, Any]]:
    """The properties of users: those that are declared, and those that users were given."""
    undeclared: dict[str, str] = {}
    if call.settings.dynamic_properties:
        async with call.core.database.read() as tx:
            undeclared = await users.undeclared_properties(tx, call.app.id)
    return properties.columns(call.settings, undeclared)


def _number(call: Call, name: str, otherwise: int, least: int, most: int) -> int:
    text = call.query.get(name)
    if text is None:
        return otherwise
    if (
        not text.isascii()
        or not text.isdigit()
        or len(text) > len(str(most))
        or not least <= int(text) <= most
    ):
        raise Refused(Code.UNREADABLE, f"{name}: expected a number from {least} to {most}.")
    return int(text)


# Changing


async def change(call: Call) -> dict[str, Any]:
    """Change the user who is logged in, or any user on a server's authority; returns the whole user."""
    caller = None if call.by_server else await call.must_be_logged_in()
    profile_id = call.path["id"]
    if caller is not None and caller.profile_id != profile_id:
        raise Refused(Code.ANOTHER_USER, "Properties of another user cannot be changed.")
    given = call.properties()
    accepted = properties.accept(call.settings, given, Code.CANNOT_UPDATE)
    digest = await _new_digest(call, given)
    epoch: int | None = None
    before: Row | None = None

    async def store(tx: Transaction) -> Row:
        if not await users.lock(tx, call.app.id, profile_id):
            raise Refused(Code.NO_SUCH_USER_ID, "There is no user with this objectId.")
        row = await users.read(tx, call.app.id, profile_id, call.settings.identity_type)
        assert row is not None, "the user is locked"
        nonlocal before
        before = row
        await _change_logins(call, tx, row, given, digest)
        await keep_properties(call, tx, row["profile_id"], row["properties"], accepted, Code.CANNOT_UPDATE)
        if digest is not None:
            nonlocal epoch
            epoch = await profiles.raise_epoch(tx, call.app.id, profile_id)
            # Before the commit: should the server die right after it, nobody is left logged in.
            await _end_others(call, caller, profile_id, in_transaction=True)
        row = await users.read(tx, call.app.id, profile_id, call.settings.identity_type)
        assert row is not None, "the user is locked"
        return row

    row = await call.write(store)
    if digest is not None:
        await _end_others(call, caller, profile_id, epoch=epoch)  # logins that were on their way
    assert before is not None, "it was read before it was changed"
    _tell(call, before, row, password_changed=digest is not None)
    return properties.view(call.app, row)


def _tell(call: Call, before: Row, after: Row, *, password_changed: bool) -> None:
    """Mail the address that the user had before what was changed."""
    type_, core = call.settings.identity_type, call.core
    to, now = links.mailbox(before, type_), links.mailbox(after, type_)
    for template, wanted in (("password_changed", password_changed), ("address_changed", to != now)):
        if wanted:
            links.notify(core.mailer, core.sessions, call.app, template, to, before["language_code"])


async def keep_properties(
    call: Call,
    tx: Transaction,
    profile_id: str,
    stored: str | None,
    changes: Mapping[str, Any],
    misfit: Code,
) -> None:
    """Change the properties of a user; `stored` was read after they were locked. Refuses too many."""
    try:
        await users.change_properties(tx, profile_id, stored, changes, call.now_ms)
        undeclared = {
            name: properties.kind_of(value)
            for name, value in changes.items()
            if value is not None and name not in call.settings.properties
        }
        await users.note_properties(tx, call.app.id, undeclared)
    except users.TooManyProperties as error:
        raise Refused(misfit, str(error)) from None


async def _new_digest(call: Call, given: Mapping[str, Any]) -> str | None:
    if given.get("password") is None:
        return None
    password = properties.as_text("password", given["password"], Code.CANNOT_UPDATE)
    if not password:
        raise Refused(Code.NO_PASSWORD, "The property 'password' is empty.")
    properties.check_password(password)
    try:
        return await call.core.accounts.new_digest(call.app, password, address=call.address)
    except WeakPassword as error:
        raise Refused(Code.CANNOT_UPDATE, str(error)) from None


async def _change_logins(
    call: Call, tx: Transaction, row: Row, given: Mapping[str, Any], digest: str | None
) -> None:
    """Change what the user logs in with, their password, and where their mail goes."""
    app, settings, profile_id = call.app, call.settings, row["profile_id"]
    type_, old = settings.identity_type, row["external_id"]
    new = properties.read_identity(settings, given, Code.CANNOT_UPDATE)
    if old is None and (new or digest is not None):
        raise Refused(Code.CANNOT_UPDATE, "The user has nothing to log in with: register them first.")
    if new and new != old:
        if not await users.rename_identity(tx, app.id, profile_id, type_, old, new):
            raise Refused(Code.IDENTITY_TAKEN, f"Another user has this value of '{settings.identity}'.")
        old = new
    if digest is not None:
        await identities.set_digest(tx, app.id, profile_id, type_, accounts.identity_key(type_, old), digest)
    email = new if settings.identity == "email" else properties.read_email(given, Code.CANNOT_UPDATE)
    if email and email != row["contact_email"]:
        await profiles.set_value(tx, app.id, profile_id, "contact_email", email)


async def _end_others(
    call: Call,
    caller: LoggedIn | None,
    profile_id: str,
    *,
    epoch: int | None = None,
    in_transaction: bool = False,
) -> None:
    """A password was changed: whoever logged in with the old one is logged out."""
    selector: Selector = AllOf(call.app.id, profile_id)
    if caller is not None:
        selector, epoch = AllBut(call.app.id, profile_id, caller.session.digest), None
    await call.end(selector, "revoked", why="password_reset", epoch=epoch, in_transaction=in_transaction)


async def set_status(call: Call) -> None:
    """Lock a user out, and end their sessions in every face; or let them in again. For servers."""
    if not call.by_server:
        raise Refused(Code.STATUS_IS_FOR_SERVERS, "The status of users can be changed by servers only.")
    disabled = call.read(StatusChange).user_status == "DISABLED"
    profile_id = call.path["id"]

    everything = AllOf(call.app.id, profile_id)

    async def store(tx: Transaction) -> int:
        epoch = await users.set_disabled(tx, call.app.id, profile_id, disabled=disabled, through=FACE)
        if epoch is None:
            raise Refused(Code.NO_SUCH_USER_ID, "There is no user with this objectId.")
        if disabled:  # before the commit: should the server die right after it, nobody is left logged in
            await call.end(everything, "disabled", why="disabled", in_transaction=True)
        return epoch

    epoch = await call.write(store)
    if disabled:  # again, for logins that were on their way
        await call.end(everything, "disabled", why="disabled", epoch=epoch)


# Roles


async def own_roles(call: Call) -> list[str]:
    """The roles of who is calling, `NotAuthenticatedUser` when nobody is logged in."""
    user = await call.logged_in()
    if user is None:
        return [NOT_AUTHENTICATED]
    return await _roles_of(call, user.row)


async def user_roles(call: Call) -> list[str]:
    """The roles of a user."""
    await call.may_look()
    row = await call.read_user(call.path["id"])
    if row is None:
        raise Refused(Code.NO_SUCH_USER, "There is no user with this objectId.")
    return await _roles_of(call, row)


async def _roles_of(call: Call, row: Row) -> list[str]:
    """Guests have not said who they are, so they are not authenticated."""
    given: list[str] = []
    if call.settings.roles:
        async with call.core.database.read() as tx:
            given = await roles.of_player(tx, call.app.id, row["profile_id"])
    return [NOT_AUTHENTICATED if row["is_guest"] else AUTHENTICATED, *_declared(call, given)]


def _declared(call: Call, given: list[str]) -> list[str]:
    """Leave out roles that the operator has removed from the app since they were given."""
    return [role for role in given if role in call.settings.roles]


async def assign_role(call: Call) -> None:
    """Give a user a role. For servers."""
    await _change_role(call, Code.SYSTEM_ROLE_ASSIGNED, _add)


async def unassign_role(call: Call) -> None:
    """Take a role from a user. For servers."""
    await _change_role(call, Code.SYSTEM_ROLE_UNASSIGNED, _remove)


async def _add(call: Call, tx: Transaction, profile_id: str, role: str) -> None:
    """What assigning does in SQL; having the role already is as good."""
    await roles.add(tx, call.app.id, profile_id, role, call.now_ms)


async def _remove(call: Call, tx: Transaction, profile_id: str, role: str) -> None:
    """What unassigning does in SQL; not having the role is as good."""
    await roles.remove(tx, call.app.id, profile_id, role)


async def _change_role(
    call: Call, of_system: Code, act: Callable[[Call, Transaction, str, str], Awaitable[None]]
) -> None:
    if not call.by_server:
        raise Refused(Code.ROLES_ARE_FOR_SERVERS, "Roles can be given and taken by servers only.")
    asked = call.read(RoleChange)
    if asked.user is None or asked.role_name is None:
        raise Refused(Code.MISSING, "The user or the roleName is missing.")
    if asked.role_name in SYSTEM_ROLES:
        raise Refused(of_system, f"'{asked.role_name}' is a role that the server gives and takes.")
    role, identity = _known_role(call, asked.role_name), str(asked.user)

    async def store(tx: Transaction) -> None:
        profile_id = await users.find(tx, call.app.id, call.settings.identity_type, identity)
        if profile_id is None:
            raise Refused(Code.NO_SUCH_USER, "There is no user with this identity or objectId.")
        await act(call, tx, profile_id, role)

    await call.write(store)


def _known_role(call: Call, name: str) -> str:
    if name not in call.settings.roles:
        raise Refused(Code.NO_SUCH_ROLE, f"There is no role '{name[:64]}' that users are given.")
    return name
