"""The engine by its Python module: for systems where `native` does not find the library as it expects."""

import json
from collections.abc import Callable
from typing import Any

import quickjs

Ended = tuple[str, bytes, str]
"""How a script ended: a kind of failure or none, the JSON of the result or a message, and a stack."""


class Engine:
    """Makes realms. `ask` answers what `bridge.js` asks: with JSON, or None when it refuses."""

    def __init__(
        self, ask: Callable[[bytes], bytes | None], prelude: str, bridge: Callable[[tuple[str, ...]], str]
    ) -> None:
        self.ask = ask
        self.prelude = prelude
        self.bridge = bridge

    def realm(self) -> "Realm":
        """Make a context in which no script was ever run."""
        return Realm(self)


class Realm:
    """A context in which no script was ever run, and the functions of the prelude there."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.context = context = quickjs.Context()
        context.add_callable("__ask", self._asked)
        context.eval(engine.prelude)
        self.boot = context.get("__boot")
        self.failed: Ended | None = None

    def run(self, program: Any, data: bytes, memory_bytes: int) -> Ended:
        """Run a script. `data` is JSON."""
        if program.needs:
            self.context.eval(self.engine.bridge(program.needs))
        self.context.set_memory_limit(memory_bytes)
        try:
            self.boot("begin", self.context.parse_json(data.decode()))
            self.boot("evaluate", None, program.text)
            while self.context.execute_pending_job():
                pass
            result = "" if self.failed else self.boot("end")
        except quickjs.JSException as error:  # which the prelude could not catch, or it was stopped itself
            return self.failed or ("thrown", str(error).partition("\n")[0].encode(), str(error))
        return self.failed or ("", result.encode(), "")

    def _asked(self, text: str) -> Any:
        """Answer what the prelude asks, by a list. Raises nothing: that would end the process."""
        if text.startswith("["):  # what has failed
            kind, message, stack = json.loads(text)
            self.failed = kind, message.encode("utf-8", "replace"), stack
            return None
        answer = self.engine.ask(text.encode())
        if answer is None:
            return None
        try:
            return self.context.parse_json(f"[{answer.decode()}]")
        except quickjs.JSException:
            return False  # no memory is left for the answer

    @property
    def memory_used(self) -> int:
        """Bytes that the script holds."""
        used: int = self.context.memory()["malloc_size"]
        return used

    def close(self) -> None:
        """Give everything back: the context goes with the last that knows it."""
