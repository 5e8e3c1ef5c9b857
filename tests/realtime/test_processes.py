"""Connections of servers in processes of their own: what ends in one ends in all, and how a server stops."""

import json
import signal
import ssl
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from gameserver.realtime.connections import CONNECTIONS_PER_PLAYER_MAX
from gameserver.storage.schema import migrate
from tests import servers
from tests.cli.running import command
from tests.conftest import APP_TOML
from tests.processes import Process, serve
from tests.simulation.test_processes import Player

END_SECONDS_MAX = 1.0  # after the end of the session, on any process
MACHINE_SECONDS = 1.0  # on top of it for a machine that is busy with other tests


def declare(folder: Path) -> None:
    (folder / "apps" / "test").mkdir(parents=True)
    (folder / "apps" / "test" / "app.toml").write_text(APP_TOML)


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """Closes the connections of a test."""
    with ExitStack() as stack:
        yield stack


def open_connection(
    stack: ExitStack, server: Process, player: Player, tls: ssl.SSLContext | None = None
) -> ClientConnection:
    """Connect as the answer says, and wait for the server's CONNECT."""
    offered = player.call(server, "rttRegistration", "REQUEST_CLIENT_CONNECTION")["data"]
    [endpoint] = [each for each in offered["endpoints"] if each["protocol"] == "ws"]
    assert endpoint["ssl"] == (tls is not None)
    url = f"{'wss' if tls else 'ws'}://{endpoint['host']}:{endpoint['port']}/"
    connection = stack.enter_context(connect(url, ssl=tls, compression=None))
    data = {"sessionId": player.session_id, "auth": offered["auth"]}
    connection.send(json.dumps({"service": "rtt", "operation": "CONNECT", "data": data}))
    answer = json.loads(connection.recv(10))
    assert answer["operation"] == "CONNECT", answer
    return connection


def end_of(connection: ClientConnection, seconds: float = 10) -> Any:
    """Why a connection ended, once it has."""
    said = json.loads(connection.recv(seconds))
    assert said["operation"] == "DISCONNECT"
    with pytest.raises(ConnectionClosed):
        connection.recv(seconds)
    return said["data"]


@contextmanager
def two_servers(folder: Path, redis: str) -> Iterator[tuple[Process, Process]]:
    declare(folder)
    with servers.postgresql() as database, ExitStack() as stack:
        migrate(database)
        options = ("--redis", redis, "--database", database)
        one = stack.enter_context(serve(folder, *options))
        yield one, stack.enter_context(serve(folder, *options))


def test_a_session_that_ends_in_one_process_ends_its_connections_in_all(
    tmp_path: Path, stack: ExitStack
) -> None:
    with servers.redis() as redis, two_servers(tmp_path, redis) as (one, two):
        ada, bob = Player("ada"), Player("bob")
        ada.log_in(one)
        bob.log_in(one)
        of_ada = [open_connection(stack, one, ada), open_connection(stack, two, ada)]
        of_bob = open_connection(stack, two, bob)
        started = time.monotonic()
        assert ada.call(one, "playerState", "LOGOUT")["status"] == 200
        for connection in of_ada:
            assert end_of(connection)["reasonCode"] == 40304
        assert time.monotonic() - started < END_SECONDS_MAX + MACHINE_SECONDS
        again = Player("bob")
        started = time.monotonic()
        again.log_in(one)  # which takes the place of the first session
        assert end_of(of_bob)["reasonCode"] == 40356
        assert time.monotonic() - started < END_SECONDS_MAX + MACHINE_SECONDS


def test_a_secret_of_one_process_opens_a_connection_of_another_and_only_one(tmp_path: Path) -> None:
    with servers.redis() as redis, two_servers(tmp_path, redis) as (one, two):
        ada = Player("ada")
        ada.log_in(one)
        auth = ada.call(one, "rttRegistration", "REQUEST_CLIENT_CONNECTION")["data"]["auth"]
        hello = {"operation": "CONNECT", "data": {"sessionId": ada.session_id, "auth": auth}}
        answers = []
        for server in (two, one, two):
            with connect(server.url.replace("http", "ws") + "/", compression=None) as connection:
                connection.send(json.dumps(hello))
                answers.append(json.loads(connection.recv(10))["operation"])
        assert answers == ["CONNECT", "DISCONNECT", "DISCONNECT"]


def test_redis_that_is_lost_and_comes_back_empty_ends_what_nobody_knows_any_more(
    tmp_path: Path, stack: ExitStack
) -> None:
    port = str(servers.free_port())
    options = ("--port", port, "--bind", "127.0.0.1")
    with ExitStack() as running:
        first = running.enter_context(ExitStack())
        first.enter_context(servers.redis(*options))
        one, two = running.enter_context(two_servers(tmp_path, f"redis://127.0.0.1:{port}"))
        ada = Player("ada")
        ada.log_in(one)
        connection = open_connection(stack, two, ada)
        first.close()
        connection.ping().wait(5)  # it is kept while Redis is away
        running.enter_context(servers.redis(*options))
        assert end_of(connection, 15)["reasonCode"] == 40304
        ada.log_in(one)
        again = open_connection(stack, two, ada)
        assert ada.call(one, "playerState", "LOGOUT")["status"] == 200
        assert end_of(again)["reasonCode"] == 40304


def test_a_player_has_so_many_connections_in_all_processes_together(tmp_path: Path, stack: ExitStack) -> None:
    with servers.redis() as redis, two_servers(tmp_path, redis) as (one, two):
        ada = Player("ada")
        ada.log_in(one)
        for number in range(CONNECTIONS_PER_PLAYER_MAX):
            open_connection(stack, (one, two)[number % 2], ada)
        for server in (one, two):
            with pytest.raises(AssertionError, match="49120"):
                open_connection(stack, server, ada)


def test_a_server_that_stops_asks_its_clients_to_connect_elsewhere(tmp_path: Path, stack: ExitStack) -> None:
    declare(tmp_path)
    with serve(tmp_path) as server:
        players = [Player(f"player {number}") for number in range(5)]
        connections = []
        for player in players:
            player.log_in(server)
            connections.append(open_connection(stack, server, player))
        server.popen.send_signal(signal.SIGTERM)
        for connection in connections:
            assert end_of(connection)["reasonCode"] == 49121
        assert server.popen.wait(30) == 0


def test_connections_over_tls(tmp_path: Path, stack: ExitStack) -> None:
    declare(tmp_path)
    assert command(tmp_path, "dev-cert").returncode == 0
    certificate, key = (str(tmp_path / "certs" / f"server.{kind}") for kind in ("pem", "key"))
    trust = ssl.create_default_context(cafile=str(tmp_path / "certs" / "ca.pem"))
    with serve(tmp_path, "--tls-cert", certificate, "--tls-key", key) as server:
        player = Player("ada")
        player.log_in(server)
        connection = open_connection(stack, server, player, trust)
        assert player.call(server, "playerState", "LOGOUT")["status"] == 200
        assert end_of(connection)["reasonCode"] == 40304
