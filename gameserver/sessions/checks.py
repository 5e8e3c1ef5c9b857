"""What both stores make of their arguments."""

from collections.abc import Callable

import msgspec

from gameserver.sessions.ids import TAG_LENGTH, digest_of, is_digest, new_session_id, tag_of
from gameserver.sessions.interface import END_REASONS, AllOf, NewSession, One, Selector, Session


def make_session(new: NewSession, now: int, random: Callable[[int], bytes]) -> tuple[str, Session]:
    """Return the id and the record of a new session. Raises `ValueError` for a foreign `session_id`."""
    session_id = new.session_id or new_session_id(new.profile_id, random)
    digest = digest_of(session_id)
    if digest is None or digest[:TAG_LENGTH] != tag_of(new.profile_id):
        raise ValueError("the session id was not made for this profile")
    return session_id, Session(
        digest=digest,
        app_id=new.app_id,
        profile_id=new.profile_id,
        home_app_id=new.app_id,
        home_profile_id=new.profile_id,
        face=new.face,
        created_ms=now,
        life_seconds=positive(new.life_seconds),
        facts=new.facts,
        last_packet_id=new.packet_id,
        last_used_ms=now,
    )


def switched(session: Session, app_id: str, profile_id: str, now_ms: int) -> Session:
    """Return the session as it acts for another app and profile."""
    facts = {**session.facts, "switchedMs": now_ms}
    if app_id != session.app_id:  # a repeat of the switch changes nothing more
        facts["switchedFrom"] = session.app_id
    return msgspec.structs.replace(session, app_id=app_id, profile_id=profile_id, facts=facts)


def check_end(selector: Selector, reason: str, packet_id: int | None, by: str, epoch: int | None) -> str:
    """Return the digest of the session whose packet ends it. Raises `ValueError` for senseless arguments."""
    if reason not in END_REASONS:
        raise ValueError(f"no reason to end a session: {reason!r}")
    if epoch is not None and not isinstance(selector, AllOf):
        raise ValueError("an epoch goes with the end of all sessions of a player")
    if isinstance(selector, One):
        return selector.resolve() or ""
    if packet_id is not None and not is_digest(by):
        raise ValueError("a packet that ends many sessions must say by which one it came")
    return by


def positive(seconds: int) -> int:
    """Return a time span as given. Raises `ValueError` unless it is positive."""
    if seconds <= 0:
        raise ValueError("a time span is a positive number of seconds")
    return seconds
