"""Pages of a query, and the context a client hands back to ask for the next one.

A context says what was searched, in which order, and which page of how many rows. As text it is unpadded
base64url of JSON; the first request may send it as an object or as JSON text. A client can write anything
into it, so it never says whose rows are searched: `read_page` takes that from the operation, each time.
Places and counts in it are used for the reader alone whom it was made for; to others it says what to search.

Where the order is one of columns, a context also holds the place of the first and last row of its page, and
the neighbouring pages are read from there instead of by counting through all rows before them. A page
that is far away is read from a mark of the list's counts (`list_counts`), which is exact, too:
whether it is found by its number or from a page before it, it holds the rows that have its numbers now.
"""

import base64
import binascii
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Annotated, Any

import msgspec
from msgspec import Meta
from sqlalchemy import ColumnElement, and_, func, literal, or_, select, true, tuple_
from sqlalchemy.types import Integer, Numeric

from gameserver.documents import list_counts
from gameserver.documents.list_counts import LONG, MARK_EVERY, Listing, Measures
from gameserver.documents.query import Fields, SortKey, directed, sort_keys, where
from gameserver.storage import QueryTooSlow, Row, Transaction
from gameserver.wire import json
from gameserver.wire.errors import GameError
from gameserver.wire.fields import ServerTime
from gameserver.wire.shapes import FreeObjectOrText, Reply, Request

ROWS_MAX = 500
ROWS_DEFAULT = 50
COUNT_MAX = LONG
"""Without a tally a count goes no further: counting a million rows takes as long as reading them."""
FAR = MARK_EVERY  # rows; as many are skipped behind a mark anyway
CONTEXT_MAX = 64 << 10  # characters of a context as text
_OFFSET_MAX = 2**62


class UnreadableContext(GameError):
    """The context is no text that an answer held, and no JSON."""

    reason_code = 40383


class InvalidContext(GameError):
    """The context is JSON, but a part of it is not what it should be."""

    reason_code = 40384


@dataclass(frozen=True)
class Page:
    """Which page of what. `offset` pages from the page that `first` and `last` belong to."""

    search: Any = None
    sort: Any = None
    options: Any = None
    rows: int = ROWS_DEFAULT
    number: int = 1
    do_count: bool = True
    skip_recount: bool | None = None
    reader: str = ""
    offset: int = 0
    count: int | None = None
    count_is_exact: bool = True
    first: list[Any] | None = None
    last: list[Any] | None = None


PageContext = Annotated[
    FreeObjectOrText | None,
    Meta(
        description="Which page of what: `{pagination: {rowsPerPage, pageNumber, doCount}, searchCriteria,"
        " sortCriteria}` or less, as object or as JSON text; or the `context` of an earlier answer."
    ),
]
EarlierContext = Annotated[
    FreeObjectOrText | None,
    Meta(description="The `context` of an earlier answer: the page that the offset counts from."),
]
PageOffset = Annotated[
    int, Meta(description="Pages from the one that the context stands for: 1 the next, -1 the one before.")
]
NextContext = Annotated[
    str, Meta(description="Stands for this page; hand it back unchanged to reach the pages around it.")
]


class GetPage(Request):
    """`context`: `{pagination: {rowsPerPage, pageNumber, doCount}, searchCriteria, sortCriteria}` or less."""

    context: PageContext = None


class GetPageOffset(GetPage):
    """`context` is the text of an earlier answer, `pageOffset` counts pages from the one it stands for."""

    page_offset: PageOffset = 0


class Results(Reply):
    """A page of a list.

    Where a search for more than an `entityType` finds over 10,000 rows they are not counted to the end:
    `countIsExact` is there then, and false, and `count` is a number that there are at least.
    """

    items: Annotated[list[Any], Meta(description="The rows of the page, in order.")]
    page: Annotated[int, Meta(description="The number of the page; the first is 1.")]
    more_before: Annotated[bool, Meta(description="Whether there are pages before this one.")]
    more_after: Annotated[bool, Meta(description="Whether there are rows behind this page.")]
    count: Annotated[
        int | msgspec.UnsetType,
        Meta(description="All rows that match, on all pages. Absent when the context asks for no count."),
    ] = msgspec.UNSET
    count_is_exact: Annotated[
        bool | msgspec.UnsetType,
        Meta(description="Only there when it is false: at least `count` rows match, perhaps more."),
    ] = msgspec.UNSET


