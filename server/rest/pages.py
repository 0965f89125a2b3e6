"""Pages of what belongs to users: connections, sessions."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from server.rest.description.endpoint import Call
from server.rest.description.models import Name

__all__ = ["UserPageQuery", "read_page"]


class UserPageQuery(BaseModel):
    """Which ones."""

    model_config = ConfigDict(extra="forbid")

    userId: Name | None = Field(None, description="Only those of this user.")
    after: Name | None = Field(None, description="Only those after this id, to get the next page.")
    limit: int = Field(100, ge=1, le=1000, description="How many at most.")


async def read_page(call: Call, statement: str) -> tuple[list[dict[str, Any]], str | None]:
    """The rows that the query asks for, by the named ``statement``, and ``after`` for the next page; None: no more."""
    query = call.query_as(UserPageQuery)
    rows = await call.rows(statement, user_id=query.userId, after=query.after, limit=query.limit + 1)
    page = rows[: query.limit]
    return page, page[-1]["id"] if len(rows) > query.limit else None
