"""The page for who adds a service says what is so."""

import re
import subprocess
import sys
from pathlib import Path

from tests.tidy.note_service import ROOT, code


def test_the_service_of_the_page_runs_as_the_page_says(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.tidy.note_service", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr


def test_the_service_of_the_page_is_written_as_services_are(tmp_path: Path) -> None:
    file = tmp_path / "services" / "note.py"
    file.parent.mkdir()
    file.write_text(code(), "utf-8")
    rules = ("--config", str(ROOT / "pyproject.toml"), "--no-cache")
    # Where it lies decides which rules hold: those of services ask for no docstrings of requests.
    for command in (["format", "--check"], ["check", "--extend-ignore", "D101,ARG001,INP001"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command, *rules, str(file)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_files_that_the_page_names_exist() -> None:
    page = (ROOT / "gameserver" / "README.md").read_text("utf-8")
    named = set(re.findall(r"`((?:tests|clients|game|wire|storage|services|cli)/[\w/.]+)`", page))
    ours = {"tests", "clients"}
    missing = [
        path
        for path in named
        if not (ROOT / path if path.split("/")[0] in ours else ROOT / "gameserver" / path).exists()
        and path != "tests/services/test_note.py"
    ]
    assert len(named) > 5
    assert missing == []
