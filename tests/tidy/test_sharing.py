"""A run in several processes tells what a run in one does."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
CONFTEST = """
import os
from tests.sharing import Sharing

FOUND = {os.getpid(): set()}

def pytest_configure(config):
    def learn(found):
        FOUND.update(found)
    def learnt():
        return {pid: found for pid, found in FOUND.items() if found}
    config.pluginmanager.register(Sharing(2, lambda item: "all" in item.name, learnt, learn))
"""
TESTS = """
import os, time
from pathlib import Path
import pytest
import conftest

@pytest.fixture(scope="module")
def other():
    # Here until the other file is under way, too: so both are in processes of their own.
    Path(__file__).with_suffix(".here").touch()
    while len(list(Path(__file__).parent.glob("*.here"))) < 2:
        time.sleep(0.01)
    yield

def test_one(other):
    conftest.FOUND.setdefault(os.getpid(), set()).add(__name__)

def test_wrong(other):
    print("told by", __name__)
    assert False

def test_all_is_known():
    assert [sorted(found) for _, found in sorted(conftest.FOUND.items()) if found] in (
        [["test_a"], ["test_b"]], [["test_b"], ["test_a"]]
    )
    assert not conftest.FOUND[os.getpid()]
"""


def run(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", ".", "."]
    environment = {"PYTHONPATH": str(ROOT), "PATH": "", "TMPDIR": str(folder)}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False
    )


def test_files_are_shared_and_all_is_told(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(CONFTEST)
    for name in "ab":
        (tmp_path / f"test_{name}.py").write_text(TESTS)
    done = run(tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1].startswith("2 failed, 4 passed"), done.stdout
    assert {"told by test_a", "told by test_b"} <= set(done.stdout.splitlines())


def test_a_process_that_dies_fails_the_run(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_a.py").write_text("import os\n\ndef test_dies():\n    os._exit(0)\n")
    (tmp_path / "test_b.py").write_text("def test_one():\n    pass\n")
    done = run(tmp_path)
    assert done.returncode == 3
    assert "a process that runs tests has ended early" in done.stdout
