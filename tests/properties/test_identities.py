"""Whatever two processes do at once to who players are, an identity has one player: not two, and not none.

And no link to a parent or a peer leads to a player who is gone, or to one of another app.
"""

import asyncio
import shutil
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from gameserver.app import open_server
from gameserver.players import logins
from gameserver.players.accounts import Login
from gameserver.players.identities import identities
from gameserver.players.passwords import Passwords
from gameserver.players.profile_links import profile_links
from gameserver.players.profiles import players
from gameserver.rpc import Caller, Origin
from gameserver.rpc.runner import PacketFailed
from gameserver.settings import Settings
from gameserver.storage import Row
from gameserver.wire.clock import FixedClock
from gameserver.wire.packet import Message
from tests.conftest import APP_ID, APP_TOML, Game

PASSWORD = "secret"
NAMES = {"Universal": ["ada", "bob", "eve"], "Email": ["ada@example.com", "bob@example.com"]}
EXPECTED = {40206, 40207, 40208, 40209, 40210, 40211, 40212, 40304, 40307, 40374, 40583, 40584}
"""What may be refused here, all for reasons of who has what at that moment."""
EXPECTED |= {40380, 40508, 40509, 40519}
RELATIVES = {"parent": "20000", "arcade": "20002"}
"""The apps that links of the test app lead to: its parent, and a peer."""


@dataclass(frozen=True)
class Action:
    """Something that one of the players does through one of the processes."""

    kind: str
    player: int
    type: str
    name: int
    process: int
    relative: str


actions = st.builds(
    Action,
    kind=st.sampled_from(
        [
            *["attach", "attach", "attach", "detach", "merge", "merge", "rename", "move", "delete"],
            *["link", "link", "link", "unlink", "merge there", "merge there", "delete there"],
        ]
    ),
    player=st.integers(0, 3),
    type=st.sampled_from(sorted(NAMES)),
    name=st.integers(0, 2),
    process=st.integers(0, 1),
    relative=st.sampled_from(sorted(RELATIVES)),
)
batches = st.lists(st.lists(actions, min_size=1, max_size=6), min_size=1, max_size=8)


class World:
    """Two processes with one database, and players that both know."""

    def __init__(self, processes: list[Game], prefix: str) -> None:
        self.processes = processes
        self.prefix = prefix
        self.players: list[str] = []

    async def begin(self) -> None:
        """Make four players, each known to a device."""
        core = self.processes[0].core
        for number in range(4):
            login = Login(type="Anonymous", external_id=f"{self.prefix}{number}", force_create=True)
            verified = await core.accounts.verify(self.processes[0].app, login, "", core.clock.ms())
            async with core.database.write() as tx:
                made, _ = await logins.log_in(
                    tx, self.processes[0].app, login, verified, core.clock.ms(), core.new_id
                )
            self.players.append(made["profile_id"])

    async def do(self, action: Action) -> bool:
        """Do it with a server's authority, on behalf of the player; tells whether it took place."""
        names = NAMES[action.type]
        name = f"{self.prefix}{names[action.name % len(names)]}"
        one = {"authenticationType": action.type, "externalId": name, "authenticationToken": PASSWORD}
        process = self.processes[action.process]
        app, player, peer = process.app, self.players[action.player], {"peer": "arcade"}
        attach, detach = {
            "parent": ("ATTACH_PARENT_WITH_IDENTITY", "DETACH_PARENT"),
            "arcade": ("ATTACH_PEER_PROFILE", "DETACH_PEER"),
        }[action.relative]
        if action.kind.endswith("there") and action.kind != "merge there":
            app = process.apps.find(RELATIVES[action.relative])
            there = await self._players_of(RELATIVES[action.relative])
            if not there:
                return False
            player = there[action.player % len(there)]
        service, operation, data = {
            "link": ("identity", attach, {**one, **peer, "forceCreate": True}),
            "unlink": ("identity", detach, peer),
            "merge there": ("identity", "MERGE_PEER_PROFILE", {**one, **peer}),
            "delete there": ("playerState", "FULL_PLAYER_RESET", {}),
            "attach": ("identity", "ATTACH", one),
            "detach": ("identity", "DETACH", {**one, "confirmAnonymous": True}),
            "merge": ("identity", "MERGE", one),
            "rename": ("identity", "UPDATE_UNIVERSAL_LOGIN", {"externalId": name}),
            "move": (
                "identity",
                "SYS_CHANGE_EMAIL_IDENTITY",
                {"profileId": player, **self._addresses(action)},
            ),
            "delete": ("playerState", "FULL_PLAYER_RESET", {}),
        }[action.kind]
        message = Message(service, operation, msgspec.Raw(msgspec.json.encode(data)))
        try:
            answer = await process.server_app.runner.call(
                message, app, Origin("test", ""), caller=Caller.SERVER, profile_id=player
            )
        except PacketFailed:  # so busy that the client has to repeat it; nothing has happened
            return False
        entry = msgspec.json.decode(answer)
        if entry["status"] == 200:
            return True
        assert entry["reason_code"] in EXPECTED, entry
        return False

    def _addresses(self, action: Action) -> dict[str, str]:
        """One of the addresses, which may be the player's, and the other one."""
        old, new = (f"{self.prefix}{NAMES['Email'][(action.name + n) % 2]}" for n in (0, 1))
        return {"oldEmailAddress": old, "newEmailAddress": new}

    async def _players_of(self, app_id: str) -> list[str]:
        """The players of another app whom somebody here has an identity for, in one order."""
        async with self.processes[0].core.database.read() as tx:
            rows = await tx.all(
                select(identities.c.profile_id)
                .where(
                    identities.c.external_id.startswith(self.prefix, autoescape=True),
                    identities.c.app_id == app_id,
                )
                .distinct()
            )
        return sorted(row[0] for row in rows)

    async def check_links(self) -> None:
        """Every link leads from one of the players to one who is there, of the app that it names."""
        async with self.processes[0].core.database.read() as tx:
            links = await tx.all(
                select(profile_links, players.c.app_id)
                .outerjoin_from(profile_links, players, players.c.profile_id == profile_links.c.target_id)
                .where(profile_links.c.profile_id.in_(self.players))
            )
            others = await tx.all(
                select(identities, players.c.app_id.label("of_app"))
                .outerjoin_from(identities, players, players.c.profile_id == identities.c.profile_id)
                .where(
                    identities.c.external_id.startswith(self.prefix, autoescape=True),
                    identities.c.app_id.in_(RELATIVES.values()),
                )
            )
            there = {row[0] for row in await tx.all(select(players.c.profile_id))}
        for link in links:
            assert link["app_id"] == RELATIVES[link["name"] or "parent"], "a link to nobody, or to elsewhere"
            assert link["profile_id"] in there, "a link of nobody"
        for row in others:
            assert row["app_id"] == row["of_app"], "an identity of nobody in another app"
        twice = Counter((row["app_id"], row["profile_id"], row["type"]) for row in others)
        assert set(twice.values()) <= {1}, "a type twice in another app"

    async def state(self) -> tuple[list[Row], set[str]]:
        """The identities that there are, and the players."""
        async with self.processes[0].core.database.read() as tx:
            known = await tx.all(
                select(identities).where(
                    identities.c.external_id.startswith(self.prefix, autoescape=True),
                    identities.c.app_id == self.processes[0].app.id,
                )
            )
            there = await tx.all(select(players.c.profile_id).where(players.c.profile_id.in_(self.players)))
        return list(known), {row[0] for row in there}

    async def play(self, sequence: list[list[Action]]) -> None:
        await self.begin()
        known, there = await self.state()
        for batch in sequence:
            done = await asyncio.gather(*(self.do(action) for action in batch))
            happened = Counter(action.kind for action, took in zip(batch, done, strict=True) if took)
            before, players_before = len(known), len(there)
            known, there = await self.state()
            await self.check_links()
            assert {row["profile_id"] for row in known} <= there, "an identity of nobody"
            types = Counter((row["profile_id"], row["type"]) for row in known if row["type"] != "Anonymous")
            assert set(types.values()) <= {1}, "a type twice"
            if not happened["delete"]:
                assert len(known) == before + happened["attach"] - happened["detach"]
                assert len(there) == players_before - happened["merge"]
        for row in known:  # and a login leads there
            if row["type"] != "Anonymous":
                login = Login(type=row["type"], external_id=row["external_id"], token=PASSWORD)
                game = self.processes[1]
                verified = await game.core.accounts.verify(game.app, login, "", game.clock.ms())
                assert verified.profile_id == row["profile_id"]


