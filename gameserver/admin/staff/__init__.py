"""Staff: who they are, what they may do, how they prove it, and the keys of their programs.

Passwords are argon2id digests. Everything that opens a door (sessions, invitations, keys, recovery codes) is
random, shown once, and kept as a digest.
"""

from gameserver.admin.staff.entering import (
    PASSWORD_MIN,
    SESSION_MS_MAX,
    Entered,
    WrongLogin,
    accept,
    change_password,
    confirm,
    enter,
    first_invitation,
    invited,
    log_in,
    log_out,
    new_secret,
    provisioning_uri,
    set_second_factor,
    set_settings,
)
from gameserver.admin.staff.managing import ACTIONS
from gameserver.admin.staff.provider import Away, SignOn, SignOnSettings, read_settings
from gameserver.admin.staff.signing_on import NoWayIn
from gameserver.admin.staff.signing_on import begin as begin_sign_on
from gameserver.admin.staff.signing_on import finish as finish_sign_on
from gameserver.admin.staff.storage import FORGET, Member, carry_over

__all__ = [
    "ACTIONS",
    "FORGET",
    "PASSWORD_MIN",
    "SESSION_MS_MAX",
    "Away",
    "Entered",
    "Member",
    "NoWayIn",
    "SignOn",
    "SignOnSettings",
    "WrongLogin",
    "accept",
    "begin_sign_on",
    "carry_over",
    "change_password",
    "confirm",
    "enter",
    "finish_sign_on",
    "first_invitation",
    "invited",
    "log_in",
    "log_out",
    "new_secret",
    "provisioning_uri",
    "read_settings",
    "set_second_factor",
    "set_settings",
]
