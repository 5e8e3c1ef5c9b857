"""Replays the transcripts of `protocol/transcripts/`; the README beside them explains their notation."""

import base64
import gzip
import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

_PLACE = re.compile(r"\$\{(\w+)\}")
_ANY_KEYS = "..."


class Mismatch(AssertionError):
    """An answer is not what the transcript says."""


class Replay:
    """What one run of a transcript has learnt so far."""

    def __init__(self, secret: str) -> None:
        self.secret = secret
        self.captured: dict[str, Any] = {}
        self.bodies: dict[str, bytes] = {}

    def request(self, request: Mapping[str, Any]) -> tuple[bytes, dict[str, str]]:
        """Return the body and the headers of a step, with what was captured filled in."""
        text = self.text(request)
        body = base64.b64decode(request["body_base64"]) if "body_base64" in request else text
        if request.get("gzip"):
            body = gzip.compress(text)
        digest = hashlib.md5(text + self.secret.encode()).hexdigest()
        signatures = {"${md5}": digest, "${MD5}": digest.upper()}
        headers = {name: signatures.get(value, value) for name, value in request["headers"].items()}
        return body, headers

    def text(self, request: Mapping[str, Any]) -> bytes:
        """Return the body before any packing."""
        if "body_base64" in request:
            return gzip.decompress(base64.b64decode(request["body_base64"]))
        return _PLACE.sub(lambda place: self.captured[place[1]], request["body"]).encode()

    def compare(self, answer: Mapping[str, Any], status: int, body: bytes, name: str | None) -> None:
        """Check an answer and keep what later steps need of it. Raises `Mismatch`."""
        if status != answer["status"]:
            raise Mismatch(f"HTTP status {status}, expected {answer['status']}")
        if "same_bytes_as" in answer:
            if body != self.bodies[answer["same_bytes_as"]]:
                raise Mismatch(f"other bytes than in {answer['same_bytes_as']!r}: {body!r}")
        else:
            self.match(answer["body"], json.loads(body), "answer")
        if name is not None:
            self.bodies[name] = body

    def match(self, pattern: Any, value: Any, where: str) -> None:
        """Check one value against its pattern. Raises `Mismatch`."""
        match pattern:
            case str() if pattern.startswith("$"):
                self._match_word(pattern, value, where)
            case dict():
                self._match_object(pattern, value, where)
            case list():
                if not isinstance(value, list) or len(value) != len(pattern):
                    raise Mismatch(f"{where}: expected {len(pattern)} items, got {value!r}")
                for index, part in enumerate(pattern):
                    self.match(part, value[index], f"{where}[{index}]")
            case _:
                same_kind = isinstance(pattern, bool) == isinstance(value, bool)
                if not same_kind or pattern != value:
                    raise Mismatch(f"{where}: expected {pattern!r}, got {value!r}")

    def _match_object(self, pattern: dict[str, Any], value: Any, where: str) -> None:
        if not isinstance(value, dict):
            raise Mismatch(f"{where}: expected an object, got {value!r}")
        named = pattern.keys() - {_ANY_KEYS}
        if missing := named - value.keys():
            raise Mismatch(f"{where}: without {', '.join(sorted(missing))}")
        if _ANY_KEYS not in pattern and (more := value.keys() - named):
            raise Mismatch(f"{where}: unexpected {', '.join(sorted(more))}")
        for key in sorted(named):
            self.match(pattern[key], value[key], f"{where}.{key}")

    def _match_word(self, pattern: str, value: Any, where: str) -> None:
        kind, _, rest = pattern[1:].partition(" ")
        match kind:
            case "any":
                fits = True
            case "integer":
                fits = type(value) is int
            case "text":
                fits = isinstance(value, str)
            case "session_id":  # safe in URLs and headers, never in need of an escape
                fits = isinstance(value, str) and re.fullmatch(r"[A-Za-z0-9_-]{22,}", value) is not None
            case "same":
                fits = value == self.captured[rest]
            case _:
                raise ValueError(f"{where}: no such pattern: {pattern}")
        if not fits:
            raise Mismatch(f"{where}: expected {pattern}, got {value!r}")
        if kind != "same" and rest:
            self.captured[rest.removeprefix("as ")] = value
