import contextlib
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from gameserver.emulator import Chance
from gameserver.serve import BadOptions, check_options
from gameserver.settings import Settings
from tests.cli.running import Running, command, program, running
from tests.servers import postgresql, redis


def test_an_empty_folder_becomes_a_server_and_the_printed_line_logs_in(tmp_path: Path) -> None:
    with running(tmp_path, anew=True) as server:
        [line] = re.findall(r"^ +(curl .+)$", server.errors, re.MULTILINE)
        done = subprocess.run(shlex.split(line), capture_output=True, text=True, timeout=30, check=True)
        entry = json.loads(done.stdout)["responses"][0]
        assert entry["status"] == 200
        assert entry["data"]["newUser"] == "true"
        secret = re.search(r"secret +(\S+)", server.errors)
        assert secret is not None
        assert secret[1] in (tmp_path / "apps/sample/app.toml").read_text()
        assert server.stop() == 0
    with running(tmp_path, anew=True) as again:
        assert "curl" not in again.errors


def test_players_survive_a_restart_and_sessions_of_an_embedded_server_do_not(tmp_path: Path) -> None:
    with running(tmp_path) as server:
        first = server.log_in()["data"]
        assert server.stop() == 0
    with running(tmp_path) as server:
        assert server.call(first["sessionId"], 1, "playerState", "READ")["reason_code"] == 40304
        again = server.log_in()["data"]
    assert (again["profileId"], again["newUser"]) == (first["profileId"], "false")


def test_the_end_of_the_server_waits_for_packets_in_flight(tmp_path: Path) -> None:
    with running(tmp_path) as server:
        host, port = "127.0.0.1", int(server.url.rpartition(":")[2])
        body = json.dumps(
            {
                "packetId": 0,
                "gameId": "10001",
                "messages": [{"service": "time", "operation": "READ", "data": {}}],
            }
        ).encode()
        with socket.create_connection((host, port), timeout=30) as connection:
            head = f"POST /dispatcher HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
            connection.sendall(head.encode() + body[:10])
            httpx.get(server.url + "/healthz")  # by now the server has seen the beginning
            server.process.send_signal(signal.SIGTERM)
            refused = threading.Event()
            while not refused.is_set():  # it no longer accepts connections: it is on its way out
                try:
                    socket.create_connection((host, port), timeout=1).close()
                except OSError:
                    refused.set()
            connection.sendall(body[10:])
            answer = connection.recv(65536)
        assert answer.startswith(b"HTTP/1.1 200")
        assert server.process.wait(30) == 0


def test_a_port_in_use_is_one_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = program(tmp_path, "serve", "--port", str(port))
    assert done.returncode == 1
    assert (
        done.stderr == f"port {port} of 127.0.0.1 is in use by another program; choose another with --port\n"
    )
    assert not list(tmp_path.iterdir())


def test_a_second_server_on_the_same_data_is_refused(tmp_path: Path) -> None:
    with running(tmp_path):
        done = program(tmp_path, "serve", "--port", "0")
    assert done.returncode == 1
    assert "works on data already" in done.stderr


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        (Settings(workers=2), "needs --redis"),
        (Settings(workers=2, redis="redis://x"), "PostgreSQL"),
        (Settings(workers=0), "from 1 to"),
        (Settings(ephemeral=True, redis="redis://x"), "keeps nothing"),
        (Settings(seed=1), "--ephemeral only"),
        (Settings(port=65535), "no port after"),
        (Settings(proxies="*"), "believe everybody"),
        (Settings(proxies="10.0.0.5,0.0.0.0/0"), "believe everybody"),
        (Settings(proxies="::/0"), "believe everybody"),
        (Settings(proxies="10.0.0.5,balancer"), "expected addresses and networks"),
        (Settings(proxies="10.0.0.5/8"), "host bits"),
        (Settings(realtime_url="https://play.test"), "wss://play.example.com"),
        (Settings(tls_cert="x"), "together"),
        (Settings(tls_cert="absent.pem", tls_key="absent.key"), "cannot be used"),
    ],
)
def test_options_that_contradict_each_other(settings: Settings, reason: str) -> None:
    with pytest.raises(BadOptions, match=reason):
        check_options(settings)


