"""What an operator declares: the definition of an app, its types, loading it and keeping it up to date."""

from gameserver.apps.definition import (
    LOGIN_TYPES,
    App,
    ClientSettings,
    Definition,
    ExternalLogin,
    LinkSettings,
    LoginSettings,
    MailSettings,
    Mistake,
    Redirect,
    ServerKey,
    SessionSettings,
    Settings,
    SmtpSettings,
    TokenLogin,
    WebhookLogin,
    file_inside,
    version_numbers,
)
from gameserver.apps.live import LiveApps, Reload, watch
from gameserver.apps.loading import Apps, Problem, Sections, load_apps
from gameserver.apps.mail_addresses import is_mail_address
from gameserver.apps.references import Declares, Refers
from gameserver.apps.sample import SAMPLE_ID, sample_text, write_sample
from gameserver.apps.schema import app_schema

__all__ = [
    "LOGIN_TYPES",
    "SAMPLE_ID",
    "App",
    "Apps",
    "ClientSettings",
    "Declares",
    "Definition",
    "ExternalLogin",
    "LinkSettings",
    "LiveApps",
    "LoginSettings",
    "MailSettings",
    "Mistake",
    "Problem",
    "Redirect",
    "Refers",
    "Reload",
    "Sections",
    "ServerKey",
    "SessionSettings",
    "Settings",
    "SmtpSettings",
    "TokenLogin",
    "WebhookLogin",
    "app_schema",
    "file_inside",
    "is_mail_address",
    "load_apps",
    "sample_text",
    "version_numbers",
    "watch",
    "write_sample",
]
