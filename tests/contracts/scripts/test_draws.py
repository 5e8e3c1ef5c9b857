"""Time and chance: a second run is given what the first took."""

import itertools
import json
from typing import Any

from tests.contracts.scripts.conftest import Calls, Scripts

NOW_MS = 1_700_000_000_000

TEXT = """
    function draw() {
        var now = new Date().getTime();
        return [Math.random(), Date.now() >= now, new Date() - 0, Math.random(), Date() === "" + new Date()];
    }
    var all = [draw(), draw()];
    bridge.getProfileId();
    for (var i = 0; i < 2000; i++) all.push(Date.now());
    bridge.getProfileId();
    all.push(draw());
    all;
"""


async def test_a_repeated_run_draws_the_same(scripts: Scripts) -> None:
    first = Calls()
    result = await scripts.run(TEXT, host=first)
    value = json.loads(result.value)
    assert value[0][0] != value[1][0]
    assert NOW_MS <= value[0][2] < NOW_MS + 60_000, "the time is that of the server's clock"
    assert all(a <= b for a, b in itertools.pairwise(value[2:2002])), "time goes on"
    again = Calls()
    again.draws = [first.drawn[1], result.drawn]
    assert await scripts.value(TEXT, host=again, draws=first.drawn[0]) == value
    assert again.drawn == first.drawn


async def test_a_run_that_was_cut_off_goes_on_by_itself(scripts: Scripts) -> None:
    first = Calls()
    value = await scripts.value(TEXT, host=first)
    again = Calls()
    again.draws = [None]
    second = await scripts.value(TEXT, host=again, draws=first.drawn[0])
    assert second[:2] == value[:2]
    assert second[-1][0] == value[-1][0], "the dice are those of the seed"
    assert second[2] >= value[1][2]


async def test_who_draws_nothing_notes_nothing(scripts: Scripts) -> None:
    host = Calls()
    text = "bridge.getProfileId(); new Date(5).getTime() + Date.UTC(2020, 1)"
    result = await scripts.run(text, host=host)
    assert (host.drawn, result.drawn) == ([b""], b"")
    assert await scripts.value(text, draws=b"") == json.loads(result.value)


async def test_who_asks_the_clock_all_the_time_notes_little(scripts: Scripts) -> None:
    text = "var end = Date.now() + 400, n = 0; while (Date.now() < end) n++; n"
    result = await scripts.run(text)
    assert json.loads(result.value) > 100
    assert len(result.drawn) < 6000
    assert await scripts.value(text, draws=result.drawn) == json.loads(result.value)


async def test_seeds_differ(scripts: Scripts) -> None:
    numbers: list[Any] = [await scripts.value("Math.random()") for _ in range(10)]
    assert len(set(numbers)) == 10
    assert all(0 <= number < 1 for number in numbers)


async def test_dates_are_as_ever(scripts: Scripts) -> None:
    text = """
        class Day extends Date {}
        var d = new Date(2016, 0, 1, 10), day = new Day(5), copy = new d.constructor(d);
        [d instanceof Date, d.getTime(), copy.getTime(), day instanceof Day, day.getTime(), Date.length,
         new Date("2016-01-01T10:00:00Z").toISOString(), isNaN(new Date("x")), typeof Date(),
         d.getTimezoneOffset(), JSON.stringify({d: d}), new Date(undefined).getTime()]
    """
    ten = 1451642400000
    iso = "2016-01-01T10:00:00.000Z"
    assert await scripts.value(text) == [
        True, ten, ten, True, 5, 7, iso, True, "string", 0, f'{{"d":"{iso}"}}', None,
    ]  # fmt: skip
