"""The chat of three processes: one order for all, and nothing for those who may hear no more."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import ClientConnection

from gameserver.storage.schema import migrate
from tests import servers
from tests.conftest import APP_ID, APP_TOML
from tests.processes import Process, serve
from tests.realtime.test_processes import open_connection
from tests.simulation.test_processes import Player

ROOM = f"{APP_ID}:dy:room"
LINES = 20  # that each posts


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def call(player: Player, server: Process, service: str, operation: str, **data: Any) -> Any:
    entry = player.call(server, service, operation, **data)
    assert entry["status"] == 200, entry
    return entry["data"]


def post(player: Player, server: Process, channel: str, text: str) -> str:
    return str(
        call(player, server, "chat", "POST_CHAT_MESSAGE_SIMPLE", channelId=channel, text=text)["msgId"]
    )


def hear(connection: ClientConnection, count: int) -> list[Any]:
    """The next messages of the chat."""
    heard: list[Any] = []
    while len(heard) < count:
        frame = json.loads(connection.recv(20))
        heard += [frame["data"]] if frame["service"] == "chat" else []
    return heard


def test_three_processes_tell_all_the_same(tmp_path: Path, stack: ExitStack) -> None:
    (tmp_path / "apps" / "test").mkdir(parents=True)
    settings = "[chat]\nhistory = 500\n[group.types.team]\n"
    (tmp_path / "apps" / "test" / "app.toml").write_text(APP_TOML + settings)
    redis, database = stack.enter_context(servers.redis()), stack.enter_context(servers.postgresql())
    migrate(database)
    options = ("--redis", redis, "--database", database)
    processes = [stack.enter_context(serve(tmp_path, *options)) for _ in range(3)]
    players = [Player(name) for name in ("ada", "bob", "cyd")]
    ears = []
    for player, process in zip(players, processes, strict=True):
        player.log_in(process)
        ears.append(open_connection(stack, process, player))

    with ThreadPoolExecutor(
        3
    ) as pool:  # whoever comes while others post misses nothing, and hears nothing twice

        def play(player: Player, process: Process) -> tuple[list[str], list[str]]:
            sent = [post(player, process, ROOM, "before") for _ in range(LINES // 2)]
            there = call(player, process, "chat", "CHANNEL_CONNECT", channelId=ROOM, maxReturn=500)[
                "messages"
            ]
            sent += [post(player, process, ROOM, "after") for _ in range(LINES // 2)]
            return sent, [message["msgId"] for message in there]

        played = list(pool.map(play, players, processes))
    everything = sorted(msg_id for sent, _ in played for msg_id in sent)
    assert len(set(everything)) == 3 * LINES
    for ear, (_, there) in zip(ears, played, strict=True):
        assert there + [line["msgId"] for line in hear(ear, 3 * LINES - len(there))] == everything

    # Who leaves a group through one process hears nothing more of it through another.
    (ada, bob, cyd), (one, _, three) = players, processes
    group = call(ada, one, "group", "CREATE_GROUP", name="Reds", groupType="team", isOpenGroup=True)[
        "groupId"
    ]
    channel = f"{APP_ID}:gr:{group}"
    for player, process in zip(players, processes, strict=True):
        if player is not ada:
            call(player, one, "group", "JOIN_GROUP", groupId=group)
        call(player, process, "chat", "CHANNEL_CONNECT", channelId=channel, maxReturn=0)
    post(cyd, three, channel, "among us")
    assert [hear(ear, 1)[0]["content"]["text"] for ear in ears] == ["among us"] * 3
    call(bob, one, "group", "LEAVE_GROUP", groupId=group)
    post(ada, three, channel, "secret")
    post(ada, three, ROOM, "public")
    call(ada, three, "group", "DELETE_GROUP", groupId=group)
    assert (
        cyd.call(three, "chat", "POST_CHAT_MESSAGE_SIMPLE", channelId=channel, text="x")["reason_code"]
        == 40603
    )
    post(ada, one, ROOM, "end")
    heard = [
        [line["content"]["text"] for line in hear(ear, count)]
        for ear, count in zip(ears, (3, 2, 3), strict=True)
    ]
    assert [sorted(texts) for texts in heard] == [
        ["end", "public", "secret"],
        ["end", "public"],
        ["end", "public", "secret"],
    ]
