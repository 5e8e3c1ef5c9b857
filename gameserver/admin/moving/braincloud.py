"""Taking a game's data out of brainCloud, over the calls it documents for servers, as lines of an export.

What is written so far, and where it goes on, is kept beside the file: who is interrupted, or sent away
because too much was asked, goes on from there.
"""

import contextlib
import itertools
import os
import random
import time
from collections.abc import Callable, Iterator, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any

import httpx
import msgspec

from gameserver.admin.moving.lines import END, FORMAT, HEADER

URL = "https://api.braincloudservers.com/s2sdispatcher"
ROWS = 50  # of a page
READ_LINES = 500  # of the file, at once
TRIES_MAX = 8
PAUSE_SECONDS, PAUSE_SECONDS_MAX = 1.0, 120.0
TIMEOUT_SECONDS = 60.0
ANSWER_BYTES_MAX = 64 << 20
TOO_MANY = frozenset({40823})  # reason codes that ask for patience
AGAIN = frozenset({429, 502, 503, 504})  # and so do these, of HTTP or of a call
NOTES_MAX = 10_000  # that are kept; all are counted


class Away(Exception):
    """The service does not answer, or not so that it can be understood; what is done is kept."""


class Refused(Exception):
    """A call was refused. `reason_code` is 0 where the answer has none."""

    def __init__(self, message: str, reason_code: int) -> None:
        super().__init__(message)
        self.reason_code = reason_code


class Credentials(msgspec.Struct, frozen=True):
    """Who asks: a server that is declared in the portal of the app."""

    app_id: str
    server_name: str
    server_secret: str


