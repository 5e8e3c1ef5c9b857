"""`gameserver` and `python -m gameserver`."""

import gc

gc.disable()  # what is imported stays: to look for garbage in it takes a sixth of a start

from gameserver.cli.commands import app  # noqa: E402 - see above


def main() -> None:
    """Run the command line."""
    gc.freeze()
    gc.enable()
    app(prog_name="gameserver")


if __name__ == "__main__":
    main()
