"""The operations clients call, a file or a package for each service."""

from gameserver.rpc import Service
from gameserver.services import (
    authentication,
    data_stream,
    entity,
    event,
    global_entity,
    global_game_statistics,
    heartbeat,
    identity,
    leaderboard,
    log,
    player_state,
    player_statistics,
    player_statistics_event,
    push_notification,
    time,
    tournament,
    user,
    virtual_currency,
)

ALL: tuple[Service, ...] = (
    authentication.service,
    data_stream.service,
    entity.service,
    event.service,
    global_entity.service,
    global_game_statistics.service,
    heartbeat.service,
    identity.service,
    leaderboard.service,
    log.service,
    player_state.service,
    player_statistics.service,
    player_statistics_event.service,
    push_notification.service,
    time.service,
    tournament.service,
    user.service,
    virtual_currency.service,
)
