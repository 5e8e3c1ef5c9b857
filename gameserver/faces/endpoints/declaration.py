"""What an operator declares: endpoints, the actions they trigger, and how players log in over them."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, field

from gameserver.apps import LOGIN_TYPES, Declares, Mistake, Refers, Settings
from gameserver.faces.endpoints import values

_END = r"$(?!\n)"  # a bare $ also matches before a last line feed

SEGMENTS_MAX = 16
# First segments of paths that belong to the server itself.
RESERVED = frozenset(
    {
        "_clock",
        "apps",
        "console",
        "dispatcher",
        "dispatcherv2",
        "emulator",
        "healthz",
        "metrics",
        "mobileservices",
        "oauth2",
        "readyz",
        "reset",
        "self-service",
        "s2sdispatcher",
        "unsubscribe",
        "validate",
        "webhook",
    }
)

_LITERAL = re.compile(r"[A-Za-z0-9._~-]+")
_PARAMETER = re.compile(r"\{([A-Za-z][A-Za-z0-9_]*)\}")

Name = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9_-]{1,64}" + _END,
        extra={"expected": "a name of letters, digits, - and _"},
    ),
]
Title = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9_-]([A-Za-z0-9 _-]{0,62}[A-Za-z0-9_-])?" + _END,
        extra={"expected": "a name of letters, digits, blanks, - and _, with no blank at its ends"},
    ),
]
Method = Annotated[
    str,
    Meta(
        pattern=r"^([Gg][Ee][Tt]|[Pp][Oo][Ss][Tt]|[Pp][Uu][Tt]|[Pp][Aa][Tt][Cc][Hh]|[Dd][Ee][Ll][Ee][Tt][Ee])"
        + _END,
        description="How it is asked.",
        extra={"expected": "GET, POST, PUT, PATCH or DELETE"},
    ),
]

SAMPLE = """\
# Endpoints of your own, for browsers and other clients that do not speak packets. An endpoint triggers an
# action, an action is a list of events: "login", "logout" and calls of operations. The session travels in a
# cookie.
#[web]
# The endpoints as an OpenAPI document, under /apps/<id>/openapi.json.
#openapi = true

# How players log in: the authentication type, and the names of the fields in the request's body. create makes
# a player of a login nobody has. refresh_tokens answers with one; see [oauth].
#[web.profiles.players]
#type = "Universal"
#login_field = "login"
#password_field = "password"
#create = false
#refresh_tokens = false

#[web.endpoints.login]
#path = "/v1/login"
#description = "Log in; the answer sets the cookie."

#[web.actions.log_in]
#trigger = "login"
#events = [{ do = "login", profile = "players" }]

# Whoever is not logged in is answered with 401.
#[web.endpoints.rename]
#path = "/v1/players/me/name"
#method = "PUT"
#requires_login = true

# A call takes values from the request: {path.x}, {query.x}, {body.x}; {query.x:number} and {query.x:bool}
# read text, {body.x?} may be absent.
#[web.actions.rename]
#trigger = "rename"
#events = [{ do = "call", operation = "playerState.UPDATE_NAME", data = { playerName = "{body.name}" } }]

# With authority = "server" a call may do what is refused to players, on behalf of who is logged in. Take care
# what it takes from the request.
#[web.endpoints.logout_elsewhere]
#path = "/v1/logout_elsewhere"
#requires_login = true

#[web.actions.log_out_elsewhere]
#trigger = "logout_elsewhere"
#events = [
#  { do = "call", operation = "playerState.SYS_INVALIDATE_ALL_BUT_CURRENT_SESSION", authority = "server" },
#]

# A GET that changes something has to be allowed: links and images of any page cause a GET, and browsers and
# mail programs fetch pages ahead. POST is better.
#[web.endpoints.logout_user]
#path = "/v1/logout_user"
#method = "GET"
#get_changes_state = true

