"""What apps say of each other: who is whose parent, and who are peers."""

from collections.abc import Iterator, Mapping

from gameserver.apps.definition import App
from gameserver.apps.references import hint
from gameserver.apps.toml_lines import KeyPath

LEVELS_MAX = 5  # of parents above each other, with the app itself


def relation_mistakes(apps: Mapping[str, App], app: App) -> Iterator[tuple[KeyPath, str]]:
    """Yield what an app says of its parent and its peers that they, or what they say, do not bear out."""
    if app.parent is not None:
        if message := _parent_mistake(apps, app):
            yield ("parent", "app"), message
        elif message := _level_mistake(apps, app):
            yield ("parent", "level"), message
    for code, peer in app.peers.items():
        other = apps.get(peer.app)
        if other is None:
            yield ("peers", code, "app"), _missing(apps, peer.app)
        elif other is app:
            yield ("peers", code, "app"), "an app is not its own peer"
        elif all(back.app != app.id for back in other.peers.values()):
            message = f'the app "{other.id}" does not name this one among its peers'
            yield ("peers", code, "app"), f'{message}: add [peers.…] with app = "{app.id}" there'


def _missing(apps: Mapping[str, App], name: str) -> str:
    return f'there is no app "{name}", or it has mistakes itself{hint(name, apps)}'


def _parent_mistake(apps: Mapping[str, App], app: App) -> str:
    chain = [app]
    while (parent := chain[-1].parent) is not None:
        above = apps.get(parent.app)
        if above is None:  # of one further up, that one's own files tell
            return _missing(apps, parent.app) if len(chain) == 1 else ""
        if any(above is each for each in chain):
            names = " > ".join(each.id for each in [*chain, above])
            return f"apps are parents of each other in a circle: {names}" if above is app else ""
        chain.append(above)
    if len(chain) > LEVELS_MAX:
        return f"apps have at most {LEVELS_MAX} levels; this one is below {len(chain) - 1} others"
    return ""


def _level_mistake(apps: Mapping[str, App], app: App) -> str:
    assert app.parent is not None, "who has none is not asked"
    above = apps[app.parent.app]
    while above.parent is not None and above.parent.app in apps:
        if above.parent.level.casefold() == app.parent.level.casefold():
            level = above.parent.level
            return f'the parent of "{above.id}" is called "{level}", too: clients could not tell them apart'
        above = apps[above.parent.app]
    return ""
