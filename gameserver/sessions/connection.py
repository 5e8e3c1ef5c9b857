"""From a URL to a Redis client: one server, Sentinel or Cluster."""

from typing import Any
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from redis.asyncio import Redis, RedisCluster
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel, SentinelConnectionPool
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoPermissionError

TIMEOUT_SECONDS = 2.0
HEALTH_CHECK_SECONDS = 10  # a subscription hears nothing for long; this notices a server that vanished
SENTINEL_PORT = 26379
CLUSTER_PORT = 6379

AnyRedis = Redis | RedisCluster


class BadUrl(ValueError):
    """The URL of Redis cannot be read; the message says what is expected, and repeats none of it."""


async def connect(url: str) -> AnyRedis:
    """Return a client for a URL.

    The forms are `redis://`, `rediss://`, `unix://`, `redis+sentinel://host:port,…/service?db=0` and
    `redis+cluster://host:port,…`; `rediss+…` speaks TLS. The server need not be up. Raises `BadUrl` for
    any other form; its text repeats no part of the URL.
    """
    scheme = url.partition(":")[0]
    if scheme in {"redis", "rediss", "unix"}:
        try:
            return Redis.from_url(url, **_options())
        except ValueError:  # whose words may repeat a password
            raise BadUrl("the Redis URL is not of the form redis://user:password@host:port/number") from None
    kind = scheme.partition("+")[2]
    if scheme in {"redis+sentinel", "rediss+sentinel", "redis+cluster", "rediss+cluster"}:
        parts = urlsplit(url)
        options = _options() | _credentials(parts) | ({"ssl": True} if scheme.startswith("rediss") else {})
        return _sentinel(parts, options) if kind == "sentinel" else _cluster(parts, options)
    raise BadUrl(
        "a Redis URL begins with redis://, rediss://, unix://, redis+sentinel:// or redis+cluster://"
    )


async def disconnect(redis: AnyRedis) -> None:
    """Close all connections of a client, those to Sentinels too, which its own `aclose` forgets."""
    await redis.aclose()
    if isinstance(redis, Redis) and isinstance(redis.connection_pool, SentinelConnectionPool):
        for sentinel in redis.connection_pool.sentinel_manager.sentinels:
            await sentinel.aclose()


def _options() -> dict[str, Any]:
    # No retries below us: a step whose reply got lost may have been taken; only callers know what that means.
    return {
        "socket_timeout": TIMEOUT_SECONDS,
        "socket_connect_timeout": TIMEOUT_SECONDS,
        "health_check_interval": HEALTH_CHECK_SECONDS,
        "retry": Retry(NoBackoff(), 0),
    }


def _credentials(parts: SplitResult) -> dict[str, Any]:
    given = {"username": parts.username, "password": parts.password}
    return {name: unquote(value) for name, value in given.items() if value}


def _hosts(parts: SplitResult, default_port: int) -> list[tuple[str, int]]:
    hosts = []
    for place in parts.netloc.rpartition("@")[2].split(","):
        try:
            one = urlsplit(f"//{place}")
            host, port = one.hostname, one.port
        except ValueError:
            raise BadUrl("a host of the Redis URL is not of the form host:port") from None
        if not host:
            raise BadUrl("a host of the Redis URL is missing")
        hosts.append((host, port or default_port))
    return hosts


def _sentinel(parts: SplitResult, options: dict[str, Any]) -> AnyRedis:
    service = unquote(parts.path.strip("/"))
    query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    db = query.get("db", "0")
    if not service or not db.isdecimal():
        raise BadUrl("a Sentinel URL ends with /service and maybe ?db=number")
    watchers = {
        name: options[name] for name in options.keys() & {"socket_timeout", "socket_connect_timeout", "ssl"}
    }
    watchers |= {
        name: query[f"sentinel_{name}"] for name in ("username", "password") if f"sentinel_{name}" in query
    }
    sentinel = Sentinel(_hosts(parts, SENTINEL_PORT), sentinel_kwargs=watchers)  # type: ignore[no-untyped-call]
    client: Redis = sentinel.master_for(service, db=int(db), redis_connect_func=_greet_master, **options)
    return client


async def _greet_master(connection: AbstractConnection) -> None:
    """Let a new connection only be used when it leads to a master.

    While a Sentinel makes up its mind, it still names the old master, which may be back as a replica with
    nothing in it; what a replica does not have would be taken for sessions that nobody knows.
    """
    await connection.on_connect()
    await connection.send_command("ROLE")
    try:
        role = await connection.read_response()
    except NoPermissionError:  # a user who may not ask has to trust the Sentinel
        return
    if role[0] not in {b"master", "master"}:
        raise RedisConnectionError("the Sentinel has named a server that is no master")


def _cluster(parts: SplitResult, options: dict[str, Any]) -> AnyRedis:
    nodes = [ClusterNode(host, port) for host, port in _hosts(parts, CLUSTER_PORT)]
    return RedisCluster(startup_nodes=nodes, **options)
