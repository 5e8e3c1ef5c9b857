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
    SessionSettings,
    Settings,
    app_schema,
    load_apps,
    sample_text,
    write_sample,
)


class HeartSettings(Settings):
    """How hearts beat."""

    beats: int = 3


SECTIONS = {"heart": HeartSettings}
SAMPLES = {"heart": "# How often.\n[heart]\n#beats = 3\n", "other": ""}


def test_the_sample_loads_and_reads_as_it_says(tmp_path: Path) -> None:
    app = write_sample(tmp_path / "apps", SECTIONS, SAMPLES)
    apps = load_apps(tmp_path / "apps", SECTIONS)
    assert apps.problems == []
    assert apps.find("10001") == app
    assert (app.name, app.id, app.signature, app.title) == ("sample", "10001", "optional", "Sample app")
    assert len(app.secret) >= 32
    text = (tmp_path / "apps" / "sample" / "app.toml").read_text()
    assert text.startswith("#:schema ./app.schema.json\n")
    assert "[heart]" in text


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
    text = uncommented(sample_text("s" * 20, SAMPLES))
    (tmp_path / "all").mkdir()
    (tmp_path / "all" / "app.toml").write_text(text)
    apps = load_apps(tmp_path, SECTIONS)
    assert [str(problem) for problem in apps.problems] == []
    [app] = apps
    assert app.redirect is not None
    assert set(app.external) == {"guild", "studio"}
    assert app.mail.smtp is not None


def test_what_is_called_a_default_is_the_default() -> None:
    shown = tomllib.loads(uncommented(sample_text("s" * 20)))
    for table, kind in (("session", SessionSettings), ("login", LoginSettings)):
        defaults = {f.name: f.default for f in fields(kind)}
        for key, value in shown[table].items():
            other = key in (
                "types",
                "anonymous_id_alone",
            )  # an example, and what makes lines typed by hand work
            assert other or value == defaults[key], f"{table}.{key}"


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
    write_sample(tmp_path, SECTIONS, SAMPLES)
    schema = json.loads((tmp_path / "sample" / "app.schema.json").read_text())
    assert schema == app_schema(SECTIONS)
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)
    right = tomllib.loads(uncommented(sample_text("s" * 20, SAMPLES)))
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
        (tmp_path / "sample" / "app.toml").write_text(sample_text("s" * 20, SAMPLES))


def test_the_schema_explains_every_setting() -> None:
    for name, described in app_schema()["$defs"].items():
        assert described["description"], name
        for key, setting in described["properties"].items():
            explained = "description" in setting or "$ref" in setting or "anyOf" in setting or key in _PLAIN
            assert explained, f"{name}.{key}"


_PLAIN = {"kind", "host", "port", "from_name"}  # their names say it