#[web.actions.log_out]
#trigger = "logout_user"
#events = [{ do = "logout" }]
"""


class Profile(Settings, kw_only=True):
    """An authentication profile: how players log in over an endpoint."""

    type: Annotated[str, Meta(description="Authentication type, such as Universal or Email.")] = "Universal"
    login_field: Annotated[Name, Meta(description="Field of the body with the player's id.")] = "login"
    password_field: Annotated[Name, Meta(description="Field of the body with the password or token.")] = (
        "password"  # noqa: S105 - a name
    )
    external_name: Annotated[
        str,
        Refers("external login"),
        Meta(max_length=64, description="For the type External: which of the app's external logins."),
    ] = ""
    create: Annotated[bool, Meta(description="true makes a player of a login that nobody has.")] = False
    refresh_tokens: Annotated[
        bool, Meta(description="true answers a login with a refresh token and the session as access token.")
    ] = False

    def mistakes(self, folder: Path) -> Iterator[Mistake]:
        """Yield a login type that does not exist, and two fields of one name."""
        if self.type not in LOGIN_TYPES:
            yield "type", f'unknown login type "{self.type}"; there are {", ".join(LOGIN_TYPES)}'
        if self.login_field == self.password_field:
            yield "password_field", "expected another name than login_field"
        if self.type == "External" and not self.external_name:
            yield "external_name", "missing: the type External needs the name of an external login"
        yield from super().mistakes(folder)


class Endpoint(Settings, kw_only=True):
    """A path that clients may ask."""

    path: Annotated[
        str,
        Meta(
            max_length=256, description="Such as /v1/clubs/{club}/members; a part in braces is a parameter."
        ),
    ]
    method: Method = "POST"
    description: Annotated[str, Meta(max_length=1024, description="For people; part of the OpenAPI.")] = ""
    requires_login: Annotated[bool, Meta(description="true answers 401 to whoever is not logged in.")] = False
    get_changes_state: Annotated[
        bool,
        Meta(
            description="Lets a GET log out or change something. Links and images on any page cause a GET, "
            "and programs fetch pages ahead: prefer POST."
        ),
    ] = False

    def __post_init__(self) -> None:
        """Take the method in any case of letters."""
        msgspec.structs.force_setattr(self, "method", self.method.upper())

    def mistakes(self, folder: Path) -> Iterator[Mistake]:
        """Yield a path that is none, and a permission for another method than GET."""
        if complaint := _unfit(self.path):
            yield "path", complaint
        if self.get_changes_state and self.method != "GET":
            yield "get_changes_state", f"is for GET; {self.method} may change things anyway"
        yield from super().mistakes(folder)

    @property
    def parameters(self) -> list[str]:
        """The names of the path's parameters, in order."""
        return _PARAMETER.findall(self.path)

    @property
    def shape(self) -> tuple[str, ...]:
        """The path's segments, parameters as empty texts: two endpoints of one shape claim the same paths."""
        return tuple("" if _PARAMETER.fullmatch(part) else part for part in self.path[1:].split("/"))

    @property
    def may_change(self) -> bool:
        """Tell whether asking may change something."""
        return self.method != "GET" or self.get_changes_state


def _unfit(path: str) -> str:
    """Say why a text is no path of an endpoint; empty when it is one."""
    if not path.startswith("/") or path == "/":
        return 'expected a path that starts with "/", such as /v1/logout_user'
    segments = path[1:].split("/")
    if len(segments) > SEGMENTS_MAX:
        return f"has more than {SEGMENTS_MAX} segments"
    for segment in segments:
        if segment in (".", ".."):
            return f'a segment "{segment}" leads elsewhere: write the path out'
        if not (_LITERAL.fullmatch(segment) or _PARAMETER.fullmatch(segment)):
            what = f'the segment "{segment}"' if segment else "an empty segment"
            return f"{what} is neither letters, digits and . _ ~ - nor a parameter in braces"
    if segments[0].lower() in RESERVED:
        return f"/{segments[0]} belongs to the server itself"
    if _PARAMETER.fullmatch(segments[0]):
        return "begins with a parameter: it would claim the paths of others"
    names = _PARAMETER.findall(path)
    if len(set(names)) < len(names):
        return "a parameter comes twice"
    return ""


class LoginEvent(Settings, kw_only=True, tag_field="do", tag="login"):
    """Log in, and set the cookie."""

    profile: Annotated[
        str, Refers("profile"), Meta(description="Authentication profile that names the fields.")
    ]


class LogoutEvent(Settings, kw_only=True, tag_field="do", tag="logout"):
    """End the session, and take the cookie away. Without a session it has no effect."""


class CallEvent(Settings, kw_only=True, tag_field="do", tag="call"):
    """Call an operation as the player who is logged in."""

    operation: Annotated[
        str,
        Refers("operation"),
        Meta(
            pattern=r"^[A-Za-z0-9]{1,64}\.[A-Z][A-Z0-9_]{0,63}" + _END,
            description="Service and operation, such as playerState.UPDATE_NAME.",
            extra={"expected": "service and operation with a dot between them"},
        ),
    ]
    data: Annotated[
        dict[str, Any],
        Meta(description="What is sent; texts may take values: {path.x}, {query.x}, {body.x}."),
    ] = field(default_factory=dict)
    authority: Annotated[
        Literal["player", "server"],
        Meta(description='"server" may do what is refused to players, on behalf of who is logged in.'),
    ] = "player"


