"""What is done with many players at once: a job that goes through a list that was made, and counted, before.

A bulk action is for players who are named, for those whom a text finds, or for all; whoever begins it says
how many they expect, and with another number nothing happens. The list is stored, so that nobody joins it
later. A job takes it in parts. Each player's change is committed with a row that says so: whoever is cut
short goes on with the next player, and nobody gets anything twice.
"""

from gameserver.admin.bulk.actions import ACTIONS, OtherCount
from gameserver.admin.bulk.running import JOB
from gameserver.admin.bulk.storage import FORGET, KEPT

JOBS = (JOB, *FORGET)

__all__ = ["ACTIONS", "JOBS", "KEPT", "OtherCount"]
