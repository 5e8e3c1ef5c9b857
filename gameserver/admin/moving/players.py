"""Players in lines: with identities, statistics, experience and balances."""

import re
from collections import defaultdict
from typing import Any

import msgspec
from sqlalchemy import BigInteger, String, bindparam, select, tuple_

from gameserver.admin.moving import lines
from gameserver.admin.moving.documents import text_of
from gameserver.admin.moving.kinds import APP, IDS, MOST, Found, Kind, NotTaken, Page, Taking, after
from gameserver.domain.economy import wallet
from gameserver.domain.economy.wallet import CurrencySettings, wallets
from gameserver.domain.progress.experience import PlayerStatisticsSettings, player_progress
from gameserver.players import accounts, identities, profiles, users
from gameserver.players.profiles import players
from gameserver.players.users import user_properties
from gameserver.rpc import Context
from gameserver.storage import Row, Transaction, insert_row
from gameserver.wire import json

NAME_MAX = 256
"""Characters of a player's name: longer ones than players give themselves here came from elsewhere."""
DIGEST = re.compile(
    r"\$argon2id\$v=19\$m=([0-9]{1,6}),t=([0-9]{1,2}),p=([0-9]{1,2})\$[A-Za-z0-9+/]{11,86}\$[A-Za-z0-9+/]{22,86}"
)
MEMORY_KIB_MAX, PASSES_MAX, LANES_MAX = 65_536, 10, 4  # that a digest may cost at each login

# Out


async def tell(page: Page, tx: Transaction, after: list[Any] | None) -> Found:
    """Tell players, with what each of them has."""
    rows = await page.rows(tx, PLAYERS, after or [-1, ""])
    ids = [row["profile_id"] for row in rows]
    if not ids:
        return [], None
    logins: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in await tx.all(IDENTITIES, app=page.app.id, ids=ids):
        logins[row["profile_id"]].append(_told_identity(page, row))
    balances: dict[str, dict[str, Any]] = defaultdict(dict)
    for row in await tx.all(BALANCES, ids=ids):
        names = ("balance", "purchased", "awarded", "consumed", "revoked")
        balances[row["profile_id"]][row["currency"]] = {name: row[name] for name in names}
    progress = {row["profile_id"]: row for row in await tx.all(PROGRESS, ids=ids)}
    properties = {row["profile_id"]: row["properties"] for row in await tx.all(PROPERTIES, ids=ids)}
    found = []
    for row in rows:
        profile_id = row["profile_id"]
        line = _player(row)
        if profile_id in properties:
            line["properties"] = json.read_stored(properties[profile_id])
        line["identities"] = logins[profile_id]
        if (own := progress.get(profile_id)) is not None:
            line["statistics"] = json.read_stored(own["statistics"])
            line["experiencePoints"] = own["experience"]
        if balances[profile_id]:
            line["currency"] = balances[profile_id]
        found.append(line)
    return found, page.following(rows, "created_ms", "profile_id")


def _told_identity(page: Page, row: Row) -> dict[str, Any]:
    type_, external_id = row["type"], row["external_id"]
    told = {
        "authenticationType": type_,
        "externalId": external_id,
        "isValidated": bool(row["is_validated"]),
        "createdAt": row["created_ms"],
    }
    if row["external_key"] != accounts.identity_key(type_, external_id):
        told["externalAuthName"] = row["external_key"].removesuffix(f"/{external_id}")
    if page.with_passwords and row["digest"] is not None:
        told["passwordDigest"] = row["digest"]
    return told


def _player(row: Row) -> dict[str, Any]:
    told = {
        "profileId": row["profile_id"],
        "playerName": row["name"],
        "pictureUrl": row["picture_url"],
        "contactEmail": row["contact_email"],
        "languageCode": row["language_code"],
        "countryCode": row["country_code"],
        "timeZoneOffset": row["time_zone_offset"],
        "createdAt": row["created_ms"],
        "lastLogin": row["last_login_ms"],
        "previousLogin": row["previous_login_ms"],
        "loginCount": row["login_count"],
        "isTester": bool(row["is_tester"]),
        "isDisabled": bool(row["is_disabled"]),
    }
    for name, column in (("summaryFriendData", "summary_friend_data"), ("attributes", "attributes")):
        if row[column] is not None:
            told[name] = json.read_stored(row[column])
    return told


# In


async def take(taking: Taking, ctx: Context, line: lines.Player) -> bool:
    """Add a player, and as much of them as the app knows."""
    owner = taking.owners.get(line.profile_id)
    if owner is not None:
        if owner != taking.app.id:
            raise NotTaken(f"{line.profile_id} is a player of another app")
        return False
    created = ctx.now_ms if line.created_at is None else line.created_at
    profiles.check_line("playerName", line.player_name, NAME_MAX)
    row = {
        "profile_id": line.profile_id,
        "app_id": taking.app.id,
        "name": line.player_name,
        "picture_url": line.picture_url,
        "contact_email": line.contact_email,
        "language_code": line.language_code,
        "country_code": line.country_code,
        "time_zone_offset": line.time_zone_offset,
        "created_ms": created,
        "last_login_ms": created if line.last_login is None else line.last_login,
        "previous_login_ms": line.previous_login,
        "login_count": line.login_count,
        "active_day": None,
        "active_days": None,
        "is_tester": line.is_tester,
        "is_disabled": line.is_disabled,
        "disabled_through": None,
        # Above any that a player of this id had here before: sessions that ended with it are remembered.
        "session_epoch": ctx.now_ms,
        "ab_testing_id": profiles.ab_testing_id(line.profile_id),
        "summary_friend_data": text_of(line.summary_friend_data),
        "statuses": None,
        "attributes": text_of(line.attributes),
    }
    if not await ctx.tx.unless_taken(ADD_PLAYER, **row):
        return False
    for place, identity in enumerate(line.identities):
        await _identity(taking, ctx, line.profile_id, f"identities[{place}]", identity, created)
    await _progress(taking, ctx, line)
    for currency, counts in line.currency.items():
        await _balance(taking, ctx, line.profile_id, currency, counts)
    if line.properties is not None:
        try:
            await users.change_properties(ctx.tx, line.profile_id, None, line.properties, ctx.now_ms)
        except users.TooManyProperties as error:
            raise NotTaken(f"properties: {error}") from None
    return True


