"""Where players' data lives: one way to speak to SQLite and PostgreSQL."""

from gameserver.storage.database import open_database
from gameserver.storage.errors import (
    Aborted,
    BadUrl,
    BudgetSpent,
    CommitUnknown,
    Conflict,
    ConstraintBroken,
    Deadlocked,
    QueryTooSlow,
    SchemaMismatch,
    StorageError,
    Unavailable,
)
from gameserver.storage.expiry import Expiry
from gameserver.storage.plans import Statement
from gameserver.storage.searches import Payer
from gameserver.storage.sqlite import SqliteDatabase
from gameserver.storage.tables import (
    Json,
    Jsonb,
    SearchedJson,
    StoredBy,
    Upsert,
    excluded,
    fail_unless,
    insert_row,
    json_rows,
    metadata,
    upsert,
)
from gameserver.storage.transaction import Database, MadeRow, Row, Transaction

__all__ = [
    "Aborted",
    "BadUrl",
    "BudgetSpent",
    "CommitUnknown",
    "Conflict",
    "ConstraintBroken",
    "Database",
    "Deadlocked",
    "Expiry",
    "Json",
    "Jsonb",
    "MadeRow",
    "Payer",
    "QueryTooSlow",
    "Row",
    "SchemaMismatch",
    "SearchedJson",
    "SqliteDatabase",
    "Statement",
    "StorageError",
    "StoredBy",
    "Transaction",
    "Unavailable",
    "Upsert",
    "excluded",
    "fail_unless",
    "insert_row",
    "json_rows",
    "metadata",
    "open_database",
    "upsert",
]
