"""When what runs or waits is ended. A timer of the event loop for each would take longer than a script."""

import asyncio
from collections.abc import Callable

LOOK_SECONDS = 0.25  # so much later an end may come


class Times:
    """When what runs or waits is to be ended. One timer looks at all of them."""

    def __init__(self) -> None:
        self._due: dict[Callable[[], object], float] = {}
        self._watch: asyncio.TimerHandle | None = None

    def end_after(self, seconds: float, end: Callable[[], object]) -> None:
        """Call `end` after so long, unless it is dropped before."""
        loop = asyncio.get_running_loop()
        self._due[end] = loop.time() + seconds
        if self._watch is None:
            self._watch = loop.call_later(LOOK_SECONDS, self._look, loop)

    def drop(self, end: Callable[[], object]) -> None:
        """Leave that alone which has ended by itself."""
        self._due.pop(end, None)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        for end in [end for end, due in self._due.items() if due <= now]:
            del self._due[end]
            end()
        self._watch = loop.call_later(LOOK_SECONDS, self._look, loop) if self._due else None

    def close(self) -> None:
        """Look no more."""
        if self._watch is not None:
            self._watch.cancel()


class TaskTime:
    """The time that a task has from now on: `asyncio.timeout` at a third of its cost."""

    __slots__ = ("_cancelling", "_is_over", "_task")

    def __init__(self) -> None:
        task = asyncio.current_task()
        assert task is not None, "there is a task that it is the time of"
        self._task = task
        self._cancelling = task.cancelling()
        self._is_over = False

    def end(self) -> None:
        """Cancel the task: its time is over."""
        self._is_over = True
        self._task.cancel()

    def has_ended_it(self) -> bool:
        """Tell whether it was this that has cancelled the task, and nobody else; to be asked once."""
        return self._is_over and self._task.uncancel() <= self._cancelling
