import asyncio
import threading
from collections.abc import Iterator

import pytest
from argon2 import PasswordHasher

from gameserver.players.passwords import PASSWORD_BYTES_MAX, Busy, Passwords, UnusablePassword


@pytest.fixture
def passwords() -> Iterator[Passwords]:
    made = Passwords(memory_kib=8, passes=1, threads=1)
    yield made
    made.close()


async def test_a_password_matches_its_digest_alone(passwords: Passwords) -> None:
    digest = await passwords.hash("correct horse")
    assert digest.startswith("$argon2id$v=19$m=8,t=1,p=1$")
    assert "correct" not in digest
    assert await passwords.verify(digest, "correct horse")
    assert not await passwords.verify(digest, "Correct horse")
    assert not await passwords.verify(digest, "")
    assert await passwords.hash("correct horse") != digest


async def test_the_same_letters_match_however_they_were_composed(passwords: Passwords) -> None:
    digest = await passwords.hash("caf\u00e9")
    assert await passwords.verify(digest, "cafe\u0301")
    assert not await passwords.verify(digest, "cafe")


async def test_the_default_cost_is_what_owasp_advises() -> None:
    passwords = Passwords()
    digest = await passwords.hash("x")
    passwords.close()
    assert digest.startswith("$argon2id$v=19$m=19456,t=2,p=1$")


async def test_nobody_has_no_password_but_costs_the_same_work(
    passwords: Passwords, monkeypatch: pytest.MonkeyPatch
) -> None:
    verified: list[str] = []
    verify = PasswordHasher.verify

    def spy(self: PasswordHasher, digest: str, password: bytes) -> bool:
        verified.append(digest)
        return verify(self, digest, password)

    monkeypatch.setattr(PasswordHasher, "verify", spy)
    real = await passwords.hash("x")
    assert await passwords.verify(real, "x")
    assert not await passwords.verify(None, "x")
    nobody = verified[1]
    assert nobody.split("$")[:4] == real.split("$")[:4]
    assert [len(part) for part in nobody.split("$")] == [len(part) for part in real.split("$")]


async def test_a_damaged_digest_refuses_and_is_logged(
    passwords: Passwords, caplog: pytest.LogCaptureFixture
) -> None:
    for damaged in ("", "plain text", "$argon2id$v=19$m=8,t=1,p=1$x$y"):
        assert not await passwords.verify(damaged, "plain text")
    assert "damaged" in caplog.text
    assert "plain text" not in caplog.text


async def test_digests_of_another_cost_are_outdated(passwords: Passwords) -> None:
    digest = await passwords.hash("x")
    assert not passwords.outdated(digest)
    dearer = Passwords(memory_kib=16, passes=1, threads=1)
    assert dearer.outdated(digest)
    assert await dearer.verify(digest, "x")
    assert dearer.outdated("damaged")
    dearer.close()


async def test_what_can_be_nobodys_password_is_refused(passwords: Passwords) -> None:
    longest = "é" * (PASSWORD_BYTES_MAX // 2)
    assert await passwords.verify(await passwords.hash(longest), longest)
    for text in (longest + "x", "x" * (PASSWORD_BYTES_MAX + 1), "\ud800"):
        with pytest.raises(UnusablePassword):
            await passwords.hash(text)
        with pytest.raises(UnusablePassword):
            await passwords.verify(None, text)


async def test_too_many_waiting_are_refused_and_others_served(monkeypatch: pytest.MonkeyPatch) -> None:
    gate, started = threading.Event(), threading.Event()

    def slow_hash(_: object, password: bytes) -> str:
        started.set()
        assert gate.wait(10)
        return password.decode()

    monkeypatch.setattr(PasswordHasher, "hash", slow_hash)
    passwords = Passwords(memory_kib=8, passes=1, threads=1, waiting_max=2)
    running = asyncio.create_task(passwords.hash("running"))
    assert await asyncio.to_thread(started.wait, 10)
    waiting = [asyncio.create_task(passwords.hash(text)) for text in ("first", "second")]
    await asyncio.sleep(0)
    with pytest.raises(Busy):
        await passwords.hash("third")
    waiting[0].cancel()  # a player who hangs up gives the place back
    await asyncio.wait([waiting[0]])
    third = asyncio.create_task(passwords.hash("third"))
    await asyncio.sleep(0)
    with pytest.raises(Busy):
        await passwords.hash("fourth")
    gate.set()
    assert [*await asyncio.gather(running, waiting[1], third)] == ["running", "second", "third"]
    assert await passwords.hash("fifth") == "fifth"
    passwords.close()


async def test_a_network_that_sends_hundreds_keeps_nobody_else_waiting() -> None:
    passwords = Passwords(memory_kib=64, passes=1, threads=1)
    digest = await passwords.hash("right")
    done: list[str] = []

    async def log_in(network: str) -> None:
        try:
            assert await passwords.verify(digest, "right", network)
        except Busy:
            done.append("busy")
        else:
            done.append(network)

    flood = [asyncio.create_task(log_in("192.0.2.1")) for _ in range(300)]
    await asyncio.sleep(0)
    honest = [asyncio.create_task(log_in(f"198.51.100.{n}")) for n in range(3)]
    await asyncio.gather(*honest)
    assert done.count("192.0.2.1") <= 4  # one that ran already, and one turn for each of the three
    await asyncio.gather(*flood)
    assert done.count("busy") == 300 - 17  # one runs, sixteen wait
    passwords.close()


async def test_a_processor_is_left_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    for processors, threads in ((1, 1), (2, 1), (4, 3), (64, 4)):
        monkeypatch.setattr("os.cpu_count", lambda processors=processors: processors)
        passwords = Passwords(memory_kib=8, passes=1)
        assert passwords._pool._max_workers == threads
        passwords.close()


async def test_who_waits_when_it_closes_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    gate = threading.Event()
    monkeypatch.setattr(PasswordHasher, "hash", lambda *_: gate.wait(10))
    passwords = Passwords(memory_kib=8, passes=1, threads=1)
    running, waiting = (asyncio.create_task(passwords.hash(text)) for text in ("running", "waiting"))
    await asyncio.sleep(0)
    gate.set()
    passwords.close()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert await running
