"""The app's part: which segments there are."""

from collections.abc import Iterator
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from gameserver.apps import Mistake, Settings
from gameserver.apps.fields import Name
from gameserver.domain.segments.criteria import Criteria

SEGMENTS_MAX = 100  # of an app
SAMPLE = """\
# Segments of players. Who belongs to one is worked out at each login, when a script asks for it, and for
# all players when a segment has changed and every so many hours.
[segment]
# 0: only when a segment has changed, or somebody asks for it. Who logs in no more is found this way.
#refresh_hours = 24

[segment.segments.newcomers]
# The number that scripts and servers know the segment by. It stays, whatever the segment is called.
id = 1
description = "At most ten days old"
#testers_only = true
criteria = { account_days = { maximum = 10 } }

# All that stands in criteria must be true. Numbers have a minimum, a maximum, or both.
[segment.segments.veterans]
id = 2
[segment.segments.veterans.criteria]
level = { minimum = 2 }
#experience = { minimum = 100 }
#away_days = { minimum = 14 }
#logins = { minimum = 5 }
#ab_test = { maximum = 30 }
#countries = ["CA", "US"]
#languages = ["en", "fr"]
#platforms = ["IOS", "ANG"]
#client_version = { minimum = "1.4.0", below = "2.0" }
#tester = false
#statistics = { wins = { minimum = 100 } }
#currencies = { coins = { minimum = 1000 } }
# An attribute has one of these texts; with [] it has any.
attributes = { clan = [] }
# One of several: any; none: not. And all, for what cannot stand beside the rest.
any = [{ languages = ["en"] }, { not = { attributes = { guide = ["no"] } } }]
#all = [{ logins = { minimum = 5 } }]
"""


class Segment(Settings, kw_only=True):
    """Players of whom something is true."""

    id: Annotated[
        int,
        Meta(ge=1, le=999_999_999, description="The number that scripts and servers know it by; it stays."),
    ]
    description: Annotated[str, Meta(max_length=512, description="For people: who belongs to it.")] = ""
    testers_only: Annotated[
        bool, Meta(description="true: only players whom servers have marked as testers belong to it.")
    ] = False
    criteria: Annotated[
        Criteria, Meta(description="What must be true of a player. Without any, everybody belongs to it.")
    ] = msgspec.field(default_factory=Criteria)

    @property
    def digest(self) -> str:
        """What tells this definition of who belongs to the segment from an older one."""
        said = msgspec.json.encode([self.testers_only, self.criteria], order="sorted")
        return blake2b(said, digest_size=8).hexdigest()


class SegmentSettings(Settings, kw_only=True, dict=True):
    """Segments of players, by name."""

    refresh_hours: Annotated[
        int,
        Meta(
            ge=0,
            le=8760,
            description="Hours after which it is worked out again, for all players, who belongs to what. "
            "0: only when a segment has changed, or somebody asks for it.",
        ),
    ] = 24
    segments: Annotated[
        dict[Name, Segment],
        Meta(max_length=SEGMENTS_MAX, description="Segments, by name."),
    ] = msgspec.field(default_factory=dict)

    def mistakes(self, folder: Path) -> Iterator[Mistake]:
        """Yield a number that two segments have."""
        seen: dict[int, str] = {}
        for name, segment in self.segments.items():
            first = seen.setdefault(segment.id, name)
            if first != name:
                yield ("segments", name, "id"), f'{segment.id} is the number of "{first}" already'
        yield from super().mistakes(folder)

    @cached_property
    def by_id(self) -> dict[int, tuple[str, Segment]]:
        """The segments and their names, by their numbers, in the order of these."""
        found = {segment.id: (name, segment) for name, segment in self.segments.items()}
        return dict(sorted(found.items()))

    @cached_property
    def definitions(self) -> dict[int, str]:
        """What a membership bears, by the number of the segment: only such as bear it count."""
        return {number: f"{number}:{segment.digest}" for number, (_, segment) in self.by_id.items()}

    @cached_property
    def digest(self) -> str:
        """What tells these definitions from others; empty without a segment."""
        said = ",".join(self.definitions.values()).encode()
        return blake2b(said, digest_size=8).hexdigest() if said else ""

    @cached_property
    def ask_client(self) -> bool:
        """Whether a segment speaks of the platform or of the version of the game."""
        return any(segment.criteria.ask_client for segment in self.segments.values())
