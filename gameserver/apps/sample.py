"""The sample app: a definition that works at once and teaches every setting."""

import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from gameserver.apps.definition import App
from gameserver.apps.loading import FILE_NAME, Sections, load_apps
from gameserver.apps.schema import SCHEMA_NAME, app_schema

SAMPLE_NAME = "sample"
SAMPLE_ID = "10001"

_SAMPLE = """\
#:schema ./app.schema.json
#
# One app: one game, or one edition of it, with its own players. The server reads this file again whenever it
# is saved, sessions live on; `gameserver check` names every mistake with its line.
# A line that starts with "#" and a space explains; one that starts with "#" alone is a setting, at its
# default or as an example: delete the "#" to use it.

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
# Failed logins within the window that lock an account or a network address, and for how long.
#failures_per_account = 5
#failures_per_address = 20
#window_seconds = 60
#lock_seconds = 60
# Fewest characters of a new password. Passwords in use stay valid.
#password_min_length = 1
# true refuses logins of type Email until the player has followed the link mailed to them.
#validated_email_only = false
# true answers a Universal or Email login to an account that does not exist like a wrong password, so that
# nobody learns which accounts exist.
#conceal_accounts = false

# Send every client to another server at login.
#[redirect]
#url = "https://eu.example.com/dispatcherv2"
#app_id = "10001"

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

# Servers of yours that may call without a player, by serverName. No addresses: they may call from anywhere.
#[servers.room]
#secret = "replace-this-by-a-long-secret"
# secret_env = "ROOM_SECRET"
#addresses = ["10.1.0.0/16", "2001:db8::7"]

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


def sample_text(secret: str, samples: Mapping[str, str] | None = None) -> str:
    """Write the sample's text, with the samples of sections, by name, behind it.

    The sample of a section is TOML from its header, such as `[heartbeat]`, to the last of its settings.
    """
    text = _SAMPLE.replace("SECRET", json.dumps(secret), 1)
    return "\n".join([text, *(f"{part.strip()}\n" for part in (samples or {}).values() if part.strip())])


def write_sample(
    folder: Path,
    sections: Sections | None = None,
    samples: Mapping[str, str] | None = None,
    secret: str | None = None,
) -> App:
    """Write `sample/app.toml` and its JSON Schema below `folder`, and load it.

    `samples` are the texts of sections, by name; `secret` is random unless given. The file is
    readable by its owner alone. Raises FileExistsError when there is a sample, OSError when the folder
    cannot be written.
    """
    home = folder / SAMPLE_NAME
    home.mkdir(parents=True, exist_ok=True)
    text = sample_text(secret or secrets.token_urlsafe(32), samples)
    descriptor = os.open(home / FILE_NAME, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8", newline="\n") as file:
        file.write(text)
    schema = json.dumps(app_schema(sections), indent=2, ensure_ascii=False)
    (home / SCHEMA_NAME).write_text(schema + "\n", "utf-8")
    apps = load_apps(folder, sections)
    app = apps.find(SAMPLE_ID)
    if app is None:
        raise ValueError("; ".join(str(problem) for problem in apps.problems))
    return app
