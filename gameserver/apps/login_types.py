"""The types of logins, and settings that list some of them."""

from collections.abc import Iterator
from typing import Annotated

from msgspec import Meta

LOGIN_TYPES = (
    "Anonymous",
    "Apple",
    "Blockchain",
    "Email",
    "External",
    "Facebook",
    "FacebookLimited",
    "GameCenter",
    "Google",
    "GoogleOpenId",
    "Handoff",
    "Nintendo",
    "Oculus",
    "Parse",
    "PlaystationNetwork",
    "PlaystationNetwork5",
    "SettopHandoff",
    "Steam",
    "Twitter",
    "Ultra",
    "Universal",
    "Xbox",
)
_FOLDED = frozenset(name.casefold() for name in LOGIN_TYPES)


LoginTypes = Annotated[
    list[str] | None,
    Meta(description=f"Login types that are allowed, of: {', '.join(LOGIN_TYPES)}. Absent: all."),
]


def unknown_types(types: list[str] | None) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Yield login types that do not exist."""
    for index, name in enumerate(types or []):
        if name.casefold() not in _FOLDED:
            yield ("types", index), f'unknown login type "{name}"; there are {", ".join(LOGIN_TYPES)}'


def allows_type(types: list[str] | None, login_type: str) -> bool:
    """Tell whether a login type is allowed; case does not matter, clients spell HandOff in two ways."""
    folded = login_type.casefold()
    return types is None or any(folded == name.casefold() for name in types)
