"""Accounts: which identities a player logs in with, and what a login may end in.

Every face logs in through here. A login has two halves: `verify` checks the credentials, which may take a
password digest or a call to another server and so happens before any lock is held; `logins.log_in` finds or
makes the player inside the packet's transaction, if what was verified still holds.
"""

import hmac
import unicodedata
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from http import HTTPStatus
from typing import Any

import msgspec

from gameserver.apps import App, canonical_mail_address, is_mail_address
from gameserver.frame import Parts
from gameserver.players import identities, pairs, profiles, tokens
from gameserver.players.audit import Audit
from gameserver.players.external import ExternalLogins, UnknownExternalLogin
from gameserver.players.lockout import Attempt, LockedOut, network_of
from gameserver.players.passwords import Busy, Passwords, UnusablePassword, is_common
from gameserver.players.proofs import PROOFS, Proof
from gameserver.players.providers import (
    SAME_PERSON,
    Claimed,
    Issuer,
    Providers,
    ProviderUnavailable,
    UnableToValidate,
    UnknownAuthenticationError,
    Vouched,
)
from gameserver.players.providers.vouching import Unproven
from gameserver.players.quotas import Quotas
from gameserver.players.tokens import Kind
from gameserver.sessions import SessionStore
from gameserver.storage import Database, Row
from gameserver.wire.errors import DisabledApp, GameError, RateLimited
from gameserver.wire.outgoing import Outgoing

# Errors. The 202s are what the reference answers; every client takes them for refusals.


class MissingIdentity(GameError):
    """The identity is unknown, but came with a profile: the client drops the profile and asks again."""

    status = HTTPStatus.ACCEPTED
    reason_code = 40206


class SwitchingProfiles(GameError):
    """The identity belongs to another profile: the client asks its player, and comes without one."""

    status = HTTPStatus.ACCEPTED
    reason_code = 40207


class MissingProfile(GameError):
    """The identity is unknown, and the client did not ask for a new player."""

    status = HTTPStatus.ACCEPTED
    reason_code = 40208


class ProfileNotNamed(GameError):
    """The id of an Anonymous identity opens nothing by itself: it comes with the profile it belongs to."""

    status = HTTPStatus.ACCEPTED
    reason_code = 40209


class WrongCredentials(GameError):
    """The id and the token do not belong together."""

    status = HTTPStatus.FORBIDDEN
    reason_code = 40307


class UnknownAuthenticationType(GameError):
    """There is no such type, or the app does not allow it."""

    reason_code = 40315


class InvalidEmail(GameError):
    """Not a mail address, where mail is to be sent."""

    reason_code = 40221


class EmailNotValidated(GameError):
    """The app wants mail addresses proven, and the link in the mail has not been followed yet."""

    status = HTTPStatus.FORBIDDEN
    reason_code = 40214


class WeakPassword(GameError):
    """A new password that is shorter than the app wants it, or that can be none."""

    reason_code = 550022


class AccountDisabled(GameError):
    """The operator has disabled the account; said only to who can prove that it is theirs."""

    status = HTTPStatus.FORBIDDEN
    reason_code = 40790


LOGIN_ERRORS: tuple[type[GameError], ...] = (
    MissingIdentity,
    SwitchingProfiles,
    MissingProfile,
    ProfileNotNamed,
    WrongCredentials,
    UnableToValidate,
    ProviderUnavailable,
    UnknownAuthenticationError,
    UnknownAuthenticationType,
    UnknownExternalLogin,
    InvalidEmail,
    EmailNotValidated,
    WeakPassword,
    LockedOut,
    AccountDisabled,
    DisabledApp,
    RateLimited,
)


# Rules


_BY_FOLDED_NAME = {name.casefold(): name for name in PROOFS}  # "HandOff" and "Handoff" are both in use

EXTERNAL_ID_MAX = 256
TOKEN_MAX = 1024
NONCE_MAX = 1024
SIGNED_TOKEN_MAX = 16 << 10  # of another system's tokens


class Login(msgspec.Struct, kw_only=True):
    """What a client says of itself when it logs in, whatever the face. None: the client does not say."""

    type: str
    external_id: str
    token: str = ""
    external_auth_name: str = ""
    force_create: bool = False
    profile_id: str = ""
    anonymous_id: str = ""
    language_code: str | None = None
    country_code: str | None = None
    time_zone_offset: float | None = None
    nonce: str = ""  # as the client made it, for a platform's token that carries one


