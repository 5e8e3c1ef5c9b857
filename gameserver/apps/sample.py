"""New apps, and the sample: definitions that work at once and teach every setting."""

import json
import os
import re
import secrets
from pathlib import Path

from gameserver.apps.definition import App
from gameserver.apps.loading import FILE_NAME, Sections, load_apps
from gameserver.apps.schema import SCHEMA_NAME, app_schema

SAMPLE_NAME = "sample"
SAMPLE_ID = "10001"
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")

_SAMPLE = """\
#:schema ./app.schema.json
#
# One app: one game, or one edition of it, with its own players. The server reads this file again whenever it
# is saved, sessions live on; `gameserver check` names every mistake with its line.
# A line that starts with "#" and a space explains; one that starts with "#" alone is a setting, at its
# default or as an example: delete the "#" to use it.
#
# These are the settings that every app has. `gameserver app add leaderboard` writes leaderboard.toml beside
# this file, and so on for every other part of a game; `gameserver app add` lists them.

# What clients send as gameId, and what they sign their packets with. Both are compiled into the game.
id = "10001"
secret = SECRET
# Or keep the secret out of this file: name an environment variable and delete the line above.
# secret_env = "SAMPLE_SECRET"

# Name for people.
title = "Sample app"

# "required": packets need a signature. "optional" also takes packets without one, which is handy for curl; a
# wrong signature is refused either way. Say "required" before players arrive.
signature = "optional"

# false refuses every login, with the reason below.
#enabled = true
#disabled_reason = { message = "Back at noon." }

# Language and country of players whose client does not name one.
#default_language = "en"
#default_country = "CA"

[session]
# A session ends this many seconds after its last packet (30 to 2592000).
#life_seconds = 1200
# Sessions one player may have at once, and what a login beyond that does: "drop_oldest" or "refuse_newest".
#most = 1
#when_full = "drop_oldest"

[clients]
# Oldest game version that may log in, for all platforms and for some, and where to get the new one.
#minimum_version = "1.0.0"
#minimum_versions = { IOS = "1.2.0", ANG = "1.1.0" }
#upgrade_url = "https://example.com/get-the-game"
#upgrade_urls = { IOS = "https://apps.example.com/the-game" }
# Platforms that may log in. Without this line: all.
#platforms = ["IOS", "ANG", "WEB", "WINDOWS", "UNKNOWN"]
# Told to clients at login: compress requests above this many bytes, put at most this many messages into a
# packet, stop a call that was refused this often in a row (at most 12).
#compress_if_larger = 51200
#max_bundle_messages = 10
#max_kill_count = 11

[login]
# false refuses every login, but sessions that exist live on.
#enabled = true
# Login types that are allowed. Without this line: all.
#types = ["Anonymous", "Email", "Universal", "External"]
# An Anonymous login of a known id comes with the profileId of its player. true takes the id alone, which is
# handy for lines typed by hand; delete the line before players arrive.
anonymous_id_alone = true
# Failed logins within the window that lock an account or a network address, and for how long at first: each
# further lock within a day is twice as long, up to 64 times. A network that an account was logged in to from
# before is not locked out of it by others.
#failures_per_account = 5
#failures_per_address = 20
#window_seconds = 60
#lock_seconds = 60
# Fewest characters of a new password; without this line: 1. Passwords in use stay valid.
password_min_length = 8
# true refuses new passwords that guessing begins with, such as password1 and 12345678.
refuse_common_passwords = true
# true refuses logins of type Email until the player has followed the link mailed to them.
#validated_email_only = false
# true answers a Universal or Email login to an account that does not exist like a wrong password, so that
# nobody learns which accounts exist.
#conceal_accounts = false

# Send every client to another server at login.
#[redirect]
#url = "https://eu.example.com/dispatcherv2"
#app_id = "10001"

# The app above this one, where players have a profile for several games: they log in there and switch to this
# one. Clients call it by the name of its level.
#[parent]
#app = "10000"
#level = "Master"

# Apps beside this one, by the code that clients send; each names this one, too. Profiles there are attached
# with these login types (without the line: all), and made if that is said.
#[peers.arcade]
#app = "10002"
#types = ["Universal", "Email"]
#may_create = false

# External logins, by the name that clients send as externalAuthName. A web service of yours decides ...
#[external.guild]
#kind = "webhook"
#url = "https://login.example.com/check"
#secret = "replace-this-by-a-long-secret"
# secret_env = "GUILD_SECRET"
#timeout_seconds = 5.0

# ... or a signed token (JWT) proves who the player is. RS, PS, ES and EdDSA take the public key as PEM.
#[external.studio]
#kind = "token"
#issuer = "https://id.example.com"
#audience = "sample-game"
#algorithm = "HS256"
#key = "replace-this-by-at-least-32-random-characters"
# key_env = "STUDIO_KEY"
# key_file = "keys/studio.pem"
#claim = "sub"
#leeway_seconds = 60

# ... or an OpenID provider's id token does, whose keys are fetched from jwks_url, or else from where the
# provider's discovery document says. With nonce_required clients send the token's nonce in extraJson.
#[external.sso]
#kind = "openid"
#issuer = "https://sso.example.com"
#audiences = ["sample-game"]
#jwks_url = "https://sso.example.com/keys"
#algorithm = "RS256"
#claim = "sub"
#nonce_required = false

# ... or an access token of Discord for your application.
#[external.discord]
#kind = "discord"
#application_id = "1234567890"

# ... or what a script of yours says.
#[external.company]
#kind = "script"
#script = "logins/Company"

# Servers of yours that may call without a player, by serverName. No addresses: they may call from anywhere.
#[servers.room]
#secret = "replace-this-by-a-long-secret"
# secret_env = "ROOM_SECRET"
#addresses = ["10.1.0.0/16", "2001:db8::7"]
# What it may call, services or operations of them; without a list everything.
#services = ["lobby", "log", "playerState.READ"]

# Mail to players. Without [mail.smtp] it is written into the folder "outbox" of the data folder.
[mail]
#from_address = "support@example.com"
#from_name = "Sample app"

#[mail.smtp]
#host = "smtp.example.com"
#port = 587
# "starttls" (usual on port 587), "tls" (port 465) or "none".
#security = "starttls"
#user = "sample"
#password = "the mail server's password"
# password_env = "SMTP_PASSWORD"
# Certificates to check the mail server against, when it is not one the system knows.
# ca_file = "mail/ca.pem"
#timeout_seconds = 20.0

# Mails of your own wording, as files beside this one; password_reset and email_validation replace those built
# in. The first line is "Subject: ..."; {link} and {minutes} are filled in. mail/reset.html would be the HTML
# part, mail/reset.fr.txt the French text.
# The others that may be replaced: email_validation, and password_changed and address_changed without a link.
#[mail.templates]
# password_reset = "mail/reset.txt"

# How long the mailed links work, and the page of yours they lead to. Without url: a page of this server.
#[mail.reset]
#minutes = 60
#url = "https://example.com/new-password"

#[mail.validation]
#minutes = 1440
#url = "https://example.com/welcome"
"""


