"""What a script gets, and what comes of it."""

from typing import Any

import pytest

from gameserver.scripts.engine import Failure
from gameserver.scripts.programs import RunLimits
from tests.contracts.scripts.conftest import Calls, Scripts


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1 + data.x", 6),
        ("function main() { return {a: [data.x, null]}; }\nmain();", {"a": [5, None]}),
        ("var result = 'text';\nresult;", "text"),
        ("main(); function main() { return true; }", True),
        ("", None),
        ("undefined", None),
        ("(function () {})", None),
        ("Symbol('x')", None),
        ("({a: undefined, b: NaN, c: new Date(0)})", {"b": None, "c": "1970-01-01T00:00:00.000Z"}),
        ("30.0", 30),
        ("message = 'no var'; message", "no var"),
        ('"use strict"; eval("function f() { return 7; }"); f()', 7),
        ("let data = 4; var bridge = bridge; data", 4),
        ("data.list instanceof Array && data.hasOwnProperty('list')", True),
        ("(async () => { await 1; return 7; })()", 7),
    ],
)
async def test_the_result_is_the_value_of_the_last_expression(
    scripts: Scripts, text: str, value: Any
) -> None:
    assert await scripts.value(text, {"x": 5, "list": [1]}) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("new Map([[1, 2]]).get(1) + new WeakSet([data]).has(data)", 3),
        ("[Map.groupBy([1, 2], x => x % 2).size, Object.groupBy([1, 2], x => x % 2)[1].length]", [2, 1]),
        ("[new Float64Array(3).length, new DataView(new ArrayBuffer(4)).getInt8(0)]", [3, 0]),
        ("[btoa('a'), new DOMException('x').message]", ["YQ==", "x"]),
        ("typeof this['Ma' + 'p'] + typeof globalThis['Uint8' + 'Array']", "functionfunction"),
        ("eval('new S' + 'et([1]).size') + [].constructor.constructor('return new M\\u0061p().size')()", 1),
        ("['match', 'matchAll', 'search'].map(name => typeof 'a'[name]('a'))", ["object"] * 2 + ["number"]),
        ("typeof Array['from' + 'Async']([1]).then", "function"),
        ("typeof (async function* () {})().next().then", "function"),
        ("typeof new FinalizationRegistry(() => 1)", "object"),
        ("Promise.all([1, Promise.resolve(2)])", [1, 2]),
        ("10n ** 20n > 1 && new WeakRef(data).deref() === data && Reflect.has(data, 'x')", True),
        ("new Proxy(data, {}).x + new Date(2).getTime()", 7),
    ],
)
async def test_a_script_has_of_the_language_what_it_reaches(scripts: Scripts, text: str, value: Any) -> None:
    assert await scripts.value(text, {"x": 5}) == value


async def test_nothing_of_a_run_is_there_in_the_next(scripts: Scripts) -> None:
    await scripts.run("left = 1; Array.prototype.left = 2; JSON.stringify = null; 0")
    assert await scripts.value("[typeof left, [].left === undefined, JSON.stringify(1)]") == [
        "undefined",
        True,
        "1",
    ]


async def test_a_call_reaches_the_host_and_its_answer_the_script(scripts: Scripts) -> None:
    async def answer(name: str, args: list[Any]) -> Any:
        return {"status": 200, "data": {"list": [1]}}

    host = Calls(answer)
    text = """
        var proxy = bridge.getentityserviceproxy({playerId: "p"});
        var answer = proxy.CreateEntity("kind", undefined, new Date(0));
        answer.data.list.push(bridge.getProfileId().status);
        answer.data.list instanceof Array && answer.data.list;
    """
    assert await scripts.value(text, host=host) == [1, 200]
    assert host.made == [
        ("entity.createEntity", ["kind", None, "1970-01-01T00:00:00.000Z"]),
        ("bridge.getProfileId", []),
    ]
    assert host.sessions == [{"playerId": "p"}, None]


async def test_an_error_of_the_host_is_thrown_where_the_call_stands(scripts: Scripts) -> None:
    async def answer(name: str, args: list[Any]) -> Any:
        return ValueError("no such player")

    text = "try {\n  bridge.getProfileId();\n} catch (e) { [e.message, e.lineNumber, e.fileName] }"
    assert await scripts.value(text, host=Calls(answer)) == ["no such player", 2, "folder/Name.ccjs"]
    result = await scripts.run("\n  bridge.getProfileId()", host=Calls(answer))
    assert (result.failure, result.message) == (
        Failure.THROWN,
        "folder/Name.ccjs:2:10: Error: no such player",
    )


async def test_a_run_ends_when_its_time_is_over(scripts: Scripts) -> None:
    result = await scripts.run("for (;;);", limits=RunLimits(seconds=0.1))
    assert (result.failure, result.message) == (
        Failure.TIMEOUT,
        "folder/Name: it ran for longer than 0.1 seconds",
    )
    assert await scripts.value("1") == 1
