"""Declare an operation, build its context, run a packet."""

from gameserver.rpc.context import SERVER_PROFILE_ID, Caller, Context, Core, Ending, Origin
from gameserver.rpc.packets import Packets, Waiter
from gameserver.rpc.registry import Registry
from gameserver.rpc.service import Access, Operation, Service, Tx

__all__ = [
    "SERVER_PROFILE_ID",
    "Access",
    "Caller",
    "Context",
    "Core",
    "Ending",
    "Operation",
    "Origin",
    "Packets",
    "Registry",
    "Service",
    "Tx",
    "Waiter",
]
