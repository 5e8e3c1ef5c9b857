"""`gameserver export` and `gameserver import`: all the data of an app, as JSON lines."""

import contextlib
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from gameserver import __version__
from gameserver.admin.moving import PARTS, read_line
from gameserver.admin.moving.lines import (
    BATCH_BYTES_MAX,
    END,
    FORMAT,
    HEADER,
    LINE_BYTES_MAX,
    LINES_MAX,
    Line,
)
from gameserver.cli import options
from gameserver.cli.braincloud import from_braincloud
from gameserver.cli.output import Exit, fail, say, show_json
from gameserver.cli.reach import Do, keep_doing
from gameserver.settings import Settings

PAGE = 500
TOLD_MAX = 20  # of what was not taken, on the terminal; --report has all of it


class _Head(msgspec.Struct, rename="camel"):
    """What the command itself reads of a line."""

    type: str = ""
    format: int = 0
    lines: dict[str, int] = msgspec.field(default_factory=dict)


_read_head = msgspec.json.Decoder(_Head).decode


@options.reaching
def export_app(
    app_id: options.AppId,
    *,
    to: Annotated[
        Path | None,
        typer.Option(
            "--to", dir_okay=False, help="File to write, readable by you alone; it must not exist yet."
        ),
    ] = None,
    with_passwords: Annotated[
        bool, typer.Option("--with-passwords", help="Tell the digests of passwords, too.")
    ] = False,
    where: Settings,
) -> None:
    """Write the data of an app as JSON lines, while the server runs.

    Players with identities, statistics and balances, entities, global entities and statistics, friends and
    blocks, groups with members and entities, chat, messages, events, leaderboards with the scores of their
    running versions. `gameserver import` takes them; docs/moving-in.md describes them and says what is not
    among them.
    """
    if to is not None and to.exists():
        fail(f"{to} exists already")
    counts: Counter[str] = Counter()

    async def work(do: Do) -> None:
        with _written(to) as file, _bar("exporting") as progress:
            task = progress.add_task("", total=None)
            head = {
                "type": HEADER,
                "format": FORMAT,
                "appId": app_id,
                "exportedAt": round(datetime.now(UTC).timestamp() * 1000),
                "version": __version__,
            }
            first = True
            for part in PARTS:
                after: Any = None
                while True:
                    page = await do(
                        "export_page",
                        app=app_id,
                        part=part,
                        limit=PAGE,
                        after=after,
                        with_passwords=with_passwords,
                    )
                    if first:  # the app is there
                        _write(file, msgspec.json.encode(head).decode())
                        first = False
                    for line in page["lines"]:
                        _write(file, line)
                    if page["lines"]:
                        counts[part] += len(page["lines"])
                    progress.update(task, description=_counted(counts))
                    after = page["after"]
                    if after is None:
                        break
            _write(file, msgspec.json.encode({"type": END, "lines": counts}).decode())

    keep_doing(where, work)
    if to is not None:
        say([f"{to}: {_counted(counts)}"])


@options.reaching
def import_app(
    app_id: options.AppId,
    file: Annotated[
        Path, typer.Argument(help="A file of `gameserver export`.", show_default=False, dir_okay=False)
    ],
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Change nothing; tell what would be taken and what not.")
    ] = False,
    from_line: Annotated[
        int, typer.Option("--from-line", min=1, help="Begin here: a command that was cut off says where.")
    ] = 1,
    report: Annotated[
        Path | None,
        typer.Option("--report", dir_okay=False, help="File for all that was not taken, as JSON lines."),
    ] = None,
    where: Settings,
    as_json: options.AsJson = False,
) -> None:
    """Take the JSON lines of an export into an app, while the server runs.

    What is there already stays as it is, so a file may be taken again, also after a crash in the middle. What
    is not taken is told with its line and the reason; the command then ends with 3.
    """
    if not file.is_file():
        fail(f"{file} is not there")
    taking = _Taking(app_id, dry_run=dry_run)
    with contextlib.ExitStack() as stack:
        source = stack.enter_context(file.open("rb"))
        if report is not None:
            try:
                taking.report = stack.enter_context(report.open("w", encoding="utf-8"))
            except OSError as error:
                fail(str(error))
        progress = stack.enter_context(_bar("importing"))
        task = progress.add_task("", total=file.stat().st_size)
        taking.moved = lambda: progress.update(task, completed=source.tell(), description=taking.told())

        async def work(do: Do) -> None:
            await taking.run(do, source, from_line)
            taking.is_done = True

        try:
            keep_doing(where, work)
        finally:
            if not taking.is_done and taking.next_line > from_line:
                sys.stderr.write(f"cut off; go on with --from-line {taking.next_line}\n")
    if not taking.is_done:
        raise typer.Exit(Exit.REFUSED)
    taking.show(as_json=as_json)


