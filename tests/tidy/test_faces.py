"""The list of faces, and what an operator is shown of their settings."""

import json
import re
import tomllib
from importlib import import_module
from pathlib import Path

from gameserver import faces
from gameserver.app import registry
from gameserver.apps import load_apps, write_sample, write_section
from gameserver.rpc import Face
from tests.push_providers import elliptic, pem
from tests.stand_ins import rsa_key

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


def test_every_sample_is_right_when_it_is_uncommented(tmp_path: Path) -> None:
    """Each section alone as `app add` writes it, and all of them with every setting in use."""
    offered = registry()
    app = write_sample(tmp_path, offered.sections())
    assert all(app.section(shape) is not None for shape in offered.sections().values())
    for name, sample in offered.samples().items():
        write_section(app.path, name, sample)
        assert load_apps(tmp_path, offered.sections()).problems == [], name
    for name in offered.samples():
        path = app.path / f"{name}.toml"
        path.write_text(re.sub(r"(?m)^#(?=[\[{\]}a-z])", "", path.read_text()))
    environ = {"BACKENDLESS_SERVER_KEY": "s" * 20, "PARTNER_KEY": "k"}
    account = {"project_id": "p", "client_email": "a@example.com", "private_key": pem(rsa_key("right"))}
    environ |= {"FCM_SERVICE_ACCOUNT": json.dumps(account)}
    environ |= {"APNS_KEY": pem(elliptic("apple")), "VAPID_KEY": pem(elliptic("vapid"))}
    environ |= {"CRM_WEBHOOK_SECRET": "whsec_" + "k" * 32, "CRM_KEY": "k"}
    loaded = load_apps(tmp_path, offered.sections(), environ)
    assert [str(problem) for problem in loaded.problems] == []
    for name in offered.samples():
        assert tomllib.loads((app.path / f"{name}.toml").read_text())[name], f"{name} shows no setting"
