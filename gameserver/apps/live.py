"""Keeps the apps of a running server up to date when their files change."""

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from watchfiles import Change, awatch

from gameserver.apps.definition import App
from gameserver.apps.loading import Apps, Problem, Sections, load_apps
from gameserver.wire.clock import Clock, SystemClock

log = logging.getLogger(__name__)

FileChanges = AsyncIterator[set[tuple[Change, str]]]


@dataclass(frozen=True)
class Reload:
    """What a reload did. Apps are named by their ids."""

    added: frozenset[str]
    changed: frozenset[str]
    removed: frozenset[str]
    touched: frozenset[str]
    """Apps with a file beside `app.toml` that changed, such as a script; their definition may be the same."""
    problems: tuple[Problem, ...]


@dataclass(frozen=True)
class Loaded:
    """What the files of an app said when they were taken over, by their paths in its folder, and when."""

    texts: Mapping[str, str]
    at_ms: int


class LiveApps:
    """The apps as they are now. Ask again for every packet: an `App` in hand never changes."""

    def __init__(self, apps: Apps, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._loaded: dict[str, Loaded] = {}
        self._remember(apps)
        self.problems = tuple(apps.problems)
        self.remarks = tuple(apps.remarks)
        self._by_id = dict(apps.by_id)

    def loaded(self, app: App) -> Loaded:
        """What the files said that the app is of, which need not be what they say now."""
        return self._loaded.get(app.name) or Loaded({}, 0)

    def _remember(self, fresh: Apps) -> None:
        """Keep what the files of the apps said that are taken over; the same again is no news."""
        now = self._clock.ms()
        for app in fresh:
            texts, before = fresh.texts.get(app.name, {}), self._loaded.get(app.name)
            if before is None or before.texts != texts:
                self._loaded[app.name] = Loaded(texts, now)

    def find(self, app_id: str) -> App | None:
        """Find an app by its id."""
        return self._by_id.get(app_id)

    def __iter__(self) -> Iterator[App]:
        return iter(tuple(self._by_id.values()))

    def __len__(self) -> int:
        return len(self._by_id)

    def replace(self, fresh: Apps, touched_folders: Iterable[str] = ()) -> Reload:
        """Take over what was loaded; of a folder with problems, the last good definition stays."""
        before = self._by_id
        kept = {app.id: app for app in before.values() if fresh.broken is None or app.name in fresh.broken}
        after = {**kept, **fresh.by_id}  # an id that a broken file held may have moved to another app
        touched = set(touched_folders)
        self._remember(fresh)
        self._by_id = after
        self.problems = tuple(fresh.problems)
        self.remarks = tuple(fresh.remarks)
        return Reload(
            added=frozenset(after.keys() - before.keys()),
            changed=frozenset(i for i in after.keys() & before.keys() if after[i] != before[i]),
            removed=frozenset(before.keys() - after.keys()),
            touched=frozenset(app.id for app in after.values() if app.name in touched),
            problems=self.problems,
        )


async def watch(
    live: LiveApps,
    folder: Path,
    sections: Sections | None = None,
    on_change: Callable[[Reload], None] | None = None,
    *,
    changes: FileChanges | None = None,
    environ: Mapping[str, str] = os.environ,
) -> None:
    """Reload the apps whenever a file below `folder` changes, until cancelled.

    `on_change` runs on the event loop after each reload, also after one that only found problems. Sessions
    are not touched. `changes` replaces the watching of files, for tests.
    """
    home = Path(os.path.abspath(folder))  # noqa: ASYNC240, PTH100 - asks the process, not the disk
    async for batch in changes if changes is not None else awatch(folder):
        touched = {part for _, path in batch if (part := _app_folder(Path(path), home))}
        fresh = await asyncio.to_thread(load_apps, folder, sections, environ)
        result = live.replace(fresh, touched)
        for problem in result.problems:
            log.error("app definition not taken over: %s", problem)
        for remark in live.remarks:
            log.error("mistake in an app's file: %s", remark)
        log.info("app definitions reloaded: %d apps, %d problems", len(live), len(result.problems))
        if on_change is not None:
            _tell(on_change, result)


def _tell(on_change: Callable[[Reload], None], result: Reload) -> None:
    try:
        on_change(result)
    except Exception:
        log.exception("a listener of app definitions failed")


def _app_folder(path: Path, home: Path) -> str:
    """Name the app folder that a changed file belongs to, unless the file is the definition itself."""
    try:
        parts = path.relative_to(home).parts
    except ValueError:
        return ""
    return parts[0] if len(parts) > 1 and parts[1:] != ("app.toml",) else ""
