"""Declare an operation, build its context, run a packet."""

from gameserver.rpc.context import SERVER_PROFILE_ID, Caller, Context, Core, Ending, Origin
from gameserver.rpc.face import Face, Mounted
from gameserver.rpc.packets import Packets
from gameserver.rpc.registry import Registry, Section
from gameserver.rpc.running import Waiter
from gameserver.rpc.service import Access, Operation, Service, Tx

__all__ = [
    "SERVER_PROFILE_ID",
    "Access",
    "Caller",
    "Context",
    "Core",
    "Ending",
    "Face",
    "Mounted",
    "Operation",
    "Origin",
    "Packets",
    "Registry",
    "Section",
    "Service",
    "Tx",
    "Waiter",
]
