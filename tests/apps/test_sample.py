import json
import re
import stat
import tomllib
from pathlib import Path
from typing import Any, get_args

import pytest
from jsonschema import Draft202012Validator
from msgspec import Struct
from msgspec.structs import fields

from gameserver.apps import (
    Definition,
    LoginSettings,
    Sections,
    SessionSettings,
    Settings,
    app_schema,
    load_apps,
    sample_text,
    write_app,
    write_sample,
    write_schema,
    write_section,
)


class HeartSettings(Settings):
    """How hearts beat."""

    beats: int = 3


SECTIONS = Sections({"heart": HeartSettings})
SAMPLE = "# How often.\n[heart]\n#beats = 3\n"


def test_the_sample_loads_and_reads_as_it_says(tmp_path: Path) -> None:
    app = write_sample(tmp_path / "apps", SECTIONS)
    apps = load_apps(tmp_path / "apps", SECTIONS)
    assert apps.problems == []
    assert apps.find("10001") == app
    assert (app.name, app.id, app.signature, app.title) == ("sample", "10001", "optional", "Sample app")
    assert len(app.secret) >= 32
    text = (tmp_path / "apps" / "sample" / "app.toml").read_text()
    assert text.startswith("#:schema ./app.schema.json\n")
    assert "gameserver app add" in text


def test_every_sample_has_its_own_secret_that_others_cannot_read(tmp_path: Path) -> None:
    secrets = {write_sample(tmp_path / name).secret for name in "ab"}
    assert len(secrets) == 2
    mode = (tmp_path / "a" / "sample" / "app.toml").stat().st_mode
    assert stat.S_IMODE(mode) == 0o600


def test_an_existing_file_is_never_overwritten(tmp_path: Path) -> None:
    first = write_sample(tmp_path)
    with pytest.raises(FileExistsError):
        write_sample(tmp_path)
    assert load_apps(tmp_path).find(first.id) == first


def uncommented(text: str) -> str:
    return re.sub(r"(?m)^#(?=[\[a-z])", "", text)


def test_every_setting_that_is_commented_out_is_right(tmp_path: Path) -> None:
    text = uncommented(sample_text("s" * 20)) + uncommented(SAMPLE)
    (tmp_path / "all").mkdir()
    (tmp_path / "all" / "app.toml").write_text(text)
    for name, more in {"10000": "", "10002": '[peers.back]\napp = "10001"\n'}.items():  # whom it names
        (tmp_path / name).mkdir()
        (tmp_path / name / "app.toml").write_text(f'id = "{name}"\nsecret = "{"s" * 20}"\n{more}')
    apps = load_apps(tmp_path, SECTIONS)
    assert [str(problem) for problem in apps.problems] == []
    app = apps.by_id["10001"]
    assert app.redirect is not None
    assert set(app.external) == {"guild", "studio", "sso", "discord", "company"}
    assert app.mail.smtp is not None


def test_what_is_called_a_default_is_the_default() -> None:
    shown = tomllib.loads(uncommented(sample_text("s" * 20)))
    for table, kind in (("session", SessionSettings), ("login", LoginSettings)):
        defaults = {f.name: f.default for f in fields(kind)}
        for key, value in shown[table].items():
            # An example, what makes lines typed by hand work, and what is advised.
            other = {"types", "anonymous_id_alone", "password_min_length", "refuse_common_passwords"}
            assert key in other or value == defaults[key], f"{table}.{key}"


def test_the_sample_teaches_every_setting() -> None:
    text = sample_text("s" * 20)
    kinds = tables_below(Definition)
    assert len(kinds) > 8
    for kind in kinds:
        for f in fields(kind):
            assert re.search(rf"(?m)^(# ?)?\[?([a-z]+\.)?{f.name}\b", text), f"{kind.__name__}.{f.name}"


def tables_below(kind: Any) -> set[type[Struct]]:
    if isinstance(kind, type) and issubclass(kind, Struct):
        return {kind}.union(*(tables_below(f.type) for f in fields(kind)))
    return set().union(*(tables_below(part) for part in get_args(kind)))


def test_the_schema_agrees_with_the_loader(tmp_path: Path) -> None:
    write_sample(tmp_path, SECTIONS)
    schema = json.loads((tmp_path / "sample" / "app.schema.json").read_text())
    assert schema == app_schema(SECTIONS)
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)
    right = tomllib.loads(uncommented(sample_text("s" * 20) + SAMPLE))
    assert not list(validator.iter_errors(right))
    for path, value in (
        ("id", "no spaces"),
        ("id", "10001\n"),
        ("titel", "x"),
        ("session.life_seconds", 5),
        ("session.life", 60),
        ("heart.beats", "x"),
        ("external.guild.kind", "magic"),
        ("servers.room.secret_env", "BOTH"),
        ("mail.smtp.port", 0),
    ):
        wrong = json.loads(json.dumps(right))
        *tables, key = path.split(".")
        table = wrong
        for name in tables:
            table = table[name]
        table[key] = value
        assert list(validator.iter_errors(wrong)), path
        (tmp_path / "sample" / "app.toml").write_text(sample_text("s" * 20))


def test_a_new_app_has_an_id_and_a_secret_of_its_own(tmp_path: Path) -> None:
    first = write_sample(tmp_path, SECTIONS)
    made = [write_app(tmp_path, name, SECTIONS) for name in ("chess", "go")]
    assert [(app.name, app.title, app.path) for app in made] == [
        (name, name, tmp_path / name) for name in ("chess", "go")
    ]
    assert len({app.id for app in (first, *made)}) == len({app.secret for app in (first, *made)}) == 3
    assert load_apps(tmp_path, SECTIONS).problems == []
    with pytest.raises(FileExistsError):
        write_app(tmp_path, "chess", SECTIONS)
    for name in ("", "a/b", "../x", ".x", "_x", "a b", "x" * 65):
        with pytest.raises(ValueError, match="the name of an app"):
            write_app(tmp_path, name, SECTIONS)


def test_a_section_is_written_into_a_file_of_its_own(tmp_path: Path) -> None:
    app = write_sample(tmp_path, SECTIONS)
    path = write_section(
        app.path, "heart", "# How often.\n[heart]\nbeats = 4\n\n[heart.deep]\n  x = [\n    1,\n  ]\n"
    )
    assert path.read_text() == (
        "#:schema ./app.schema.json\n\n# How often.\n[heart]\n#beats = 4\n\n#[heart.deep]\n#x = [\n#1,\n#]\n"
    )
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    apps = load_apps(tmp_path, SECTIONS)
    assert apps.problems == []
    with pytest.raises(FileExistsError):
        write_section(app.path, "heart", SAMPLE)


def test_the_schema_is_brought_up_to_date(tmp_path: Path) -> None:
    app = write_sample(tmp_path, SECTIONS)
    assert write_schema(app.path, SECTIONS) is False
    (app.path / "app.schema.json").write_text("{}")
    assert write_schema(app.path, SECTIONS) is True
    assert json.loads((app.path / "app.schema.json").read_text()) == app_schema(SECTIONS)


def test_the_schema_takes_the_files_of_sections() -> None:
    assert not list(Draft202012Validator(app_schema(SECTIONS)).iter_errors({"heart": {"beats": 4}}))


def test_the_schema_explains_every_setting() -> None:
    for name, described in app_schema()["$defs"].items():
        assert described["description"], name
        for key, setting in described["properties"].items():
            explained = "description" in setting or "$ref" in setting or "anyOf" in setting or key in _PLAIN
            assert explained, f"{name}.{key}"


_PLAIN = {"kind", "host", "port", "from_name"}  # their names say it
