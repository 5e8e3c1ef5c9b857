"""How the scripts of an app are read: exports of other systems, includes, and mistakes with their places."""

from pathlib import Path
from typing import Any

import pytest

from gameserver.app import registry
from gameserver.apps import load_apps
from gameserver.scripts.programs import Programs, ScriptSettings
from tests.contracts.scripts.conftest import Scripts

MARKER = "//*** ------------- brainCloud meta-data begins now - do not hand-edit -----------------"
APP = 'id = "1"\nsecret = "0123456789abcdef0123456789abcdef"\n'


class Folder:
    """The folder of an app, and what is read from it."""

    def __init__(self, path: Path) -> None:
        self.path = path / "demo"
        self.write("app.toml", APP)

    def write(self, name: str, text: str | bytes) -> None:
        file = self.path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text if isinstance(text, bytes) else text.encode())

    def load(self, **scripts: str | bytes) -> tuple[Programs, list[str]]:
        for name, text in scripts.items():
            self.write(f"scripts/{name.replace('__', '/')}.ccjs", text)
        apps = load_apps(self.path.parent, registry().sections(), {})
        assert apps.problems == []
        [app] = apps
        remarks = [str(remark).removeprefix(f"{self.path}/") for remark in apps.remarks]
        return app.section(ScriptSettings).programs, remarks


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def block(*lines: str) -> str:
    return "\n".join([MARKER, *(f"// {line}" for line in lines)])


def test_a_script_without_a_block_is_named_by_its_file_and_callable_by_nobody(folder: Folder) -> None:
    folder.write("scripts/gifts/Send.cloudcode.js", "1")
    folder.write("scripts/Plain.js", "2")
    folder.write("scripts/Plain.test.js", "not read")
    programs, remarks = folder.load(gifts__Take="3")
    assert list(programs) == ["Plain", "gifts/Send", "gifts/Take"]
    assert remarks == []
    one = programs["gifts/Send"]
    assert (one.client_callable, one.s2s_callable, one.peer_callable, one.seconds) == (
        False,
        False,
        False,
        None,
    )


@pytest.mark.parametrize(
    "parms",
    [
        r'"{\"a\": \"b\"}"',  # as JSON alone would have it
        r'"{\\\"a\\\": \\\"b\\\"}"',  # escaped once more
        r'"{\\"a\\": \\"b\\"}"',
        '{"a": "b"}',
    ],
)
def test_the_block_says_what_the_script_is(folder: Folder, parms: str) -> None:
    text = "﻿var a = 1;\r\na\r\n" + block(
        '"scriptName":"Send",',
        '"clientCallable":true,',
        '"s2sCallable":"true",',
        '"scriptTimeout":20,',
        '"description":"Sends",',
        f'"parms":{parms},',
        '"folderPath":"/gifts/new/",',
        '"version":3,',
    ).replace("\n", "\r\n")
    programs, remarks = folder.load(elsewhere=text)
    assert remarks == []
    one = programs["gifts/new/Send"]
    assert (one.client_callable, one.s2s_callable, one.peer_callable) == (True, True, False)
    assert (one.seconds, one.description, one.test_data) == (20, "Sends", {"a": "b"})
    assert one.text == "var a = 1;\na"


def test_escapes_of_the_block_are_those_of_javascript(folder: Folder) -> None:
    lines = (r'"description":"It\'s \u00e9\/\\\"ok\\\"",', '"parms":"{draft"')
    programs, remarks = folder.load(A="1\n" + block(*lines))
    assert remarks == []
    assert programs["A"].description == 'It\'s é/"ok"'
    assert programs["A"].test_data is None


def test_a_block_that_cannot_be_read_breaks_its_script_alone(folder: Folder) -> None:
    programs, remarks = folder.load(Bad="1\n" + block('"scriptName":'), Good="1")
    assert remarks[0].startswith("scripts/Bad.ccjs:2: the block of settings cannot be read: ")
    assert programs["Bad"].problem
    assert not programs["Good"].problem


