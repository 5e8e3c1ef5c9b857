"""The operations of playerState."""

from functools import partial
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from gameserver.apps import LiveApps, is_mail_address
from gameserver.players import identities, links, profiles
from gameserver.players.accounts import InvalidEmail
from gameserver.players.fields import ContactEmail, PlayerName, TimeZoneOffset
from gameserver.players.links import NoEmailIdentity
from gameserver.players.profiles import TEXT_MAX, Status, check_line
from gameserver.players.states import PlayerState
from gameserver.players.tokens import Kind
from gameserver.rpc import PLAYER_RESET, Access, Context, Last, Service, Tx
from gameserver.services.player_state.rules import (
    ATTRIBUTES_MAX,
    STATUS_SECONDS_MAX,
    SUMMARY_BYTES_MAX,
    Hours,
    InvalidAttributes,
    TooManyStatuses,
    attribute_text,
    check_attribute_name,
    check_size,
    check_web_address,
    extended,
    read_hours,
    to_text,
)
from gameserver.services.player_state.storage import (
    FIND_EMAIL,
    change_status,
    gone,
    last_value,
    read_attributes,
    read_statuses,
    store,
)
from gameserver.sessions import One
from gameserver.wire.errors import MissingParameter, NoSession, PacketTooLarge
from gameserver.wire.shapes import FreeObject, Nothing, Reply, Request

service = Service("playerState")

# Operations on the session


@service.operation("LOGOUT", tx=Tx.NONE)
async def logout(ctx: Context, request: Nothing) -> None:
    """End the caller's session. Later packets that carry it are refused by every process."""
    leave(ctx)


@service.operation("FULL_PLAYER_RESET", tx=Tx.WRITE)
async def delete_player(ctx: Context, request: Nothing) -> None:
    """Delete the player with everything that is kept of them, and end all their sessions.

    The identities are free again: the next login with one of them may make a new player.
    """
    await ctx.core.player_hooks.delete_player(ctx, ctx.player_id, reason="logged_out")
    leave(ctx, others_end_too=True)


@service.operation("GAME_DATA_RESET", tx=Tx.WRITE)
async def reset_player(ctx: Context, request: Nothing) -> None:
    """Delete the player's game data, among it statuses, attributes and summary friend data.

    The player stays, and with them name, contact data, identities, currencies, purchases and the session.
    """
    await ctx.core.player_hooks.reset_player(ctx, ctx.player_id)


@service.on(PLAYER_RESET)
async def forget_game_data(ctx: Context, profile_id: str) -> None:
    """Remove what this service keeps of a player beyond the profile."""
    await ctx.tx.run(profiles.RESET, profile=profile_id, app=ctx.app.id)


service.keeps(profiles.KEPT)


@service.operation("READ", tx=Tx.READ)
async def read(ctx: Context, request: Nothing) -> PlayerState:
    """Read the whole state of the caller: profile, statuses, levels, statistics, currencies."""
    states, apps = ctx.core.player_hooks.states.of(ctx.app), ctx.core.get(LiveApps)
    state = await states.read(ctx.tx, apps, ctx.app, ctx.player_id, ctx.now_ms)
    if state is None:
        raise gone()
    return state


# Operations on the profile


class UpdateName(Request):
    """SDKs say `playerName`, the reference `userName`."""

    player_name: Annotated[
        str | None, Meta(description="The new name, up to 64 characters; empty: none.")
    ] = None
    user_name: Annotated[
        str | None, Meta(description="Another name of `playerName`; one of them is needed.")
    ] = None


class NameReply(Reply):
    player_name: PlayerName


@service.operation("UPDATE_NAME", tx=Tx.WRITE)
async def update_name(ctx: Context, request: UpdateName) -> Last[NameReply]:
    """Set the caller's name: any characters of any script, emoji too, up to 64. Empty text removes it.

    Refused: control characters, line breaks and characters that turn the direction of the text around them.
    """
    name = request.player_name if request.player_name is not None else request.user_name
    if name is None:
        raise MissingParameter("data.playerName: required")
    return last_value(ctx, "name", check_line("data.playerName", name, TEXT_MAX), NameReply(player_name=name))


class UpdatePictureUrl(Request):
    """SDKs say `playerPictureUrl`, the reference `userPictureUrl`."""

    player_picture_url: Annotated[
        str | UnsetType | None,
        Meta(description="Address of a picture on the web, up to 2048 characters; null or empty: none."),
    ] = UNSET
    user_picture_url: Annotated[
        str | UnsetType | None, Meta(description="Another name of `playerPictureUrl`; one of them is needed.")
    ] = UNSET


class PictureUrlReply(Reply):
    player_picture_url: Annotated[str, Meta(description="Address of the picture; empty: none.")]


