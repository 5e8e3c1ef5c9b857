"""Random sequences of logins end as a slow model of the documented outcomes says."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gameserver.app import open_server
from gameserver.players.passwords import Passwords
from gameserver.settings import Settings
from gameserver.wire.clock import FixedClock
from tests.conftest import APP_TOML, Client, Game, Refusal

FAILURES, WINDOW, LOCK = 3, 60, 40


@dataclass(frozen=True)
class Attempt:
    """One login. `profile` says the profile it comes with: none, its own, another's or one that never was.

    `device` is its anonymousId; an Anonymous login of the same name comes from that device.
    """

    type: str
    name: str
    password: str
    force: bool
    profile: str
    device: str


@dataclass(frozen=True)
class Pause:
    seconds: int


attempts = st.builds(
    Attempt,
    type=st.sampled_from(["Anonymous", "Universal", "Email"]),
    name=st.sampled_from(["ada", "Ada", "bob"]),
    password=st.sampled_from(["right", "right", "wrong"]),
    force=st.booleans(),
    profile=st.sampled_from(["", "", "", "own", "other", "never"]),
    device=st.sampled_from(["", "ada", "bob"]),
)
steps = st.lists(
    attempts | attempts | attempts | st.builds(Pause, st.sampled_from([1, 20, 39, 40, 60, 80])),
    min_size=1,
    max_size=40,
)


@dataclass
class Known:
    profile: str
    password: str
    logins: int
    last: int


@dataclass
class Model:
    """What should happen, one dictionary at a time."""

    conceal: bool
    alone: bool
    pairs: set[tuple[str, str]] = field(default_factory=set)  # profile, device
    identities: dict[tuple[str, str], Known] = field(default_factory=dict)
    known: set[tuple[str, str]] = field(default_factory=set)  # logged in to from the one network there is
    # By identity, and whether it was known: times, of which the first opens the window.
    failures: dict[tuple[tuple[str, str], bool], list[int]] = field(default_factory=dict)
    locked_until: dict[tuple[tuple[str, str], bool], int] = field(default_factory=dict)
    locks: dict[tuple[tuple[str, str], bool], int] = field(default_factory=dict)

    def key(self, attempt: Attempt) -> tuple[str, str]:
        name = attempt.name.lower() if attempt.type == "Email" else attempt.name
        return attempt.type, name

    def outcome(self, attempt: Attempt, profile: str, now: int) -> int | Known | None:
        """A reason code, the identity that gets in, or None for a new player."""
        key = self.key(attempt)
        known = self.identities.get(key)
        if attempt.type != "Anonymous":
            counter = key, key in self.known
            if now < self.locked_until.get(counter, 0):
                return 40788
            wrong = known is not None and known.password != attempt.password
            if wrong or (known is None and (not attempt.force or profile)):
                self.fail(counter, now)
                if wrong or self.conceal:
                    return 40307
            else:
                self.failures.pop(counter, None)
                self.known.add(key)
        if attempt.type == "Anonymous":
            if (profile, attempt.name) in self.pairs:
                known = next(each for each in self.identities.values() if each.profile == profile)
            elif known is not None and not profile and not self.alone:
                return 40209
        if known is None:
            if profile:
                return 40206
            return None if attempt.force else 40208
        return 40207 if profile not in ("", known.profile) else known

    def fail(self, key: tuple[tuple[str, str], bool], now: int) -> None:
        times = self.failures.get(key, [])
        if not times or now - times[0] >= WINDOW * 1000:
            times = []
        self.failures[key] = [*times, now]
        if len(self.failures[key]) == FAILURES:
            self.locked_until[key] = now + LOCK * 1000 * 2 ** self.locks.get(key, 0)
            self.locks[key] = self.locks.get(key, 0) + 1
            del self.failures[key]


@asynccontextmanager
async def server(folder: Path, conceal: bool, alone: bool) -> AsyncIterator[Game]:
    (folder / "apps" / "test").mkdir(parents=True)
    (folder / "apps" / "test" / "app.toml").write_text(
        f"{APP_TOML}[login]\nconceal_accounts = {str(conceal).lower()}\n"
        f"anonymous_id_alone = {str(alone).lower()}\nfailures_per_account = {FAILURES}\n"
        f"failures_per_address = 100000\nwindow_seconds = {WINDOW}\nlock_seconds = {LOCK}\n"
    )
    clock = FixedClock()
    options = Settings(apps=folder / "apps", data=folder / "data")
    async with open_server(
        options, clock=clock, passwords=Passwords(memory_kib=8, passes=1), with_jobs=False
    ) as running:
        game = Game(running, clock)
        yield game
        await game.http.aclose()


async def play(game: Game, conceal: bool, alone: bool, example: int, sequence: list[Attempt | Pause]) -> None:
    model, alive = Model(conceal, alone), dict[str, Client]()
    for step in sequence:
        if isinstance(step, Pause):
            game.clock.advance(step.seconds)
            continue
        known = model.identities.get(model.key(step))
        others = [other.profile for other in model.identities.values() if other is not known]
        profile = {
            "": "",
            "own": known.profile if known else "",
            "other": others[0] if others else "never-was",
            "never": "never-was",
        }[step.profile]
        name = f"{step.name}-{example}"
        external_id = f"{name}@example.com" if step.type == "Email" else name
        expected = model.outcome(step, profile, game.clock.ms())
        client = game.client()
        answer: Any = None
        status = 200
        try:
            answer = await client.log_in(
                step.type,
                external_id,
                step.password,
                forceCreate=step.force,
                profileId=profile,
                anonymousId=f"{step.device}-{example}" if step.device else None,
            )
            got: Any = answer["newUser"]
        except Refusal as refusal:
            got, status = refusal.reason_code, refusal.status
        if isinstance(expected, int):
            assert got == expected, (step, profile)
            assert status == (202 if expected in (40206, 40207, 40208, 40209) else 403)
            for session in alive.values():  # a refusal touches nobody's session
                await session.call("time", "READ")
            continue
        now = game.clock.ms()
        if expected is None:
            assert got == "true", step
            assert answer["profileId"] not in {other.profile for other in model.identities.values()}
            model.identities[model.key(step)] = Known(answer["profileId"], step.password, 1, now)
            assert (answer["loginCount"], answer["previousLogin"]) == (1, None)
        else:
            assert got == "false", step
            assert answer["profileId"] == expected.profile
            assert (answer["loginCount"], answer["previousLogin"]) == (expected.logins + 1, expected.last)
            expected.logins, expected.last = expected.logins + 1, now
        if step.device:
            model.pairs.add((answer["profileId"], step.device))
        previous = alive.get(answer["profileId"])
        if previous is not None:  # one session for each player: the newest
            assert (await previous.refused("playerState", "READ")).reason_code == 40356
        alive[answer["profileId"]] = client


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.mark.parametrize(("conceal", "alone"), [(False, False), (True, True)])
def test_logins_end_as_the_model_says(
    runner: asyncio.Runner, tmp_path: Path, conceal: bool, alone: bool
) -> None:
    context = server(tmp_path, conceal, alone)
    game = runner.run(context.__aenter__())
    examples = itertools.count()
    try:

        @settings(
            max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
        )
        @given(steps)
        def check(sequence: list[Attempt | Pause]) -> None:
            runner.run(play(game, conceal, alone, next(examples), sequence))

        check()
    finally:
        runner.run(context.__aexit__(None, None, None))
