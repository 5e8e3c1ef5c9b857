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
    above, back = _above(apps, app)
    if not above and back is None:
        return _missing(apps, app.parent.app if app.parent is not None else "")
    if back is app:
        names = " > ".join(each.id for each in [app, *above, app])
        return f"apps are parents of each other in a circle: {names}"
    if len(above) >= LEVELS_MAX:
        return f"apps have at most {LEVELS_MAX} levels; this one is below {len(above)} others"
    return ""


def _above(apps: Mapping[str, App], app: App) -> tuple[list[App], App | None]:
    """Return the apps above an app, and the one among them, or the app itself, with which they begin again.

    Of one further up that is not there, or of their circle, those apps' own files tell.
    """
    chain = [app]
    while (parent := chain[-1].parent) is not None and (above := apps.get(parent.app)) is not None:
        if any(above is each for each in chain):
            return chain[1:], above
        chain.append(above)
    return chain[1:], None


def _level_mistake(apps: Mapping[str, App], app: App) -> str:
    assert app.parent is not None, "who has none is not asked"
    for above in _above(apps, app)[0]:
        if above.parent is not None and above.parent.level.casefold() == app.parent.level.casefold():
            level = above.parent.level
            return f'the parent of "{above.id}" is called "{level}", too: clients could not tell them apart'
    return ""
