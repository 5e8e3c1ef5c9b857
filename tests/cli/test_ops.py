import asyncio
import re

import pytest
from structlog.testing import capture_logs

from gameserver.faces import ops
from gameserver.realtime import Channels
from gameserver.sessions import SessionsUnavailable
from gameserver.storage import Unavailable
from tests.conftest import BACKENDS, Game


async def test_alive_and_ready(game: Game) -> None:
    assert (await game.http.get("/healthz")).json() == {"status": "alive"}
    ready = await game.http.get("/readyz")
    assert (ready.status_code, ready.json()) == (
        200,
        {"status": "ready", "sql": "ok", "sessions": "ok", "realtime": "ok"},
    )


async def test_not_ready_names_what_is_away(game: Game, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away() -> None:
        raise SessionsUnavailable

    monkeypatch.setattr(game.core.sessions, "ping", away)
    answer = await game.http.get("/readyz")
    assert (answer.status_code, answer.json()) == (
        503,
        {"status": "not ready", "sql": "ok", "sessions": "away", "realtime": "ok"},
    )
    assert (await game.http.get("/healthz")).status_code == 200


async def test_a_broken_subscription_is_told_and_packets_are_answered_nevertheless(
    game: Game, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(game.core.get(Channels), "trouble", lambda: "the subscription is broken")
    answer = await game.http.get("/readyz")
    assert (answer.status_code, answer.json()["realtime"]) == (200, "the subscription is broken")


async def test_readiness_waits_only_so_long(game: Game, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ops, "READY_SECONDS_MAX", 0.01)
    monkeypatch.setattr(game.core.sessions, "ping", asyncio.Event().wait)
    assert (await game.http.get("/readyz")).status_code == 503


async def test_metrics_count_packets_messages_and_sessions(game: Game) -> None:
    ops.observe(game.core)
    player = await game.player()
    await player.call("playerState", "READ")
    text = (await game.http.get("/metrics")).text
    sessions = re.search(r'^gameserver_sessions\{app="10001"\} (\S+)$', text, re.MULTILINE)
    assert sessions is not None
    assert float(sessions[1]) >= 1  # tests may share a store
    assert 'gameserver_messages_total{operation="playerState.READ",outcome="ok"}' in text
    assert ("gameserver_redis_seconds_count 0.0" in text) == (BACKENDS == "embedded")
    assert "gameserver_sql_seconds_count{" in text
    assert player.profile_id not in text

    def sum_of(sample: str) -> float:
        return sum(float(value) for value in re.findall(rf"^{sample} (\S+)$", text, re.MULTILINE))

    # What is counted is timed as well.
    read = 'operation="playerState.READ"'
    counted = sum_of(rf"gameserver_messages_total\{{{read},.*\}}")
    assert counted == sum_of(rf"gameserver_message_seconds_count\{{{read}\}}") > 0
    assert sum_of(r"gameserver_packets_total\{.*\}") == sum_of("gameserver_packet_seconds_count") > 0


async def test_metrics_are_there_when_sessions_are_not(game: Game, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(_: str) -> int:
        raise SessionsUnavailable

    monkeypatch.setattr(game.core.sessions, "count", away)
    answer = await game.http.get("/metrics")
    assert answer.status_code == 200
    assert "gameserver_packets_total" in answer.text


async def test_what_keeps_sql_from_writing_is_named(game: Game, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse() -> None:
        raise Unavailable("PostgreSQL is read-only")

    monkeypatch.setattr(game.core.database, "check", refuse)
    with capture_logs() as logs:
        answer = await game.http.get("/readyz")
    assert (answer.status_code, answer.json()["sql"]) == (503, "PostgreSQL is read-only")
    [line] = [log for log in logs if log["event"] == "not_ready"]
    assert (line["part"], line["reason"]) == ("sql", "PostgreSQL is read-only")


async def test_a_warning_leaves_the_server_ready(game: Game, monkeypatch: pytest.MonkeyPatch) -> None:
    async def warn() -> str:
        return "Redis may throw sessions away"

    monkeypatch.setattr(game.core.sessions, "ping", warn)
    answer = await game.http.get("/readyz")
    assert answer.status_code == 200
    assert answer.json() == {
        "status": "ready",
        "sql": "ok",
        "sessions": "ok",
        "realtime": "ok",
        "warning": "Redis may throw sessions away",
    }


async def test_the_log_of_a_packet_names_what_the_database_cannot_do(
    game: Game, monkeypatch: pytest.MonkeyPatch
) -> None:
    player = await game.player()

    def refuse(_: object) -> None:
        raise Unavailable("PostgreSQL is read-only")

    monkeypatch.setattr(game.core.database, "write", refuse)
    monkeypatch.setattr(game.core.database, "chance", lambda: 0.0)
    with capture_logs() as logs:
        answer = await player.send(player.body(("playerState", "UPDATE_NAME", {"playerName": "Ada"})))
    assert answer.status_code == 503
    assert "PostgreSQL" not in answer.text
    [line] = [log for log in logs if log["event"] == "packet_postponed"]
    assert line["reason"] == "PostgreSQL is read-only"
