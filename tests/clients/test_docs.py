"""The documents build without a warning, their links lead somewhere, and what they show runs."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import Process, serve
from tests.servers import missing

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
LINK = re.compile(r"\]\((?!https?:)([^)#]+)(#[^)]*)?\)")
SECONDS = 60
APP = 'id = "20001"\nsecret = "a secret of the tests"\n'


def blocks(page: str, kind: str) -> list[str]:
    """The code of a page in one language."""
    return re.findall(rf"^```{kind}\n(.*?)^```$", (ROOT / page).read_text("utf-8"), re.DOTALL | re.MULTILINE)


def ran(command: list[str], folder: Path, **environment: str) -> str:
    done = subprocess.run(
        command,
        cwd=folder,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def node(text: str, folder: Path, packages: str, **environment: str) -> str:
    """Run what stands in a page, with the packages of one of the folders beside this file."""
    modules = Path(__file__).parent / packages / "node_modules"
    if shutil.which("node") is None or not modules.exists():
        missing(f"node and the packages of tests/clients/{packages}")
    (folder / "page.cjs").write_text(text)
    return ran(["node", "page.cjs"], folder, NODE_PATH=str(modules), **environment)


def secret_of_the_sample(folder: Path) -> str:
    text = (folder / "apps" / "sample" / "app.toml").read_text("utf-8")
    [secret] = re.findall(r'^secret = "(.+)"$', text, re.MULTILINE)
    return str(secret)


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


def test_the_first_page_leads_to_every_page() -> None:
    first = PAGES[0].read_text("utf-8")
    missed = [page.name for page in PAGES[1:] if f"(docs/{page.relative_to(DOCS)})" not in first]
    assert missed == ["index.md"]


def test_the_first_player(tmp_path: Path) -> None:
    with serve(tmp_path) as server:
        for page in ("README.md", "docs/first-player.md"):
            [script] = [block for block in blocks(page, "sh") if block.startswith("curl ")]
            [program] = blocks(page, "python")
            assert '"status":200' in ran(["bash", "-euc", at(server, script)], tmp_path)
            assert ran([sys.executable, "-W", "error", "-c", at(server, program)], tmp_path).strip()
        [game] = blocks("docs/first-player.md", "js")
        told = node(at(server, game), tmp_path, "js", SECRET=secret_of_the_sample(tmp_path))
    assert re.search(r"^200 [0-9a-f-]{36}$", told, re.MULTILINE)
    assert re.search(r"^200$", told, re.MULTILINE)


def test_a_user_of_backendless(tmp_path: Path) -> None:
    [toml], [program] = blocks("docs/backendless.md", "toml"), blocks("docs/backendless.md", "js")
    (tmp_path / "apps" / "test").mkdir(parents=True)
    (tmp_path / "apps" / "test" / "app.toml").write_text(APP + toml)
    with serve(tmp_path) as server:
        told = node(program, tmp_path, "js_backendless", SERVER_URL=server.url)
    assert "AuthenticatedUser" in told


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
