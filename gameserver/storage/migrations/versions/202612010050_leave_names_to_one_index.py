"""Leave names to one index.

The other one goes as it came, apart from the steps: `former_indexes` of the table names it.
"""

revision = "202612010050"
down_revision = "202612010045"
oldest = "202611301759"  # whose servers look for names without the index until they stop


def upgrade() -> None:
    """Take the step."""
