"""The list of faces, and what an operator is shown of their settings."""

from importlib import import_module
from pathlib import Path

from gameserver import faces
from gameserver.app import registry
from gameserver.apps import write_sample
from gameserver.rpc import Face

FOLDER = Path(faces.__file__).parent


def test_all_faces_of_the_folder_are_listed() -> None:
    modules = {path.stem for path in FOLDER.iterdir() if not path.name.startswith(("_", "."))}
    declared = {import_module(f"gameserver.faces.{module}").face for module in modules}
    assert all(isinstance(face, Face) for face in declared)
    assert set(faces.ALL) == declared
    assert len({face.name for face in faces.ALL}) == len(faces.ALL)


def test_what_begins_with_anything_comes_last() -> None:
    """Its addresses would take those that an app declares."""
    assert faces.ALL[-1].name == "backendless"


def test_the_sample_app_shows_the_settings_of_services_and_faces(tmp_path: Path) -> None:
    offered = registry()
    app = write_sample(tmp_path, offered.sections(), offered.samples())
    text = (tmp_path / "sample" / "app.toml").read_text()
    assert all(sample.strip() in text for sample in offered.samples().values())
    assert all(app.section(shape) is not None for shape in offered.sections().values())
