"""How commands speak: tables for people, JSON for programs, a sentence and an exit code for failures."""

import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from enum import IntEnum
from typing import Any, NoReturn

import msgspec
import typer
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table


class Exit(IntEnum):
    """Exit codes. 2 is also what a misspelt command ends with."""

    OK = 0
    REFUSED = 1  # refused, not found, or cannot be done
    USAGE = 2
    PROBLEMS = 3  # `check` found mistakes
    AWAY = 4  # the server, Redis or the database cannot be reached


EXIT_CODES = (
    "Exit codes: 0 done, 1 refused or not found, 2 wrong usage, 3 mistakes found by check, "
    "4 server, Redis or database not reachable."
)


def fail(message: str, code: Exit = Exit.REFUSED) -> NoReturn:
    """Say on standard error what went wrong, and end."""
    sys.stderr.write(f"{message}\n")
    raise typer.Exit(code)


def show_json(value: Any) -> None:
    """Print a value for programs, as it is."""
    text = msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
    sys.stdout.write(text + "\n")


GAP = 2  # between two columns
# Whose content is not the server's: it is shown as it came.
_FREE = frozenset({"data", "facts", "context"})
_TIMES = {"last_login_ms": "lastLogin", "late_ms": "lateMs", "at_ms": "at"}


def wire_spelling(value: Any) -> Any:
    """Name things as the wire does: profile_id is profileId, created_ms createdAt."""
    match value:
        case dict():
            return {
                _wire_name(key): part if key in _FREE else wire_spelling(part) for key, part in value.items()
            }
        case list():
            return [wire_spelling(part) for part in value]
        case _:
            return value


def _wire_name(name: str) -> str:
    if name in _TIMES:
        return _TIMES[name]
    first, *rest = (f"{name[:-3]}_at" if name.endswith("_ms") else name).split("_")
    return first + "".join(word.capitalize() for word in rest)


def show_rows(
    rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str], *, as_json: bool, none: str
) -> None:
    """Print rows. `columns` maps keys to titles, what matters most first; `none` is said without rows.

    A terminal shows as many columns as fit, and no value on two lines: half an id is of no use.
    """
    if as_json:
        show_json(wire_spelling(rows))
        return
    if not rows:
        sys.stderr.write(f"{none}\n")
        return
    cells = [[_cell(key, row.get(key)) for key in columns] for row in rows]
    titles = list(columns.values())
    shown = _fitting([titles, *cells]) if sys.stdout.isatty() else len(titles)
    table = Table(box=None, pad_edge=False)
    for title in titles[:shown]:
        table.add_column(title, no_wrap=True)
    for line in cells:
        table.add_row(*line[:shown])
    _print(table)
    if shown < len(titles):
        sys.stderr.write(f"A wider terminal also shows {', '.join(titles[shown:])}; --json shows all.\n")


def _fitting(lines: Sequence[Sequence[str]]) -> int:
    """Count the columns, from the first, that fit into the terminal; at least one."""
    room = Console().width
    for number, column in enumerate(zip(*lines, strict=True)):
        room -= max(map(cell_len, column))
        if room < 0:
            return max(number, 1)
        room -= GAP
    return len(lines[0])


def show_record(record: Mapping[str, Any], *, as_json: bool) -> None:
    """Print one thing, a line for each of its parts."""
    if as_json:
        show_json(wire_spelling(record))
        return
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    for key, value in record.items():
        table.add_row(key, _cell(key, value))
    _print(table)


def show_more(rows: Sequence[Mapping[str, Any]], key: str, limit: int, *, as_json: bool) -> None:
    """Tell a person how to get the next page, if there may be one."""
    if len(rows) == limit and not as_json:
        sys.stderr.write(f"There may be more: --after {rows[-1][key]}\n")


def log_line(at_ms: int, *parts: str) -> str:
    """Return a line of a log for a person, with nothing in it that a terminal obeys."""
    return "  ".join([_cell("at_ms", at_ms), *(_cell("", part) for part in parts)])


def say(lines: Iterable[str]) -> None:
    """Print lines of text."""
    sys.stdout.write("".join(f"{line}\n" for line in lines))


def _print(table: Table) -> None:
    # Into a pipe nothing is folded, for programs that read by line.
    console = Console(highlight=False, markup=False, width=None if sys.stdout.isatty() else 10_000)
    with console.capture() as captured:
        console.print(table)
    say(line.rstrip() for line in captured.get().splitlines())


def _cell(key: str, value: Any) -> str:
    match value:
        case None | "":
            return "-"
        case bool():
            return "yes" if value else "no"
        case int() if key.endswith("_ms"):
            return datetime.fromtimestamp(value / 1000, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
        case list() | dict():
            return msgspec.json.encode(value).decode()
        case _:  # clients choose names and more of it: nothing that a terminal obeys, no line of its own
            return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in str(value))
