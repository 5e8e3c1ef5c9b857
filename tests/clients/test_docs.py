"""The documents build without a warning, their links lead somewhere, and what they show runs."""

import base64
import json
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from gameserver.cli.commands import app
from gameserver.players.webhooks import signing
from tests.clients.pages import DOCS, ROOT, SECONDS, blocks, ran
from tests.processes import Process, serve
from tests.servers import missing

PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
LINK = re.compile(r"\]\((?!https?:)([^)#]+)(#[^)]*)?\)")
APP = 'id = "20001"\nsecret = "a secret of the tests"\n'


def node(text: str, folder: Path, packages: str, **environment: str) -> str:
    """Run what stands in a page, with the packages of one of the folders beside this file."""
    modules = Path(__file__).parent / packages / "node_modules"
    if shutil.which("node") is None or not modules.exists():
        missing(f"node and the packages of tests/clients/{packages}")
    (folder / "page.cjs").write_text(text)
    return ran(["node", "page.cjs"], folder, NODE_PATH=str(modules), **environment)


def at(server: Process, text: str) -> str:
    assert "http://127.0.0.1:8080" in text
    return text.replace("http://127.0.0.1:8080", server.url)


def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    ran(command, ROOT, NO_MKDOCS_2_WARNING="1")
    assert (tmp_path / "site" / "first-player" / "index.html").is_file()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target, _ in LINK.findall(page.read_text("utf-8")):
        assert (page.parent / target).exists(), f"{page.name} links {target}"


COMMAND = re.compile(r"(?:^|[`&|(] *|^.*/bin/)gameserver (?=[a-z])([^`|&\n#]*)", re.MULTILINE)
FILE = re.compile(r"`((?:clients|docs|protocol|tests|gameserver)/[\w./~-]+)`")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_and_files_that_a_page_names_exist(page: Path) -> None:
    text = page.read_text("utf-8")
    assert [name for name in FILE.findall(text) if not (ROOT / name).exists()] == []
    for words in COMMAND.findall(text):
        command: Any = get_command(app)
        given = [word.rstrip(".,;:)") for word in words.split()]
        while given and hasattr(command, "commands"):
            name = given.pop(0)
            assert name in command.commands, f"gameserver {words}: there is no {name}"
            command = command.commands[name]
        known = {option for parameter in command.params for option in parameter.opts} | {"--help"}
        unknown = [word for word in given if word.startswith("--") and word.partition("=")[0] not in known]
        assert unknown == [], f"gameserver {words}"


def test_the_first_page_leads_to_every_page() -> None:
    first = PAGES[0].read_text("utf-8")
    missed = [page.name for page in PAGES[1:] if f"(docs/{page.relative_to(DOCS)})" not in first]
    assert missed == ["index.md"]


def test_the_first_lines_of_all(tmp_path: Path) -> None:
    with serve(tmp_path) as server:
        [script] = [block for block in blocks("README.md", "sh") if block.startswith("curl ")]
        [program] = blocks("README.md", "python")
        assert '"status":200' in ran(["bash", "-euc", at(server, script)], tmp_path)
        assert ran([sys.executable, "-W", "error", "-c", at(server, program)], tmp_path).strip()


def test_a_user_of_backendless(tmp_path: Path) -> None:
    [toml], [program] = blocks("docs/backendless.md", "toml"), blocks("docs/backendless.md", "js")
    (tmp_path / "apps" / "test").mkdir(parents=True)
    rules = "[login]\npassword_min_length = 8\nrefuse_common_passwords = true\n"  # as in the sample app
    (tmp_path / "apps" / "test" / "app.toml").write_text(APP + rules + toml)
    with serve(tmp_path) as server:
        told = node(program, tmp_path, "js_backendless", SERVER_URL=server.url)
    assert "AuthenticatedUser" in told


def test_receivers_know_our_webhooks_from_others(tmp_path: Path) -> None:
    """The functions of the page take what is signed with either secret, and nothing else."""
    [python], [js] = blocks("docs/webhooks.md", "python"), blocks("docs/webhooks.md", "js")
    secrets = ["whsec_" + base64.b64encode(letter * 24).decode() for letter in (b"a", b"b", b"c")]
    body = '{"data":{"n":"\u00e9"}}'.encode()
    now = int(time.time())
    cases: list[tuple[bool, str, dict[str, str], str]] = []
    for expected, secret, sent, got in (
        (True, secrets[0], now, body),
        (True, secrets[1], now, body),
        (False, secrets[2], now, body),
        (False, secrets[0], now, body + b" "),
        (False, secrets[0], now - 600, body),
    ):
        headers = dict(signing.headers(secrets[:2], "msg1", sent, body))
        cases.append((expected, secret, headers, got.decode()))
    forged = dict(signing.headers(secrets[:1], "msg1", now, body)) | {"webhook-id": "msg2"}
    cases.append((False, secrets[0], forged, body.decode()))
    cases.append((False, secrets[0], forged | {"webhook-signature": "v1,x v2,"}, body.decode()))
    (tmp_path / "cases.json").write_text(json.dumps(cases))
    check = "\nimport json\nfor right, key, headers, body in json.load(open('cases.json')):\n"
    check += "    assert is_ours(key, headers, body.encode()) is right, headers\n"
    ran([sys.executable, "-W", "error::SyntaxWarning", "-c", python + check], tmp_path)
    check = (
        'for (const [right, key, headers, body] of JSON.parse(require("fs").readFileSync("cases.json")))\n'
    )
    check += (
        "  if (isOurs(key, headers, Buffer.from(body)) !== right) throw new Error(JSON.stringify(headers));\n"
    )
    node(js + check, tmp_path, "js")


