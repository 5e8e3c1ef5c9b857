"""Web endpoints that operators declare: paths of their own that log players in and out and call operations.

An endpoint triggers an action, an action is a list of events. The session travels in a cookie, or as a bearer
token. The declaration is part of `app.toml`; the endpoints follow it when it is saved.
"""

from gameserver.faces.endpoints.answers import admin_routes, routes
from gameserver.faces.endpoints.declaration import SAMPLE, Web
from gameserver.rpc import Face

face = Face("endpoints", routes, section=("web", Web, SAMPLE), mount_admin=admin_routes)

__all__ = ["Web", "face"]
