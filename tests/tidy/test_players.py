"""Every table says whose its rows are, so that no service forgets a player's data."""

from typing import Any

from sqlalchemy import Column, Table
from sqlalchemy.sql import visitors

from gameserver.app import registry
from gameserver.storage import metadata

PAGE = 'see "Adding a service" in gameserver/README.md'

# Tables in which no row is a player's.
OF_NOBODY = {
    "global_statistics": "all players of an app share them",
    "leaderboards": "boards are the app's",
    "leaderboard_versions": "boards are the app's",
    "social_groups": "groups are of their members; that the owner is one of them is kept true",
    "segments": "segments are the app's",
    "segment_refreshes": "say how far the server is",
    "webhook_targets": "targets are the app's",
    "staff": "people of the studio",
    "server_minutes": "count packets, whoever sends them",
    "app_minutes": "count logins and sessions, whoever has them",
    "server_hours": "count packets, whoever sends them",
    "app_hours": "count logins and sessions, whoever has them",
    "staff_views": "what people of the studio ask lists for",
    "app_days": "count players by day, and name none",
    "staff_bulk_parts": "who waits for a bulk action of staff, until it is their turn",
    "staff_bulks": "what staff do with many players at once",
    "staff_tokens": "sessions, links and keys of staff",
    "jobs": "say what the server has to do; what they speak of has its own tables",
    "leaderboard_removals": "emptied by the server as soon as the index of ranks has followed",
    "script_schedules": "schedules are the app's",
    "chat_channels": "count what is posted to a channel, whoever does",
    "session_objects": "belong to sessions, and are forgotten some time after them",
    "run_steps": "belong to runs of packets and jobs, and are forgotten soon after them",
    "packet_answers": "belong to sessions, and are forgotten after a day",
    "tally_rows": "numbers of rows, forgotten with their tally",
    "tournament_templates": "templates are the app's",
    "mail_addresses": "digests of addresses, so that who wants no mail gets none, also later",
    "tournament_division_sets": "sets are the app's",
    "tournament_division_instances": "count players, and do not name them",
    "user_property_names": "names of properties in an app",
    "tournament_closings": "say how far the server is; the last one counted means nothing afterwards",
}

# Columns that an export does not tell, of any table or of one.
UNTOLD = {
    "app_id": "the export is of one app",
    "digest": "of a secret",
    "anonymous_pairs.device": "digest of a device's id",
    "anonymous_pairs.epoch": "orders logins",
    "app_log_lines.id": "orders lines",
    "audit_events.id": "orders events",
    "audit_events.session": "of a session",
    "data_stream_reports.id": "orders reports",
    "devices.device": "digest of kind and token",
    "devices.session": "of a session",
    "entities.is_singleton": "no client sees it",
    "identities.external_key": "external_id, as it is looked up",
    "leaderboard_entries.board_uid": "told as the board's id",
    "leaderboard_entries.entry_id": "the player, and on some boards a number",
    "leaderboard_entries.seq": "decides ties",
    "one_time_tokens.data": "which identity a link is for",
    "one_time_tokens.epoch": "orders logins",
    "player_progress.paid": "which levels were paid",
    "player_progress.round": "which levels were paid",
    "player_progress.version": "orders changes",
    "players.disabled_through": "how an operator's decision came about",
    "players.session_epoch": "orders logins",
    "refresh_families.epoch": "orders logins",
    "refresh_families.family": "digest of a token",
    "refresh_families.session_digest": "of a session",
    "tallies.entity_type": "what is counted, not the player's doing",
    "tallies.id": "what is counted, not the player's doing",
    "tallies.is_ready": "what is counted, not the player's doing",
    "tallies.list": "what is counted, not the player's doing",
    "tallies.mended": "what is counted, not the player's doing",
    "tournament_enrolments.board_uid": "told as the board's id",
    "tournament_enrolments.posted": "told by the score",
    "tournament_enrolments.version": "the running period",
    "tournament_results.board_uid": "told as the board's id",
    "tournament_results.created_ms": "of the score",
    "tournament_results.pay_ms": "when the server pays",
    "tournament_results.posted": "told by the score",
    "tournament_results.last_version": "of the template, for paying",
    "tournament_results.size": "of the tournament",
    "tournament_results.updated_ms": "of the score",
    "tournament_results.version": "told as the time of the period",
}


def test_every_table_is_kept_by_somebody_or_holds_no_players() -> None:
    kept = {table.name for one in registry().player_hooks.tables() for table in one.tables}
    unclear = metadata.tables.keys() - kept - OF_NOBODY.keys()
    assert not unclear, f"whose are the rows of {', '.join(sorted(unclear))}? {PAGE}"
    assert not kept & OF_NOBODY.keys()
    assert metadata.tables.keys() >= OF_NOBODY.keys(), "a table is gone"


def test_an_export_tells_every_column_or_there_is_a_reason() -> None:
    missing, needed = [], set[str]()
    for one in registry().player_hooks.tables():
        told = {
            element
            for shown in one.shown.values()
            for element in visitors.iterate(shown)
            if isinstance(element, Column)
        }
        for column in one.table.c:
            reasons = UNTOLD.keys() & {column.name, f"{one.table.name}.{column.name}"}
            if column not in told.union(one.players) and not one.untold.get(column.name):
                needed |= reasons
                missing += [] if reasons else [f"{one.table.name}.{column.name}"]
    assert not missing, f"an export does not tell {', '.join(missing)}; {PAGE}"
    assert needed == UNTOLD.keys(), "a reason is not needed any more"


def test_a_players_rows_are_found_by_an_index() -> None:
    """Or deleting one player would read the rows of all others."""
    slow = []
    for one in registry().player_hooks.tables():
        wanted = [(one.table, column.name) for column in one.players]
        wanted += [(child.table, child.column) for child in one.children]
        slow += [f"{table.name}.{name}" for table, name in wanted if not begins_an_index(table, name)]
    assert not slow, f"no index begins with the player (or app_id and the player): {', '.join(slow)}"


def begins_an_index(table: Table, name: str) -> bool:
    keys: list[Any] = [table.primary_key, *table.indexes]
    names = [[column.name for column in key.columns] for key in keys]
    starts = ([name], ["app_id", name])
    return any(columns[: len(start)] == start for columns in names for start in starts)
