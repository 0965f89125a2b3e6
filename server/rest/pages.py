"""Pages of lists: how much of one is asked for, and where the next page begins.

A list that is ordered (``sort``) goes on behind the values by which its last row was ordered, so rows that come and go
meanwhile neither stop nor repeat it. These values, in base64url, are what ``next`` and ``after`` are.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Annotated, Any

import msgspec
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from server.http.problems import ProblemError
from server.protocol.error_codes import ErrorCode
from server.protocol.validation import InvalidMessageError, check_storable
from server.rest.description.endpoint import Call
from server.rest.description.models import Name

__all__ = ["After", "PageQuery", "PageStart", "SortedPageQuery", "UserPageQuery", "read_page", "read_sorted"]

After = Annotated[str, StringConstraints(min_length=1, max_length=2000, pattern=r"^[^\x00-\x1f\x7f]+$")]
"""Where a page begins: what ``next`` of the page before was."""


class PageQuery(BaseModel):
    """How much."""

    model_config = ConfigDict(extra="forbid")

    after: After | None = Field(None, description="What `next` of the page before is.")
    limit: int = Field(100, ge=1, le=1000, description="How many at most.")


class SortedPageQuery(PageQuery):
    """How much of a list that is searched through and ordered."""

    count: bool = Field(False, description="Whether to count how many match on all pages together.")


class UserPageQuery(BaseModel):
    """Which ones."""

    model_config = ConfigDict(extra="forbid")

    userId: Name | None = Field(None, description="Only those of this user.")
    after: Name | None = Field(None, description="Only those after this id, to get the next page.")
    limit: int = Field(100, ge=1, le=1000, description="How many at most.")


class PageStart(msgspec.Struct, array_like=True, frozen=True):
    """The values that order a row: by ``number``, then by ``text``, then by ``id``."""

    number: float = 0.0
    text: str = ""
    id: str = ""

    def written(self) -> str:
        """As a client gets it."""
        return urlsafe_b64encode(msgspec.json.encode(self)).rstrip(b"=").decode()

    @classmethod
    def read(cls, given: str) -> PageStart:
        """The start that a client gives back. Raises ``ProblemError``."""
        try:
            start = msgspec.json.decode(urlsafe_b64decode(given + "=" * (-len(given) % 4)), type=cls)
            check_storable([start.text, start.id])
        except (ValueError, msgspec.MsgspecError, InvalidMessageError) as wrong:
            raise ProblemError(ErrorCode.INVALID_MESSAGE, "after: give what next of the page before is") from wrong
        return start


async def read_page(call: Call, statement: str) -> tuple[list[dict[str, Any]], str | None]:
    """The rows that the query asks for, by the named ``statement``, and ``after`` for the next page; None: no more."""
    query = call.query_as(UserPageQuery)
    rows = await call.rows(statement, user_id=query.userId, after=query.after, limit=query.limit + 1)
    page = rows[: query.limit]
    return page, page[-1]["id"] if len(rows) > query.limit else None


async def read_sorted(
    call: Call, statement: str, key: str, query: SortedPageQuery, *, by_key: bool = False, **parameters: object
) -> tuple[list[dict[str, Any]], str | None, int | None]:
    """The rows of a page, ``next``, and how many there are in all, if that is asked for.

    The named ``statement`` gives the columns ``count``, ``number`` (and ``text``) beside those of a row; ``key`` is the one
    that differs between all rows. A row without it is there for the count alone. ``by_key``: the order is that of the key,
    which then is ``next``.
    """
    start = _page_start(query.after, by_key=by_key)
    rows = await call.rows(
        statement,
        number=start.number,
        text=start.text,
        after=None if query.after is None else start.id,
        limit=query.limit + 1,
        count=query.count,
        **parameters,
    )
    count: int | None = rows[0].get("count") if rows else None
    found = [row for row in rows if row[key] is not None]
    page = found[: query.limit]
    if len(found) <= query.limit:
        return page, None, count
    last = page[-1]
    following = str(last[key]) if by_key else PageStart(last["number"], last.get("text", ""), last[key]).written()
    return page, following, count


def _page_start(after: str | None, *, by_key: bool) -> PageStart:
    if after is None:
        return PageStart()
    return PageStart(id=after) if by_key else PageStart.read(after)
