"""Speaks HTTP in front of an ASGI application: uvicorn's server and protocol, within limits.

Everything that a stranger can make the server keep is bounded here: the head of a request, the time it takes
to arrive, the requests that wait behind each other, answers that nobody reads, and connections. A request
that goes beyond is answered behind those before it, and nothing after it is read.
"""

from gameserver.http_server.places import (
    CONNECTIONS_PER_ADDRESS_MAX,
    Incidents,
    Places,
    connections_max,
    raise_descriptor_limit,
)
from gameserver.http_server.protocol import Realtime
from gameserver.http_server.proxies import Proxies, behind
from gameserver.http_server.server import WebServer, web_server

__all__ = [
    "CONNECTIONS_PER_ADDRESS_MAX",
    "Incidents",
    "Places",
    "Proxies",
    "Realtime",
    "WebServer",
    "behind",
    "connections_max",
    "raise_descriptor_limit",
    "web_server",
]
