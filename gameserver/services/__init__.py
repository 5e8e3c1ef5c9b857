"""The operations clients call, a file or a package for each service."""

from gameserver.rpc import Service
from gameserver.services import authentication, heartbeat, identity, player_state, time

ALL: tuple[Service, ...] = (
    authentication.service,
    heartbeat.service,
    identity.service,
    player_state.service,
    time.service,
)
