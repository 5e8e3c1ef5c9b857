"""Refusals of one rule, of each operation that sends a notification."""

from pathlib import Path
from typing import Any

import pytest

from gameserver.domain.push import audiences
from gameserver.domain.push.content import MissingBody
from gameserver.domain.social.groups import NotGroupMember
from gameserver.players.profiles import UnknownPlayer
from gameserver.players.quotas import QuotaReached
from gameserver.services.push_notification.base import PushNotConfigured, UnknownTemplate
from gameserver.wire.errors import PacketTooLarge, RateLimited
from tests.conftest import APP_TOML, Client, Game
from tests.services.conftest import Define

PUSH = "pushNotification"
APP = """
[group.types.club]
[pushNotification.templates.1]
texts = { en = "{0} sent you a gift" }
[pushNotification.templates.2]
texts = { en = "You have a gift", fr = "{0} " }
[pushNotification]
"""
LONG = "x" * 5000
Contents = dict[str, dict[str, Any]]
SMALL: Contents = {
    "ALERT": {"alertContent": {"body": "hi"}},
    "READY": {"iosContent": {"aps": {"alert": "hi"}}},
    "TEMPLATE": {"notificationTemplateId": 1, "substitutions": {"0": "Ada"}},
}
LARGE: Contents = {
    "ALERT": {"alertContent": {"body": LONG}},
    "READY": {"iosContent": {"aps": {"alert": LONG}}},
    "TEMPLATE": {"notificationTemplateId": 1, "substitutions": {"0": LONG}},
}
SENDING = {"SEND_NORMALIZED": "ALERT", "SEND_RAW": "READY", "SEND_RICH": "TEMPLATE"}
BATCHES = {"SEND_NORMALIZED_BATCH": "ALERT", "SEND_RAW_BATCH": "READY"}
TO_GROUPS = {
    "SEND_NORMALIZED_TO_GROUP": "ALERT",
    "SEND_RAW_TO_GROUP": "READY",
    "SEND_TEMPLATED_TO_GROUP": "TEMPLATE",
}
SCHEDULING = {
    "SCHEDULE_NORMALIZED_NOTIFICATION": "ALERT",
    "SCHEDULE_RAW_NOTIFICATION": "READY",
    "SCHEDULE_RICH_NOTIFICATION": "TEMPLATE",
}
TO_QUERY: dict[str, Any] = {
    "customEntityType": "athletes",
    "customQueryJson": {},
    "profileIdField": "ownerId",
}


@pytest.fixture
def apps_folder(apps_folder: Path) -> Path:
    (apps_folder / "test" / "app.toml").write_text(APP_TOML + APP)
    return apps_folder


async def check(player: Client, operations: dict[str, str], contents: Contents, code: int, **to: Any) -> None:
    """Each operation refuses its kind of content to those receivers, with this code."""
    for operation, kind in operations.items():
        refusal = await player.refused(PUSH, operation, **to, **contents[kind])
        assert refusal.reason_code == code, operation


async def check_all(ada: Client, group_id: str, contents: Contents, code: int) -> None:
    await check(ada, SENDING, contents, code, toProfileId=ada.profile_id)
    await check(ada, BATCHES, contents, code, profileIds=[ada.profile_id])
    await check(ada, TO_GROUPS, contents, code, groupId=group_id)
    await check(ada, SCHEDULING, contents, code, profileId=ada.profile_id, minutesFromNow=1)


async def test_whoever_sends_is_refused(game: Game, define: Define) -> None:
    ada, bob = await game.player(), await game.player()
    club = (await ada.call("group", "CREATE_GROUP", name="Club", groupType="club"))["groupId"]
    await check(ada, SENDING, SMALL, UnknownPlayer.reason_code, toProfileId="nobody")
    await check(ada, SCHEDULING, SMALL, UnknownPlayer.reason_code, profileId="nobody", minutesFromNow=1)
    await check(bob, TO_GROUPS, SMALL, NotGroupMember.reason_code, groupId=club)
    await check_all(ada, club, LARGE, PacketTooLarge.reason_code)
    empty: Contents = {"ALERT": {"alertContent": {"body": " "}}, "TEMPLATE": {"notificationTemplateId": 9}}
    await check(ada, {"SEND_NORMALIZED_BATCH": "ALERT"}, empty, MissingBody.reason_code, profileIds=["x"])
    await check(ada, {"SEND_NORMALIZED_TO_GROUP": "ALERT"}, empty, MissingBody.reason_code, groupId=club)
    templated = {"SEND_TEMPLATED_TO_GROUP": "TEMPLATE"}
    await check(ada, templated, empty, UnknownTemplate.reason_code, groupId=club)
    blank: Contents = {"TEMPLATE": {"notificationTemplateId": 2, "substitutions": {"0": " "}}}
    code = MissingBody.reason_code
    await check(ada, {"SEND_RICH": "TEMPLATE"}, blank, code, toProfileId=ada.profile_id)
    await check(ada, templated, blank, code, groupId=club)
    to_ada = {"profileId": ada.profile_id, "minutesFromNow": 1}
    await check(ada, {"SCHEDULE_RICH_NOTIFICATION": "TEMPLATE"}, blank, code, **to_ada)
    define("[quotas]\nscheduled_pushes = 0\n")
    await check(ada, SCHEDULING, SMALL, QuotaReached.reason_code, **to_ada)
    define("[quotas]\npushes_per_minute = 0\n")
    await check_all(ada, club, SMALL, RateLimited.reason_code)
    define("refuse_unconfigured = true\n")
    await check_all(ada, club, SMALL, PushNotConfigured.reason_code)


async def test_what_servers_send_to_a_query_is_refused(game: Game, define: Define) -> None:
    async def athletes(*_: Any) -> list[str]:
        return []

    game.core.hooks.subscribe(audiences.CUSTOM_QUERY, athletes)
    operation = "SEND_RAW_PUSH_TO_CUSTOM_QUERY"
    assert await game.server.call(PUSH, operation, **TO_QUERY, contentJson=SMALL["READY"]) == {}
    refusal = await game.server.refused(PUSH, operation, **TO_QUERY, contentJson=LARGE["READY"])
    assert refusal.reason_code == PacketTooLarge.reason_code
    define("refuse_unconfigured = true\n")
    refusal = await game.server.refused(PUSH, operation, **TO_QUERY, contentJson=SMALL["READY"])
    assert refusal.reason_code == PushNotConfigured.reason_code
