"""How staff come in with the studio's account: made at the first sign-on, with the roles of their groups."""

from gameserver.admin.common import Refused, Server
from gameserver.admin.operators import Operator, note
from gameserver.admin.rights import Grants
from gameserver.admin.staff.entering import SESSION_IDLE_MS
from gameserver.admin.staff.provider import NotTaken, SignOn
from gameserver.admin.staff.storage import (
    CHANGE_GRANTS,
    END_ALL,
    LOCK,
    LOCK_SUBJECT,
    add_member,
    digest_of,
    give,
    member_of,
    name_of,
    text_of,
)
from gameserver.players.lockout import network_of
from gameserver.wire import json

TRIES_MAX, TRIES_SECONDS = 40, 900
"""How often a network may come back from the provider in a quarter of an hour without getting in."""
HOUR_MS = 3_600_000


class NoWayIn(Exception):
    """The provider vouches for somebody who has no business here; the text is for them."""


async def begin(server: Server, secret: str) -> str:
    """Return where a browser logs in that keeps a secret. Raises `Away`."""
    way = server.core.get(SignOn)
    return await way.address(server.core.accounts.providers, secret, server.core.clock.ms())


async def finish(server: Server, secret: str, code: str, address: str) -> tuple[str, int]:
    """Let in whoever comes back with a code; returns the token of a session, and its life in ms.

    Raises `Away`, and `NoWayIn` for whom the provider does not vouch for, or who has no role here.
    """
    way, core = server.core.get(SignOn), server.core
    counter = f"staff/sign-on/{digest_of(network_of(address))}"
    if not await core.sessions.hit(counter, TRIES_MAX, TRIES_SECONDS):
        raise NoWayIn("There were too many tries. Wait a quarter of an hour.")
    try:
        claims = await way.claims(core.accounts.providers, secret, code, core.clock.ms())
    except NotTaken:
        raise NoWayIn("The sign-on did not work, or has been used already. Begin again.") from None
    token = await _enter(server, way.subject(claims), way.name(claims), way.grants(claims), address)
    await core.sessions.forget_hits(counter)
    return token, _life_ms(way)


async def _enter(server: Server, subject: str, called: str, grants: Grants, address: str) -> str:
    """Give somebody the roles of their groups, and a session; whoever has none keeps none."""
    now = server.core.clock.ms()
    life = _life_ms(server.core.get(SignOn))
    async with server.core.database.write() as tx:
        row = await tx.one(LOCK_SUBJECT, subject=subject)
        name = called if row is None else str(row["name"])
        before = {} if row is None else member_of(row).grants.roles
        no = ""
        if row is not None and row["disabled_ms"] is not None:
            no = "An admin of the console has shut you out."
        elif not grants.roles:
            no = "None of your groups has a role in the console. Whoever runs the server can change that."
        elif row is None:
            try:
                name = name_of(called)
            except Refused:
                no = "Your account has no name that the console can use."
            if not no and await tx.one(LOCK, name=name) is not None:
                no = f"Somebody else is called {name} here already, who logs in with a password."
        if not no and row is None:
            await add_member(tx, name, grants, now, subject=subject)
        elif row is not None:  # sessions that are open have the new roles with their next page
            await tx.run(CHANGE_GRANTS, name=name, grants=text_of(grants))
        if no and row is not None:
            await tx.run(END_ALL, name=name)
        by = Operator(name, "console", address, reason=no)
        outcome = "denied" if no else "done"
        await note(
            server, tx, by, "staff_sign_on", target=name, before=before, after=grants.roles, outcome=outcome
        )
        token = ""
        if not no:
            data = json.encode({"life_ms": life}).decode()
            token = await give(tx, "session", name, now, min(life, SESSION_IDLE_MS), address, data=data)
    if no:
        raise NoWayIn(no)
    return token


def _life_ms(way: SignOn) -> int:
    return HOUR_MS * (way.settings.session_hours if way.settings is not None else 1)
