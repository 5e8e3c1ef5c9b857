"""The floor of the benchmark: uvicorn and nothing else, answering the bytes of a no-op."""

import socket

import uvicorn
from starlette.types import Receive, Scope, Send

ANSWER = b'{"packetId":1000001,"responses":[{"status":200,"data":null}]}'


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    while (await receive()).get("more_body"):
        pass
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(ANSWER))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": ANSWER})


class Server(uvicorn.Server):
    """Tells its address once it listens."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        port = self.servers[0].sockets[0].getsockname()[1]
        print(f"ready http://127.0.0.1:{port}", flush=True)


def main() -> None:
    config = uvicorn.Config(
        application,
        port=0,
        loop="uvloop",
        http="httptools",
        log_level="warning",
        access_log=False,
        lifespan="off",
    )
    Server(config).run()


if __name__ == "__main__":
    main()