@service.operation("UPDATE_PICTURE_URL", tx=Tx.WRITE)
async def update_picture_url(ctx: Context, request: UpdatePictureUrl) -> Last[PictureUrlReply]:
    """Set the address of the caller's picture, up to 2048 characters. Empty text or null removes it.

    Refused: other addresses than those of the web (`http` and `https`), which others' clients are to show.
    """
    url = request.player_picture_url if request.player_picture_url is not UNSET else request.user_picture_url
    if url is UNSET:
        raise MissingParameter("data.playerPictureUrl: required")
    return last_value(
        ctx,
        "picture_url",
        check_web_address("data.playerPictureUrl", url or "") or None,
        PictureUrlReply(player_picture_url=url or ""),
    )


class UpdateContactEmail(Request):
    contact_email: ContactEmail


class ContactEmailReply(Reply):
    contact_email: Annotated[str, Meta(description="The contact address; empty: none.")]


@service.operation("UPDATE_CONTACT_EMAIL", tx=Tx.WRITE, errors=(InvalidEmail,))
async def update_contact_email(ctx: Context, request: UpdateContactEmail) -> Last[ContactEmailReply]:
    """Set the caller's contact address; logging in does not use it. Empty text or null removes it.

    Refused: text that is no e-mail address.
    """
    email = (request.contact_email or "").strip()
    if email and not is_mail_address(email):
        raise InvalidEmail("data.contactEmail: not an e-mail address")
    before = await profiles.read(ctx.tx, ctx.app.id, ctx.player_id)  # not earlier: a login may come first
    if before is not None and (before["contact_email"] or "") != email:
        core, app, to = ctx.core, ctx.app, before["contact_email"]

        async def tell() -> None:
            links.notify(core.mailer, core.sessions, app, "address_changed", to, before["language_code"])

        ctx.after_commit(tell)
    return last_value(ctx, "contact_email", email or None, ContactEmailReply(contact_email=email))


class UpdateLanguageCode(Request):
    language_code: Annotated[
        str,
        Meta(
            pattern=r"^[A-Za-z]{2,3}([-_][A-Za-z0-9]{1,8}){0,3}$(?!\n)", description="Such as en or zh-Hant."
        ),
    ]


class LanguageCodeReply(Reply):
    language_code: Annotated[str, Meta(description="The player's language.")]


@service.operation("UPDATE_LANGUAGE_CODE", tx=Tx.WRITE)
async def update_language_code(ctx: Context, request: UpdateLanguageCode) -> Last[LanguageCodeReply]:
    """Set the caller's language. Refused: text that is no language code."""
    return last_value(
        ctx, "language_code", request.language_code, LanguageCodeReply(language_code=request.language_code)
    )


class UpdateCountryCode(Request):
    country_code: Annotated[
        str,
        Meta(pattern=r"^([A-Za-z]{2}|_LA_)$(?!\n)", description="Two letters, or _LA_ for Latin America."),
    ]


class CountryCodeReply(Reply):
    country_code: Annotated[str, Meta(description="The player's country.")]


@service.operation("UPDATE_COUNTRY_CODE", tx=Tx.WRITE, access=Access.SERVER)
async def update_country_code(ctx: Context, request: UpdateCountryCode) -> Last[CountryCodeReply]:
    """Set a player's country. Refused: text that is no country code."""
    return last_value(
        ctx, "country_code", request.country_code, CountryCodeReply(country_code=request.country_code)
    )


class UpdateTimezoneOffset(Request):
    time_zone_offset: Hours


class TimezoneOffsetReply(Reply):
    time_zone_offset: TimeZoneOffset


@service.operation("UPDATE_TIMEZONE_OFFSET", tx=Tx.WRITE)
async def update_timezone_offset(ctx: Context, request: UpdateTimezoneOffset) -> Last[TimezoneOffsetReply]:
    """Set the caller's distance from UTC in hours, from -14 to 14, such as -5 or 5.5."""
    hours = read_hours(request.time_zone_offset, "data.timeZoneOffset")
    return last_value(
        ctx, "time_zone_offset", hours, TimezoneOffsetReply(time_zone_offset=profiles.number(hours))
    )


class UpdateIsTester(Request):
    is_tester: Annotated[bool, Meta(description="Whether the player is a tester.")]


class IsTesterReply(Reply):
    is_tester: Annotated[bool, Meta(description="Whether the player is a tester.")]


@service.operation("UPDATE_IS_TESTER", tx=Tx.WRITE, access=Access.SERVER)
async def update_is_tester(ctx: Context, request: UpdateIsTester) -> Last[IsTesterReply]:
    """Say whether a player is a tester."""
    return last_value(ctx, "is_tester", request.is_tester, IsTesterReply(is_tester=request.is_tester))


