"""Statuses of players that lapse."""

import pytest

from tests.conftest import Game
from tests.services.player_states import SERVICE, new_login, state_of

MINUTE = 60
STATUS = {"activeStart", "statusName", "details", "activeUntil"}


# Timed statuses


async def test_a_status_lasts_as_long_as_it_was_given(game: Game) -> None:
    player = await game.player()
    now = game.clock.ms()
    answer = await player.call(
        SERVICE, "SET_USER_STATUS", statusName="rapidFire", durationSecs=MINUTE, details={"power": 2}
    )
    status = {
        "activeStart": now,
        "statusName": "rapidFire",
        "details": {"power": 2},
        "activeUntil": now + MINUTE * 1000,
    }
    assert answer == {"rapidFire": status}
    game.clock.advance(MINUTE - 0.001)
    assert await player.call(SERVICE, "GET_USER_STATUS", statusName="rapidFire") == {"rapidFire": status}
    assert (await state_of(player))["statuses"] == {"rapidFire": status}
    game.clock.advance(0.001)
    assert await player.call(SERVICE, "GET_USER_STATUS", statusName="rapidFire") == {}
    assert (await state_of(player))["statuses"] == {}


async def test_login_answers_with_the_active_statuses(game: Game) -> None:
    name = game.unique("u")
    player = await new_login(game, name)
    await player.call(SERVICE, "SET_USER_STATUS", statusName="short", durationSecs=10, details={})
    await player.call(SERVICE, "SET_USER_STATUS", statusName="long", durationSecs=100)
    game.clock.advance(50)
    answer = await game.client().log_in("Universal", name, "secret")
    assert set(answer["statuses"]) == {"long"}
    assert set(answer["statuses"]["long"]) == STATUS


async def test_an_empty_name_gets_all_statuses(game: Game) -> None:
    player = await game.player()
    assert await player.call(SERVICE, "GET_USER_STATUS", statusName="") == {}
    for name in ("a", "b"):
        await player.call(SERVICE, "SET_USER_STATUS", statusName=name, durationSecs=MINUTE, details={})
    assert set(await player.call(SERVICE, "GET_USER_STATUS", statusName="")) == {"a", "b"}
    assert set(await player.call(SERVICE, "GET_USER_STATUS")) == {"a", "b"}
    assert set(await player.call(SERVICE, "GET_USER_STATUS", statusName="b")) == {"b"}
    assert (await player.refused(SERVICE, "GET_USER_STATUS", statusName=5)).reason_code == 40359


async def test_a_duration_of_nothing_ends_a_status(game: Game) -> None:
    player = await game.player()
    await player.call(SERVICE, "SET_USER_STATUS", statusName="a", durationSecs=MINUTE, details={})
    answer = await player.call(SERVICE, "SET_USER_STATUS", statusName="a", durationSecs=0, details=None)
    assert answer["a"]["activeUntil"] == answer["a"]["activeStart"] == game.clock.ms()
    assert await player.call(SERVICE, "GET_USER_STATUS", statusName="a") == {}


async def test_statuses_are_cleared_one_by_one(game: Game) -> None:
    player = await game.player()
    assert await player.call(SERVICE, "CLEAR_USER_STATUS", statusName="unknown") is None
    for name in ("a", "b"):
        await player.call(SERVICE, "SET_USER_STATUS", statusName=name, durationSecs=MINUTE)
    assert await player.call(SERVICE, "CLEAR_USER_STATUS", statusName="a") is None
    assert set(await player.call(SERVICE, "GET_USER_STATUS", statusName="")) == {"b"}
    assert (await player.refused(SERVICE, "CLEAR_USER_STATUS", statusName="")).reason_code == 40660


async def test_extending_adds_to_what_is_left(game: Game) -> None:
    player = await game.player()
    start = game.clock.ms()
    await player.call(SERVICE, "SET_USER_STATUS", statusName="a", durationSecs=60, details={"x": 1, "y": 1})
    game.clock.advance(30)
    answer = await player.call(
        SERVICE, "EXTEND_USER_STATUS", statusName="a", additionalSecs=1000, details={"y": 2, "z": 3}
    )
    assert answer == {
        "activeStart": start,
        "statusName": "a",
        "details": {"x": 1, "y": 2, "z": 3},
        "activeUntil": start + 1_060_000,
    }
    assert await player.call(SERVICE, "GET_USER_STATUS", statusName="a") == {"a": answer}


