"""Programs of ours, started in a tenth of the time: forked from a process that has imported the server.

    with start("gameserver", "serve", "--port", "0", cwd=folder, stdout=subprocess.PIPE) as process: ...
    done = run("gameserver", "check", cwd=folder)

To the caller they are what `subprocess.Popen` and `subprocess.run` of `python -m gameserver ...` are, and
the program has arguments, environment, folder and standard files as always. What it does first is to import
modules for a second; the hundreds of starts of a run need not do that each. That a program starts from
nothing is tested where `tests.cli.running` is asked for it, with `anew=True`.

Programs come from two such processes in turn. Their hashes have different seeds: servers of one seed would
agree on orders that are chance.
"""

import atexit
import functools
import gc
import importlib
import itertools
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import IO, Any, Self

ROOT = Path(__file__).parents[1]


class Forked:
    """A program that was forked; the part of `subprocess.Popen` that tests use."""

    def __init__(self, words: list[str], connection: socket.socket, stdout: IO[str] | None) -> None:
        self.args = words
        self.stdout = stdout
        self.returncode: int | None = None
        self._connection = connection
        self._told = connection.makefile("r")
        self._lock = threading.Lock()
        self.pid = int(self._told.readline())

    def poll(self) -> int | None:
        """Its exit code, if it has ended."""
        with suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Its exit code, once it has ended; raises `subprocess.TimeoutExpired`."""
        with self._lock:
            if self.returncode is None:
                end = select.poll()  # knows numbers of files beyond 1024
                end.register(self._connection, select.POLLIN)
                if not end.poll(None if timeout is None else timeout * 1000):
                    raise subprocess.TimeoutExpired(self.args, timeout or 0)
                self.returncode = int(self._told.readline())
                self._told.close()
                self._connection.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it."""
        self.send_signal(signal.SIGKILL)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.stdout is not None:
            self.stdout.close()
        self.wait()


Process = Forked | subprocess.Popen[str]


def start(
    module: str,
    *words: str,
    cwd: Path = ROOT,
    env: Mapping[str, str] | None = None,
    stdin: IO[Any] | int = subprocess.DEVNULL,
    stdout: IO[Any] | int = subprocess.DEVNULL,
    stderr: IO[Any] | int | None = None,
    anew: bool = False,
) -> Process:
    """Run a module as a program, with text in a pipe if `stdout` is one; `anew` it is not forked."""
    if anew:
        command = [sys.executable, "-m", module, *words]
        return subprocess.Popen(
            command, cwd=cwd, env=env, stdin=stdin, stdout=stdout, stderr=stderr, text=True
        )
    reading: IO[str] | None = None
    with ExitStack() as stack:
        if stdout == subprocess.PIPE:
            end, stdout = os.pipe()
            reading = os.fdopen(end, "r")
            stack.callback(os.close, stdout)
        nothing = stack.enter_context(Path(os.devnull).open("r+b"))
        given = [nothing if file == subprocess.DEVNULL else file for file in (stdin, stdout, stderr)]
        files = [2 if file is None else file if isinstance(file, int) else file.fileno() for file in given]
        return _fork(next(_seeds()).address, files, [module, *words], cwd, env, reading)


def command(module: str, *words: str) -> list[str]:
    """The words with which other programs run a module as `run` does."""
    return [sys.executable, "-I", "-S", __file__, next(_seeds()).address, module, *words]


def _fork(
    address: str,
    files: list[int],
    words: list[str],
    cwd: Path,
    env: Mapping[str, str] | None = None,
    reading: IO[str] | None = None,
) -> Forked:
    """Ask for a program with these standard files."""
    umask = os.umask(0)
    os.umask(umask)
    request = {"words": words, "cwd": str(cwd), "env": dict(env or os.environ), "umask": umask}
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(address)
    socket.send_fds(connection, [b"!"], files)
    connection.sendall(json.dumps(request).encode())
    connection.shutdown(socket.SHUT_WR)
    return Forked(words, connection, reading)


def run(
    module: str,
    *words: str,
    cwd: Path = ROOT,
    env: Mapping[str, str] | None = None,
    timeout: float = 120,
) -> subprocess.CompletedProcess[str]:
    """Run a module as a program to its end; returns what it wrote."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        with start(module, *words, cwd=cwd, env=env, stdout=out, stderr=err) as process:
            try:
                code = process.wait(timeout)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
        out.seek(0)
        err.seek(0)
        return subprocess.CompletedProcess(process.args, code, out.read(), err.read())


class Seed:
    """The process that has imported the server, and forks."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="warm-")
        self.address = f"{self._folder.name}/socket"
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(self.address)
            listener.listen(64)
            listener.set_inheritable(True)
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.warm", str(listener.fileno())],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                pass_fds=[listener.fileno()],
            )
        atexit.register(self.close)

    def close(self) -> None:
        """End it; what it started goes on."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()
        self._folder.cleanup()


@functools.cache
def _seeds() -> Iterator[Seed]:
    return itertools.cycle([Seed(), Seed()])


def _serve(listener: socket.socket) -> dict[str, Any]:
    """Fork for each start, until standard input ends; returns in the fork what is to be run there."""
    while True:
        ready, _, _ = select.select([listener.fileno(), 0], [], [])
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        if 0 in ready:
            os._exit(0)
        connection, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            return _look_after(connection)
        connection.close()


def _look_after(connection: socket.socket) -> dict[str, Any]:
    """Fork the program, and tell who asked for it how it ends; returns in the program what it is."""
    _, files, _, _ = socket.recv_fds(connection, 1, 3)
    with connection.makefile("rb") as asked:
        request: dict[str, Any] = json.load(asked)
    pid = os.fork()
    if pid:
        for file in (0, 1, *files):
            os.close(file)
        with suppress(BrokenPipeError):  # who asked has gone
            connection.sendall(f"{pid}\n".encode())
            _, status = os.waitpid(pid, 0)
            connection.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())
        os._exit(0)
    connection.close()
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    return request


def main(listener: int) -> None:
    """Fork what is asked for, and be it."""
    importlib.import_module("gameserver.cli.commands")
    importlib.import_module("alembic.command")  # most begin with an empty database
    gc.freeze()
    gc.enable()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # ends when who started it does
    request = _serve(socket.socket(fileno=listener))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(request["env"])
    os.chdir(request["cwd"])
    os.umask(request["umask"])
    module, *sys.argv[1:] = request["words"]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    if len(sys.argv) > 2:  # see `command`
        sys.exit(_fork(sys.argv[1], [0, 1, 2], sys.argv[2:], Path.cwd()).wait())
    gc.disable()
    main(int(sys.argv[1]))
