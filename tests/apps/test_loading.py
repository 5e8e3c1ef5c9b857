import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from msgspec import Meta, field

from gameserver.apps import App, Apps, Mistake, Settings, load_apps
from gameserver.apps.loading import FILE_BYTES_MAX

SECRET = "a-secret-of-the-tests"
HEAD = f'id = "10001"\nsecret = "{SECRET}"\n'

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write_app(text: str, name: str = "demo") -> Path:
        home = tmp_path / "apps" / name
        home.mkdir(parents=True, exist_ok=True)
        (home / "app.toml").write_text(text, encoding="utf-8")
        return tmp_path / "apps"

    return write_app


def problems(folder: Path, environ: Mapping[str, str] | None = None) -> list[str]:
    """The problems with the path cut off: "line key: message"."""
    apps = load_apps(folder, environ=environ or {})
    assert not apps.by_id or not apps.problems
    return [f"{p.line} {p.key}: {p.message}" for p in apps.problems]


def only(apps: Apps) -> App:
    assert apps.problems == []
    [app] = apps
    return app


def test_a_definition_needs_an_id_and_a_secret_and_has_defaults_for_the_rest(write: Write) -> None:
    app = only(load_apps(write(HEAD)))
    assert (app.name, app.id, app.secret, app.title) == ("demo", "10001", SECRET, "demo")
    assert (app.signature, app.enabled) == ("required", True)
    assert (app.session.life_seconds, app.session.most, app.session.when_full) == (1200, 1, "drop_oldest")
    clients = app.clients
    assert (clients.compress_if_larger, clients.max_bundle_messages, clients.max_kill_count) == (
        51200,
        10,
        11,
    )
    assert (app.login.failures_per_account, app.login.failures_per_address) == (5, 20)
    assert (app.login.window_seconds, app.login.lock_seconds, app.login.password_min_length) == (60, 60, 1)


def test_apps_are_found_by_id(write: Write) -> None:
    write(HEAD)
    folder = write(HEAD.replace("10001", "10002"), "other")
    apps = load_apps(folder)
    assert len(apps) == 2
    found = apps.find("10002")
    assert found is not None
    assert found.name == "other"
    assert apps.find("10003") is None


