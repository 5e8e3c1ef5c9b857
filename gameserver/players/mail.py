"""Outgoing mail: letters from templates, handed to the app's mail server or written into an outbox folder."""

import asyncio
import html
import logging
import re
import secrets
import smtplib
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, make_msgid
from pathlib import Path
from typing import NamedTuple, Protocol, TypeVar

from msgspec import Struct

from gameserver.apps import App, SmtpSettings, is_mail_address
from gameserver.storage.private_files import private_file
from gameserver.wire.clock import Clock, SystemClock

log = logging.getLogger(__name__)

T = TypeVar("T")

LETTER_BYTES_MAX = 256 * 1024
SUBJECT_MAX = 200
NAME_MAX = 128
RECIPIENTS_MAX = 50
TEMPLATE_BYTES_MAX = 128 * 1024
OUTBOX_FILES_MAX = 1000

FALLBACK_SENDER = "no-reply@localhost"


class MailRefused(ValueError):
    """The letter cannot be what a caller asked for; the text says why."""


class InvalidAddress(MailRefused):
    """A recipient is no mail address."""


class InvalidSender(MailRefused):
    """The sender, or the address for answers, is no mail address."""


class UnknownTemplate(MailRefused):
    """The app has no such template, and none is built in."""


class MailNotSent(Exception):
    """The mail server could not be reached or refused the letter. The log knows more."""


class Attachment(NamedTuple):
    """A file that goes with a mail. `type` is its media type; empty for any file."""

    filename: str
    content: bytes
    type: str = ""


class Letter(Struct, kw_only=True):
    """A mail before it is sent. `html` is the same content for mail programs that show HTML.

    `message_id` is the same whenever this letter is sent; empty for a new one. `unsubscribe_url` is where its
    reader asks for no more of its kind.
    """

    to: str
    subject: str
    text: str
    html: str = ""
    from_address: str
    from_name: str = ""
    reply_to: str = ""
    reply_to_name: str = ""
    cc: Sequence[str] = ()
    bcc: Sequence[str] = ()
    message_id: str = ""
    unsubscribe_url: str = ""
    categories: Sequence[str] = ()
    attachments: Sequence[Attachment] = ()


class Mailer(Protocol):
    """Where mail goes."""

    async def send(self, app: App, letter: Letter) -> None:
        """Send a letter; returns when it was taken over. Raises MailRefused or MailNotSent."""

    async def send_template(
        self,
        app: App,
        template: str,
        to: str,
        values: Mapping[str, str],
        *,
        language: str = "",
        from_address: str = "",
        from_name: str = "",
    ) -> None:
        """Fill a template, see `compose`, and send it. Raises MailRefused or MailNotSent.

        `from_address` and `from_name` replace the app's own.
        """


# Composing


class _Template(Struct):
    subject: str
    text: str
    html: str = ""


_BUILT_IN = {
    "password_reset": _Template(
        subject="{app}: choose a new password",
        text="""\
Hello,

somebody asked for a new password for your account in {app}. If that was you, follow this link:

{link}

It works for {minutes} minutes. If it was not you, ignore this mail: your password stays as it is.
""",
    ),
    "password_changed": _Template(
        subject="{app}: your password was changed",
        text="""\
Hello,

the password of your account in {app} was changed. If that was you, there is nothing to do.

If it was not you, ask for a new password in the game at once.
""",
    ),
    "address_changed": _Template(
        subject="{app}: your mail address was changed",
        text="""\
Hello,

this address is no longer that of your account in {app}: it was changed. If that was you, there is nothing to
do.

If it was not you, tell the people who run {app}.
""",
    ),
    "email_validation": _Template(
        subject="{app}: is this your mail address?",
        text="""\
Hello,

this mail address was given for an account in {app}. If that was you, follow this link:

{link}

It works for {minutes} minutes. If it was not you, ignore this mail.
""",
    ),
}

