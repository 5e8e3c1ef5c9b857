"""Who stands where: an index of scores that can be rebuilt from SQL at any time.

One interface, `Ranks`, with two implementations: `RedisRanks` for any number of processes, and `MemoryRanks`
for a single one.
"""

from gameserver.ranks.interface import Change, Page, Place, Ranks, RanksAway
from gameserver.ranks.memory import MemoryRanks
from gameserver.ranks.redis import RedisRanks

__all__ = ["Change", "MemoryRanks", "Page", "Place", "Ranks", "RanksAway", "RedisRanks"]
