"""Everything that staff and operators may do, by name: for the command line, the API and the console alike.

Every action takes and returns plain JSON values, because it may run in the server's process (`link`) or in
the command's own, over the Redis and the database that all processes share.
"""

from collections.abc import Mapping
from typing import Any

from gameserver.admin import (
    balances,
    bulk,
    card,
    definitions,
    endpoints,
    group_entities,
    notes,
    operations,
    retention,
    scripts,
    securing,
    staff,
    system,
    trials,
    views,
    webhooks,
)
from gameserver.admin.calls import call
from gameserver.admin.common import Refused, Server
from gameserver.admin.declaring import Action, declared, perform
from gameserver.admin.entities import ACTIONS as OF_ENTITIES
from gameserver.admin.jobs import job_list, job_retry, job_run
from gameserver.admin.leaderboards import ACTIONS as OF_BOARDS
from gameserver.admin.leaderboards import leaderboard_list, leaderboard_rebuild
from gameserver.admin.moving import export_page, import_lines
from gameserver.admin.operators import CLI, Operator
from gameserver.admin.players import (
    player_by_name,
    player_delete,
    player_disable,
    player_enable,
    player_export,
    player_find,
    player_list,
    player_merge,
    player_newest,
    player_reset,
    player_role_add,
    player_role_list,
    player_role_remove,
    player_search,
    player_show,
)
from gameserver.admin.records import (
    audit_list,
    datastream_list,
    journal_list,
    log_list,
    mail_list,
    push_list,
    refusal_codes,
    refusal_list,
)
from gameserver.admin.segments import ACTIONS as OF_SEGMENTS
from gameserver.admin.sessions import session_end, session_list
from gameserver.admin.social import ACTIONS as OF_SOCIAL

__all__ = [
    "ACTIONS",
    "audit_list",
    "call",
    "datastream_list",
    "export_page",
    "import_lines",
    "job_list",
    "job_retry",
    "job_run",
    "leaderboard_list",
    "leaderboard_rebuild",
    "log_list",
    "mail_list",
    "player_delete",
    "player_disable",
    "player_enable",
    "player_export",
    "player_find",
    "player_list",
    "player_merge",
    "player_newest",
    "player_reset",
    "player_role_add",
    "player_role_list",
    "player_role_remove",
    "player_search",
    "player_show",
    "push_list",
    "run",
    "session_end",
    "session_list",
]

ACTIONS: Mapping[str, Action] = declared(
    player_list,
    player_find,
    player_search,
    player_show,
    player_disable,
    player_enable,
    player_export,
    player_reset,
    player_delete,
    player_merge,
    player_newest,
    player_by_name,
    player_role_list,
    player_role_add,
    player_role_remove,
    session_list,
    session_end,
    audit_list,
    refusal_list,
    refusal_codes,
    journal_list,
    datastream_list,
    log_list,
    push_list,
    mail_list,
    job_list,
    job_run,
    job_retry,
    export_page,
    import_lines,
    call,
    *OF_BOARDS,
    *OF_ENTITIES,
    *OF_SOCIAL,
    *OF_SEGMENTS,
    *group_entities.ACTIONS,
    *securing.ACTIONS,
    *balances.ACTIONS,
    *notes.ACTIONS,
    *card.ACTIONS,
    *webhooks.ACTIONS,
    *scripts.ACTIONS,
    *system.ACTIONS,
    *retention.ACTIONS,
    *views.ACTIONS,
    *staff.ACTIONS,
    *operations.ACTIONS,
    *definitions.ACTIONS,
    *endpoints.ACTIONS,
    *bulk.ACTIONS,
    *trials.ACTIONS,
)


async def run(server: Server, action: str, arguments: dict[str, Any], by: Operator = CLI) -> Any:
    """Run an action by its name. Raises `Refused`, and `Forbidden` when whoever acts has not the right."""
    chosen = ACTIONS.get(action)
    if chosen is None:
        raise Refused(f"the server does not know the action {action[:64]!r}; is it older than this command?")
    return await perform(server, chosen, arguments, by)