class Verified(msgspec.Struct, eq=False):
    """Credentials that hold, or an identity that nobody has yet and that the client wants made.

    Where possession is all it takes, nobody has looked for the identity yet: `log_in` does, in the statement
    that notes the login, and sets `profile_id`.
    """

    type: str
    key: str
    external_id: str
    profile_id: str | None  # None: the identity is to be made
    digest: str | None = None  # the digest the password was checked against, or that of a new identity
    renewed_digest: str | None = None  # the same password at today's cost
    handoff: str | None = None  # the token that the login uses up
    handoff_data: Any = None
    vouched: Vouched | None = None  # what another system said of the identity
    looked_up: bool = True
    count_new: Callable[[], None] = lambda: None
    """Is called when a player is made of it; raises `RateLimited`."""
    is_counted: bool = False  # it was counted before the work of a digest

    @property
    def is_named(self) -> bool:
        """Whether who vouches has named the profile, whoever has the identity."""
        return self.vouched is not None and self.vouched.profile_id is not None

    def row(self, app_id: str, profile_id: str, now_ms: int) -> dict[str, Any]:
        """The row of the identity, when it is nobody's and a player gets it."""
        names = (self.type, self.key, self.external_id)
        return identities.new_row(app_id, profile_id, *names, now_ms, self.digest, self.vouched)


def canonical_type(name: str) -> str:
    """The known spelling of an authentication type. Raises `UnknownAuthenticationType`."""
    known = _BY_FOLDED_NAME.get(name.casefold())
    if known is None:
        raise UnknownAuthenticationType(f"there is no authentication type {name[:64]!r}")
    return known


def identity_key(type_: str, external_id: str, external_auth_name: str = "") -> str:
    """What makes two spellings of an identity the same one."""
    match type_:
        case "Email":
            return canonical_mail_address(external_id)
        case "Universal":  # the same letters, however a keyboard composed them
            return external_id if external_id.isascii() else unicodedata.normalize("NFC", external_id)
        case "External" | "Blockchain":
            return f"{external_auth_name}/{external_id}"
        case _:
            return external_id


def stored_id(type_: str, external_id: str) -> str:
    """What is kept of an id beside its key, to be told and mailed to."""
    return identity_key(type_, external_id) if PROOFS.get(type_) is Proof.PASSWORD else external_id


