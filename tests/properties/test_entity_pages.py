"""Whatever happens to long lists of entities, every page and count is what sorting all of them gives."""

import asyncio
import random
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gameserver.documents import list_counts, paging
from gameserver.documents.list_counts import ListCounts
from gameserver.rpc import Caller, Origin
from gameserver.wire.packet import Message
from tests.conftest import SECRET, Client, Game

ROWS = 7
SORTS: list[dict[str, int]] = [
    {},
    {"createdAt": 1},
    {"createdAt": -1},
    {"createdAt": 1, "updatedAt": -1},
    {"createdAt": -1, "version": 1},
    {"createdAt": 1, "entityId": -1},
    {"entityId": 1},
]
STEPS = 40


@pytest.fixture(autouse=True)
def _short_lists_are_long(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "LONG": 20,
        "MARK_EVERY": 10,
        "SPARSE": 5,
        "CHANGES_MAX": 8,
        "STRETCHES_AT_ONCE": 2,
        "ROWS_AT_ONCE": 25,
    }.items():
        monkeypatch.setattr(list_counts, name, value)
    monkeypatch.setattr(paging, "FAR", 10)


@pytest.fixture
def app_id(apps_folder: Path) -> str:
    """An app of the test's own: entities of others would be in its lists."""
    app_id = f"pages-{uuid.uuid4()}"
    (apps_folder / "pages").mkdir()
    settings = "[globalEntity]\nplayers_may_give_away = true\nplayers_may_make_system = true\n"
    (apps_folder / "pages" / "app.toml").write_text(f'id = "{app_id}"\nsecret = "{SECRET}"\n{settings}')
    return app_id


@dataclass
class Known:
    """An entity as it should be."""

    id: str
    owner: str | None
    type: str
    other: int
    created: int
    updated: int
    version: int = 1
    life: int = -1

    def is_alive(self, now: int) -> bool:
        return self.life <= 0 or self.updated + self.life > now


def in_order(entities: list[Known], sort: dict[str, int]) -> list[str]:
    """The ids of entities, sorted as asked."""
    values = {"createdAt": "created", "updatedAt": "updated", "version": "version", "entityId": "id"}
    asked = sort or {"createdAt": 1}
    if "entityId" not in asked:
        asked = {**asked, "entityId": list(asked.values())[-1]}
    for name, direction in reversed(asked.items()):
        entities = sorted(entities, key=lambda each: getattr(each, values[name]), reverse=direction < 0)
    return [each.id for each in entities]


