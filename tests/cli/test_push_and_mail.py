"""`gameserver push list` and `gameserver mail list`: what became of notifications and mail."""

import asyncio
from pathlib import Path

from gameserver.app import open_server
from gameserver.settings import Settings
from gameserver.wire.clock import FixedClock
from tests.cli.running import command, json_of
from tests.conftest import APP_ID, Game


def test_what_became_of_notifications_and_mail_is_listed(tmp_path: Path, apps_folder: Path) -> None:
    async def play() -> str:
        settings = Settings(apps=apps_folder, data=tmp_path / "data")
        async with open_server(settings, clock=FixedClock(), with_jobs=False) as server:
            game = Game(server, FixedClock())
            player = await game.player()
            me = str(player.profile_id)
            await player.call("pushNotification", "REGISTER", deviceType="IOS", deviceToken="secret-token")
            await player.call("pushNotification", "SEND_SIMPLE", toProfileId=me, message="x")
            await player.call("mail", "SEND_BASIC_EMAIL", profileId=me, subject="s", body="b")
            await game.http.aclose()
            return me

    me = asyncio.run(play())
    [pushed] = json_of(
        command(tmp_path, "push", "list", APP_ID, "--profile", me, "--platform", "ios", "--json")
    )
    assert (pushed["state"], pushed["reason"], pushed["profileId"]) == ("not_sent", "NotConfigured", me)
    assert "secret-token" not in str(pushed)
    [mailed] = json_of(command(tmp_path, "mail", "list", APP_ID, "--to", me, "--state", "waiting", "--json"))
    assert (mailed["state"], mailed["senderId"]) == ("waiting", me)
    assert command(tmp_path, "push", "list", APP_ID, "--state", "lost").returncode == 2
