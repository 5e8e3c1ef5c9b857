"""The form of mail addresses."""

import re

_MAIL_ADDRESS = re.compile(
    r"(?=.{3,254}\Z)[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
    r"@(?:localhost|(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9]))"
)
_LOCAL_PART_MAX = 64


_LOWER = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}


def canonical_mail_address(text: str) -> str:
    """The one form of a mail address that is compared, stored and mailed to.

    Only A to Z have a small letter here. Python knows many more, and makes these of letters of other
    alphabets: somebody could own an address that looks to the server like another's.
    """
    return text.strip().translate(_LOWER)


def is_mail_address(text: str) -> bool:
    """Tell whether text has the form of a mail address that mail servers everywhere accept (ASCII only)."""
    return text.find("@") <= _LOCAL_PART_MAX and _MAIL_ADDRESS.fullmatch(text) is not None
