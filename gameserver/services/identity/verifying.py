"""Checking signed tokens for servers, which decide themselves what a right one is good for."""

from http import HTTPStatus
from typing import Annotated, Any

from jwt.utils import base64url_decode
from msgspec import Meta

from gameserver.apps import IssuerSettings
from gameserver.players.providers import (
    Issuer,
    ProviderUnavailable,
    UnableToValidate,
    UnknownAuthenticationError,
)
from gameserver.players.providers.tokens import expiry_ms
from gameserver.rpc import Access, Context, Tx
from gameserver.services.identity.base import IdentitySettings, service
from gameserver.wire import json
from gameserver.wire.errors import GameError, UnreadableJson
from gameserver.wire.shapes import FreeObject, Reply, Request

TOKEN_MAX = 16 << 10


class TokenNotVerified(GameError):
    """The token is none of this issuer for this audience, or is not good at this time."""

    status = HTTPStatus.BAD_REQUEST
    reason_code = 40682


Address = Annotated[str, Meta(min_length=1, max_length=2048)]
Audience = Annotated[str, Meta(min_length=1, max_length=512)]
Token = Annotated[str, Meta(min_length=1, max_length=TOKEN_MAX)]


class VerifySignedJwt(Request):
    jks_uri: Annotated[Address, Meta(description="Where the keys of the issuer are.")]
    issuer: Annotated[Address, Meta(description="Who made the token: one that the app declares.")]
    audience: Annotated[Audience, Meta(description="For whom the token must be.")]
    jwt_string: Annotated[Token, Meta(description="The token.")]


class VerifyOktaJwt(Request):
    """`domain`: the issuer, such as https://dev-1.okta.com/oauth2/default."""

    domain: Annotated[Address, Meta(description="The issuer, such as https://dev-1.okta.com/oauth2/default.")]
    audience: Annotated[Audience, Meta(description="For whom the token must be.")]
    jwt_string: Annotated[Token, Meta(description="The token.")]


class VerifiedToken(Reply):
    """What the token says, and its times in ms since 1970; `issuedAt` is null for a token without `iat`."""

    claims: Annotated[FreeObject, Meta(description="What the token says.")]
    issued_at: Annotated[
        int | None,
        Meta(description="When the token was made: ms since 1970-01-01 UTC; null if it does not say so."),
    ]
    expires_at: Annotated[int, Meta(description="Until when the token is good: ms since 1970-01-01 UTC.")]


async def verify_signed(ctx: Context, request: VerifySignedJwt) -> VerifiedToken:
    """Check a token with the keys of an issuer that the app declares, which may have to be fetched."""
    declared = _declared(ctx, request.issuer)
    if request.jks_uri != declared.keys_url:
        raise UnableToValidate("data.jksUri: this app declares other keys for the issuer")
    return await _verify(ctx, declared, request.audience, request.jwt_string)


async def verify_okta(ctx: Context, request: VerifyOktaJwt) -> VerifiedToken:
    """Check the same, with the keys that the app declares for the domain."""
    return await _verify(ctx, _declared(ctx, request.domain), request.audience, request.jwt_string)


def _declared(ctx: Context, issuer: str) -> IssuerSettings:
    # Keys come from nowhere else: a server that passes on what clients send shall not make this one ask
    # whom they like, or take keys that they have made.
    for declared in ctx.section(IdentitySettings).issuers.values():
        if declared.issuer == issuer:
            return declared
    raise UnableToValidate("this app declares no such issuer of tokens")


async def _verify(ctx: Context, declared: IssuerSettings, audience: str, token: str) -> VerifiedToken:
    issuer = Issuer((declared.issuer,), (audience,), declared.keys_url, declared.algorithm)
    claims = await ctx.core.accounts.read_token(ctx.app, token, issuer, ctx.now_ms)
    if claims is None:
        raise TokenNotVerified("the token is not right for this issuer and this audience, or not now")
    issued = claims.get("iat")
    return VerifiedToken(
        claims=_fit_to_travel(token),
        issued_at=None if issued is None else expiry_ms(max(issued, 0)),
        expires_at=expiry_ms(claims["exp"]),
    )


def _fit_to_travel(token: str) -> dict[str, Any]:
    """Read the claims of a right token anew, by the rules for all that is answered."""
    try:
        claims: dict[str, Any] = json.read_text(base64url_decode(token.split(".")[1]))
    except UnreadableJson:
        raise TokenNotVerified("the token's claims hold what no client can read") from None
    return claims


ERRORS = (TokenNotVerified, UnableToValidate, ProviderUnavailable, UnknownAuthenticationError)


@service.operation(
    "VERIFY_SIGNED_JWT", tx=Tx.NONE, access=Access.SERVER, prepare=verify_signed, errors=ERRORS
)
async def verify_signed_jwt(ctx: Context, request: VerifySignedJwt) -> VerifiedToken:
    """Check a signed token (JWT), and tell what it says. For servers.

    `issuer` is one that the app declares under `[identity.issuers]`, and `jksUri` where the app says that
    its keys are. Checked are signature, issuer, audience and times. Refused: tokens that are not right,
    issuers and keys that the app does not declare, and tokens whose keys cannot be fetched now.
    """
    verified: VerifiedToken = ctx.prepared
    return verified


@service.operation("VERIFY_OKTA_JWT", tx=Tx.NONE, access=Access.SERVER, prepare=verify_okta, errors=ERRORS)
async def verify_okta_jwt(ctx: Context, request: VerifyOktaJwt) -> VerifiedToken:
    """Check a token of Okta, and tell what it says. For servers.

    `domain` is the issuer, one that the app declares under `[identity.issuers]`; its keys are where the
    app, or the issuer itself, says. Checked and refused is the same as by `VERIFY_SIGNED_JWT`.
    """
    verified: VerifiedToken = ctx.prepared
    return verified
