"""Settings that name what stands elsewhere: in another section of the app, or in the server itself.

`Annotated[dict[Name, Currency], Declares("currency")]` makes names,
`Annotated[str, Refers("currency")]` uses one.
The checker compares the two, so a section never looks names up by itself.
"""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, get_args

from msgspec import Struct, structs
from msgspec.structs import FieldInfo

from gameserver.apps.toml_lines import KeyPath

_LISTED_MAX = 12


@dataclass(frozen=True)
class Declares:
    """Marks a table or a list: its names exist, as things of this kind.

    `open_if` names a setting beside it; where that is true, further names come into being as they are used.
    """

    kind: str
    open_if: str = ""


@dataclass(frozen=True)
class Refers:
    """Marks a text, or the names of a table: it names a thing of this kind. Empty text names nothing."""

    kind: str


@dataclass
class Names:
    """The names that the files of one app declare, and those they use.

    `offered` are names of kinds that the server itself declares, such as operations.
    """

    offered: Mapping[str, Iterable[str]]
    declared: dict[str, list[str]] = field(default_factory=dict)
    open: set[str] = field(default_factory=set)
    used: list[tuple[KeyPath, str, str]] = field(default_factory=list)  # where, the kind, the name

    def declare(self, declares: Declares, names: Iterable[Any]) -> None:
        """Note names that exist."""
        known = self.declared.setdefault(declares.kind, [])
        known += [name for name in names if isinstance(name, str)]

    def use(self, path: KeyPath, refers: Refers, name: str) -> None:
        """Note a name that is used."""
        if name:
            self.used.append((path, refers.kind, name))

    def unknown(self) -> Iterable[tuple[KeyPath, str]]:
        """Yield each place with a name that does not exist, and a sentence about it."""
        for path, kind, name in self.used:
            known = [*self.declared.get(kind, ()), *self.offered.get(kind, ())]
            checked = kind in self.declared or kind in self.offered
            if checked and kind not in self.open and name not in known:
                yield path, f'there is no {kind} "{name}"{hint(name, known)}'


def hint(name: str, known: Iterable[str], none: str = "; none is declared") -> str:
    """Say what somebody may have meant, or what there is."""
    known = sorted(known)
    if close := difflib.get_close_matches(name, known, n=1):
        return f'; did you mean "{close[0]}"?'
    folded = {one.casefold(): one for one in known}
    if name.casefold() in folded:
        return f'; did you mean "{folded[name.casefold()]}"?'
    if not known:
        return none
    return f"; there are {', '.join(known)}" if len(known) <= _LISTED_MAX else ""


def mark(kind: Any, of: type[Any]) -> Any:
    """Return the `Declares` or `Refers` of an annotated type; None for none."""
    return next((note for note in get_args(kind)[1:] if isinstance(note, of)), None)


@cache
def fields(kind: type[Struct]) -> tuple[FieldInfo, ...]:
    """Return the fields of a type of settings, which takes long to find out, once."""
    return structs.fields(kind)


@cache
def declarations(kind: type[Struct]) -> tuple[Declares, ...]:
    """Return what settings of a type can declare, directly or in tables that are always there."""
    found: list[Declares] = []
    for f in fields(kind):
        if declares := mark(f.type, Declares):
            found.append(declares)
        elif isinstance(f.type, type) and issubclass(f.type, Struct):
            found += declarations(f.type)
    return tuple(found)
