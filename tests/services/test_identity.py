import asyncio
import secrets
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select, update

from gameserver.players import profiles
from gameserver.players.tokens import one_time_tokens
from gameserver.services.identity import handoffs
from gameserver.wire.errors import GameError
from tests.conftest import Client, Game, Refusal

WRONG, UNKNOWN, NOT_OF_PROFILE = (403, 40307), (202, 40208), (202, 40206)


@pytest.fixture(autouse=True)
def own_address(game: Game) -> None:
    """Each test calls from its own network: failures are counted for it, and Redis outlives a test."""
    transport: Any = game.http._transport
    transport.client = (f"2001:db8:{secrets.token_hex(2)}:{secrets.token_hex(2)}::1", 1)


async def handoff_login(client: Client, handoff: dict[str, str], **data: Any) -> Any:
    if "handoffCode" in handoff:
        return await client.log_in("SettopHandoff", handoff["handoffCode"], "", **data)
    return await client.log_in("Handoff", handoff["handoffId"], handoff["securityToken"], **data)


async def refused_login(client: Client, handoff: dict[str, str], **data: Any) -> tuple[int, int]:
    try:
        answer = await handoff_login(client, handoff, **data)
    except Refusal as refusal:
        return refusal.status, refusal.reason_code
    raise AssertionError(f"the login was not refused: {answer}")


async def create(game: Game, profile_id: str | None, **data: Any) -> dict[str, str]:
    answer: dict[str, str] = await game.server.call("identity", "CREATE_HANDOFF_ID", profile_id, **data)
    return answer


async def test_a_handoff_logs_another_device_in_once(game: Game) -> None:
    player = await game.player()
    handoff = await create(game, player.profile_id)
    assert handoff.keys() == {"handoffId", "securityToken"}
    other = game.client()
    answer = await handoff_login(other, handoff, forceCreate=False)
    assert (answer["profileId"], answer["newUser"]) == (player.profile_id, "false")
    assert "handoffJson" not in answer
    await other.call("playerState", "READ")
    assert await refused_login(game.client(), handoff) == UNKNOWN
    assert await refused_login(game.client(), handoff, profileId=player.profile_id) == NOT_OF_PROFILE


async def test_a_settop_code_carries_json(game: Game) -> None:
    player = await game.player()
    code = await create(game, player.profile_id, numChars=8, validSecs=60, handoffJson={"key": "value"})
    assert code.keys() == {"handoffCode"}
    assert len(code["handoffCode"]) == 8
    assert code["handoffCode"].isdigit()
    answer = await handoff_login(game.client(), code)
    assert answer["profileId"] == player.profile_id
    assert answer["handoffJson"] == {"key": "value"}
    assert await refused_login(game.client(), code) == WRONG
    assert await refused_login(game.client(), code, profileId=player.profile_id) == NOT_OF_PROFILE


async def test_codes_of_a_pool(game: Game) -> None:
    player = await game.player()
    code = await create(game, player.profile_id, numChars=12, stringPool="AB12")
    assert len(code["handoffCode"]) == 12
    assert set(code["handoffCode"]) <= set("AB12")
    code = await create(
        game, player.profile_id, numChars=5, stringPool=["0n3", "tw0", "thr33", "f0ur", "f1v3", "s1x", "x"]
    )
    rest = code["handoffCode"]
    for word in ("thr33", "f0ur", "f1v3", "s1x", "0n3", "tw0", "x"):
        rest = rest.replace(word, " ")
    assert not rest.strip()
    assert len(rest) == 5
    assert (await handoff_login(game.client(), code))["handoffJson"] == {}


@pytest.mark.parametrize(("data", "seconds"), [({}, 600), ({"numChars": 6, "validSecs": 300}, 300)])
async def test_handoffs_lapse(game: Game, data: dict[str, Any], seconds: int) -> None:
    player = await game.player()
    handoff = await create(game, player.profile_id, **data)
    spare = await create(game, player.profile_id, **data)
    game.clock.advance(seconds - 1)
    await handoff_login(game.client(), handoff)
    game.clock.advance(2)
    assert await refused_login(game.client(), spare) == UNKNOWN
    assert await refused_login(game.client(), spare, forceCreate=True) == UNKNOWN, "nobody is made of it"
    assert await refused_login(game.client(), spare, profileId=player.profile_id) == NOT_OF_PROFILE


async def test_a_handoff_is_no_settop_code_and_needs_its_token(game: Game) -> None:
    player = await game.player()
    handoff = await create(game, player.profile_id)
    wrong = {**handoff, "securityToken": "guess"}
    assert await refused_login(game.client(), wrong) == WRONG
    assert await refused_login(game.client(), {"handoffCode": handoff["handoffId"]}) == WRONG
    await handoff_login(game.client(), handoff)


async def test_guessing_at_a_handoff_locks_it(game: Game) -> None:
    player = await game.player()
    handoff = await create(game, player.profile_id)
    for _ in range(5):
        assert await refused_login(game.client(), {**handoff, "securityToken": "guess"}) == WRONG
    assert await refused_login(game.client(), handoff) == (403, 40788)


