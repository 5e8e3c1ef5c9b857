"""Checks that an answer is in the dialect every client reads.

Two readers look at the same bytes: a strict JSON parser, and a scanner as simple-minded as the simplest
client's. The scanner takes any quote without a backslash before it for the end of a text, never decodes
escapes, and decides by the character behind a colon what follows. An answer is good when both see the same.
"""

import json
from typing import Any

TOP_LEVEL = {"packetId", "responses", "events"}
NEVER_ESCAPED = ("sessionId", "profileId", "switchToAppId", "uploadId", "localPath", "cloudFilename")
CLIENT_ONLY_STATUS = 900


class NotInDialect(AssertionError):
    """An answer that some client would misread."""


def check_bundle(body: bytes, messages: int | None = None) -> dict[str, Any]:
    """Return the decoded answer to a packet of `messages` messages. Raises `NotInDialect`."""
    bundle: dict[str, Any] = check_text(body)
    text = body.decode("ascii")
    _require(isinstance(bundle, dict), "an answer is an object")
    _require(text.startswith('{"packetId":'), "packetId comes first")
    packet_id, comma, _ = text.removeprefix('{"packetId":').partition(",")
    _require(
        comma == "," and packet_id.removeprefix("-").isdecimal(),
        "packetId is a bare number with a comma behind",
    )
    _require(int(packet_id) == bundle["packetId"] >= -1, "both readers see the same packetId")
    _require(bundle.keys() <= TOP_LEVEL, f"no other keys than {TOP_LEVEL}")
    _require("events" not in bundle or len(bundle["events"]) > 0, "no empty list of events")
    entries: Any = bundle.get("responses")
    _require(isinstance(entries, list) and len(entries) > 0, "there is at least one entry")
    _require(messages is None or len(entries) == messages, "there is one entry for each message")
    scanned = Scanner(text).value_of(0, "responses")
    pieces = Scanner(scanned).items(0)
    _require(len(pieces) == len(entries), "both readers see the same number of entries")
    for piece, entry in zip(pieces, entries, strict=True):
        check_entry(entry)
        _check_scanned(piece, entry)
    return bundle


def check_entry(entry: Any) -> None:
    """Check one entry. Raises `NotInDialect`."""
    _require(
        isinstance(entry, dict) and type(entry.get("status")) is int, "an entry has a whole number as status"
    )
    _require(entry["status"] != CLIENT_ONLY_STATUS, "900 is for what clients tell themselves")
    if entry["status"] == 200:
        _require("reason_code" not in entry, "a success has no reason_code")
        _require("data" in entry, "a success has data")
        return
    _require(type(entry.get("reason_code")) is int, "a refusal has a whole number as reason_code")
    _require(isinstance(entry.get("status_message"), str), "a refusal has a text as status_message")
    _require(entry.get("severity") == "ERROR", "a refusal has the severity ERROR")


def check_text(body: bytes) -> Any:
    """Check what holds for all JSON the server sends: ASCII, compact, no escaped backslash, no key twice."""
    _require(body.isascii(), "answers are ASCII")
    text = body.decode("ascii")
    value = json.loads(text, object_pairs_hook=_no_key_twice, parse_constant=_no_constant)
    in_text = False
    previous = ""
    for index, char in enumerate(text):
        if in_text:
            _require(text[index : index + 2] != "\\\\", "a backslash in a text is written \\u005c")
            in_text = not (char == '"' and previous != "\\")
        else:
            _require(char not in " \t\r\n", "no white space between tokens")
            in_text = char == '"'
        previous = char
    _require(not in_text, "the simple scanner finds the end of every text")
    return value


class Scanner:
    """Looks for keys by counting brackets and quotes; knows nothing else of JSON."""

    def __init__(self, text: str) -> None:
        self.text = text

    def value_of(self, start: int, key: str) -> str:
        """The raw text of a key's value in the object at `start`; empty when the key is not there."""
        at = start + 1
        while at < len(self.text) and self.text[at] != "}":
            name_end = self._end(at)
            name = self.text[at + 1 : name_end - 1]
            value_end = self._end(name_end + 1)
            if name == key:
                return self.text[name_end + 1 : value_end]
            at = value_end + (self.text[value_end] == ",")
        return ""

    def items(self, start: int) -> list[str]:
        """The raw texts of the items of the array at `start`."""
        found = []
        at = start + 1
        while self.text[at] != "]":
            end = self._end(at)
            found.append(self.text[at:end])
            at = end + (self.text[end] == ",")
        return found

    def _end(self, at: int) -> int:
        """The place behind the value that begins at `at`."""
        first = self.text[at]
        if first == '"':
            end = at + 1
            while self.text[end] != '"' or self.text[end - 1] == "\\":
                end += 1
            return end + 1
        if first not in "{[":
            end = at
            while self.text[end] not in ",}]":
                end += 1
            return end
        depth = 0
        while True:
            char = self.text[at]
            if char == '"':
                at = self._end(at)
                continue
            depth += (char in "{[") - (char in "}]")
            at += 1
            if depth == 0:
                return at


def _check_scanned(piece: str, entry: dict[str, Any]) -> None:
    scanner = Scanner(piece)
    _require(int(scanner.value_of(0, "status")) == entry["status"], "both readers see the same status")
    if entry["status"] != 200:
        _require(int(scanner.value_of(0, "reason_code")) == entry["reason_code"], "and the same reason_code")
        return
    data = scanner.value_of(0, "data")
    _require(json.loads(data) == entry["data"], "both readers see the same data")
    if isinstance(entry["data"], dict):
        for key in NEVER_ESCAPED:
            if isinstance(entry["data"].get(key), str):
                raw = Scanner(data).value_of(0, key)
                _require(raw == f'"{entry["data"][key]}"', f"{key} needs no escaping")


def _no_key_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    _require(len(found) == len(pairs), f"no key twice: {[key for key, _ in pairs]}")
    return found


def _no_constant(name: str) -> Any:
    raise NotInDialect(f"{name} is no JSON")


def _require(holds: bool, rule: str) -> None:
    if not holds:
        raise NotInDialect(rule)
