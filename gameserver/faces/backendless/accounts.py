"""Logging in and out, registering, passwords and mail addresses."""

from typing import Any, NoReturn

import msgspec

from gameserver.faces.backendless import properties
from gameserver.faces.backendless.call import FACE, Call, LoggedIn, locked_out
from gameserver.faces.backendless.errors import Code, Refused
from gameserver.faces.backendless.objects import keep_properties
from gameserver.faces.backendless.settings import LoginPolicy, is_locale
from gameserver.players import accounts, identities, links, logins, profiles, users
from gameserver.players.accounts import Login, Verified, WeakPassword, identity_key
from gameserver.players.passwords import Busy, UnusablePassword
from gameserver.players.termination import Actor
from gameserver.players.tokens import Kind
from gameserver.players.webhooks import IdentityAttached, PlayerLoggedIn, emit
from gameserver.rpc.context import RESERVATION_SECONDS
from gameserver.sessions import Ended, Full, NewSession, One, Opened, Session, new_session_id
from gameserver.storage import Aborted, Row, Transaction
from gameserver.wire.errors import RateLimited, SessionLimitReached


class Credentials(msgspec.Struct, rename="camel"):
    """What a client logs in with; `object_id` is for servers, who log in as a user without a password."""

    login: str | int | None = None
    password: str | int | None = None
    object_id: str | None = None


class CurrentPassword(msgspec.Struct):
    """A password to look at."""

    password: str | None = None


async def info(call: Call) -> dict[str, Any]:
    """What clients ask for at once when they start."""
    return {"name": call.app.title or call.app.name, "applicationId": call.version.application_id}


# Registering


class Registration(msgspec.Struct):
    """What a client registers with, looked at. `email` is where mail goes, when the identity does not say."""

    identity: str
    password: str
    email: str
    properties: dict[str, Any]
    guest_id: Any
    locale: str | None


def _read_registration(call: Call) -> Registration:
    settings, given = call.settings, call.properties()
    if "id" in given:
        raise Refused(Code.PROPERTY_ID, "A property 'id' cannot be given.")
    password = properties.as_text("password", given.get("password"), Code.CANNOT_REGISTER)
    if not password:
        raise Refused(Code.NO_PASSWORD, "The property 'password' is missing.")
    properties.check_password(password)
    identity = properties.read_identity(settings, given, Code.CANNOT_REGISTER)
    if not identity:
        raise Refused(Code.NO_IDENTITY, f"The property '{settings.identity}' is missing.")
    email = identity if settings.identity == "email" else properties.read_email(given, Code.CANNOT_REGISTER)
    properties.check_required(settings, given)
    locale = given.get("blUserLocale")
    return Registration(
        identity=identity,
        password=password,
        email=email,
        properties=properties.accept(settings, given, Code.CANNOT_REGISTER),
        guest_id=given.get("objectId"),
        locale=locale if is_locale(locale) else None,
    )


async def register(call: Call) -> dict[str, Any]:
    """Make an account, or make one of a guest who is logged in. Nobody is logged in by it."""
    app, settings = call.app, call.settings
    if not settings.registration:
        raise Refused(Code.REGISTRATION_DISABLED, "Registration is disabled for this app.")
    asked = _read_registration(call)
    guest = await _guest(call, asked.guest_id)
    type_, identity = settings.identity_type, asked.identity
    key = identity_key(type_, identity)

    async def check_free(tx: Transaction) -> None:
        if await identities.find(tx, app.id, type_, key) is not None:
            raise Refused(
                Code.USER_EXISTS, f"A user with this value of '{settings.identity}' exists already."
            )

    async with call.core.database.read() as tx:
        await check_free(tx)  # before the work of a digest
    try:
        if guest is None:
            call.core.accounts.count_new(app, call.address, call.now_ms)()
        digest = await call.core.accounts.new_digest(app, asked.password, address=call.address)
    except WeakPassword as error:
        raise Refused(Code.CANNOT_REGISTER, str(error)) from None
    login_ = Login(type=type_, external_id=identity, language_code=asked.locale)

    async def store(tx: Transaction) -> Row:
        await check_free(tx)  # of two at once, the slower one is aborted and finds the other's user here
        kept = None
        if guest is not None:
            profile_id = guest.profile_id
            if not await users.lock(tx, app.id, profile_id):
                raise Refused(Code.UNKNOWN_TOKEN, "The user of the user-token is gone.")
            if not await users.add_identity(tx, app.id, profile_id, type_, identity, digest, call.now_ms):
                raise Aborted("somebody has just taken this identity")
            attached = IdentityAttached(profile_id=profile_id, authentication_type=type_)
            await emit(tx, app, attached, call.now_ms)
            before = await users.read(tx, app.id, profile_id, type_)
            kept = before["properties"] if before is not None else None
        else:
            new = Verified(type_, key, identity, None, digest)
            player, _ = await logins.log_in(tx, app, login_, new, call.now_ms, call.core.new_id)
            profile_id = player["profile_id"]
        if asked.email and (guest is not None or settings.identity != "email"):  # else it is there already
            await profiles.set_value(tx, app.id, profile_id, "contact_email", asked.email)
        await keep_properties(call, tx, profile_id, kept, asked.properties, Code.CANNOT_REGISTER)
        row = await users.read(tx, app.id, profile_id, type_)
        assert row is not None, "the user has just been made"
        return row

    row = await call.write(store)
    if settings.identity == "email" and app.login.validated_email_only:
        await _mail_confirmation(call, identity)
    return properties.view(app, row)


