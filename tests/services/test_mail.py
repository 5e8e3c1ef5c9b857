import asyncio
import base64
import email
import email.policy
import logging
import re
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from pathlib import Path

import pytest
import trustme

from gameserver.apps import App, MailSettings, SmtpSettings
from gameserver.players import mail as module
from gameserver.players.mail import (
    InvalidAddress,
    InvalidSender,
    Letter,
    Mail,
    Mailer,
    MailNotSent,
    MailRefused,
    UnknownTemplate,
    compose,
)
from gameserver.wire.clock import FixedClock

LINK = {"link": "https://game.example/reset?token=a&b=<c>", "minutes": "60"}


@pytest.fixture
def mail(tmp_path: Path) -> Iterator[Mail]:
    made = Mail(tmp_path / "data" / "outbox", FixedClock(1_700_000_000_123))
    yield made
    made.close()


def app_with(folder: Path, **settings: object) -> App:
    values = {"from_address": "support@game.example", "from_name": "Zoë, of the Game", **settings}
    return App(
        name="demo",
        path=folder,
        id="10001",
        secret="x",
        title="Tank & Söhne",
        mail=MailSettings(**values),  # type: ignore[arg-type]
    )


@pytest.fixture
def app(tmp_path: Path) -> App:
    return app_with(tmp_path)


def letter(**changes: object) -> Letter:
    values = {
        "to": "ada@example.com",
        "subject": "Hi",
        "text": "text",
        "from_address": "a@b.example",
        **changes,
    }
    return Letter(**values)  # type: ignore[arg-type]


