"""TypeScript declarations of the bridge, for editors: what scripts can call, and what comes back."""

import keyword
import re
from collections.abc import Iterator
from typing import Any

from msgspec import inspect
from msgspec.structs import fields

from gameserver.rpc import Registry
from gameserver.rpc.service import Operation
from gameserver.scripts.proxies import FUNCTIONS, SAME, UTILS, Call, Proxies

DEPTH = 4  # of objects within objects that are told; what is deeper is `any`

_HEAD = """\
// What scripts can use: `data` and `bridge`, for editors. Written by `gameserver script types`.
// A name can be written in any case of letters; these are the usual ones.

/** What a call of a proxy gives back. A refused call throws nothing: look at `status`. */
interface Answer<T> {
  status: number;
  /** null when the call was refused. */
  data: T;
  reason_code?: number;
  reasonCode?: number;
  status_message?: string;
  statusMessage?: string;
}
/** Somebody to act for, from `bridge.getSessionForProfile` and its like. */
interface ScriptSession {
  playerId: string;
  [member: string]: any;
}
/** The parameters of the script. */
declare var data: any;
declare var bridge: Bridge;
"""
_RETURNS = {
    **dict.fromkeys(("isClientBridge", "isServerBridge", "isPeerBridge"), "boolean"),
    **dict.fromkeys(("getSessionCreatedAt", "getSessionAgeSecs", "getCurrentTimeZoneOffset"), "number"),
    **dict.fromkeys(("include", "sleep", "invalidateSession"), "void"),
    **dict.fromkeys(("getTeamInfo", "getClientTeamInfo"), "{ teamName: string; teamId: string }"),
    **dict.fromkeys(("callAPI", "callAPIForSession"), "Answer<any>"),
    "callScript": "Answer<{ response: any; success: boolean; reasonCode?: number; errorMessage?: string }>",
}
_ARGUMENTS = {
    "callAPI": "service: string, operation: string, data?: any",
    "callAPIForSession": "session: ScriptSession, service: string, operation: string, data?: any",
    "callScript": "path: string, data?: any",
    "include": "path: string",
    "sleep": "milliseconds: number",
    "getGlobalProperty": "name: string",
    "setSessionCacheObject": "key: string, value: any",
    "getSessionCacheObject": "key: string",
    "deleteSessionCacheObject": "key: string",
    "getSessionForProfile": "profileId: string",
    "getSessionForCredential": "externalId: string, authenticationType: string, externalAuthType?: string",
    "getSessionForValidatedCredential": "externalId: string, authenticationType: string, "
    "externalAuthType: string | null, authenticationToken: string",
    "getSessionForSessionIdAndProfileId": "sessionId: string, profileId: string",
    "getCurrentTimeZoneOffset": "timeZoneId: string",
    "signHMACSha1": "key: string, text: string",
    "signHMACSha256": "key: string, text: string",
    "signRSASha256": "pemKey: string, text: string",
}
_RESERVED = {"new", "default", "function", "delete", "switch", "case", "var", "this", "null", "typeof", "in"}


def declarations(registry: Registry, proxies: Proxies) -> str:
    """Write the declarations of the bridge over the operations that there are."""
    getters = proxies.getters
    text = [_HEAD, "interface Bridge {"]
    text += [f"  {line}" for name in FUNCTIONS for line in _function(name)]
    text.append("  utils(): BridgeUtils;")
    text += [
        f"  {getter}(session?: ScriptSession): {_interface(SAME.get(getter, getter))};"
        for getter in getters
        if getter != "utils"
    ]
    text += ["}", "interface BridgeUtils {"]
    text += [f"  {line}" for name in UTILS for line in _function(name)]
    text.append("}")
    for getter, (label, methods) in getters.items():
        if getter not in SAME and getter != "utils":
            calls = [line for name in methods for line in _method(registry, proxies, label, name)]
            text += [f"interface {_interface(getter)} {{", *(f"  {line}" for line in calls), "}"]
    return "\n".join([*text, ""])


