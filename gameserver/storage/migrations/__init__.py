"""The steps from an empty database to today's tables; `gameserver.storage.schema` runs them."""
