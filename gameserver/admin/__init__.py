"""What staff and operators may do, as typed actions behind the command line, the API and the console."""

from gameserver.admin import balances, bans, bulk, downloads, history, notes, operators, retention, staff
from gameserver.rpc.hooks import PLAYER_DELETE
from gameserver.rpc.registry import Floors

FLOOR = Floors(
    lifespans=(history.lifespan, downloads.lifespan),
    subscriptions=((PLAYER_DELETE, operators.blank),),
    jobs=(operators.FORGET, staff.FORGET, bans.END_JOB, *history.JOBS, *bulk.JOBS, retention.JOB),
    sections=((operators.SECTION, operators.StaffSettings, operators.SAMPLE),),
    kept={"staff": (operators.KEPT, bans.KEPT, notes.KEPT, balances.KEPT, bulk.KEPT)},
)
