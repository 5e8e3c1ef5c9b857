"""Fields that requests and answers of many services have, each described once.

A description is a part of the type: `Annotated[str, Meta(description="…")]`. It checks nothing and costs
nothing when a request is read; the exported protocol and the typed clients show it.
"""

from typing import Annotated

from msgspec import Meta

AppId = Annotated[str, Meta(description="The id of the app.")]
ProfileId = Annotated[str, Meta(description="The id of a player in the app, as a login answers it.")]
GroupId = Annotated[str, Meta(description="The id of a group.")]
CreatedAt = Annotated[int, Meta(description="When it was made: ms since 1970-01-01 UTC.")]
UpdatedAt = Annotated[int, Meta(description="When it was last changed: ms since 1970-01-01 UTC.")]
ServerTime = Annotated[
    int, Meta(description="What the server's clock said for this answer: ms since 1970-01-01 UTC.")
]
