"""What tests of web endpoints share."""

from pathlib import Path

import pytest

from tests.faces.web_app import (
    app_toml,
)

MORE = """
[web.endpoints.rename]
path = "/v1/players/{id}/name"
method = "PUT"
requires_login = true
[web.actions.rename]
trigger = "rename"
events = [
  { do = "call", operation = "playerState.UPDATE_NAME", data = { playerName = "{path.id} {body.who.name}" } },
]

[web.endpoints.read]
path = "/v1/players/me"
method = "GET"
[web.actions.read]
trigger = "read"
events = [{ do = "call", operation = "playerState.READ" }]

[web.endpoints.any_player]
path = "/v1/players/{id}"
method = "GET"

[web.endpoints.sneaky]
path = "/v1/sneaky"
method = "GET"
requires_login = true
[web.actions.sneaky]
trigger = "sneaky"
events = [{ do = "call", operation = "playerState.UPDATE_NAME", data = { playerName = "{query.name}" } }]

[web.endpoints.zone]
path = "/v1/zone"
requires_login = true
[web.actions.zone]
trigger = "zone"
[[web.actions.zone.events]]
do = "call"
operation = "playerState.UPDATE_TIMEZONE_OFFSET"
data = { timeZoneOffset = "{query.hours:number}" }

[web.endpoints.leave]
path = "/v1/leave"
requires_login = true
[web.actions.leave]
trigger = "leave"
events = [{ do = "call", operation = "playerState.LOGOUT" }]

[web.endpoints.leave_elsewhere]
path = "/v1/leave_elsewhere"
requires_login = true
[web.actions.leave_elsewhere]
trigger = "leave_elsewhere"
events = [
  { do = "call", operation = "playerState.SYS_INVALIDATE_ALL_BUT_CURRENT_SESSION", authority = "server" },
]

[web.endpoints.be_gone]
path = "/v1/be_gone"
requires_login = true
[web.actions.be_gone]
trigger = "be_gone"
events = [{ do = "call", operation = "playerState.SYS_INVALIDATE_CURRENT_SESSION", authority = "server" }]

[web.endpoints.be_gone_by_link]
path = "/v1/be_gone_by_link"
method = "GET"
requires_login = true
[web.actions.be_gone_by_link]
trigger = "be_gone_by_link"
events = [{ do = "call", operation = "playerState.SYS_INVALIDATE_CURRENT_SESSION", authority = "server" }]

[web.endpoints.not_yours]
path = "/v1/not_yours"
requires_login = true
[web.actions.not_yours]
trigger = "not_yours"
events = [{ do = "call", operation = "playerState.SYS_INVALIDATE_CURRENT_SESSION" }]

[web.endpoints.enter]
path = "/v1/enter"
[web.actions.enter]
trigger = "enter"
events = [
  { do = "login", profile = "players" },
  { do = "call", operation = "playerState.UPDATE_NAME", data = { playerName = "{body.name}" } },
  { do = "call", operation = "playerState.READ" },
]
"""


@pytest.fixture
def apps_folder(apps_folder: Path) -> Path:
    (apps_folder / "test" / "app.toml").write_text(app_toml(MORE))
    return apps_folder
