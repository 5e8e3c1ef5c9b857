"""Fields of requests and answers about players, each described once."""

from typing import Annotated, Any

from msgspec import Meta

from gameserver.players.states import Balance

# Who somebody is, and how they are shown

PlayerName = Annotated[str, Meta(description="The player's name; empty if there is none.")]
PictureUrl = Annotated[str | None, Meta(description="Address of the player's picture, or null.")]
FriendData = Annotated[
    Any, Meta(description="What the player shows to friends (`playerState.UPDATE_SUMMARY`), or null.")
]

# What they have

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
