"""`gameserver leaderboard`: what an operator does with leaderboards."""

from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from gameserver.cli import options
from gameserver.cli.output import Exit, fail, show_rows
from gameserver.cli.reach import do
from gameserver.settings import Settings

_COLUMNS = {"leaderboard": "LEADERBOARD", "entries": "ENTRIES"}

leaderboards = typer.Typer(help="Leaderboards: build their ranks again.", no_args_is_help=True)


@leaderboards.callback()
def _group() -> None:
    """Keep the name of the command below, although there is but one."""


@leaderboards.command(
    "rebuild",
    epilog="Examples:\n\n`gameserver leaderboard rebuild 10001 high_scores`\n\n"
    "`gameserver leaderboard rebuild 10001 --all`",
)
@options.reaching
def leaderboard_rebuild(
    app_id: options.AppId,
    board: Annotated[str, typer.Argument(metavar="[BOARD]", help="Its id.", show_default=False)] = "",
    *,
    every: Annotated[bool, typer.Option("--all", help="All leaderboards of the app.")] = False,
    where: Settings,
    as_json: options.AsJson = False,
) -> None:
    """Build the ranks of a leaderboard again, from the scores in the database.

    Ranks mend themselves, so this is for those who do not want to wait. Meanwhile pages come from the
    database: right, but slower on a large board.
    """
    if bool(board) == every:
        fail("name a leaderboard, or say --all", Exit.USAGE)
    boards = do(where, "leaderboard_list", app=app_id) if every else [board]
    with Progress(transient=True, console=Console(stderr=True)) as progress:
        rows = [
            do(where, "leaderboard_rebuild", app=app_id, board=name)
            for name in progress.track(boards, description="building")
        ]
    show_rows(rows, _COLUMNS, as_json=as_json, none="no leaderboards")
