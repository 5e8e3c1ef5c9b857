"""What pages ask the database is found by an index, whichever list it is and whatever it is asked for."""

import re
from collections import defaultdict

import pytest

from gameserver.console import PAGES
from tests.conftest import APP_ID, Game
from tests.console.conftest import Desk
from tests.plans import SMALL, Plans

FEW = (
    SMALL
    | {
        "jobs": "a row for each job, and what waits",
        "staff": "people",
        "staff_tokens": "their sessions",
        "webhook_targets": "the app names them",
        "script_schedules": "the app names them",
        "global_statistics": "the app names them",
        "server_minutes": "by time, and of two days",
        "server_hours": "by time, and of two weeks",
    }.keys()
)
"""Tables that may be read whole."""
ASKED = (
    "?span=weeks",
    "/players?q=nobody",
    "/players?sort=oldest",
    "/players?sort=name",
    "/players?sort=name&after=PLAYER",
    "/activity?sort=oldest",
    "/activity/refusals?sort=oldest&reason_code=1",
    "/activity/audit?sort=oldest&profile_id=x",
    "/activity/mail?sort=oldest",
    "/activity/pushes?sort=oldest",
    "/webhooks?sort=oldest",
    "/social/groups?sort=oldest",
    "/social/groups?sort=name",
    "/search?q=nobody",
    "/activity?level=error",
    "/activity?text=x",
    "/activity?source=x",
    "/activity/refusals?reason_code=1",
    "/activity/refusals?request_id=x",
    "/activity/audit?kind=login",
    "/activity/audit?profile_id=x",
    "/activity/journal?staff=x",
    "/activity/journal?action=x",
    "/activity/journal?target=x",
    "/activity/journal?outcome=denied",
    "/activity/reports?kind=EVENT",
    "/activity/mail?state=sent",
    "/activity/pushes?state=sent",
    "/data?type=x",
    "/social?kind=dy",
    "/social/groups?name=x",
)


async def test_no_page_goes_through_a_table(game: Game, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    if game.core.database.dialect != "sqlite":
        pytest.skip("plans are those of SQLite")
    ada = await game.player()
    board = game.unique("board")
    config = {"leaderboardType": "HIGH_VALUE", "rotationType": "NEVER"}
    await ada.call("leaderboard", "POST_SCORE_DYNAMIC", leaderboardId=board, score=7, **config)
    await ada.call("chat", "POST_CHAT_MESSAGE_SIMPLE", channelId=f"{APP_ID}:dy:moon", text="hello")
    parts = defaultdict(lambda: "none", app=APP_ID, profile=ada.profile_id, board=board)
    parts["channel"] = f"{APP_ID}:dy:moon"
    plans = Plans(game, monkeypatch)
    for page in PAGES:
        if page.method == "GET" and page.path.startswith("/apps/{app}"):
            await desk.go("/console" + page.path.format_map(parts))
    for path in ASKED:
        await desk.go(f"/console/apps/{APP_ID}{path.replace('PLAYER', str(ada.profile_id))}")
        assert desk.status == 200, desk.text
    assert len(plans.statements) > 100
    slow = whole(plans)
    assert not slow, "\n".join(slow)


def whole(plans: Plans) -> list[str]:
    """Return the statements that read a whole table, or sort all rows of an app."""
    found = []
    for sql, steps in plans.each():
        of_app = any(
            (step := re.match(r"SEARCH (\w+) USING .*\(app_id=\?\)$", each)) and step[1] not in FEW
            for each in steps
        )
        if of_app and any("TEMP B-TREE FOR ORDER BY" in each for each in steps):
            found.append(f"sorts all rows of an app: {sql}")
        for each in steps:
            scanned = re.fullmatch(r"SCAN (\w+)(?: USING .*)?", each)
            if (
                scanned
                and scanned[1] not in FEW
                and re.search(rf"\b(?:FROM|JOIN|UPDATE) {scanned[1]}\b", sql)
            ):
                found.append(f"{each}: {sql}")
    return found
