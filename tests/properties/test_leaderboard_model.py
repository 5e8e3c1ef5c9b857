"""A leaderboard against a slow model, through the dispatcher: posts, removals, rotations, lost ranks.

The model is a list per version, sorted when it is asked. After every step the whole board, its versions and
the places around everybody are compared; now and then the ranks were lost before, or some of them are wrong.
"""

import asyncio
import shutil
import tempfile
import uuid
from contextlib import AsyncExitStack
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gameserver.app import open_server
from gameserver.domain.leaderboards import Leaderboards
from gameserver.domain.leaderboards.ranked_pages import list_name
from gameserver.domain.leaderboards.store import FIND
from gameserver.players.passwords import Passwords
from gameserver.ranks import Place
from gameserver.settings import Settings
from gameserver.storage.schema import migrate
from gameserver.wire.clock import FixedClock
from tests.conftest import APP_TOML, BACKENDS, Game

BOARD = "leaderboard"
KINDS = ["HIGH_VALUE", "LOW_VALUE", "CUMULATIVE", "LAST_VALUE", "ARCADE_HIGH", "ARCADE_LOW"]
PLAYERS = st.integers(0, 4)
SCORES = st.integers(-4, 4) | st.sampled_from([2**53, -(2**53), 0])
DAY = 86_400
RETAINED = 3
URLS: dict[str, Any] = {}


@pytest.fixture(scope="module", autouse=True)
def _backends(migrated: dict[str, str]) -> None:
    """Let the model speak to the run's backends: its class cannot ask for fixtures."""
    URLS.update(migrated)