def _interface(getter: str) -> str:
    return getter.removeprefix("get").removesuffix("Proxy")


def _function(name: str) -> Iterator[str]:
    returns = _RETURNS.get(name, "string | null")
    if name.startswith("log"):
        arguments, returns = "message: string, context?: any", "Answer<null>"
    elif name.startswith("getSessionFor") or name in ("getClientSession", "getPeerProfileSession"):
        arguments, returns = _ARGUMENTS.get(name, ""), "ScriptSession"
    elif name.endswith("SessionCacheObject"):
        arguments, returns = _ARGUMENTS[name], "any"
    else:
        arguments = _ARGUMENTS.get(name, "")
    yield f"{name}({arguments}): {returns};"


def _method(registry: Registry, proxies: Proxies, label: str, name: str) -> Iterator[str]:
    for call in proxies.calls[f"{label}.{name}"]:
        operation = registry.operations.get((call.service, call.operation))
        if operation is None:
            yield f"/** {call.service}.{call.operation}: this server does not have it. */"
        else:
            yield f"/** {_sentence(operation.description)} ({operation.wire_name}) */"
        yield f"{name}({_arguments(call, operation)}): Answer<{_reply(operation)}>;"


def _sentence(text: str) -> str:
    first = " ".join(text.split("\n\n", maxsplit=1)[0].split())
    return first.replace("*/", "* /")


def _arguments(call: Call, operation: Operation | None) -> str:
    known = {} if operation is None else {f.encode_name: f for f in fields(operation.request)}
    told = []
    for name in call.names:
        field = known.get(name)
        kind = "any" if field is None else _type(inspect.type_info(field.type), DEPTH)
        safe = re.sub(r"\W", "_", name)
        safe = f"{safe}_" if safe in _RESERVED or keyword.iskeyword(safe) else safe
        told.append(f"{safe}?: {kind if 'null' in kind or kind == 'any' else f'{kind} | null'}")
    return ", ".join(told)


def _reply(operation: Operation | None) -> str:
    if operation is None or operation.reply is None:
        return "any"
    return _type(inspect.type_info(operation.reply), DEPTH)


def _type(info: inspect.Type, depth: int) -> str:
    match info:
        case inspect.Metadata(type=inner):
            return _type(inner, depth)
        case inspect.StrType() | inspect.DateTimeType() | inspect.UUIDType():
            return "string"
        case inspect.IntType() | inspect.FloatType():
            return "number"
        case inspect.BoolType():
            return "boolean"
        case inspect.NoneType():
            return "null"
        case inspect.EnumType(cls=cls):
            return " | ".join(_literal(member.value) for member in cls)
        case inspect.LiteralType(values=values):
            return " | ".join(_literal(value) for value in values)
        case inspect.ListType(item_type=item) | inspect.VarTupleType(item_type=item):
            text = _type(item, depth)
            return f"({text})[]" if "|" in text else f"{text}[]"
        case inspect.DictType(value_type=value):
            return f"{{ [name: string]: {_type(value, depth - 1)} }}" if depth else "any"
        case inspect.UnionType(types=options):
            known = dict.fromkeys(_type(one, depth) for one in options)
            return "any" if "any" in known else " | ".join(known)
        case inspect.StructType():
            return _struct(info, depth)
    return "any"


def _struct(info: inspect.StructType, depth: int) -> str:
    if not depth:
        return "any"
    rows = []
    for field in info.fields:
        name = (
            field.encode_name
            if re.fullmatch(r"[A-Za-z_]\w*", field.encode_name)
            else f'"{field.encode_name}"'
        )
        mark = "" if field.required else "?"
        rows.append(f"{name}{mark}: {_type(field.type, depth - 1)}")
    return "{ " + "; ".join(rows) + " }" if rows else "{}"


def _literal(value: Any) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value)
