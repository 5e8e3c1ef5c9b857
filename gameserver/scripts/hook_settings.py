"""What an app says of its API hooks."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

from msgspec import Meta, field

from gameserver.apps import Mistake, Refers, Settings
from gameserver.rpc.registry import EVERY_MESSAGE, MAIL_LINK

HOOK_SAMPLE = """\
# A script that runs before an operation of a client or of a script, and may refuse it or change what it is
# sent; after it ("post"); or where it was refused ("post_fail"). Dispatcher.ProcessMessage is each there is.
#[[scripts.hooks]]
#operation = "entity.CREATE"
#kind = "pre"
#script = "hooks/CheckEntity"
#parms = { most = 5 }
"""


class ApiHook(Settings, kw_only=True):
    """A script that runs before or after an operation."""

    operation: Annotated[
        str,
        Refers("operation with hooks"),
        Meta(
            description="Which, such as entity.CREATE; Dispatcher.ProcessMessage, with pre, is each there "
            "is; EmailAuth.VALIDATE is the page that proves a mail address."
        ),
    ]
    kind: Annotated[
        Literal["pre", "post", "post_fail"],
        Meta(description="Before it; after it has been done; after it was refused."),
    ]
    script: Annotated[str, Meta(min_length=1, max_length=512, description="The script by its path.")]
    parms: Annotated[dict[str, Any], Meta(description="What the script finds as data.parms.")] = field(
        default_factory=dict
    )
    enabled: Annotated[bool, Meta(description="false leaves it out.")] = True


def hook_mistakes(hooks: Sequence[ApiHook]) -> Iterator[Mistake]:
    """Yield hooks of a kind that there is not."""
    for index, hook in enumerate(hooks):
        if hook.operation == EVERY_MESSAGE and hook.kind != "pre":
            yield ("hooks", index, "kind"), f"expected pre, the one kind that {EVERY_MESSAGE} has"
        if hook.operation == MAIL_LINK and hook.kind == "pre":
            yield ("hooks", index, "kind"), f"expected post or post_fail, which {MAIL_LINK} has"


def by_operation(hooks: Sequence[ApiHook]) -> Mapping[str, tuple[ApiHook, ...]]:
    """Return the hooks that are on, by their operations and in the order in which they are declared."""
    found: dict[str, tuple[ApiHook, ...]] = {}
    for hook in hooks:
        if hook.enabled:
            found[hook.operation] = (*found.get(hook.operation, ()), hook)
    return found
