"""Scripts that mean harm, or went wrong: each is one failed run, and the next one is as good as new."""

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from gameserver.scripts import engine as engine_module
from gameserver.scripts import worker as wire
from gameserver.scripts.engine import DEPTH_MAX, Engine, Failure, Reply, Result
from gameserver.scripts.programs import RunLimits
from gameserver.wire.clock import FixedClock
from tests.contracts.scripts.conftest import SURFACE, Calls, Scripts, program

SHORT = RunLimits(seconds=0.2)
MIB = 1 << 20


def pids(engine: Engine) -> list[int]:
    return [worker.pid for worker in engine.workers]


@pytest.mark.parametrize(
    ("text", "failure", "message"),
    [
        ("for (;;);", Failure.TIMEOUT, "ran for longer than 0.2 seconds"),
        ("for (;;) { try { for (;;); } catch (e) {} }", Failure.TIMEOUT, "ran for longer"),
        ("/^(a+)+$/.test('a'.repeat(50) + 'b')", Failure.TIMEOUT, "ran for longer"),
        ("(async () => { for (;;) await 1; })()", Failure.TIMEOUT, "ran for longer"),
        ("({toJSON() { for (;;); }})", Failure.TIMEOUT, "ran for longer"),
        ("({get a() { for (;;); }})", Failure.TIMEOUT, "ran for longer"),
        ("throw {get message() { for (;;); }, toString() { for (;;); }}", Failure.TIMEOUT, ""),
        ("function f() { f(); } f()", Failure.THROWN, "folder/Name.ccjs:1:"),
        ("var a = []; for (;;) a.push(new Array(1000).fill(a.length))", Failure.MEMORY, "out of memory"),
        ("var a = 'x'; for (;;) a += a", Failure.THROWN, "string too long"),
        ("new Array(1e9).join('x')", Failure.TIMEOUT, "ran for longer"),
        ("new ArrayBuffer(1e9)", Failure.MEMORY, "out of memory"),
        ("'x'.repeat(10e6)", Failure.TOO_LARGE, "1048576 are allowed"),
        ("var a = {}; a.a = a; a", Failure.NOT_JSON, "circular"),
        ("[1n]", Failure.NOT_JSON, "BigInt"),
        ("({toJSON() { throw null; }})", Failure.NOT_JSON, "null"),
        ("({get a() { throw new Error('trap'); }})", Failure.NOT_JSON, "trap"),
        ("new Proxy({}, {ownKeys() { throw new Error('trap'); }})", Failure.NOT_JSON, "trap"),
        ("throw null", Failure.THROWN, "null"),
        ("throw undefined", Failure.THROWN, "undefined"),
        ("throw 5", Failure.THROWN, "5"),
        ("throw 5n", Failure.THROWN, "cannot be shown"),
        ("throw Symbol('x')", Failure.THROWN, "undefined"),
        ("throw {a: 1}", Failure.THROWN, '{"a":1}'),
        ("throw {toJSON() { throw 1; }}", Failure.THROWN, "cannot be shown"),
        ("throw new Proxy({}, {ownKeys() { throw 1; }})", Failure.THROWN, "cannot be shown"),
        ("throw Object.defineProperty(new Error('x'), 'stack', {value: {}})", Failure.THROWN, "Error: x"),
        ("throw Object.defineProperty(new Error('x'), 'stack', {get() { throw 1; }})", Failure.THROWN, ""),
        ("throw Object.assign(new Error('x'), {stack: '<input>:99999999:1'})", Failure.THROWN, "Error: x"),
        (
            "throw Object.assign(new Error('x'), {stack: '<input>:' + '9'.repeat(5000) + ':1'})",
            Failure.THROWN,
            "",
        ),
        ("throw new Error('\\ud800\\0')", Failure.THROWN, "Error: "),
        ("throw new Error('x'.repeat(10e6))", Failure.THROWN, "xxx"),
        ("new Promise(() => {})", Failure.UNSETTLED, "a promise that nothing will settle"),
        ("Promise.reject(new Error('no'))", Failure.THROWN, "no"),
        ("Promise.reject(null)", Failure.THROWN, "null"),
        ("({then() { for (;;); }})", None, ""),
        ("bridge.none()", Failure.THROWN, "bridge.none: the bridge has no such function"),
        ("bridge['\\ud800']()", Failure.THROWN, "the bridge has no such function"),
        (
            "bridge.getEntityServiceProxy().none()",
            Failure.THROWN,
            "entity.none: the proxy has no such method",
        ),
        ("bridge.getEntityServiceProxy(null)", Failure.THROWN, "a session that is null"),
        ("bridge.getEntityServiceProxy(undefined)", Failure.THROWN, "a session that is undefined"),
        ("bridge.getProfileId(1n)", Failure.THROWN, "BigInt"),
        ("bridge.getProfileId('x'.repeat(2e6))", Failure.THROWN, "longer than 1048576"),
        ("for (;;) bridge.getProfileId()", Failure.TOO_MANY_CALLS, "more than 1000 calls"),
        ("java.util.HashMap", Failure.THROWN, "java is not defined: scripts run without Java"),
        ("importPackage(1)", Failure.THROWN, "importPackage is not defined: scripts run"),
    ],
)
async def test_a_script_that_fails_is_told_so_and_the_next_one_runs(
    scripts: Scripts, text: str, failure: Failure | None, message: str
) -> None:
    limits = SHORT if failure is Failure.TIMEOUT else RunLimits(seconds=20)
    result = await scripts.run(text, limits=limits)
    assert (result.failure, message in result.message) == (failure, True), result
    assert len(result.message) < 10_000
    assert await scripts.value("[1, bridge.getProfileId()]") == [1, None]