async def _guest(call: Call, object_id: Any) -> LoggedIn | None:
    """The guest who registers, when the client says that it is one."""
    if object_id is None:
        return None
    user = await call.must_be_logged_in()
    if user.profile_id != object_id:
        raise Refused(Code.ANOTHER_USER, "The objectId is not the one of the guest who is logged in.")
    if not user.row["is_guest"]:
        raise Refused(Code.USER_EXISTS, "The user is registered already.")
    return user


# Logging in


async def login(call: Call) -> dict[str, Any]:
    """Log in with an identity and a password; the answer holds the user and a user-token."""
    policy = _policy(call)
    given = call.read(Credentials)
    if given.object_id is not None:
        return await _login_as(call, policy, given.object_id)
    if given.login is None or given.password is None:
        raise Refused(Code.MISSING, "The login or the password is missing.")
    identity, password = str(given.login), str(given.password)
    if not identity.strip() or not password:
        raise Refused(Code.EMPTY_LOGIN, "The login or the password is empty.")
    properties.check_length("login", identity, call.settings.identity_length)
    properties.check_password(password)
    type_ = call.settings.identity_type
    return await _open(call, policy, Login(type=type_, external_id=identity, token=password))


async def login_as_guest(call: Call) -> dict[str, Any]:
    """Log in without an account: makes a player whom only this user-token leads to."""
    policy = _policy(call)
    if not policy.guests:
        raise Refused(Code.LOGINS_DISABLED, "Guests cannot log in to this app.")
    return await _open(
        call, policy, Login(type="Anonymous", external_id=call.core.new_id(), force_create=True)
    )


async def _login_as(call: Call, policy: LoginPolicy, object_id: str) -> dict[str, Any]:
    if not call.by_server:
        raise Refused(Code.LOGIN_BY_ID_IS_FOR_SERVERS, "Only servers may log in by an objectId.")
    row = await call.read_user(object_id)
    if row is None:
        raise Refused(Code.WRONG_LOGIN, "There is no user with this objectId.")
    if row["is_disabled"]:
        raise locked_out(row)
    new = _new_session(call, policy, "objectId", object_id, row["session_epoch"])
    await _reserve(call, policy, new)
    return await _finish(call, policy, new)


def _policy(call: Call) -> LoginPolicy:
    if not call.version.logins:
        raise Refused(Code.LOGINS_DISABLED, "Logins are disabled for this version of the app.")
    if call.settings.login is None:
        raise Refused(Code.NO_LOGIN_SETTINGS, "The app has no login settings.")
    return call.settings.login


async def _open(call: Call, policy: LoginPolicy, login_: Login) -> dict[str, Any]:
    """Check the credentials and open a session.

    Where the newest login may be refused, a place is reserved inside the transaction: a login that will be
    refused changes nothing.
    """
    core = call.core
    verified: Verified
    reserved: NewSession | None = None

    async def verify(_: Exception | None = None) -> None:
        nonlocal verified
        verified = await core.accounts.verify(call.app, login_, call.address, call.now_ms, face=FACE)

    async def log_in(tx: Transaction) -> NewSession:
        nonlocal reserved
        player, is_new = await logins.log_in(tx, call.app, login_, verified, call.now_ms, core.new_id)
        profile_id, epoch = player["profile_id"], player["session_epoch"]
        event = PlayerLoggedIn(profile_id=profile_id, authentication_type=verified.type, new_user=is_new)
        await emit(tx, call.app, event, call.now_ms)
        if reserved is not None and (reserved.profile_id, reserved.epoch) != (profile_id, epoch):
            await core.sessions.end(One(reserved.session_id or ""), "replaced")
            reserved = None
        if reserved is None:
            reserved = _new_session(call, policy, verified.type, profile_id, epoch)
            await _reserve(call, policy, reserved)
        return reserved

    await verify()
    try:
        opening = await core.database.transact(log_in, between=verify)
    except accounts.AccountDisabled as error:
        call.note("refusal", str(error.reason_code), verified.profile_id or "")
        row = await call.read_user(verified.profile_id or "")
        if row is None:
            raise
        raise locked_out(row) from None
    return await _finish(call, policy, opening)