def test_every_mistake_is_named_with_file_line_and_key(write: Write) -> None:
    folder = write("""\
id = "no spaces, please"
secret = "short"
titel = "Demo"

[session]
life_seconds = 5
most = true
when_full = "drop_all"

[clients]
minimum_versions = { IOS = "one" }
platforms = [
  "WEB",
  "i o s",
]
max_kill_count = 13

[login]
types = ["Universal", "Pigeon"]

[mail]
from_address = "nobody"
""")
    assert problems(folder) == [
        '1 id: expected 1 to 64 letters, digits, - or _, got "no spaces, please"',
        "2 secret: expected text of 16 to 256 characters, got 5 characters",
        '3 titel: unknown key; did you mean "title"?',
        "6 session.life_seconds: expected a whole number from 30 to 2592000, got 5",
        "7 session.most: expected a whole number from 1 to 100, got true",
        '8 session.when_full: expected "drop_oldest" or "refuse_newest", got "drop_all"',
        '11 clients.minimum_versions.IOS: expected a version such as 1.4.0, got "one"',
        '14 clients.platforms[1]: expected a platform id of letters, digits and _, such as IOS, got "i o s"',
        "16 clients.max_kill_count: expected a whole number from 1 to 12, got 13",
        *(p for p in problems(folder) if p.startswith("19 login.types[1]: unknown login type")),
        "22 mail.from_address: expected a mail address such as support@example.com",
    ]
    first = load_apps(folder).problems[3]
    assert str(first).startswith(f"{folder}/demo/app.toml:6 session.life_seconds: expected ")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (f'secret = "{SECRET}"\n', "1 id: missing; expected 1 to 64 letters, digits, - or _"),
        ('id = "1"\n', "1 secret: missing; give it, or secret_env"),
        (HEAD + "[redirect]\napp_id = '1'\n", "3 redirect.url: missing; expected a web address"),
        (HEAD + "session = 5\n", "3 session: expected a table, got 5"),
        (HEAD + "[[session]]\n", "3 session: expected a table, got a list"),
        (
            HEAD + 'default_language = "en\\n"\n',
            "3 default_language: expected a language code such as en or pt-BR",
        ),
        (HEAD + "[external]\nguild = 1\n", "4 external.guild: expected a table"),
        (
            HEAD + "[external.guild]\n",
            '3 external.guild.kind: missing; expected "webhook" or "token" or "openid" or "discord"',
        ),
        (
            HEAD + '[external.guild]\nkind = "magic"\n',
            '4 external.guild.kind: expected "webhook" or "token" or "openid" or "discord" or "script", ',
        ),
        (HEAD + '[servers.""]\n', '3 servers."": unusable name: expected text of 1 to 64 characters'),
        (HEAD + '[servers."a b"]\n', '3 servers."a b".secret: missing; give it, or secret_env'),
        (
            HEAD + f'[servers.a]\nsecret = "{SECRET}"\naddresses = ["10.0.0.0/8",\n"10.0.0.1/8"]\n',
            "6 servers.a.addresses[1]: expected an address or a network",
        ),
        (
            HEAD + "[clients.upgrade_urls]\nIOS = 'ftp://x'\n",
            "4 clients.upgrade_urls.IOS: expected a web address",
        ),
        (
            HEAD + "[clients.minimum_versions]\nIOS = '1'\nios = '2'\n",
            '5 clients.minimum_versions.ios: the same platform as "IOS"',
        ),
        (HEAD + "[mail.smtp]\nhost = 'h'\n", "3 mail.from_address: missing: a mail server needs"),
        (
            HEAD + "[mail.smtp]\nhost = 'h'\nuser = 'u'\npassword = 'p'\nsecurity = 'none'\n",
            "7 mail.smtp.security: a password does not travel unprotected",
        ),
        (
            HEAD + "[mail.smtp]\nhost = 'h'\nuser = 'u'\n",
            "5 mail.smtp.user: user and password are given together",
        ),
        (HEAD + 'title = "x\n', "3 : not TOML: "),
        (HEAD + "title = \n", "3 : not TOML: "),
        (HEAD + 'id = "2"\n', "3 : this key has a value already: keep one of the two"),
        (
            HEAD + "[session]\nmost = 1\n[login]\n[session]\nlife_seconds = 60\n",
            "6 : [session] begins on line 3 already: put its keys there, under one header",
        ),
        (
            HEAD + "[servers.'a b']\n[servers.'a b']\n",
            '4 : [servers."a b"] begins on line 3 already: put its keys there',
        ),
        (HEAD + "[session]\n[[session]]\n", "4 : this key has a value already"),
        (HEAD + "session = { most = 1, most = 2 }\n", "3 : this key has a value already"),
        (HEAD + "x = [", "3 : not TOML: "),
        (HEAD + "x = " + "[" * 5000, "1 : not TOML: nested too deeply"),
        (HEAD + "x = " + "9" * 5000 + "\n", "1 : not TOML: "),
        (
            HEAD + "title = " + '"' + "x" * 200 + '"\n',
            "3 title: expected text of at most 128 characters, got ",
        ),
    ],
)
def test_a_mistake(write: Write, text: str, problem: str) -> None:
    found = problems(write(text))
    assert len(found) == 1
    assert found[0].startswith(problem)
    assert len(found[0]) < 300


def test_secrets_are_in_no_message_and_no_repr(write: Write) -> None:
    text = (
        'id = "1"\nsecret = "hush-hush"\n[external.x]\nkind = "webhook"\nurl = "https://x"\nsecret = "hush"\n'
    )
    assert len(found := problems(write(text))) == 2
    assert "hush" not in "".join(found)
    app = only(load_apps(write(HEAD + '[mail.smtp]\nhost = "h"\n[mail]\nfrom_address = "a@b.ca"\n')))
    assert SECRET not in repr(app)
    assert "***" in repr(app)


def test_secrets_may_come_from_the_environment(write: Write) -> None:
    text = """\
id = "1"
secret_env = "DEMO_SECRET"
[servers.room]
secret_env = "ROOM_SECRET"
"""
    folder = write(text)
    app = only(load_apps(folder, environ={"DEMO_SECRET": SECRET, "ROOM_SECRET": SECRET[::-1]}))
    assert (app.secret, app.servers["room"].secret) == (SECRET, SECRET[::-1])
    assert problems(folder, {"DEMO_SECRET": "short"}) == [
        "2 secret_env: expected text of 16 to 256 characters, got 5 characters",
        "4 servers.room.secret_env: the environment variable ROOM_SECRET is not set",
    ]
    folder = write(HEAD + 'secret_env = "DEMO_SECRET"\n')
    assert problems(folder, {"DEMO_SECRET": SECRET}) == [
        "3 secret_env: expected either secret or secret_env, got both"
    ]