class EntityPage(Reply):
    """`context` is to be handed back for the pages around this one."""

    results: Annotated[Results, Meta(description="The page.")]
    context: NextContext
    server_time: ServerTime = msgspec.field(name="_serverTime")


@dataclass(frozen=True)
class Found:
    """The rows of a page, and what its answer says beside them."""

    rows: list[Row]
    page: Page
    more_after: bool

    def results(self, items: list[Any]) -> Results:
        """Return the answer's `results`, with the rows as the operation shows them."""
        return Results(
            items=items,
            page=self.page.number,
            count=msgspec.UNSET if self.page.count is None else self.page.count,
            count_is_exact=msgspec.UNSET if self.page.count_is_exact else False,
            more_before=self.page.number > 1,
            more_after=self.more_after,
        )

    @property
    def context(self) -> str:
        """The context to hand back. Raises `InvalidContext` when it would be too long for that."""
        return context_text(self.page)


# Contexts


def read_context(context: Any, page_offset: int = 0, reader: str = "") -> Page:
    """Return the page a context stands for, or the one so many pages after it (before it, if negative).

    The context is an object, JSON text, or the text of an answer; null is the same as {}. What it does not
    say gets a default; more than `ROWS_MAX` rows become that many. `reader` names whose rows are read, and
    in which of several ways; a context that was made for another tells neither places nor counts. Raises
    `UnreadableContext`, `InvalidContext`.
    """
    parts = _decode(context) if isinstance(context, str) else context
    if parts is None:
        parts = {}
    if not isinstance(parts, dict):
        raise UnreadableContext("data.context: expected an object, or the text of an earlier answer")
    pagination = parts.get("pagination")
    if pagination is None:
        pagination = {}
    if not isinstance(pagination, dict):
        raise InvalidContext("data.context.pagination: expected an object")
    rows = _whole(pagination.get("rowsPerPage"), "rowsPerPage", ROWS_DEFAULT)
    if rows < 1:
        raise InvalidContext("data.context.pagination.rowsPerPage: expected 1 or more")
    do_count = pagination.get("doCount") is not False
    skip_recount = pagination.get("skipRecount")
    skip_recount = skip_recount if isinstance(skip_recount, bool) else None
    number = max(1, _whole(pagination.get("pageNumber"), "pageNumber", 1))
    target = min(max(1, number + page_offset), json.INTEGER_MAX)
    page = Page(
        search=parts.get("searchCriteria"),
        sort=parts.get("sortCriteria"),
        options=parts.get("options"),
        rows=min(rows, ROWS_MAX),
        number=target,
        do_count=do_count,
        skip_recount=skip_recount,
        reader=reader,
    )
    if parts.get("reader", "") != reader:
        return page
    counted, position = parts.get("resultCount"), parts.get("position")
    counts_anew = not page_offset if skip_recount is None else not skip_recount
    if isinstance(counted, int) and 0 <= counted <= json.INTEGER_MAX and do_count and not counts_anew:
        page = replace(page, count=counted, count_is_exact=parts.get("resultCountIsExact") is not False)
    if isinstance(position, dict) and page_offset and target > 1:
        page = replace(
            page,
            offset=target - number,
            first=_a_list(position.get("first")),
            last=_a_list(position.get("last")),
        )
    return page


def context_text(page: Page) -> str:
    """Return the text of a page's context, which `read_context` takes. Raises `InvalidContext`."""
    pagination = {"rowsPerPage": page.rows, "pageNumber": page.number, "doCount": page.do_count}
    if page.skip_recount is not None:
        pagination["skipRecount"] = page.skip_recount
    parts: dict[str, Any] = {
        "searchCriteria": page.search,
        "sortCriteria": page.sort,
        "pagination": pagination,
        "options": page.options,
    }
    if page.reader:
        parts["reader"] = page.reader
    if page.count is not None:
        parts["resultCount"] = page.count
        if not page.count_is_exact:
            parts["resultCountIsExact"] = False
    if page.first is not None and page.last is not None:
        parts["position"] = {"first": page.first, "last": page.last}
    text = base64.urlsafe_b64encode(msgspec.json.encode(parts)).rstrip(b"=").decode()
    if len(text) > CONTEXT_MAX:
        raise InvalidContext(f"data.context: as text it has more than {CONTEXT_MAX} characters")
    return text