_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(?:[-_][A-Za-z0-9]{2,8}){0,3}")
_SUBJECT_LINE = re.compile(r"subject:[ \t]*(.*)", re.IGNORECASE)
_MEDIA_TYPE = re.compile(r"[a-z]{1,32}/[A-Za-z0-9.+-]{1,100}")
_PLACEHOLDER = re.compile(r"\{\{|\{([A-Za-z_][A-Za-z0-9_]{0,63})\}")


def compose(app: App, template: str, to: str, values: Mapping[str, str], language: str = "") -> Letter:
    """Fill a template of the app, or a built-in one, in the player's language where there is a file for it.

    In a template `{name}` stands for a value, `{{` for a brace, and every other brace for itself. `{app}` is
    the app's title. Values enter the HTML part as text, never as HTML. Reads files, so call it in a thread.
    Raises UnknownTemplate, or MailRefused for a file that cannot be used.
    """
    chosen = _app_template(app, template, language) or _BUILT_IN.get(template)
    if chosen is None:
        raise UnknownTemplate(f"there is no mail template {template[:80]!r}")
    texts = {"app": app.title or app.name, **values}
    return letter_of(
        app,
        to,
        _filled(chosen.subject, texts),
        _filled(chosen.text, texts),
        _filled(chosen.html, {name: html.escape(value) for name, value in texts.items()}),
    )


def letter_of(app: App, to: str, subject: str, text: str, page: str = "") -> Letter:
    """Return a letter from an app; `page` is its HTML part."""
    return Letter(
        to=to,
        subject=subject,
        text=text,
        html=page,
        from_address=app.mail.from_address or FALLBACK_SENDER,
        from_name=app.mail.from_name,
    )


def _filled(text: str, values: Mapping[str, str]) -> str:
    return _PLACEHOLDER.sub(lambda m: "{" if m[0] == "{{" else values.get(m[1], m[0]), text)


def _app_template(app: App, template: str, language: str) -> _Template | None:
    if (reference := app.mail.templates.get(template)) is None:
        return None
    for version in _in_language(reference, language):
        if (content := _read(app, version)) is not None:
            first, _, body = content.partition("\n")
            if not (subject := _SUBJECT_LINE.match(first)):
                raise MailRefused(f'the first line of {version} is not "Subject: ..."')
            page = _read(app, str(Path(version).with_suffix(".html"))) or ""
            return _Template(subject=subject[1].strip(), text=body.lstrip("\n"), html=page)
    raise UnknownTemplate(f"the file of mail template {template!r} is missing")


def _in_language(reference: str, language: str) -> list[str]:
    """List the file names of a template, the closest to a language first: fr-CA, fr, none."""
    if not _LANGUAGE.fullmatch(language):  # it comes from a client and becomes part of a file name
        return [reference]
    short = re.split("[-_]", language)[0].lower()
    path = Path(reference)
    localised = [str(path.with_suffix(f".{code}{path.suffix}")) for code in dict.fromkeys((language, short))]
    return [*localised, reference]


def _read(app: App, reference: str) -> str | None:
    try:
        raw = app.file(reference).read_bytes()
    except (OSError, ValueError):
        return None
    if len(raw) > TEMPLATE_BYTES_MAX:
        raise MailRefused(f"{reference} is larger than {TEMPLATE_BYTES_MAX} bytes")
    try:
        return raw.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError:
        raise MailRefused(f"{reference} is not UTF-8 text") from None