Event = LoginEvent | LogoutEvent | CallEvent


class Action(Settings, kw_only=True):
    """What happens when an endpoint is asked."""

    trigger: Annotated[str, Refers("endpoint"), Meta(description="Name of the endpoint.")]
    events: Annotated[list[Event], Meta(max_length=20, description="In order; a refusal ends the list.")]


class Web(Settings, kw_only=True):
    """Endpoints that the operator declares."""

    openapi: Annotated[bool, Meta(description="Serve the OpenAPI document of the endpoints.")] = True
    profiles: Annotated[
        dict[Title, Profile], Declares("profile"), Meta(description="Authentication profiles, by name.")
    ] = field(default_factory=dict)
    endpoints: Annotated[
        dict[Title, Endpoint], Declares("endpoint"), Meta(description="Endpoints, by name.")
    ] = field(default_factory=dict)
    actions: Annotated[dict[Title, Action], Meta(description="Actions, by name.")] = field(
        default_factory=dict
    )

    def mistakes(self, folder: Path) -> Iterator[Mistake]:
        """Yield paths and triggers that are claimed twice, at both places."""
        for claimed in self._claimed_twice("endpoints", {n: _claim(e) for n, e in self.endpoints.items()}):
            yield claimed, f"another endpoint claims the same path: {self._others(claimed)}"
        for claimed in self._claimed_twice("actions", {n: (a.trigger,) for n, a in self.actions.items()}):
            yield claimed, f"another action has the same trigger: {self._others(claimed)}"
        for name, action in self.actions.items():
            endpoint = self.endpoints.get(action.trigger)
            if endpoint is None:
                continue  # a reference to nothing, which is told of as such
            for index, event in enumerate(action.events):
                for place, complaint in self._event_mistakes(endpoint, event):
                    yield ("actions", name, "events", index, *place), complaint
        yield from super().mistakes(folder)

    def claims(self) -> Iterator[tuple[tuple[str | int, ...], str]]:
        """Yield the paths: no two apps answer under one."""
        for name, endpoint in self.endpoints.items():
            shown = "/".join(part or "{}" for part in endpoint.shape)
            yield ("endpoints", name, "path"), f"{endpoint.method} /{shown}"

    def _claimed_twice(
        self, table: str, claims: dict[str, tuple[str, ...]]
    ) -> Iterator[tuple[str, str, str]]:
        key = {"endpoints": "path", "actions": "trigger"}[table]
        for name, claim in claims.items():
            if list(claims.values()).count(claim) > 1:
                yield table, name, key

    def _others(self, claimed: tuple[str, str, str]) -> str:
        table, name, key = claimed
        if table == "actions":
            mine = self.actions[name].trigger
            names = [n for n, a in self.actions.items() if n != name and a.trigger == mine]
        else:
            claim = _claim(self.endpoints[name])
            names = [n for n, e in self.endpoints.items() if n != name and _claim(e) == claim]
        return ", ".join(f"web.{table}.{other}.{key}" for other in names)

    def _event_mistakes(
        self, endpoint: Endpoint, event: Event
    ) -> Iterator[tuple[tuple[str | int, ...], str]]:
        match event:
            case LoginEvent():
                if endpoint.method != "POST":
                    yield (), f"a login is sent with POST, and its endpoint has {endpoint.method}"
            case LogoutEvent():
                if not endpoint.may_change:
                    yield (
                        (),
                        (
                            "a GET changes nothing unless its endpoint says get_changes_state = true; "
                            'method = "POST" is better, because links, images and programs that fetch ahead '
                            "cause GETs"
                        ),
                    )
            case CallEvent(data=data):
                try:
                    found = list(values.placeholders(data))
                except ValueError as error:
                    yield ("data",), str(error)
                    return
                for taken in found:
                    if taken.source == "path" and taken.name not in endpoint.parameters:
                        yield ("data",), f"{{{taken.place}}}: {endpoint.path} has no such parameter"
                    if taken.source == "body" and endpoint.method == "GET":
                        yield ("data",), f"{{{taken.place}}}: a GET has no body"


def _claim(endpoint: Endpoint) -> tuple[str, ...]:
    return (endpoint.method, *endpoint.shape)
