"""Finds the line of every key in a TOML text, and the texts among its values.

The standard parser keeps no positions, and a mistake in a long file is only half named without its line. This
scanner reads text that the standard parser has accepted already; on anything else its answer means nothing.
"""

import re
import tomllib
from bisect import bisect_right

KeyPath = tuple[str | int, ...]

_BLANK = re.compile(r"(?:[ \t\r\n]+|#[^\n]*)*")
_SPACE = re.compile(r"[ \t]*")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_BASIC_KEY = re.compile(r'"(?:[^"\\]|\\.)*"')
_LITERAL_KEY = re.compile(r"'[^']*'")
_TEXT = re.compile(
    r'"""(?:[^\\]|\\.)*?"{3,5}(?!")'  # up to two quotes may stand right before the closing three
    r"|'''.*?'{3,5}(?!')"
    r'|"(?:[^"\\]|\\.)*"'
    r"|'[^']*'",
    re.DOTALL,
)
_SCALAR = re.compile(r"[^,\]}\n#]+")


def key_lines(text: str) -> dict[KeyPath, int]:
    """Map each key, table and array element to the number of the line it stands on, counted from 1.

    A path holds names for tables and whole numbers, from 0, for array elements.
    """
    return _Scanner(text).scan()


def text_values(text: str) -> list[tuple[KeyPath, int, int]]:
    """Return each value that is a text, in quotes: its path, where it begins, and where it ends."""
    scanner = _Scanner(text)
    scanner.scan()
    return scanner.texts


def nearest_line(lines: dict[KeyPath, int], path: KeyPath) -> int:
    """Find the line of a path or, when the text does not hold it, of the closest table around it."""
    for length in range(len(path), 0, -1):
        if path[:length] in lines:
            return lines[path[:length]]
    return 1


class _Scanner:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.line_starts = [0, *(m.end() for m in re.finditer("\n", text))]
        self.lines: dict[KeyPath, int] = {}
        self.array_sizes: dict[KeyPath, int] = {}
        self.texts: list[tuple[KeyPath, int, int]] = []

    def scan(self) -> dict[KeyPath, int]:
        table: KeyPath = ()
        while self.skip(_BLANK) and self.at < len(self.text):
            if self.text.startswith("[[", self.at):
                table = self.array_header()
            elif self.text[self.at] == "[":
                table = self.header()
            else:
                self.key_and_value(table)
        return self.lines

    def skip(self, pattern: re.Pattern[str]) -> bool:
        found = pattern.match(self.text, self.at)
        assert found is not None, f"not TOML at offset {self.at}"
        self.at = found.end()
        return True

    def note(self, path: KeyPath, at: int) -> None:
        self.lines.setdefault(path, bisect_right(self.line_starts, at))

    def header(self) -> KeyPath:
        at = self.at
        self.at += 1
        path: KeyPath = ()
        for part in self.dotted_key():
            path = self.current((*path, part))
            self.note(path, at)
        self.at += 1
        return path

    def array_header(self) -> KeyPath:
        at = self.at
        self.at += 2
        *parents, last = self.dotted_key()
        path: KeyPath = ()
        for part in parents:
            path = self.current((*path, part))
            self.note(path, at)
        path = (*path, last)
        self.note(path, at)
        index = self.array_sizes.get(path, 0)
        self.array_sizes[path] = index + 1
        self.note((*path, index), at)
        self.at += 2
        return (*path, index)

    def current(self, path: KeyPath) -> KeyPath:
        """Name the table a header's prefix means: of an array of tables, its latest element."""
        return (*path, self.array_sizes[path] - 1) if path in self.array_sizes else path

    def dotted_key(self) -> list[str]:
        parts = [self.key()]
        while self.text.startswith(".", self.at):
            self.at += 1
            parts.append(self.key())
        return parts

    def key(self) -> str:
        self.skip(_SPACE)
        start = self.at
        quote = self.text[start]
        self.skip(_BASIC_KEY if quote == '"' else _LITERAL_KEY if quote == "'" else _BARE_KEY)
        raw = self.text[start : self.at]
        self.skip(_SPACE)
        return str(tomllib.loads(f"key = {raw}")["key"]) if quote in "\"'" else raw

    def key_and_value(self, table: KeyPath) -> None:
        at = self.at
        path = table
        for part in self.dotted_key():
            path = (*path, part)
            self.note(path, at)
        self.at += 1  # the sign =
        self.skip(_SPACE)
        self.value(path)

    def value(self, path: KeyPath) -> None:
        first = self.text[self.at]
        if first in "\"'":
            at = self.at
            self.skip(_TEXT)
            self.texts.append((path, at, self.at))
        elif first == "[":
            self.array(path)
        elif first == "{":
            self.inline_table(path)
        else:
            self.skip(_SCALAR)

    def array(self, path: KeyPath) -> None:
        self.at += 1
        index = 0
        while self.skip(_BLANK) and self.text[self.at] != "]":
            self.note((*path, index), self.at)
            self.value((*path, index))
            self.skip(_BLANK)
            self.at += self.text[self.at] == ","
            index += 1
        self.at += 1

    def inline_table(self, path: KeyPath) -> None:
        self.at += 1
        while self.skip(_BLANK) and self.text[self.at] != "}":
            self.key_and_value(path)
            self.skip(_BLANK)
            self.at += self.text[self.at] == ","
        self.at += 1
