"""Declare an operation, build its context, run a packet."""

from gameserver.rpc.caller import Caller, Origin
from gameserver.rpc.context import Context, Core
from gameserver.rpc.face import Face, Mounted
from gameserver.rpc.hooks import PACKET_MARKED, PLAYER_DELETE, PLAYER_MERGE, PLAYER_RESET, PLAYER_STATE
from gameserver.rpc.last import Last
from gameserver.rpc.packets import Packets
from gameserver.rpc.registry import Registry, Section
from gameserver.rpc.runner import PacketFailed, Runner
from gameserver.rpc.runs import Superseded, Waiter
from gameserver.rpc.service import Access, Operation, Service, Tx
from gameserver.rpc.unordered import UnorderedPackets

__all__ = [
    "PACKET_MARKED",
    "PLAYER_DELETE",
    "PLAYER_MERGE",
    "PLAYER_RESET",
    "PLAYER_STATE",
    "Access",
    "Caller",
    "Context",
    "Core",
    "Face",
    "Last",
    "Mounted",
    "Operation",
    "Origin",
    "PacketFailed",
    "Packets",
    "Registry",
    "Runner",
    "Section",
    "Service",
    "Superseded",
    "Tx",
    "UnorderedPackets",
    "Waiter",
]