async def test_a_result_as_large_as_may_be(scripts: Scripts) -> None:
    limits = RunLimits(result_bytes=1000)
    assert (await scripts.run("'x'.repeat(998)", limits=limits)).failure is None
    assert (await scripts.run("'x'.repeat(999)", limits=limits)).failure is Failure.TOO_LARGE
    assert (await scripts.run("'é'.repeat(500)", limits=limits)).failure is Failure.TOO_LARGE


async def test_as_many_calls_as_may_be(scripts: Scripts) -> None:
    text = "for (var i = 0; i < data.n; i++) bridge.getProfileId(); i"
    limits = RunLimits(calls=10)
    assert await scripts.value(text, {"n": 10}, limits=limits) == 10
    assert (await scripts.run(text, {"n": 11}, limits=limits)).failure is Failure.TOO_MANY_CALLS


async def test_arguments_as_long_as_may_be(scripts: Scripts) -> None:
    limits = RunLimits(argument_bytes=100)
    text = "try { bridge.getProfileId('x'.repeat(data.n)); true } catch (e) { false }"
    assert await scripts.value(text, {"n": 96}, limits=limits) is True
    assert await scripts.value(text, {"n": 97}, limits=limits) is False


async def test_memory_is_that_of_the_limit(scripts: Scripts) -> None:
    text = "new Uint8Array(data.n).length"
    limits = RunLimits(memory_bytes=8 * MIB)
    assert await scripts.value(text, {"n": 6 * MIB}, limits=limits) == 6 * MIB
    assert (await scripts.run(text, {"n": 8 * MIB}, limits=limits)).failure is Failure.MEMORY


async def test_a_script_that_the_memory_is_too_small_for(scripts: Scripts) -> None:
    result = await scripts.run(f"var long = {'x' * (3 * MIB)!r}; 1", limits=RunLimits(memory_bytes=2 * MIB))
    assert (result.failure, "out of memory" in result.message) == (Failure.MEMORY, True), result


async def test_an_answer_that_the_memory_is_too_small_for(scripts: Scripts) -> None:
    async def answer(name: str, args: list[Any]) -> Any:
        return list(range(200_000))

    limits = RunLimits(memory_bytes=2 * MIB)
    result = await scripts.run("bridge.getProfileId()", host=Calls(answer), limits=limits)
    assert result.failure is Failure.MEMORY