def test_contradicting_options_end_with_2(tmp_path: Path) -> None:
    done = program(tmp_path, "serve", "--workers", "2")
    assert done.returncode == 2
    assert "a logout on one would not count on the others" in done.stderr


def test_tls_with_a_certificate_of_dev_cert(tmp_path: Path) -> None:
    assert command(tmp_path, "dev-cert").returncode == 0
    with running(tmp_path, "--tls-cert", "certs/server.pem", "--tls-key", "certs/server.key") as server:
        assert server.url.startswith("https://localhost:")
        import ssl  # noqa: PLC0415

        trust = ssl.create_default_context(cafile=str(tmp_path / "certs/ca.pem"))
        assert httpx.get(server.url + "/healthz", verify=trust).status_code == 200


def test_apps_whose_doors_are_open_are_warned_of_when_others_can_connect(tmp_path: Path) -> None:
    with running(tmp_path, "--host", "0.0.0.0") as server:
        assert f"http://127.0.0.1:{server.url.rpartition(':')[2]}/dispatcher" in server.errors
        assert "unsigned_packets_from_other_machines" in server.errors
        assert "anonymous_ids_alone_from_other_machines" in server.errors
    with running(tmp_path) as server:
        assert "from_other_machines" not in server.errors


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_test_accounts_and_stand_ins_are_warned_of_wherever_the_server_listens(
    tmp_path: Path, host: str
) -> None:
    """Also where this machine alone can connect: a proxy may stand in front."""
    (tmp_path / "apps" / "demo").mkdir(parents=True)
    app = tmp_path / "apps" / "demo" / "app.toml"
    app.write_text('id = "10002"\nsecret = "0123456789abcdef"\ntitle = "Demo"\n')
    with running(tmp_path, "--host", host) as server:
        assert "test_accounts_may_log_in" not in server.errors
        assert "platforms_are_not_asked" not in server.errors
    with app.open("a") as file:
        file.write('[providers]\nstand_in = "http://127.0.0.1:9"\n')
        file.write('dev_tokens = { Steam = { "76561190000000001" = "a-token-for-tests" } }\n')
    with running(tmp_path, "--host", host) as server:
        [accounts] = re.findall(r".*test_accounts_may_log_in.*", server.errors)
        assert "10002" in accounts
        assert "Steam" in accounts
        assert "delete dev_tokens from [providers] of" in accounts
        [stand_in] = re.findall(r".*platforms_are_not_asked.*", server.errors)
        assert "http://127.0.0.1:9" in stand_in
        assert "delete stand_in from [providers] of" in stand_in
        assert "a-token-for-tests" not in server.errors
        assert "76561190000000001" not in server.errors


BROKEN_APP = 'id = "10002"\nsecret = "0123456789abcdef"\ntitel = "Demo"\n'


def test_apps_of_which_none_is_good_are_not_served(tmp_path: Path) -> None:
    (tmp_path / "apps" / "demo").mkdir(parents=True)
    (tmp_path / "apps" / "demo" / "app.toml").write_text(BROKEN_APP)
    done = program(tmp_path, "serve", "--port", "0")
    assert done.returncode == 3
    assert done.stdout == ""
    checked = program(tmp_path, "check").stdout.strip()
    assert checked.startswith("apps/demo/app.toml:3 titel: ")
    assert done.stderr == f"{checked}\nno app of apps can be served; see `gameserver check`\n"
    assert not (tmp_path / "data").exists()


def test_an_app_that_is_not_good_is_told_of_and_keeps_nobody_from_the_others(tmp_path: Path) -> None:
    with running(tmp_path):
        pass
    (tmp_path / "apps" / "demo").mkdir()
    (tmp_path / "apps" / "demo" / "app.toml").write_text(BROKEN_APP)
    with running(tmp_path) as server:
        [line] = [json.loads(line) for line in server.errors.splitlines() if "app_not_served" in line]
        assert (line["level"], line["app"]) == ("error", "demo")
        assert line["mistakes"][0].startswith("apps/demo/app.toml:3 titel: ")
        assert server.log_in()["status"] == 200
        ready = httpx.get(server.admin_url + "/readyz")
        assert (ready.status_code, ready.json()["apps"]) == (200, "mistakes: 1; see `gameserver check`")
        assert "\ngameserver_app_mistakes 1.0\n" in httpx.get(server.admin_url + "/metrics").text