class UpdateSummary(Request):
    summary_friend_data: Annotated[
        FreeObject | None,
        Meta(description="What other players see beside the name: an object of up to 10 KiB; null: nothing."),
    ]


@service.operation("UPDATE_SUMMARY", tx=Tx.WRITE, errors=(PacketTooLarge,))
async def update_summary(ctx: Context, request: UpdateSummary) -> Last[None]:
    """Replace what other players see beside the caller's name: an object of up to 10 KiB, or null."""
    data = request.summary_friend_data
    text = None if data is None else check_size("data.summaryFriendData", data, SUMMARY_BYTES_MAX)
    return last_value(ctx, "summary_friend_data", text, None)


class EmailIdentity(msgspec.Struct):
    """Where the link that proves an address goes."""

    key: str
    address: str
    language: str


async def find_email(ctx: Context, request: Nothing) -> EmailIdentity | None:
    """Find the identity whose address is to be proven; None when it got too many mails of late."""
    async with ctx.core.database.read() as tx:
        row = await tx.one(FIND_EMAIL, profile=ctx.player_id, app=ctx.app.id)
    if row is None:
        raise NoEmailIdentity("the player has no identity of type Email whose address could be proven")
    key: str = row["external_key"]
    if not await links.may_mail(ctx.core.sessions, ctx.app, "validation", key, ""):
        return None
    return EmailIdentity(key, row["external_id"], row["language_code"] or "")


@service.operation(
    "RESEND_VALIDATION_EMAIL",
    tx=Tx.WRITE,
    access=Access.SERVER,
    prepare=find_email,
    errors=(NoEmailIdentity,),
)
async def resend_validation_email(ctx: Context, request: Nothing) -> None:
    """Mail the link that proves the address of a player's Email identity once more.

    No more than a few mails in a quarter of an hour leave for one address; the answer does not tell.
    Refused for a player without such an identity.
    """
    found: EmailIdentity | None = ctx.prepared
    if found is None:
        return
    settings = ctx.app.mail.validation
    token = await links.issue(
        ctx.tx,
        Kind.EMAIL_VALIDATION,
        ctx.app,
        ("Email", found.key),
        await identities.find_contact(ctx.tx, ctx.app.id, "Email", found.key),
        now_ms=ctx.now_ms,
        minutes=settings.minutes,
    )
    url = links.link(settings, ctx.core.public_url, links.VALIDATE_PATH, token)

    async def post() -> None:
        values = {"link": url, "minutes": str(settings.minutes)}
        links.post(
            ctx.core.mailer, ctx.app, "email_validation", found.address, values, language=found.language
        )

    ctx.after_commit(post)


# Operations on attributes


class AttributesReply(Reply):
    attributes: Annotated[dict[str, str], Meta(description="The attributes by name; all values are text.")]


@service.operation("GET_ATTRIBUTES", tx=Tx.READ)
async def get_attributes(ctx: Context, request: Nothing) -> AttributesReply:
    """Read the caller's attributes. All values are text."""
    return AttributesReply(attributes=await read_attributes(ctx, profiles.READ_ATTRIBUTES))


class UpdateAttributes(Request):
    attributes: Annotated[
        FreeObject,
        Meta(description="Values by name: text, numbers, true or false, kept as text of up to 1 KiB."),
    ]
    wipe_existing: Annotated[bool, Meta(description="true removes all attributes that are not sent.")] = False


@service.operation("UPDATE_ATTRIBUTES", tx=Tx.WRITE, errors=(InvalidAttributes,))
async def update_attributes(ctx: Context, request: UpdateAttributes) -> None:
    """Set some of the caller's attributes; `wipeExisting` removes all others.

    Values are text, numbers or booleans, kept as text of up to 1 KiB. A player has up to 100 attributes,
    their names up to 64 characters. Refused: values with an inner structure, null.
    """
    changes = {
        check_attribute_name(name): attribute_text(name, value) for name, value in request.attributes.items()
    }
    before = await read_attributes(ctx, profiles.LOCK_ATTRIBUTES)
    after = changes if request.wipe_existing else before | changes
    if len(after) > ATTRIBUTES_MAX:
        raise InvalidAttributes(f"data.attributes: a player has at most {ATTRIBUTES_MAX} attributes")
    if after != before:
        await store(ctx, "attributes", to_text(after))


class RemoveAttributes(Request):
    attributes: Annotated[list[str], Meta(description="Names of attributes.")]


@service.operation("REMOVE_ATTRIBUTES", tx=Tx.WRITE)
async def remove_attributes(ctx: Context, request: RemoveAttributes) -> None:
    """Remove attributes of the caller by name. Unknown names are no mistake."""
    before = await read_attributes(ctx, profiles.LOCK_ATTRIBUTES)
    after = {name: value for name, value in before.items() if name not in set(request.attributes)}
    if after != before:
        await store(ctx, "attributes", to_text(after) if after else None)