def message_of(letter: Letter, now_ms: int) -> EmailMessage:
    """Write a letter as it travels. Raises MailRefused for what none may hold, such as a header in a name."""
    _check_addresses(letter)
    _check_texts(letter)
    message = EmailMessage(policy=SMTP)
    message["From"] = Address(display_name=letter.from_name, addr_spec=letter.from_address)
    message["To"] = letter.to
    if letter.cc:
        message["Cc"] = ", ".join(letter.cc)
    if letter.reply_to:
        message["Reply-To"] = Address(display_name=letter.reply_to_name, addr_spec=letter.reply_to)
    message["Subject"] = letter.subject
    message["Date"] = format_datetime(datetime.fromtimestamp(now_ms / 1000, UTC))
    domain = letter.from_address.rpartition("@")[2]
    message["Message-ID"] = (
        f"<{letter.message_id}@{domain}>" if letter.message_id else make_msgid(domain=domain)
    )
    if letter.unsubscribe_url:
        message["List-Unsubscribe"] = f"<{letter.unsubscribe_url}>"
        if letter.unsubscribe_url.startswith("https:"):  # as RFC 8058 wants it
            message["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    for category in letter.categories:
        message["X-Category"] = category
    message["Auto-Submitted"] = "auto-generated"  # asks robots not to answer
    message.set_content(letter.text)
    if letter.html:
        message.add_alternative(letter.html, subtype="html")
    for file in letter.attachments:
        main, _, sub = (
            file.type if _MEDIA_TYPE.fullmatch(file.type) else "application/octet-stream"
        ).partition("/")
        message.add_attachment(file.content, maintype=main, subtype=sub, filename=file.filename)
    return message


def _check_addresses(letter: Letter) -> None:
    for address in (letter.from_address, letter.reply_to or letter.from_address):
        if not is_mail_address(address):
            raise InvalidSender("the sender's or the reply address is no mail address")
    recipients = _recipients(letter)
    for address in recipients:
        if not is_mail_address(address):
            raise InvalidAddress("a recipient is no mail address")
    if len(recipients) > RECIPIENTS_MAX:
        raise MailRefused(f"a mail has at most {RECIPIENTS_MAX} recipients")


def _check_texts(letter: Letter) -> None:
    lines = (
        ("subject", letter.subject, SUBJECT_MAX),
        ("sender's name", letter.from_name, NAME_MAX),
        ("name for answers", letter.reply_to_name, NAME_MAX),
    )
    for what, line, most in lines:
        if len(line) > most:
            raise MailRefused(f"the {what} has at most {most} characters")
        if not all(character.isprintable() for character in line):
            raise MailRefused(f"the {what} is one line of printable text")
    try:
        size = len(letter.text.encode()) + len(letter.html.encode())
    except UnicodeEncodeError:
        raise MailRefused("the mail holds characters that are no text") from None
    if size > LETTER_BYTES_MAX:
        raise MailRefused(f"a mail has at most {LETTER_BYTES_MAX} bytes")


def _recipients(letter: Letter) -> list[str]:
    return [letter.to, *letter.cc, *letter.bcc]


# Sending


class Mail:
    """Sends the mail of every app: to its mail server or, when it declares none, into the outbox folder.

    At most `threads` letters are sent at once and at most `waiting_max` more may wait. Only the newest
    `OUTBOX_FILES_MAX` files stay in the outbox.
    """

    def __init__(
        self, outbox: Path, clock: Clock | None = None, *, threads: int = 2, waiting_max: int = 200
    ) -> None:
        self._outbox = outbox
        self._clock = clock or SystemClock()
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="mail")
        self._places = threading.BoundedSemaphore(threads + waiting_max)

    async def send(self, app: App, letter: Letter) -> None:
        """Send a letter; returns when it was taken over. Raises MailRefused or MailNotSent."""
        await self._run(lambda: self._send(app, letter))

    async def send_template(
        self,
        app: App,
        template: str,
        to: str,
        values: Mapping[str, str],
        *,
        language: str = "",
        from_address: str = "",
        from_name: str = "",
    ) -> None:
        """Fill a template, see `compose`, and send it. Raises MailRefused or MailNotSent."""

        def work() -> None:
            letter = compose(app, template, to, values, language)
            letter.from_address = from_address or letter.from_address
            letter.from_name = from_name or letter.from_name
            self._send(app, letter)

        await self._run(work)

    def close(self) -> None:
        """Finish the letters that are being sent and drop those that wait."""
        self._pool.shutdown(cancel_futures=True)

    async def _run(self, work: Callable[[], T]) -> T:
        if not self._places.acquire(blocking=False):
            raise MailNotSent("too many mails are waiting to be sent")
        try:
            running = self._pool.submit(work)
        except BaseException:
            self._places.release()
            raise
        running.add_done_callback(self._leave)  # also when a caller gave up while waiting
        return await asyncio.wrap_future(running)

    def _leave(self, _: Future[T]) -> None:
        self._places.release()

    def _send(self, app: App, letter: Letter) -> None:
        now_ms = self._clock.ms()
        message = message_of(letter, now_ms)
        if app.mail.smtp:
            ca_file = app.path / app.mail.smtp.ca_file if app.mail.smtp.ca_file else None
            _deliver(message, letter, app.mail.smtp, ca_file)
            return
        if letter.bcc:
            message["Bcc"] = ", ".join(letter.bcc)  # no mail server strips it, so the file shows all of them
        written = datetime.fromtimestamp(now_ms / 1000, UTC).strftime("%Y%m%dT%H%M%S.%f")[:-3]
        path = self._outbox / f"{written}Z-{secrets.token_hex(4)}.eml"
        _write(path, message.as_bytes())
        log.info("mail written to %s", path)


