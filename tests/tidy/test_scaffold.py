"""What the scaffold of a service writes is written as services are, and its tests ask to be written."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gameserver.scaffold import write_service
from tests.tidy.note_service import ROOT

SAID = "so " * 50
CATALOGUE: dict[str, Any] = {
    "service": "guestBook",
    "operations": [
        {
            "operation": "SIGN",
            "summary": 'Signs the "book". It is kept.',
            "js_method": "guestBook.sign",
            "parameters": [
                {"name": "pageId", "description": "The page"},
                {"name": "class", "description": "Optional: which"},
            ],
            "request": {"data": {"pageId": "first", "class": 1, "data": {"mood": "good"}}},
            "responses": [
                {
                    "status": 200,
                    "data": {
                        "signed": True,
                        "said": "so " * 50,
                        "entries": [{"entryId": "e", "created_at": 5}],
                    },
                }
            ],
            "errors": [{"code": 40332, "name": "MISSING"}],
        },
        {
            "operation": "GET_COUNT",
            "client_callable": False,
            "responses": [{"data": {"1-a": 1}}],
        },
        {
            "operation": "READ",
            "request": {"data": {"pageId": "first"}},
            "responses": [{"data": {"entryId": "e", "created_at": 5}}],
        },
        "UNSIGN",
    ],
}

GAME = """
import pytest

class Game: ...

@pytest.fixture
def game(): return Game()
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of what the scaffold reads and the checks need."""
    for folder in ("gameserver/services", "tests/services", "tests/clients/js/scenarios"):
        (tmp_path / folder).mkdir(parents=True)
    for file in ("pyproject.toml", "tests/__init__.py", "tests/clients/test_python.py"):
        shutil.copy(ROOT / file, tmp_path / file)
    (tmp_path / "gameserver" / "__init__.py").touch()
    shutil.copy(ROOT / "gameserver/services/__init__.py", tmp_path / "gameserver/services/__init__.py")
    return tmp_path


def run(tree: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *command], cwd=tree, capture_output=True, text=True, timeout=300, check=False
    )


@pytest.mark.parametrize("catalogue", [None, CATALOGUE], ids=["empty", "known"])
def test_what_is_written_is_formatted_and_has_no_lint(tree: Path, catalogue: dict[str, Any] | None) -> None:
    written = write_service(tree, "guestBook", catalogue)
    files = [str(path) for path in written if path.suffix == ".py"]
    for command in (["format", "--check"], ["check"]):
        done = run(tree, "ruff", *command, "--no-cache", *files)
        assert done.returncode == 0, done.stdout + done.stderr
    with pytest.raises(FileExistsError):
        write_service(tree, "guestBook", catalogue)


def test_the_types_are_right_and_the_tests_ask_to_be_written(tree: Path) -> None:
    written = write_service(tree, "guestBook", CATALOGUE)
    service, tests, scenario, _, listed = written
    described = 'class_: Annotated[int | None, Meta(description="write me")] = field('
    assert described in service.read_text()
    assert "entries: Annotated[list[ReadReply], Meta(" in service.read_text()
    assert service.read_text().count("created_at: ") == 1, "what has the same fields gets one type"
    assert "unsign(ctx: Context, request: Nothing) -> None" in service.read_text()
    assert "guestBook.sign(" in scenario.read_text()
    assert 'raw("guestBook", "UNSIGN", ' in scenario.read_text()
    assert "GET_COUNT" not in scenario.read_text()
    names = re.findall(r"^    (\w+),$", listed.read_text(), re.MULTILINE)
    assert names == re.findall(r"^    (\w+)\.service,$", listed.read_text(), re.MULTILINE) == sorted(names)
    assert "guest_book" in names
    config = tree / "pyproject.toml"
    config.write_text(
        re.sub(r'^packages = \["gameserver", "tests"\]\n', "", config.read_text(), flags=re.MULTILINE)
    )
    # From the root: the cache knows the server there.
    done = run(ROOT, "mypy", "--config-file", str(config), "-c", service.read_text())
    assert done.returncode == 0, done.stdout
    (tree / "tests" / "conftest.py").write_text(GAME)
    done = run(tree, "pytest", "-p", "no:cacheprovider", "-p", "no:gameserver", str(tests))
    assert len(re.findall("^E +Failed: write me: ", done.stdout, re.MULTILINE)) == 8, (
        done.stdout + done.stderr
    )


@pytest.mark.parametrize("operations", [{"READ": {}}, ["read"], [{"name": "READ"}], [1]])
def test_catalogues_that_make_no_service(tree: Path, operations: Any) -> None:
    with pytest.raises(ValueError, match="operations are n"):
        write_service(tree, "guestBook", {"operations": operations})


@pytest.mark.parametrize("name", ["", "Guest", "../x", "guest_book"])
def test_names_that_make_no_service(tree: Path, name: str) -> None:
    with pytest.raises(ValueError, match="expected a name"):
        write_service(tree, name)
