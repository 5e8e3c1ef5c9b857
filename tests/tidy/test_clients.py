"""What is generated for clients is up to date."""

import importlib.util
import json
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