def test_two_apps_with_one_id_are_both_named_and_neither_is_served(write: Write) -> None:
    write(HEAD, "one")
    write("# a comment\n" + HEAD, "two")
    folder = write(HEAD.replace("10001", "3"), "three")
    apps = load_apps(folder)
    assert [app.name for app in apps] == ["three"]
    assert [str(p) for p in apps.problems] == [
        f'{folder}/one/app.toml:1 id: "10001" is the id of another app too: {folder}/two/app.toml:2',
        f'{folder}/two/app.toml:2 id: "10001" is the id of another app too: {folder}/one/app.toml:1',
    ]


def test_what_is_no_app_folder(write: Write) -> None:
    folder = write(HEAD)
    for name in (".git", "_shared", "empty"):
        (folder / name).mkdir()
    (folder / "README.md").write_text("hello")
    apps = load_apps(folder)
    assert len(apps) == 1
    assert [(p.file, p.message[:7]) for p in apps.problems] == [(f"{folder}/empty/app.toml", "missing")]
    assert [p.message for p in load_apps(folder / "nowhere").problems] == [
        "the folder of apps cannot be read: No such file or directory"
    ]


def test_how_a_file_is_encoded(write: Write) -> None:
    file = write("") / "demo" / "app.toml"
    file.write_bytes(b"\xef\xbb\xbf" + HEAD.replace("\n", "\r\n").encode())
    only(load_apps(file.parent.parent))
    file.write_bytes(HEAD.encode() + b'title = "\xe9"\n')
    assert problems(file.parent.parent) == ["3 : this is not UTF-8 text; save the file as UTF-8"]
    file.write_bytes(b"#" * (FILE_BYTES_MAX + 1))
    assert problems(file.parent.parent) == [f"1 : larger than {FILE_BYTES_MAX} bytes"]


# Files beside the definition


MAIL = HEAD + '[mail.templates]\nwelcome = "{}"\n'


def test_files_must_exist_inside_the_folder(write: Write, tmp_path: Path) -> None:
    folder = write(MAIL.format("mail/welcome.txt"))
    assert problems(folder) == [
        '4 mail.templates.welcome: there is no file "mail/welcome.txt" in the app\'s folder'
    ]
    (folder / "demo" / "mail").mkdir()
    (folder / "demo" / "mail" / "welcome.txt").write_text("Subject: hello\n\nwelcome\n")
    app = only(load_apps(folder))
    assert app.file("mail/welcome.txt").read_text().endswith("welcome\n")

    (tmp_path / "outside.txt").write_text("Subject: hello\n")
    (folder / "demo" / "link.txt").symlink_to(tmp_path / "outside.txt")
    for reference in ("../../outside.txt", "link.txt", "mail/../../../outside.txt"):
        write(MAIL.format(reference))
        assert problems(folder) == [f'4 mail.templates.welcome: "{reference}" leaves the app\'s folder']
        with pytest.raises(ValueError, match="leaves"):
            app.file(reference)
    for reference in (str(tmp_path / "outside.txt"), "mail\\\\welcome.txt", "a\\u0000b", ""):
        write(MAIL.format(reference))
        [problem] = problems(folder)
        assert problem.startswith("4 mail.templates.welcome: expected the path of a file")
    write(MAIL.format("mail"))
    assert problems(folder) == ['4 mail.templates.welcome: there is no file "mail" in the app\'s folder']


def test_a_mail_template_needs_a_subject(write: Write) -> None:
    folder = write(MAIL.format("welcome.txt"))
    (folder / "demo" / "welcome.txt").write_text("Hello\n")
    assert problems(folder) == [
        '4 mail.templates.welcome: the first line of welcome.txt must be "Subject: ..."'
    ]


# External logins


def pem(key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey) -> str:
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


RSA_KEY = pem(rsa.generate_private_key(public_exponent=65537, key_size=2048).public_key())
RSA_WEAK = pem(rsa.generate_private_key(public_exponent=65537, key_size=1024).public_key())
EC_KEY = pem(ec.generate_private_key(ec.SECP256R1()).public_key())


