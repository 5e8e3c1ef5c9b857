"""A client for game servers that speak the packet protocol, for asyncio and for threads."""

from gameserver_client.asynchronous import AsyncClient
from gameserver_client.base import Bundle, Device
from gameserver_client.blocking import Client
from gameserver_client.errors import GameServerError, KillSwitchError, NoAnswerError, SessionEndedError
from gameserver_client.identity import Identity, IdentityStore, JsonFileStore, MemoryStore
from gameserver_client.protocol import Call, PacketCore, Retry, Session, Settings

__all__ = [
    "AsyncClient",
    "Bundle",
    "Call",
    "Client",
    "Device",
    "GameServerError",
    "Identity",
    "IdentityStore",
    "JsonFileStore",
    "KillSwitchError",
    "MemoryStore",
    "NoAnswerError",
    "PacketCore",
    "Retry",
    "Session",
    "SessionEndedError",
    "Settings",
]