def sample_text(secret: str, app_id: str = SAMPLE_ID, title: str = "Sample app") -> str:
    """Write the text of an `app.toml` with the settings that every app has."""
    text = _SAMPLE.replace("SECRET", json.dumps(secret), 1)
    text = text.replace(f'id = "{SAMPLE_ID}"', f"id = {json.dumps(app_id)}", 1)
    return text.replace('title = "Sample app"', f"title = {json.dumps(title, ensure_ascii=False)}", 1)


def section_text(name: str, sample: str) -> str:
    """Write the text of a section's own file: its sample, with every setting commented out.

    `sample` is TOML from the section's header to the last of its settings.
    """
    lines = [
        line if not line or line == f"[{name}]" or line.startswith("#") else f"#{line.lstrip()}"
        for line in sample.strip().splitlines()
    ]
    return "\n".join([f"#:schema ./{SCHEMA_NAME}", "", *lines, ""])


def write_sample(folder: Path, sections: Sections | None = None, secret: str | None = None) -> App:
    """Write `sample/app.toml` and its JSON Schema below `folder`, and load it.

    `secret` is random unless given. Raises FileExistsError when there is a sample, OSError when the folder
    cannot be written.
    """
    return _write_app(folder, SAMPLE_NAME, sample_text(secret or secrets.token_urlsafe(32)), sections)


def write_app(folder: Path, name: str, sections: Sections | None = None) -> App:
    """Write a new app, with an id that no app of the folder has and a secret of its own, and load it.

    Raises ValueError for a name that is none, FileExistsError when there is an app of that name, OSError when
    the folder cannot be written.
    """
    if not _NAME.fullmatch(name):
        raise ValueError("the name of an app is that of its folder: letters, digits, - and _, a letter first")
    taken = load_apps(folder, sections).by_id if folder.is_dir() else {}
    free = (str(secrets.randbelow(900_000) + 100_000) for _ in iter(int, 1))
    app_id = next(text for text in free if text not in taken)
    return _write_app(folder, name, sample_text(secrets.token_urlsafe(32), app_id, name), sections)


def write_section(home: Path, name: str, sample: str) -> Path:
    """Write a section's own file into the folder of an app. Raises FileExistsError, OSError."""
    path = home / f"{name}.toml"
    _write(path, section_text(name, sample))
    return path


def write_schema(home: Path, sections: Sections | None = None) -> bool:
    """Bring the JSON Schema in the folder of an app up to date. False when it was. Raises OSError."""
    path = home / SCHEMA_NAME
    text = json.dumps(app_schema(sections), indent=2, ensure_ascii=False) + "\n"
    if path.is_file() and path.read_text("utf-8") == text:
        return False
    path.write_text(text, "utf-8", newline="\n")
    return True


def _write_app(folder: Path, name: str, text: str, sections: Sections | None) -> App:
    home = folder / name
    home.mkdir(parents=True, exist_ok=True)
    _write(home / FILE_NAME, text)
    write_schema(home, sections)
    apps = load_apps(folder, sections)
    app = next((app for app in apps if app.name == name), None)
    if app is None:
        raise ValueError("; ".join(str(problem) for problem in apps.problems))
    return app


def _write(path: Path, text: str) -> None:
    """Write a new file, readable by its owner alone."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8", newline="\n") as file:
        file.write(text)