def test_the_definition_goes_before_the_block(folder: Folder) -> None:
    folder.write(
        "scripts.toml",
        '[scripts]\nseconds = 3.0\nmost_seconds = 30\n[scripts.files."gifts/Send"]\nclient_callable = true\n'
        "[scripts.files.Long]\nseconds = 60.0\n[scripts.files.Sent]\n",
    )
    programs, remarks = folder.load(
        gifts__Send="1", Long="1" + "\n" + block('"scriptTimeout":90,'), Other="1"
    )
    assert programs["gifts/Send"].client_callable
    assert remarks == [
        "scripts.toml:8 scripts.files.Sent: there is no script Sent; there are Long, Other, gifts/Send"
    ]
    [app] = load_apps(folder.path.parent, registry().sections(), {})
    settings = app.section(ScriptSettings)
    assert [settings.limits(programs[name]).seconds for name in ("gifts/Send", "Long")] == [3, 30]


def test_an_app_says_how_long_its_scripts_and_their_packets_take(folder: Folder) -> None:
    long = "1\n" + block('"scriptTimeout":140,')
    programs, _ = folder.load(Long=long)
    [app] = load_apps(folder.path.parent, registry().sections(), {})
    assert (app.section(ScriptSettings).limits(programs["Long"]).seconds, app.stepwise_seconds) == (140, 170)
    folder.write("scripts.toml", "[scripts]\nmost_seconds = 600\n[scripts.files.Long]\nseconds = 500\n")
    programs, remarks = folder.load(Long=long)
    [app] = load_apps(folder.path.parent, registry().sections(), {})
    assert remarks == []
    assert (app.section(ScriptSettings).limits(programs["Long"]).seconds, app.stepwise_seconds) == (500, 630)


def test_two_files_of_one_script_are_told(folder: Folder) -> None:
    folder.write("scripts/A.js", "2")
    programs, remarks = folder.load(A="1")
    assert remarks == ["scripts/A.js:1: scripts/A.ccjs is the script A, too; this one is left out"]
    assert programs["A"].text == "1"


async def test_includes_come_before_the_script(folder: Folder, scripts: Scripts) -> None:
    programs, remarks = folder.load(
        lib__Numbers="// no include below\nconst two = 2",
        lib__Sums="""'use strict';
            bridge.include('Numbers'); bridge.include("/lib/Numbers.ccjs")
            function sum() { return two + two; }""",
        Main="""// first

            /* and
            more */ "use strict";
            bridge.include("lib/Sums.ccjs"); // sums
            sum() + two;""",
    )
    assert remarks == []
    assert await scripts.value(programs["Main"]) == 6


async def test_errors_name_the_authors_file_line_and_column(folder: Folder, scripts: Scripts) -> None:
    programs, _ = folder.load(
        Lib="\n\nfunction fail() {\n  throw new Error('no');\n}",
        Main="bridge.include('Lib');\n\n  fail();",
        Late="bridge.include('Lib'); unknown.member",
    )
    assert (await scripts.run(programs["Main"])).message == "scripts/Lib.ccjs:4:13: Error: no"
    late = await scripts.run(programs["Late"])
    assert late.message == "scripts/Late.ccjs:1:24: ReferenceError: unknown is not defined"