def _decode(text: str) -> Any:
    if len(text) > CONTEXT_MAX:
        raise UnreadableContext(f"data.context: more than {CONTEXT_MAX} characters")
    stripped = text.strip()
    try:
        if stripped.startswith("{"):
            raw = stripped.encode()
        else:
            usual = stripped.rstrip("=").replace("+", "-").replace("/", "_")
            raw = base64.b64decode(usual + "=" * (-len(usual) % 4), altchars=b"-_", validate=True)
        if json.checked(raw) != raw:
            raise ValueError("no context that we wrote has whole numbers beyond 64 bits")  # noqa: TRY301 - refused with the others below
        decoded = json.decode_any(raw)
    except (binascii.Error, ValueError, GameError):
        raise UnreadableContext("data.context: expected the text of an earlier answer") from None
    if not isinstance(decoded, dict):
        raise UnreadableContext("data.context: expected the text of an earlier answer")
    return decoded


def _whole(value: Any, name: str, default: int) -> int:
    if value is None:
        return default
    if (
        isinstance(value, str)
        and value.isascii()
        and value.isdigit()
        and len(value) <= len(str(json.INTEGER_MAX))
    ):
        return int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) > json.INTEGER_MAX:
        raise InvalidContext(f"data.context.pagination.{name}: expected a whole number")
    return value


def _a_list(value: Any) -> list[Any] | None:
    return value if isinstance(value, list) else None


# Reading


@dataclass(frozen=True, kw_only=True)
class _Stretch:
    """Which rows to read: so many under a condition after some others, in the order or against it."""

    condition: ColumnElement[bool] = field(default_factory=true)
    skip: int
    limit: int
    backward: bool = False
    more_after: bool = False  # it is known that rows follow; else one row too many is read to find out


async def read_page(
    tx: Transaction,
    page: Page,
    columns: Sequence[ColumnElement[Any]],
    scope: ColumnElement[bool],
    fields: Fields,
    listing: Listing | None = None,
    **params: Any,
) -> Found:
    """Read a page of the rows in `scope` that the search finds.

    One statement, and a second one that counts when the context asks for it and the page does not tell.
    With a `listing` that shows just these rows, a page far away in the order of creation, and a count, take
    no longer than among `list_counts.LONG` rows. `params` are those of a `scope` that is built once, for
    building takes longer than reading. Raises what `query.where` and `query.order` raise.
    """
    condition = and_(scope, where(page.search, fields, "data.context.searchCriteria"))
    keys = sort_keys(page.sort, fields, "data.context.sortCriteria")
    by_columns = all(_is_plain(key) for key in keys)
    stretch = _stretch(page, keys if by_columns else [])
    measures = None
    if listing is not None and stretch.skip > FAR and keys[0].expression is listing.columns.created_ms:
        measures = await listing.measure(tx)
        stretch = await _jump(tx, page, keys, measures) or stretch
    statement = select(*columns).where(condition, stretch.condition)
    if by_columns:
        statement = statement.add_columns(
            *(key.expression.label(f"key_{index}") for index, key in enumerate(keys))
        )
    ordering = [directed(key, backward=stretch.backward) for key in keys]
    statement = statement.order_by(*ordering).limit(stretch.limit).offset(min(stretch.skip, _OFFSET_MAX))
    # A search, or an order of what is in documents, is as dear as the client wants it to be.
    described = not by_columns or bool(page.search)
    found = list(await (tx.search if described else tx.all)(statement, **params))
    if stretch.backward:
        found.reverse()
    rows = found[: page.rows]
    more_after = stretch.more_after or len(found) > page.rows
    page = replace(page, offset=0, first=None, last=None)
    if page.do_count:
        count, is_exact = _known_count(page, len(rows), more_after=more_after)
        if count is None:
            is_search = bool(page.search)
            count, is_exact = await _count(tx, condition, params, listing, measures, is_search=is_search)
        least = _number_of_first(page) + len(rows) + more_after
        if more_after and count < least:
            count, is_exact = least, False
        page = replace(page, count=count, count_is_exact=is_exact)
    if rows and by_columns:
        page = replace(page, first=_place(rows[0], keys), last=_place(rows[-1], keys))
    return Found(rows, page, more_after)


def _number_of_first(page: Page) -> int:
    """Return how many rows are before a page."""
    return (page.number - 1) * page.rows