@pytest.mark.parametrize(
    ("algorithm", "key", "problem"),
    [
        ("HS256", "x" * 32, ""),
        ("HS256", "x" * 31, "HS256 needs a key of at least 32 bytes, got 31"),
        ("HS256", RSA_KEY, "HS256 needs a shared secret, got a PEM key"),
        ("RS256", RSA_KEY, ""),
        ("RS256", RSA_WEAK, "an RSA key needs at least 2048 bits"),
        ("RS256", EC_KEY, "RS256 needs an RSA key"),
        ("RS256", "x" * 32, "RS256 needs a public key in PEM form (-----BEGIN PUBLIC KEY-----)"),
        ("ES256", EC_KEY, ""),
        ("ES384", EC_KEY, "ES384 needs an elliptic curve key on secp384r1"),
        ("EdDSA", EC_KEY, "EdDSA needs an Ed25519 or Ed448 key"),
        ("none", "x", 'expected "ES256" or'),
    ],
)
def test_the_key_of_signed_tokens_fits_the_algorithm(
    write: Write, algorithm: str, key: str, problem: str
) -> None:
    settings = f'[external.studio]\nkind = "token"\nissuer = "i"\naudience = "a"\nalgorithm = "{algorithm}"\n'
    folder = write(HEAD + settings + f"key = '''{key}'''\n")
    found = problems(folder)
    assert len(found) == bool(problem)
    assert "".join(p.partition(": ")[2] for p in found).startswith(problem)

    write(HEAD + settings + 'key_file = "key.pem"\n')
    (folder / "demo" / "key.pem").write_text(key)
    assert len(problems(folder)) == bool(problem)
    if not problem:
        login = only(load_apps(folder)).external["studio"]
        assert login.verification_key(folder / "demo") == key.strip()  # type: ignore[union-attr]
    write(HEAD + settings + 'key_file = "key.pem"\nkey = "x"\n')
    assert problems(folder)


# What services declare


class Rule(Settings):
    initial: Annotated[int, Meta(ge=0)] = 0


class StatisticsSettings(Settings):
    rules: dict[str, Rule] = field(default_factory=dict)
    script: Annotated[str, Meta(extra={"file": True})] = ""

    def mistakes(self, folder: Path) -> Iterator[Mistake]:
        for name in self.rules:
            if name.startswith("_"):
                yield ("rules", name), "names that start with _ are ours"
        yield from super().mistakes(folder)


class Needed(Settings):
    size: int


SECTIONS = {"playerStatistics": StatisticsSettings}


def test_services_declare_their_part(write: Write) -> None:
    app = only(load_apps(write(HEAD), SECTIONS))
    assert app.section(StatisticsSettings) == StatisticsSettings()
    folder = write(HEAD + "[playerStatistics.rules.kills]\ninitial = 3\n")
    assert only(load_apps(folder, SECTIONS)).section(StatisticsSettings).rules["kills"].initial == 3
    write(HEAD + "[playerStatistics.rules]\nkills.initial = -3\n_x = {}\n")
    assert [(p.line, p.key) for p in load_apps(folder, SECTIONS).problems] == [
        (4, "playerStatistics.rules.kills.initial")
    ]
    write(HEAD + "[playerStatistics.rules]\nkills.initial = 3\n_x = {}\n")
    assert [(p.line, p.key) for p in load_apps(folder, SECTIONS).problems] == [
        (5, "playerStatistics.rules._x")
    ]
    write(HEAD + '[playerStatistics]\nscript = "../x"\n')
    assert [(p.line, p.key) for p in load_apps(folder, SECTIONS).problems] == [(4, "playerStatistics.script")]
    assert problems(folder) == ["3 playerStatistics: unknown key"]
    with pytest.raises(LookupError, match="Needed"):
        app.section(Needed)


def test_a_section_without_defaults_must_be_there(write: Write) -> None:
    assert [str(p.key) for p in load_apps(write(HEAD), {"x": Needed}).problems] == ["x"]
    assert only(load_apps(write(HEAD + "x.size = 2"), {"x": Needed})).section(Needed).size == 2


def test_sections_that_cannot_live_side_by_side(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="mail"):
        load_apps(tmp_path, {"mail": StatisticsSettings})
    with pytest.raises(ValueError, match="one type"):
        load_apps(tmp_path, {"a": StatisticsSettings, "b": StatisticsSettings})


def test_the_environment_of_the_process_is_the_default(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "DEMO_SECRET", SECRET)
    assert only(load_apps(write('id = "1"\nsecret_env = "DEMO_SECRET"\n'))).secret == SECRET