class Accounts:
    """Logging in, for every face."""

    def __init__(
        self,
        database: Database,
        sessions: SessionStore,
        passwords: Passwords,
        audit: Audit,
        quotas: Quotas,
        parts: Parts,
    ) -> None:
        self._database = database
        self._sessions = sessions
        self._passwords = passwords
        self._audit = audit
        self._quotas = quotas
        self.providers = Providers(parts.get(Outgoing))
        self._external = ExternalLogins(self.providers, parts)

    async def close(self) -> None:
        """Stop asking systems that vouch for players."""
        await self.providers.close()

    async def verify(
        self, app: App, login: Login, address: str, now_ms: int, *, face: str = "dispatcher"
    ) -> Verified:
        """Check the credentials. Raises the refusal a login ends in; counts failures towards a lock.

        The audit learns of the refusal here; of what a login ends in later, from the face.
        """
        known: list[str] = []
        try:
            self._quotas.log_in(app, address, now_ms)
            verified = await self._verify(app, login, address, now_ms, known)
        except GameError as error:
            self._audit.note(
                app,
                "refusal",
                str(error.reason_code),
                face=face,
                address=address,
                profile_id=known[0] if known else "",
            )
            raise
        if not verified.is_counted:
            verified.count_new = self.count_new(app, address, now_ms)
        return verified

    def count_new(self, app: App, address: str, now_ms: int) -> Callable[[], None]:
        """Return what counts a new player of an address; it raises `RateLimited`."""
        return self._quotas.make_player(app, address, now_ms)

    async def read_token(self, app: App, token: str, issuer: Issuer, now_ms: int) -> dict[str, Any] | None:
        """Return the claims of a token that an issuer has signed and that is good now; None of any other.

        It logs nobody in. Raises `ProviderUnavailable` or `UnknownAuthenticationError` when the issuer's keys
        cannot be had.
        """
        return await self.providers.read_token(Claimed(app, "", token, "", now_ms), issuer)

    async def _verify(self, app: App, login: Login, address: str, now_ms: int, known: list[str]) -> Verified:
        if not app.login.enabled:
            raise DisabledApp("logging in is switched off", disabledReason=app.disabled_reason or {})
        type_ = canonical_type(login.type)
        if not app.login.allows(type_):
            raise UnknownAuthenticationType(f"the app does not allow authentication by {type_}")
        proof = PROOFS[type_]
        if proof is Proof.THIRD_PARTY and not self.providers.can_check(app, type_):
            if type_ == "Parse":  # as the reference says of whoever comes with Parse credentials
                raise WrongCredentials(_WRONG)
            raise UnableToValidate(
                f"this app is not connected to a service that vouches for {type_} identities"
            )
        is_vouched_for = proof in (Proof.EXTERNAL, Proof.THIRD_PARTY)
        token_max = SIGNED_TOKEN_MAX if is_vouched_for else TOKEN_MAX
        if (
            not login.external_id.strip()
            or len(login.external_id) > EXTERNAL_ID_MAX
            or len(login.token) > token_max
            or (proof is Proof.POSSESSION and login.external_id == pairs.NO_ID)
        ):
            raise WrongCredentials(_WRONG)
        key = identity_key(type_, login.external_id, login.external_auth_name)
        match proof:
            case Proof.PASSWORD:
                return await self._verify_password(app, login, type_, key, address, now_ms, known)
            case Proof.EXTERNAL | Proof.THIRD_PARTY:
                vouched = await self._verify_vouched(app, login, type_, key, address, now_ms)
            case Proof.HANDOFF:
                return await self._verify_handoff(app, login, type_, address, now_ms)
            case _:
                return Verified(type_, key, login.external_id, None, looked_up=False)
        if vouched.profile_id is not None:
            return await self._as_named(app, login, type_, key, vouched)
        if vouched.external_id is not None:
            login = msgspec.structs.replace(login, external_id=vouched.external_id)
            key = identity_key(type_, login.external_id, login.external_auth_name)
        identity = await self._find(app.id, type_, key)
        if identity is None and type_ in SAME_PERSON:
            other = SAME_PERSON[type_]
            if (identity := await self._find(app.id, other, key)) is not None:
                vouched = replace(vouched, login_type=type_)
                type_ = other
        if identity is None and vouched.former_id is not None:
            identity = await self._find(app.id, type_, vouched.former_id)
            if identity is not None:
                key = vouched.former_id
        verified = _claim(login, type_, key, identity)
        verified.vouched = vouched
        return verified

    async def _as_named(self, app: App, login: Login, type_: str, key: str, vouched: Vouched) -> Verified:
        """Log in whom somebody that vouches has named; the identity is not kept."""
        assert vouched.profile_id is not None, "somebody is named"
        async with self._database.read() as tx:
            if await profiles.read(tx, app.id, vouched.profile_id) is None:
                raise WrongCredentials(_WRONG)
        if login.profile_id and login.profile_id != vouched.profile_id:
            raise switching()
        return Verified(type_, key, login.external_id, vouched.profile_id, vouched=vouched)

    def attempt(self, app: App, type_: str, key: str | None, address: str) -> Attempt:
        """The failure counters of an account, for who has another way to prove whose it is."""
        return Attempt(self._sessions, app, type_, key, address)

    async def _find(self, app_id: str, type_: str, key: str) -> Row | None:
        async with self._database.read() as tx:
            return await identities.find(tx, app_id, type_, key)

    async def _verify_password(
        self,
        app: App,
        login: Login,
        type_: str,
        key: str,
        address: str,
        now_ms: int,
        known: list[str],
    ) -> Verified:
        attempt = self.attempt(app, type_, key, address)
        identity = await self._find(app.id, type_, key)  # first: a database that is away is nobody's failure
        is_new = identity is None and login.force_create and not login.profile_id
        if type_ == "Email" and (is_new or app.login.validated_email_only) and not is_mail_address(key):
            raise InvalidEmail("data.externalId: not an e-mail address")
        await attempt.enter(charge=True)
        if is_new:
            self.count_new(app, address, now_ms)()  # before the work, or a flood of new names would not mind
            digest = await self.new_digest(app, login.token, address=address)
            external_id = stored_id(type_, login.external_id)
            verified = Verified(type_, key, external_id, None, digest, is_counted=True)
            await attempt.succeed()
            return verified
        if identity is not None:
            known.append(identity["profile_id"])
        stored: str | None = identity["digest"] if identity is not None else None
        try:
            right = await self._passwords.verify(stored, login.token, network_of(address))
        except UnusablePassword:
            right = False
        except Busy:
            raise RateLimited(_BUSY) from None
        if identity is None or not right:
            await attempt.fail(charged=True)
            if identity is None and not app.login.conceal_accounts:
                raise unknown(login)
            raise WrongCredentials(_WRONG)
        await attempt.succeed()
        if type_ == "Email" and app.login.validated_email_only and not identity["is_validated"]:
            raise EmailNotValidated("the mail address has not been validated: follow the link in the mail")
        renewed = None
        if stored is not None and self._passwords.outdated(stored):
            renewed = await self.new_digest(app, login.token, checked=True, address=address)
        return _claim(login, type_, key, identity, stored, renewed)

    async def new_digest(self, app: App, password: str, *, checked: bool = False, address: str = "") -> str:
        """Make the digest of a new password. Raises `WeakPassword`, also for what can be no password.

        `checked`: the password is in use already, so today's rules for new ones do not concern it.
        """
        if not checked and len(password) < app.login.password_min_length:
            raise WeakPassword(f"a password has at least {app.login.password_min_length} characters")
        if not checked and app.login.refuse_common_passwords and is_common(password):
            raise WeakPassword("this password is among those that everybody tries first; choose another")
        try:
            return await self._passwords.hash(password, network_of(address))
        except UnusablePassword as error:
            raise WeakPassword(str(error)) from None
        except Busy:
            raise RateLimited(_BUSY) from None

    async def knows_password(self, app: App, type_: str, key: str, password: str, address: str) -> str | None:
        """Return the digest that a password fits, of an identity that is there or not; None when it does not.

        A wrong one counts towards a lock: raises `LockedOut` then, and `RateLimited`.
        """
        attempt = self.attempt(app, type_, key, address)
        identity = await self._find(app.id, type_, key)
        stored: str | None = identity["digest"] if identity is not None else None
        await attempt.enter(charge=True)
        try:
            right = await self._passwords.verify(stored, password, network_of(address))
        except UnusablePassword:
            right = False
        except Busy:
            raise RateLimited(_BUSY) from None
        await (attempt.succeed() if right else attempt.fail(charged=True))
        return stored if right else None

    async def _verify_vouched(
        self, app: App, login: Login, type_: str, key: str, address: str, now_ms: int
    ) -> Vouched:
        attempt = self.attempt(app, type_, key, address)
        await attempt.enter(charge=False)
        claimed = Claimed(app, login.external_id, login.token, login.nonce, now_ms)
        told: dict[str, Any] = {}
        try:
            if type_ == "External":
                vouched = await self._external.vouch(login.external_auth_name, claimed)
            else:
                vouched = await self.providers.vouch(type_, claimed)
        except Unproven as unproven:
            vouched, told = None, {"extraErrorJson": unproven.extra}
        if vouched is None:
            await attempt.fail(charged=False)
            raise WrongCredentials(_WRONG, **told)
        await attempt.succeed()
        return vouched

    async def _verify_handoff(
        self, app: App, login: Login, type_: str, address: str, now_ms: int
    ) -> Verified:
        # A code that people type names no account: guesses at codes are counted by address alone.
        settop = type_ == "SettopHandoff"
        attempt = self.attempt(app, type_, None if settop else login.external_id, address)
        await attempt.enter(charge=False)
        kind = Kind.SETTOP_CODE if settop else Kind.HANDOFF
        text = tokens.settop_text(app.id, login.external_id) if settop else login.external_id
        async with self._database.read() as tx:
            token = await tokens.whose(tx, kind, text)
        if token is not None and token.app_id != app.id:
            token = None
        if token is None or token.expires_ms <= now_ms:
            await attempt.fail(charged=False)
            if settop and token is None and not login.profile_id:
                raise WrongCredentials("nobody has such a code, or it was used")
            raise unknown(login)
        if not settop and not hmac.compare_digest(token.data, tokens.security_digest(login.token)):
            await attempt.fail(charged=False)
            raise WrongCredentials(_WRONG)
        if login.profile_id and login.profile_id != token.subject:
            raise SwitchingProfiles("the handoff is for another profile than the one it came with")
        return Verified(
            type_, login.external_id, login.external_id, token.subject, handoff=text, handoff_data=token.data
        )


