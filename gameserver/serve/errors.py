"""Why a server does not start."""


class CannotServe(Exception):
    """The server cannot start; the text says why and what to do."""


class CannotReach(CannotServe):
    """The database does not answer."""


class BadOptions(CannotServe):
    """The options contradict each other."""


class BrokenApps(CannotServe):
    """No app is defined well; the text names the mistakes as `gameserver check` does."""
