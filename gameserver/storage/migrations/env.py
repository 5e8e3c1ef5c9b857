"""Run by Alembic for every command; the connection comes from `gameserver.storage.schema`."""

from alembic import context

from gameserver.storage.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    on_version_apply=context.config.attributes["on_version_apply"],
    render_as_batch=True,  # SQLite changes a table by copying it
)
context.run_migrations()
