"""The real server with a clock that stands still: `python -m tests.clients.still_server serve …`.

`POST /_clock` moves it, as with `--ephemeral`; but this one takes `--redis` and `--database` too.
"""

import gameserver.app
from gameserver.__main__ import main
from gameserver.wire.clock import FixedClock

setattr(gameserver.app, "SystemClock", FixedClock)  # noqa: B010 - the types are right not to offer this

if __name__ == "__main__":
    main()