@pytest.mark.parametrize(
    "text",
    [
        "JSON.stringify = JSON.parse = () => 'patched'",
        "Array.prototype.toJSON = () => ['patched']; String.prototype.toJSON = () => 'patched'",
        "Object.prototype.toJSON = () => 'patched'",
        "Object.defineProperty(Object.prototype, '0', {get() { return 'patched'; }, set() {}})",
        "Object.defineProperty(Object.prototype, 'get', {value: () => 'patched'})",
        "Array.prototype[Symbol.iterator] = function* () { yield 'patched'; }",
        "Function.prototype.call = Function.prototype.apply = () => 'patched'",
        "Promise.prototype.then = () => 'patched'",
        "Reflect.get = Reflect.construct = () => 'patched'",
        "Error = Proxy = Promise = Reflect = undefined",
        "Object.prototype.then = function (f) { f('patched'); }",
        "delete globalThis.eval; delete globalThis.JSON",
        "Error.prepareStackTrace = () => { throw 1; }",
        "Error.stackTraceLimit = 0",
        "Object.freeze(globalThis)",
        "globalThis.__ask = globalThis.bridge = 5",
    ],
)
async def test_what_a_script_changes_does_not_break_the_way_to_the_host(scripts: Scripts, text: str) -> None:
    host = Calls()
    held = (
        f"const b = bridge; {text}; b.getProfileId(1, 'a'); try {{ b.none() }} catch (e) {{}} Date.now(); 7"
    )
    assert await scripts.value(held, host=host) == 7
    assert [name for name, _ in host.made] == ["bridge.getProfileId"]
    assert await scripts.value("[1, JSON.stringify({a: [1]})]") == [1, '{"a":[1]}']


async def test_a_script_finds_nothing_of_the_process(scripts: Scripts) -> None:
    names = await scripts.value("Object.getOwnPropertyNames(globalThis)")
    assert {"data", "bridge"} <= set(names)
    assert not {"performance", "java", *(name for name in names if name.startswith("_"))} & set(names)
    absent = ["std", "os", "console", "print", "require", "process", "setTimeout", "navigator", "fetch", "gc"]
    assert await scripts.value(f"{absent}.filter(name => name in globalThis)") == []
    text = "Error.prepareStackTrace = (e, f) => f.map(g => typeof g.getThis?.()); new Error().stack"
    assert await scripts.value(text) is not None


@pytest.mark.skipif(sys.platform != "linux", reason="what the system shows of a process")
async def test_the_process_has_no_files_no_environment_and_no_rights(scripts: Scripts) -> None:
    await scripts.value("1")
    [pid] = pids(scripts.engine)
    proc = Path(f"/proc/{pid}")
    assert proc.joinpath("environ").read_bytes() == b""
    assert proc.joinpath("cwd").readlink() == Path("/")
    assert {int(fd.name) for fd in proc.joinpath("fd").iterdir()} == {0, 1, 2}
    status = dict(line.split(":\t", 1) for line in proc.joinpath("status").read_text().splitlines())
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    limits = proc.joinpath("limits").read_text()
    for row in (
        "Max open files            3 ",
        "Max processes             0 ",
        "Max file size             0 ",
    ):
        assert row in limits


async def test_a_process_that_is_killed_is_one_failed_run(scripts: Scripts) -> None:
    async def kill(name: str, args: list[Any]) -> Any:
        [pid] = pids(scripts.engine)
        os.kill(pid, signal.SIGKILL)

    result = await scripts.run("bridge.getProfileId(); 1", host=Calls(kill))
    assert (result.failure, result.message) == (
        Failure.KILLED,
        "folder/Name: the process that ran it ended",
    )
    assert await scripts.value("1") == 1


async def test_a_process_that_is_killed_between_runs_is_replaced(scripts: Scripts) -> None:
    await scripts.value("1")
    [worker] = scripts.engine.workers
    os.kill(worker.pid, signal.SIGKILL)
    await worker.gone.wait()
    assert await scripts.value("2") == 2


async def test_processes_that_are_gone_leave_no_open_files(scripts: Scripts) -> None:
    def open_files() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    await scripts.value("1")  # what is opened once is open
    [first] = scripts.engine.workers
    first.kill()
    await first.gone.wait()
    before = open_files()
    for _ in range(3):
        long = "x" * MIB
        assert (
            await scripts.value("data.long", {"long": long}, limits=RunLimits(result_bytes=2 * MIB)) == long
        )
        [worker] = scripts.engine.workers
        worker.kill()
        await worker.gone.wait()
    assert open_files() == before


