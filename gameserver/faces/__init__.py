"""The published contracts under which clients reach the server, a file or package for each."""

from gameserver.faces import backendless, dispatcher, endpoints, oauth, ops, pages, s2s, sap, webhooks
from gameserver.rpc import Face

ALL: tuple[Face, ...] = (
    dispatcher.face,
    endpoints.face,
    oauth.face,
    ops.face,
    pages.face,
    s2s.face,
    sap.face,
    webhooks.face,
    backendless.face,  # last: its addresses begin with ids of any form
)
