"""The service, its part of `app.toml`, its refusals, and what its operations share."""

from collections.abc import Iterator, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Annotated

from msgspec import Meta, field

from gameserver.apps import IssuerSettings, Mistake, Settings
from gameserver.apps.fields import Name
from gameserver.players import identities, users
from gameserver.players.accounts import EXTERNAL_ID_MAX, canonical_type
from gameserver.players.proofs import PROOFS, Proof
from gameserver.rpc import Context, Service
from gameserver.storage import Row
from gameserver.wire.errors import GameError, NoSession

SAMPLE = """\
# Blockchains of which players may attach the public key that they use there. The server keeps it for the
# game, and does not check whose it is: nobody logs in with it.
[identity]
#blockchains = ["main"]
# Issuers of tokens that servers may have checked by VERIFY_SIGNED_JWT and VERIFY_OKTA_JWT. Without jwks_url
# the issuer's discovery document says where the keys are.
#[identity.issuers.okta]
#issuer = "https://dev-1.okta.example.com/oauth2/default"
#jwks_url = "https://dev-1.okta.example.com/oauth2/default/v1/keys"
#algorithm = "RS256"
"""


class IdentitySettings(Settings, kw_only=True):
    """By what players may be known, beside what they log in with."""

    blockchains: Annotated[
        list[Name],
        Meta(description="Names of blockchains of which players may attach a public key.", max_length=100),
    ] = field(default_factory=list)
    issuers: Annotated[
        dict[Name, IssuerSettings],
        Meta(description="Issuers of tokens that servers may have checked.", max_length=100),
    ] = field(default_factory=dict)

    def mistakes(self, folder: Path) -> Iterator[Mistake]:
        """Yield issuers that are declared twice."""
        declared: set[str] = set()
        for name, issuer in self.issuers.items():
            if issuer.issuer in declared:
                yield ("issuers", name, "issuer"), "another table declares this issuer"
            declared.add(issuer.issuer)
        yield from super().mistakes(folder)


service = Service("identity", section=IdentitySettings, sample=SAMPLE)

# Errors. The 202s are what the reference answers; every client takes them for refusals.


class DuplicateIdentityType(GameError):
    """The player has an identity of this type already: detach that one first."""

    status = HTTPStatus.ACCEPTED
    reason_code = 40211


class MergeProfiles(GameError):
    """The identity is another player's, and the caller owns it: switch to that player, or merge the two."""

    status = HTTPStatus.ACCEPTED
    reason_code = 40212


class DowngradingToAnonymous(GameError):
    """It is the last identity that the player can log in with; `confirmAnonymous` detaches it even so."""

    status = HTTPStatus.ACCEPTED
    reason_code = 40210


class IdentityOfAnother(GameError):
    """The identity is another player's."""

    status = HTTPStatus.ACCEPTED
    reason_code = 40209


class UnsupportedType(GameError):
    """Identities of this type cannot be used for that."""

    reason_code = 40464


class CredentialInUse(GameError):
    """Another player has this name or address."""

    reason_code = 40583


class CredentialNotOwned(GameError):
    """The player has no identity with this address."""

    reason_code = 40584


class UnknownBlockchain(GameError):
    """The app declares no blockchain of that name."""

    reason_code = 40678


# Rules

ExternalId = Annotated[str, Meta(min_length=1, max_length=EXTERNAL_ID_MAX)]


def attachable_type(name: str) -> str:
    """Return the known spelling of the type of an identity that players attach, detach and merge by.

    Raises `UnsupportedType` for a device's id, which a player always keeps, and for handoffs.
    """
    type_ = canonical_type(name)
    if PROOFS[type_] in (Proof.POSSESSION, Proof.HANDOFF):
        raise UnsupportedType(f"an identity of type {type_} is neither attached nor detached")
    return type_


def opens_account(identity: Row) -> bool:
    """Tell whether a player can log in with an identity, and needs no device that knows them."""
    match identity["type"]:
        case "Anonymous" | "Blockchain":
            return False
        case "Universal":
            return identity["digest"] is not None  # else it is a name alone
        case _:
            return True


def address(ctx: Context) -> str:
    """Return the address that failures are counted for: a server's is not its players'."""
    return "" if ctx.caller.is_studio else ctx.origin.address


async def lock_caller(ctx: Context) -> Sequence[Row]:
    """Keep others from changing who the caller is until the packet is committed; returns their identities.

    Whoever changes identities, merges or deletes players does so first. So no identity comes to a player who
    is gone, and none of two packets at once misses what the other has done.
    """
    if not await users.lock(ctx.tx, ctx.app.id, ctx.player_id):
        raise NoSession("the player is gone")
    return await identities.all_of(ctx.tx, ctx.app.id, ctx.player_id)


def of_type(owned: Sequence[Row], type_: str) -> Row | None:
    """Return the player's identity of a type, the oldest where an operator's merge has left several."""
    return next((row for row in owned if row["type"] == type_), None)
