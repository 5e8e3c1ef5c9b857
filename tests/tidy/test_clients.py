"""What is generated for clients is up to date, and so is what the documents tell of them and of services."""

import importlib.util
import json
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GENERATED = {
    "python": ("gameserver_client/services", ".py"),
    "csharp": ("Runtime/Services", ".cs"),
    "js": ("src/services", ""),
}


@pytest.mark.parametrize("client", GENERATED)
def test_what_is_generated_is_up_to_date(client: str) -> None:
    program = ROOT / "clients" / client / "generate.py"
    spec = importlib.util.spec_from_file_location(f"generate_{client}", program)
    assert spec is not None
    assert spec.loader is not None
    generate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generate)
    documents = [json.loads(path.read_text()) for path in (ROOT / "protocol" / "services").glob("*.json")]
    folder, suffix = GENERATED[client]
    there = {
        path.name: path.read_text() for path in (program.parent / folder).glob(f"*{suffix}") if path.is_file()
    }
    assert there == generate.sources(documents), f"run: python clients/{client}/generate.py"


def test_every_client_that_is_generated_is_looked_at() -> None:
    assert {path.parent.name for path in (ROOT / "clients").glob("*/generate.py")} == set(GENERATED)


def test_what_the_comparison_says_is_not_here_is_not() -> None:
    page = (ROOT / "docs" / "comparison.md").read_text()
    [missing] = re.findall(r"what is not here:\n(.*?)relay servers", page, re.DOTALL)
    named = set(re.findall(r"`(\w+)`", missing))
    assert len(named) > 1
    assert sorted(named & {path.stem for path in (ROOT / "protocol" / "services").glob("*.json")}) == []


def test_the_versions_that_are_told_are_those_that_are_tried() -> None:
    page = (ROOT / "docs" / "versions.md").read_text()
    tried = {
        name: version
        for path in (ROOT / "tests" / "clients").glob("js*/package.json")
        for name, version in json.loads(path.read_text())["dependencies"].items()
    }
    assert f"`braincloud` from npm, JavaScript | {tried['braincloud']} |" in page
    assert f"`backendless` from npm, JavaScript | {tried['backendless']} |" in page
    assert f"TypeScript {tried['typescript']}" in page
    ours = {
        tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"],
        tomllib.loads((ROOT / "clients" / "python" / "pyproject.toml").read_text())["project"]["version"],
        *(
            json.loads((ROOT / "clients" / name / "package.json").read_text())["version"]
            for name in ("js", "csharp")
        ),
    }
    assert len(ours) == 1