@pytest.mark.parametrize("operation", ["EXTEND_USER_STATUS", "EXTEND_USER_STATUS_WITH_MAX"])
async def test_extending_an_expired_status_starts_it(game: Game, operation: str) -> None:
    player = await game.player()
    await player.call(SERVICE, "SET_USER_STATUS", statusName="a", durationSecs=10, details={"old": 1})
    game.clock.advance(10)
    await player.call(SERVICE, operation, statusName="a", additionalSecs=5, details={"new": 1})
    assert await player.call(SERVICE, "GET_USER_STATUS", statusName="a") == {
        "a": {
            "activeStart": game.clock.ms(),
            "statusName": "a",
            "details": {"new": 1},
            "activeUntil": game.clock.ms() + 5000,
        }
    }


async def test_the_maximum_counts_from_now_and_cuts_nothing(game: Game) -> None:
    player = await game.player()
    await player.call(SERVICE, "SET_USER_STATUS", statusName="a", durationSecs=100, details={})
    game.clock.advance(20)
    now = game.clock.ms()

    async def extend(seconds: int, most: int | None) -> int:
        answer = await player.call(
            SERVICE, "EXTEND_USER_STATUS_WITH_MAX", statusName="a", additionalSecs=seconds, maxActiveSecs=most
        )
        until: int = answer["a"]["activeUntil"]
        return until - now

    assert await extend(60, 120) == 120_000
    assert await extend(60, 50) == 120_000
    assert await extend(60, None) == 180_000


@pytest.mark.parametrize(
    ("operation", "seconds"),
    [
        ("SET_USER_STATUS", "durationSecs"),
        ("EXTEND_USER_STATUS", "additionalSecs"),
        ("EXTEND_USER_STATUS_WITH_MAX", "additionalSecs"),
    ],
)
async def test_bad_statuses_are_refused(game: Game, operation: str, seconds: str) -> None:
    player = await game.player()
    right = {"statusName": "a", seconds: 60, "details": {}}
    for wrong, reason in (
        ({"statusName": ""}, 40660),
        ({"statusName": "x" * 65}, 40660),
        ({"statusName": None}, 40358),
        ({seconds: -1}, 40660),
        ({seconds: 1.5}, 40359),
        ({seconds: 10**12}, 40660),
        ({"details": "text"}, 40359),
        ({"details": {"x": "y" * 2048}}, 40600),
    ):
        refusal = await player.refused(SERVICE, operation, **right | wrong)
        assert (refusal.status, refusal.reason_code) == (400, reason), wrong
    assert await player.call(SERVICE, "GET_USER_STATUS", statusName="") == {}


async def test_a_status_cannot_be_extended_for_ever(game: Game) -> None:
    player = await game.player()
    years = 316_224_000
    await player.call(SERVICE, "SET_USER_STATUS", statusName="a", durationSecs=years, details={})
    refusal = await player.refused(
        SERVICE, "EXTEND_USER_STATUS", statusName="a", additionalSecs=1, details={}
    )
    assert refusal.reason_code == 40660


async def test_statuses_are_counted_while_they_are_active(game: Game) -> None:
    player = await game.player()
    for number in range(50):
        await player.call(SERVICE, "SET_USER_STATUS", statusName=f"s{number}", durationSecs=60.0, details={})
    refusal = await player.refused(SERVICE, "SET_USER_STATUS", statusName="more", durationSecs=60, details={})
    assert refusal.reason_code == 40371
    await player.call(SERVICE, "EXTEND_USER_STATUS", statusName="s7", additionalSecs=60, details={})
    game.clock.advance(60)
    await player.call(SERVICE, "SET_USER_STATUS", statusName="more", durationSecs=60, details={})
    assert set(await player.call(SERVICE, "GET_USER_STATUS", statusName="")) == {"s7", "more"}
