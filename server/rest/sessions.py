"""Endpoints about the sessions of users."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus

from pydantic import BaseModel, ConfigDict, Field

from server.http.problems import ProblemError
from server.protocol.error_codes import ErrorCode
from server.rest.description.endpoint import Call, Endpoint, shown
from server.rest.description.models import Name, RevokedSessions, SessionList, UserSession
from server.rest.pages import UserPageQuery, read_page

__all__ = ["ENDPOINTS"]

_Reason = Field(None, max_length=200, description="Why, for the people who look after it; clients do not get it.")


class RevokeQuery(BaseModel):
    """Why a session ends."""

    model_config = ConfigDict(extra="forbid")

    reason: str | None = _Reason


class UserSessionsQuery(BaseModel):
    """Whose sessions end."""

    model_config = ConfigDict(extra="forbid")

    userId: Name = Field(description="The user.")
    exceptId: Name | None = Field(None, description="The session that stays: the one in which the user asks for it.")
    reason: str | None = _Reason


async def _list(call: Call) -> dict[str, object]:
    page, following = await read_page(call, "rest_sessions")
    return shown(SessionList, {"sessions": [shown(UserSession, row) for row in page], "next": following})


async def _revoke(call: Call) -> None:
    session_id = call.path["sessionId"]
    [row] = await call.rows("rest_revoke_session", sid=session_id, reason=call.query_as(RevokeQuery).reason)
    if not row["known"]:
        raise ProblemError(ErrorCode.NOT_FOUND, f"there is no session {session_id!r}")


async def _revoke_all(call: Call) -> RevokedSessions:
    query = call.query_as(UserSessionsQuery)
    [row] = await call.rows(
        "rest_revoke_user_sessions", user_id=query.userId, reason=query.reason, except_sid=query.exceptId
    )
    return RevokedSessions(count=row["count"])


ENDPOINTS: Sequence[Endpoint] = (
    Endpoint(
        "GET",
        "/sessions",
        "listSessions",
        "List sessions of users",
        _list,
        "The rows of `realtime.sessions`, in order of their ids; also those that have ended.",
        query=UserPageQuery,
        answer=SessionList,
        scope="sessions",
    ),
    Endpoint(
        "DELETE",
        "/sessions",
        "revokeUserSessions",
        "Revoke the sessions of a user",
        _revoke_all,
        "Their connections are closed with code 4401, on whichever server they are, and their tokens are refused.",
        query=UserSessionsQuery,
        answer=RevokedSessions,
        scope="sessions",
    ),
    Endpoint(
        "DELETE",
        "/sessions/{sessionId}",
        "revokeSession",
        "Revoke a session",
        _revoke,
        "Its connections are closed with code 4401, on whichever server they are, and its tokens are refused. Nothing "
        "happens to one that was revoked before.",
        query=RevokeQuery,
        status=HTTPStatus.NO_CONTENT,
        problems=(ErrorCode.NOT_FOUND,),
        scope="sessions",
    ),
)
