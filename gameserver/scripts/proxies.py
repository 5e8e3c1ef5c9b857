"""The proxies of the bridge: which operation a method calls, and what its arguments are there.

The table is `proxies.txt`, beside this file: a line for each documented call.
"""

import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import msgspec

from gameserver.scripts.engine import Surface
from gameserver.wire import json
from gameserver.wire.errors import UnreadableJson
from gameserver.wire.packet import Message, check_message

FUNCTIONS = (
    *("callAPI", "callAPIForSession", "callScript", "include", "sleep", "invalidateSession"),
    *("setSessionCacheObject", "getSessionCacheObject", "deleteSessionCacheObject"),
    *("getProfileId", "getName", "getEmail", "getClientSessionId", "getServerSessionId", "getScriptName"),
    *("getAppId", "getAppName", "getAppVersion", "getEnvironmentName", "getTeamInfo", "getClientTeamInfo"),
    *("getSessionCreatedAt", "getSessionAgeSecs", "getGlobalProperty", "getClientAppId", "getClientSession"),
    *("isClientBridge", "isServerBridge", "isPeerBridge", "getPeerProfileSession"),
    *("getSessionForProfile", "getSessionForCredential", "getSessionForValidatedCredential"),
    *("getSessionForSessionIdAndProfileId",),
    *("logInfo", "logWarning", "logError", "logDebug"),
    *("logInfoJson", "logWarningJson", "logErrorJson", "logDebugJson"),
)
"""What `bridge` offers beside its proxies."""
UTILS = ("generateGuid", "getCurrentTimeZoneOffset", "signHMACSha1", "signHMACSha256", "signRSASha256")
"""What `bridge.utils()` offers."""
SAME = {"getProductMgmtServiceProxy": "getProductManagementServiceProxy"}
"""Other names of proxies."""
EMPTY = ("getRTTRegistrationServiceProxy", "getSamlServiceProxy")
"""Proxies none of whose methods is known."""

_LINE = re.compile(r"^(get(\w+)ServiceProxy)\.(\w+)\((.*)\) (\w+)\.(\w+)$")
_decode_arguments = msgspec.json.Decoder(list[msgspec.Raw]).decode


class Call:
    """What a method calls. `names` are those of its arguments, as members of `data`; `fixed` are others."""

    def __init__(
        self, service: str, operation: str, names: Sequence[str], fixed: Sequence[tuple[str, str]]
    ) -> None:
        self.service = service
        self.operation = operation
        self.names = names
        self.fixed = fixed
        self._heads = [f'"{name}":'.encode() for name in names]
        self._others = [f'"{name}":{value}'.encode() for name, value in fixed]

    def message(self, arguments: Sequence[bytes]) -> Message:
        """Return the message. Arguments that are null or left out are not sent, further ones are ignored."""
        members = [
            head + argument
            for head, argument in zip(self._heads, arguments, strict=False)
            if argument != json.JSON_NULL
        ]
        data = b"{%b}" % b",".join(members + self._others)
        return check_message(Message(self.service, self.operation, msgspec.Raw(data)), data)


def arguments_of(args: bytes) -> list[bytes]:
    """Take the arguments of a call apart. Raises `UnreadableJson`."""
    try:
        if b"\\u" in args:
            args = json.without_half_pairs(args)  # NUL instead, which the call is refused for
        return [bytes(argument) for argument in _decode_arguments(args)]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UnreadableJson(f"not JSON: {error}") from None


class Proxies:
    """All of them. `calls` are by the name that the surface gives a method.

    `getters` are the functions of `bridge` that give proxies: what stands before the methods in that name,
    and the methods.
    """

    def __init__(self, text: str) -> None:
        self.calls: dict[str, list[Call]] = {}
        proxies: dict[str, tuple[str, list[str]]] = {"utils": ("utils", list(UTILS))}
        for getter in EMPTY:
            proxies[getter] = (_label(getter), [])
        for line in text.splitlines():
            if line.startswith("#") or not line:
                continue
            found = _LINE.match(line)
            if found is None:
                raise ValueError(f"proxies.txt: no call of a proxy: {line}")
            getter, _, method, arguments, service, operation = found.groups()
            label, methods = proxies.setdefault(getter, (_label(getter), []))
            calls = self.calls.setdefault(f"{label}.{method}", [])
            if not calls:
                methods.append(method)
            words = [word.partition("=") for word in arguments.split(", ") if word]
            names = [name for name, is_fixed, _ in words if not is_fixed]
            fixed = [(name, value) for name, is_fixed, value in words if is_fixed]
            calls.append(Call(service, operation, names, fixed))
        for other, getter in SAME.items():
            proxies[other] = proxies[getter]
        for calls in self.calls.values():
            calls.sort(key=lambda call: len(call.names))
        self.getters = proxies
        self.surface = Surface(list(FUNCTIONS), proxies)

    def find(self, name: str, count: int) -> Call | None:
        """Return what a method calls with so many arguments; None where there is no such method."""
        for call in (calls := self.calls.get(name, ())):
            if len(call.names) >= count:
                return call
        return calls[-1] if calls else None


def _label(getter: str) -> str:
    stem = getter.removeprefix("get").removesuffix("ServiceProxy")
    return stem[0].lower() + stem[1:]


@cache
def proxies() -> Proxies:
    """Return the table, which is read once."""
    return Proxies((Path(__file__).parent / "proxies.txt").read_text())