# Operations on timed statuses

StatusName = Annotated[
    str,
    Meta(
        min_length=1, max_length=TEXT_MAX, description="The name of the status, in words of the game's own."
    ),
]
Seconds = Annotated[int, Meta(ge=0, le=STATUS_SECONDS_MAX)]


class GetUserStatus(Request):
    """Empty or no name: all."""

    status_name: Annotated[
        str | None, Meta(description="The name of a status; empty, null or nothing: all.")
    ] = None


@service.operation("GET_USER_STATUS", tx=Tx.READ)
async def get_user_status(ctx: Context, request: GetUserStatus) -> dict[str, Status]:
    """Read an active status of the caller, or with an empty name all of them, as an object by name.

    A status that is unknown or has expired is not in the answer.
    """
    statuses = await read_statuses(ctx, profiles.READ_STATUSES)
    if not request.status_name:
        return statuses
    return {name: status for name, status in statuses.items() if name == request.status_name}


class SetUserStatus(Request):
    status_name: StatusName
    duration_secs: Annotated[
        Seconds, Meta(description="How long it holds, in seconds; 0: it is over at once.")
    ]
    details: Annotated[
        FreeObject | None, Meta(description="An object of the game's own, up to 2 KiB. Null or nothing: {}.")
    ] = None


@service.operation("SET_USER_STATUS", tx=Tx.WRITE, errors=(PacketTooLarge, TooManyStatuses))
async def set_user_status(ctx: Context, request: SetUserStatus) -> dict[str, Status]:
    """Give the caller a status from now on for some seconds, instead of what the status was before.

    A duration of 0 makes it expire at once. `details` is an object of up to 2 KiB. A player has up to 50
    active statuses.
    """
    status = Status(
        active_start=ctx.now_ms,
        status_name=request.status_name,
        details=request.details or {},
        active_until=ctx.now_ms + request.duration_secs * 1000,
    )
    return await change_status(ctx, request.status_name, lambda _: status)


class ClearUserStatus(Request):
    status_name: StatusName


@service.operation("CLEAR_USER_STATUS", tx=Tx.WRITE)
async def clear_user_status(ctx: Context, request: ClearUserStatus) -> None:
    """Remove a status of the caller. An unknown one is no mistake."""
    statuses = await read_statuses(ctx, profiles.LOCK_STATUSES)
    if statuses.pop(request.status_name, None) is not None:
        await store(ctx, "statuses", to_text(statuses) if statuses else None)


class ExtendUserStatus(Request):
    status_name: StatusName
    additional_secs: Annotated[Seconds, Meta(description="How much longer it holds, in seconds.")]
    details: Annotated[
        FreeObject | None,
        Meta(
            description="An object of the game's own, up to 2 KiB. Null or nothing: what is there "
            "stays, {} for a new status."
        ),
    ] = None


@service.operation("EXTEND_USER_STATUS", tx=Tx.WRITE, errors=(PacketTooLarge, TooManyStatuses))
async def extend_user_status(ctx: Context, request: ExtendUserStatus) -> Status:
    """Let a status of the caller last some seconds longer, and add `details` to its details.

    A status that is unknown or has expired starts now.
    """
    name = request.status_name
    extend = partial(extended, name, ctx.now_ms, request.additional_secs, None, request.details)
    return (await change_status(ctx, name, extend))[name]


class ExtendUserStatusWithMax(ExtendUserStatus):
    max_active_secs: Annotated[
        Seconds | None,
        Meta(description="It holds at most this long from now, in seconds; null or nothing: no limit."),
    ] = None


@service.operation("EXTEND_USER_STATUS_WITH_MAX", tx=Tx.WRITE, errors=(PacketTooLarge, TooManyStatuses))
async def extend_user_status_with_max(ctx: Context, request: ExtendUserStatusWithMax) -> dict[str, Status]:
    """Let a status of the caller last some seconds longer, but from now on no longer than `maxActiveSecs`.

    A status that lasts longer already is not cut. One that is unknown or has expired starts now.
    """
    name, most = request.status_name, request.max_active_secs
    extend = partial(extended, name, ctx.now_ms, request.additional_secs, most, request.details)
    return await change_status(ctx, name, extend)


# What ending sessions takes


def leave(ctx: Context, *, others_end_too: bool = False) -> None:
    """End the session the caller came by, or the one this packet was about to open. Raises `NoSession`."""
    if not ctx.log_out_again():
        if ctx.session is not None:
            ctx.end_sessions(One(digest=ctx.session.digest), "logged_out")
        elif not others_end_too:
            raise NoSession("there is no session to end")
    ctx.profile_id, ctx.session_error = None, NoSession("the session was ended by this packet")