async def test_a_process_whose_pipe_has_just_been_closed_is_one_failed_run(scripts: Scripts) -> None:
    def write(_: bytes) -> None:
        raise RuntimeError("the handler is closed")

    async def close(name: str, args: list[Any]) -> Any:
        [worker] = scripts.engine.workers
        worker._write = write

    result = await scripts.run("bridge.getProfileId(); 1", host=Calls(close))
    assert result.failure is Failure.KILLED
    assert await scripts.value("1") == 1


async def test_scripts_run_uncompiled_where_the_library_has_another_form(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    program_of = "import os, sys; '--plain' in sys.argv or os.abort(); os.execv(sys.argv[1], sys.argv[1:])"
    command = (sys.executable, "-c", program_of, *engine_module.COMMAND)
    monkeypatch.setattr(engine_module, "COMMAND", command)
    engine = Engine(FixedClock(), workers=1)
    try:
        assert await Scripts(engine).value("7") == 7
        assert "scripts run uncompiled" in caplog.text
    finally:
        await engine.close()


async def test_a_process_that_is_killed_while_it_starts_is_replaced_by_one_of_its_kind(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    flag = tmp_path / "killed"
    program_of = (
        f"import os, pathlib, signal, sys; flag = pathlib.Path({str(flag)!r}); killed = flag.exists();"
        "flag.unlink(missing_ok=True);"
        "killed and os.kill(os.getpid(), signal.SIGKILL); os.execv(sys.argv[1], sys.argv[1:])"
    )
    monkeypatch.setattr(engine_module, "COMMAND", (sys.executable, "-c", program_of, *engine_module.COMMAND))
    engine = Engine(FixedClock(), workers=1)
    try:
        scripts = Scripts(engine)
        assert await scripts.value("7") == 7
        [worker] = engine.workers
        os.kill(worker.pid, signal.SIGKILL)
        await worker.gone.wait()
        flag.touch()
        assert await scripts.value("8") == 8
        assert not flag.exists()
        assert "uncompiled" not in caplog.text
    finally:
        await engine.close()


@pytest.mark.parametrize(
    "frames",
    [
        [b"nonsense"],
        [wire.pack(wire.READY), b"\xff\xff\xff\xff"],
        [wire.pack(wire.READY), wire.pack(b"X")],
        [wire.pack(wire.READY), wire.pack(wire.DONE)],
        [wire.pack(wire.READY), wire.pack(wire.DONE, b"none", b"", b"", b"")],
        [wire.pack(wire.READY), wire.pack(wire.DONE, b"thrown", b"", b"[1]", b"")],
        [wire.pack(wire.READY), wire.pack(wire.CALL, b"bridge.getProfileId")],
        [wire.pack(wire.READY), wire.pack(wire.CALL, b"\xff", b"[]", b"", b""), wire.pack(wire.READY)],
        [wire.pack(wire.READY), b"\x05\0\0\0D\xff\0\0\0"],
        [wire.pack(wire.READY), b"\x00\0\0\0"],
        [wire.pack(wire.READY), b"\x06\0\0\0D\x01\xff\0\0\0"],
        [wire.pack(wire.READY), b"\x08\0\0\0D\x01\x01\0\0\0XX"],
    ],
)
async def test_a_process_that_talks_nonsense(frames: list[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    program_of = (
        f"import os, time; [os.write(1, frame) for frame in {frames!r}]; os.read(0, 9999); os.read(0, 9)"
    )
    monkeypatch.setattr(engine_module, "COMMAND", (sys.executable, "-c", program_of))
    monkeypatch.setattr(engine_module, "START_SECONDS", 2.0)
    engine = Engine(FixedClock(), workers=1, plain=True)
    try:
        assert (await Scripts(engine).run("7")).failure is Failure.KILLED
    finally:
        await engine.close()


async def test_a_process_that_talks_without_end_while_nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    ready, done = wire.pack(wire.READY), wire.pack(wire.DONE, b"", b"7", b"", b"")
    program_of = (
        f"import os; os.write(1, {ready!r}); os.read(0, 9999); os.write(1, {done!r}); os.read(0, 9999);"
    )
    program_of += f"[os.write(1, bytes({MIB})) for _ in range(32)]; os.read(0, 9)"
    monkeypatch.setattr(engine_module, "COMMAND", (sys.executable, "-c", program_of))
    engine = Engine(FixedClock(), workers=1, plain=True)
    try:
        assert await Scripts(engine).value("7") == 7
        [worker] = engine.workers
        worker._send(b"go on")
        async with asyncio.timeout(10):
            await worker.gone.wait()
    finally:
        await engine.close()


async def test_no_process_can_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_module, "COMMAND", (sys.executable, "-c", "raise SystemExit('no reason')"))
    engine = Engine(FixedClock(), workers=1)
    try:
        for _ in range(3):
            result = await Scripts(engine).run("7")
            assert (result.failure, result.message) == (
                Failure.KILLED,
                "no process could be started: the process that runs scripts did not start",
            )
    finally:
        await engine.close()


async def test_a_thousand_throws_leave_the_processes_as_they_are(scripts: Scripts) -> None:
    await scripts.run("1")
    before = pids(scripts.engine)
    for _ in range(1000):
        assert (await scripts.run("throw new Error('again')")).failure is Failure.THROWN
    assert pids(scripts.engine) == before


async def test_whoever_goes_away_frees_the_process(scripts: Scripts) -> None:
    called = asyncio.Event()

    async def wait(name: str, args: list[Any]) -> Any:
        called.set()
        await asyncio.Event().wait()

    runs = [asyncio.create_task(scripts.run("bridge.getProfileId()", host=Calls(wait))) for _ in range(2)]
    await called.wait()
    for run in runs:
        run.cancel()
    await asyncio.gather(*runs, return_exceptions=True)
    assert await asyncio.gather(*(scripts.value("1") for _ in range(4))) == [1] * 4


async def test_who_runs_and_who_waits_go_away_at_once(scripts: Scripts) -> None:
    called = asyncio.Event()

    async def wait(name: str, args: list[Any]) -> Any:
        called.set()
        await asyncio.Event().wait()

    runs = [asyncio.create_task(scripts.run("bridge.getProfileId()", host=Calls(wait))) for _ in range(5)]
    await called.wait()
    for run in runs:
        run.cancel()
    gone = await asyncio.gather(*runs, return_exceptions=True)
    assert [type(each) for each in gone] == [asyncio.CancelledError] * 5
    assert await asyncio.gather(*(scripts.value("1") for _ in range(4))) == [1] * 4


async def test_a_host_that_is_silent_ends_with_the_time_of_the_run(scripts: Scripts) -> None:
    async def wait(name: str, args: list[Any]) -> Any:
        await asyncio.Event().wait()

    results = await asyncio.gather(
        *(scripts.run("bridge.getProfileId()", host=Calls(wait), limits=SHORT) for _ in range(4))
    )
    assert {result.failure for result in results} == {Failure.TIMEOUT}
    assert await scripts.value("1") == 1


@pytest.mark.parametrize("kind", [RuntimeError, ValueError, TimeoutError, ConnectionResetError])
async def test_an_error_in_the_host_is_the_callers_and_leaves_no_process_behind(
    scripts: Scripts, kind: type[Exception]
) -> None:
    class Broken:
        async def call(self, name: str, args: bytes, session: bytes, drawn: bytes) -> Reply:
            raise kind("a mistake of ours")

    with pytest.raises(kind, match="of ours"):
        await scripts.run("try { bridge.getProfileId() } catch (e) {}", host=Broken())
    assert await scripts.value("1") == 1


def nested(engine: Engine, text: str, results: list[Result]) -> Callable[[str, list[Any]], Awaitable[Any]]:
    """Answer callScript by running a text, in which callScript means the same."""

    async def answer(name: str, args: list[Any]) -> Any:
        result = await engine.run(
            program(text, "folder/Inner"), b"{}", Calls(answer), SURFACE, RunLimits(seconds=20)
        )
        results.append(result)
        return result.message or result.value.decode()

    return answer


async def test_scripts_that_call_scripts_need_one_process(scripts: Scripts) -> None:
    results: list[Result] = []
    text = "typeof left + (left = bridge.getProfileId)"
    host = Calls(nested(scripts.engine, "left = 2; [typeof data.x, 2]", results))
    many = [scripts.value("left = 1; [bridge.callScript('x'), left]", {"x": 1}, host=host) for _ in range(8)]
    assert await asyncio.gather(*many) == [['["undefined",2]', 1]] * 8
    assert len(scripts.engine.workers) <= 2
    assert await scripts.value(f"{text}; typeof data.x") == "undefined"


async def test_scripts_that_call_each_other_stop_at_a_depth(scripts: Scripts) -> None:
    results: list[Result] = []
    host = Calls(nested(scripts.engine, "bridge.callScript('x')", results))
    await scripts.value("bridge.callScript('x')", host=host)
    assert len(results) == DEPTH_MAX + 1
    assert results[0].failure is Failure.TOO_DEEP
    assert [result.failure for result in results[1:]] == [None] * DEPTH_MAX


async def test_a_script_that_throws_below_another_harms_it_not(scripts: Scripts) -> None:
    results: list[Result] = []
    host = Calls(nested(scripts.engine, "var a = []; for (;;) a.push(a.length)", results))
    assert "out of memory" in await scripts.value("bridge.callScript('x')", host=host)


async def test_a_script_below_another_is_in_its_time(scripts: Scripts) -> None:
    async def answer(name: str, args: list[Any]) -> Any:
        inner = program("for (;;);", "folder/Inner")
        result = await scripts.engine.run(inner, b"{}", Calls(), SURFACE, RunLimits(seconds=100))
        return result.message

    text = "bridge.callScript('x'); for (;;);"
    result = await scripts.run(text, host=Calls(answer), limits=SHORT)
    assert (result.failure, "folder/Name" in result.message) == (Failure.TIMEOUT, True)
    assert await scripts.value("1") == 1


async def test_a_script_replaced_while_it_runs_ends_as_it_began(scripts: Scripts) -> None:
    async def replace(name: str, args: list[Any]) -> Any:
        return await scripts.value("'new'")

    assert await scripts.value("[bridge.getProfileId(), 'old']", host=Calls(replace)) == ["new", "old"]
    assert await scripts.value("[bridge.getProfileId(), 'newer']", host=Calls()) == [None, "newer"]


async def test_more_programs_than_a_process_remembers(scripts: Scripts) -> None:
    for number in range(450):
        assert await scripts.value(f"{number % 230}") == number % 230


async def test_a_player_and_an_app_run_so_many_scripts_at_once() -> None:
    engine = Engine(FixedClock(), workers=2)
    scripts = Scripts(engine)
    going, release = asyncio.Event(), asyncio.Event()

    async def wait(name: str, args: list[Any]) -> Any:
        going.set()
        await release.wait()

    limits = RunLimits(seconds=20, runs_per_app=4, runs_per_player=2)

    def start(player: str) -> asyncio.Task[Result]:
        return asyncio.create_task(
            scripts.run("bridge.getProfileId()", host=Calls(wait), limits=limits, player=player)
        )

    try:
        running = [start("p"), start("p")]
        await going.wait()
        refused = await scripts.run("1", limits=limits, player="p")
        assert (refused.failure, refused.message) == (Failure.BUSY, "2 scripts of this player run already")
        running += [start("q"), start("")]
        await asyncio.sleep(0)
        refused = await scripts.run("1", limits=limits, player="r")
        assert (refused.failure, refused.message) == (Failure.BUSY, "4 scripts of this app run already")
        release.set()
        assert [(await run).failure for run in running] == [None] * 4
        assert await scripts.value("1", limits=limits, player="p") == 1
    finally:
        release.set()
        await engine.close()


async def test_apps_take_turns_and_nobody_waits_for_ever() -> None:
    engine = Engine(FixedClock(), workers=1)
    scripts = Scripts(engine)
    going, release = asyncio.Event(), asyncio.Event()
    order: list[str] = []

    async def wait(name: str, args: list[Any]) -> Any:
        going.set()
        await release.wait()

    async def run(app_id: str) -> None:
        await scripts.value(program("1", app_id=app_id))
        order.append(app_id)

    try:
        first = asyncio.create_task(scripts.run("bridge.getProfileId()", host=Calls(wait)))
        await going.wait()
        refused = await scripts.run("1", limits=RunLimits(wait_seconds=0.05))
        assert refused.failure is Failure.BUSY
        waiting = [asyncio.create_task(run(app)) for app in ("a", "a", "a", "b", "c", "b")]
        await asyncio.sleep(0)
        waiting[1].cancel()
        release.set()
        await asyncio.gather(first, *waiting, return_exceptions=True)
        assert order == ["a", "b", "c", "a", "b"]
    finally:
        release.set()
        await engine.close()
