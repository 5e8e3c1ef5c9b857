"""What stands in the documents, and running it."""

import os
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
SECONDS = 60


def blocks(page: str, kind: str) -> list[str]:
    """The code of a page in one language."""
    return re.findall(rf"^```{kind}\n(.*?)^```$", (ROOT / page).read_text("utf-8"), re.DOTALL | re.MULTILINE)


def ran(command: list[str], folder: Path, **environment: str) -> str:
    """Run a command; return what it prints."""
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


def secret_of_the_sample(folder: Path) -> str:
    """The secret that the server has made for its sample app."""
    text = (folder / "apps" / "sample" / "app.toml").read_text("utf-8")
    [secret] = re.findall(r'^secret = "(.+)"$', text, re.MULTILINE)
    return str(secret)
