"""API hooks: scripts that run before an operation, after it, or where it was refused.

They run for clients' packets and for what scripts call, not for servers. What a hook does through the bridge
stays, whatever becomes of the operation. A hook that fails refuses the operation, before and after; where the
operation was refused already, that stays as it was.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

from gameserver.players.app_log import AppLog
from gameserver.rpc import Access, Caller, Context
from gameserver.rpc.registry import EVERY_MESSAGE
from gameserver.rpc.steps import Steps, begin_of
from gameserver.scripts.bridge import FACE, Kind, Standing, standing_of
from gameserver.scripts.hook_settings import ApiHook
from gameserver.scripts.programs import ScriptSettings
from gameserver.scripts.running import run_script
from gameserver.sessions import One, Session
from gameserver.wire import json
from gameserver.wire.errors import GameError, HookFailed, Rejected
from gameserver.wire.packet import Message, SpoiltMessage, check_message, refusal, success

DEPTH_MAX = 4
LOGINS = "authenticationV2"  # never subject to what runs before every message
OK = 200
AGAIN = 199  # of a hook on a login that was refused: log in once more
ADDED = "ccCall"  # what hooks find among the parameters and operations do not know

Run = Callable[[Message], Awaitable[bytes]]


class _Refused(Exception):
    """A hook refuses the operation, with numbers of its own."""

    def __init__(self, entry: bytes) -> None:
        super().__init__()
        self.entry = entry


class ApiHooks:
    """Runs what an app declares in `[[scripts.hooks]]`."""

    def of(self, ctx: Context, message: Message) -> list[ApiHook] | None:
        """Return the hooks of a message, those of every message first; None where there is none."""
        if ctx.caller is Caller.SERVER or isinstance(message, SpoiltMessage):
            return None
        hooked = ctx.app.section(ScriptSettings).hooked
        every = hooked.get(EVERY_MESSAGE, ()) if message.service != LOGINS else ()
        own = hooked.get(f"{message.service}.{message.operation}", ())
        return [*every, *own] or None

    async def around(self, declared: list[ApiHook], ctx: Context, message: Message, run: Run) -> bytes:
        """Run a message with its hooks; returns its entry."""
        steps = ctx.steps
        assert isinstance(steps, Steps), "whoever runs hooks has a journal"
        return await _Around(ctx, steps, message, declared).run(run)


class _Around:
    """One message and its hooks."""

    def __init__(self, ctx: Context, steps: Steps, message: Message, declared: list[ApiHook]) -> None:
        self.ctx = ctx
        self.steps = steps
        self.message = message
        self.declared = declared
        operation = steps.runner.registry.operations.get((message.service, message.operation))
        self.logs_in = operation is not None and operation.opens_session and operation.access is Access.OPEN

    async def run(self, run: Run) -> bytes:
        """Run everything. A message that nobody could read is refused as it would be without hooks."""
        try:
            sent = msgspec.json.decode(self.message.data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return await run(self.message)
        if not isinstance(sent, dict):
            if sent is not None:
                return await run(self.message)
            sent = {}
        try:
            if self.steps.hook_depth > DEPTH_MAX:
                raise HookFailed(f"hooks call each other {DEPTH_MAX} deep")
            sent = await self._before(sent)
        except _Refused as refused:
            self.ctx.note_refusal(self.message.name, Rejected("a script does not allow it"))
            return refused.entry
        except GameError as error:
            self.ctx.note_refusal(self.message.name, error)
            return refusal(error)
        message = _with_data(self.message, sent)
        entry = await run(message)
        if _read(entry)["status"] != OK:
            entry, is_again = await self._after_failure(entry, sent)
            if not is_again:
                return entry
            entry = await run(message)
            if _read(entry)["status"] != OK:
                return (await self._after_failure(entry, sent))[0]
        return await self._after(entry, sent)

    async def _before(self, sent: dict[str, Any]) -> dict[str, Any]:
        """Return what the operation is sent. Raises `_Refused` and `GameError`."""
        for number, hook in enumerate(self.declared):
            if hook.kind != "pre":
                continue
            data = {"message": {**sent, ADDED: self.ctx.caller is Caller.SCRIPT}}
            if self.logs_in:
                data["message"] = _with_extra(data["message"])
                data["clientRequest"] = self._client()
            said = await self._ask(number, hook, data, standing_of(self.ctx))
            if said is False:
                raise Rejected(f"the app does not allow {self.message.service}.{self.message.operation}")
            if said is True and hook.operation == EVERY_MESSAGE:
                continue
            status = _status(said)
            if status is None:
                self._note(hook, "said neither yes nor no, and counts as yes")
            elif status != OK:
                raise _Refused(_refusal(status, said))
            elif isinstance(override := said.get("messageOverride"), dict):
                sent = {name: value for name, value in override.items() if name != ADDED}
        return sent

    async def _after(self, entry: bytes, sent: dict[str, Any]) -> bytes:
        """Return the entry of an operation that was done, as its hooks want it."""
        told = _read(entry)
        standing = await self._standing_after(told)
        for number, hook in enumerate(self.declared):
            if hook.kind != "post":
                continue
            data = {"callingMessage": self._calling(sent), "message": told.get("data")}
            if self.logs_in:
                data["clientRequest"] = self._client()
            try:
                said = await self._ask(number, hook, data, standing)
            except GameError as error:
                self.ctx.note_refusal(self.message.name, error)
                return await self._undone(refusal(error), standing)
            status = _status(said)
            if status not in (None, OK):
                return await self._undone(_refusal(status, said), standing)
            if isinstance(said, dict) and isinstance(said.get("data"), dict):
                told = {"status": OK, "data": said["data"]}
                entry = success(json.encode(said["data"]))
        return entry

    async def _after_failure(self, entry: bytes, sent: dict[str, Any]) -> tuple[bytes, bool]:
        """Return the entry of a refused operation as hooks want it, and whether to try it again."""
        told = _read(entry)
        for number, hook in enumerate(self.declared):
            if hook.kind != "post_fail":
                continue
            error = {
                "status": told["status"],
                "reasonCode": told.get("reason_code"),
                "errorMessage": told.get("status_message"),
            }
            data = {"callingMessage": self._calling(sent), "errorData": error}
            if self.logs_in:
                data["clientRequest"] = self._client()
            try:
                said = await self._ask(number, hook, data, standing_of(self.ctx))
            except GameError:  # it is in the log
                continue
            status = _status(said)
            if status == AGAIN and self.logs_in:
                return entry, True
            if status == OK:
                data_said = said.get("data")
                return success(json.encode(data_said)) if data_said is not None else success(), False
            if status is not None:
                entry = _refusal(status, said)
                told = _read(entry)
        return entry, False

    # Asking a script

    async def _ask(self, number: int, hook: ApiHook, data: dict[str, Any], standing: Standing) -> Any:
        """Run a hook's script, and return its result. Raises `HookFailed`."""
        asked = {
            "service": self.message.service,
            "operation": self.message.operation,
            "parms": hook.parms,
            **data,
        }
        ctx = self.ctx.alone()
        ctx.steps = self.steps

        async def work() -> bytes:
            program = standing.app.section(ScriptSettings).programs.find(hook.script)
            if program is None:
                self._note(hook, "there is no such script")
                raise HookFailed(f"the hook {hook.script!r} has failed")
            ran = await run_script(ctx, standing, program, json.encode_free(asked))
            if not ran.success:
                raise HookFailed(f"the hook {hook.script!r} has failed")
            return json.encode(ran.response)

        async def caught() -> bytes:
            try:
                return b"=" + await work()
            except HookFailed as error:
                return b"!" + str(error).encode()
            except GameError as error:  # what is answered before a script runs
                self._note(hook, str(error))
                return b"!" + f"the hook {hook.script!r} cannot run".encode()

        call = b"\0".join((b"hook", str(number).encode(), hook.kind.encode(), hook.script.encode()))
        answer = await self.steps.nest(self.ctx.alone(), begin_of(call), caught)
        if answer.startswith(b"!"):
            raise HookFailed(answer[1:].decode())
        return msgspec.json.decode(answer[1:])

    def _note(self, hook: ApiHook, what: str) -> None:
        self.ctx.core.get(AppLog).note(
            self.ctx.app,
            "warning",
            f"hook {hook.script} ({hook.kind}) on {hook.operation}: {what}",
            face=FACE,
            source=hook.script,
            profile_id=self.ctx.profile_id or "",
        )

    def _calling(self, sent: dict[str, Any]) -> dict[str, Any]:
        called = {**sent, ADDED: self.ctx.caller is Caller.SCRIPT}
        return _with_extra(called) if self.logs_in else called

    def _client(self) -> dict[str, str]:
        origin = self.ctx.origin
        return {"clientIp": origin.address, "host": origin.host, "userAgent": origin.user_agent}

    # Logins

    async def _standing_after(self, told: dict[str, Any]) -> Standing:
        """Return on whose behalf hooks run after an operation: of a login, for who has logged in."""
        data = told.get("data")
        if not (self.logs_in and isinstance(data, dict) and isinstance(data.get("sessionId"), str)):
            return standing_of(self.ctx)
        session = await self.ctx.core.sessions.peek(data["sessionId"])
        if not isinstance(session, Session):
            return standing_of(self.ctx)
        return Standing(
            Kind.CLIENT, self.ctx.app, session.profile_id, session=session, session_id=data["sessionId"]
        )

    async def _undone(self, entry: bytes, standing: Standing) -> bytes:
        """Return a refusal after all. What was done stays, but nobody is logged in by what was refused."""
        if self.logs_in and standing.session is not None:
            one = One(digest=standing.session.digest)
            await self.ctx.core.endings.end(self.ctx.app, one, "logged_out", self.ctx.by)
        return entry


