"""Backendless: users, logins and roles over REST, as its JavaScript SDK calls them.

The users are the players of the dispatcher, and a user-token is the id of a session like any other: what ends
it in one face ends it in all.
"""

from gameserver.faces.backendless.call import FACE
from gameserver.faces.backendless.rest import routes
from gameserver.faces.backendless.settings import SAMPLE, BackendlessSettings
from gameserver.players import roles, users
from gameserver.rpc import Face

__all__ = ["BackendlessSettings", "face"]

face = Face(
    FACE,
    lambda core, apps, _: routes(core, apps),
    section=(FACE, BackendlessSettings, SAMPLE),
    keeps=(users.KEPT, roles.KEPT),
)
