"""A client made from `protocol/` alone does what games do, and every answer is as `protocol/` says."""

import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from tests.conftest import APP_ID, APP_TOML, SECRET
from tests.processes import serve
from tests.protocol.plain_client import PlainClient, Refused

PROTOCOL = Path(__file__).parents[2] / "protocol"
DECLARED = """\
[playerStatistics.statistics.wins]
maximum = 3

[leaderboard.boards.scores]
type = "HIGH_VALUE"
"""


class CheckingClient(PlainClient):
    """Looks each call up in the documents: its parameters are told, and its answer has the shape there."""

    def packet(self, *calls: tuple[str, str, dict[str, Any]]) -> list[dict[str, Any]]:
        """Send the messages, and check what comes back."""
        entries = super().packet(*calls)
        for (service, operation, data), entry in zip(calls, entries, strict=True):
            document = json.loads((PROTOCOL / "services" / f"{service}.json").read_text("utf-8"))
            [method] = [m for m in document["methods"] if m["name"] == f"{service}.{operation}"]
            assert data.keys() <= {param["name"] for param in method["params"]}
            if entry["status"] == 200:
                whole = {**method["result"]["schema"], "components": document["components"]}
                Draft202012Validator(whole).validate(entry["data"])
        return entries


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server as an operator runs it."""
    folder = tmp_path_factory.mktemp("plain")
    (folder / "apps" / "test").mkdir(parents=True)
    (folder / "apps" / "test" / "app.toml").write_text(APP_TOML + DECLARED)
    with serve(folder) as server:
        yield server.url


@pytest.fixture
def player(url: str) -> CheckingClient:
    client = CheckingClient(url, APP_ID, SECRET)
    client.log_in(f"device-{uuid.uuid4()}")
    return client


def test_entities_are_shared_and_found_page_by_page(url: str, player: CheckingClient) -> None:
    state = CheckingClient(url, APP_ID, SECRET).log_in("a-new-device")
    assert (state["newUser"], state["incoming_events"]) == ("true", [])
    for number in range(5):
        made = player.call(
            "entity", "CREATE", entityType="card", data={"number": number, "suit": "hearts"}, acl={"other": 1}
        )
        assert (made["version"], made["acl"]) == (1, {"other": 1})
    with pytest.raises(Refused) as refused:
        player.call("entity", "CREATE", entityType="card", data={}, acl={"others": 1})
    assert refused.value.reason_code == 40660
    found = player.call(
        "entity",
        "GET_LIST",
        where={"entityType": "card", "data.number": {"$gt": 0, "$lt": 4}},
        orderBy={"data.number": -1},
    )
    assert [one["data"]["number"] for one in found["entityList"]] == [3, 2, 1]
    numbers, page = (
        [],
        player.call(
            "entity",
            "GET_PAGE",
            context={
                "pagination": {"rowsPerPage": 2, "pageNumber": 1},
                "searchCriteria": {"entityType": "card"},
                "sortCriteria": {"data.number": 1},
            },
        ),
    )
    while True:
        numbers += [one["data"]["number"] for one in page["results"]["items"]]
        if not page["results"]["moreAfter"]:
            break
        page = player.call("entity", "GET_PAGE_BY_OFFSET", context=page["context"], pageOffset=1)
    assert (numbers, page["results"]["count"]) == ([0, 1, 2, 3, 4], 5)
    other = CheckingClient(url, APP_ID, SECRET)
    other.log_in("another-device")
    seen = other.call(
        "entity", "READ_SHARED_ENTITY", targetPlayerId=player.profile_id, entityId=made["entityId"]
    )
    assert seen["data"] == {"number": 4, "suit": "hearts"}


def test_scores_stand_on_a_board_and_statistics_are_counted(url: str) -> None:
    players = []
    for number in range(3):
        client = CheckingClient(url, APP_ID, SECRET)
        client.log_in(f"device-{number}")
        client.call("playerState", "UPDATE_NAME", playerName=f"Player {number}")
        client.call(
            "leaderboard", "POST_SCORE", leaderboardId="scores", score=100 + number, data={"level": number}
        )
        players.append(client)
    names, first = [], 0
    while True:
        page = players[0].call(
            "leaderboard",
            "GET_GLOBAL_LEADERBOARD_PAGE",
            leaderboardId="scores",
            sort="HIGH_TO_LOW",
            startIndex=first,
            endIndex=first + 1,
        )
        names += [(row["rank"], row["name"], row["score"]) for row in page["leaderboard"]]
        if not page["moreAfter"]:
            break
        first += 2
    assert names == [(1, "Player 2", 102), (2, "Player 1", 101), (3, "Player 0", 100)]
    counted = players[0].call("playerStatistics", "PROCESS_STATISTICS", statistics={"wins": 2})
    assert counted == {"statistics": {"wins": 2}}
    counted = players[0].call("playerStatistics", "PROCESS_STATISTICS", statistics={"wins": "INC#2"})
    assert counted == {"statistics": {"wins": 3}, "statisticsExceptions": {"wins": "maxApplied"}}


def test_several_calls_events_and_a_logout(url: str, player: CheckingClient) -> None:
    read, sent, unknown = player.packet(
        ("time", "READ", {}),
        ("event", "SEND", {"toId": player.profile_id, "eventType": "ping", "eventData": {"n": 1}}),
        (
            "leaderboard",
            "GET_GLOBAL_LEADERBOARD_PAGE",
            {"leaderboardId": "none", "startIndex": 0, "endIndex": 1},
        ),
    )
    assert read["data"]["server_time"] > 1_700_000_000_000
    assert [(event["eventType"], event["eventData"]) for event in player.events] == [("ping", {"n": 1})]
    assert player.events[0]["evId"] == sent["data"]["evId"]
    assert unknown["reason_code"] == 40499
    player.call("playerState", "LOGOUT")
    with pytest.raises(Refused) as refused:
        player.call("time", "READ")
    assert (refused.value.reason_code, player.session_id) == (40304, "")