def _new_session(call: Call, policy: LoginPolicy, type_: str, profile_id: str, epoch: int) -> NewSession:
    return NewSession(
        session_id=new_session_id(profile_id, call.core.random_bytes),
        app_id=call.app.id,
        profile_id=profile_id,
        face=FACE,
        life_seconds=policy.life_seconds,
        facts={"address": call.address, "client": call.kind, "authenticationType": type_}
        | ({"isGuest": True} if type_ == "Anonymous" else {}),
        epoch=epoch,
    )


async def _reserve(call: Call, policy: LoginPolicy, new: NewSession) -> None:
    """Where a login may be refused because of others: take a place, or raise `Refused`."""
    if policy.limit.when_full != "refuse_newest":
        return
    short = msgspec.structs.replace(new, life_seconds=RESERVATION_SECONDS)
    if isinstance(await call.core.sessions.open(short, policy.limit), Full):
        call.note("refusal", str(SessionLimitReached.reason_code), new.profile_id)
        if policy.multiple_logins == "block_second":
            raise Refused(Code.ALREADY_LOGGED_IN, "The user is logged in already.")
        raise Refused(Code.TOO_MANY_LOGINS, "The user is logged in as often as the app allows.")


async def _finish(call: Call, policy: LoginPolicy, new: NewSession) -> dict[str, Any]:
    """Open the session, once the login is committed."""
    sessions, session_id = call.core.sessions, new.session_id or ""
    opened: Opened | Full | Session | Ended
    if policy.limit.when_full == "refuse_newest":
        opened = await sessions.confirm(session_id, new.life_seconds)
    else:
        opened = await sessions.open(new, policy.limit)
    if isinstance(opened, Opened) and opened.dropped:
        by = Actor(FACE, call.address, new.profile_id)
        await call.core.endings.replaced(call.app, new.profile_id, opened.dropped, by)
    row = await call.read_user(new.profile_id)
    if row is None or row["is_disabled"] or row["session_epoch"] != new.epoch or isinstance(opened, Ended):
        await _end_late(call, new, row)
    assert row is not None, "without a user the login is refused"
    digest = sessions.digest(session_id) or ""
    call.note("login", new.facts["authenticationType"], new.profile_id, digest)
    core = call.core
    await logins.follow(core.hooks, core.parts, call.app, new.profile_id, new.facts, call.now_ms)
    return {**properties.view(call.app, row), "user-token": session_id}


async def _end_late(call: Call, new: NewSession, row: Row | None) -> NoReturn:
    """Something ended the user's sessions while this one was being opened: it has not outlived that."""
    await call.end(One(new.session_id or ""), "revoked", profile_id=new.profile_id)
    if row is None or row["is_disabled"]:
        call.note("refusal", str(accounts.AccountDisabled.reason_code), new.profile_id)
        if row is not None:
            raise locked_out(row)
        raise Refused(Code.LOGIN_DISABLED_FOR_USER, "Login is disabled for this user.")
    raise Refused(Code.AWAY, "The user's sessions were ended at this moment. Log in again.")


# Logging out


async def logout(call: Call) -> None:
    """End the session of the user-token, in every face.

    Who sends no token is logged out already, and so is a user who was disabled meanwhile.
    """
    if not call.token:
        return
    found = await call.core.sessions.peek(call.token)
    if isinstance(found, Ended) and found.reason == "disabled":
        return
    if isinstance(found, Session) and found.app_id == call.app.id:
        player, face = found.home_profile_id, found.face
        if await call.end(One(call.token), "logged_out", profile_id=player, home_face=face):
            return
    raise Refused(Code.UNKNOWN_TOKEN, "The user-token is not known, or not any more.")


async def is_valid_token(call: Call) -> bool:
    """Whether a user-token is good; asking does not make it live longer."""
    found = await call.core.sessions.peek(call.path["token"])
    return not isinstance(found, Ended) and found.app_id == call.app.id


# Passwords and mail addresses


