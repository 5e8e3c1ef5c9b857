"""How staff prove who they are: passwords, links for the first one, second factors, sessions."""

import hmac
import secrets
from typing import Any

import msgspec
import pyotp

from gameserver.admin.common import Refused, Server
from gameserver.admin.operators import Operator, note
from gameserver.admin.rights import EVERY_APP, ROLES, Grants
from gameserver.admin.staff.storage import (
    ANYBODY,
    END,
    END_ALL,
    END_INVITATIONS,
    END_OTHERS,
    FIRST,
    INVITATION_MS,
    READ,
    SET_PASSWORD,
    SET_SECOND_FACTOR,
    SET_SETTINGS,
    TOKEN,
    TOUCH,
    USE_CODE,
    USE_STEP,
    WHOSE,
    Kind,
    Member,
    add_member,
    digest_of,
    give,
    member_of,
    name_of,
)
from gameserver.players.lockout import network_of
from gameserver.players.passwords import Passwords, UnusablePassword, is_common
from gameserver.storage import Row, Transaction
from gameserver.wire import json

PASSWORD_MIN = 10
SESSION_IDLE_MS = 12 * 3600 * 1000
SESSION_MS_MAX = 7 * 24 * 3600 * 1000
HALF_MS = 5 * 60 * 1000
TOUCH_MS = 60 * 1000  # how often a session notes that it is used
FAILURES_MAX, FAILURES_SECONDS = 8, 900
RECOVERY_CODES = 8
ISSUER = "gameserver"


class Entered(msgspec.Struct, frozen=True):
    """Who has a token, and the token's digest."""

    member: Member
    digest: str
    kind: Kind


class WrongLogin(Exception):
    """Name, password or code is wrong, or there were too many tries; nobody is told which."""


# Logging in


async def log_in(server: Server, name: str, password: str, address: str) -> tuple[str, bool]:
    """Return the token of a new session; True when it still needs the second factor. Raises `WrongLogin`."""
    sessions, names = server.core.sessions, f"staff/name/{digest_of(name)}"
    network = f"staff/network/{digest_of(network_of(address))}"
    for counter in (names, network):
        if not await sessions.hit(counter, FAILURES_MAX, FAILURES_SECONDS):
            raise WrongLogin
    async with server.core.database.read() as tx:
        row = await tx.one(READ, name=name)
    digest = None if row is None else row["password"]
    try:
        is_right = await server.core.get(Passwords).verify(digest, password, network)
    except UnusablePassword:
        is_right = False
    if row is None or not is_right or row["disabled_ms"] is not None:
        raise WrongLogin
    for counter in (names, network):
        await sessions.forget_hits(counter)
    kind: Kind = "half" if row["second_factor"] else "session"
    now = server.core.clock.ms()
    life = HALF_MS if kind == "half" else SESSION_IDLE_MS
    by = Operator(name, "console", address)
    async with server.core.database.write() as tx:
        token = await give(tx, kind, name, now, life, address)
        await note(server, tx, by, "staff_log_in", outcome="half" if kind == "half" else "done")
    return token, kind == "half"


async def confirm(server: Server, half: str, code: str, address: str) -> str:
    """Make a whole session of one that waited for its second factor. Raises `WrongLogin`."""
    now, digest = server.core.clock.ms(), digest_of(half)
    if not await server.core.sessions.hit(f"staff/code/{digest}", FAILURES_MAX, FAILURES_SECONDS):
        raise WrongLogin
    async with server.core.database.write() as tx:
        row = await tx.one(WHOSE, digest=digest, now=now)
        if row is None or row["kind"] != "half" or not row["second_factor"]:
            raise WrongLogin
        if not await _is_code(tx, row, code.strip().replace(" ", ""), now):
            raise WrongLogin
        await tx.run(END, digest=digest)
        await note(server, tx, Operator(row["name"], "console", address), "staff_confirm")
        return await give(tx, "session", row["name"], now, SESSION_IDLE_MS, address)


async def _is_code(tx: Transaction, row: Row, code: str, now_ms: int) -> bool:
    """Tell whether a code is the one of these seconds, or of the paper; either works once."""
    step = now_ms // 30_000
    generator = pyotp.TOTP(row["second_factor"])
    for tried in (step, step - 1, step + 1):
        if hmac.compare_digest(generator.at(tried * 30).encode(), code.encode()):
            return bool(await tx.run(USE_STEP, name=row["name"], step=tried))
    codes = [str(each) for each in json.read_stored(row["recovery"])]
    wanted = digest_of(code.lower())
    if not any(hmac.compare_digest(each, wanted) for each in codes):
        return False
    left = json.encode([each for each in codes if each != wanted]).decode()
    return bool(await tx.run(USE_CODE, name=row["name"], was=row["recovery"], left=left))


async def enter(server: Server, token: str, kinds: tuple[Kind, ...]) -> Entered | None:
    """Return whose token it is; None when it opens nothing. A session that is used goes on."""
    now, digest = server.core.clock.ms(), digest_of(token)
    async with server.core.database.read() as tx:
        row = await tx.one(WHOSE, digest=digest, now=now)
    if row is None or row["kind"] not in kinds:
        return None
    if row["kind"] == "session" and now - row["used_ms"] > TOUCH_MS:
        life = json.read_stored(row["data"]).get("life_ms", SESSION_MS_MAX)
        until = min(now + SESSION_IDLE_MS, row["began_ms"] + life)
        async with server.core.database.write() as tx:
            await tx.run(TOUCH, digest=digest, now=now, until=until)
    member = member_of(row)
    if row["kind"] == "key":  # no more than whoever made it may do today
        member = msgspec.structs.replace(
            member, grants=_both(member.grants, msgspec.json.decode(row["data"], type=Grants))
        )
    return Entered(member, digest, row["kind"])


