"""Who is listening: channels, connections and the fan-out between processes. Knows nothing of games."""

from gameserver.realtime.bus import Bus, MemoryBus
from gameserver.realtime.channels import Channels, Listener, TooManyChannels, player_channel
from gameserver.realtime.connections import HEARTBEAT_SECONDS, Connections
from gameserver.realtime.endpoints import BadEndpoints, Endpoint, Endpoints
from gameserver.realtime.frames import FRAME_BYTES_MAX, Frame, FrameTooLarge, encode_frame
from gameserver.realtime.lifespans import LIFESPANS
from gameserver.realtime.redis_bus import RedisBus
from gameserver.realtime.roster import Presence, Roster
from gameserver.realtime.sequence import Place

__all__ = [
    "FRAME_BYTES_MAX",
    "HEARTBEAT_SECONDS",
    "LIFESPANS",
    "BadEndpoints",
    "Bus",
    "Channels",
    "Connections",
    "Endpoint",
    "Endpoints",
    "Frame",
    "FrameTooLarge",
    "Listener",
    "MemoryBus",
    "Place",
    "Presence",
    "RedisBus",
    "Roster",
    "TooManyChannels",
    "encode_frame",
    "player_channel",
]
