"""A server dies between the commit of an event and its delivery: the target hears of it, under one id."""

import asyncio
from pathlib import Path

import pytest

from tests.conftest import APP_TOML
from tests.processes import serve
from tests.simulation.test_processes import Player
from tests.websites import Page, Seen, website

SECONDS_MAX = 20
MODULE = "tests.simulation.hasty_jobs"


@pytest.fixture
def options(services: dict[str, str], migrated: object) -> list[str]:
    return [part for name, url in services.items() for part in (f"--{name}", url)]


async def test_an_event_survives_kill_9(tmp_path: Path, options: list[str]) -> None:
    async with website(lambda _: None) as site:  # the first server waits for an answer when it dies
        (tmp_path / "apps" / "test").mkdir(parents=True)
        (tmp_path / "apps" / "test" / "app.toml").write_text(f"""{APP_TOML}
[webhooks.outgoing.crm]
url = "http://127.0.0.1:{site.port}/"
secret = "whsec_{"k" * 32}"
events = ["player.created"]
allow_http = true
networks = ["127.0.0.1"]
""")
        await asyncio.to_thread(live, tmp_path, options, site.reached, asyncio.get_running_loop())
        [first] = site.seen
        site.serve = lambda _: Page(204)
        site.reached.clear()
        await asyncio.to_thread(outlive, tmp_path, options, site.reached, asyncio.get_running_loop())
    assert len(site.seen) == 2
    assert told(site.seen[1]) == told(first)


def told(seen: Seen) -> tuple[str, bytes]:
    return seen.headers["webhook-id"], seen.body


def live(folder: Path, options: list[str], reached: asyncio.Event, loop: asyncio.AbstractEventLoop) -> None:
    with serve(folder, *options, module=MODULE) as server:
        Player(f"webhooks-{folder}").log_in(server)
        asyncio.run_coroutine_threadsafe(reached.wait(), loop).result(SECONDS_MAX)
        server.popen.kill()


def outlive(
    folder: Path, options: list[str], reached: asyncio.Event, loop: asyncio.AbstractEventLoop
) -> None:
    with serve(folder, *options, module=MODULE):
        asyncio.run_coroutine_threadsafe(reached.wait(), loop).result(SECONDS_MAX)
