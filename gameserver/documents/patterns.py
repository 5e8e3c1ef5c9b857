r"""The patterns of `$regex`: the part of regular expressions that no text can make slow.

Understood are characters, `.`, sets such as `[a-z]` and `[^,]`, `\d \w \s \D \W \S`, escaped characters,
`^` and `$` at the ends, `|` and groups, `.*` and `.+`, and after anything else `?`, `{n}` and `{n,m}`. Not
understood: `*` and `+` after anything but a dot, look-around, back-references, `^` and `$` elsewhere. `.` is
any character, a line end too.

A pattern becomes a few alternatives, each a sequence of single characters and of gaps of any length. SQLite's
GLOB and PostgreSQL's regular expressions match such a sequence in time that grows with the length of the text
times that of the pattern.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain, product
from typing import Any

from sqlalchemy import BindParameter
from sqlalchemy.engine import Dialect
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.sql.visitors import InternalTraversal
from sqlalchemy.types import UserDefinedType

from gameserver.documents.json_nodes import Question

PATTERN_MAX = 256  # characters
ALTERNATIVES_MAX = 16
ITEMS_MAX = 256  # characters and gaps of one alternative
GROUPS_MAX = 16  # groups within groups

Range = tuple[int, int]


@dataclass(frozen=True)
class OneOf:
    """One character: of these code points, or if `negated` of all others."""

    ranges: tuple[Range, ...]
    negated: bool = False


@dataclass(frozen=True)
class Gap:
    """Any characters, any number of them."""


Item = OneOf | Gap
Sequence = tuple[Item, ...]

ANY = OneOf((), negated=True)
GAP = Gap()
_DIGITS: tuple[Range, ...] = ((0x30, 0x39),)
_WORD: tuple[Range, ...] = ((0x30, 0x39), (0x41, 0x5A), (0x5F, 0x5F), (0x61, 0x7A))
_SPACE: tuple[Range, ...] = ((0x09, 0x0D), (0x20, 0x20))
_CLASSES = {"d": _DIGITS, "w": _WORD, "s": _SPACE}
_CONTROLS = {"t": "\t", "n": "\n", "r": "\r", "f": "\f", "v": "\v"}
_COUNT = re.compile(r"\{(\d{1,3})(?:(,)(\d{0,3}))?\}")


class PatternError(ValueError):
    """The pattern is none, or not one of those that are understood; the message says what is wrong."""


def parse(pattern: str, *, fold: bool) -> list[Sequence]:
    """Return the alternatives of a pattern; a text matches when it as a whole is one of them.

    With `fold`, large letters A to Z in the pattern become small ones; the text must be folded likewise.
    Raises `PatternError`.
    """
    if len(pattern) > PATTERN_MAX:
        raise PatternError(f"a pattern has at most {PATTERN_MAX} characters")
    return _Parser(pattern, fold=fold).parse()


class _Parser:
    def __init__(self, pattern: str, *, fold: bool) -> None:
        self.text = pattern
        self.at = 0
        self.groups = 0
        self.fold = fold

    def parse(self) -> list[Sequence]:
        alternatives = self._alternatives(outermost=True)
        if self.at < len(self.text):
            raise PatternError("a ) without its (")
        return alternatives

    def _alternatives(self, *, outermost: bool) -> list[Sequence]:
        found = self._sequence(outermost=outermost)
        while self._take("|"):
            found += self._sequence(outermost=outermost)
        return _limited(found)

    def _sequence(self, *, outermost: bool) -> list[Sequence]:
        """Parse up to the next | or ). At the outermost level, `^` and `$` take away the gap at their end."""
        starts = outermost and not self._take("^")
        sofar: list[Sequence] = [()]
        ends = outermost
        while self.at < len(self.text) and self.text[self.at] not in "|)":
            if outermost and self.text[self.at] == "$" and self.text[self.at + 1 : self.at + 2] in ("", "|"):
                self.at += 1
                ends = False
                break
            sofar = _limited([head + tail for head, tail in product(sofar, self._counted())])
        if outermost:
            front, back = (GAP,) if starts else (), (GAP,) if ends else ()
            sofar = [(*front, *sequence, *back) for sequence in sofar]
        return sofar

    def _counted(self) -> list[Sequence]:
        """Parse one thing and how often it comes."""
        is_dot = self.text[self.at] == "."
        thing = self._thing()
        if self._take("?"):
            return [(), *thing]
        if is_dot and (found := self._take_one_of("*+")):
            self._take("?")  # lazy or not, the same texts match
            return [(GAP,) if found == "*" else (ANY, GAP)]
        if self.text[self.at : self.at + 1] in ("*", "+"):
            raise PatternError(f"{self.text[self.at]} is understood after a dot only")
        count = _COUNT.match(self.text, self.at)
        if count is None:
            return thing
        self.at = count.end()
        if count[2] and not count[3]:
            if not is_dot:
                raise PatternError("{n,} is understood after a dot only")
            return _limited([(*(ANY,) * int(count[1]), GAP)])
        return _repeated(thing, int(count[1]), int(count[3] if count[2] else count[1]))

    def _thing(self) -> list[Sequence]:
        character = self.text[self.at]
        self.at += 1
        match character:
            case "(":
                if self._take("?") and not self._take(":"):
                    raise PatternError("(? is not understood, except as (?:")
                self.groups += 1
                if self.groups > GROUPS_MAX:
                    raise PatternError(f"more than {GROUPS_MAX} groups within groups")
                inside = self._alternatives(outermost=False)
                self.groups -= 1
                if not self._take(")"):
                    raise PatternError("a ( without its )")
                return inside
            case "[":
                return [(self._set(),)]
            case ".":
                return [(ANY,)]
            case "\\":
                return [(self._escaped(),)]
            case "^" | "$":
                raise PatternError(f"{character} is understood at the end of the pattern only")
            case "*" | "+" | "?" | "{":
                raise PatternError(f"{character} has nothing to repeat")
            case _:
                return [(self._one_of([(ord(character), ord(character))]),)]

    def _escaped(self) -> OneOf:
        found = self._escape()
        if isinstance(found, str):
            return self._one_of([(ord(found), ord(found))])
        return self._one_of(list(found.ranges), negated=found.negated)

    def _escape(self) -> OneOf | str:
        """Parse what follows a backslash: a class, or a character that stands for itself."""
        character = self.text[self.at : self.at + 1]
        self.at += 1
        if character.lower() in _CLASSES and character:
            return OneOf(_CLASSES[character.lower()], negated=character.isupper())
        if character in _CONTROLS and character:
            return _CONTROLS[character]
        if not character or character.isalnum():
            raise PatternError(f"\\{character} is not understood")
        return character

    def _set(self) -> OneOf:
        negated = self._take("^")
        ranges: list[Range] = []
        first = True
        while first or not self._take("]"):
            low = self._in_set()
            first = False
            if isinstance(low, OneOf):
                ranges += low.ranges
            elif self.text[self.at : self.at + 1] == "-" and self.text[self.at + 1 : self.at + 2] not in (
                "]",
                "",
            ):
                self.at += 1
                high = self._in_set()
                if isinstance(high, OneOf) or high < low:
                    raise PatternError("a range in [] is the wrong way round")
                ranges.append((ord(low), ord(high)))
            else:
                ranges.append((ord(low), ord(low)))
        return self._one_of(ranges, negated=negated)

    def _in_set(self) -> OneOf | str:
        if self.at >= len(self.text):
            raise PatternError("a [ without its ]")
        character = self.text[self.at]
        self.at += 1
        if character == "[" and self.text[self.at : self.at + 1] in (":", ".", "="):
            raise PatternError("[: is not understood")
        if character != "\\":
            return character
        found = self._escape()
        if isinstance(found, OneOf) and found.negated:
            raise PatternError("a negated class inside of [] is not understood")
        return found

    def _one_of(self, ranges: list[Range], *, negated: bool = False) -> OneOf:
        if self.fold:
            large = [(max(low, 0x41), min(high, 0x5A)) for low, high in ranges]
            folded = [(low + 32, high + 32) for low, high in large if low <= high]
            letter = len(ranges) == 1 and ranges[0][0] == ranges[0][1]
            ranges = folded if letter and folded else ranges + folded
        return OneOf(_merged(ranges), negated)

    def _take_one_of(self, characters: str) -> str:
        found = self.text[self.at : self.at + 1]
        if not found or found not in characters:
            return ""
        self.at += 1
        return found

    def _take(self, character: str) -> bool:
        if self.text.startswith(character, self.at):
            self.at += 1
            return True
        return False


def _repeated(thing: list[Sequence], least: int, most: int) -> list[Sequence]:
    if most < least:
        raise PatternError("{n,m} is the wrong way round")
    if len(thing) ** most > ALTERNATIVES_MAX or most > ITEMS_MAX:
        raise PatternError("{} repeats too much")
    return _limited(
        [
            tuple(chain.from_iterable(parts))
            for times in range(least, most + 1)
            for parts in product(thing, repeat=times)
        ]
    )


def _limited(alternatives: list[Sequence]) -> list[Sequence]:
    if len(alternatives) > ALTERNATIVES_MAX:
        raise PatternError(f"the pattern has more than {ALTERNATIVES_MAX} alternatives")
    if any(len(sequence) > ITEMS_MAX for sequence in alternatives):
        raise PatternError(f"the pattern has more than {ITEMS_MAX} characters in a row")
    return alternatives


def _merged(ranges: list[Range]) -> tuple[Range, ...]:
    """Sort ranges and join those that touch."""
    result: list[Range] = []
    for low, high in sorted(ranges):
        if result and low <= result[-1][1] + 1:
            result[-1] = (result[-1][0], max(high, result[-1][1]))
        else:
            result.append((low, high))
    return tuple(result)


# To SQL


def to_glob(sequence: Sequence) -> str:
    """Return a sequence as a pattern of SQLite's GLOB."""
    return "".join("*" if isinstance(item, Gap) else _glob_item(item) for item in _tidy(sequence))


