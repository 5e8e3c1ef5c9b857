"""`gameserver webhook`, as an operator types it."""

from pathlib import Path

from tests.cli.running import command, json_of, running
from tests.conftest import APP_ID, APP_TOML

TARGET = f"""
[webhooks.outgoing.crm]
url = "https://127.0.0.1:9/"
secret = "whsec_{"k" * 32}"
events = ["player.*"]
"""


def test_targets_and_deliveries_are_looked_at_and_tried(tmp_path: Path) -> None:
    (tmp_path / "apps" / "test").mkdir(parents=True)
    (tmp_path / "apps" / "test" / "app.toml").write_text(APP_TOML + TARGET)
    with running(tmp_path):  # which makes the database
        check(tmp_path)


def check(tmp_path: Path) -> None:
    [target] = json_of(command(tmp_path, "webhook", "list", APP_ID, "--json"))
    assert (target["name"], target["state"], target["waiting"]) == ("crm", "ok", 0)
    assert target["events"] == ["player.*"]
    assert "kkkk" not in str(target)
    done = command(tmp_path, "webhook", "test", APP_ID, "crm")
    assert done.returncode == 1
    assert "no address that may be called" in done.stdout
    done = command(tmp_path, "webhook", "deliveries", APP_ID, "--state", "failed")
    assert (done.returncode, done.stderr) == (0, "no deliveries\n")
    assert json_of(command(tmp_path, "webhook", "replay", APP_ID, "--json")) == {"replayed": 0}
    assert command(tmp_path, "webhook", "enable", APP_ID, "crm").returncode == 0
    for words, code in (
        (("show", APP_ID, "none"), 1),
        (("enable", APP_ID, "none"), 1),
        (("deliveries", APP_ID, "--state", "lost"), 2),
        (("replay", APP_ID, "one", "--target", "crm"), 2),
    ):
        assert command(tmp_path, "webhook", *words).returncode == code, words
