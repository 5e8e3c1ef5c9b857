"""The benchmark of connections in a short form: nothing is timed, memory is, and everything must arrive."""

from dataclasses import replace

from tests.benchmarks import realtime
from tests.benchmarks.realtime import Figures, Scale, measure, table

SCALE = Scale(idle=600, seconds=0.5, listeners=100, messages=3)


async def test_an_idle_connection_takes_little_and_every_message_arrives(services: dict[str, str]) -> None:
    figures = await measure(SCALE, services.get("redis", ""))
    assert 0 <= figures.kb_each <= realtime.ROWS[0][3]


def test_the_table_shows_what_is_worse_than_wanted() -> None:
    good = Figures(10_000, 6.0, 2000.0, 300.0, 1.0, 1000, 10.0, 40.0, 9.0, 50.0, 12.0)
    bad = replace(good, kb_each=15.1, connects_per_second=999.0)
    lines = table(good, bad).splitlines()
    assert "| ≤ 15 kB | 6.0 | **15.1** |" in lines[2]
    assert "| ≥ 1,000 | 2,000 | **999** |" in lines[4]