class _Taking:
    """The lines of a file, on their way into an app."""

    def __init__(self, app_id: str, *, dry_run: bool) -> None:
        self.app_id = app_id
        self.dry_run = dry_run
        self.report: IO[str] | None = None
        self.moved: Any = lambda: None
        self.is_done = False
        self.next_line = 1
        self._taken: Counter[str] = Counter()
        self._there: Counter[str] = Counter()
        self._skipped: list[dict[str, Any]] = []
        self._skipped_count = 0
        self._promised: set[str] = set()  # players, groups and boards of a dry run so far
        self._seen: Counter[str] = Counter()
        self._announced: dict[str, int] | None = None
        self._began = 1

    async def run(self, do: Do, source: IO[bytes], from_line: int) -> None:
        self._began = self.next_line = from_line
        batch: list[str] = []
        size = 0
        for number, raw in enumerate(_lines(source), 1):
            if number < from_line:
                continue
            text = self._readable(raw, number)
            batch.append(text)
            size += len(raw)
            if len(batch) == LINES_MAX or size >= BATCH_BYTES_MAX:
                await self._send(do, batch, number + 1)
                batch, size = [], 0
        if batch:
            await self._send(do, batch, self.next_line + len(batch))
        if self._began == 1 and self._announced is None:
            self._skip(self.next_line, "the file has no last line that counts the others: it may be cut off")
        elif self._announced is not None and self._began == 1 and self._announced != dict(self._seen):
            self._skip(self.next_line - 1, "the file has not as many lines as its last line says")

    def _readable(self, raw: bytes, number: int) -> str:
        """Return a line as text; one that is none, or too long, is empty, and told."""
        if len(raw) > LINE_BYTES_MAX:
            self._skip(number, f"a line has at most {LINE_BYTES_MAX} bytes")
            return ""
        try:
            text = raw.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError:
            self._skip(number, "this is no UTF-8")
            return ""
        with contextlib.suppress(msgspec.DecodeError):
            head = _read_head(text)
            if head.type == HEADER and head.format > FORMAT:
                fail(f"line {number}: format {head.format} is of a newer version", Exit.USAGE)
            if head.type == END:
                self._announced = {kind: count for kind, count in head.lines.items() if count}
            elif head.type and head.type != HEADER:
                self._seen[head.type] += 1
        return text

    async def _send(self, do: Do, batch: list[str], next_line: int) -> None:
        promised: set[str] = set()
        if self.dry_run:
            promised = self._promises(batch)
        told = await do(
            "import_lines",
            app=self.app_id,
            texts=batch,
            first=self.next_line,
            dry_run=self.dry_run,
            promised=sorted(promised),
        )
        self._taken.update(told["taken"])
        self._there.update(told["there"])
        for skipped in told["skipped"]:
            self._skip(**skipped)
        self.next_line = next_line
        self.moved()

    def _promises(self, batch: list[str]) -> set[str]:
        """Note what this batch brings; return what it needs of what earlier ones have brought."""
        needed: set[str] = set()
        brought: set[str] = set()
        for text in batch:
            _, line = read_line(text)
            if isinstance(line, Line):
                needed.update(line.needs())
                if (brings := line.brings()) is not None:
                    brought.add(brings)
        found = needed & self._promised
        self._promised |= brought
        return found

    def _skip(self, line: int, reason: str) -> None:
        self._skipped_count += 1
        if self.report is not None:
            self.report.write(msgspec.json.encode({"line": line, "reason": reason}).decode() + "\n")
        if len(self._skipped) < TOLD_MAX:
            self._skipped.append({"line": line, "reason": reason})

    def told(self) -> str:
        """What has come of it so far."""
        return _counted(self._taken) + (f", {self._skipped_count} not taken" if self._skipped_count else "")

    def show(self, *, as_json: bool) -> None:
        """Tell what has come of it, and end with 3 where something was not taken."""
        if as_json:
            show_json(
                {
                    "dryRun": self.dry_run,
                    "taken": self._taken,
                    "there": self._there,
                    "skippedCount": self._skipped_count,
                    "skipped": self._skipped,
                }
            )
        else:
            say([f"{'would be taken' if self.dry_run else 'taken'}: {_counted(self._taken)}"])
            if self._there:
                say([f"there already: {_counted(self._there)}"])
            for skipped in self._skipped:
                sys.stderr.write(f"line {skipped['line']}: {skipped['reason']}\n")
            if (more := self._skipped_count - len(self._skipped)) > 0:
                sys.stderr.write(f"… and {more} more; --report FILE writes all of them\n")
        raise typer.Exit(Exit.PROBLEMS if self._skipped_count else Exit.OK)


def _lines(source: IO[bytes]) -> Iterator[bytes]:
    """Yield lines. Of one that is too long so much that it is seen to be."""
    while line := source.readline(LINE_BYTES_MAX + 1):
        if len(line) > LINE_BYTES_MAX:
            rest = line
            while rest and not rest.endswith(b"\n"):
                rest = source.readline(LINE_BYTES_MAX)
        yield line


@contextlib.contextmanager
def _written(to: Path | None) -> Iterator[IO[str]]:
    """Open what an export goes to; a file has its name when it is whole."""
    if to is None:
        yield sys.stdout
        return
    part = to.with_name(f"{to.name}.part")
    part.unlink(missing_ok=True)
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            yield file
        part.rename(to)
    finally:
        part.unlink(missing_ok=True)


def _write(file: IO[str], line: str) -> None:
    file.write(line + "\n")


def _bar(words: str) -> Progress:
    """A bar on a terminal, and nothing elsewhere."""
    return Progress(
        TextColumn(words),
        BarColumn(),
        DownloadColumn() if words == "importing" else TextColumn(""),
        TimeRemainingColumn(),
        TextColumn("{task.description}"),
        transient=True,
        console=Console(stderr=True),
        disable=not sys.stderr.isatty(),
    )


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{kind} {count:,}" for kind, count in counts.items() if count) or "nothing"


COMMANDS: dict[str, tuple[Callable[..., None], tuple[str, ...]]] = {
    "export": (
        export_app,
        (
            "gameserver export 10001 --to game.jsonl",
            "gameserver export 10001 --with-passwords --to game.jsonl",
        ),
    ),
    "import": (
        import_app,
        (
            "gameserver import 10001 game.jsonl --dry-run",
            "gameserver import 10001 game.jsonl --report not-taken.jsonl",
        ),
    ),
    "from-braincloud": (
        from_braincloud,
        ("gameserver from-braincloud 12345 --server-name exporter --secret @secret.txt --to game.jsonl",),
    ),
}
"""By their names: what they do, and examples."""
