"""A player of a running server who has a bit of everything: for pages that show one of something."""

import functools
import uuid
from typing import Any

import httpx

BOARD = "moon_dust"
ODD = "\u0645\u062d\u0645\u062f" + "Z\u0351\u036b\u0343" + "W" * 24
"""A name from right to left, with marks above a letter, and no place to break it."""
SAVE = {"level": 41, "gold": 1e16, "bag": ["rope", "lamp"]}


@functools.cache
def make(url: str, app_id: str) -> dict[str, str]:
    """Log in and make one of each; returns the profile and the ids, by what they are called in paths.

    `global` is a global entity, `chest` one of the group. The app has the type of groups `clan`.
    """
    session = _Session(url, app_id)
    channel = f"{app_id}:dy:moon"
    made = session.send(
        ("playerState", "UPDATE_NAME", {"playerName": ODD}),
        (
            "leaderboard",
            "POST_SCORE_DYNAMIC",
            {
                "leaderboardId": BOARD,
                "score": 9_000_000,
                "data": {"run": 1},
                "leaderboardType": "HIGH_VALUE",
                "rotationType": "NEVER",
            },
        ),
        ("entity", "CREATE", {"entityType": "save", "data": SAVE}),
        ("globalEntity", "CREATE", {"entityType": "shop", "data": SAVE}),
        ("chat", "POST_CHAT_MESSAGE_SIMPLE", {"channelId": channel, "text": ODD * 9}),
        ("group", "CREATE_GROUP", {"name": ODD * 5, "groupType": "clan"}),
    )
    group = made[5]["groupId"]
    [chest] = session.send(
        ("group", "CREATE_GROUP_ENTITY", {"groupId": group, "entityType": "chest", "data": SAVE}),
    )
    return {
        "profile": session.profile_id,
        "board": BOARD,
        "channel": channel,
        "entity": made[2]["entityId"],
        "global": made[3]["entityId"],
        "group": group,
        "chest": chest["entityId"],
    }


class _Session:
    """A logged-in player, who sends packets."""

    def __init__(self, url: str, app_id: str) -> None:
        self._url, self._packet = url, 0
        self._around: dict[str, Any] = {"gameId": app_id}
        login = {
            "authenticationType": "Universal",
            "externalId": f"heidi-{uuid.uuid4().hex[:6]}",
            "authenticationToken": "x" * 12,
            "forceCreate": True,
        }
        [answer] = self.send(("authenticationV2", "AUTHENTICATE", login))
        self._around["sessionId"] = answer["sessionId"]
        self.profile_id = str(answer["profileId"])

    def send(self, *messages: tuple[str, str, dict[str, Any]]) -> list[dict[str, Any]]:
        packet = {
            **self._around,
            "packetId": self._packet,
            "messages": [dict(zip(("service", "operation", "data"), each, strict=True)) for each in messages],
        }
        self._packet += 1
        answers = httpx.post(f"{self._url}/dispatcher", json=packet).json()["responses"]
        assert [each["status"] for each in answers] == [200] * len(answers), answers
        return [each["data"] for each in answers]