class Service:
    """Calls operations over HTTP, no faster than is asked for, and waits when it is sent away."""

    def __init__(
        self,
        url: str,
        credentials: Credentials,
        per_second: float,
        *,
        client: httpx.Client | None = None,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._url = url
        self._credentials = credentials
        self._gap = 1 / per_second
        self._client = client or httpx.Client(timeout=TIMEOUT_SECONDS)
        self._sleep, self._clock = sleep, clock
        self._next = 0.0
        self.told: Callable[[str], None] = lambda _: None
        """Hears why something takes so long."""

    def close(self) -> None:
        """Hang up."""
        self._client.close()

    def call(self, operation: str, data: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Return the data of an answer of `service.OPERATION`.

        Raises `Refused`, and `Away` when patience does not help.
        """
        service, _, name = operation.partition(".")
        body = {
            "appId": self._credentials.app_id,
            "serverName": self._credentials.server_name,
            "serverSecret": self._credentials.server_secret,
            "service": service,
            "operation": name,
            "data": data or {},
        }
        content, pause, why = msgspec.json.encode(body), PAUSE_SECONDS, ""
        for attempt in range(TRIES_MAX):
            if attempt:
                wait = pause * (0.75 + 0.5 * random.random())  # noqa: S311 - so that two do not keep step
                self.told(f"{why}; again in {wait:.0f} s")
                self._sleep(wait)
                pause = min(pause * 2, PAUSE_SECONDS_MAX)
            answer, why, wanted = self._once(content)
            if answer is not None:
                return answer
            pause = min(max(pause, wanted), PAUSE_SECONDS_MAX)
        raise Away(f"{operation}: {why}")

    def _once(self, content: bytes) -> tuple[dict[str, Any] | None, str, float]:
        """Return the data, or why there is none yet, and for how long to wait at least."""
        if (early := self._next - self._clock()) > 0:
            self._sleep(early)
        self._next = self._clock() + self._gap
        try:
            headers = {"Content-Type": "application/json"}
            response = self._client.post(self._url, content=content, headers=headers)
        except httpx.HTTPError as error:
            return None, f"no answer ({type(error).__name__})", 0.0
        if response.status_code in AGAIN:
            return None, f"HTTP {response.status_code}", _seconds(response.headers.get("retry-after", ""))
        if len(response.content) > ANSWER_BYTES_MAX:
            raise Away(f"an answer of {len(response.content)} bytes")
        try:
            entry = msgspec.json.decode(response.content)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None, f"HTTP {response.status_code}, and no JSON", 0.0
        if not isinstance(entry, dict):
            raise Away("the answer is no object; is this the address of the server-to-server calls?")
        status, code = entry.get("status", 200), entry.get("reason_code", 0)
        if status in AGAIN or code in TOO_MANY:
            return None, f"{status}/{code}: {entry.get('status_message', '')}", 0.0
        if status != HTTPStatus.OK:
            raise Refused(
                f"{status}/{code}: {entry.get('status_message', '')}", code if isinstance(code, int) else 0
            )
        data = entry.get("data", {}) if "data" in entry or "status" in entry else entry
        return data if isinstance(data, dict) else {}, "", 0.0


def _seconds(text: str) -> float:
    try:
        return max(0.0, float(text))
    except ValueError:  # a date
        return 0.0


# What is taken out


class State(msgspec.Struct):
    """How far a taking out is."""

    app_id: str
    step: int = 0
    cursor: Any = None
    file_bytes: int = 0
    counts: dict[str, int] = msgspec.field(default_factory=dict)
    notes: list[str] = msgspec.field(default_factory=list)
    note_count: int = 0
    versions: dict[str, int] = msgspec.field(default_factory=dict)
    """The running version of each leaderboard."""

    def note(self, text: str) -> None:
        """Note what is not in the file."""
        self.note_count += 1
        if len(self.notes) < NOTES_MAX:
            self.notes.append(text)


Line = dict[str, Any]
Page = tuple[list[Line], Any]
"""Lines, and where the next page begins: None when this was the last one."""


class TakingOut:
    """Takes an app's data out, a page after the other, into a file."""

    def __init__(self, service: Service, app_id: str, file: Path) -> None:
        self._service = service
        self._part = file.with_name(f"{file.name}.part")
        self._kept = file.with_name(f"{file.name}.state")
        self._file = file
        self.state = self._load(app_id)
        self._steps: tuple[Callable[[Any], Page], ...] = (
            self._head,
            self._global_statistics,
            self._properties,
            self._boards,
            self._players,
            self._friends,
            self._groups,
            self._system_entities,
            self._global_entities,
            self._custom_entities,
        )

    def run(self, moved: Callable[[Mapping[str, int]], None] = lambda _: None) -> State:
        """Take out what is not taken out yet; `moved` hears of each page. Raises `Away`, `OSError`."""
        with self._opened() as file:
            while self.state.step < len(self._steps):
                found, cursor = self._steps[self.state.step](self.state.cursor)
                for line in found:
                    file.write(msgspec.json.encode(line) + b"\n")
                    if line["type"] != HEADER:
                        self.state.counts[line["type"]] = self.state.counts.get(line["type"], 0) + 1
                self.state.cursor = cursor
                self.state.step += cursor is None
                self._save(file)
                moved(self.state.counts)
            file.write(msgspec.json.encode({"type": END, "lines": self.state.counts}) + b"\n")
        self._part.replace(self._file)
        self._kept.unlink(missing_ok=True)
        return self.state

    # Where it goes on

    def _load(self, app_id: str) -> State:
        try:
            state = msgspec.json.decode(self._kept.read_bytes(), type=State)
        except FileNotFoundError:
            return State(app_id)
        except msgspec.DecodeError as error:
            raise OSError(f"{self._kept} cannot be read; delete it to begin anew ({error})") from None
        if state.app_id != app_id:
            raise OSError(f"{self._kept} is of app {state.app_id}")
        if not self._part.is_file() or self._part.stat().st_size < state.file_bytes:
            return State(app_id)
        return state

    @contextlib.contextmanager
    def _opened(self) -> Iterator[Any]:
        descriptor = os.open(self._part, os.O_RDWR | os.O_CREAT, 0o600)
        with os.fdopen(descriptor, "r+b") as file:
            file.truncate(self.state.file_bytes)  # what came of a page that was not whole
            file.seek(self.state.file_bytes)
            yield file

    def _save(self, file: Any) -> None:
        file.flush()
        os.fsync(file.fileno())
        self.state.file_bytes = file.tell()
        fresh = self._kept.with_name(f"{self._kept.name}.new")
        fresh.write_bytes(msgspec.json.encode(self.state))
        fresh.replace(self._kept)

    # Steps

    def _head(self, _: Any) -> Page:
        return [{"type": HEADER, "format": FORMAT, "appId": self.state.app_id, "from": "brainCloud"}], None

    def _asked(self, operation: str, data: Mapping[str, Any] | None = None) -> dict[str, Any] | None:
        """Return the data of an answer; None where it is refused, which is noted."""
        try:
            return self._service.call(operation, data)
        except Refused as refused:
            self.state.note(f"{operation}: {refused}")
            return None

    def _paged(
        self,
        first: str,
        following: str,
        cursor: Any,
        more: Mapping[str, Any] | None = None,
        criteria: Mapping[str, Any] | None = None,
    ) -> tuple[list[dict[str, Any]], Any]:
        """Return the items of a page and the context for the next one; refusals are noted, and the end."""
        if cursor is None:
            context = {
                "pagination": {"rowsPerPage": ROWS, "pageNumber": 1, "doCount": False},
                "searchCriteria": criteria or {},
                "sortCriteria": {"createdAt": 1},
            }
            told = self._asked(first, {**(more or {}), "context": context})
        else:
            told = self._asked(following, {**(more or {}), "context": cursor, "pageOffset": 1})
        results = (told or {}).get("results")
        if told is None or not isinstance(results, dict):
            return [], None
        items = [item for item in results.get("items") or [] if isinstance(item, dict)]
        is_more = bool(results.get("moreAfter")) and bool(items)
        return items, told.get("context") if is_more else None

    def _global_statistics(self, _: Any) -> Page:
        told = self._asked("globalGameStatistics.READ")
        values = _numbers((told or {}).get("statistics"))
        return ([{"type": "globalStatistics", "statistics": values}] if values else []), None

    def _properties(self, _: Any) -> Page:
        told = self._asked("globalApp.READ_PROPERTIES") or {}
        return [{"type": "globalProperty", **item} for item in told.values() if isinstance(item, dict)], None

    def _boards(self, _: Any) -> Page:
        told = self._asked("leaderboard.LIST_ALL_LEADERBOARDS") or {}
        found = []
        for board in told.get("leaderboardList") or []:
            board_id, rotates = str(board.get("leaderboardId")), board.get("rotationType", "NEVER")
            self.state.versions[board_id] = int(board.get("currentVersionId") or 0)
            line = {
                "type": "leaderboard",
                "leaderboardId": board_id,
                "leaderboardType": board.get("leaderboardType"),
                "rotationType": rotates,
                "resetAt": board.get("resetAt") if rotates not in {"NEVER", "ADHOC"} else None,
                "numDaysToRotate": board.get("numDaysToRotate") or 0,
                "retainedCount": min(max(int(board.get("maxRetainedCount") or 1), 1), 8),
                "data": board.get("data") if isinstance(board.get("data"), dict) else None,
            }
            if board.get("entryType"):
                line["entryType"] = board["entryType"]
            found.append(line)
        return found, None

    def _players(self, cursor: Any) -> Page:
        items, following = self._paged("user.SYS_GET_PAGE", "user.SYS_GET_PAGE_OFFSET", cursor)
        found: list[Line] = []
        for item in items:
            profile_id = str(item.get("profileId"))
            options = {"profileId": profile_id, "optionsJson": {"includeEntities": True}}
            told = self._asked("user.SYS_GET_USER_EXPORT", options)
            exports = (told or {}).get(profile_id) or []
            if exports and isinstance(exports[0], dict):
                found += self._player(profile_id, exports[0])
            elif told is not None:
                self.state.note(f"player {profile_id}: the answer has no export of theirs")
        return found, following

    def _player(self, profile_id: str, told: dict[str, Any]) -> list[Line]:
        profile = (told.get("playerProfile") or [{}])[0]
        progress = told.get("playerStatistics") or {}
        line: Line = {
            "type": "player",
            "profileId": profile_id,
            "playerName": profile.get("playerName") or "",
            "contactEmail": profile.get("emailAddress"),
            "createdAt": _whole(profile.get("createdAt")),
            "lastLogin": _whole(profile.get("lastLogin")),
            "previousLogin": _whole(profile.get("previousLogin")),
            "loginCount": _whole(profile.get("loginCount")) or 0,
            "isTester": bool(profile.get("isTester")),
            **{
                name: profile.get(name)
                for name in ("pictureUrl", "countryCode", "languageCode", "timeZoneOffset")
                if profile.get(name) is not None
            },
            **{
                name: profile[name]
                for name in ("summaryFriendData", "attributes")
                if isinstance(profile.get(name), dict) and profile[name]
            },
            "identities": [
                {
                    "authenticationType": each.get("authenticationType"),
                    "externalId": each.get("externalId"),
                    **({"externalAuthName": each["authSubType"]} if each.get("authSubType") else {}),
                }
                for each in told.get("credentials") or []
            ],
            "statistics": _numbers(progress.get("statistics")),
            "experiencePoints": _whole(progress.get("experiencePoints")) or 0,
            "currency": {
                name: {key: _whole(counts.get(key)) or 0 for key in _COUNTS}
                for name, counts in ((told.get("playerCurrency") or {}).get("items") or {}).items()
                if isinstance(counts, dict)
            },
            "friendProfileIds": _texts(profile.get("friendProfileIds")),  # for the step behind this
        }
        found = [
            line,
            *(
                {"type": "entity", "profileId": profile_id, **_picked(entity, _ENTITY)}
                for entity in told.get("childEntities") or []
            ),
        ]
        for number, score in enumerate(told.get("leaderboardScores") or []):
            board_id = str(score.get("leaderboardId"))
            if score.get("versionId") == self.state.versions.get(board_id):
                place = {"entryId": f"{number}"}  # said where there may be many, and passed over elsewhere
                found.append({"type": "score", "profileId": profile_id, **_picked(score, _SCORE), **place})
        self._note_left_out(profile_id, told)
        return found

    def _note_left_out(self, profile_id: str, told: dict[str, Any]) -> None:
        progress = told.get("playerStatistics") or {}
        left = [name for name in _LEFT_OUT if progress.get(name)]
        if left:
            self.state.note(f"player {profile_id}: {', '.join(left)} not taken")

    def _friends(self, cursor: Any) -> Page:
        """Make lines of what those of players say, which all are in the file by now. No call is needed."""
        found: list[Line] = []
        with self._part.open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(cursor or 0)
            for text in itertools.islice(file, READ_LINES):
                line = msgspec.json.decode(text)
                friends = line.get("friendProfileIds") or []
                found += [
                    {"type": "friend", "profileId": line["profileId"], "friendId": each} for each in friends
                ]
            place = file.tell()
        return found, place if place < end else None

    def _groups(self, cursor: Any) -> Page:
        items, following = self._paged(
            "group.SYS_LIST_GROUPS_PAGE", "group.SYS_LIST_GROUPS_PAGE_BY_OFFSET", cursor
        )
        found: list[Line] = []
        for item in items:
            group_id = str(item.get("groupId"))
            told = self._asked("group.SYS_READ_GROUP", {"groupId": group_id})
            if told is not None:
                found += _group(group_id, {**item, **told})
                found += self._group_entities(group_id)
        return found, following

    def _group_entities(self, group_id: str) -> Iterator[Line]:
        operations = ("group.SYS_READ_GROUP_ENTITIES_PAGE", "group.SYS_READ_GROUP_ENTITIES_PAGE_BY_OFFSET")
        cursor: Any = None
        while True:
            items, cursor = self._paged(*operations, cursor, criteria={"groupId": group_id})
            for item in items:
                owner = {"ownerId": item.get("ownerId")}
                yield {"type": "groupEntity", "groupId": group_id, **owner, **_picked(item, _ENTITY)}
            if cursor is None:
                return

    def _system_entities(self, cursor: Any) -> Page:
        first, following = (
            "globalEntity.GET_SYSTEM_ENTITY_PAGE",
            "globalEntity.GET_SYSTEM_ENTITY_PAGE_BY_OFFSET",
        )
        items, context = self._paged(first, following, cursor)
        return [_global_entity(item) for item in items], context

    def _global_entities(self, cursor: Any) -> Page:
        items, following = self._paged("globalEntity.GET_PAGE", "globalEntity.GET_PAGE_BY_OFFSET", cursor)
        return [_global_entity(item) for item in items if item.get("ownerId")], following

    def _custom_entities(self, cursor: Any) -> Page:
        """Their lines are kept in the file, though this server does not take them."""
        if cursor is None:
            told = self._asked("customEntity.SYS_LIST_COLLECTIONS") or {}
            listed = next((value for value in told.values() if isinstance(value, list)), [])
            names = [each if isinstance(each, str) else str(each.get("entityType", "")) for each in listed]
            return [], [sorted(filter(None, names)), None] if any(names) else None
        (kind, *others), context = cursor
        operations = ("customEntity.SYS_GET_ENTITY_PAGE", "customEntity.SYS_GET_ENTITY_PAGE_OFFSET")
        items, following = self._paged(*operations, context, {"entityType": kind})
        lines = [{**item, "type": "customEntity", "entityType": kind} for item in items]
        if following is not None:
            return lines, [[kind, *others], following]
        return lines, [others, None] if others else None


_COUNTS = ("balance", "purchased", "awarded", "consumed", "revoked")
_ENTITY = ("entityId", "entityType", "data", "acl", "version", "createdAt", "updatedAt")
_SCORE = ("leaderboardId", "score", "data", "createdAt", "updatedAt")
_LEFT_OUT = ("milestonesStatus", "questsStatus", "playerAchievements")
_NEVER_MS = 2**53  # and beyond it: what stays


_GROUP = ("name", "isOpenGroup", "acl", "version", "data", "summaryData", "defaultMemberAttributes")
_TIMES = ("createdAt", "updatedAt")


def _group(group_id: str, told: Mapping[str, Any]) -> list[Line]:
    """Return the line of a group, and those of who is in it and who waits to be."""
    owner_id = told.get("ownerId")
    members, pending = (told.get(name) or {} for name in ("members", "pendingMembers"))
    line: Line = {
        "type": "group",
        "groupId": group_id,
        "groupType": told.get("groupType"),
        "ownerId": owner_id,
        **_picked(told, (*_GROUP, *_TIMES)),
        "ownerAttributes": (members.get(owner_id) or {}).get("attributes"),
    }
    others = {**pending, **members}
    others.pop(owner_id, None)
    names = ("role", "attributes", "pendingReason")
    seats = [
        {"type": "groupMember", "groupId": group_id, "profileId": profile_id, **_picked(seat, names)}
        for profile_id, seat in others.items()
    ]
    return [line, *seats]


def _texts(told: Any) -> list[str]:
    return [each for each in told if isinstance(each, str)] if isinstance(told, list) else []


def _global_entity(item: dict[str, Any]) -> Line:
    expires = _whole(item.get("expiresAt"))
    return {
        "type": "globalEntity",
        "ownerId": item.get("ownerId"),
        "entityIndexedId": item.get("entityIndexedId"),
        **_picked(item, _ENTITY),
        "timeToLive": max(_whole(item.get("timeToLive")) or 0, -1),
        **({"expiresAt": expires} if expires is not None and expires < _NEVER_MS else {}),
    }


def _picked(told: Mapping[str, Any], names: tuple[str, ...]) -> Line:
    return {name: told[name] for name in names if told.get(name) is not None}


def _numbers(told: Any) -> dict[str, float]:
    found = told.items() if isinstance(told, dict) else ()
    return {
        name: value for name, value in found if isinstance(value, int | float) and not isinstance(value, bool)
    }


def _whole(value: Any) -> int | None:
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