class Model(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.folder = Path(tempfile.mkdtemp())
        self.stack = AsyncExitStack()
        self.loop.run_until_complete(self.open())

    async def open(self) -> None:
        (self.folder / "apps" / "test").mkdir(parents=True)
        (self.folder / "apps" / "test" / "app.toml").write_text(APP_TOML)
        (self.folder / "data").mkdir()
        if not URLS:
            await asyncio.to_thread(migrate, f"sqlite:///{self.folder / 'data' / 'gameserver.db'}")
        self.clock = FixedClock()
        self.board = f"b-{uuid.uuid4()}"  # the database is shared by the tests of a run
        options = Settings(apps=self.folder / "apps", data=self.folder / "data", **URLS)
        server = await self.stack.enter_async_context(
            open_server(
                options, clock=self.clock, passwords=Passwords(memory_kib=8, passes=1), with_jobs=False
            )
        )
        self.game = Game(server, self.clock)
        self.stack.push_async_callback(self.game.http.aclose)
        players = [await self.game.player() for _ in range(5)]
        self.ids = [player.profile_id for player in players]

    def teardown(self) -> None:
        self.do(self.game.server.call(BOARD, "DELETE_LEADERBOARDS", leaderboardIds=[self.board]))
        self.loop.run_until_complete(self.stack.aclose())
        self.loop.close()
        shutil.rmtree(self.folder)

    def do(self, step: Any) -> Any:
        return self.loop.run_until_complete(step)

    def call(self, player: int | None, operation: str, **data: Any) -> Any:
        profile = None if player is None else self.ids[player]
        return self.do(self.game.server.call(BOARD, operation, profile, leaderboardId=self.board, **data))

    @initialize(kind=st.sampled_from(KINDS), rotates=st.booleans())
    def make(self, kind: str, rotates: bool) -> None:
        self.kind, self.rotates = kind, rotates
        self.low = kind in {"LOW_VALUE", "ARCADE_LOW"}
        rotation = (
            {"rotationType": "DAILY", "resetAt": self.clock.ms() + DAY * 1000}
            if rotates
            else {"rotationType": "NEVER"}
        )
        config = {"entryType": "PLAYER", "leaderboardType": kind, "retainedCount": RETAINED, **rotation}
        self.call(None, "SYS_CREATE_LEADERBOARD_CONFIG", configJson=config)
        self.versions: dict[int, list[tuple[int, int]]] = {
            1: []
        }  # player, score; in the order they were reached
        self.version = 1

    @property
    def scores(self) -> list[tuple[int, int]]:
        return self.versions[self.version]

    @rule(player=PLAYERS, score=SCORES)
    def post(self, player: int, score: int) -> None:
        old = next((s for p, s in self.scores if p == player), None)
        if self.kind.startswith("ARCADE"):
            self.scores.append((player, score))
        else:
            new = score
            if old is not None:
                match self.kind:
                    case "HIGH_VALUE":
                        new = max(old, score)
                    case "LOW_VALUE":
                        new = min(old, score)
                    case "CUMULATIVE":
                        new = old + score
            if abs(new) > 2**53:
                refusal = self.do(
                    self.game.server.refused(
                        BOARD, "POST_SCORE", self.ids[player], leaderboardId=self.board, score=score
                    )
                )
                assert refusal.reason_code == 40660
                return
            if old is None:
                self.scores.append((player, new))
            elif new != old or self.kind in {"LAST_VALUE", "CUMULATIVE"}:
                self.scores.remove((player, old))
                self.scores.append((player, new))
        self.call(player, "POST_SCORE", score=score)

    @rule(player=PLAYERS, back=st.integers(0, 2))
    def remove(self, player: int, back: int) -> None:
        version = self.version - back
        if version < 1:
            return
        before = self.versions[version]
        after = [(p, s) for p, s in before if p != player]
        removed = self.call(player, "REMOVE_PLAYER_SCORE", versionId=version)
        assert removed == {"numScoresRemoved": len(before) - len(after)}
        self.versions[version] = after

    @precondition(lambda self: self.rotates)
    @rule(days=st.integers(1, 5))
    def days_go_by(self, days: int) -> None:
        self.clock.advance(days * DAY)
        self.begin_versions(days)

    @precondition(lambda self: not self.rotates)
    @rule()
    def begin_anew(self) -> None:
        self.clock.advance(1)
        assert self.call(None, "SYS_RESET_NEVER_LEADERBOARD")["versionId"] == self.version + 1
        self.begin_versions(1)

    def begin_versions(self, count: int) -> None:
        for _ in range(count):
            self.version += 1
            self.versions[self.version] = []
        self.versions = {v: s for v, s in self.versions.items() if v > self.version - RETAINED}

    @rule()
    def upkeep(self) -> None:
        self.do(self.game.run_jobs())

    @rule()
    def sweep(self) -> None:
        self.do(self.game.core.get(Leaderboards).upkeep.sweep())

    @rule()
    def lose_ranks(self) -> None:
        self.do(self.game.core.get(Leaderboards).upkeep.forget_all())

    @rule(player=PLAYERS, key=st.sampled_from([2**53, -(2**53)]))
    def spoil_a_place(self, player: int, key: int) -> None:
        async def spoil() -> None:
            await self.builds()
            async with self.game.core.database.read() as tx:
                row = await tx.one(FIND, app=self.game.app.id, board=self.board)
            assert row is not None
            ranks, name = self.game.core.get(Leaderboards).index.ranks, list_name(row["uid"], self.version)
            page = await ranks.page(name, 0, 99)
            for place in page.places if page is not None else []:
                if place.id.startswith(self.ids[player]):
                    await ranks.repair(name, place.id, place.seq, Place(place.id, place.seq, key))
                    return

        self.do(spoil())

    async def builds(self) -> None:
        running = self.game.core.get(Leaderboards).index._builds
        while running:
            await asyncio.gather(*running.values())
            await asyncio.sleep(0)

    @rule()
    def settle(self) -> None:
        self.do(self.builds())

    @invariant()
    def everything_is_as_in_the_model(self) -> None:
        if not hasattr(self, "versions"):
            return
        for version, scores in self.versions.items():
            newest_first = reversed(scores)
            in_order = sorted(newest_first, key=lambda entry: entry[1] if self.low else -entry[1])
            for backwards in (False, True):
                wanted = in_order[::-1] if backwards else in_order
                sort = "LOW_TO_HIGH" if self.low != backwards else "HIGH_TO_LOW"
                self.compare_pages(version, wanted, sort)
                self.compare_views(version, wanted, sort, in_order)
        running = self.call(None, "GET_GLOBAL_LEADERBOARD_VERSIONS")["versions"]
        assert [v["versionId"] for v in running] == sorted(self.versions, reverse=True)
        for later, earlier in pairwise(running):
            assert earlier["endingAt"] == later["startingAt"]
        forgotten = self.version - RETAINED
        if forgotten >= 0:
            page = self.call(
                None, "GET_GLOBAL_LEADERBOARD_PAGE", startIndex=0, endIndex=9, versionId=forgotten
            )
            assert page["leaderboard"] == []

    def compare_pages(self, version: int, wanted: list[tuple[int, int]], sort: str) -> None:
        page = self.call(
            None, "GET_GLOBAL_LEADERBOARD_PAGE", startIndex=0, endIndex=99, versionId=version, sort=sort
        )
        found = [(self.ids.index(entry["playerId"]), entry["score"]) for entry in page["leaderboard"]]
        assert found == wanted
        assert page["leaderboardSize"] == len(wanted)
        if len(wanted) > 2:
            part = self.call(
                None, "GET_GLOBAL_LEADERBOARD_PAGE", startIndex=1, endIndex=2, versionId=version, sort=sort
            )
            assert part["leaderboard"] == page["leaderboard"][1:3]

    def compare_views(
        self, version: int, wanted: list[tuple[int, int]], sort: str, in_order: list[tuple[int, int]]
    ) -> None:
        for player in {p for p, _ in wanted}:
            best = next(score for p, score in in_order if p == player)
            view = self.call(
                player,
                "GET_GLOBAL_LEADERBOARD_VIEW",
                beforeCount=1,
                afterCount=1,
                versionId=version,
                sort=sort,
            )
            found = [(self.ids.index(e["playerId"]), e["score"]) for e in view["leaderboard"]]
            start = view["leaderboard"][0]["index"]
            assert found == wanted[start : start + len(found)]
            assert (player, best) in found


TestModel = Model.TestCase
TestModel.settings = settings(
    max_examples=25 if BACKENDS == "embedded" else 8,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
