"""entity: documents that belong to one player; others may see or change them as far as the owner allows.

An entity has a type, JSON data, a version that every change raises, and an ACL that says what others may
do. A player's only entity of a type can be reached by its type: a singleton.
"""

from gameserver.services.entity.operations import service

__all__ = ["service"]
