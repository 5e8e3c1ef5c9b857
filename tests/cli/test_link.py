import asyncio
import json
from pathlib import Path

import pytest

from gameserver.admin import link
from gameserver.admin.common import Refused
from tests.conftest import Game


async def version(folder: Path) -> int:
    """Have the server do something that needs nobody."""
    entry = await link.ask(
        folder, "call", {"app": "10001", "operation": "authenticationV2.GET_SERVER_VERSION", "data": {}}
    )
    return int(entry["status"])


async def test_a_command_reaches_the_server_and_the_way_is_gone_afterwards(
    game: Game, tmp_path: Path
) -> None:
    player = await game.player()
    async with link.listen(game.server_app, tmp_path):
        asked = {"app": "10001", "limit": 10, "profile": player.profile_id}
        found = await link.ask(tmp_path, "session_list", asked)
        assert [session["profile_id"] for session in found] == [player.profile_id]
        with pytest.raises(Refused, match="does not know the action"):
            await link.ask(tmp_path, "nonsense", {})
        with pytest.raises(Refused, match="there is no app 5"):
            await link.ask(tmp_path, "session_list", {"app": "5", "limit": 10})
    with pytest.raises(link.NotRunning):
        await link.ask(tmp_path, "session_list", {"app": "10001", "limit": 10})


async def test_who_does_not_know_the_token_is_refused(game: Game, tmp_path: Path) -> None:
    async with link.listen(game.server_app, tmp_path):
        path = tmp_path / link.FILE_NAME
        place = json.loads(path.read_text())
        path.write_text(json.dumps(place | {"token": "guess"}))
        with pytest.raises(Refused, match="token"):
            await link.ask(tmp_path, "session_list", {"app": "10001", "limit": 10})


@pytest.mark.parametrize(
    "line", [b"GET / HTTP/1.1\r\n", b"{}\n", b'{"token":"\xff"}\n', b"[" * 100_000 + b"\n"]
)
async def test_other_programs_do_no_harm(game: Game, tmp_path: Path, line: bytes) -> None:
    async with link.listen(game.server_app, tmp_path):
        port = json.loads((tmp_path / link.FILE_NAME).read_text())["port"]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(line)
        assert json.loads(await reader.readline()) == {
            "refused": "this is no question the server understands"
        }
        writer.close()
        assert await version(tmp_path) == 200


async def test_what_a_crash_left_behind_does_not_stop_the_next_start(game: Game, tmp_path: Path) -> None:
    async def other_program(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(other_program, "127.0.0.1", 0) as other:
        left = {"port": other.sockets[0].getsockname()[1], "token": "old", "pid": 1}
        (tmp_path / link.FILE_NAME).write_text(json.dumps(left))
        async with link.listen(game.server_app, tmp_path):
            assert await version(tmp_path) == 200


async def test_one_folder_has_one_server(game: Game, tmp_path: Path) -> None:
    async with link.listen(game.server_app, tmp_path):
        with pytest.raises(RuntimeError, match="another server works on"):
            async with link.listen(game.server_app, tmp_path):
                pass
        assert await version(tmp_path) == 200
