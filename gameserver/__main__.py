"""`gameserver` and `python -m gameserver`."""

from gameserver.cli.commands import app


def main() -> None:
    """Run the command line."""
    app(prog_name="gameserver")


if __name__ == "__main__":
    main()
