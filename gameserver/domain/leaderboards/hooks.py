"""What others hear of boards: tournaments decide who may post, and act when a version has ended."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

from gameserver.apps import App
from gameserver.domain.leaderboards.boards import Board, Version
from gameserver.domain.leaderboards.tournaments import TournamentSettings
from gameserver.frame import Hook, Hooks
from gameserver.storage import Transaction

PostHook = Callable[[Transaction, Board, str, int], Awaitable[None]]
"""Transaction, board, member, time: before a score is stored on a board with tournaments; may refuse it."""
RotationHook = Callable[[Hooks, Transaction, Board, Sequence[Version], int], Awaitable[None]]
"""Hooks, transaction, board as it is now, versions that ended, time: where the rotation is stored, once."""
NeededHook = Callable[[Transaction, str, int], Awaitable[bool]]
"""Transaction, uid of a board, version: whether scores are needed that nobody can read any more."""
ReferenceHook = Callable[[Transaction, Board], Awaitable[bool]]
"""Transaction, board: whether something is made like the board, and needs it."""
SettingsHook = Callable[[Transaction, App, TournamentSettings, int, str], Awaitable[None]]
"""Transaction, app, settings, time, where they stand: before settings are stored; may refuse them."""
TemplatesHook = Callable[[Transaction, App, Board, int], Awaitable[Mapping[str, int]]]
"""Transaction, app, board, time: the versions of the templates that hold for the running period, by code."""
RewardedHook = Callable[[Transaction, Board, int, Sequence[str]], Awaitable[Iterable[str]]]
"""Transaction, board, version that has ended, members: those who have got their reward for it."""

BEFORE_POST: Hook[PostHook] = Hook("leaderboard.before_post")
AFTER_ROTATION: Hook[RotationHook] = Hook("leaderboard.after_rotation")
IS_NEEDED: Hook[NeededHook] = Hook("leaderboard.is_needed")
IS_REFERRED_TO: Hook[ReferenceHook] = Hook("leaderboard.is_referred_to")
BEFORE_SETTINGS: Hook[SettingsHook] = Hook("leaderboard.before_settings")
TEMPLATE_VERSIONS: Hook[TemplatesHook] = Hook("leaderboard.template_versions")
REWARDED: Hook[RewardedHook] = Hook("leaderboard.rewarded")


async def before_post(hooks: Hooks, tx: Transaction, board: Board, member_id: str, now_ms: int) -> None:
    """Ask whether a member may post to a board."""
    if board.t_enabled:
        for hook in hooks.of(BEFORE_POST):
            await hook(tx, board, member_id, now_ms)


async def after_rotation(
    hooks: Hooks, tx: Transaction, board: Board, ended: Sequence[Version], now_ms: int
) -> None:
    """Tell that versions of a board have ended."""
    for hook in hooks.of(AFTER_ROTATION):
        await hook(hooks, tx, board, ended, now_ms)


async def is_needed(hooks: Hooks, tx: Transaction, uid: str, version: int) -> bool:
    """Ask whether the scores of a version must stay."""
    for hook in hooks.of(IS_NEEDED):
        if await hook(tx, uid, version):
            return True
    return False


async def is_referred_to(hooks: Hooks, tx: Transaction, board: Board) -> bool:
    """Ask whether a board must stay because something is made like it."""
    for hook in hooks.of(IS_REFERRED_TO):
        if await hook(tx, board):
            return True
    return False


async def before_settings(
    hooks: Hooks, tx: Transaction, app: App, settings: TournamentSettings, now_ms: int, where: str
) -> None:
    """Ask whether settings can be as they are."""
    for hook in hooks.of(BEFORE_SETTINGS):
        await hook(tx, app, settings, now_ms, where)


async def template_versions(
    hooks: Hooks, tx: Transaction, app: App, board: Board, now_ms: int
) -> dict[str, int]:
    """Return the versions of the templates that hold for a board's running period, by code."""
    found: dict[str, int] = {}
    for hook in hooks.of(TEMPLATE_VERSIONS):
        found |= await hook(tx, app, board, now_ms)
    return found


async def rewarded(
    hooks: Hooks, tx: Transaction, board: Board, version: int, members: Sequence[str]
) -> set[str]:
    """Return which members have got a reward for a version; while it runs, nobody has."""
    found: set[str] = set()
    if board.t_enabled and version != board.version and members:
        for hook in hooks.of(REWARDED):
            found.update(await hook(tx, board, version, members))
    return found