def _first_login(server: Running) -> tuple[str, str]:
    answer = server.log_in()["data"]
    return answer["profileId"], answer["sessionId"]


def test_an_ephemeral_server_keeps_nothing_and_repeats_itself(tmp_path: Path) -> None:
    with running(tmp_path, "--ephemeral", "--seed", "7") as server:
        first = _first_login(server)
    with running(tmp_path, "--ephemeral", "--seed", "7") as server:
        assert _first_login(server) == first
    with running(tmp_path, "--ephemeral", "--seed", "8") as server:
        assert _first_login(server) != first
    assert not list(tmp_path.iterdir())


def test_the_clock_of_an_ephemeral_server_is_moved(tmp_path: Path) -> None:
    with running(tmp_path, "--ephemeral") as server:
        session = server.log_in()["data"]["sessionId"]
        before = server.call(session, 1, "time", "READ")["data"]["server_time"]
        assert server.call(session, 2, "time", "READ")["data"]["server_time"] == before
        moved = server.post({"advance_seconds": 1201}, "/_clock")
        assert moved.json() == {"now_ms": before + 1_201_000}
        assert server.call(session, 3, "time", "READ")["reason_code"] == 40303
        assert server.post({"advance_seconds": -1}, "/_clock").status_code == 400
        assert server.post({"advance": 1}, "/_clock").status_code == 400
    with running(tmp_path) as server:
        assert server.post({"advance_seconds": 1}, "/_clock").status_code == 404


def test_what_operators_ask_has_an_address_of_its_own(tmp_path: Path) -> None:
    with running(tmp_path) as server:
        for page in ("/metrics", "/readyz", "/apps/10001/openapi.json"):
            assert httpx.get(server.url + page).status_code == 404
        assert httpx.get(server.admin_url + "/readyz").json()["status"] == "ready"
        assert "gameserver_packets_total" in httpx.get(server.admin_url + "/metrics").text
        assert (
            httpx.get(server.admin_url + "/apps/10001/openapi.json").status_code == 404
        )  # it has no endpoints
        for url in (server.url, server.admin_url):
            assert httpx.get(url + "/healthz").json() == {"status": "alive"}
        assert httpx.post(server.admin_url + "/dispatcher", json={}).status_code == 404
        assert server.stop() == 0