@asynccontextmanager
async def lifespan(parts: Parts) -> AsyncIterator[Accounts]:
    """Verify logins as long as the server lives."""
    found = (parts.get(Database), parts.get(SessionStore), parts.get(Passwords), parts.get(Audit))
    accounts = Accounts(*found, parts.get(Quotas), parts)
    try:
        yield accounts
    finally:
        await accounts.close()


_WRONG = "the id or the token does not fit"
_BUSY = "too many passwords are being checked at this moment; try again"


def _claim(
    login: Login,
    type_: str,
    key: str,
    identity: Row | None,
    digest: str | None = None,
    renewed: str | None = None,
) -> Verified:
    """Decide what right credentials lead to, under the documented rules for the profile they came with."""
    if identity is None:
        if login.profile_id or not login.force_create:
            raise unknown(login)
        return Verified(type_, key, login.external_id, None)
    if login.profile_id and login.profile_id != identity["profile_id"]:
        raise switching()
    return Verified(type_, key, login.external_id, identity["profile_id"], digest, renewed)


def nonce_of(extra: object) -> str:
    """Return the nonce in a client's `extraJson`; empty where there is none."""
    nonce = extra.get("nonce") if isinstance(extra, dict) else None
    return nonce if isinstance(nonce, str) and len(nonce) <= NONCE_MAX else ""


def unknown(login: Login) -> GameError:
    """The refusal of an identity that nobody has."""
    if login.profile_id:
        return MissingIdentity("the identity is unknown, and the profile it came with is not its own")
    return MissingProfile("the identity is unknown, and the login does not ask for a new profile")


def switching() -> SwitchingProfiles:
    """The refusal of an identity that is another profile's."""
    return SwitchingProfiles("the identity belongs to another profile than the one it came with")