async def test_guessing_at_codes_locks_the_address(game: Game) -> None:
    player = await game.player()
    code = await create(game, player.profile_id, numChars=6)
    for guess in range(20):
        assert await refused_login(game.client(), {"handoffCode": f"x{guess}"}) == WRONG
    assert await refused_login(game.client(), code) == (403, 40788)


async def test_a_handoff_for_another_profile_is_not_used_up(game: Game) -> None:
    player, other = await game.player(), await game.player()
    handoff = await create(game, player.profile_id)
    assert await refused_login(game.client(), handoff, profileId=other.profile_id) == (202, 40207)
    await handoff_login(game.client(), handoff, profileId=player.profile_id)


async def test_a_handoff_of_a_disabled_player_is_not_used_up(game: Game) -> None:
    player = await game.player()
    handoff = await create(game, player.profile_id)
    table = profiles.players

    async def disable(value: bool) -> None:
        async with game.core.database.write() as tx:
            await tx.run(
                update(table).where(table.c.profile_id == player.profile_id).values(is_disabled=value)
            )

    await disable(True)
    assert await refused_login(game.client(), handoff) == (403, 40790)
    await disable(False)
    await handoff_login(game.client(), handoff)


async def test_of_two_logins_at_once_one_gets_in(game: Game) -> None:
    player = await game.player()
    handoff = await create(game, player.profile_id)
    outcomes = await asyncio.gather(
        *(handoff_login(game.client(), handoff) for _ in range(3)), return_exceptions=True
    )
    refusals = [outcome for outcome in outcomes if isinstance(outcome, Refusal)]
    assert len(refusals) == 2
    assert {(refusal.status, refusal.reason_code) for refusal in refusals} == {UNKNOWN}


async def test_a_deleted_players_handoffs_lead_nowhere(game: Game) -> None:
    player = await game.player()
    handoffs = [await create(game, player.profile_id), await create(game, player.profile_id, numChars=6)]
    await player.call("playerState", "FULL_PLAYER_RESET")
    for handoff, expected in zip(handoffs, (UNKNOWN, WRONG), strict=True):
        assert await refused_login(game.client(), handoff) == expected
    async with game.core.database.read() as tx:
        subject = one_time_tokens.c.subject == player.profile_id
        assert not await tx.all(select(one_time_tokens.c.digest).where(subject))


async def test_clients_make_no_handoffs(game: Game) -> None:
    player = await game.player()
    refusal = await player.refused("identity", "CREATE_HANDOFF_ID")
    assert (refusal.status, refusal.reason_code) == (403, 40346)


async def test_handoffs_are_made_on_behalf_of_a_player(game: Game) -> None:
    assert (await game.server.refused("identity", "CREATE_HANDOFF_ID")).reason_code == 40304
    nobody = await game.server.refused(
        "identity", "CREATE_HANDOFF_ID", "00000000-0000-4000-8000-000000000000"
    )
    assert nobody.reason_code == 40304


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ({"numChars": 3}, 40660),  # a thousand codes
        ({"numChars": 20, "stringPool": "aaaa"}, 40660),  # one code
        ({"numChars": 0}, 40660),
        ({"numChars": 65}, 40660),
        ({"validSecs": 0}, 40660),
        ({"validSecs": 86_401}, 40660),
        ({"stringPool": ["ok", ""]}, 40660),
        ({"stringPool": ["x" * 17]}, 40660),
        ({"stringPool": "".join(chr(0x4E00 + n) for n in range(257))}, 40660),
        ({"stringPool": "0123456789\n"}, 40359),
        ({"handoffJson": {"x": "y" * 4096}}, 40660),
        ({"handoffJson": [1]}, 40359),
        ({"numChars": "6"}, 40359),
    ],
)
async def test_codes_that_make_no_sense(game: Game, data: dict[str, Any], reason: int) -> None:
    player = await game.player()
    refusal = await game.server.refused("identity", "CREATE_HANDOFF_ID", player.profile_id, **data)
    assert (refusal.status, refusal.reason_code) == (400, reason)


async def test_the_database_holds_no_token(game: Game) -> None:
    player = await game.player()
    handoff = await create(game, player.profile_id)
    code = await create(game, player.profile_id, numChars=6)
    async with game.core.database.read() as tx:
        rows = await tx.all(select(*one_time_tokens.c).where(one_time_tokens.c.subject == player.profile_id))
    stored = " ".join(str(value) for row in rows for value in tuple(row))
    assert len(rows) == 2
    for secret in (handoff["handoffId"], handoff["securityToken"], code["handoffCode"]):
        assert secret not in stored


@given(st.text(max_size=300) | st.lists(st.text(max_size=20), max_size=30))
def test_pools_are_read_or_refused(pool: str | list[str]) -> None:
    try:
        parts = handoffs.read_pool(pool)
    except GameError:
        return
    assert len(parts) == len(set(parts)) <= handoffs.POOL_MAX
    assert set(parts) == set(pool)