@asynccontextmanager
async def two_processes(folder: Path, services: dict[str, Any]) -> AsyncIterator[list[Game]]:
    async with AsyncExitStack() as stack:
        games = []
        for _ in range(2):
            server = await stack.enter_async_context(
                open_server(
                    Settings(apps=folder / "apps", data=folder / "data", **services),
                    clock=FixedClock(),
                    passwords=Passwords(memory_kib=8, passes=1),
                    with_jobs=False,
                )
            )
            games.append(Game(server, FixedClock()))
        yield games


@pytest.fixture
def folder(schema_template: Path | None, tmp_path: Path) -> Path:
    (tmp_path / "apps" / "test").mkdir(parents=True)
    limits = "[login]\nfailures_per_account = 1000\nfailures_per_address = 100000\n"
    relatives = (
        f'[parent]\napp = "{RELATIVES["parent"]}"\nlevel = "Master"\n'
        f'[peers.arcade]\napp = "{RELATIVES["arcade"]}"\nmay_create = true\n'
    )
    (tmp_path / "apps" / "test" / "app.toml").write_text(APP_TOML + limits + relatives)
    for name, app_id in RELATIVES.items():
        (tmp_path / "apps" / name).mkdir()
        definition = f'id = "{app_id}"\nsecret = "a-secret-of-the-{name}-0123456789"\n{limits}'
        if name == "arcade":
            definition += f'[peers.game]\napp = "{APP_ID}"\n'
        (tmp_path / "apps" / name / "app.toml").write_text(definition)
    (tmp_path / "data").mkdir(mode=0o700)
    if schema_template is not None:
        shutil.copy(schema_template, tmp_path / "data" / "gameserver.db")
    return tmp_path


def test_an_identity_has_one_player(folder: Path, migrated: dict[str, str]) -> None:
    with asyncio.Runner() as runner:
        context = two_processes(folder, migrated)
        processes: Any = runner.run(context.__aenter__())
        try:

            @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
            @given(sequence=batches)
            def check(sequence: list[list[Action]]) -> None:
                runner.run(World(processes, processes[0].unique("p")).play(sequence))

            check()
        finally:
            runner.run(context.__aexit__(None, None, None))
