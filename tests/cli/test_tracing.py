"""Traces: which spans there are, what they tell, and what they do not."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from gameserver import tracing
from gameserver.faces import ops
from gameserver.rpc.runner import _Run
from tests.cli.running import command
from tests.conftest import Game

sdk = pytest.importorskip("opentelemetry.sdk.trace.export.in_memory_span_exporter")
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Traced:
    """Sends packets to the traced server, and knows what was told of them."""

    def __init__(self, game: Game, application: Any, exporter: Any) -> None:
        self.game, self.exporter = game, exporter
        self.http = httpx.AsyncClient(transport=httpx.ASGITransport(application), base_url="http://game.test")

    async def send(self, body: bytes, **headers: str) -> list[Any]:
        """Send a packet; return its spans, the first one begun first."""
        self.exporter.clear()
        answer = await self.http.post("/dispatcher", content=body, headers=headers)
        assert answer.status_code == 200
        return sorted(self.exporter.get_finished_spans(), key=lambda span: span.start_time)


@pytest.fixture
def apps_folder(apps_folder: Path) -> Path:
    file = apps_folder / "test" / "app.toml"
    file.write_text(file.read_text() + 'signature = "optional"\n[playerStatistics]\ncreate_unknown = true\n')
    return apps_folder


@pytest.fixture
async def traced(game: Game) -> AsyncIterator[Traced]:
    exporter = sdk.InMemorySpanExporter()
    ops.observe(game.core)
    plain, observe = _Run._run_message, game.core.database.observe
    with tracing.traced(game.server_app, exporter) as application:
        made = Traced(game, application, exporter)
        yield made
        await made.http.aclose()
    assert (_Run._run_message, game.core.database.observe) == (plain, observe)  # nothing stays in the way


async def test_a_packet_and_what_it_does(traced: Traced) -> None:
    player = await traced.game.player()
    secret = "nobody is to read this"
    body = player.body(
        ("playerStatistics", "UPDATE", {"statistics": {"wins": 1}}),
        ("playerState", "UPDATE_NAME", {"playerName": secret}),
        ("entity", "READ", {"entityId": secret}),
        ("no", "SUCH", {}),
    )
    packet, *others = await traced.send(body, traceparent=PARENT)
    by_name = {span.name: span for span in others}
    assert packet.name == "POST /dispatcher"
    assert dict(packet.attributes) == {
        "http.request.method": "POST", "url.path": "/dispatcher", "http.response.status_code": 200
    }  # fmt: skip
    assert f"{packet.context.trace_id:032x}" == PARENT.split("-")[1]
    assert f"{packet.parent.span_id:016x}" == PARENT.split("-")[2]
    messages = [span for span in others if span.kind.name == "INTERNAL"]
    assert {span.parent.span_id for span in messages} == {packet.context.span_id}
    assert by_name["entity.READ"].attributes["gameserver.reason_code"] == 40345
    assert "gameserver.reason_code" in by_name["unknown operation"].attributes
    assert "gameserver.reason_code" not in by_name["playerStatistics.UPDATE"].attributes
    trips = [span for span in others if span.name.startswith("SQL ")]
    ids = {packet.context.span_id, *(span.context.span_id for span in messages)}
    assert trips
    assert {span.parent.span_id for span in trips} <= ids
    assert {span.attributes["db.system.name"] for span in trips} == {traced.game.core.database.dialect}
    assert all(packet.start_time <= span.start_time <= span.end_time for span in others)
    told = " ".join(span.to_json() for span in [packet, *others])
    assert secret not in told
    assert player.session_id not in told
    if traced.game.server_app.settings.redis:
        assert [span for span in others if span.name == "Redis EVALSHA"]


async def test_what_nobody_can_read_begins_a_trace_of_its_own(traced: Traced) -> None:
    player = await traced.game.player()
    for wrong in ("", "00-0-0-00", "x" * 5000, PARENT.replace("0af7", "zzzz")):
        packet, *_ = await traced.send(player.body(("time", "READ", {})), traceparent=wrong)
        assert packet.parent is None
    traced.exporter.clear()
    for path in ("/nothing/" + "x" * 1000, "/healthz"):
        await traced.http.get(path)
    names = {span.name for span in traced.exporter.get_finished_spans()}
    assert names == {"GET"}
    assert max(len(span.attributes["url.path"]) for span in traced.exporter.get_finished_spans()) == 256


def test_who_asks_for_traces_without_the_packages_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracing, "NEEDED", "opentelemetry.nothing.like.it")
    done = command(tmp_path, "serve", "--traces")
    assert done.returncode == 2
    assert "pip install" in done.stderr
    assert json.dumps(sorted(path.name for path in tmp_path.iterdir())) == "[]"