def _with_data(message: Message, sent: dict[str, Any]) -> Message:
    text = json.encode_free(sent)
    return check_message(Message(message.service, message.operation, msgspec.Raw(text)), text)


def _with_extra(sent: dict[str, Any]) -> dict[str, Any]:
    """Show what a login carries for hooks as an object, though clients may send it as text."""
    extra = sent.get("extraJson")
    if not isinstance(extra, str):
        return sent
    try:
        return {**sent, "extraJson": msgspec.json.decode(extra)}
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return sent


def _read(entry: bytes) -> dict[str, Any]:
    told: dict[str, Any] = msgspec.json.decode(entry)
    return told


def _status(said: Any) -> int | None:
    """Return the status that a hook says; None where it says none."""
    status = said.get("status") if isinstance(said, dict) else None
    if isinstance(status, str) and status.isdigit():
        status = int(status)
    if isinstance(status, bool) or not isinstance(status, int | float) or status != status // 1:
        return None
    return int(status)


def _refusal(status: int, said: Mapping[str, Any]) -> bytes:
    """Return the entry of a refusal with the numbers that a hook gives."""
    reason = said.get("reasonCode", said.get("reason_code"))
    message = said.get("errorMessage", said.get("status_message"))
    return json.encode_plain(
        {
            "status": status,
            "reason_code": int(reason) if isinstance(reason, int | float) else HookFailed.reason_code,
            "status_message": message if isinstance(message, str) else "refused by a hook of the app",
            "severity": "ERROR",
        }
    )
