"""The packets that are measured."""

import json
from dataclasses import dataclass

APP_ID = "10001"
BOARD = "high"
# A few players of one address do here what thousands do elsewhere.
QUOTAS = """\
[quotas]
packets_per_minute = 1_000_000_000
search_seconds = 3600
entities = 1_000_000_000
entity_bytes = 1_000_000_000_000
global_entities = 1_000_000_000
global_entity_bytes = 1_000_000_000_000
logins_per_address = 1_000_000_000
new_players_per_address = 1_000_000_000
"""
APP = f"""\
id = "{APP_ID}"
secret = "a-secret-for-benchmarks"
signature = "optional"
[login]
anonymous_id_alone = true
[playerStatistics]
create_unknown = true
[globalGameStatistics]
create_unknown = true
[leaderboard.boards.{BOARD}]
type = "HIGH_VALUE"
rotation = "NEVER"
[scripts.files.empty]
client_callable = true
[scripts.files.reads]
client_callable = true
[scripts.files.writes]
client_callable = true
{QUOTAS}"""
SCRIPTS = {
    "empty": ";",
    "reads": """
        var proxy = bridge.getEntityServiceProxy();
        for (var i = 0; i < data.times; i++) {
            var answer = proxy.getEntity(data.id);
            if (answer.status !== 200) throw answer;
        }
    """,
    "writes": """
        var answer = bridge.getEntityServiceProxy().updateEntity(data.id, "address", {visits: 1}, null, -1);
        if (answer.status !== 200) throw answer;
    """,
}

Message = tuple[str, str, object]

NOTHING: dict[str, object] = {}
NO_OP: Message = ("heartbeat", "READ", NOTHING)
READ_STATE: Message = ("playerState", "READ", NOTHING)
RENAME: Message = ("playerState", "UPDATE_NAME", {"playerName": "Player %N"})
LOG_OUT: Message = ("playerState", "LOGOUT", NOTHING)
ADDRESS = {
    "street": "1309 Carling Avenue",
    "city": "Ottawa",
    "position": {"x": 12.5, "y": -3},
    "tags": ["home", "work"],
}
CREATE: Message = ("entity", "CREATE", {"entityType": "address", "data": ADDRESS, "acl": {"other": 0}})
READ_ENTITY: Message = ("entity", "READ", {"entityId": "%E"})
UPDATE: Message = (
    "entity",
    "UPDATE",
    {
        "entityId": "%E",
        "entityType": "address",
        "data": ADDRESS | {"visits": "%N"},
        "acl": {"other": 0},
        "version": -1,
    },
)
EMPTY_SCRIPT: Message = ("script", "RUN", {"scriptName": "empty", "scriptData": NOTHING})
WRITING_SCRIPT: Message = ("script", "RUN", {"scriptName": "writes", "scriptData": {"id": "%E"}})


def reading_script(times: int) -> Message:
    """A script that reads an entity so many times."""
    return ("script", "RUN", {"scriptName": "reads", "scriptData": {"id": "%E", "times": times}})


INCREMENT: Message = ("playerStatistics", "UPDATE", {"statistics": {"wins": 1}})
FIVE: Message = (
    "playerStatistics",
    "UPDATE",
    {"statistics": {"wins": 1, "kills": 7, "deaths": 2, "shots": 113, "seconds": 512}},
)
POST: Message = (
    "leaderboard",
    "POST_SCORE",
    {"leaderboardId": BOARD, "score": "%N", "data": {"car": "red"}},
)
_BOARD = {"leaderboardId": BOARD, "sort": "HIGH_TO_LOW"}
TOP: Message = ("leaderboard", "GET_GLOBAL_LEADERBOARD_PAGE", _BOARD | {"startIndex": 0, "endIndex": 9})
AROUND: Message = ("leaderboard", "GET_GLOBAL_LEADERBOARD_VIEW", _BOARD | {"beforeCount": 5, "afterCount": 5})
RANK: Message = ("leaderboard", "GET_GLOBAL_LEADERBOARD_VIEW", _BOARD | {"beforeCount": 0, "afterCount": 0})

EMPTY, TEN_CALLS = "an empty script", "a script that reads ten entities"
ONE_ORDER, EITHER_ORDER = "two shared rows", "two shared rows, either order"


def shared(name: str) -> Message:
    """A write of a row that all players share."""
    return ("globalGameStatistics", "UPDATE_INCREMENT", {"statistics": {name: 1}})


def login(external_id: str) -> Message:
    """A login that makes its player when there is none."""
    return (
        "authenticationV2",
        "AUTHENTICATE",
        {
            "authenticationType": "Anonymous",
            "externalId": external_id,
            "authenticationToken": "",
            "forceCreate": True,
        },
    )


@dataclass(frozen=True)
class Case:
    """A packet. `sessions` says who sends it: players in turn, nobody yet, or each session once."""

    name: str
    messages: tuple[Message, ...]
    sessions: str = "players"

    @property
    def text(self) -> str:
        """The messages as they travel; a score or a count is a number there."""
        return ",".join(encode(message) for message in self.messages)


def encode(message: Message) -> str:
    """One message as it travels."""
    service, operation, data = message
    text = json.dumps({"service": service, "operation": operation, "data": data}, separators=(",", ":"))
    return text.replace('"%N"', "%N")


def cases() -> list[Case]:
    """All packets, each alone and ten to a packet; logins alone, as an app takes one in a packet unless it says more."""
    alone = {
        "no-op": NO_OP,
        "read state": READ_STATE,
        "write name": RENAME,
        "create an entity": CREATE,
        "read an entity": READ_ENTITY,
        "write an entity": UPDATE,
        "count a statistic": INCREMENT,
        "post a score": POST,
        "top 10": TOP,
        "around me": AROUND,
    }
    return [
        Case("log in, new", (login("new-%R-%N"),), "nobody"),
        Case("log in, existing", (login("again-%P"),), "nobody"),
        *(
            case
            for name, message in alone.items()
            for case in (Case(name, (message,)), Case(f"{name} ×10", (message,) * 10))
        ),
        Case(EMPTY, (EMPTY_SCRIPT,)),
        Case("a script that reads an entity", (reading_script(1),)),
        Case(TEN_CALLS, (reading_script(10),)),
        Case("a script that writes an entity", (WRITING_SCRIPT,)),
        Case("match ends", (POST, FIVE, UPDATE, RANK, TOP)),
        Case(ONE_ORDER, (shared("left"), shared("right"))),
        Case(EITHER_ORDER, (shared("%A"), shared("%B"))),
        Case("log out", (LOG_OUT,), "once"),
        Case("no-op ×9, log out", (*(NO_OP,) * 9, LOG_OUT), "once"),
    ]
