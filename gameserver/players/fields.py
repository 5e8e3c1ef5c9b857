"""Fields of requests and answers about players, each described once."""

from typing import Annotated, Any

from msgspec import Meta

from gameserver.wire.shapes import FreeValue, Reply

# Who somebody is, and how they are shown

AuthenticationType = Annotated[str, Meta(description="The type of identity, as in protocol/values.md.")]
ExternalIdField = Annotated[
    str,
    Meta(description="Who they are by that type: a name, an address, the id of a device or of a platform."),
]
AuthenticationToken = Annotated[
    str | None,
    Meta(description="What proves it: a password, or the token of the platform; empty for Anonymous."),
]
ExternalAuthName = Annotated[
    str | None,
    Meta(description="For the type External: the name of an external login that the app declares."),
]
ExtraJson = Annotated[
    FreeValue,
    Meta(description="An object of the game's own, up to 16 KiB; `nonce` goes with tokens that have one."),
]
ReleasePlatform = Annotated[str | None, Meta(description="The platform, as in protocol/values.md.")]
LanguageCode = Annotated[str | None, Meta(description="The player's language, such as en or zh-Hant.")]
CountryCode = Annotated[
    str | None, Meta(description="The player's country: two letters, or _LA_ for Latin America.")
]
TimeZoneOffset = Annotated[float, Meta(description="Hours east of UTC, such as -5 or 5.5.")]
LevelName = Annotated[str, Meta(description="The level of an app above this one, as the app declares it.")]
NearestLevel = Annotated[
    str | None,
    Meta(description="The level of an app above this one, as the app declares it; nothing: the nearest."),
]
PeerCode = Annotated[str, Meta(description="The name of a peer app, as the app declares it.")]
ContactEmail = Annotated[
    str | None,
    Meta(description="Where mail to the player goes; nobody logs in with it. Null or empty: none."),
]

PlayerName = Annotated[str, Meta(description="The player's name; empty if there is none.")]
PictureUrl = Annotated[str | None, Meta(description="Address of the player's picture, or null.")]
FriendData = Annotated[
    Any, Meta(description="What the player shows to friends (`playerState.UPDATE_SUMMARY`), or null.")
]

# What they have


class Balance(Reply):
    """What a player has of a currency, and what it was added up from since the last reset."""

    purchased: Annotated[int, Meta(description="Bought since the last reset.")] = 0
    balance: Annotated[int, Meta(description="What the player has.")] = 0
    consumed: Annotated[int, Meta(description="Spent since the last reset.")] = 0
    awarded: Annotated[int, Meta(description="Awarded since the last reset.")] = 0
    revoked: Annotated[int, Meta(description="Taken back since the last reset.")] = 0


Balances = Annotated[dict[str, Balance], Meta(description="The player's currencies by name.")]
ParentBalances = Annotated[
    dict[str, dict[str, Balance]],
    Meta(description="Currencies of the player's parents: by level, then by name."),
]
PeerBalances = Annotated[
    dict[str, dict[str, Balance]],
    Meta(description="Currencies of the player's peers: by peer, then by name."),
]
StatisticValues = Annotated[dict[str, float], Meta(description="The player's statistics by name.")]
ExperiencePoints = Annotated[int, Meta(description="The player's experience points.")]
ExperienceLevel = Annotated[
    int, Meta(description="The player's level; 0 below the first one, and where the app has no levels.")
]
XpCapped = Annotated[
    bool, Meta(description="Whether the player has as many experience points as the app allows.")
]
PaidRewards = Annotated[
    dict[str, Any],
    Meta(
        description="What the player got: `experiencePoints`, `experienceLevels` (reached), `currency`,"
        " `statistics` and `globalStatistics`, those that there are; {} for nothing."
    ),
]
RewardDetails = Annotated[
    dict[str, Any],
    Meta(
        description="What it was for: `xp.experienceLevels` lists levels that were reached, `events` events"
        " with rewards; {} for nothing."
    ),
]
CurrenciesAfterRewards = Annotated[
    dict[str, Balance],
    Meta(description="The player's currencies by name, if there was something to get; else {}."),
]
