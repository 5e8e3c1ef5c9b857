"""Two copies of a packet that both ran, and commits whose outcome nobody was told: one answer, and what it promised."""

import asyncio
from types import TracebackType
from typing import Any

import pytest

from gameserver.sessions import Session
from gameserver.storage import CommitUnknown, Transaction
from tests.conftest import Game


class CommittedUnheard:
    """A transaction that is committed while the connection breaks."""

    def __init__(self, real: Any) -> None:
        self.real = real

    async def __aenter__(self) -> Transaction:
        entered: Transaction = await self.real.__aenter__()
        return entered

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.real.__aexit__(kind, error, trace)
        if error is None and self.real.writes:
            raise CommitUnknown("the connection broke during the commit")


async def test_a_logout_whose_commit_was_not_heard_of_ends_the_session(
    game: Game, monkeypatch: pytest.MonkeyPatch
) -> None:
    player = await game.player()
    write = game.core.database.write
    with monkeypatch.context() as patch:
        patch.setattr(game.core.database, "write", lambda *payer: CommittedUnheard(write(*payer)))
        body = player.body(
            ("playerState", "UPDATE_NAME", {"playerName": "Ada"}), ("playerState", "LOGOUT", {})
        )
        first = await player.send(body)
    again = await player.send(body)
    assert [entry["status"] for entry in again.json()["responses"]] == [200, 200]
    assert first.status_code == 503 or first.content == again.content
    refused = await player.refused("playerState", "READ")
    assert refused.reason_code == 40304


async def test_of_two_copies_that_only_read_the_first_answer_counts(
    game: Game, monkeypatch: pytest.MonkeyPatch
) -> None:
    player = await game.player()
    finish = game.core.sessions.finish
    others = b'{"packetId":1,"responses":[{"status":200,"data":"of the other copy"}]}'

    async def finish_second(session: Session, packet_id: int, answer: bytes | None) -> bool:
        await finish(session, packet_id, others)
        return await finish(session, packet_id, answer)

    with monkeypatch.context() as patch:
        patch.setattr(game.core.sessions, "finish", finish_second)
        body = player.body(("playerState", "READ", {}))
        first = await player.send(body)
    assert first.status_code == 503
    assert (await player.send(body)).content == others


async def test_a_packet_that_a_later_one_overtakes_is_outdated(
    game: Game, monkeypatch: pytest.MonkeyPatch
) -> None:
    player = await game.player()
    admit = game.core.sessions.admit
    admitted, overtaken = asyncio.Event(), asyncio.Event()

    async def admit_slowly(session_id: str, packet_id: int, body_hash: str, app_id: str) -> Any:
        admission = await admit(session_id, packet_id, body_hash, app_id)
        if packet_id == 1:
            admitted.set()
            await overtaken.wait()
        return admission

    monkeypatch.setattr(game.core.sessions, "admit", admit_slowly)
    slow = asyncio.create_task(
        player.packet(("playerState", "UPDATE_NAME", {"playerName": "Slow"}), packet_id=1)
    )
    await admitted.wait()
    await player.packet(("playerState", "UPDATE_NAME", {"playerName": "Fast"}), packet_id=2)
    overtaken.set()
    [entry] = await slow
    assert (entry["status"], entry["reason_code"]) == (403, 40566)
    [state] = await player.packet(("playerState", "READ", {}), packet_id=3)
    assert state["data"]["playerName"] == "Fast"


async def test_a_copy_that_is_refused_for_what_the_other_did_gives_the_answer_of_the_other(
    game: Game, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both run, because the session store has forgotten that the first one did, as when it fails over."""
    player = await game.player()
    created = await player.call("entity", "CREATE", entityType="hat", data={}, acl={"other": 0})
    body = player.body(("entity", "DELETE", {"entityId": created["entityId"], "version": -1}))
    admit, finish = game.core.sessions.admit, game.core.sessions.finish
    admissions: list[Any] = []
    is_committed, is_answered = asyncio.Event(), asyncio.Event()

    async def admit_anew(session_id: str, packet_id: int, body_hash: str, app_id: str) -> Any:
        if not admissions:
            admissions.append(await admit(session_id, packet_id, body_hash, app_id))
        return admissions[0]

    async def finish_late(session: Session, packet_id: int, answer: bytes | None) -> bool:
        if not is_committed.is_set():
            is_committed.set()
            await is_answered.wait()
        return await finish(session, packet_id, answer)

    monkeypatch.setattr(game.core.sessions, "may_forget", True)
    monkeypatch.setattr(game.core.sessions, "admit", admit_anew)
    monkeypatch.setattr(game.core.sessions, "finish", finish_late)
    first = asyncio.create_task(player.send(body))
    await is_committed.wait()
    second = await player.send(body)
    is_answered.set()
    assert second.json()["responses"] == [{"status": 200, "data": None}]
    assert (await first).content == second.content


async def test_what_was_refused_is_not_done_by_a_copy_that_runs_later(
    game: Game, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As above; and meanwhile there is no more reason to refuse it."""
    ada, bob = await game.player(), await game.player()
    made = await bob.call("entity", "CREATE", entityType="hat", data={"of": "bob"}, acl={"other": 2})
    wanted = {"entityId": made["entityId"], "version": 2, "entityType": "hat", "data": {"of": "ada"}}
    body = ada.body(("entity", "UPDATE_SHARED", wanted | {"targetPlayerId": bob.profile_id}))
    admit = game.core.sessions.admit
    admissions: list[Any] = []
    is_admitted, may_run = asyncio.Event(), asyncio.Event()

    async def admit_anew(session_id: str, packet_id: int, body_hash: str, app_id: str) -> Any:
        if session_id != ada.session_id:
            return await admit(session_id, packet_id, body_hash, app_id)
        if admissions:
            return admissions[0]
        admissions.append(await admit(session_id, packet_id, body_hash, app_id))
        is_admitted.set()
        await may_run.wait()
        return admissions[0]

    monkeypatch.setattr(game.core.sessions, "may_forget", True)
    monkeypatch.setattr(game.core.sessions, "admit", admit_anew)
    first = asyncio.create_task(ada.send(body))
    await is_admitted.wait()
    second = await ada.send(body)
    assert second.json()["responses"][0]["reason_code"] == 40344
    await bob.call("entity", "UPDATE", **wanted | {"version": 1, "data": {"of": "bob"}})
    may_run.set()
    assert (await first).content == second.content
    entity = await bob.call("entity", "READ", entityId=made["entityId"])
    assert entity["data"] == {"of": "bob"}