async def verify_password(call: Call) -> dict[str, bool]:
    """Whether a password is that of the user who is logged in. For servers; wrong ones lead to a lock."""
    if not call.by_server:
        raise Refused(Code.PASSWORD_CHECK_IS_FOR_SERVERS, "Passwords can be verified by servers only.")
    password = call.read(CurrentPassword).password
    if not password:
        raise Refused(Code.MISSING, "The password is missing.")
    user = await call.must_be_logged_in()
    identity, type_ = user.row["external_id"], call.settings.identity_type
    if identity is None:
        return {"valid": False}
    key = identity_key(type_, identity)
    attempt = call.core.accounts.attempt(call.app, type_, key, "")
    async with call.core.database.read() as tx:
        found = await identities.find(tx, call.app.id, type_, key)
    await attempt.enter(charge=True)
    try:
        valid = await call.core.passwords.verify(found["digest"] if found is not None else None, password)
    except UnusablePassword:
        valid = False
    except Busy:
        raise RateLimited("too many passwords are being checked at this moment; try again") from None
    await (attempt.succeed() if valid else attempt.fail(charged=True))
    return {"valid": valid}


async def restore_password(call: Call) -> None:
    """Mail a link that sets a new password.

    Says whether there is such an account unless the app conceals that; who asks too often gets no mail.
    """
    app, type_ = call.app, call.settings.identity_type
    if not call.settings.restore_mail:
        raise Refused(Code.CANNOT_RESTORE, "This app sends no mail that restores passwords.")
    key = identity_key(type_, call.path["identity"])
    allowed = await links.may_mail(call.core.sessions, app, f"reset/{type_}", key, call.address)
    link = app.mail.reset

    async def store(tx: Transaction) -> tuple[Row | None, str]:
        contact = await identities.find_contact(tx, app.id, type_, key)
        if not allowed:
            return contact, ""
        token = await links.issue(
            tx,
            Kind.PASSWORD_RESET,
            app,
            (type_, key),
            contact,
            now_ms=call.now_ms,
            minutes=link.minutes,
        )
        return contact, token

    contact, token = await call.write(store)
    to = links.mailbox(contact, type_)
    if to is None and not app.login.conceal_accounts:
        raise Refused(Code.CANNOT_RESTORE, "There is no user with this identity who could get mail.")
    if contact is not None and to is not None and token:
        url = links.link(link, call.core.public_url, links.RESET_PATH, token)
        _post(call, "password_reset", to, contact, url, link.minutes)


async def resend_confirmation(call: Call) -> dict[str, Any]:
    """Mail the link that proves a mail address once more. Whether there is a user is not said."""
    if call.settings.identity == "email":
        await _mail_confirmation(call, call.path["identity"])
    return {}


async def create_confirmation_url(call: Call) -> dict[str, str]:
    """Make the link that proves a mail address, without mailing it. For servers: it is worth the address."""
    if not call.by_server:
        raise Refused(Code.STATUS_IS_FOR_SERVERS, "Confirmation links are made for servers only.")
    found = await _confirmation(call, call.path["identity"])
    if found is None:
        raise Refused(Code.NO_SUCH_USER, "There is no user with this identity.")
    return {"confirmationURL": found[1]}


async def _mail_confirmation(call: Call, identity: str) -> None:
    key = identity_key("Email", identity)
    if not await links.may_mail(call.core.sessions, call.app, "validation", key, call.address):
        return
    found = await _confirmation(call, identity)
    if found is not None:
        contact, url = found
        minutes = call.app.mail.validation.minutes
        _post(call, "email_validation", contact["external_id"], contact, url, minutes)


async def _confirmation(call: Call, identity: str) -> tuple[Row, str] | None:
    app, link = call.app, call.app.mail.validation
    if call.settings.identity != "email":
        return None
    key = identity_key("Email", identity)

    async def store(tx: Transaction) -> tuple[Row, str] | None:
        contact = await identities.find_contact(tx, app.id, "Email", key)
        if contact is None:
            return None
        token = await links.issue(
            tx,
            Kind.EMAIL_VALIDATION,
            app,
            ("Email", key),
            contact,
            now_ms=call.now_ms,
            minutes=link.minutes,
        )
        return contact, token

    made = await call.write(store)
    if made is None:
        return None
    return made[0], links.link(link, call.core.public_url, links.VALIDATE_PATH, made[1])


def _post(call: Call, template: str, to: str, contact: Row, url: str, minutes: int) -> None:
    links.post(
        call.core.mailer,
        call.app,
        template,
        to,
        {"link": url, "minutes": str(minutes)},
        language=contact["language_code"] or "",
    )