async def _identity(
    taking: Taking, ctx: Context, profile_id: str, where: str, identity: lines.Identity, created: int
) -> None:
    type_ = accounts.canonical_type(identity.authentication_type)
    key = accounts.identity_key(type_, identity.external_id, identity.external_auth_name)
    digest = identity.password_digest
    if digest is not None and not _is_bearable(digest):
        taking.skip(f"{where}.passwordDigest: no argon2id digest of a bearable cost; taken without it")
        digest = None
    row = identities.new_row(
        taking.app.id,
        profile_id,
        type_,
        key,
        accounts.stored_id(type_, identity.external_id),
        created if identity.created_at is None else identity.created_at,
        digest=digest,
    )
    row["is_validated"] = identity.is_validated
    if not await ctx.tx.unless_taken(identities.ADD, **row):
        taking.skip(f"{where}: another player has this identity; the player is taken without it")


async def _progress(taking: Taking, ctx: Context, line: lines.Player) -> None:
    if not (line.statistics or line.experience_points):
        return
    settings = taking.app.section(PlayerStatisticsSettings)
    points = min(line.experience_points, settings.experience_maximum)
    level = settings.reached(points)
    await ctx.tx.run(
        ADD_PROGRESS,
        profile_id=line.profile_id,
        statistics=msgspec.json.encode(line.statistics).decode(),
        experience=points,
        level=level,
        paid=level,  # where they come from, they were rewarded
        round=0,
        version=1,
    )


async def _balance(
    taking: Taking, ctx: Context, profile_id: str, currency: str, counts: lines.Counts
) -> None:
    if currency not in taking.app.section(CurrencySettings).currencies:
        taking.skip(f"currency: app {taking.app.id} declares no currency {currency!r}; taken without it")
        return
    # What does not add up is told by the balance: the rest of it was awarded, or taken back.
    beyond = counts.balance - (counts.purchased + counts.awarded - counts.consumed - counts.revoked)
    awarded, revoked = counts.awarded + max(beyond, 0), counts.revoked + max(-beyond, 0)
    if awarded + counts.purchased > wallet.AMOUNT_MAX or revoked > wallet.AMOUNT_MAX:
        raise NotTaken(f"currency.{currency}: a balance ends at 2^53")
    if counts.balance < 0 and not revoked:
        raise NotTaken(f"currency.{currency}: below zero, and nothing was taken back")
    await ctx.tx.run(
        ADD_BALANCE,
        profile_id=profile_id,
        currency=currency,
        purchased=counts.purchased,
        balance=counts.balance,
        consumed=counts.consumed,
        awarded=awarded,
        revoked=revoked,
    )
    await ctx.tx.run(
        wallet.ENTER,
        profile_id=profile_id,
        key=f"import/{currency}",
        currency=currency,
        kind=wallet.Kind.AWARDED.value,
        amount=counts.balance,
        at_ms=ctx.now_ms,
    )


def _is_bearable(digest: str) -> bool:
    """Tell whether logins may be checked against a digest: none may take all memory."""
    found = DIGEST.fullmatch(digest)
    if found is None:
        return False
    memory, passes, lanes = map(int, found.groups())
    return memory <= MEMORY_KIB_MAX and passes <= PASSES_MAX and lanes <= LANES_MAX


# Storage

_p = players.c
_AGE = (_p.created_ms, _p.profile_id)
PLAYERS = (
    select(players)
    # The first condition finds the place in the index; the second one alone would not on every database.
    .where(_p.app_id == APP, _p.created_ms >= bindparam("after0", type_=BigInteger()))
    .where(tuple_(*_AGE) > after(BigInteger(), String()))
    .order_by(*_AGE)
    .limit(MOST)
)
IDENTITIES = (
    select(identities.identities)
    .where(identities.identities.c.app_id == APP, identities.identities.c.profile_id.in_(IDS))
    .order_by(
        identities.identities.c.created_ms, identities.identities.c.type, identities.identities.c.external_key
    )
)
PROGRESS = select(player_progress).where(player_progress.c.profile_id.in_(IDS))
BALANCES = select(wallets).where(wallets.c.profile_id.in_(IDS)).order_by(wallets.c.currency)
PROPERTIES = select(user_properties).where(user_properties.c.profile_id.in_(IDS))
ADD_PLAYER = insert_row(players)
ADD_PROGRESS = insert_row(player_progress)
ADD_BALANCE = insert_row(wallets)

PLAYER = Kind("player", lines.Player, ((int, str),), tell, take)