def _glob_item(item: OneOf) -> str:
    if item == ANY:
        return "?"
    if not item.negated and len(item.ranges) == 1 and item.ranges[0][0] == item.ranges[0][1]:
        character = chr(item.ranges[0][0])
        return f"[{character}]" if character in "*?[" else character
    # All go in as ranges, so that a - is never misread; ] must come first, and ^ must not.
    has_bracket, ranges = _without(item.ranges, ord("]"))
    ranges.sort(key=lambda limits: limits[0] == ord("^"))
    body = "".join(f"{chr(low)}-{chr(high)}" for low, high in ranges)
    if not item.negated and not has_bracket and body.startswith("^"):  # all there is: ^ and what follows it
        body = f"_-{chr(ranges[0][1])}^"
    return f"[{'^' if item.negated else ''}{']' if has_bracket else ''}{body}]"


def _without(ranges: tuple[Range, ...], code: int) -> tuple[bool, list[Range]]:
    """Take one code point out of the ranges; tell whether it was in."""
    rest: list[Range] = []
    found = False
    for low, high in ranges:
        if low <= code <= high:
            found = True
            rest += [part for part in ((low, code - 1), (code + 1, high)) if part[0] <= part[1]]
        else:
            rest.append((low, high))
    return found, rest


def to_regex(sequence: Sequence) -> str:
    """Return a sequence as a regular expression of PostgreSQL (and of Python's `re` with DOTALL)."""
    return (
        "^" + "".join(".*" if isinstance(item, Gap) else _regex_item(item) for item in _tidy(sequence)) + "$"
    )


