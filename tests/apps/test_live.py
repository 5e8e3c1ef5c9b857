import asyncio
import logging
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from watchfiles import Change

from gameserver.apps import LiveApps, Reload, load_apps, watch

SECRET = "a-secret-of-the-tests"


def write(folder: Path, name: str, app_id: str, more: str = "") -> Path:
    file = folder / name / "app.toml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f'id = "{app_id}"\nsecret = "{SECRET}"\n{more}')
    return file


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path, "one", "1")
    write(tmp_path, "two", "2")
    return tmp_path


@pytest.fixture
def live(folder: Path) -> LiveApps:
    return LiveApps(load_apps(folder))


def ids(live: LiveApps) -> set[str]:
    return {app.id for app in live}


def test_an_edit_is_taken_over(folder: Path, live: LiveApps) -> None:
    before = live.find("1")
    write(folder, "one", "1", 'title = "New"\n')
    write(folder, "three", "3")
    shutil.rmtree(folder / "two")
    result = live.replace(load_apps(folder))
    assert result.added == {"3"}
    assert result.changed == {"1"}
    assert result.removed == {"2"}
    assert ids(live) == {"1", "3"}
    assert len(live) == 2
    after = live.find("1")
    assert before is not None
    assert after is not None
    assert (before.title, after.title) == ("one", "New")
    assert live.find("2") is None


def test_a_mistake_keeps_the_last_good_definition_of_that_app_alone(folder: Path, live: LiveApps) -> None:
    before = live.find("1")
    write(folder, "one", "1", "titel = 1\n")
    write(folder, "two", "2", 'title = "New"\n')
    result = live.replace(load_apps(folder))
    assert live.find("1") is before
    assert result.changed == {"2"}
    assert not result.added | result.removed
    assert [problem.key for problem in result.problems] == ["titel"]
    assert live.problems == result.problems
    write(folder, "one", "1")
    assert live.replace(load_apps(folder)).problems == ()


def test_an_id_taken_twice_keeps_the_app_that_had_it(folder: Path, live: LiveApps) -> None:
    write(folder, "thief", "1")
    assert len(live.replace(load_apps(folder)).problems) == 2
    app = live.find("1")
    assert app is not None
    assert app.name == "one"


def test_an_id_given_up_by_a_broken_file_can_move(folder: Path, live: LiveApps) -> None:
    write(folder, "one", "1", "titel = 1\n").write_text("not toml")
    write(folder, "two", "1")
    live.replace(load_apps(folder))
    app = live.find("1")
    assert app is not None
    assert app.name == "two"
    assert ids(live) == {"1"}


def test_a_folder_that_cannot_be_read_changes_nothing(folder: Path, live: LiveApps) -> None:
    result = live.replace(load_apps(folder / "gone"))
    assert ids(live) == {"1", "2"}
    assert len(result.problems) == 1


class Watched:
    """Runs `watch` with changes that the test announces."""

    def __init__(self) -> None:
        self.announced: asyncio.Queue[set[tuple[Change, str]]] = asyncio.Queue()
        self.results: asyncio.Queue[Reload] = asyncio.Queue()

    async def changes(self) -> AsyncIterator[set[tuple[Change, str]]]:
        while True:
            yield await self.announced.get()

    async def announce(self, *paths: Path) -> Reload:
        self.announced.put_nowait({(Change.modified, str(path)) for path in paths})
        return await asyncio.wait_for(self.results.get(), 10)


@asynccontextmanager
async def watching(live: LiveApps, folder: Path) -> AsyncIterator[Watched]:
    watched = Watched()
    task = asyncio.create_task(
        watch(live, folder, on_change=watched.results.put_nowait, changes=watched.changes())
    )
    try:
        yield watched
    finally:
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()


async def test_watching_reloads_and_reports(
    folder: Path, live: LiveApps, caplog: pytest.LogCaptureFixture
) -> None:
    async with watching(live, folder) as watched:
        result = await watched.announce(write(folder, "one", "1", 'title = "New"\n'))
        assert result.changed == {"1"}
        assert not result.touched
        script = folder / "two" / "scripts" / "a.js"
        result = await watched.announce(script, folder / "README.md", Path("/elsewhere/x/y"))
        assert result.touched == {"2"}
        assert not result.changed
        with caplog.at_level(logging.ERROR):
            await watched.announce(write(folder, "one", "1", "titel = 1\n"))
        assert "one/app.toml:3 titel: unknown key" in caplog.text
        assert ids(live) == {"1", "2"}


async def test_a_failing_listener_does_not_end_the_watch(folder: Path, live: LiveApps) -> None:
    told: asyncio.Queue[Reload] = asyncio.Queue()

    def listener(result: Reload) -> None:
        told.put_nowait(result)
        raise RuntimeError("a listener's own mistake")

    watched = Watched()
    task = asyncio.create_task(watch(live, folder, on_change=listener, changes=watched.changes()))
    for _ in range(2):
        watched.announced.put_nowait({(Change.modified, "x")})
        await asyncio.wait_for(told.get(), 10)
    task.cancel()
    await asyncio.wait([task])


async def test_the_real_watcher_sees_a_save(folder: Path, live: LiveApps) -> None:
    saved: asyncio.Queue[Reload] = asyncio.Queue()
    task = asyncio.create_task(watch(live, folder, on_change=saved.put_nowait))
    try:
        for attempt in range(50):  # the watcher may not look yet when the first save happens
            write(folder, "one", "1", f'title = "New {attempt}"\n')
            try:
                result = await asyncio.wait_for(saved.get(), 0.5)
            except TimeoutError:
                continue
            break
        assert result.changed == {"1"}
    finally:
        task.cancel()
        await asyncio.wait([task])