def test_what_the_page_on_webhooks_declares(tmp_path: Path) -> None:
    folder = tmp_path / "apps" / "test"
    folder.mkdir(parents=True)
    (folder / "app.toml").write_text(APP)
    (folder / "webhooks.toml").write_text("".join(blocks("docs/webhooks.md", "toml")))
    command = [sys.executable, "-m", "gameserver", "check", "--apps", str(tmp_path / "apps")]
    ran(command, tmp_path, CRM_WEBHOOK_SECRET="whsec_" + "k" * 32)


def test_a_chat(tmp_path: Path) -> None:
    """What the page shows, with what stands before and behind it in a game."""
    [toml], [program] = blocks("docs/chat.md", "toml"), blocks("docs/chat.md", "python")
    chat, _moderation = blocks("docs/chat.md", "js")
    (tmp_path / "apps" / "test").mkdir(parents=True)
    (tmp_path / "apps" / "test" / "app.toml").write_text(APP.replace("20001", "10001") + toml)
    with serve(tmp_path) as server:
        log_in = (
            "import builtins, threading\nfrom gameserver_client import Client\n"
            "heard = threading.Event()\n"
            "def print(*told):\n"
            "    builtins.print(*told)\n"
            "    if 'INCOMING' in str(told): heard.set()\n"
            f"client = Client({server.url!r}, '10001', 'a secret of the tests')\n"
            "client.authenticate_anonymous()\n"
        )
        waits = f"    assert heard.wait({SECONDS / 2})\n"
        ran([sys.executable, "-c", f"{log_in}{program}{waits}client.close()"], tmp_path)
        told = node(
            GAME.replace("CHAT", chat),
            tmp_path,
            "js",
            SERVER_URL=server.url,
            APP_ID="10001",
            APP_SECRET="a secret of the tests",
            ENVIRONMENT=str(ROOT / "tests" / "clients" / "js" / "environment.js"),
        )
    assert "INCOMING Hello" in told.splitlines()


GAME = """
const { client } = require(process.env.ENVIRONMENT);
globalThis.WebSocket = require("ws");
navigator.userAgent = "node";
const game = client("chat");
const show = (operation, id, name, text) => (console.log(operation, text), process.exit());
const tryAgainLater = console.error;
game.authenticateAnonymous(() => {
  CHAT
});
"""


def test_the_game_for_a_terminal(tmp_path: Path) -> None:
    examples = DOCS / "examples"
    guesses = "".join(f"{number}\n" for number in range(1, 101))
    with serve(tmp_path, "--apps", str(examples / "apps")) as server:
        for typed in (f"Ada\n{guesses}", f"no number\n{guesses}"):  # the second time she is known
            done = subprocess.run(
                [sys.executable, "-W", "error", str(examples / "console" / "game.py"), server.url],
                cwd=tmp_path,
                input=typed,
                capture_output=True,
                text=True,
                timeout=SECONDS,
                check=False,
            )
            assert done.returncode == 0, done.stderr
            assert re.search(r"\d+ points.*\n +1 Ada +\d+\n$", done.stdout)


def test_the_recipes_are_those_that_are_tested(tmp_path: Path) -> None:
    apps = DOCS / "examples" / "apps"
    page = (DOCS / "recipes.md").read_text("utf-8")
    scripts = sorted((apps / "recipes" / "scripts").glob("*.js"))
    recipes = [path for path in scripts if not path.name.endswith(".test.js")]
    assert [path.name for path in recipes if f"```js\n{path.read_text('utf-8')}```" not in page] == []
    definition = (apps / "recipes" / "app.toml").read_text("utf-8")
    assert [part for part in blocks("docs/recipes.md", "toml") if part not in definition] == []
    command = [sys.executable, "-m", "gameserver", "script", "test", "--apps", str(apps), "--app", "recipes"]
    told = ran(command, tmp_path)
    assert sorted(re.findall(r"^passed +(\w+)\.test$", told, re.MULTILINE)) == [path.stem for path in recipes]
