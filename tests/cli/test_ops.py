import asyncio
import re

import pytest

from gameserver.faces import ops
from gameserver.sessions import SessionsUnavailable
from tests.conftest import BACKENDS, Game


async def test_alive_and_ready(game: Game) -> None:
    assert (await game.http.get("/healthz")).json() == {"status": "alive"}
    ready = await game.http.get("/readyz")
    assert (ready.status_code, ready.json()) == (200, {"status": "ready", "sql": "ok", "sessions": "ok"})


async def test_not_ready_names_what_is_away(game: Game, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away() -> None:
        raise SessionsUnavailable

    monkeypatch.setattr(game.core.sessions, "ping", away)
    answer = await game.http.get("/readyz")
    assert (answer.status_code, answer.json()) == (
        503,
        {"status": "not ready", "sql": "ok", "sessions": "away"},
    )
    assert (await game.http.get("/healthz")).status_code == 200


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


async def test_metrics_are_there_when_sessions_are_not(game: Game, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(_: str) -> int:
        raise SessionsUnavailable

    monkeypatch.setattr(game.core.sessions, "count", away)
    answer = await game.http.get("/metrics")
    assert answer.status_code == 200
    assert "gameserver_packets_total" in answer.text
