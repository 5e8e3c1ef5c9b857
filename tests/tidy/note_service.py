"""The service of the page "Adding a service", run as the page tells, in a process of its own.

`python -m tests.tidy.note_service FOLDER`; ends with 0 when everything is as the page says.
"""

import asyncio
import importlib.util
import re
import shutil
import sys
from pathlib import Path

from gameserver import faces, services
from gameserver.admin import actions
from gameserver.app import open_server
from gameserver.protocol_export import INDEX, documents
from gameserver.rpc import Registry
from gameserver.settings import Settings
from gameserver.storage import schema
from gameserver.wire.clock import FixedClock
from tests.conftest import APP_ID, APP_TOML, Game
from tests.tidy.test_descriptions import silent_fields, silent_parameters

ROOT = Path(__file__).parents[2]


def code() -> str:
    """The page's example."""
    page = (ROOT / "gameserver" / "README.md").read_text("utf-8").partition("## Adding a service")[2]
    found = re.search(r"```python\n(.*?)```", page, re.DOTALL)
    assert found is not None, "the page has an example"
    return found[1]


def add_service(folder: Path) -> None:
    """Put the service into the list, and its table into a copy of the migrations."""
    file = folder / "note.py"
    file.write_text(code(), "utf-8")
    spec = importlib.util.spec_from_file_location("gameserver.services.note", file)
    assert spec is not None
    assert spec.loader is not None
    note = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(note)
    services.ALL = (*services.ALL, note.service)
    [described] = [each for name, each in documents(Registry([note.service])).items() if name != INDEX]
    assert [*silent_parameters(described), *silent_fields(described)] == []
    shutil.copytree(schema._FOLDER, folder / "migrations")
    schema._FOLDER = folder / "migrations"
    written = schema.write_step("Add notes")
    assert written is not None
    assert written.name.endswith("_add_notes.py")


async def play(folder: Path) -> None:
    """Call the operations, and see what becomes of notes with their players."""
    (folder / "apps" / "test").mkdir(parents=True)
    (folder / "apps" / "test" / "app.toml").write_text(f"{APP_TOML}[note]\nmost = 2\n")
    settings = Settings(apps=folder / "apps", data=folder / "data")
    async with open_server(settings, clock=FixedClock(), with_jobs=False) as server:
        game = Game(server, FixedClock())
        ada, bob = await game.player(), await game.player()
        first = await ada.call("note", "CREATE", text="for all", acl={"other": 1})
        await ada.call("note", "CREATE", text="for me")
        assert (await ada.refused("note", "CREATE", text="one more")).reason_code == 49001
        assert (await ada.refused("note", "CREATE", text="")).reason_code == 40660
        changed = {"noteId": first["noteId"], "text": "for you", "version": 1}
        assert (await ada.call("note", "UPDATE", **changed))["version"] == 2
        assert (await ada.refused("note", "UPDATE", **changed)).reason_code == 40344
        assert (await bob.refused("note", "UPDATE", **changed)).reason_code == 40345
        assert (await ada.call("note", "UPDATE", **{**changed, "version": -1}))["version"] == 3
        seen = [(await player.call("note", "GET_PAGE"))["results"]["count"] for player in (ada, bob)]
        assert seen == [2, 1]
        context = {"searchCriteria": {"text": "for me"}}
        found = await ada.call("note", "GET_PAGE", context=context)
        assert [item["text"] for item in found["results"]["items"]] == ["for me"]
        assert (await ada.refused("note", "GET_PAGE", context="?")).reason_code == 40383
        told = await actions.player_export(server, APP_ID, ada.profile_id)
        assert {one["text"] for one in told["services"]["note"]["notes"]} == {"for you", "for me"}
        await actions.player_merge(server, APP_ID, ada.profile_id, bob.profile_id)
        assert (await bob.call("note", "GET_PAGE"))["results"]["count"] == 2
        await bob.call("playerState", "GAME_DATA_RESET")
        assert (await bob.call("note", "GET_PAGE"))["results"]["count"] == 0
        await game.http.aclose()


def main(folder: Path) -> None:
    """Do what the page tells, and check what it promises."""
    add_service(folder)
    asyncio.run(play(folder))
    offered = Registry(services.ALL, faces.ALL)
    assert "note.CREATE" in {method["name"] for method in documents(offered)["services/note.json"]["methods"]}
    assert "[note]" in offered.samples()["note"]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