def parsed(raw: bytes) -> EmailMessage:
    message = email.message_from_bytes(raw, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    return message


def in_outbox(tmp_path: Path) -> list[EmailMessage]:
    return [parsed(path.read_bytes()) for path in sorted((tmp_path / "data" / "outbox").iterdir())]


def content(message: EmailMessage, kind: str = "plain") -> str:
    body = message.get_body((kind,))
    assert body is not None
    return str(body.get_content()).replace("\r\n", "\n")


# The outbox


async def test_without_a_mail_server_mail_is_written_to_the_outbox(
    tmp_path: Path, mail: Mail, app: App, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        await mail.send_template(app, "password_reset", "ada@example.com", LINK)
    [file] = (tmp_path / "data" / "outbox").iterdir()
    assert file.name.startswith("20231114T221320.123Z-")
    assert file.suffix == ".eml"
    assert file.stat().st_mode & 0o077 == 0
    assert str(file) in caplog.text
    assert "ada@" not in caplog.text
    message = parsed(file.read_bytes())
    assert message["To"] == "ada@example.com"
    assert message["Subject"] == "Tank & Söhne: choose a new password"
    [sender] = message["From"].addresses
    assert (sender.display_name, sender.addr_spec) == ("Zoë, of the Game", "support@game.example")
    assert message["Date"] == "Tue, 14 Nov 2023 22:13:20 +0000"
    assert message["Message-ID"].endswith("@game.example>")
    assert LINK["link"] in content(message)
    assert "60 minutes" in content(message)


async def test_only_the_newest_mails_stay_in_the_outbox(
    tmp_path: Path, app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "OUTBOX_FILES_MAX", 2)
    clock = FixedClock()
    mail = Mail(tmp_path / "data" / "outbox", clock)
    for number in range(4):
        clock.advance(1)
        await mail.send(app, letter(subject=str(number)))
    mail.close()
    assert [message["Subject"] for message in in_outbox(tmp_path)] == ["2", "3"]


async def test_an_outbox_that_cannot_be_written_is_a_failure(tmp_path: Path, app: App) -> None:
    (tmp_path / "file").write_text("")
    mail = Mail(tmp_path / "file" / "outbox")
    with pytest.raises(MailNotSent):
        await mail.send(app, letter())
    mail.close()


# What no mail may hold


@pytest.mark.parametrize(
    ("changes", "refusal"),
    [
        ({"to": "ada@example.com\nBcc: eve@example.com"}, InvalidAddress),
        ({"to": "ada@example.com, eve@example.com"}, InvalidAddress),
        ({"to": ""}, InvalidAddress),
        ({"cc": ["nobody"]}, InvalidAddress),
        ({"bcc": ["a@example.com\r\n"]}, InvalidAddress),
        ({"from_address": "fromAddress"}, InvalidSender),
        ({"from_address": ""}, InvalidSender),
        ({"from_address": "a@b.example\r\nX: y"}, InvalidSender),
        ({"reply_to": "nobody"}, InvalidSender),
        ({"subject": "Hi\nBcc: eve@example.com"}, MailRefused),
        ({"subject": "Hi\r\n\r\nbody"}, MailRefused),
        ({"subject": "Hi\u2028there"}, MailRefused),
        ({"subject": "\ud800"}, MailRefused),
        ({"subject": "x" * 201}, MailRefused),
        ({"from_name": "Eve\r\nBcc: eve@example.com"}, MailRefused),
        ({"text": "\ud800"}, MailRefused),
        ({"text": "x" * 200_000, "html": "x" * 200_000}, MailRefused),
        ({"cc": ["a@example.com"] * 50}, MailRefused),
    ],
)
async def test_refused_letters(
    tmp_path: Path, mail: Mail, app: App, changes: dict[str, object], refusal: type[MailRefused]
) -> None:
    with pytest.raises(refusal) as caught:
        await mail.send(app, letter(**changes))
    assert type(caught.value) is refusal
    assert isinstance(caught.value, ValueError)
    assert not (tmp_path / "data").exists()


async def test_a_sender_of_the_callers_choice(tmp_path: Path, mail: Mail, app: App) -> None:
    mailer: Mailer = mail
    with pytest.raises(InvalidSender):
        await mailer.send_template(app, "password_reset", "ada@example.com", LINK, from_address="fromAddress")
    await mailer.send_template(
        app, "password_reset", "ada@example.com", LINK, from_address="x@y.example", from_name="X"
    )
    [message] = in_outbox(tmp_path)
    assert message["From"] == "X <x@y.example>"


async def test_copies_and_answers(tmp_path: Path, mail: Mail, app: App) -> None:
    await mail.send(
        app, letter(cc=["b@example.com", "c@example.com"], bcc=["d@example.com"], reply_to="r@b.ca")
    )
    [message] = in_outbox(tmp_path)
    assert (message["Cc"], message["Bcc"]) == ("b@example.com, c@example.com", "d@example.com")
    assert message["Reply-To"] == "r@b.ca"


# Templates


@pytest.fixture
def templates(tmp_path: Path) -> App:
    home = tmp_path / "app"
    (home / "mail").mkdir(parents=True)
    (tmp_path / "secret.txt").write_text("Subject: stolen\n\nstolen")
    for name, text in {
        "reset.txt": "Subject: Reset in {app}\n\nGo to {link} or {unknown}. {{x} {not a name}\n",
        "reset.html": "<style>p { color: red }</style><p>{app}: <a href='{link}'>{name}</a></p>",
        "reset.fr.txt": "Subject: {app} : mot de passe\n\nAllez à {link}\n",
        "reset.fr-CA.txt": "subject:Québec\n\n{link}\n",
        "plain": "Subject: plain\n\nplain\n",
        "broken.txt": "no subject\n",
        "latin.txt": "Subject: x\n\n",
        "large.txt": "Subject: x\n\n" + "x" * 200_000,
    }.items():
        (home / "mail" / name).write_text(text)
    (home / "mail" / "latin.txt").write_bytes(b"Subject: \xe9\n\n")
    names = ("reset", "plain", "broken", "latin", "large", "gone")
    references = {name: f"mail/{name}.txt" for name in names} | {"plain": "mail/plain"}
    references["password_reset"] = "mail/reset.txt"
    return app_with(home, templates=references)


def test_an_app_writes_its_own_mails(templates: App) -> None:
    values = LINK | {"name": "<b>Ada</b>"}
    made = compose(templates, "reset", "ada@example.com", values)
    assert made.subject == "Reset in Tank & Söhne"
    assert made.text == f"Go to {LINK['link']} or {{unknown}}. {{x}} {{not a name}}\n"
    assert made.html == (
        "<style>p { color: red }</style><p>Tank &amp; Söhne: "
        "<a href='https://game.example/reset?token=a&amp;b=&lt;c&gt;'>&lt;b&gt;Ada&lt;/b&gt;</a></p>"
    )
    assert compose(templates, "password_reset", "ada@example.com", values) == made
    assert compose(templates, "plain", "ada@example.com", {}).text == "plain\n"


@pytest.mark.parametrize(
    ("language", "subject"),
    [
        ("fr", "Tank & Söhne : mot de passe"),
        ("FR", "Tank & Söhne : mot de passe"),
        ("fr-BE", "Tank & Söhne : mot de passe"),
        ("fr-CA", "Québec"),
        ("de", "Reset in Tank & Söhne"),
        ("", "Reset in Tank & Söhne"),
        ("/../../../secret", "Reset in Tank & Söhne"),
        ("fr/../..", "Reset in Tank & Söhne"),
        ("fr\0", "Reset in Tank & Söhne"),
    ],
)
def test_a_mail_speaks_the_players_language(templates: App, language: str, subject: str) -> None:
    assert compose(templates, "reset", "ada@example.com", LINK, language).subject == subject


def test_built_in_mails_fill_every_placeholder(app: App) -> None:
    for template in ("password_reset", "email_validation"):
        made = compose(app, template, "ada@example.com", LINK)
        assert "{" not in made.subject + made.text
        assert LINK["link"] in made.text


async def test_a_value_cannot_add_headers(tmp_path: Path, mail: Mail, templates: App) -> None:
    templates.title = "Game\r\nBcc: eve@example.com"
    with pytest.raises(MailRefused):
        await mail.send_template(templates, "reset", "ada@example.com", LINK)
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("template", "refusal"),
    [
        ("nowhere", UnknownTemplate),
        ("gone", UnknownTemplate),
        ("broken", MailRefused),
        ("latin", MailRefused),
        ("large", MailRefused),
    ],
)
def test_templates_that_cannot_be_used(templates: App, template: str, refusal: type[MailRefused]) -> None:
    with pytest.raises(refusal):
        compose(templates, template, "ada@example.com", LINK)


# A mail server


@dataclass
class SmtpServer:
    """Speaks enough SMTP for a whole conversation, and remembers it."""

    tls: ssl.SSLContext
    port: int = 0
    answers: dict[str, str] = field(default_factory=dict)
    silent: bool = False
    commands: list[str] = field(default_factory=list)
    encrypted: list[bool] = field(default_factory=list)
    messages: list[bytes] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if not self.silent:
                writer.write(b"220 test\r\n")
            while line := await reader.readline():
                await self.answer(line.decode().strip(), reader, writer)
        except (ConnectionError, ssl.SSLError):
            pass
        finally:
            writer.close()

    async def answer(self, line: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        verb = re.split("[ :]", line, maxsplit=1)[0].upper()
        self.commands.append(line)
        self.encrypted.append(writer.get_extra_info("ssl_object") is not None)
        if verb in self.answers:
            writer.write(self.answers[verb].encode() + b"\r\n")
        elif verb == "EHLO":
            writer.write(b"250-test\r\n250-STARTTLS\r\n250 AUTH PLAIN\r\n")
        elif verb == "STARTTLS":
            writer.write(b"220 go\r\n")
            await writer.drain()
            await writer.start_tls(self.tls)
        elif verb == "AUTH":
            writer.write(b"235 welcome\r\n")
        elif verb == "DATA":
            writer.write(b"354 go on\r\n")
            self.messages.append(await reader.readuntil(b"\r\n.\r\n"))
            writer.write(b"250 taken\r\n")
        else:
            writer.write(b"221 bye\r\n" if verb == "QUIT" else b"250 ok\r\n")


@asynccontextmanager
async def smtp_server(
    authority: trustme.CA, *, tls: bool = False, **behaviour: object
) -> AsyncIterator[SmtpServer]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(context)
    made = SmtpServer(context, **behaviour)  # type: ignore[arg-type]
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0, ssl=context if tls else None)
    made.port = server.sockets[0].getsockname()[1]
    async with server:
        yield made


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def app_with_server(folder: Path, server: SmtpServer, authority: trustme.CA, **settings: object) -> App:
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    values = {"host": "127.0.0.1", "port": server.port, "ca_file": "ca.pem", "timeout_seconds": 5, **settings}
    return app_with(folder, smtp=SmtpSettings(**values))  # type: ignore[arg-type]


async def test_mail_goes_through_starttls_with_a_login(
    tmp_path: Path, mail: Mail, authority: trustme.CA
) -> None:
    async with smtp_server(authority) as server:
        app = app_with_server(tmp_path, server, authority, user="user", password="password")
        await mail.send(app, letter(text="Grüße\n.\nend", html="<p>Grüße</p>", bcc=["eve@example.com"]))
    for command, encrypted in zip(server.commands, server.encrypted, strict=True):
        assert encrypted or command.split(" ")[0].lower() in ("ehlo", "starttls")
    [login] = [command for command in server.commands if command.startswith("AUTH PLAIN ")]
    assert base64.b64decode(login.split(" ")[2]) == b"\0user\0password"
    assert [c.split(" ")[0] for c in server.commands if "@" in c] == ["mail", "rcpt", "rcpt"]
    [raw] = server.messages
    message = parsed(raw.replace(b"\r\n..", b"\r\n.").removesuffix(b".\r\n"))
    assert content(message) == "Grüße\n.\nend\n"
    assert content(message, "html") == "<p>Grüße</p>\n"
    assert b"eve" not in raw
    assert not (tmp_path / "data").exists()


async def test_mail_goes_through_tls_from_the_first_byte(
    tmp_path: Path, mail: Mail, authority: trustme.CA
) -> None:
    async with smtp_server(authority, tls=True) as server:
        await mail.send(app_with_server(tmp_path, server, authority, security="tls"), letter())
    assert len(server.messages) == 1
    assert set(server.encrypted) == {True}


async def test_mail_goes_unprotected_only_when_told_so(
    tmp_path: Path, mail: Mail, authority: trustme.CA
) -> None:
    async with smtp_server(authority, answers={"STARTTLS": "454 not now"}) as server:
        with pytest.raises(MailNotSent):
            await mail.send(app_with_server(tmp_path, server, authority), letter())
        assert server.messages == []
        await mail.send(app_with_server(tmp_path, server, authority, security="none"), letter())
        assert len(server.messages) == 1


async def test_a_mail_server_that_cannot_prove_its_name_gets_nothing(
    tmp_path: Path, mail: Mail, authority: trustme.CA
) -> None:
    async with smtp_server(trustme.CA()) as server:
        with pytest.raises(MailNotSent):
            await mail.send(app_with_server(tmp_path, server, authority), letter())
    assert server.messages == []


@pytest.mark.parametrize("verb", ["MAIL", "RCPT", "DATA", "AUTH"])
async def test_a_refusal_of_the_mail_server_is_a_failure(
    tmp_path: Path, mail: Mail, authority: trustme.CA, caplog: pytest.LogCaptureFixture, verb: str
) -> None:
    async with smtp_server(authority, answers={verb: "550 never ada@example.com"}) as server:
        app = app_with_server(tmp_path, server, authority, user="user", password="hush-hush")
        with pytest.raises(MailNotSent) as failure:
            await mail.send(app, letter())
    assert server.messages == []
    assert "550" in caplog.text
    assert "hush" not in caplog.text + str(failure.value)
    assert "@" not in caplog.text + str(failure.value)  # whose address it is


async def test_a_mail_server_that_does_not_answer_is_given_up(
    tmp_path: Path, mail: Mail, authority: trustme.CA
) -> None:
    async with smtp_server(authority, silent=True) as server:
        with pytest.raises(MailNotSent):
            await mail.send(app_with_server(tmp_path, server, authority, timeout_seconds=0.2), letter())
    with pytest.raises(MailNotSent):
        await mail.send(app_with_server(tmp_path, server, authority), letter())


async def test_too_many_waiting_mails_are_refused(tmp_path: Path, authority: trustme.CA) -> None:
    mail = Mail(tmp_path, threads=1, waiting_max=1)
    async with smtp_server(authority, silent=True) as server:
        app = app_with_server(tmp_path, server, authority, timeout_seconds=0.5)
        waiting = [asyncio.create_task(mail.send(app, letter())) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(MailNotSent, match="too many"):
            await mail.send(app, letter())
        assert [type(r) for r in await asyncio.gather(*waiting, return_exceptions=True)] == [MailNotSent] * 2
    mail.close()
