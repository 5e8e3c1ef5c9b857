"""Try one operation from a terminal."""

import argparse
import json
import os
import sys
from typing import Any

import httpx

from gameserver_client.blocking import Client
from gameserver_client.errors import GameServerError
from gameserver_client.protocol import LOGOUT, Data, Retry, Settings

EXAMPLES = """\
examples:
  # a call that needs nobody signed in
  python -m gameserver_client --url http://127.0.0.1:8080 --app 10001 authenticationV2 GET_SERVER_VERSION

  # sign in as an installation (creates the player), read its state, sign out
  python -m gameserver_client --url http://127.0.0.1:8080 --app 10001 --anonymous device-1 playerState READ

  # with a name and a password, and data for the operation
  python -m gameserver_client --url http://127.0.0.1:8080 --app 10001 --universal ada --password pw \\
      playerState UPDATE_NAME '{"playerName":"Ada"}'

The answer's data goes to standard output as JSON. A refusal goes to standard error, and the exit code is 1.
GAMESERVER_SECRET and GAMESERVER_PASSWORD may stand in for --secret and --password.
"""


def main(arguments: list[str] | None = None, http: httpx.Client | None = None) -> int:
    """Run one operation; 0 when it succeeded, 1 when it was refused or not answered."""
    options = parser().parse_args(arguments)
    settings = Settings(retry=Retry((options.patience,)), heartbeats=False)
    try:
        client = Client(options.url, options.app, options.secret, settings=settings, http=http)
    except ValueError as error:
        return complain(str(error))
    with client:
        try:
            data = run(client, options)
        except GameServerError as refusal:
            return complain(str(refusal))
    sys.stdout.write(json.dumps(data, indent=2, ensure_ascii=False) + "\n")
    return 0


def run(client: Client, options: argparse.Namespace) -> Data:
    """Sign in if asked to, call, sign out again."""
    if options.anonymous:
        client.authenticate_anonymous(options.anonymous, force_create=options.create)
    elif options.universal:
        client.authenticate_universal(options.universal, options.password, force_create=options.create)
    try:
        return client.call(options.service, options.operation, options.data)
    finally:
        if client.session is not None and (options.service, options.operation) != LOGOUT:
            client.logout()


def complain(message: str) -> int:
    """Say what went wrong and return the exit code."""
    sys.stderr.write(f"{message}\n")
    return 1


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    command = argparse.ArgumentParser(
        prog="python -m gameserver_client",
        description="Run one operation of a game server and print what it answers.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = command.add_argument
    add("--url", required=True, help="address of the server, e.g. http://127.0.0.1:8080")
    add("--app", required=True, help="app id, e.g. 10001")
    add(
        "--secret",
        default=os.environ.get("GAMESERVER_SECRET", ""),
        help="app secret; packets are signed with it",
    )
    who = command.add_mutually_exclusive_group()
    who.add_argument("--anonymous", metavar="ID", help="sign in as the installation with this id")
    who.add_argument("--universal", metavar="NAME", help="sign in with this name and --password")
    add("--password", default=os.environ.get("GAMESERVER_PASSWORD", ""), help="for --universal")
    add(
        "--create",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="create the player when the login is new (the default)",
    )
    add(
        "--patience",
        type=seconds,
        default=15.0,
        metavar="SECONDS",
        help="how long to try each packet: %(default)s",
    )
    add("service", help="e.g. playerState")
    add("operation", help="e.g. READ")
    add("data", nargs="?", type=json_object, default={}, help="the operation's data, a JSON object: {}")
    return command


def seconds(text: str) -> float:
    """Read a time above zero. Raises ArgumentTypeError."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds above 0")
    return value


def json_object(text: str) -> dict[str, Any]:
    """Read a JSON object. Raises ArgumentTypeError."""
    try:
        value = json.loads(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"not JSON: {error}") from error
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError("not a JSON object")
    return value


if __name__ == "__main__":
    sys.exit(main())