def _both(owner: Grants, key: Grants) -> Grants:
    """Return what a key grants, in the apps where its owner has a role that may as much."""
    return Grants(
        {
            app_id: role
            for app_id, role in key.roles.items()
            if ROLES.get(role, frozenset())
            <= ROLES.get(owner.role_in(app_id if app_id != EVERY_APP else ""), frozenset())
        },
        tuple(right for right in key.also if right in owner.also or "admin" in owner.roles.values()),
    )


async def log_out(server: Server, digest: str) -> None:
    """End a session."""
    async with server.core.database.write() as tx:
        await tx.run(END, digest=digest)


# First steps


async def first_invitation(server: Server) -> str | None:
    """Return a token by which the first admin names themselves; None when there is somebody already."""
    async with server.core.database.write() as tx:
        if await tx.one(ANYBODY) is not None:
            return None
        now = server.core.clock.ms()
        await tx.run(END_INVITATIONS, name=FIRST)
        return await give(tx, "invitation", FIRST, now, INVITATION_MS, "")


async def invited(server: Server, token: str) -> str | None:
    """Return the name that an invitation is for: empty, and one chooses it; None when it opens nothing."""
    async with server.core.database.read() as tx:
        row = await tx.one(TOKEN, digest=digest_of(token), now=server.core.clock.ms())
    return None if row is None or row["kind"] != "invitation" else str(row["name"])


async def accept(server: Server, token: str, name: str, password: str, address: str) -> str:
    """Use an invitation up, set the password, and return the token of a session. Raises `Refused`."""
    digest = await _new_password(server, password, address)
    now = server.core.clock.ms()
    async with server.core.database.write() as tx:
        row = await tx.one(TOKEN, digest=digest_of(token), now=now)
        if row is None or row["kind"] != "invitation" or not await tx.run(END, digest=digest_of(token)):
            raise Refused("the link does not work any more; ask for a new one")
        if row["name"] == FIRST:
            if await tx.one(ANYBODY) is not None:
                raise Refused("somebody is there already; ask them for a link of your own")
            await add_member(tx, name_of(name), Grants({EVERY_APP: "admin"}), now)
            name = name_of(name)
        else:
            name = row["name"]
        await tx.run(SET_PASSWORD, name=name, password=digest)
        await tx.run(END_ALL, name=name)
        await note(server, tx, Operator(name, "console", address), "staff_accept", target=name)
        return await give(tx, "session", name, now, SESSION_IDLE_MS, address)


async def change_password(server: Server, entered: Entered, old: str, new: str, address: str) -> None:
    """Set another password, and end the other sessions. Raises `Refused`."""
    name = entered.member.name
    async with server.core.database.read() as tx:
        row = await tx.one(READ, name=name)
    try:
        is_right = row is not None and await server.core.get(Passwords).verify(row["password"], old, address)
    except UnusablePassword:
        is_right = False
    if not is_right:
        raise Refused("the old password is wrong")
    digest = await _new_password(server, new, address)
    async with server.core.database.write() as tx:
        await tx.run(SET_PASSWORD, name=name, password=digest)
        await tx.run(END_OTHERS, name=name, digest=entered.digest)
        await note(server, tx, Operator(name, "console", address), "staff_change_password", target=name)


async def _new_password(server: Server, password: str, address: str) -> str:
    if len(password) < PASSWORD_MIN:
        raise Refused(f"a password has at least {PASSWORD_MIN} characters")
    if is_common(password):
        raise Refused("this password is one of the first that anybody would try")
    try:
        return await server.core.get(Passwords).hash(password, address)
    except UnusablePassword as error:
        raise Refused(str(error)) from None


async def set_settings(server: Server, name: str, settings: dict[str, Any]) -> None:
    """Keep how somebody wants to see the console."""
    async with server.core.database.write() as tx:
        await tx.run(SET_SETTINGS, name=name, settings=json.encode(settings).decode())


# The second factor


def new_secret() -> str:
    """Return a secret for an authenticator."""
    return pyotp.random_base32()


def provisioning_uri(name: str, secret: str) -> str:
    """Return what an authenticator reads from a picture."""
    return pyotp.TOTP(secret).provisioning_uri(name=name, issuer_name=ISSUER)


async def set_second_factor(server: Server, entered: Entered, secret: str, code: str) -> list[str]:
    """Begin to ask for codes, once the first one is right; returns the recovery codes. Raises `Refused`."""
    now = server.core.clock.ms()
    if not pyotp.TOTP(secret).verify(code.strip().replace(" ", ""), for_time=now // 1000, valid_window=1):
        raise Refused("the code is not the one that the authenticator shows now")
    codes = [secrets.token_hex(5) for _ in range(RECOVERY_CODES)]
    kept = json.encode([digest_of(each) for each in codes]).decode()
    name = entered.member.name
    async with server.core.database.write() as tx:
        await tx.run(SET_SECOND_FACTOR, name=name, secret=secret, recovery=kept)
        await tx.run(END_OTHERS, name=name, digest=entered.digest)
        await note(server, tx, Operator(name, "console"), "staff_second_factor", target=name)
    return codes
