"""What the sample app shows as the usual value of a setting is what holds without it."""

import re
import tomllib
from typing import Any

from msgspec import NODEFAULT
from msgspec.structs import FieldInfo, fields

from gameserver.app import registry


def shown(sample: str, section: str) -> dict[str, Any]:
    """Return the settings of the section itself that are commented out, each on a line of its own."""
    head = re.split(rf"(?m)^#?\[{section}\]$", sample, maxsplit=1)[-1]
    own = re.split(r"(?m)^#?\[", head, maxsplit=1)[0]
    found: dict[str, Any] = {}
    for line in re.findall(r"(?m)^#([a-z_]+ = .+)$", own):
        try:
            found |= tomllib.loads(line)
        except tomllib.TOMLDecodeError:
            continue  # a list over several lines is an example
    return found


def default(field: FieldInfo) -> Any:
    """Return what holds when the setting is left out."""
    return field.default if field.default_factory is NODEFAULT else field.default_factory()


def test_what_a_sample_comments_out_is_the_default() -> None:
    wrong, seen = [], 0
    kinds = registry().sections()
    for section, sample in registry().samples().items():
        told = {field.encode_name: default(field) for field in fields(kinds[section])}
        for name, value in shown(sample, section).items():
            if told[name] in (None, "", [], {}):
                continue  # what stands there shows how it is written
            seen += 1
            if told[name] != value:
                wrong.append(f"{section}.{name}: the sample says {value!r}, without it {told[name]!r} holds")
    assert seen > 10
    assert wrong == []
