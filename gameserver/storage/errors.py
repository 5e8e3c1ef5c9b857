"""What can go wrong between a caller and its database, in words that do not depend on the driver."""


class StorageError(Exception):
    """The database did not do what it was asked to do."""


class Aborted(StorageError):
    """The transaction was given up and nothing of it happened; the caller may run it again."""


class Deadlocked(Aborted):
    """Others and this transaction waited for each other, and this one was given up; nothing happened."""


class Unavailable(Aborted):
    """The database cannot be reached, or has no free connection; nothing happened."""


class CannotWrite(Unavailable):
    """The database answers and cannot write: its disk is full, or fails; nothing happened."""


class Conflict(Aborted):
    """A row is not as a `fail_unless` statement needs it; nothing happened.

    `column` is the table and the column that were fail_unless, such as `items.version`.
    """

    def __init__(self, column: str) -> None:
        super().__init__(f"somebody was faster: {column}")
        self.column = column


class CommitUnknown(StorageError):
    """The connection broke while the commit was under way.

    The transaction happened as a whole or not at all; the caller has to look which of the two it was.
    """


class QueryTooSlow(StorageError):
    """The statement took longer than a query may. Nothing of it happened; its transaction must end."""


class BudgetSpent(QueryTooSlow):
    """Whoever asks has used up the time that their queries may take for now. Nothing happened."""


class ConstraintBroken(StorageError):
    """A unique index, a foreign key or a check refused the statement, and the caller did not expect it."""


class BadUrl(ValueError):
    """The URL of a database cannot be read; the message says what is expected, and repeats none of it."""


class SchemaMismatch(StorageError):
    """The tables are not the ones this server works with. The message says what to do."""
