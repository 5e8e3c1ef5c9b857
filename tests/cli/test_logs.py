import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from gameserver import logs


@pytest.fixture
def out() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    stream = io.StringIO()
    logs.configure("info", stream=stream)
    yield stream
    root.handlers[:] = before
    root.setLevel(level)
    structlog.reset_defaults()


def lines(out: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_a_line_is_json_with_time_level_and_place(out: io.StringIO) -> None:
    structlog.get_logger("here").info("happened", count=1)
    [line] = lines(out)
    assert (line["event"], line["count"], line["level"], line["logger"]) == ("happened", 1, "info", "here")
    assert line["timestamp"].endswith("Z")


@pytest.mark.parametrize(
    "key",
    [
        "password",
        "token",
        "secret",
        "sessionId",
        "session_id",
        "authenticationToken",
        "X-SIG",
        "user_password",
        "apiKey",
    ],
)
def test_telling_values_are_masked_at_any_depth(out: io.StringIO, key: str) -> None:
    structlog.get_logger().info("x", **{key: "hush"}, deep={"a": [{key: "hush"}]})
    assert "hush" not in out.getvalue()
    assert lines(out)[0]["deep"] == {"a": [{key: "***"}]}


def test_what_only_sounds_alike_is_shown(out: io.StringIO) -> None:
    structlog.get_logger().info("x", operation="a.B", sessions=3, profile="p")
    assert lines(out)[0]["sessions"] == 3


def test_exceptions_say_where_but_not_what_a_player_sent(out: io.StringIO) -> None:
    try:
        int("hush")
    except ValueError:
        structlog.get_logger().exception("failed")
        logging.getLogger("plain").exception("failed too")
    assert "'hush'" not in out.getvalue()  # the text of the exception; lines of the source may be shown
    for line in lines(out):
        assert "test_logs.py" in line["exception"]
        assert line["exception"].endswith("ValueError")


def test_exceptions_name_the_file_or_address_that_failed(out: io.StringIO) -> None:
    try:
        open("/no/such/file")  # noqa: PTH123, SIM115
    except OSError:
        structlog.get_logger().exception("failed")
    assert "/no/such/file" in lines(out)[0]["exception"]


def test_the_web_server_speaks_through_the_same_lines(out: io.StringIO) -> None:
    logging.getLogger("uvicorn.error").warning("careful %s", "there")
    logging.getLogger("uvicorn.error").info("started")
    logging.getLogger("uvicorn.access").info("GET /")
    assert [line["event"] for line in lines(out)] == ["careful there"]


def test_levels_filter(out: io.StringIO) -> None:
    structlog.get_logger().debug("quiet")
    assert not out.getvalue()
    with pytest.raises(ValueError, match="one of"):
        logs.configure("loud")


async def test_lines_of_one_request_carry_its_id(out: io.StringIO) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        structlog.get_logger().info(scope["say"])
        structlog.get_logger().info(scope["say"])

    import asyncio  # noqa: PLC0415

    numbered: Any = logs.with_request_ids(app)

    async def request(say: str) -> None:
        await numbered({"say": say}, None, None)

    for say in ("a", "b"):
        await asyncio.create_task(request(say))
    first, again, second, _ = lines(out)
    assert first["request_id"] == again["request_id"] != second["request_id"]
