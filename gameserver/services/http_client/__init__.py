"""httpClient: calls to web services that the app declares, for its servers and scripts."""

from gameserver.services.http_client import operations as operations
from gameserver.services.http_client.base import service

__all__ = ["service"]