def _deliver(message: EmailMessage, letter: Letter, settings: SmtpSettings, ca_file: Path | None) -> None:
    try:
        tls = None if settings.security == "none" else ssl.create_default_context(cafile=ca_file)
        with _connected(settings, tls) as server:
            refused = server.send_message(message, letter.from_address, _recipients(letter))
    except (OSError, smtplib.SMTPException) as error:
        log.warning("mail server %s:%d took no mail: %s", settings.host, settings.port, _told(error))
        raise MailNotSent(f"the mail server did not take the mail ({type(error).__name__})") from None
    for code, _ in refused.values():
        log.warning("mail server refused one of several recipients: %d", code)


def _told(error: OSError | smtplib.SMTPException) -> str:
    """What a log may say of a failure: an answer of a mail server repeats the addresses it is about."""
    match error:
        case smtplib.SMTPRecipientsRefused(recipients=recipients):
            codes = sorted({code for code, _ in recipients.values()})
            return f"{type(error).__name__} {', '.join(map(str, codes))}"
        case smtplib.SMTPResponseException(smtp_code=code):
            return f"{type(error).__name__} {code}"
        case smtplib.SMTPException():
            return type(error).__name__
        case _:
            return repr(error)


def _connected(settings: SmtpSettings, tls: ssl.SSLContext | None) -> smtplib.SMTP:
    where, seconds = (settings.host, settings.port), settings.timeout_seconds
    if tls and settings.security == "tls":
        server: smtplib.SMTP = smtplib.SMTP_SSL(*where, timeout=seconds, context=tls)
    else:
        server = smtplib.SMTP(*where, timeout=seconds)
    try:
        if tls and settings.security == "starttls":
            server.starttls(context=tls)
        if settings.user:
            server.login(settings.user, settings.password)
    except BaseException:
        server.close()
        raise
    return server


def _write(path: Path, content: bytes) -> None:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        unfinished = path.with_suffix(".tmp")
        unfinished.touch(mode=0o600)  # it may hold a link that sets a password
        private_file(unfinished)
        unfinished.write_bytes(content)
        unfinished.rename(path)
        for old in _too_many(path.parent):
            old.unlink(missing_ok=True)
    except OSError as error:
        log.warning("mail could not be written to %s: %s", path, error)
        raise MailNotSent("the outbox folder did not take the mail") from None


def _too_many(outbox: Path) -> Iterator[Path]:
    yield from sorted(outbox.glob("*.eml"))[:-OUTBOX_FILES_MAX]
