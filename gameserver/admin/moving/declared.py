"""All types of lines, in this order: what a line names has come before it."""

from gameserver.admin.moving import boards, documents, friends, groups, players, talk
from gameserver.admin.moving.kinds import by_name

KINDS = by_name(
    (
        boards.GLOBAL_STATISTICS,
        players.PLAYER,
        documents.ENTITY,
        documents.GLOBAL_ENTITY,
        friends.FRIEND,
        friends.BLOCK,
        groups.GROUP,
        groups.GROUP_MEMBER,
        groups.GROUP_ENTITY,
        talk.CHAT_CHANNEL,
        talk.CHAT_MESSAGE,
        talk.MESSAGE,
        talk.EVENT,
        boards.LEADERBOARD,
        boards.SCORE,
    )
)
PARTS = tuple(KINDS)