@pytest.mark.parametrize(
    ("text", "remark"),
    [
        ("1\nbridge.include('Lib')", "2: bridge.include stands at the top, before all else"),
        ("var a = 'Lib';\nbridge.include(a)", "2: bridge.include stands at the top"),
        ("bridge.include('Lib2')", '1: there is no script Lib2 to include; did you mean "Lib"?'),
        ("\nbridge.include('Main')", "2: Main includes itself: Main > Main"),
        ("bridge.include('Round')", "1: Main includes itself: Main > Round > Main"),
        ("bridge.include('Broken')\n1", "2: SyntaxError"),
        ("1;\nvar x = ;", "2: SyntaxError: unexpected token in expression: ';'"),
        ("let a; let a;", "1: SyntaxError"),
        ("return 1", "1: SyntaxError"),
        ("\nfor each (var a in list) {}", "2: SyntaxError: Unexpected identifier 'each'"),
        ("for each (var a in list) {}", "Rhino's `for each`"),
        ("try {} catch (e if e.a) {}", "Rhino's `catch (e if …)`"),
        ("var f = function (x) x * x;", "Rhino's function without a block"),
        ("const x;", "a const needs a value"),
        (b"\xff", "1: this is not UTF-8 text"),
        (b"//" + b"x" * 131_073, "1: longer than 131072 bytes, which script_bytes of [scripts] allows"),
    ],
)
def test_what_cannot_run_is_named_with_its_place(folder: Folder, text: str | bytes, remark: str) -> None:
    programs, remarks = folder.load(
        Main=text, Lib="1", Round="bridge.include('Main')", Broken="\nvar y = ;", Good="1"
    )
    assert any(remark in one for one in remarks), remarks
    assert programs["Main"].problem
    assert not programs["Good"].problem


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('eval("function f() { return 1; }"); f()', 1),
        ("typeof (function () { return this; })()", "object"),
        ("if (true) { function inner() { return 2; } } inner()", 2),
        ("var v = 1; typeof delete v", "boolean"),
        ("undeclared = 3; undeclared", 3),
        ("function f() { 'use strict'; return this === undefined; } f()", False),
        ('(function () {\n  "use strict"\n  late = 4; })(); late', 4),
        ("var s = \"{ 'use strict' }\"; s", "{ 'use strict' }"),
        ("function legacy(a, a) { return a; } legacy(1, 2)", 2),
        ("010 + 1", 9),
        ("with ({w: 5}) { w }", 5),
    ],
)
async def test_strict_is_as_loose_as_with_rhino(
    folder: Folder, scripts: Scripts, text: str, value: Any
) -> None:
    programs, remarks = folder.load(Main=f'// strict\n"use strict";\n{text}')
    assert remarks == []
    assert await scripts.value(programs["Main"]) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("let a = 1, {b, ...rest} = {b: 2, c: 3}, [d = 4] = []; [a, b, rest, d]", [1, 2, {"c": 3}, 4]),
        ("class A { #x = 1; get x() { return this.#x ?? 2; } } new A().x", 1),
        ("var r = []; for (const [k, v] of new Map([['a', 1]])) r.push(`${k}${v}`); r", ["a1"]),
        ("function* g() { yield* [1, 2]; } Math.max(...g())", 2),
        ("Object.entries({a: 1}).flat().includes('a') && 'abc'.at(-1)", "c"),
        ("(async () => { for await (const x of [Promise.resolve(7)]) return x; })()", 7),
        ("var proxy = {delete: x => x, class: 1}; proxy.delete(proxy.class)", 1),
        ("main(); function main() { return 'hoisted'; }", "hoisted"),
        ("switch (1) { case 1: 'one' }", "one"),
        ("var x = 5;", None),
    ],
)
async def test_modern_and_old_javascript(folder: Folder, scripts: Scripts, text: str, value: Any) -> None:
    programs, remarks = folder.load(Main=text)
    assert remarks == []
    assert await scripts.value(programs["Main"]) == value


def test_a_script_as_long_as_may_be_runs(folder: Folder) -> None:
    programs, remarks = folder.load(Main=b"//" + b"x" * 131_070)
    assert remarks == []
    assert not programs["Main"].problem


def test_words_in_comments_and_texts_are_no_includes(folder: Folder) -> None:
    text = """1; // bridge.include(x)
        /* bridge.include(x) */ var a = 'bridge.include(x)', b = /"bridge.include(x)/;"""
    assert folder.load(Main=text)[1] == []


@pytest.mark.parametrize(
    ("path", "beside", "found"),
    [
        ("a/b/C", None, "a/b/C"),
        ("/a/b/C.ccjs", None, "a/b/C"),
        ("C", "a/b/D", "a/b/C"),
        ("../E", "a/b/D", "a/E"),
        ("../../../../F", "a/b/D", "F"),
        ("/F", "a/b/D", "F"),
        ("a/E", "a/b/D", "a/E"),
        ("F", "a/b/D", "F"),
        ("c", "a/b/D", None),
        ("", None, None),
        ("..", None, None),
        ("E", "a/b/D", "E"),
    ],
)
def test_scripts_are_found_by_their_paths(folder: Folder, path: str, beside: str | None, found: Any) -> None:
    programs, _ = folder.load(a__b__C="1", a__b__D="1", a__E="1", F="1", E="1")
    program = programs.find(path, None if beside is None else programs[beside])
    assert (program and program.path) == found


def test_old_apps_look_from_the_root_first(folder: Folder) -> None:
    folder.write("scripts.toml", "[scripts]\nroot_paths = true\n")
    programs, _ = folder.load(a__D="1", a__E="1", E="2")
    found = programs.find("E", programs["a/D"])
    assert found is not None
    assert found.text == "2"