def test_the_operators_address_is_chosen(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = program(tmp_path, "serve", "--port", "0", "--admin-port", str(port))
    assert done.returncode == 1
    assert done.stderr == (
        f"port {port} of 127.0.0.1 is in use by another program; choose another with --admin-port\n"
    )
    assert not list(tmp_path.iterdir())
    with running(tmp_path, "--admin-port", str(port), "--admin-host", "127.0.0.2") as server:
        assert server.admin_url == f"http://127.0.0.2:{port}"
        assert httpx.get(server.admin_url + "/readyz").status_code == 200


def test_the_seed_decides_ids() -> None:
    one, same, other = (Chance(seed).options() for seed in (1, 1, 2))
    assert one["new_id"]() == same["new_id"]() != other["new_id"]()
    assert one["random_bytes"](16) == same["random_bytes"](16)


def _packets(server: Running) -> float:
    counted = httpx.get(server.admin_url + "/metrics").text
    packets = re.search(r'^gameserver_packets_total\{status="200"\} (\S+)', counted, re.MULTILINE)
    assert packets is not None
    return float(packets[1])


def test_several_workers_are_one_server(tmp_path: Path) -> None:
    with redis() as redis_url, postgresql() as database_url:
        where = ("--redis", redis_url, "--database", database_url)
        assert command(tmp_path, "migrate", "--database", database_url).returncode == 0
        with running(tmp_path, "--workers", "2", *where) as server:
            session = server.log_in()["data"]["sessionId"]
            for packet_id in range(1, 20):
                assert server.call(session, packet_id, "playerState", "READ")["status"] == 200
            assert server.call(session, 20, "playerState", "LOGOUT")["status"] == 200
            for packet_id in range(21, 40):  # each on a connection of its own, so both workers are asked
                assert server.call(session, packet_id, "playerState", "READ")["reason_code"] == 40304
            _until(lambda: _packets(server) == 40)  # the other worker settles its counts once a second
            assert server.stop() == 0


def test_a_worker_that_dies_is_replaced_and_none_outlives_the_server(tmp_path: Path) -> None:
    with redis() as redis_url, postgresql() as database_url:
        where = ("--redis", redis_url, "--database", database_url)
        assert command(tmp_path, "migrate", "--database", database_url).returncode == 0
        with running(tmp_path, "--workers", "2", *where) as server:
            session = server.log_in()["data"]["sessionId"]
            first = _workers(server)
            os.kill(first[0], signal.SIGKILL)
            _until(lambda: len(_workers(server)) == 2 and first[0] not in _workers(server))
            assert server.call(session, 1, "playerState", "READ")["status"] == 200
            left = _workers(server)
            server.process.kill()
            _until(lambda: not any(_is_alive(worker) for worker in left))


def _workers(server: Running) -> list[int]:
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            with contextlib.suppress(OSError):
                status = (folder / "stat").read_text().rpartition(")")[2].split()
                words = (folder / "cmdline").read_bytes()
                if int(status[1]) == server.process.pid and b"spawn_main" in words and status[0] != "Z":
                    found.append(int(folder.name))
    return found


def _is_alive(pid: int) -> bool:
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _until(holds: Callable[[], bool]) -> None:
    """Processes of others end when they end: there is no event to wait for."""
    late = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < late, "it did not happen within 30 seconds"
        time.sleep(0.05)


def test_the_address_behind_a_named_proxy_is_the_players(tmp_path: Path) -> None:
    for options, address in ((), "127.0.0.1"), (("--proxies", "127.0.0.1"), "203.0.113.7"):
        with running(tmp_path, *options) as server:
            body = {
                "packetId": 0,
                "gameId": "10001",
                "messages": [
                    {
                        "service": "authenticationV2",
                        "operation": "AUTHENTICATE",
                        "data": {"authenticationType": "Anonymous", "externalId": "x", "forceCreate": True},
                    }
                ],
            }
            httpx.post(server.url + "/dispatcher", json=body, headers={"X-Forwarded-For": "203.0.113.7"})
            [session] = json.loads(command(tmp_path, "session", "list", "10001", "--json").stdout)
            assert session["facts"]["address"] == address


def test_what_cannot_be_reached_ends_with_4(tmp_path: Path) -> None:
    done = program(tmp_path, "serve", "--port", "0", "--database", f"postgresql://g@/g?host={tmp_path}")
    assert (done.returncode, done.stdout) == (4, "")
    assert "cannot connect to the database" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("option", "url"),
    [
        ("--database", "postgresql://me:hid/den@host:x/game"),
        ("--database", "mysql://me:hidden@host/game"),
        ("--redis", "redis://me:hid/den@host:x"),
        ("--redis", "http://me:hidden@host"),
    ],
)
def test_a_bad_url_is_wrong_usage_and_repeats_no_password(tmp_path: Path, option: str, url: str) -> None:
    done = program(tmp_path, "serve", "--port", "0", option, url)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith(f"{option}: ")
    assert "hid" not in done.stderr


def test_a_redis_that_is_not_there_is_told_at_once(tmp_path: Path) -> None:
    with running(tmp_path, "--redis", f"unix://{tmp_path}/none.sock") as server:
        [line] = [line for line in server.errors.splitlines() if "sessions_unavailable" in line]
    assert "error" in line
    assert "Redis cannot be reached" in line


def test_a_program_that_is_no_redis_is_told_at_once(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]

        def talk() -> None:
            with contextlib.suppress(OSError):
                while True:
                    peer, _ = other.accept()
                    with peer:
                        peer.recv(1000)
                        peer.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        threading.Thread(target=talk, daemon=True).start()
        with running(tmp_path, "--redis", f"redis://127.0.0.1:{port}") as server:
            assert "sessions_unavailable" in server.errors


def test_a_redis_that_throws_sessions_away_is_told_at_once(tmp_path: Path) -> None:
    options = ("--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru")
    with redis(*options) as url, running(tmp_path, "--redis", url) as server:
        [line] = [line for line in server.errors.splitlines() if "sessions_at_risk" in line]
    assert "allkeys-lru" in line
