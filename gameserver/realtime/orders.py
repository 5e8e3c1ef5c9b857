"""What one process asks others to do with their connections, and how they answer."""

from typing import Literal

import msgspec

from gameserver.realtime.sequence import Numbered


class Order(msgspec.Struct, array_like=True, tag=True):
    """What one process asks others to do; it travels among the frames, which begin with a brace."""


Kind = Literal["join", "join_all", "hold", "leave", "leave_all", "invite", "mute", "unmute", "tell"]


class Move(Order, tag="m"):
    """Let a player's connections join or leave a channel, or only tell; of one session, if it is named.

    "hold" is to join and to be held, "join_all" to join the channels `names` or none of them, "leave_all" to
    leave all whose names begin with `channel`, "invite" to join where there are not many channels already,
    "mute" to get nothing more of the players `names`.
    """

    kind: Kind
    digest: str
    channel: str
    asker: str
    number: int
    names: list[str] = []


class Moved(Order, tag="d"):
    """The answer to a `Move`: the ids of the connections that did, and how many were full."""

    number: int
    cx_ids: list[str]
    full: int


class Release(Order, tag="r"):
    """Let the connections of a session be sent what came to a channel after a number; not of all authors."""

    digest: str
    channel: str
    after: int
    muted: list[str]


class Count(Order, tag="c"):
    """Tell how many players listen to the channel by which this comes."""

    asker: str
    number: int


class Counted(Order, tag="k"):
    """The answer to a `Count` or an `EndAll`."""

    number: int
    count: int


class EndAll(Order, tag="e"):
    """End all connections of an app, and tell how many these are."""

    app_id: str
    asker: str
    number: int


class LogState(Order, tag="l"):
    """Write into the log how it stands; the processes that are named, or each."""

    process_ids: list[str]


class Skip(Order, tag="s"):
    """Wait no longer for the message with a number. A process says so to itself."""

    number: int


class Disband(Order, tag="x"):
    """Let everybody leave the channel by which this comes."""


encode = msgspec.msgpack.Encoder().encode
decode = msgspec.msgpack.Decoder(
    Move | Moved | Release | Count | Counted | EndAll | LogState | Skip | Disband | Numbered
).decode