def _regex_item(item: OneOf) -> str:
    if item == ANY:
        return "."
    if not item.negated and len(item.ranges) == 1 and item.ranges[0][0] == item.ranges[0][1]:
        return _quoted(item.ranges[0][0])
    body = "".join(f"{_quoted(low)}-{_quoted(high)}" for low, high in item.ranges)
    return f"[{'^' if item.negated else ''}{body}]"


def _quoted(code: int) -> str:
    character = chr(code)
    return character if character.isalnum() or code > 0x7F else f"\\u{code:04x}"  # noqa: PLR2004 - ASCII


def _tidy(sequence: Sequence) -> list[Item]:
    """Put the gaps of a row together: single characters first, then one gap."""
    result: list[Item] = []
    for item in sequence:
        if result and result[-1] == GAP:
            if item == GAP:
                continue
            if item == ANY:
                result.insert(len(result) - 1, item)
                continue
        result.append(item)
    return result


class _Pattern(UserDefinedType[Sequence]):
    cache_ok = True
    render_bind_cast = True

    def get_col_spec(self, **_: Any) -> str:
        return "TEXT"

    def bind_processor(self, dialect: Dialect) -> Callable[[Any], Any]:
        return to_glob if dialect.name == "sqlite" else to_regex


class Matches(Question):
    """Whether a text is what a sequence describes."""

    inherit_cache = True
    _traverse_internals = [  # noqa: RUF012 - as SQLAlchemy has it
        ("words", InternalTraversal.dp_clauseelement),
        ("pattern", InternalTraversal.dp_clauseelement),
        ("fold", InternalTraversal.dp_boolean),
    ]

    def __init__(self, words: ColumnElement[str], sequence: Sequence, *, fold: bool) -> None:
        self.words = words
        self.pattern = BindParameter(None, sequence, type_=_Pattern(), unique=True)
        self.fold = fold


@compiles(Matches, "sqlite")
def _on_sqlite(asked: Matches, compiler: SQLCompiler, **_: Any) -> str:
    words = compiler.process(asked.words)
    return f"({f'lower({words})' if asked.fold else words} GLOB {compiler.process(asked.pattern)})"


@compiles(Matches, "postgresql")
def _on_postgresql(asked: Matches, compiler: SQLCompiler, **_: Any) -> str:
    words = f'({compiler.process(asked.words)} COLLATE "C")'
    return f"({f'lower{words}' if asked.fold else words} ~ {compiler.process(asked.pattern)})"
