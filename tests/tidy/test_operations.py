"""Every operation is called with success and is refused, somewhere in the tests."""

from collections import defaultdict

import pytest

from gameserver.rpc import Registry
from gameserver.rpc.service import Operation
from gameserver.services import ALL
from gameserver.storage import StoredBy, metadata
from gameserver.wire.errors import GameError
from tests.conftest import CHANGED, outcomes
from tests.protocol.examples import REFUSED_ONLY

OUR_CODES = 49_000


@pytest.fixture
def judged(request: pytest.FixtureRequest) -> list[Operation]:
    """The operations that are judged: all, or those of the services that `--judge` names."""
    named = {name for name in request.config.getoption("--judge").split(",") if name}
    assert {service.name for service in ALL} >= named, "there is no such service"
    return [operation for operation in Registry(ALL) if not named or operation.service in named]


@pytest.mark.usefixtures("whole_suite")
def test_every_operation_has_been_called_and_has_been_refused(judged: list[Operation]) -> None:
    seen = outcomes()
    spellings: dict[object, list[str]] = defaultdict(list)
    for operation in judged:
        spellings[operation.handler].append(operation.wire_name)
    missing = [
        f"no test calls {operation.wire_name} with success"
        for operation in judged
        if "ok" not in seen[operation.wire_name] and operation.wire_name not in REFUSED_ONLY
    ]
    missing += [
        f"no test shows a refusal of {' or '.join(names)}"
        for names in spellings.values()
        if not any(seen[name] - {"ok", "aborted", "failed"} for name in names)
    ]
    assert not missing, "\n".join(missing)


@pytest.mark.usefixtures("whole_suite")
def test_every_refusal_that_an_operation_lists_has_been_seen(judged: list[Operation]) -> None:
    seen = outcomes()
    missing = []
    for operation in judged:
        of_handler = set().union(
            *(seen[other.wire_name] for other in Registry(ALL) if other.handler is operation.handler)
        )
        missing += [
            f"no test shows {kind.__name__} ({kind.reason_code}) of {operation.wire_name}"
            for kind in operation.errors
            if str(kind.reason_code) not in of_handler
        ]
    assert not missing, "\n".join(missing)


# Tables of an app in which a row is one player's, who changes it alone, or nobody waits for.
OWN_ROWS = {
    "identities": "a player's own; who merges or is merged is locked",
    "devices": "a player's own",
    "player_roles": "a player's own",
    "data_stream_reports": "a player's own",
    "app_log_lines": "written once; nobody waits for a line",
    "push_deliveries": "written once; only the job that sends them changes a row",
    "webhook_deliveries": "written once; only the job that sends them changes a row",
}
# Operations that change rows which an app's players share, without a lock of their own.
UNLOCKED = {"playerState.FULL_PLAYER_RESET": "of what is shared, only what belongs to the player goes"}


@pytest.mark.usefixtures("whole_suite")
def test_who_changes_what_players_share_declares_its_locks(judged: list[Operation]) -> None:
    """Without `locks=` two packets with several messages may wait for each other in a circle."""
    shared = {
        table.name
        for table in metadata.sorted_tables
        if table.info["stored_by"] is StoredBy.APP and table.name not in OWN_ROWS
    }
    forgotten = [
        f"{operation.wire_name} changes {', '.join(sorted(changed))}"
        for operation in judged
        if operation.locks is None
        and operation.wire_name not in UNLOCKED
        and (changed := CHANGED[operation.wire_name] & shared)
    ]
    assert not forgotten, "\n".join(forgotten)


def test_reason_codes_of_our_own_mean_one_thing() -> None:
    """The reference's codes are shared as it shares them; those from 49000 on are this server's."""
    names: dict[int, set[str]] = defaultdict(set)
    kinds = [GameError]
    while kinds:
        kind = kinds.pop()
        kinds += kind.__subclasses__()
        if kind.__module__.startswith("gameserver.") and getattr(kind, "reason_code", 0) >= OUR_CODES:
            names[kind.reason_code].add(f"{kind.__module__}.{kind.__name__}")
    assert {code: found for code, found in names.items() if len(found) > 1} == {}


@pytest.mark.usefixtures("whole_suite")
def test_no_operation_has_failed() -> None:
    """A refusal is an outcome; a failure is a mistake of ours that a test has provoked and not noticed."""
    assert [name for name, ends in outcomes().items() if "failed" in ends] == []
