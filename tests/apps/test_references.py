"""What an app names is there: every reference between its sections is checked."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from msgspec import Meta, Struct
from msgspec.structs import fields

from gameserver.app import registry
from gameserver.apps import Declares, Refers, load_apps
from gameserver.apps.checking import describe
from gameserver.apps.loading import definition_type
from gameserver.domain.leaderboards.boards import BoardType

HEAD = f'id = "1"\nsecret = "{"s" * 20}"\n'
DECLARED = """\
[virtualCurrency.currencies.coins]
[playerStatistics.statistics.wins]
[globalGameStatistics.statistics.rounds]
[tournament.templates.weekly_cup]
"""
BOARD = '[leaderboard.boards.b]\nrotation = "DAILY"\nreset = 2026-01-05T00:00:00Z\n'
ENDPOINT = '[web.endpoints.one]\npath = "/v1/x"\n[web.profiles.players]\n'
EVENT = "[playerStatisticsEvent.events.won]\n"


def problems(folder: Path, text: str) -> list[str]:
    home = folder / "apps" / "demo"
    home.mkdir(parents=True, exist_ok=True)
    (home / "app.toml").write_text(HEAD + text)
    found = load_apps(folder / "apps", registry().sections()).problems
    assert all(problem.file == str(home / "app.toml") for problem in found)
    return [f"{p.line} {p.key}: {p.message}" for p in found]


PAYOUT = "[tournament.templates.cup]\npayouts = [\n{ rank = 1, rewards = { currency = { coinz = 1 } } }]"
CALL = '[web.actions.a]\ntrigger = "one"\nevents = [{ do = "call", operation = "playerState.LOGIN" }]'
LOGIN = '[web.actions.a]\ntrigger = "one"\nevents = [{ do = "login", profile = "player" }]'
EXTERNAL = '[web.profiles.p]\ntype = "External"\nexternal_name = "guild"'


@pytest.mark.parametrize(
    ("text", "key", "words"),
    [
        (
            EVENT + "statistics = { winz = 1 }",
            "playerStatisticsEvent.events.won.statistics.winz",
            'there is no statistic "winz"; did you mean "wins"?',
        ),
        (
            EVENT + "global_statistics = { Rounds = 1 }",
            "playerStatisticsEvent.events.won.global_statistics.Rounds",
            'there is no global statistic "Rounds"; did you mean "rounds"?',
        ),
        (
            EVENT + "rewards = { currency = { coinz = 1 } }",
            "playerStatisticsEvent.events.won.rewards.currency.coinz",
            'there is no currency "coinz"; did you mean "coins"?',
        ),
        (
            EVENT + "rewards.statistics.best = 1",
            "playerStatisticsEvent.events.won.rewards.statistics.best",
            'there is no statistic "best"; there are wins',
        ),
        (
            EVENT + "rewards.global_statistics.best = 1",
            "playerStatisticsEvent.events.won.rewards.global_statistics.best",
            'there is no global statistic "best"; there are rounds',
        ),
        (
            "[[playerStatistics.levels]]\nexperience = 5\nrewards.currency.coinz = 1",
            "playerStatistics.levels[0].rewards.currency.coinz",
            'there is no currency "coinz"; did you mean "coins"?',
        ),
        (
            "[tournament.templates.cup]\nentry_fee = { coinz = 1 }",
            "tournament.templates.cup.entry_fee.coinz",
            'there is no currency "coinz"; did you mean "coins"?',
        ),
        (
            PAYOUT,
            "tournament.templates.cup.payouts[0].rewards.currency.coinz",
            'there is no currency "coinz"; did you mean "coins"?',
        ),
        (
            BOARD + 'tournament = { codes = ["weekly_cup", "weekly_cub"] }',
            "leaderboard.boards.b.tournament.codes[1]",
            'there is no tournament "weekly_cub"; did you mean "weekly_cup"?',
        ),
        (
            ENDPOINT + CALL,
            "web.actions.a.events[0].operation",
            'there is no operation "playerState.LOGIN"; did you mean "playerState.LOGOUT"?',
        ),
        (
            ENDPOINT + LOGIN,
            "web.actions.a.events[0].profile",
            'there is no profile "player"; did you mean "players"?',
        ),
        (
            ENDPOINT + '[web.actions.a]\nevents = []\ntrigger = "onne"',
            "web.actions.a.trigger",
            'there is no endpoint "onne"; did you mean "one"?',
        ),
        (
            EXTERNAL,
            "web.profiles.p.external_name",
            'there is no external login "guild"; none is declared',
        ),
    ],
)
def test_a_name_that_nobody_declares(tmp_path: Path, text: str, key: str, words: str) -> None:
    line = 3 + (DECLARED + text).count("\n")  # each is on the last line
    assert problems(tmp_path, DECLARED + text + "\n") == [f"{line} {key}: {words}"]


def test_a_section_that_is_absent_declares_nothing(tmp_path: Path) -> None:
    [problem] = problems(tmp_path, EVENT + "rewards = { currency = { coins = 1 } }\n")
    assert problem.endswith(': there is no currency "coins"; none is declared')


def test_names_are_compared_though_there_are_other_mistakes(tmp_path: Path) -> None:
    text = DECLARED + "[session]\nmost = 0\n" + EVENT + "statistics = { winz = 1 }\n"
    assert [problem.split(": ")[0] for problem in problems(tmp_path, text)] == [
        "8 session.most",
        "10 playerStatisticsEvent.events.won.statistics.winz",
    ]


def test_names_may_come_into_being_where_the_app_says_so(tmp_path: Path) -> None:
    text = EVENT + "statistics = { wins = 1 }\nglobal_statistics = { rounds = 1 }\n"
    assert len(problems(tmp_path, text)) == 2
    text += "[playerStatistics]\ncreate_unknown = true\n"
    [problem] = problems(tmp_path, text)
    assert problem.endswith('there is no global statistic "rounds"; none is declared')
    assert problems(tmp_path, text + "[globalGameStatistics]\ncreate_unknown = true\n") == []
    text = BOARD + 'tournament = { codes = ["autumn"] }\n'
    assert len(problems(tmp_path, text)) == 1
    assert problems(tmp_path, text + '[tournament]\nmade_by_servers = ["autumn"]\n') == []


# The declarations themselves


def types_below(kind: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Each setting with its type, and the types that its type is made of; tables in themselves once."""
    if isinstance(kind, type) and issubclass(kind, Struct):
        for f in fields(kind) if kind not in above else ():
            for _, inner in types_below(f.type, (*above, kind)):
                yield f"{kind.__name__}.{f.name}", inner
    else:
        yield "", kind
        for part in get_args(kind):
            yield from types_below(part, above)


def notes(of: type[Any]) -> Iterator[Any]:
    for _, kind in types_below(definition_type(registry().sections())):
        yield from (note for note in get_args(kind) if isinstance(note, of))


def test_everything_that_is_referred_to_can_be_declared() -> None:
    declared = {note.kind for note in notes(Declares)} | set(registry().sections().offered)
    referred = {note.kind for note in notes(Refers)}
    assert referred
    assert referred <= declared
    assert declared <= referred  # else nobody knows why it is marked


def test_every_setting_is_described_in_words() -> None:
    for where, kind in types_below(definition_type(registry().sections())):
        if kind not in (Any, None, type(None)) and not isinstance(kind, Meta | Declares | Refers | str):
            assert "another type" not in describe(kind), where


def test_an_enum_lists_its_values(tmp_path: Path) -> None:
    [problem] = problems(tmp_path, '[leaderboard.boards.b]\ntype = "HIGHEST"\n')
    listed = " or ".join(f'"{kind}"' for kind in BoardType)
    assert problem == f'4 leaderboard.boards.b.type: expected {listed}, got "HIGHEST"'
