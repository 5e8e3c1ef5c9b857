"""What lives as long as the server is found by its type: each is asked for, and there when asked for."""

import inspect
import re
from pathlib import Path
from typing import get_args, get_type_hints

from gameserver.app import registry

ROOT = Path(__file__).parents[2] / "gameserver"
SOURCES = {path: path.read_text("utf-8") for path in sorted(ROOT.rglob("*.py"))}


def declared() -> set[str]:
    """Name the types of what the lifespans of a server yield."""
    found = set()
    for lifespan in registry().lifespans:
        [kind] = get_args(get_type_hints(inspect.unwrap(lifespan))["return"])
        if kind is not None:
            found.add(kind.__name__)
    return found


def named(pattern: str) -> dict[str, str]:
    """Return the types that some module names in such a call, and the module."""
    return {
        kind: str(path.relative_to(ROOT))
        for path, text in SOURCES.items()
        for kind in re.findall(pattern, text)
    }


ASKED = r"\b(?:parts|core|run)\.get\(\s*([A-Z]\w*)\s*\)"


def test_every_part_that_a_lifespan_yields_is_asked_for() -> None:
    kinds = declared()
    assert len(kinds) > 3
    assert kinds - named(ASKED).keys() == set(), "nobody asks for these: yield None, or delete them"


def test_every_part_that_is_asked_for_is_there() -> None:
    """A lifespan that was forgotten is found here, and not by the first player who needs it."""
    there = declared() | named(r"\.add\(\s*([A-Z]\w*)\s*,").keys()
    missing = {f"{kind} ({place})" for kind, place in named(ASKED).items() if kind not in there}
    assert missing == set()