def _stretch(page: Page, keys: list[SortKey]) -> _Stretch:
    """Return where a page is: counted from its neighbour if the context knows one, or from the first row."""
    start = page.last if page.offset > 0 else page.first
    if not page.offset or start is None or not keys or not _fit(start, keys):
        return _Stretch(skip=_number_of_first(page), limit=page.rows + 1)
    backward = page.offset < 0
    return _Stretch(
        condition=_beyond(keys, start, backward=backward),
        skip=(abs(page.offset) - 1) * page.rows,
        limit=page.rows + (not backward),
        backward=backward,
        more_after=backward,
    )


async def _jump(tx: Transaction, page: Page, keys: list[SortKey], measures: Measures) -> _Stretch | None:
    """Return where a page is, counted from a place near it; None when the list cannot tell how long it is."""
    count, listing = measures.count, measures.listing
    if count is None:
        return None
    number, limit, descending = _number_of_first(page), page.rows + 1, keys[0].descending
    if descending:  # marks are counted from the other end, so the page is read from there
        behind = max(0, count - number)
        limit = min(limit, behind)
        number = behind - limit
    order = (listing.columns.created_ms, listing.columns.entity_id)
    by_place = len(keys) == len(order) and all(
        key.expression is column and key.descending == descending
        for key, column in zip(keys, order, strict=True)
    )
    place, before = await measures.find(tx, number, whole_ms=not by_place)
    condition = list_counts.behind(listing.columns, place)
    return _Stretch(condition=condition, skip=max(0, number - before), limit=limit, backward=descending)


def _known_count(page: Page, rows: int, *, more_after: bool) -> tuple[int | None, bool]:
    """Return the number of all rows if the page itself or its context tells, and whether it is exact."""
    if not more_after and (rows or page.number == 1):
        return _number_of_first(page) + rows, True
    return page.count, page.count_is_exact


async def _count(
    tx: Transaction,
    condition: ColumnElement[bool],
    params: Mapping[str, Any],
    listing: Listing | None,
    measures: Measures | None,
    *,
    is_search: bool,
) -> tuple[int, bool]:
    """Count the rows that a search finds, and tell whether these are all."""
    if listing is not None:
        with suppress(QueryTooSlow):  # before its tally is made, a very long list may be too long to count
            return await listing.count(tx, measures), True
    matches = select(literal(1).label("one")).where(condition).limit(COUNT_MAX + 1).subquery()
    statement = select(func.count()).select_from(matches)
    row = (await tx.search(statement, **params))[0] if is_search else await tx.one(statement, **params)
    count = 0 if row is None else int(row[0])
    return min(count, COUNT_MAX), count <= COUNT_MAX


def _is_plain(key: SortKey) -> bool:
    return key.name is not None and not key.nullable


def _place(row: Row, keys: list[SortKey]) -> list[Any] | None:
    """Return the place of a row; None where no context can hold it, as of a time beyond 2^53."""
    place = [row[f"key_{index}"] for index in range(len(keys))]
    return place if _fit(place, keys) else None


def _fit(place: list[Any], keys: list[SortKey]) -> bool:
    """Return whether a place has a value of the right kind for each part of the order."""
    return len(place) == len(keys) and all(
        _is_number(value) if isinstance(key.expression.type, Integer | Numeric) else isinstance(value, str)
        for value, key in zip(place, keys, strict=True)
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) <= json.INTEGER_MAX


def _beyond(keys: list[SortKey], place: list[Any], *, backward: bool) -> ColumnElement[bool]:
    """Return the condition for the rows after a place, or before it."""
    columns = [key.expression for key in keys]
    values = [literal(value, key.expression.type) for key, value in zip(keys, place, strict=True)]
    falling = [key.descending != backward for key in keys]
    if len(set(falling)) == 1:  # an index can find a row of values
        left, right = tuple_(*columns), tuple_(*values)
        return left < right if falling[0] else left > right
    alternatives = []
    for index, (column, value, falls) in enumerate(zip(columns, values, falling, strict=True)):
        same = [a == b for a, b in zip(columns[:index], values[:index], strict=True)]
        alternatives.append(and_(*same, column < value if falls else column > value))
    bound = columns[0] <= values[0] if falling[0] else columns[0] >= values[0]
    return and_(bound, or_(*alternatives))