class Walker:
    """Reads pages of one list and compares them with what it should be."""

    def __init__(self, chance: random.Random, call: Any, service: str, page: str, by_offset: str) -> None:
        self.chance = chance
        self.call = call
        self.service = service
        self.page = page
        self.by_offset = by_offset

    async def check(self, entities: list[Known]) -> None:
        """Jump to some page, and from there to others."""
        chance, sort = self.chance, self.chance.choice(SORTS)
        search = chance.choice([{}, {"entityType": "a"}, {"entityType": "b"}])
        found = [each for each in entities if search.get("entityType", each.type) == each.type]
        wanted = in_order(found, sort)
        number = chance.choice([1, chance.randint(1, len(wanted) // ROWS + 3)])
        pagination = {"rowsPerPage": ROWS, "pageNumber": number}
        context: Any = {"searchCriteria": search, "sortCriteria": sort, "pagination": pagination}
        answer = await self.call(self.service, self.page, context=context)
        self.compare(answer, wanted, number)
        for _ in range(3):
            offset = chance.choice([-1, 1, chance.randint(-9, 9)])
            number = max(1, number + offset)
            answer = await self.call(
                self.service, self.by_offset, context=answer["context"], pageOffset=offset
            )
            self.compare(answer, wanted, number)

    def compare(self, answer: Any, wanted: list[str], number: int) -> None:
        results, first = answer["results"], (number - 1) * ROWS
        assert [item["entityId"] for item in results["items"]] == wanted[first : first + ROWS]
        assert (results["page"], results["count"]) == (number, len(wanted))
        assert results["moreAfter"] == (first + ROWS < len(wanted))
        assert results["moreBefore"] == (number > 1)


async def tend(game: Game) -> None:
    """Do what lists have asked for; it would happen by itself, only later."""
    await game.core.get(ListCounts).work()


@pytest.mark.parametrize("seed", range(3))
async def test_pages_of_a_players_entities(app_id: str, game: Game, seed: int) -> None:
    chance = random.Random(seed)
    player = game.client(app_id)
    await player.log_in()
    known: dict[str, Known] = {}
    walker = Walker(chance, player.call, "entity", "GET_PAGE", "GET_PAGE_BY_OFFSET")

    async def create() -> None:
        for _ in range(chance.choice([1, 1, 5, 40])):
            if chance.random() < 0.5:
                game.clock.advance(chance.choice([0.001, 1]))
            type_ = chance.choice("aab")
            made = await player.call("entity", "CREATE", entityType=type_, data={})
            id_, now = made["entityId"], made["createdAt"]
            known[id_] = Known(id_, player.profile_id, type_, 0, now, now)

    async def delete() -> None:
        for id_ in chance.sample(sorted(known), min(len(known), chance.choice([1, 3, 30]))):
            await player.call("entity", "DELETE", entityId=id_, version=-1)
            del known[id_]

    async def change() -> None:
        for id_ in chance.sample(sorted(known), min(len(known), 5)):
            game.clock.advance(0.001)
            known[id_].type = chance.choice("ab")
            done = await player.call("entity", "UPDATE", entityId=id_, entityType=known[id_].type, data={})
            known[id_].version, known[id_].updated = done["version"], done["updatedAt"]

    async def change_singleton() -> None:
        """A type of which nothing else is there."""
        made = await player.call("entity", "UPDATE_SINGLETON", entityType="c", data={})
        assert (made["version"] == 1) == (made["entityId"] not in known)
        known[made["entityId"]] = Known(
            made["entityId"], player.profile_id, "c", 0, made["createdAt"], made["updatedAt"], made["version"]
        )

    longest = 0
    for step in range(STEPS):
        await chance.choice([create, create, delete, change, change_singleton])()
        longest = max(longest, len(known))
        await walker.check(list(known.values()))
        for where in ({}, {"entityType": "a"}):
            counted = await player.call("entity", "GET_LIST_COUNT", where=where)
            assert counted["entityListCount"] == sum(not where or each.type == "a" for each in known.values())
        if chance.random() < 0.5 or step < 3:
            await tend(game)
    assert longest > 2 * list_counts.LONG, "otherwise this tested nothing"


class World:
    """Global entities of two players and of nobody, and what they should be."""

    def __init__(self, game: Game, app_id: str, players: list[Client], chance: random.Random) -> None:
        self.game = game
        app = game.apps.find(app_id)
        assert app is not None
        self.app = app
        self.players = players
        self.chance = chance
        self.known: dict[str, Known] = {}

    async def as_server(self, service: str, operation: str, **data: Any) -> Any:
        """Call an operation as a server by itself."""
        message = Message(service, operation, msgspec.Raw(msgspec.json.encode(data)))
        runner, origin = self.game.server_app.runner, Origin("test", "")
        entry = msgspec.json.decode(await runner.call(message, self.app, origin, caller=Caller.SERVER))
        assert entry["status"] == 200, entry
        return entry["data"]

    def alive(self) -> list[Known]:
        return [each for each in self.known.values() if each.is_alive(self.game.clock.ms())]

    def seen_by(self, player: Client) -> list[Known]:
        return [each for each in self.alive() if each.other > 0 or each.owner == player.profile_id]

    def some(self, among: list[Known], most: int) -> list[Known]:
        return self.chance.sample(sorted(among, key=lambda each: each.id), min(len(among), most))

    def remember(self, made: Any) -> None:
        self.known[made["entityId"]] = Known(
            made["entityId"],
            made["ownerId"],
            made["entityType"],
            made["acl"]["other"],
            made["createdAt"],
            made["updatedAt"],
            made["version"],
            made["timeToLive"],
        )

    async def create(self) -> None:
        chance = self.chance
        for _ in range(chance.choice([1, 1, 5, 40])):
            if chance.random() < 0.5:
                self.game.clock.advance(chance.choice([0.001, 1]))
            acl, life = {"other": chance.choice([0, 0, 1, 2, 2])}, chance.choice([-1] * 9 + [20_000])
            data: dict[str, Any] = {"entityType": chance.choice("aab"), "acl": acl, "timeToLive": life}
            self.remember(await chance.choice(self.players).call("globalEntity", "CREATE", data={}, **data))

    async def create_for_nobody(self) -> None:
        for _ in range(self.chance.choice([1, 30])):
            data: dict[str, Any] = {"entityType": self.chance.choice("ab"), "acl": {"other": 1}}
            self.remember(await self.as_server("globalEntity", "CREATE_SYSTEM_ENTITY", data={}, **data))

    async def delete(self) -> None:
        for each in self.some(self.alive(), self.chance.choice([1, 3, 30])):
            await self.as_server("globalEntity", "DELETE", entityId=each.id, version=-1)
            del self.known[each.id]

    async def change(self) -> None:
        for each in self.some([each for each in self.alive() if each.owner], 5):
            [owner] = [player for player in self.players if player.profile_id == each.owner]
            acl = {"other": self.chance.choice([0, 1, 2])}
            await owner.call("globalEntity", "UPDATE_ACL", entityId=each.id, version=-1, acl=acl)
            self.remember(await owner.call("globalEntity", "READ", entityId=each.id))

    async def hand_over(self) -> None:
        for each in self.some([each for each in self.alive() if each.owner], 5):
            [owner] = [player for player in self.players if player.profile_id == each.owner]
            to, acl = self.chance.choice(self.players).profile_id, {"other": each.other}
            data = {"entityId": each.id, "ownerId": to, "acl": acl, "version": -1}
            self.remember(await owner.call("globalEntity", "UPDATE_ENTITY_OWNER_AND_ACL", **data))

    async def wait(self) -> None:
        self.game.clock.advance(self.chance.choice([1, 15]))


@pytest.mark.parametrize("seed", range(3))
async def test_pages_of_global_entities(app_id: str, game: Game, seed: int) -> None:
    chance = random.Random(seed)
    players = [game.client(app_id) for _ in range(2)]
    for player in players:
        await player.log_in()
    world = World(game, app_id, players, chance)
    steps = [world.create, world.create, world.create_for_nobody, world.delete]
    steps += [world.change, world.hand_over, world.wait]
    for step in range(STEPS):
        await chance.choice(steps)()
        player = chance.choice(players)
        walker = Walker(chance, player.call, "globalEntity", "GET_PAGE", "GET_PAGE_BY_OFFSET")
        await walker.check(world.seen_by(player))
        counted = await player.call("globalEntity", "GET_LIST_COUNT", where={"entityType": "a"})
        assert counted["entityListCount"] == sum(each.type == "a" for each in world.seen_by(player))
        names = ("GET_SYSTEM_ENTITY_PAGE", "GET_SYSTEM_ENTITY_PAGE_BY_OFFSET")
        of_nobody = [each for each in world.alive() if each.owner is None]
        await Walker(chance, world.as_server, "globalEntity", *names).check(of_nobody)
        if chance.random() < 0.5 or step < 3:
            await tend(game)


async def test_counts_are_exact_while_others_write_and_tallies_are_made(app_id: str, game: Game) -> None:
    players = [game.client(app_id) for _ in range(6)]
    for player in players:
        await player.log_in()
    writing = True

    async def write(player: Client, chance: random.Random) -> set[str]:
        there: set[str] = set()
        for _ in range(12):
            make = ("globalEntity", "CREATE", {"entityType": "a", "data": {}, "acl": {"other": 1}})
            made = await player.packet(*[make] * 5)
            there |= {entry["data"]["entityId"] for entry in made}
            drop = chance.sample(sorted(there), 2)
            await player.packet(
                *(("globalEntity", "DELETE", {"entityId": id_, "version": -1}) for id_ in drop)
            )
            there -= set(drop)
        return there

    async def read() -> None:
        while writing:
            context = {"pagination": {"rowsPerPage": ROWS, "pageNumber": 6}}
            await players[0].call("globalEntity", "GET_PAGE", context=context)
            await asyncio.sleep(0)

    reading = asyncio.create_task(read())
    kept = await asyncio.gather(*(write(player, random.Random(n)) for n, player in enumerate(players[1:])))
    writing = False
    await reading
    await tend(game)
    wanted = set().union(*kept)
    for _ in range(2):
        answer = await players[0].call("globalEntity", "GET_LIST_COUNT", where={})
        assert answer["entityListCount"] == len(wanted)
        await tend(game)
    context: Any = {"sortCriteria": {"createdAt": -1}, "pagination": {"rowsPerPage": 50, "pageNumber": 1}}
    seen: list[str] = []
    for number in range(1, len(wanted) // 50 + 2):
        context["pagination"]["pageNumber"] = number
        answer = await players[0].call("globalEntity", "GET_PAGE", context=context)
        seen += [item["entityId"] for item in answer["results"]["items"]]
    assert len(seen) == len(wanted)
    assert set(seen) == wanted
    for direction in (1, -1):
        context = {"sortCriteria": {"createdAt": direction}, "pagination": {"pageNumber": 2**53}}
        answer = await players[0].call("globalEntity", "GET_PAGE", context=context)
        assert (answer["results"]["items"], answer["results"]["count"]) == ([], len(wanted))


async def test_tallies_go_when_their_list_is_short_again_or_their_player_is_deleted(
    app_id: str, game: Game
) -> None:
    player = game.client(app_id)
    await player.log_in()

    async def names() -> list[str]:
        async with game.core.database.read() as tx:
            found = await tx.all(list_counts.tallies.select())
        return [row["list"] for row in found if row["owner_id"] == player.profile_id]

    async def create(count: int) -> list[str]:
        made = await player.packet(*[("entity", "CREATE", {"entityType": "a", "data": {}})] * count)
        return [entry["data"]["entityId"] for entry in made]

    ids = await create(30)
    assert await names() == []
    assert (await player.call("entity", "GET_LIST_COUNT"))["entityListCount"] == 30
    await tend(game)
    assert await names() == [f"entities:{player.profile_id}"]
    await player.packet(*(("entity", "DELETE", {"entityId": id_}) for id_ in ids[:25]))
    assert (await player.call("entity", "GET_LIST_COUNT"))["entityListCount"] == 5
    await tend(game)
    assert await names() == []
    await create(30)
    assert (await player.call("entity", "GET_LIST_COUNT"))["entityListCount"] == 35
    await tend(game)
    assert len(await names()) == 1
    await player.call("playerState", "FULL_PLAYER_RESET")
    assert await names() == []


async def test_tallies_that_nobody_reads_are_forgotten(
    app_id: str, game: Game, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(list_counts, "WORN_OUT", 20)
    player = game.client(app_id)
    await player.log_in()
    make = [("entity", "CREATE", {"entityType": "a", "data": {}})] * 30
    await player.packet(*make)
    await player.call("entity", "GET_LIST_COUNT")
    await tend(game)

    async def forget() -> int:
        async with game.core.database.write() as tx:
            await list_counts.forget_unread(tx)
            return len(await tx.all(list_counts.tallies.select()))

    before = await forget()
    assert before >= 1
    await player.packet(*make)
    assert await forget() == before - 1
    assert (await player.call("entity", "GET_LIST_COUNT"))["entityListCount"] == 60
