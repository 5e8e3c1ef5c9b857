"""The form of mail addresses."""

import re

_MAIL_ADDRESS = re.compile(
    r"(?=.{3,254}\Z)[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
    r"@(?:localhost|(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9]))"
)
_LOCAL_PART_MAX = 64


def is_mail_address(text: str) -> bool:
    """Tell whether text has the form of a mail address that mail servers everywhere accept (ASCII only)."""
    return text.find("@") <= _LOCAL_PART_MAX and _MAIL_ADDRESS.fullmatch(text) is not None
